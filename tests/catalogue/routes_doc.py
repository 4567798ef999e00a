"""Writes ``docs/routes.md`` from the catalogue. Run as a script to regenerate; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.routes.catalogue import CALLS, FAMILIES, ROUTES
from gateway.routes.schema import MLFLOW_VERSION
from gateway.routes.table import markdown

TARGET = Path(__file__).resolve().parents[2] / "docs" / "routes.md"

_INTRO = """# MLflow's endpoints and who decides about them

Generated from `gateway/routes/catalogue/` by `tests/catalogue/routes_doc.py`; do not edit.

Checked against MLflow {version}: {routes} endpoints, {calls} calls. What is not in these tables
is refused with 404 `ENDPOINT_NOT_FOUND`; `mlgate routes --upstream URL` compares them with an
MLflow of another version.

**Call** is the name that `config/roles.yaml` lists. **Decided by** says where the request names
something: each identifier leads to an experiment or a registered model, and a role on *every* one
of them must list the call, or the call after *needs*. *narrowed*: identifiers that the caller may
not use are taken out of the request. *server*: the `server:` part of `roles.yaml` decides.
*answer trimmed*: what the caller may not read is left out.

"""


def render() -> str:
    """The whole document."""
    intro = _INTRO.format(version=MLFLOW_VERSION, routes=len(ROUTES), calls=len(CALLS))
    return intro + markdown(FAMILIES)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET.name}\n")
