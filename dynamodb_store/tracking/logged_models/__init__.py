"""Logged models: their life, their metrics, and searches of them."""
