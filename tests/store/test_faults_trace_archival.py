"""Archival cut short anywhere, and others in between: every span is here or in the archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store import keys
from dynamodb_store.entities.trace import EMPTIED, PARTLY, WHOLLY
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb, client_error, lose_answers, throttle
from tests.store.spans import info, span
from tests.store.test_faults_traces import NOISE, left, listed, names, other

__all__ = ["other"]

QUIET = ["D", "S#"]
"""What stays of an archived trace in its partition: the head, and the columns of its spans."""


def archived_by(store: Any, folder: Path) -> int:
    """One pass."""
    place = (folder / "archive").as_uri()
    archived: int = store.archive_traces(
        resolved_trace_archival_location=place, broader_retention="1d"
    )
    return archived


@pytest.fixture
def archive(dynamo: DynamoDbTrackingStore, tmp_path: Path) -> Callable[[], int]:
    return lambda: archived_by(dynamo, tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(path.parts[-3] for path in folder.rglob("traces.pb"))


def partition(dynamo: Any, trace_id: str = "tr-1") -> list[str]:
    """The kinds of items in a trace's partition."""
    return [item["sk"][:2] for item in dynamo.table.query_all(keys.trace(trace_id))]


def large(dynamo: Any) -> list[str]:
    """A trace whose spans do not fit into one transaction; the names of its spans."""
    dynamo.log_spans("0", [span("tr-1", 1)])
    for number in range(2, 5):
        dynamo.log_spans("0", [span("tr-1", number, 1, text=NOISE * 8 + str(number))])
    assert len(partition(dynamo)) > 10
    return [f"span {number}" for number in range(1, 5)]


def whole(dynamo: Any) -> list[str]:
    """The spans that a reader gets, with their attributes."""
    trace = dynamo.get_trace("tr-1")
    assert all(len(one.attributes["text"]) > 100 for one in trace.data.spans[1:])
    return names(trace)


def once(fake: FakeDynamoDb, wanted: str, work: Callable[[], Any]) -> None:
    """Do something just before the next call of this operation."""

    def fault(operation: str, parameters: dict[str, Any]) -> None:
        if operation == wanted and fault in fake.faults:
            fake.faults.remove(fault)
            work()

    fake.faults.append(fault)


def test_a_crash_at_any_write_and_the_next_pass(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, tmp_path: Path
) -> None:
    spans = large(dynamo)
    states = []
    for survives in range(20):
        writes = 0

        def crash(operation: str, parameters: dict[str, Any], survives: int = survives) -> None:
            nonlocal writes
            writes += operation in WRITES
            if writes > survives:
                raise KeyboardInterrupt

        fake.faults[:] = [crash]
        try:
            archive()
        except KeyboardInterrupt:
            fake.faults.clear()
            states.append(dynamo._trace("tr-1").head.get(EMPTIED))
            assert whole(dynamo) == spans
            assert listed(dynamo, filter_string="span.name = 'span 3'") == ["tr-1"]
            continue
        break
    fake.faults.clear()
    # Before the trace is archived, in the middle of the rest; a pass does no more than is left.
    assert states[0] is None
    assert states[1:] == [PARTLY] * (len(states) - 1)
    assert len(states) >= 2
    assert dynamo._trace("tr-1").head[EMPTIED] == WHOLLY
    assert partition(dynamo) == QUIET
    assert len(left(fake)) == len(QUIET) + 2  # and the two entries in lists
    assert whole(dynamo) == spans
    assert fake.largest_item < 400_000
    assert archive() == 0
    assert dynamo.delete_traces("0", trace_ids=["tr-1"]) == 1
    assert left(fake) == []
    assert files(tmp_path) == []


def test_half_archived_and_deleted(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, tmp_path: Path
) -> None:
    large(dynamo)
    once(fake, "transact_write_items", lambda: once(fake, "transact_write_items", _crash))
    with pytest.raises(KeyboardInterrupt):
        archive()
    assert len(partition(dynamo)) > len(QUIET)
    # The trace is deleted and comes again while the next pass is at the rest of the old one.
    again: list[Any] = []

    def replaced() -> None:
        writer = DynamoDbTrackingStore(type(dynamo.table)(fake._client, dynamo.table.uri), "s3://b")
        writer.table.parallel = lambda work, some: [work(one) for one in some]
        assert writer.delete_traces("0", trace_ids=["tr-1"]) == 1
        again.append(large(writer))

    once(fake, "transact_write_items", replaced)
    assert archive() == 0
    assert whole(dynamo) == again[0]
    assert archive() == 1
    assert whole(dynamo) == again[0]
    assert partition(dynamo) == QUIET


def _crash() -> None:
    raise KeyboardInterrupt


def test_lost_answers_and_throttling(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, tmp_path: Path
) -> None:
    spans = large(dynamo)
    for number in range(2, 5):
        dynamo.log_spans("0", [span(f"tr-{number}", 1)])
    lost: list[str] = []
    fake.faults[:] = [lose_answers(fake, lost)]
    assert archive() == 4
    assert lost
    fake.faults.clear()
    assert whole(dynamo) == spans
    assert partition(dynamo) == partition(dynamo, "tr-3") == QUIET
    dynamo.log_spans("0", [span("tr-9", 1)])
    fake.faults[:] = [throttle(8)]
    assert archive() == 1
    fake.faults.clear()
    assert files(tmp_path) == ["tr-1", "tr-2", "tr-3", "tr-4", "tr-9"]
    assert fake.weak_reads == []


def test_spans_that_come_meanwhile_are_kept_and_archived_by_the_next_pass(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, other: Any, tmp_path: Path
) -> None:
    dynamo.log_spans("0", [span("tr-1", 1), span("tr-1", 2, 1)])
    once(fake, "transact_write_items", lambda: other.log_spans("0", [span("tr-1", 3, 1)]))
    assert archive() == 0
    assert files(tmp_path) == []
    assert names(dynamo.get_trace("tr-1")) == ["span 1", "span 2", "span 3"]
    # The same span with other contents, too: neither number nor ids of spans tell.
    newer = span("tr-1", 3, 1, newer="yes")
    once(fake, "transact_write_items", lambda: other.log_spans("0", [newer]))
    assert archive() == 0
    assert archive() == 1
    trace = dynamo.get_trace("tr-1")
    assert names(trace) == ["span 1", "span 2", "span 3"]
    assert trace.data.spans[2].attributes["newer"] == "yes"
    assert files(tmp_path) == ["tr-1"]
    assert partition(dynamo) == QUIET


def test_what_is_said_about_the_trace_meanwhile_is_kept(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, other: Any
) -> None:
    dynamo.log_spans("0", [span("tr-1", 1)])
    once(fake, "transact_write_items", lambda: other.set_trace_tag("tr-1", "k", "v"))
    assert archive() == 1
    dynamo.log_spans("0", [span("tr-2", 1)])
    once(fake, "transact_write_items", lambda: other.start_trace(info("tr-2", 7, tags={"k": "w"})))
    assert archive() == 1
    for trace_id, tag in (("tr-1", "v"), ("tr-2", "w")):
        trace = dynamo.get_trace(trace_id)
        assert names(trace) == ["span 1"]
        assert trace.info.tags["k"] == tag
        assert trace.info.tags["mlflow.trace.spansLocation"] == "ARCHIVE_REPO"
    assert listed(dynamo) == ["tr-1", "tr-2"]
    bad = [span("tr-3", 1), span("tr-3", 2, 1, otel_trace="another")]
    dynamo.log_spans("0", bad)
    once(fake, "transact_write_items", lambda: other.set_trace_tag("tr-3", "k", "v"))
    assert archive() == 0
    marked = dynamo.get_trace_info("tr-3").tags
    assert (marked["k"], marked["mlflow.trace.archivalFailure"]) == ("v", "MALFORMED_TRACE")
    # What is logged while the mark is made may have mended it.
    dynamo.delete_trace_tag("tr-3", "mlflow.trace.archivalFailure")
    once(fake, "transact_write_items", lambda: other.log_spans("0", [span("tr-3", 2, 1)]))
    assert archive() == 0
    assert archive() == 1


def test_a_trace_that_is_deleted_meanwhile(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, other: Any, tmp_path: Path
) -> None:
    dynamo.log_spans("0", [span("tr-1", 1)])
    once(fake, "transact_write_items", lambda: other.delete_traces("0", trace_ids=["tr-1"]))
    assert archive() == 0
    assert left(fake) == []
    assert files(tmp_path) == []
    # Archived while it is being deleted: the file goes, too.
    dynamo.log_spans("0", [span("tr-1", 1)])
    once(fake, "batch_write_item", lambda: archived_by(other, tmp_path))
    assert dynamo.delete_traces("0", trace_ids=["tr-1"]) == 1
    assert left(fake) == []
    assert files(tmp_path) == []


def test_whoever_began_to_log_before_is_told(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, other: Any, tmp_path: Path
) -> None:
    dynamo.log_spans("0", [span("tr-1", 1)])
    once(fake, "transact_write_items", lambda: archived_by(other, tmp_path))
    with pytest.raises(MlflowException, match="archived traces: 'tr-1'") as refused:
        dynamo.log_spans("0", [span("tr-1", 2, 1, text=NOISE)])
    assert refused.value.error_code == "INVALID_STATE"
    assert names(dynamo.get_trace("tr-1")) == ["span 1"]
    assert archive() == 0
    assert dynamo.delete_traces("0", trace_ids=["tr-1"]) == 1
    assert left(fake) == []


def test_a_reader_of_a_trace_that_is_archived_while_it_reads(
    dynamo: Any, fake: FakeDynamoDb, other: Any, tmp_path: Path
) -> None:
    """A Query is no snapshot: the head as it was before, the spans as they are after."""
    for read in ("get_trace", "batch_get_traces"):
        trace_id = f"tr-{read}"
        dynamo.log_spans("0", [span(trace_id, 1), span(trace_id, 2, 1)])

        def torn(operation: str, parameters: dict[str, Any]) -> Any:
            if operation != "query":
                return None
            fake.faults.clear()
            before = fake.real(operation, parameters)
            assert archived_by(other, tmp_path) == 1
            after = fake.real(operation, parameters)
            return {**after, "Items": [before["Items"][0], *after["Items"][1:]]}

        fake.faults[:] = [torn]
        answer = getattr(dynamo, read)([trace_id] if read == "batch_get_traces" else trace_id)
        trace = answer[0] if isinstance(answer, list) else answer
        assert names(trace) == ["span 1", "span 2"]
        assert trace.info.tags["mlflow.trace.spansLocation"] == "ARCHIVE_REPO"


def test_nobody_knows_whether_it_was_written(
    dynamo: Any, fake: FakeDynamoDb, archive: Any, tmp_path: Path
) -> None:
    """The file stays then, as the trace may be in need of it."""
    dynamo.log_spans("0", [span("tr-1", 1)])

    def refused() -> None:
        raise client_error("ValidationException", "TransactWriteItems")

    once(fake, "transact_write_items", refused)
    assert archive() == 0
    assert names(dynamo.get_trace("tr-1")) == ["span 1"]
    assert files(tmp_path) == ["tr-1"]
    assert archive() == 1
    assert names(dynamo.get_trace("tr-1")) == ["span 1"]


def test_an_age_before_the_beginning_of_numbers(dynamo: Any) -> None:
    dynamo.log_spans("0", [span("tr-1", 1)])
    place = {"resolved_trace_archival_location": "file:///dev/null"}
    assert dynamo.archive_traces(**place, broader_retention="9" * 31 + "d") == 0
