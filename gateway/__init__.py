"""mlgate's gateway: an authenticating, authorizing reverse proxy in front of stock MLflow."""

__version__ = "0.1.0"
