"""Trims answers that could show what the caller must not read; generators and values, no I/O."""
