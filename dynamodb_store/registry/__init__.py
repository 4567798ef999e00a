"""MLflow's model registry store."""
