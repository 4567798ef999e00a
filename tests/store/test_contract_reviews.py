"""Label schemas, review queues and issues: MLflow's SQL store and ours answer the same."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from mlflow.entities import IssueReference, TraceInfo, TraceLocation, TraceState
from mlflow.entities.issue import Issue, IssueSeverity, IssueStatus
from mlflow.genai.label_schemas.label_schemas import (
    InputCategorical,
    InputNumeric,
    InputPassFail,
    InputText,
    InputTextList,
    LabelSchema,
)
from mlflow.genai.review_queues import ReviewQueue, ReviewQueueItem

from tests.store.both import PLAIN, Both, Ref, RunRef

ODD = "naïve / # ☃ = ~"
TEXT = InputText()


def _plain(side: Any, entity: Any) -> dict[str, Any]:
    """All fields; of the times only whether they are set, and whether there was a change."""
    values = {field.name: getattr(entity, field.name) for field in fields(entity)}
    times = {name: value for name, value in values.items() if name.endswith(TIMES)}
    plain = {
        name: "some" if name in times and value else _without_ids(side.plain(value))
        for name, value in values.items()
    }
    if "schema_ids" in plain:
        plain["schema_ids"] = sorted(plain["schema_ids"])  # by id, and ids are random
    created = next(value for name, value in times.items() if name.startswith("creat"))
    updated = next(value for name, value in times.items() if "update" in name)
    return plain | {"changed": updated != created}


def _without_ids(value: Any) -> Any:
    """Ids that no scenario asks for by name differ."""
    return RANDOM.sub("<id>", value) if isinstance(value, str) else value


RANDOM = re.compile("(ls-|rq-|iss-)[0-9a-f]{32}")
TIMES = ("_ms", "_at", "_timestamp")


def _issue(side: Any, issue: Issue) -> dict[str, Any]:
    plain = _plain(side, issue)
    run_id = issue.source_run_id
    return plain | {"source_run_id": side.runs.index(run_id) if run_id in side.runs else run_id}


PLAIN[LabelSchema] = _plain
PLAIN[ReviewQueue] = _plain
PLAIN[ReviewQueueItem] = _plain
PLAIN[Issue] = _issue
for _input in (InputCategorical, InputNumeric, InputPassFail, InputText):
    PLAIN[_input] = lambda side, value: repr(value)


@pytest.fixture
def both(sql: Any, ours: Any, ticking: None) -> Both:
    return Both(sql, ours)


@pytest.fixture
def stage(both: Both) -> Both:
    """Experiment 1 is there, 2 is deleted."""
    both.create_experiment("one")
    both.create_experiment("two")
    both.delete_experiment("2")
    return both


def schema(both: Both, name: str, **given: Any) -> Ref:
    given = {"name": name, "type": "feedback", "input": TEXT} | given
    return both.remember(name, "create_label_schema", "1", id_of="schema_id", **given)


def queue(both: Both, name: str, **given: Any) -> Ref:
    given = {"name": name, "queue_type": "custom"} | given
    return both.remember(name, "create_review_queue", "1", id_of="queue_id", **given)


def default_schema(both: Both) -> None:
    """Remember the id of experiment 1's default question, which reading the list makes."""
    for side in both.sides:
        listed = side.store.list_label_schemas("1")
        side.made["default"] = next(one.schema_id for one in listed if one.is_default)


def test_label_schemas(stage: Both) -> None:
    both = stage
    default_schema(both)
    a = schema(both, ODD, instruction="", enable_comment=True)
    b = schema(both, "b", type="expectation", input=InputPassFail("yes", "no"))
    c = schema(both, "c", input=InputCategorical(["x", ODD], multi_select=True), instruction=ODD)
    d = schema(both, "d", input=InputNumeric(0.1, 2**53 + 1))
    schema(both, "x" * 250, input=InputNumeric(None, float("inf")))
    for one in (a, b, c, d, Ref("none"), ""):
        both.get_label_schema(one)
    for name in (ODD, "b", "B", "Feedback", "none", "", "x" * 250):
        both.get_label_schema_by_name("1", name)
        both.get_label_schema_by_name("0", name)
    assert len(both.list_label_schemas("1")) == 6
    assert [len(page) for page in both.pages("list_label_schemas", "1", max_results=4)] == [4, 2]
    both.pages("list_label_schemas", "1", max_results=6)
    both.update_label_schema(a)
    both.update_label_schema(a, name="new", instruction="i", enable_comment=False)
    both.get_label_schema_by_name("1", ODD)
    both.update_label_schema(b, input=InputPassFail("ja", "nein"))
    both.update_label_schema(c, name="c", input=InputCategorical(["y"], multi_select=True))
    schema(both, ODD)
    both.delete_label_schema(b)
    both.delete_label_schema(b)
    both.delete_label_schema(Ref("default"))
    schema(both, "b")
    both.list_label_schemas("1")


REFUSED: list[tuple[Any, ...]] = [
    ("create_label_schema", "2", {"name": "n", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "77", {"name": "n", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "x", {"name": "n", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "1", {"name": "taken", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "1", {"name": "", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "1", {"name": "x" * 251, "type": "feedback", "input": TEXT}),
    ("create_label_schema", "1", {"name": " feedBACK", "type": "feedback", "input": TEXT}),
    ("create_label_schema", "1", {"name": "n", "type": "other", "input": TEXT}),
    ("create_label_schema", "1", {"name": "n", "type": "feedback", "input": None}),
    ("create_label_schema", "1", {"name": "n", "type": "feedback", "input": InputTextList()}),
    ("get_label_schema_by_name", "2", "taken"),
    ("get_label_schema_by_name", "x", "taken"),
    ("list_label_schemas", "2"),
    ("list_label_schemas", "77"),
    ("list_label_schemas", "1", 0),
    ("list_label_schemas", "1", 50001),
    ("list_label_schemas", "1", 5, "no token"),
    ("update_label_schema", Ref("none"), {"name": "n"}),
    ("update_label_schema", Ref("other"), {"name": "taken"}),
    ("update_label_schema", Ref("other"), {"name": "feedback"}),
    ("update_label_schema", Ref("other"), {"input": InputNumeric()}),
    ("update_label_schema", Ref("other"), {"instruction": "x" * 1001}),
    ("update_label_schema", Ref("default"), {"name": "n"}),
    ("delete_label_schema", Ref("default")),
    ("delete_label_schema", Ref("none")),
    ("create_review_queue", "2", {"name": "n", "queue_type": "custom"}),
    ("create_review_queue", "x", {"name": "n", "queue_type": "custom"}),
    ("create_review_queue", "1", {"name": "A QUEUE", "queue_type": "custom"}),
    ("create_review_queue", "1", {"name": " ", "queue_type": "custom"}),
    ("create_review_queue", "1", {"name": "Default", "queue_type": "custom"}),
    ("create_review_queue", "1", {"name": "n", "queue_type": "other"}),
    ("create_review_queue", "1", {"name": "n", "queue_type": "user", "users": ["m"]}),
    ("create_review_queue", "1", {"name": "n", "queue_type": "custom", "schema_ids": ["x"]}),
    (
        "create_review_queue",
        "0",
        {"name": "n", "queue_type": "custom", "schema_ids": [Ref("taken")]},
    ),
    (
        "create_review_queue",
        "1",
        {"name": "n", "queue_type": "custom", "users": [str(i) for i in range(11)]},
    ),
    ("get_or_create_user_queue", "1", {"user": "a queue"}),
    ("get_or_create_user_queue", "1", {"user": " "}),
    ("get_or_create_user_queue", "1", {"user": None}),
    ("get_or_create_user_queue", "2", {"user": "u"}),
    ("get_review_queue", Ref("none")),
    ("get_review_queue_by_name", "1", {"name": "none"}),
    ("get_review_queue_by_name", "2", {"name": "a queue"}),
    ("list_review_queues", "2"),
    ("list_review_queues", "1", {"max_results": 0}),
    ("list_review_queues", "1", {"page_token": "no token"}),
    ("list_review_queues", "1", {"user": 3}),
    ("update_review_queue", Ref("none"), {"name": "n"}),
    ("update_review_queue", Ref("u"), {"name": "n"}),
    ("update_review_queue", Ref("u")),
    ("update_review_queue", Ref("a queue"), {"name": "Other Queue"}),
    ("update_review_queue", Ref("a queue"), {"name": ""}),
    ("update_review_queue", Ref("a queue"), {"new_owner": ""}),
    ("update_review_queue", Ref("a queue"), {"users": [""]}),
    ("update_review_queue", Ref("a queue"), {"schema_ids": ["none"]}),
    ("update_review_queue", Ref("other queue"), {"schema_ids": []}),
    ("delete_review_queue", Ref("none")),
    ("add_items_to_review_queue", Ref("none"), {"item_ids": ["t"]}),
    ("add_items_to_review_queue", Ref("a queue"), {"item_ids": []}),
    ("add_items_to_review_queue", Ref("a queue"), {"item_ids": ["t", ""]}),
    ("add_items_to_review_queue", Ref("a queue"), {"item_ids": ["x" * 51]}),
    ("add_items_to_review_queue", Ref("a queue"), {"item_ids": ["t"], "item_type": "span"}),
    ("remove_items_from_review_queue", Ref("none"), {"item_ids": ["t"]}),
    ("remove_items_from_review_queue", Ref("a queue"), {"item_ids": []}),
    ("remove_items_from_review_queue", Ref("a queue"), {"item_ids": ["not there"]}),
    ("list_review_queue_items", Ref("none")),
    ("list_review_queue_items", Ref("a queue"), {"status": "other"}),
    ("list_review_queue_items", Ref("a queue"), {"max_results": 0}),
    ("list_review_queue_items", Ref("a queue"), {"page_token": "no token"}),
    (
        "set_review_queue_item_status",
        Ref("other queue"),
        {"item_id": "none", "status": "complete", "completed_by": "u"},
    ),
    (
        "set_review_queue_item_status",
        Ref("none"),
        {"item_id": "t", "status": "complete", "completed_by": "u"},
    ),
    ("set_review_queue_item_status", Ref("other queue"), {"item_id": "t", "status": "declined"}),
    ("set_review_queue_item_status", Ref("other queue"), {"item_id": "t", "status": "other"}),
    (
        "set_review_queue_item_status",
        Ref("other queue"),
        {"item_id": "t", "status": "pending", "completed_by": "u"},
    ),
    (
        "set_review_queue_item_status",
        Ref("other queue"),
        {"item_id": "t", "status": "complete", "completed_by": "u" * 251},
    ),
    ("create_issue", "2", "n", "d"),
    ("create_issue", "77", "n", "d"),
    ("create_issue", "x", "n", "d"),
    ("create_issue", "1", None, "d"),
    ("create_issue", "1", "n", None),
    ("create_issue", "1", "n", "d", {"source_run_id": "0" * 32}),
    ("get_issue", "none"),
    ("update_issue", "none", IssueStatus.RESOLVED),
    ("search_issues", "x"),
    ("search_issues", "77"),
    ("search_issues", "1", None, 0),
    ("search_issues", "1", None, 50001),
    ("search_issues", "1", None, 5, "no token"),
    ("search_issues", "1", "name = 'x'"),
    ("search_issues", "1", "status LIKE 'x'"),
    ("search_issues", "1", "status = 'x' OR status = 'y'"),
    ("search_issues", "1", "status"),
]


def test_refusals(stage: Both) -> None:
    both = stage
    default_schema(both)
    taken = schema(both, "taken")
    schema(both, "other", input=InputPassFail("a", "b"))
    queue(both, "a queue", schema_ids=[taken])
    queue(both, "other queue")
    both.add_items_to_review_queue(Ref("other queue"), item_ids=["t"])
    both.remember("u", "get_or_create_user_queue", "1", user="u", id_of="queue_id")
    for method, *args in REFUSED:
        kwargs = args.pop() if isinstance(args[-1], dict) else {}
        getattr(both, method)(*args, **kwargs)


def test_queues(stage: Both) -> None:
    both = stage
    default_schema(both)
    a, b = schema(both, "a"), schema(both, "b")
    first = queue(both, f" {ODD} ", users=["U1 ", "u2", "u1"], schema_ids=[b, a], created_by="Me")
    second = queue(both, "x" * 250, users=None, created_by=None)
    both.remember("u", "get_or_create_user_queue", "1", user=" U1", id_of="queue_id")
    both.get_or_create_user_queue("1", user="u1")
    both.get_or_create_user_queue("1", user="default")
    both.create_review_queue("1", name="u1", queue_type="custom")
    for one in (first, second, Ref("u")):
        both.get_review_queue(one)
    for name in (ODD, ODD.upper(), "x" * 250, "u1", "U1", " U1"):
        both.get_review_queue_by_name("1", name=name)
    assert len(both.list_review_queues("1")) == 4
    assert [len(page) for page in both.pages("list_review_queues", "1", max_results=3)] == [3, 1]
    assert len(both.pages("list_review_queues", "1", user="U1", max_results=1)) == 2
    both.list_review_queues("1", user="nobody")
    both.list_review_queues("0")
    both.update_review_queue(first)
    both.update_review_queue(first, users=["z", "Y"], schema_ids=[a], new_owner=" Them ")
    both.update_review_queue(first, name=ODD.upper(), users=[])
    both.get_review_queue_by_name("1", name=ODD)
    both.update_review_queue(first, name="renamed", schema_ids=[])
    both.get_review_queue_by_name("1", name=ODD)
    queue(both, ODD)
    both.delete_label_schema(a)
    both.update_review_queue(first, schema_ids=[a])
    both.delete_review_queue(second)
    both.delete_review_queue(second)
    both.list_review_queues("1")


def test_items_of_queues(stage: Both) -> None:
    both = stage
    first, second = queue(both, "first"), queue(both, "second")
    assert len(both.add_items_to_review_queue(first, item_ids=["b", " a ", "b", ODD])) == 3
    both.add_items_to_review_queue(first, item_ids=["a", "new", "b"], item_type="trace")
    both.add_items_to_review_queue(second, item_ids=["a"])
    for item in ("a", "b", "none", ""):
        both.list_review_queues("1", item_id=item)
    done = {"item_id": "a", "status": "complete"}
    both.set_review_queue_item_status(first, completed_by=" Someone", **done)
    both.set_review_queue_item_status(first, completed_by="other", **done)
    both.set_review_queue_item_status(first, item_id=ODD, status="declined", completed_by="x")
    both.set_review_queue_item_status(first, item_id=ODD, status="complete", completed_by="y")
    for status in (None, "pending", "complete", "declined"):
        both.list_review_queue_items(first, status=status)
    both.set_review_queue_item_status(first, item_id=ODD, status="pending")
    both.add_items_to_review_queue(first, item_ids=["a"])
    assert len(both.pages("list_review_queue_items", first, max_results=1)) == 4
    assert len(both.pages("list_review_queue_items", first, max_results=1, status="pending")) == 3
    both.update_review_queue(first, schema_ids=[])
    both.remove_items_from_review_queue(first, item_ids=["a", "none", " b"])
    both.list_review_queue_items(first)
    both.list_review_queues("1", item_id="a")
    both.set_review_queue_item_status(first, completed_by="u", **done)
    both.remove_items_from_review_queue(first, item_ids=[ODD, "new"])
    both.update_review_queue(first, schema_ids=[])
    both.add_items_to_review_queue(first, item_ids=[f"t{number:03d}" for number in range(130)])
    assert [len(one) for one in both.pages("list_review_queue_items", first, max_results=60)] == [
        60,
        60,
        10,
    ]
    both.remove_items_from_review_queue(first, item_ids=[f"t{number:03d}" for number in range(99)])
    both.list_review_queue_items(first)
    for trace_id in ("a", "t100", "t101"):
        both.start_trace(trace(trace_id))
    both.add_items_to_review_queue(second, item_ids=["t100"])
    both.delete_traces("0", trace_ids=["t101"])
    both.delete_traces("1", trace_ids=["a", "t100", "t110"])
    assert len(both.list_review_queue_items(first)) == 30
    both.list_review_queue_items(second)
    both.delete_review_queue(first)
    both.list_review_queue_items(first)
    both.list_review_queues("1", item_id="t110")


def trace(trace_id: str) -> TraceInfo:
    where = TraceLocation.from_experiment_id("1")
    return TraceInfo(trace_id, where, request_time=1, state=TraceState.OK)


def issue(both: Both, name: str, **given: Any) -> Ref:
    return both.remember(name, "create_issue", "1", name, "some text", id_of="issue_id", **given)


def test_issues(stage: Both) -> None:
    both = stage
    both.create_run("1", "u", 1, [], "r")
    both.create_run("1", "u", 1, [], "s")
    run, other = RunRef(0), RunRef(1)
    a = issue(both, ODD, source_run_id=run, root_causes=[ODD, ""], categories=[], created_by="me")
    b = issue(both, "b", severity=IssueSeverity.HIGH, status=IssueStatus.RESOLVED)
    issue(both, "c", severity=IssueSeverity.LOW, categories=["x"], source_run_id=other)
    issue(both, "d", severity=IssueSeverity.NOT_AN_ISSUE, root_causes=["y"])
    issue(both, "e", severity=IssueSeverity.LOW, source_run_id=run)
    both.create_issue("0", "", "elsewhere")
    for one in (a, b):
        both.get_issue(one)
    assert len(both.search_issues("1")) == 5
    assert len(both.search_issues()) == 6
    both.search_issues("0")
    assert [len(page) for page in both.pages("search_issues", "1", max_results=2)] == [2, 2, 1]
    assert len(both.pages("search_issues", max_results=1)) == 6
    for wanted in (
        "status = 'pending'",
        "status != 'pending'",
        "status = 'PENDING'",
        "status = 'resolved' AND status != 'x'",
        "source_run_id = 'none'",
        "source_run_id != 'none'",
        "",
    ):
        both.pages("search_issues", "1", wanted, max_results=2)
    both.update_issue(a)
    both.update_issue(a, IssueStatus.REJECTED, "renamed", "", IssueSeverity.MEDIUM)
    both.update_issue(a, severity=IssueSeverity.MEDIUM)
    both.update_issue(b, severity=IssueSeverity.LOW, description="longer " * 10000)
    both.search_issues("1")
    both.get_issue(a)
    both.delete_run(run)
    both.get_issue(a)
    for side in both.sides:
        side.store._hard_delete_run(side.runs[0])
    both.search_issues("1")
    both.delete_experiment("1")
    both.search_issues("1")
    both.get_issue(b)


def test_issues_by_their_traces(stage: Both) -> None:
    both = stage
    names = ("a", "b", "c", "d")
    for number, name in enumerate(names):
        issue(both, name, severity=IssueSeverity.HIGH if number == 3 else None)
    for trace_id in ("t", "u"):
        both.start_trace(trace(trace_id))
    for side in both.sides:
        for trace_id, name in (("t", "a"), ("u", "a"), ("u", "a"), ("t", "b"), ("u", "d")):
            one = IssueReference(issue_id=side.made[name], issue_name=name)
            one.trace_id = trace_id
            one.assessment_id = (
                f"{trace_id} {name} {len(side.store.get_trace_info('u').assessments)}"
            )
            side.store.create_assessment(one)
    assert [one["trace_count"] for one in both.search_issues("1", include_trace_count=True)] == [
        1,
        2,
        1,
        0,
    ]
    both.search_issues(None, "status = 'resolved'", include_trace_count=True)
    both.pages("search_issues", "1", max_results=3, include_trace_count=True)
    both.delete_assessment("t", "t b 2")
    both.delete_traces("1", trace_ids=["u"])
    counts = [one["trace_count"] for one in both.search_issues("1", include_trace_count=True)]
    assert counts == [0, 1, 0, 0]


def test_what_goes_with_an_experiment(stage: Both) -> None:
    both = stage
    asked, kept = schema(both, "s"), queue(both, "q")
    both.add_items_to_review_queue(kept, item_ids=["t", "u"])
    found = issue(both, "i", severity=IssueSeverity.LOW)
    both.create_issue("0", "other", "text")
    both.delete_experiment("1")
    for method, one in (
        ("get_label_schema", asked),
        ("get_review_queue", kept),
        ("get_issue", found),
        ("list_review_queue_items", kept),
    ):
        assert getattr(both, method)(one)
    ours = both.sides[1].store
    if hasattr(ours.table._client, "calls"):  # MLflow's own gc of such an experiment fails
        ours._hard_delete_experiment("1")
        items = ours.table._client.scan(TableName="mlflow")["Items"]
        left = {item["pk"]["S"] for item in items}
        assert not [pk for pk in left if pk[:2] in ("LS", "RQ") or pk == "IS#1"]
        assert "IS#0" in left
