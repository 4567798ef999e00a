"""MLflow's REST surface as data, and the one canonical reading of a request."""
