"""Archival with the stock server and client on DynamoDB Local, run by ``mlgate store``."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store.provision import create_table
from tests.stack import http, start_mlflow
from tests.store.conftest import local_store
from tests.store.spans import span

pytestmark = pytest.mark.heavy


def test_writers_and_readers_while_a_pass_runs(dynamodb_local: Any, tmp_path: Path) -> None:
    """Whatever a client was told to be written is here or in the archive, whenever it looks."""
    local = local_store(dynamodb_local)
    ids = [f"tr-{number}" for number in range(12)]
    written: dict[str, set[str]] = {trace_id: set() for trace_id in ids}
    for trace_id in ids:
        local.log_spans("0", [span(trace_id, 1)])
        written[trace_id].add("span 1")

    def write(writer: int) -> None:
        for number in range(4):
            for trace_id in ids[writer::2]:
                try:
                    local.log_spans("0", [span(trace_id, 10 * writer + 2 + number, 1)])
                except MlflowException as refused:
                    assert refused.error_code == "INVALID_STATE"  # noqa: PT017 - most are not
                    continue
                written[trace_id].add(f"span {10 * writer + 2 + number}")

    def read(_: int) -> None:
        for _ in range(4):
            for trace_id in ids:
                known = set(written[trace_id])
                assert known <= {one.name for one in local.get_trace(trace_id).data.spans}

    def archive(_: int) -> int:
        return sum(
            local.archive_traces(
                resolved_trace_archival_location=tmp_path.as_uri(), broader_retention="1d"
            )
            for _ in range(3)
        )

    # Threads of our own: the table's are for its calls.
    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(write, 0), threads.submit(write, 1), threads.submit(read, 0)]
        archived = archive(0)
        for one in work:
            one.result()
    archived += archive(0)
    assert archived == len(ids)
    for trace in local.batch_get_traces(ids):
        assert {one.name for one in trace.data.spans} == written[trace.info.trace_id]
    assert len(list(tmp_path.rglob("traces.pb"))) == len(ids)
    assert local.delete_traces("0", max_timestamp_millis=10**12) == len(ids)
    assert list(tmp_path.rglob("traces.pb")) == []


CLIENT = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("traced ☃")
client = mlflow.MlflowClient()
experiment = mlflow.get_experiment_by_name("traced ☃")
assert experiment.effective_trace_archival_retention == "30d", experiment
if sys.argv[2] == "log":
    @mlflow.trace(span_type="LLM")
    def answer(question):
        return question[::-1]

    @mlflow.trace
    def agent(question):
        return answer(question)

    for number in range(3):
        agent(f"why ☃ {number}")
    mlflow.flush_trace_async_logging()
    client.set_experiment_tag(experiment.experiment_id, "mlflow.trace.archiveNow", "{}")
traces = mlflow.search_traces(return_type="list", include_spans=True)
assert len(traces) == 3, traces
for trace in traces:
    assert [s.name for s in trace.data.spans] == ["agent", "answer"], trace.data.spans
    assert trace.data.spans[0].outputs.endswith("☃ yhw"), trace.data.spans[0].outputs
    where = trace.info.tags["mlflow.trace.spansLocation"]
    assert where == ("TRACKING_STORE" if sys.argv[2] == "log" else "ARCHIVE_REPO"), where
    assert mlflow.get_trace(trace.info.trace_id).data.spans[1].span_type == "LLM"
if sys.argv[2] == "read":
    assert "mlflow.trace.archiveNow" not in client.get_experiment(experiment.experiment_id).tags
    found = mlflow.search_traces(filter_string="span.type = 'LLM'", return_type="list")
    assert len(found) == 3
    gone = traces[0].info.trace_id
    assert client.delete_traces(experiment.experiment_id, trace_ids=[gone]) == 1
print(traces[-1].info.trace_id)
"""


def test_the_stock_server_reads_what_mlgate_archives(dynamodb_local: Any, tmp_path: Path) -> None:
    uri = dynamodb_local.store_url("mlflow-archival")
    create_table(uri)
    archive = tmp_path / "archive"
    config = tmp_path / "archival.yaml"
    settings = {"enabled": True, "location": archive.as_uri(), "retention": "30d"}
    config.write_text(json.dumps({"trace_archival": settings}))  # JSON is YAML
    client = tmp_path / "client.py"
    client.write_text(CLIENT)
    command = [
        sys.executable, "-m", "gateway.cli.main",
        "store", "archive-traces", uri, "--config", str(config),
    ]  # fmt: skip
    assert "No MLflow has used" in _run(command, fails=True).stderr
    server = start_mlflow(tmp_path, "--trace-archival-config", str(config), backend=uri)
    try:
        server.wait_for("/health")
        told = http("GET", f"{server.url}/api/3.0/mlflow/server-info").json()
        assert told["trace_archival_enabled"] is True, told
        script = [sys.executable, str(client), server.url]
        _run([*script, "log"])
        assert _run(command).stdout == "archived 3 traces\n"
        assert _run(command).stdout == "archived 0 traces\n"
        trace_id = _run([*script, "read"]).stdout.split()[-1]
        assert len(list(archive.rglob("traces.pb"))) == 2  # the client deleted one
        # What MLflow's page asks for when a trace is opened.
        path = f"/ajax-api/2.0/mlflow/get-trace-artifact?request_id={trace_id}"
        page = http("GET", f"{server.url}{path}")
        assert page.status == 200
        assert "answer" in str(page.body)
    finally:
        server.stop()


def _run(command: list[str], *, fails: bool = False) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    return done
