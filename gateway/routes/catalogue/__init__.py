"""MLflow's whole REST surface, one row an endpoint; what is not here is refused.

``ROUTES`` holds every row, ``CALLS`` the names that roles.yaml may list or that a decision can
name (without those that are never forwarded). ``tests/catalogue`` compares the rows with the
installed MLflow: its live routes, its protos, and every field that can name a resource.
"""

from __future__ import annotations

from gateway.routes.catalogue import (
    ai_gateway,
    artifacts,
    datasets,
    experiments,
    genai,
    logged_models,
    models,
    ops,
    runs,
    traces,
)
from gateway.routes.route import Route

FAMILIES: dict[str, tuple[Route, ...]] = {
    "Experiments": experiments.ROWS,
    "Runs and metrics": runs.ROWS,
    "Artifacts": artifacts.ROWS,
    "Traces": traces.ROWS,
    "Logged models": logged_models.ROWS,
    "Datasets": datasets.ROWS,
    "Scorers, issues, reviews, prompt optimization": genai.ROWS,
    "Registered models and prompts": models.ROWS,
    "AI gateway": ai_gateway.ROWS,
    "Server, UI and operations": ops.ROWS,
}
"""The rows by family, in the order of the documentation."""

ROUTES: tuple[Route, ...] = tuple(row for rows in FAMILIES.values() for row in rows)

CALLS: frozenset[str] = frozenset(row.call for row in ROUTES if row.scope != "refused")
