"""Random calls about label schemas, review queues with their items, and issues."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import IssueReference
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.genai.label_schemas.label_schemas import (
    InputCategorical,
    InputNumeric,
    InputPassFail,
    InputText,
)

from tests.store.both import Ref, RunRef
from tests.store.random_calls import Call, Worlds, call, examples, refs, sequences, worlds
from tests.store.spans import info
from tests.store.test_contract_reviews import ODD

__all__ = ["worlds"]


experiments = st.sampled_from(["0", "1", "1", "1", "2", "77"])
names = st.sampled_from(["a", "b", "A", ODD, "", "Feedback"])
asked = refs("schema", 4)
queues = refs("queue", 5)
kinds = st.sampled_from(["feedback", "feedback", "expectation", "other"])
inputs = st.sampled_from(
    [
        InputText(),
        InputPassFail("yes", "no"),
        InputNumeric(0.5, 3),
        InputCategorical(["x", "☃"]),
        InputCategorical(["x"], multi_select=True),
    ]
)
texts = st.sampled_from([None, "", "text ☃"])
users = st.sampled_from(["u", "U ", "me", ""])
some_users = st.one_of(st.none(), st.lists(users, max_size=2))
questions = st.one_of(st.none(), st.lists(asked, max_size=2))
items = st.sampled_from(["t0", "t1", "t2", " t1 ", "other", ""])
some_items = st.lists(items, max_size=3)
statuses = st.sampled_from(["pending", "complete", "declined", "complete"])
of_pages = st.integers(1, 3)
makes_schema: dict[str, Any] = {"makes": "schema", "id_of": "schema_id"}
makes_queue: dict[str, Any] = {"makes": "queue", "id_of": "queue_id"}


def user_queue(store: Any, experiment_id: str, user: str) -> Any:
    return store.get_or_create_user_queue(experiment_id, user=user)


of_items = [
    call("add_items_to_review_queue", queues, kwargs={"item_ids": some_items}),
    call("add_items_to_review_queue", queues, kwargs={"item_ids": some_items}),
    call("remove_items_from_review_queue", queues, kwargs={"item_ids": some_items}),
    call(
        "set_review_queue_item_status",
        queues,
        kwargs={
            "item_id": items,
            "status": statuses,
            "completed_by": st.one_of(st.none(), users),
        },
    ),
    call(
        "list_review_queue_items",
        queues,
        paged=True,
        kwargs={"status": st.one_of(st.none(), statuses), "max_results": of_pages},
    ),
]
review_steps = [
    call(
        "create_label_schema",
        experiments,
        kwargs={"name": names, "type": kinds, "input": inputs, "instruction": texts},
        **makes_schema,
    ),
    call("get_label_schema", asked),
    call("get_label_schema_by_name", experiments, names),
    call("list_label_schemas", experiments, paged=True, kwargs={"max_results": of_pages}),
    call(
        "update_label_schema",
        asked,
        kwargs={
            "name": st.one_of(st.none(), names),
            "input": st.one_of(st.none(), inputs),
            "instruction": texts,
            "enable_comment": st.sampled_from([None, True, False]),
        },
    ),
    call(
        "create_review_queue",
        experiments,
        kwargs={
            "name": names,
            "queue_type": st.sampled_from(["custom", "custom", "user"]),
            "created_by": st.one_of(st.none(), users),
            "users": some_users,
            "schema_ids": questions,
        },
        **makes_queue,
    ),
    call(
        "create_review_queue",
        st.just("1"),
        kwargs={"name": names, "queue_type": st.just("custom")},
        **makes_queue,
    ),
    call(user_queue, experiments, users),
    call("get_review_queue", queues),
    call("get_review_queue_by_name", experiments, kwargs={"name": st.one_of(names, users)}),
    call(
        "list_review_queues",
        experiments,
        paged=True,
        kwargs={
            "user": st.one_of(st.none(), users),
            "item_id": st.one_of(st.none(), items),
            "max_results": of_pages,
        },
    ),
    call(
        "update_review_queue",
        queues,
        kwargs={
            "users": some_users,
            "schema_ids": questions,
            "name": st.one_of(st.none(), names),
            "new_owner": st.one_of(st.none(), users),
        },
    ),
    call("delete_traces", st.just("1"), kwargs={"trace_ids": st.just(["t0"])}),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
    call("delete_label_schema", asked),
    call("delete_review_queue", queues),
]


def prepared(worlds: Worlds) -> Any:
    both = worlds.new()
    first = [
        Call("create_experiment", ("one",)),
        Call("create_experiment", ("two",)),
        Call("delete_experiment", ("2",)),
        Call("create_run", ("1", "u", 1, [], "r")),
        *(Call("start_trace", (info(f"t{at}", 1000 + at, "1"),)) for at in range(3)),
    ]
    worlds.drive(both, first)
    return both


def drive_reviews(worlds: Worlds, calls: list[Call]) -> None:
    both = prepared(worlds)
    queue = {"name": "first", "queue_type": "custom"}
    first = [
        Call("create_label_schema", ("1",), {"name": "q", "type": "feedback", "input": InputText()},
             **makes_schema),
        Call("create_review_queue", ("1",), {**queue, "users": ["u"]}, **makes_queue),
        Call("add_items_to_review_queue", (Ref("queue0"),), {"item_ids": ["t0", "t1"]}),
    ]  # fmt: skip
    end = [Call("list_label_schemas", ("1",)), Call("list_review_queues", ("1",))]
    end += [Call("list_review_queue_items", (Ref(f"queue{at}"),)) for at in range(3)]
    worlds.drive(both, [*first, *calls, *end])
    worlds.end(both)


review_calls = [*of_items, *of_items, *review_steps]


@examples(2)
@given(calls=sequences(*review_calls, more=0))
def test_schemas_and_queues(worlds: Worlds, calls: list[Call]) -> None:
    drive_reviews(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*review_calls, more=20))
def test_schemas_and_queues_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_reviews(worlds, calls)


issues = refs("issue", 4)
states = st.sampled_from(list(IssueStatus))
severities = st.one_of(st.none(), st.sampled_from(list(IssueSeverity)))
some_texts = st.sampled_from([None, [], ["x"], ["☃ #", "y"]])


def point_out(store: Any, issue_id: str, trace_id: str, name: str) -> Any:
    made = IssueReference(issue_id=issue_id, issue_name="an issue")
    made.trace_id, made.assessment_id = trace_id, assessment_id_of(trace_id, name)
    store.create_assessment(made)


def take_back(store: Any, trace_id: str, name: str) -> Any:
    store.delete_assessment(trace_id, assessment_id_of(trace_id, name))


def assessment_id_of(trace_id: str, name: str) -> str:
    """Assessments have an id each, also in different traces: for SQL it is the primary key."""
    return f"{name} {trace_id}"


traces = st.sampled_from(["t0", "t1", "t2", "none"])
some_traces = st.lists(traces, min_size=1, max_size=2)
assessments = st.sampled_from(["a0", "a1", "a2"])
issue_steps = [
    call(
        "create_issue",
        experiments,
        st.sampled_from(["i", "", None]),
        st.sampled_from(["text", "☃"]),
        kwargs={
            "status": states,
            "severity": severities,
            "root_causes": some_texts,
            "source_run_id": st.sampled_from([None, None, RunRef(0), RunRef(9)]),
            "categories": some_texts,
            "created_by": texts,
        },
        makes="issue",
        id_of="issue_id",
    ),
    call("create_issue", st.just("1"), st.just("i"), texts.filter(bool), makes="issue",
         id_of="issue_id"),
    call("get_issue", issues),
    call(
        "update_issue",
        issues,
        kwargs={
            "status": st.one_of(st.none(), states),
            "name": texts,
            "description": texts,
            "severity": severities,
        },
    ),
    call(point_out, issues, traces, assessments),
    call(take_back, traces, assessments),
    call("delete_traces", st.just("1"), kwargs={"trace_ids": some_traces}),
    call(
        "search_issues",
        st.one_of(st.none(), experiments),
        st.sampled_from(
            [
                None,
                "status = 'pending'",
                "status != 'resolved'",
                "source_run_id != 'x'",
                "name = 'i'",
            ]
        ),
        paged=True,
        kwargs={"max_results": of_pages, "include_trace_count": st.booleans()},
    ),
    call("delete_run", st.just(RunRef(0))),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
]  # fmt: skip


def drive_issues(worlds: Worlds, calls: list[Call]) -> None:
    both = prepared(worlds)
    end = [Call("search_issues"), Call("search_issues", ("1",), {"include_trace_count": True})]
    worlds.drive(both, [*calls, *end])
    worlds.end(both)


issue_calls = [*issue_steps[:2], *issue_steps]


@examples(2)
@given(calls=sequences(*issue_calls, more=0))
def test_issues(worlds: Worlds, calls: list[Call]) -> None:
    drive_issues(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*issue_calls, more=20))
def test_issues_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_issues(worlds, calls)
