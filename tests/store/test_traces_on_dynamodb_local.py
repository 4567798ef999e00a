"""Traces on DynamoDB Local: writers at once, and the stock client, server and OTLP endpoint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dynamodb_store.provision import create_table
from tests.stack import Process, http, start_mlflow
from tests.store.conftest import local_store
from tests.store.spans import info, span
from tests.store.test_contract_traces import feedback

pytestmark = pytest.mark.heavy


def test_writers_of_one_trace_lose_nothing(dynamodb_local: Any) -> None:
    local = local_store(dynamodb_local)

    def write(writer: int) -> None:
        if writer % 2 == 0:
            local.start_trace(info("tr-1", 500, tags={f"w{writer}": "x"}))
        for number in range(3):
            first = 10 * writer + 2 + number
            local.log_spans("0", [span("tr-1", first, 1, start=600 - first), span("tr-2", first)])
            local.set_trace_tag("tr-2", f"t{first}", "v")
        local.create_assessment(feedback("tr-1", f"f{writer}", writer))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    one, two = local.batch_get_traces(["tr-1", "tr-2"])
    assert len(one.data.spans) == len(two.data.spans) == 12
    assert len([key for key in two.info.tags if key.startswith("t")]) == 12
    assert {"w0", "w2"} <= set(one.info.tags)
    assert sorted(each.value for each in one.info.assessments) == list(range(4))
    # Each trace is listed once, where its time says, with what it has.
    listed = local.search_traces(locations=["0"], filter_string="span.name = 'span 34'")[0]
    assert sorted(each.trace_id for each in listed) == ["tr-1", "tr-2"]
    assert len(local.search_traces(locations=["0"])[0]) == 2
    assert local.delete_traces("0", max_timestamp_millis=10**12) == 2
    assert local.search_traces(locations=["0"]) == ([], None)


@pytest.fixture(scope="module")
def server(dynamodb_local: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("server")
    uri = dynamodb_local.store_url("mlflow-traces")
    create_table(uri)
    process = start_mlflow(folder, backend=uri)
    process.wait_for("/health")
    yield process
    process.stop()


CLIENT = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("traced ☃")

@mlflow.trace(span_type="LLM", attributes={"model": "gpt"})
def answer(question):
    return question[::-1]

@mlflow.trace
def agent(question):
    mlflow.update_current_trace(tags={"color": "red"}, metadata={"mlflow.trace.session": "s1"})
    if "fail" in question:
        raise ValueError(question)
    return [answer(question), answer(question + "?")]

agent("why ☃")
try:
    agent("fail")
except ValueError:
    pass
mlflow.flush_trace_async_logging()
traces = mlflow.search_traces(return_type="list", include_spans=True)
assert [t.info.state for t in traces] == ["ERROR", "OK"], traces
good = traces[1]
assert [s.name for s in good.data.spans] == ["agent", "answer", "answer"], good.data.spans
assert good.data.spans[0].outputs == ["☃ yhw", "?☃ yhw"]
assert good.info.tags["color"] == "red"
assert good.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE", good.info.tags
found = mlflow.search_traces(filter_string="span.type = 'LLM'", return_type="list")
assert [t.info.trace_id for t in found] == [good.info.trace_id]
feedback = mlflow.log_feedback(trace_id=good.info.trace_id, name="good", value=True)
mlflow.update_assessment(good.info.trace_id, feedback.assessment_id, mlflow.entities.Feedback(
    name="good", value=False, rationale="no"))
found = mlflow.search_traces(filter_string="feedback.good = 'false'", return_type="list")
assert [t.info.assessments[0].rationale for t in found] == ["no"]
mlflow.set_trace_tag(good.info.trace_id, "later", "1")
assert mlflow.get_trace(good.info.trace_id).info.tags["later"] == "1"
with mlflow.start_run() as run:
    agent("in a run")
mlflow.flush_trace_async_logging()
found = mlflow.search_traces(run_id=run.info.run_id, return_type="list")
assert len(found) == 1
client = mlflow.MlflowClient()
experiment_id = good.info.experiment_id
assert client.delete_traces(experiment_id, trace_ids=[traces[0].info.trace_id]) == 1
print(good.info.trace_id)
"""


def test_the_stock_client_on_a_stock_server(server: Process, tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    done = subprocess.run(
        [sys.executable, str(script), server.url], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    trace_id = done.stdout.split()[-1]
    # What MLflow's page asks for when a trace is opened.
    page = http("GET", f"{server.url}/ajax-api/2.0/mlflow/get-trace-artifact?request_id={trace_id}")
    assert page.status == 200
    assert "agent" in str(page.body)
