"""The gateway's own endpoints; ``ENDPOINTS`` of each module are wired in ``app.py``."""
