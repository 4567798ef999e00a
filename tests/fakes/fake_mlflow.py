"""An MLflow that holds what a test says, over real HTTP in a thread, for the command line."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway.routes.compare import UNKNOWN_PATH

PAGE = 2
PROMPT = "mlflow.prompt.is_prompt"


class _Server(ThreadingHTTPServer):
    # ``check`` asks eight things at once; of a shorter queue the kernel drops the last, which try
    # again after one second, three, seven, and are given up after ten.
    request_queue_size = 128


@dataclass
class FakeMlflow:
    """``runs``: id -> (experiment id, user), oldest first. ``own``: answers below /access."""

    experiments: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    own: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    version: str = "3.17.2"

    def __enter__(self) -> FakeMlflow:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                fake.seen.append((self.command, self.path, dict(self.headers), body))
                status, answer = fake.answer(self.command, self.path, body)
                raw = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                if self.command == "OPTIONS" and status == 200:
                    self.send_header("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_one

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if (method, parts.path) in self.own:
            return self.own[method, parts.path]
        if method == "OPTIONS":
            return (404, "") if parts.path == UNKNOWN_PATH else (200, "")
        if parts.path in ("/health", "/version"):
            return 200, "OK" if parts.path == "/health" else self.version
        name = parts.path.removeprefix("/api/2.0/mlflow/").replace("/", "_").replace("-", "_")
        found = getattr(self, f"_{name}", None)
        answer = found(query, body) if found else None
        return (404, {"message": "no such thing"}) if answer is None else (200, answer)

    def _experiment(self, one: str) -> dict[str, Any]:
        name, tags = self.experiments[one]
        return {"experiment_id": one, "name": name, "tags": _tags(tags)}

    def _experiments_get(self, query: dict[str, str], _: Any) -> Any:
        one = query["experiment_id"]
        return {"experiment": self._experiment(one)} if one in self.experiments else None

    def _experiments_get_by_name(self, query: dict[str, str], _: Any) -> Any:
        wanted = query["experiment_name"]
        ids = [one for one, (name, _) in self.experiments.items() if name == wanted]
        return {"experiment": self._experiment(ids[0])} if ids else None

    def _experiments_search(self, query: dict[str, str], _: Any) -> Any:
        assert query["view_type"] == "ALL"
        return _page("experiments", [self._experiment(one) for one in self.experiments], query)

    def _registered_models_get(self, query: dict[str, str], _: Any) -> Any:
        name = query["name"]
        if name not in self.models:
            return None
        return {"registered_model": {"name": name, "tags": _tags(self.models[name])}}

    def _registered_models_search(self, query: dict[str, str], _: Any) -> Any:
        prompts = PROMPT in query.get("filter", "")
        rows = [
            {"name": name, "tags": _tags(tags)}
            for name, tags in self.models.items()
            if (PROMPT in tags) == prompts
        ]
        return _page("registered_models", rows, query)

    def _model_versions_search(self, query: dict[str, str], _: Any) -> Any:
        match = re.fullmatch(r"name = (['\"])(.*)\1", query["filter"])
        assert match is not None
        runs = self.versions.get(match[2], [])
        rows = [{"version": str(i + 1), "run_id": run} for i, run in enumerate(runs)]
        return _page("model_versions", rows[::-1], query)

    def _runs_get(self, query: dict[str, str], _: Any) -> Any:
        run = self.runs.get(query["run_id"])
        return None if run is None else {"run": self._run(query["run_id"])}

    def _runs_search(self, _: dict[str, str], body: Any) -> Any:
        found = [r for r, (exp, _) in self.runs.items() if exp in body["experiment_ids"]]
        return {"runs": [self._run(run) for run in found[: body["max_results"]]]}

    def _run(self, run: str) -> dict[str, Any]:
        experiment, user = self.runs[run]
        info = {"run_id": run, "experiment_id": experiment}
        return {"info": info, "data": {"tags": _tags({"mlflow.user": user})}}


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _page(name: str, rows: list[Any], query: dict[str, str]) -> dict[str, Any]:
    start = int(query.get("page_token", "0"))
    answer: dict[str, Any] = {name: rows[start : start + PAGE]}
    if start + PAGE < len(rows):
        answer["next_page_token"] = str(start + PAGE)
    return answer
