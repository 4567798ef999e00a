"""Import and export of label schemas, review queues, issues and MCP servers."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import IssueReference
from mlflow.entities.issue import Issue, IssueSeverity, IssueStatus
from mlflow.entities.mcp_access_endpoint import MCPAccessEndpoint
from mlflow.entities.mcp_server import MCPServer, MCPStatus, MCPTool
from mlflow.entities.mcp_server_version import ConnectOptionSettings, MCPServerVersion
from mlflow.genai.label_schemas.label_schemas import (
    InputCategorical,
    InputNumeric,
    InputPassFail,
    InputText,
    LabelSchema,
)
from mlflow.genai.review_queues import ReviewQueue, ReviewQueueItem
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from dynamodb_store import schema
from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.transfer import reviews
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Refused
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb
from tests.store.both import PLAIN, Both
from tests.store.conftest import MOTO, Pauses, sqlite_store
from tests.store.spans import info

ODD = "naïve / # ☃ = ~"
A, B, EMPTY, GONE = "com.example/aa", "com.example/bb", "com.example/empty", "com.example/gone"
ICONS = [{"src": "https://93.184.216.34/i.png", "theme": "dark", "sizes": ["1x1"]}]
COUNTS = {
    "label_schemas": 6, "review_queues": 4, "review_queue_users": 4,
    "review_queue_label_schemas": 3, "review_queue_items": 33, "issues": 7, "mcp_servers": 4,
    "mcp_server_tags": 3, "mcp_server_versions": 6, "mcp_server_version_tags": 3,
    "mcp_server_aliases": 2, "mcp_access_endpoints": 3,
}  # fmt: skip
JSON = ("icons", "tools", "connect_options")
KINDS = (
    LabelSchema, ReviewQueue, ReviewQueueItem, Issue, MCPServer, MCPServerVersion,
    MCPAccessEndpoint,
)  # fmt: skip


def exactly(side: Any, entity: Any) -> dict[str, Any]:
    """All fields, ids and times too."""
    return {one.name: side.plain(getattr(entity, one.name)) for one in fields(entity)}


def as_text(side: Any, value: Any) -> str:
    return repr(value)


def fill_reviews(store: Any) -> None:
    """Questions of each kind; queues with items in each state; in a deleted experiment too."""
    store.create_experiment("one")
    store.create_experiment("deleted")
    store.list_label_schemas("1")
    inputs = (
        InputText(7),
        InputPassFail("yes", ODD),
        InputCategorical(["x", ODD], multi_select=True),
        InputNumeric(0.1, 2**53 + 1),
        InputNumeric(None, float("inf")),
    )
    ids = [
        store.create_label_schema(
            "1", name=f"{ODD}{number}", type=kind, input=one, instruction=text, enable_comment=True
        ).schema_id
        for number, (one, kind, text) in enumerate(
            zip(inputs, ("feedback", "expectation") * 3, (None, "", "i" * 1000) * 2, strict=False)
        )
    ]
    store.update_label_schema(ids[0], name="renamed")
    store.create_label_schema("2", name="q", type="feedback", input=InputText())
    custom = store.create_review_queue(
        "1", name=f"Queue {ODD}", queue_type="custom", created_by="me", users=["B", "a"],
        schema_ids=[ids[1], ids[0], ids[4]],
    ).queue_id  # fmt: skip
    store.delete_label_schema(ids[4])
    store.create_review_queue("1", name="empty", queue_type="custom")
    store.create_review_queue("2", name="of deleted", queue_type="custom", users=["é"])
    mine = store.get_or_create_user_queue("1", user="Somebody@example.com").queue_id
    store.add_items_to_review_queue(custom, item_ids=[f"t/{number} ☃" for number in range(30)])
    store.add_items_to_review_queue(mine, item_ids=["t/1 ☃", "tr-1", "tr-2"])
    for number, status in ((3, "complete"), (5, "declined"), (7, "complete"), (7, "pending")):
        store.set_review_queue_item_status(
            custom,
            item_id=f"t/{number} ☃",
            status=status,
            completed_by=None if status == "pending" else "Me",
        )
    store.delete_experiment("2")


def fill_issues(store: Any) -> None:
    """Issues of each severity, of runs and without, with traces."""
    run = store.create_run("1", "u", 5, [], "r").info.run_id
    ids = [
        store.create_issue(
            "1", f"{ODD} {severity}", "text " * 1000, severity=severity, source_run_id=run,
            root_causes=[ODD, ""], categories=["c"], created_by="me",
        ).issue_id
        for severity in IssueSeverity
    ]  # fmt: skip
    store.update_issue(ids[0], IssueStatus.RESOLVED, severity=IssueSeverity.HIGH)
    ids += [store.create_issue("1", "plain", "", root_causes=[]).issue_id for _ in range(2)]
    store.create_issue("0", "", "elsewhere")
    for trace_id, some in (("tr-1", ids[:3]), ("tr-2", ids[2:])):
        store.start_trace(info(trace_id, 7, "1"))
        for issue_id in some:
            reference = IssueReference(issue_id=issue_id, issue_name="n")
            reference.trace_id = trace_id
            store.create_assessment(reference)


def fill_mcp(store: Any) -> None:
    """Servers with versions in each state, aliases, endpoints; contents beyond one item."""
    store.create_mcp_server(A, "about", ICONS, "me")
    store.create_mcp_server(EMPTY)
    store.set_mcp_server_tag(EMPTY, "k", "v")
    for key, value in ((ODD, ""), ("k", "v" * 5000)):
        store.set_mcp_server_tag(A, key, value)
    noise = random.Random(1).randbytes(schema.PART_BYTES).hex()
    tool = MCPTool(
        "t", "title", noise, {"type": "object"}, icons=[{"src": "https://93.184.216.34/t.png"}]
    )
    about = {"description": ODD, "z": 1.5, "a": None, "_meta": {ODD: [2**60, True, "☃"]}}
    store.create_mcp_server_version(
        {"name": A, "version": "1.10.0", **about}, source="https://source", tools=[tool],
        status=MCPStatus.ACTIVE, created_by="me",
        connect_options={"o": ConnectOptionSettings(hidden=True)},
    )  # fmt: skip
    for number, status in (("2.0.0-alpha.2+x", None), ("1.9.0", MCPStatus.ACTIVE), ("3.0.0", None)):
        store.create_mcp_server_version({"name": A, "version": number}, status=status, tools=[])
        store.set_mcp_server_version_tag(A, number, ODD, "")
    store.update_mcp_server_version(A, "1.9.0", MCPStatus.DEPRECATED, last_updated_by="u")
    store.create_mcp_server_version({"name": B, "version": "1.0.0"})
    store.create_mcp_server_version({"name": GONE, "version": "1.0.0"})
    store.delete_mcp_server_version(GONE, "1.0.0")
    store.set_mcp_server_alias(A, "stable ☃", "1.9.0")
    store.set_mcp_server_alias(B, "stable", "1.0.0")
    store.create_mcp_access_endpoint(
        A, "https://93.184.216.34/1", server_version="1.9.0", created_by="me"
    )
    store.create_mcp_access_endpoint(A, "https://93.184.216.34/2", server_alias="latest")
    store.create_mcp_access_endpoint(A, "https://93.184.216.34/3", server_alias="stable ☃")
    store.delete_mcp_server_version(A, "3.0.0")


def contents(path: Path) -> dict[str, list[Any]]:
    """All rows; SQLAlchemy writes None in two ways and reads them as one."""
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        found = {}
        for name in COUNTS:
            rows = [dict(row) for row in database.execute(f"select * from {name}")]
            for row in rows:
                row |= {column: None for column in JSON if row.get(column) == "null"}
            found[name] = sorted(rows, key=repr)
    database.close()
    return found


class World:
    """A filled database, an empty one, an empty table."""

    def __init__(self, filled: Path, folder: Path, table: Table) -> None:
        self.path, self.back = folder / "mlflow.db", folder / "target.db"
        self.path.write_bytes(filled.read_bytes())
        self.back.write_bytes(filled.with_name("empty.db").read_bytes())
        self.store = SqlAlchemyStore(f"sqlite:///{self.path}", "s3://bucket/root")
        self.table = table
        self.source, self.target = Sql(f"sqlite:///{self.path}"), Sql(f"sqlite:///{self.back}")

    def change(self, statement: str) -> None:
        with sqlite3.connect(self.path) as database:
            database.execute(statement)
        database.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was filled at another time than that of the tests."""
    folder = tmp_path_factory.mktemp("filled")
    store = sqlite_store(folder)
    path = folder / "mlflow.db"
    (folder / "empty.db").write_bytes(path.read_bytes())
    with sqlite3.connect(folder / "empty.db") as database:
        database.execute("delete from experiments")
    database.close()
    ticks = itertools.count(1_600_000_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlflow.utils.time.time", SimpleNamespace(time=lambda: next(ticks) / 1000))
        for fill in (fill_reviews, fill_issues, fill_mcp):
            fill(store)
    store.engine.dispose()
    return path


@pytest.fixture
def world(
    filled: Path, fake: FakeDynamoDb, pauses: Pauses, tmp_path: Path, ticking: None
) -> Iterator[World]:
    table = Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)
    made = World(filled, tmp_path, table)
    yield made
    made.store.engine.dispose()
    made.source.close()
    made.target.close()


@pytest.fixture
def both(world: World, monkeypatch: pytest.MonkeyPatch) -> Both:
    """MLflow's store, and ours on what was imported of it; all fields are compared."""
    for kind in KINDS:
        monkeypatch.setitem(PLAIN, kind, exactly)
    for kind in (InputText, InputPassFail, InputCategorical, InputNumeric):
        monkeypatch.setitem(PLAIN, kind, as_text)
    monkeypatch.setitem(PLAIN, MCPTool, lambda side, tool: tool.to_dict())
    monkeypatch.setitem(PLAIN, ConnectOptionSettings, lambda side, value: value.hidden)
    assert import_sql(world.source, world.table, str).differences == []
    both = Both(world.store, DynamoDbTrackingStore(world.table, "s3://bucket/root"))
    for side in both.sides:
        side.runs = [run.info.run_id for run in world.store.search_runs(["1"], "", 3)]
    return both


def test_there_and_back(world: World, fake: FakeDynamoDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews.ReviewItems, "page", 7)
    outcome = import_sql(world.source, world.table, str)
    assert outcome.differences == []
    assert {name: outcome.source.counts[name] for name in COUNTS} == COUNTS
    assert export_sql(world.table, world.target, str).differences == []
    assert contents(world.back) == contents(world.path)
    fake.calls.clear()
    assert not import_sql(world.source, world.table, str).wrote
    assert not export_sql(world.table, world.target, str).wrote
    assert not WRITES & set(fake.calls)


@pytest.mark.heavy
def test_an_import_cut_short_after_any_page_goes_on(world: World) -> None:
    def cut(kind: str) -> Callable[[str], None]:
        def say(text: str) -> None:
            if text.startswith(f"writing {kind}"):
                raise KeyboardInterrupt

        return say

    for kind in ("review queues", "items of review", "MCP servers"):
        with pytest.raises(KeyboardInterrupt):
            import_sql(world.source, world.table, cut(kind))
    assert import_sql(world.source, world.table, str).differences == []
    for kind in ("review queues", "items of review", "MCP servers"):
        with pytest.raises(KeyboardInterrupt):
            export_sql(world.table, world.target, cut(kind))
    assert export_sql(world.table, world.target, str).differences == []
    assert contents(world.back) == contents(world.path)


def test_all_reads_of_reviews_are_the_same_and_go_on(both: Both) -> None:
    schemas, queues = both.list_label_schemas("1"), both.list_review_queues("1")
    assert (len(schemas), len(queues)) == (5, 3)
    for one in schemas:
        both.get_label_schema(one["schema_id"])
        both.get_label_schema_by_name("1", one["name"])
    for one in queues:
        both.get_review_queue(one["queue_id"])
        both.get_review_queue_by_name("1", name=one["name"].upper())
        both.pages("list_review_queue_items", one["queue_id"], max_results=8)
        both.list_review_queue_items(one["queue_id"], status="complete")
    for user in ("a", "B", "me", "somebody@example.com"):
        both.list_review_queues("1", user=user)
    both.list_review_queues("1", item_id="t/1 ☃")

    drop = {"last_update_time_ms", "creation_time_ms", "updated_at", "completed_time_ms"}
    for kind in (LabelSchema, ReviewQueue, ReviewQueueItem):
        PLAIN[kind] = lambda side, one: {
            name: value for name, value in exactly(side, one).items() if name not in drop
        }
    custom = queues[-1]["queue_id"]
    both.update_label_schema(schemas[0]["schema_id"], name="other", instruction="i")
    both.create_label_schema("1", name="renamed", type="feedback", input=InputText())
    both.delete_label_schema(schemas[-1]["schema_id"])
    both.update_review_queue(custom, name="new", users=["c"])
    both.create_review_queue("1", name="NEW", queue_type="custom")
    both.add_items_to_review_queue(custom, item_ids=["t/2 ☃", "new"])
    both.set_review_queue_item_status(custom, item_id="t/3 ☃", status="pending")
    both.remove_items_from_review_queue(custom, item_ids=["t/4 ☃"])
    both.list_review_queue_items(custom)
    both.delete_traces("1", trace_ids=["tr-1"])
    for one in queues:
        both.list_review_queue_items(one["queue_id"])
        both.delete_review_queue(one["queue_id"])
    both.list_review_queues("1")
    both.restore_experiment("2")
    both.list_review_queues("2")
    both.get_label_schema_by_name("2", "q")


def test_all_reads_of_issues_are_the_same_and_go_on(both: Both) -> None:
    issues = both.search_issues("1")
    assert len(issues) == 6
    for one in issues:
        both.get_issue(one["issue_id"])
    both.pages("search_issues", "1", max_results=3)
    both.pages("search_issues", max_results=3)
    both.search_issues("1", "status = 'resolved'")
    both.search_issues("1", f"source_run_id = '{both.sides[0].runs[0]}'")
    counted = both.search_issues("1", include_trace_count=True)
    assert sum(one["trace_count"] for one in counted) == 7
    both.delete_traces("1", trace_ids=["tr-2"])
    both.search_issues("1", include_trace_count=True)

    def untimed(side: Any, one: Issue) -> dict[str, Any]:
        return exactly(side, one) | {"last_updated_timestamp": None}

    PLAIN[Issue] = untimed
    both.update_issue(issues[-1]["issue_id"], severity=IssueSeverity.HIGH, name="n")
    both.search_issues("1")
    for side in both.sides:
        side.store.delete_run(side.runs[0])
        side.store._hard_delete_run(side.runs[0])
    both.search_issues("1")


def test_all_reads_of_mcp_servers_are_the_same_and_go_on(both: Both) -> None:
    for name in (A, B, EMPTY, GONE):
        both.get_mcp_server(name)
        both.get_latest_mcp_server_version(name)
        for one in both.search_mcp_server_versions(name):
            both.get_mcp_server_version(name, one["version"])
    both.search_mcp_servers()
    both.search_mcp_servers("status = 'active'")
    both.search_mcp_server_versions(A, order_by=["version ASC"])
    for alias in ("stable ☃", "latest", "none"):
        both.get_mcp_server_version_by_alias(A, alias)
    for one in both.search_mcp_access_endpoints():
        both.get_mcp_access_endpoint(A, one["id"])

    def untimed(side: Any, one: Any) -> dict[str, Any]:
        return exactly(side, one) | {"last_updated_timestamp": 0, "creation_timestamp": 0}

    for kind in (MCPServer, MCPServerVersion):
        PLAIN[kind] = untimed
    both.create_mcp_server_version({"name": A, "version": "3.0.0"})
    both.create_mcp_server_version({"name": A, "version": "4.0.0"}, status=MCPStatus.ACTIVE)
    both.update_mcp_server_version(B, "1.0.0", MCPStatus.ACTIVE, tools=[MCPTool("new")])
    both.get_mcp_server(A)
    both.get_mcp_server_version(B, "1.0.0")
    both.delete_mcp_server(EMPTY)
    both.delete_mcp_server(GONE)
    both.search_mcp_servers()


HOMELESS = {
    "label_schemas: experiment_id 77 does not exist": "update label_schemas set experiment_id = 77 "
    "where name = 'q'",
    "label_schemas: MLflow cannot read the input of": "update label_schemas set input_type = 'new' "
    "where name = 'q'",
    "review_queues: experiment_id 77 does not exist": "update review_queues set experiment_id = 77",
    "review_queues: name_key of": "update review_queues set name_key = 'x' where name = 'empty'",
    "review_queue_items: queue_id rq does not exist": "update review_queue_items "
    "set queue_id = 'rq' where item_id = 'tr-1'",
    "review_queue_users: 1 rows belong to nothing": "insert into review_queue_users "
    "values ('x', 'y')",
    "issues: experiment_id 77 does not exist": "update issues set experiment_id = 77",
    "issues: severity fatal is not known": "update issues set severity = 'fatal'",
    "issues: categories of iss-": "update issues set categories = 'a, b'",
    "mcp_server_versions: rows in workspaces": "update mcp_server_versions set workspace = 'team'",
    "mcp_server_versions: one of com.example/bb is no version number": "update "
    "mcp_server_versions set version = 'one' where name = 'com.example/bb'",
    "mcp_server_version_tags: version 9.9.9 of com.example/aa does not": "update "
    "mcp_server_version_tags set version = '9.9.9' where version = '1.9.0'",
    "mcp_access_endpoints: 1 rows belong to nothing": "update mcp_access_endpoints "
    "set server_name = 'x.y/z' where url = 'https://93.184.216.34/1'",
}


def test_what_cannot_be_carried_is_listed(world: World, fake: FakeDynamoDb) -> None:
    before = world.path.read_bytes()
    for sentence, statement in HOMELESS.items():
        world.change(statement)
        fake.calls.clear()
        with pytest.raises(Refused, match="nothing was written") as refused:
            import_sql(world.source, world.table, str)
        assert any(one.startswith(sentence) for one in refused.value.problems), (
            sentence,
            refused.value.problems,
        )
        assert not WRITES & set(fake.calls)
        world.source.close()
        world.path.write_bytes(before)


def test_what_older_versions_wrote_says_the_same(world: World) -> None:
    """A question without the field that came later; an empty text for no list."""
    world.change("update label_schemas set input_config = '{\"options\":  [\"x\"]}' "
                 "where input_type = 'categorical'")  # fmt: skip
    world.change(
        "update issues set categories = '', root_causes = '[\"a\",1]' where name = 'plain'"
    )
    assert import_sql(world.source, world.table, str).differences == []
    assert export_sql(world.table, world.target, str).differences == []
    ours = DynamoDbTrackingStore(world.table, "s3://bucket/root")
    both = Both(world.store, ours)
    both.search_issues("1")
    both.list_label_schemas("1")
