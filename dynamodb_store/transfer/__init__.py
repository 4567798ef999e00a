"""Copies an MLflow between a SQL database and the table, row for row, and proves the copy.

Both sides are seen as rows of MLflow's SQL tables: ``sql.py`` reads and writes them in the
database, each family's *kinds* turn them into items of the table and back. Counting and summing
the rows of both sides is the proof (``tally.py``).
"""
