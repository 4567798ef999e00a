"""End to end: the real MLflow client and plain HTTP against a running gateway and stock MLflow."""
