"""An MLflow that answers the gateway's own questions from dictionaries, and counts them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class FakeLookups:
    """Pass ``ask`` to a Resolver.

    ``experiments``, ``models``: id or name -> tags; ``runs``, ``traces``: id -> experiment id.
    ``loose``: the database compares names without case, as MySQL does. ``status``: what every
    answer is, instead. ``before``: called with the path of each question, first.
    """

    def __init__(self) -> None:
        self.experiments: dict[str, dict[str, str]] = {}
        self.models: dict[str, dict[str, str]] = {}
        self.runs: dict[str, str] = {}
        self.traces: dict[str, str] = {}
        self.loose = False
        self.status: int | None = None
        self.before: Callable[[str], Any] | None = None
        self.asked: list[str] = []

    async def ask(self, target: str) -> tuple[int, bytes]:
        self.asked.append(target)
        parts = urlsplit(target)
        if self.before is not None:
            self.before(parts.path)
        if self.status is not None:
            return self.status, b"{}"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        answer = self._answer(parts.path.partition("/mlflow/")[2], query)
        if answer is None:
            return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
        return 200, json.dumps(answer).encode()

    def _answer(self, path: str, query: dict[str, str]) -> Any:
        if path == "experiments/get" and (one := query["experiment_id"]) in self.experiments:
            return {"experiment": {"experiment_id": one, "tags": _tags(self.experiments[one])}}
        if path == "registered-models/get" and (name := self._model(query["name"])) is not None:
            return {"registered_model": {"name": name, "tags": _tags(self.models[name])}}
        if path == "runs/get" and (run := query["run_id"]) in self.runs:
            info = {"run_id": run, "experiment_id": self.runs[run], "artifact_uri": f"s3://b/{run}"}
            return {"run": {"info": info}}
        if path.startswith("traces/") and (trace := unquote(path[7:])) in self.traces:
            place = {"mlflow_experiment": {"experiment_id": self.traces[trace]}}
            return {"trace": {"trace_info": {"trace_id": trace, "trace_location": place}}}
        return None

    def _model(self, asked: str) -> str | None:
        if asked in self.models:
            return asked
        same = [name for name in self.models if name.casefold() == asked.casefold()]
        return same[0] if self.loose and same else None


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
