"""One file per thing kept: how it lies in items, and how it becomes an entity of MLflow."""
