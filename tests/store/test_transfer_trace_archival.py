"""Import and export of archived traces: what stays of them in the table, not their files."""

from __future__ import annotations

from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from dynamodb_store.entities.trace import EMPTIED, WHOLLY
from tests.store.both import Both
from tests.store.spans import info, span
from tests.store.test_contract_traces import search
from tests.store.transferred import Copies, contents, copies

__all__ = ["copies"]


def test_archived_traces_there_and_back(copies: Copies, tmp_path: Path) -> None:
    archive = {
        "resolved_trace_archival_location": (tmp_path / "archive").as_uri(),
        "broader_retention": "1d",
    }
    for trace_id in ("by-sql", "by-us"):
        copies.store.start_trace(info(trace_id, tags={"k": "v"}))
        spans = [span(trace_id, 1, name="root", a="☃"), span(trace_id, 2, 1, kind="LLM")]
        copies.store.log_spans("0", spans)
        if trace_id == "by-sql":
            assert copies.store.archive_traces(**archive) == 1
    copies.there()
    both = copies.both()
    ours = both.sides[1].store
    assert ours._trace("by-sql").head[EMPTIED] == WHOLLY
    both.batch_get_traces(["by-sql", "by-us"])
    both.log_spans("0", [span("by-sql", 3, 1)])
    for one in ("span.name = 'root'", "span.type = 'LLM'", "span.content LIKE '%☃%'"):
        search(both, "0", filter_string=one)
    # Each archives the same file at the same place.
    assert both.archive_traces(**archive) == 1
    both.batch_get_traces(["by-sql", "by-us"])
    copies.and_back()
    assert contents(copies.path, "spans") == contents(copies.back, "spans")
    back = SqlAlchemyStore(f"sqlite:///{copies.back}", "s3://bucket/root")
    again = Both(back, ours)
    again.batch_get_traces(["by-sql", "by-us"])
    assert again.sides[0].store.archive_traces(**archive) == 0
    back.engine.dispose()
