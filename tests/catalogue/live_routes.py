"""The routes that the installed MLflow really serves, from its app objects (no server).

Run as a script it prints JSON pairs ``[method, template]``; :func:`live_routes` runs it in a
fresh interpreter, because importing MLflow's server reads the environment and sets up handlers.
HEAD and OPTIONS, which Flask adds to every route, are left out: the gateway answers neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

AUTOMATIC = frozenset({"HEAD", "OPTIONS"})


@cache
def live_routes() -> frozenset[tuple[str, str]]:
    """(method, template) of every Flask and FastAPI route; placeholders as ``{name[:path]}``."""
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(("MLFLOW", "_MLFLOW"))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env=clean,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,  # a busy machine that compiles MLflow first needs more than a minute
    )
    return frozenset((method, template) for method, template in json.loads(done.stdout))


def _fastapi(routes: list[Any], prefix: str = "") -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for route in routes:
        if hasattr(route, "original_router"):  # FastAPI keeps included routers as they are
            inner = prefix + route.include_context.prefix
            found |= _fastapi(route.original_router.routes, inner)
        elif hasattr(route, "methods"):
            found |= {(method, prefix + route.path) for method in route.methods}
        elif route.path != "":
            raise RuntimeError(f"a mount that is not the Flask app: {route.path}")
    return found


def _flask(app: Any) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for rule in app.url_map.iter_rules():
        template = rule.rule
        for name, converter in rule._converters.items():
            kind = type(converter).__name__
            if kind == "PathConverter":
                template = template.replace(f"<path:{name}>", f"{{{name}:path}}")
            elif kind == "UnicodeConverter":
                template = template.replace(f"<{name}>", f"{{{name}}}")
            else:
                raise RuntimeError(f"unknown converter {kind} in {rule.rule}")
        found |= {(method, template) for method in rule.methods}
    return found


def _main() -> None:
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app as fastapi_app

    pairs = _fastapi(fastapi_app.routes) | _flask(flask_app)
    sys.stdout.write(json.dumps(sorted(p for p in pairs if p[0] not in AUTOMATIC)))


if __name__ == "__main__":
    _main()
