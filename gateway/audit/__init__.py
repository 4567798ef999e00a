"""One JSON line per decision: what happened, to whom, and why; never a secret."""
