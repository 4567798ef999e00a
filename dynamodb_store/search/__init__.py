"""What MLflow's search grammar means, on values in memory: no I/O here."""
