"""Scorers of experiments: their versions, and which of them score traces online."""
