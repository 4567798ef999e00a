"""Traces, spans and assessments; ``store.py`` takes the class ``Traces`` from ``all.py``."""
