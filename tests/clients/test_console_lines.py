"""The console's lines for the shell, Python, curl and R, as a person copies them.

Java's are in test_java.py. R is not run: what its client sends is written down here from the
source of release 3.10.1, the newest one on CRAN, and sent to MLflow itself and through the gateway.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.clients.console import new_token
from tests.e2e.world import API, name_of, new_experiment
from tests.stack import Stack, http

pytestmark = pytest.mark.e2e


def shell(text: str) -> str:
    """What a shell prints that knows of MLflow only what the text says."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLGATE_"))}
    done = subprocess.run(
        ["bash", "-c", text], env=clean, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lines_for_curl(stack: Stack) -> None:
    mine, foreign = new_experiment(stack, "alice"), new_experiment(stack, "carol")
    copied = new_token(stack, "alice")
    lines = copied.lines["curl"].replace("max_results=10", "max_results=1000")
    assert lines != copied.lines["curl"]
    found = {one["experiment_id"] for one in json.loads(shell(lines))["experiments"]}
    assert mine in found
    assert foreign not in found


SEES = "print([e.experiment_id for e in mlflow.search_experiments()])"


@pytest.mark.heavy
def test_the_lines_for_the_shell_and_for_python(stack: Stack) -> None:
    mine, foreign = new_experiment(stack, "alice"), new_experiment(stack, "carol")
    lines = new_token(stack, "alice").lines
    program = f"{sys.executable} - <<'EOF'\n{{}}\n{SEES}\nEOF"
    for text in (
        lines["Shell (for any client)"] + "\n" + program.format("import mlflow"),
        program.format(lines["Python"]),
    ):
        said = shell(text)
        assert f"'{mine}'" in said
        assert f"'{foreign}'" not in said


def test_the_lines_for_r_set_the_variables_that_its_client_reads(stack: Stack) -> None:
    copied = new_token(stack, "alice")
    lines = copied.lines["R"]
    assert dict(re.findall(r'(\w+) = "([^"]*)"', lines)) == {
        "MLFLOW_TRACKING_URI": stack.url,
        "MLFLOW_TRACKING_TOKEN": copied.token,
    }
    assert lines.startswith("Sys.setenv(")
    assert lines.endswith(")\nlibrary(mlflow)")


# --- R ------------------------------------------------------------------------------------------

R_HEADERS = {
    "Accept": "application/json, text/xml, application/xml, */*",
    "User-Agent": "mlflow-r-client/3.10.1",
}


class Day:
    """What the R client sends in a day: each number and truth value as text, no nulls."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._token = token
        self.statuses: list[tuple[str, int]] = []

    def send(self, method: str, call: str, body: Any = None, **query: str) -> Any:
        path = f"{self._url}{API}/{call}" + (f"?{urlencode(query)}" if query else "")
        answer = http(method, path, token=self._token, json_body=body, headers=R_HEADERS)
        self.statuses.append((f"{method} {call}", answer.status))
        return answer.json() if answer.status == 200 else {}

    def spend(self) -> None:
        """Every call of the client once."""
        experiment = self._experiment()
        run = self._run(experiment)
        self._registry(run)
        self.send("POST", "runs/delete", {"run_id": run})
        self.send("POST", "runs/restore", {"run_id": run})
        self.send("POST", "experiments/delete", {"experiment_id": experiment})
        self.send("POST", "experiments/restore", {"experiment_id": experiment})

    def _experiment(self) -> str:
        name = name_of("r")
        made = self.send("POST", "experiments/create", {"name": name})
        experiment = str(made["experiment_id"])
        tag = {"experiment_id": experiment, "key": "team", "value": "r"}
        self.send("POST", "experiments/set-experiment-tag", tag)
        self.send("GET", "experiments/get", experiment_id=experiment)
        self.send("GET", "experiments/get-by-name", experiment_name=name)
        search = {"view_type": "ACTIVE_ONLY", "max_results": "1000", "order_by": []}
        self.send("POST", "experiments/search", search)
        new_name = {"experiment_id": experiment, "new_name": name_of("r")}
        self.send("POST", "experiments/update", new_name)
        return experiment

    def _run(self, experiment: str) -> str:
        tags = [{"key": "mlflow.user", "value": "root"}, {"key": "a", "value": "b"}]
        start = {"user_id": "root", "start_time": "1732525200123", "tags": tags}
        made = self.send("POST", "runs/create", {"experiment_id": experiment, **start})
        run = str(made["run"]["info"]["run_uuid"])
        both = {"run_uuid": run, "run_id": run}
        for value in ("0.5", "NaN", "Infinity", "-Infinity"):
            at = {"key": "loss", "value": value, "timestamp": "1732525200123", "step": "0"}
            self.send("POST", "runs/log-metric", {**both, **at})
        self.send("POST", "runs/log-parameter", {**both, "key": "depth", "value": "3"})
        self.send("POST", "runs/set-tag", {**both, "key": "kind", "value": "x"})
        self.send("POST", "runs/delete-tag", {"run_id": run, "key": "kind"})
        metrics = [{"key": "m", "value": "1", "step": "2", "timestamp": "1732525200123"}]
        params = [{"key": "p", "value": "1"}]
        self.send("POST", "runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})
        model = {"run_id": run, "artifact_path": "m", "flavors": {}, "utc_time_created": "x"}
        self.send("POST", "runs/log-model", {"run_id": run, "model_json": json.dumps(model)})
        self.send("GET", "runs/get", **both)
        history = {"metric_key": "loss", "max_results": "25000"}
        self.send("GET", "metrics/get-history", **both, **history)
        search = {"experiment_ids": [experiment], "run_view_type": "ACTIVE_ONLY", "order_by": []}
        self.send("POST", "runs/search", search)
        self.send("GET", "artifacts/list", **both)
        ended = {"status": "FINISHED", "end_time": "1732525200124"}
        self.send("POST", "runs/update", {**both, **ended})
        return run

    def _registry(self, run: str) -> None:
        name, renamed = name_of("r-model"), name_of("r-model")
        self.send("POST", "registered-models/create", {"name": name})
        self.send("POST", "registered-models/rename", {"name": name, "new_name": renamed})
        text = {"name": renamed, "description": "from R"}
        self.send("PATCH", "registered-models/update", text)
        self.send("GET", "registered-models/get", name=renamed)
        self.send("POST", "registered-models/search", {"max_results": "100", "order_by": []})
        source = {"source": f"runs:/{run}/m", "run_id": run}
        self.send("POST", "model-versions/create", {"name": renamed, **source})
        version = {"name": renamed, "version": "1"}
        self.send("GET", "model-versions/get", **version)
        self.send("GET", "registered-models/get-latest-versions", name=renamed, stages="None")
        self.send("PATCH", "model-versions/update", {**version, "description": "x"})
        self.send("POST", "model-versions/set-tag", {**version, "key": "k", "value": "v"})
        stage = {"stage": "Staging", "archive_existing_versions": "FALSE"}
        self.send("POST", "model-versions/transition-stage", {**version, **stage})
        self.send("DELETE", "model-versions/delete", version)
        self.send("DELETE", "registered-models/delete", {"name": renamed})


BROKEN = {
    # MLflow 3 has this search under GET only.
    "POST registered-models/search": (405, 404),
    # R's FALSE as text is no truth value.
    "POST model-versions/transition-stage": (400, 400),
}
"""What the R client cannot do on MLflow 3, and the statuses without and with the gateway."""


def test_what_the_r_client_sends_is_answered_as_mlflow_answers_it(stack: Stack) -> None:
    direct, through = Day(stack.mlflow.url, None), Day(stack.url, stack.tokens["alice"])
    for day in (direct, through):
        day.spend()
    both = zip(direct.statuses, through.statuses, strict=True)
    assert {call: (d, t) for (call, d), (_, t) in both if (d, t) != (200, 200)} == BROKEN
