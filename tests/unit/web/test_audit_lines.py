"""Audit lines are whole, or counted as lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.audit.event import Trail, event_of, result_of
from gateway.audit.sinks import NoSink, StreamSink, open_sink
from gateway.metrics import CLASSES, Metrics
from gateway.model import Decision, Kind, Principal, Reason, Resource


class FakeFile:
    """Takes ``most`` bytes a write; -1: as many as come; 0: none."""

    def __init__(self, most: int = -1, error: Exception | None = None) -> None:
        self.most, self.error = most, error
        self.data = b""
        self.closed = False

    def write(self, data: Any) -> int:
        if self.error is not None:
            raise self.error
        taken = bytes(data) if self.most < 0 else bytes(data[: self.most])
        self.data += taken
        return len(taken)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def sink(file: Any) -> tuple[StreamSink, list[int]]:
    lost: list[int] = []
    return StreamSink(file, lambda: lost.append(1), owned=True), lost


@pytest.mark.parametrize("most", [-1, 1, 7])
async def test_lines_are_whole_however_little_a_write_takes(most: int) -> None:
    file = FakeFile(most)
    made, lost = sink(file)
    events = [{"a": i, "text": "é\n"} for i in range(3)]
    for event in events:
        made.write(event)
    await asyncio.sleep(0)
    assert [json.loads(line) for line in file.data.splitlines()] == events
    assert lost == []


@pytest.mark.parametrize(
    "file", [FakeFile(0), FakeFile(error=OSError("full")), FakeFile(error=ValueError("closed"))],
    ids=["takes nothing", "disk full", "closed"],
)  # fmt: skip
async def test_lines_that_cannot_be_written_are_counted(file: FakeFile) -> None:
    made, lost = sink(file)
    made.write({"a": 1})
    made.write({"a": 2})
    await asyncio.sleep(0)
    assert len(lost) == 2


async def test_closing_writes_what_is_left() -> None:
    file = FakeFile()
    made, _ = sink(file)
    made.write({"a": 1})
    made.close()
    assert file.data == b'{"a":1}\n'
    assert file.closed


async def test_a_file_is_appended_to(tmp_path: Any) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"{}\n")
    made = open_sink(str(path), lambda: None)
    made.write({"a": 1})
    made.close()
    assert path.read_bytes() == b'{}\n{"a":1}\n'
    assert isinstance(open_sink("off", lambda: None), NoSink)


def test_an_event_says_who_did_what_to_what_and_why() -> None:
    trail = Trail("id-1", 12.0, 0.0, method="GET", path="/api", call="runs/get", status=403)
    trail.principal = Principal("user:a", method="jwt:corp")
    resource = Resource(Kind.EXPERIMENT, "7")
    trail.decision = Decision(False, Reason.NO_GRANT, "runs/get", (resource,), resource)
    event = event_of(trail, 1.234)
    assert event["principal"] == "user:a"
    assert event["resources"] == ["experiment:7"]
    assert (event["result"], event["reason"], event["status"]) == ("deny", "no_grant", 403)
    assert event["ms"] == 1.23


@pytest.mark.parametrize(
    ("status", "result"), [(401, "deny"), (403, "deny"), (400, "refuse"), (404, "refuse")]
)
def test_without_a_decision_the_status_says_what_it_was(status: int, result: str) -> None:
    assert result_of(Trail("id", 0, 0, status=status)) == result


def test_who_is_sent_to_sign_in_got_nothing() -> None:
    sent = Trail("id", 0, 0, status=303, error="unauthenticated")
    assert result_of(sent) == "deny"
    assert result_of(Trail("id", 0, 0, status=303)) == "allow", "a form that was obeyed"


def test_every_reason_and_class_is_counted_from_the_start() -> None:
    text = Metrics().text().decode()
    for reason in Reason:
        assert f'mlgate_decisions_total{{reason="{reason}"}} 0.0' in text
    for name in CLASSES:
        assert f'mlgate_answers_total{{class="{name}"}} 0.0' in text


@pytest.mark.parametrize(
    ("status", "name"), [(200, "2xx"), (499, "4xx"), (599, "5xx"), (0, "5xx"), (999, "5xx")]
)
def test_a_status_is_counted_in_its_class(status: int, name: str) -> None:
    metrics = Metrics()
    metrics.request("allow", status, Reason.ADMIN, 0.01)
    assert f'mlgate_answers_total{{class="{name}"}} 1.0' in metrics.text().decode()


def test_workers_are_added_up(tmp_path: Any) -> None:
    one = Metrics(tmp_path)
    one.request("allow", 200, Reason.ADMIN, 0.01)
    one.share()
    next(tmp_path.glob("*.json")).rename(tmp_path / "another.json")
    one.request("allow", 200, Reason.ADMIN, 100.0)
    text = one.text().decode()
    assert 'mlgate_requests_total{result="allow"} 3.0' in text
    assert 'mlgate_request_seconds_bucket{le="+Inf"} 3.0' in text
    assert 'mlgate_request_seconds_bucket{le="60.0"} 2.0' in text
