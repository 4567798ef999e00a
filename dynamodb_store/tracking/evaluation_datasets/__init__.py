"""Evaluation datasets: their life, their records, and searches of them."""
