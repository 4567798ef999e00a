"""MLflow's registry of MCP servers."""
