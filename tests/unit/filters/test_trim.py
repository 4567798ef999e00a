"""Trimmed searches against brute force: the pages are the readable rows, in MLflow's order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.store import model_registry, tracking

from gateway.errors import BadRequest
from gateway.filters.page_token import PageTokens
from gateway.filters.plan import PLANS
from gateway.filters.trim import Fetch, TrimResult, trim
from tests.fakes.paged_search import FakePagedSearch, drive

SEAL = PageTokens([b"k" * 32])


def rows_of(plan: str, names: list[str]) -> list[dict[str, Any]]:
    return [{PLANS[plan].id: name, "at": at} for at, name in enumerate(names)]


def fake(plan: str, names: list[str], style: str = "offset") -> FakePagedSearch:
    return FakePagedSearch(PLANS[plan].rows, rows_of(plan, names), PLANS[plan].most, style)


def page(
    plan: str, mlflow: FakePagedSearch, readable: set[str], max_calls: int = 50, **fields: Any
) -> TrimResult:
    steps = trim(plan, fields, seal=SEAL, principal="user:alice", max_calls=max_calls)
    return drive(steps, mlflow, PLANS[plan].kind, readable)


def walk(
    plan: str, mlflow: FakePagedSearch, readable: set[str], size: int, max_calls: int = 50
) -> list[TrimResult]:
    pages, token = [], ""
    while True:
        result = page(plan, mlflow, readable, max_calls, max_results=size, page_token=token)
        assert result.upstream_calls <= max_calls
        pages.append(result)
        token = result.answer.get("next_page_token", "")
        if not token:
            return pages
        assert result.answer[PLANS[plan].rows], "an empty page must not have a token"


def seen(plan: str, pages: list[TrimResult]) -> list[int]:
    return [row["at"] for p in pages for row in p.answer.get(PLANS[plan].rows, [])]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_walking_all_pages_gives_the_readable_rows_in_order(data: st.DataObject) -> None:
    plan = data.draw(st.sampled_from(sorted(PLANS)))
    count = data.draw(st.integers(0, 400))
    names = [f"n{at // data.draw(st.just(3))}" for at in range(count)]
    readable = set(data.draw(st.lists(st.sampled_from(names or ["x"]), max_size=60)))
    size = data.draw(st.integers(1, 120))
    style = data.draw(st.sampled_from(["offset", "cursor"]))
    pages = walk(plan, fake(plan, names, style), readable, size)
    assert seen(plan, pages) == [at for at, name in enumerate(names) if name in readable]
    assert all(len(p.answer[PLANS[plan].rows]) == size for p in pages[:-1])
    assert len(pages) == 1 or pages[-1].answer, "a last page of many must not be empty"


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_one_readable_in_two_thousand_is_found_within_the_bound_of_calls(plan: str) -> None:
    shuffled = random.Random(7)
    names = [str(n) for n in range(100_000)]
    readable = set(shuffled.sample(names, 50))
    mlflow = fake(plan, names)
    pages = walk(plan, mlflow, readable, 20)
    assert seen(plan, pages) == sorted(map(int, readable))
    assert sum(p.upstream_calls for p in pages) <= 2 * 100_000 // PLANS[plan].per_call + len(pages)


def test_a_page_cut_short_by_the_bound_of_calls_has_rows_and_a_token() -> None:
    names = [str(n) for n in range(50_000)]
    mlflow = fake("registered-models", names)
    first = page("registered-models", mlflow, {"0", "49999"}, 5, max_results=10)
    assert [row["name"] for row in first.answer["registered_models"]] == ["0"]
    assert first.upstream_calls == 5
    assert first.answer["next_page_token"]


def test_no_readable_row_within_the_bound_of_calls_is_a_400_that_says_what_to_do() -> None:
    mlflow = fake("registered-models", [str(n) for n in range(50_000)])
    with pytest.raises(BadRequest, match="narrow it with a filter"):
        page("registered-models", mlflow, {"49999"}, 5, max_results=10)
    assert len(mlflow.sizes) == 5


def test_a_caller_who_may_read_nothing_gets_an_empty_page_without_a_token() -> None:
    result = page("experiments", fake("experiments", ["1", "2", "3"]), set(), max_results=2)
    assert result.answer == {}


def test_the_first_call_asks_for_one_row_more_than_the_caller() -> None:
    mlflow = fake("experiments", [str(n) for n in range(5000)])
    page("experiments", mlflow, {str(n) for n in range(5000)}, max_results=37)
    assert mlflow.sizes == [38]


@pytest.mark.parametrize("plan", sorted(PLANS))
@pytest.mark.parametrize("hidden", [0, 1, 2, 300, 12_000])
@pytest.mark.parametrize("shown", [1, 5, 99, 100])
def test_hidden_rows_behind_the_last_readable_one_change_nothing(
    plan: str, hidden: int, shown: int
) -> None:
    """Somebody filters for own rows and a guess; the page must not tell whether it is right."""
    names = [f"own{n}" for n in range(shown)] + [f"hidden{n}" for n in range(hidden)]
    mlflow = fake(plan, names)
    result = page(plan, mlflow, set(names[:shown]), max_results=shown)
    assert result.answer == {PLANS[plan].rows: mlflow.rows[:shown]}
    assert max(mlflow.sizes) <= 1000, "looking whether a row follows takes small pages"


def test_no_call_reads_more_rows_than_the_plan_allows() -> None:
    mlflow = fake("experiments", [str(n) for n in range(30_000)])
    everything = {str(n) for n in range(30_000)}
    result = page("experiments", mlflow, everything, max_results=20_000)
    assert len(result.answer["experiments"]) == 20_000
    assert max(mlflow.sizes) == PLANS["experiments"].per_call


def test_rows_read_again_stay_bounded_over_a_long_walk() -> None:
    """A page token points into a page of MLflow; that page must not grow from page to page."""
    names = [str(n) for n in range(60_000)]
    readable = {str(n) for n in range(0, 60_000, 10)}
    mlflow = fake("experiments", names)
    walk("experiments", mlflow, readable, 100)
    assert sum(mlflow.sizes) < 3 * len(names)


@settings(max_examples=60, deadline=None)
@given(
    style=st.sampled_from(["offset", "cursor"]),
    seed=st.integers(0, 2**32),
    size=st.integers(1, 30),
    change=st.integers(-150, 150),
)
def test_rows_that_come_and_go_between_pages_do_no_harm(
    style: str, seed: int, size: int, change: int
) -> None:
    dice = random.Random(seed)
    names = [str(n) for n in range(200)]
    readable = set(dice.sample(names, 60))
    mlflow = fake("experiments", names, style)
    token, shown = "", []
    for _ in range(1000):
        result = page("experiments", mlflow, readable, max_results=size, page_token=token)
        rows = result.answer.get("experiments", [])
        shown += [row["experiment_id"] for row in rows]
        token = result.answer.get("next_page_token", "")
        if not token:
            break
        assert rows
        if change < 0:
            gone = set(dice.sample(range(len(mlflow.rows)), min(-change, len(mlflow.rows))))
            mlflow.rows = [row for n, row in enumerate(mlflow.rows) if n not in gone]
            change = 0
        elif change:
            extra = [{"experiment_id": f"new{n}", "at": -1} for n in range(change)]
            mlflow.rows = extra + mlflow.rows
            change = 0
    else:
        pytest.fail("the walk did not end")
    assert set(shown) <= readable


def test_a_row_that_names_nothing_is_never_shown() -> None:
    mlflow = FakePagedSearch(
        "experiments", [{"at": 0}, {"at": 1, "experiment_id": 3}], 100, "offset"
    )
    assert page("experiments", mlflow, {"3"}, max_results=5).answer == {}


def test_a_page_of_mlflow_that_is_empty_but_has_a_token_is_walked_over() -> None:
    steps = trim("experiments", {"max_results": 2}, seal=SEAL, principal="p", max_calls=9)
    next(steps)
    assert isinstance(steps.send({"next_page_token": "t"}), Fetch)


@pytest.mark.parametrize("fields", [{}, {"max_results": 0}, {"max_results": -1},
                                    {"max_results": 50_001}, {"max_results": True},
                                    {"max_results": "1.5"}, {"max_results": 2.0}])  # fmt: skip
def test_max_results_is_refused_as_mlflow_refuses_it(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="parameter 'max_results' supplied"):
        next(trim("experiments", fields, seal=SEAL, principal="p", max_calls=1))


def test_max_results_as_decimal_text_is_taken_as_the_java_client_sends_it() -> None:
    step = next(trim("experiments", {"max_results": "7"}, seal=SEAL, principal="p", max_calls=1))
    assert isinstance(step, Fetch)
    assert step.fields == {"max_results": 8}


def test_the_limits_are_those_of_mlflow() -> None:
    assert PLANS["experiments"].most == tracking.SEARCH_MAX_RESULTS_THRESHOLD
    assert (
        PLANS["registered-models"].most
        == model_registry.SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD
    )
    assert PLANS["model-versions"].most == model_registry.SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD


def test_the_token_of_another_query_person_or_key_says_start_again() -> None:
    mlflow = fake("experiments", [str(n) for n in range(50)])
    readable = {str(n) for n in range(50)}
    fields = {"max_results": 5, "filter": "name LIKE 'a%'", "view_type": "ALL"}
    token = page("experiments", mlflow, readable, **fields).answer["next_page_token"]

    def again(seal: PageTokens = SEAL, principal: str = "user:alice", **changed: Any) -> object:
        asked = {**fields, "page_token": token, **changed}
        return next(trim("experiments", asked, seal=seal, principal=principal, max_calls=5))

    assert isinstance(again(), Fetch)
    assert isinstance(again(max_results=9), Fetch)
    flipped = token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]
    for attempt in (
        lambda: again(filter="name LIKE 'b%'"),
        lambda: again(view_type=None),
        lambda: again(order_by=["name"]),
        lambda: again(principal="user:bob"),
        lambda: again(seal=PageTokens([b"x" * 32])),
        lambda: again(page_token=flipped),
        lambda: again(page_token="eyJvZmZzZXQiOiA1fQ=="),
        lambda: again(page_token="mlg1.!!"),
        lambda: again(page_token="mlg1."),
        lambda: again(page_token=5),
    ):
        with pytest.raises(BadRequest, match="start again without page_token"):
            attempt()


def test_a_rotated_key_still_opens_old_tokens() -> None:
    mlflow = fake("experiments", [str(n) for n in range(50)])
    token = page("experiments", mlflow, set(map(str, range(50))), max_results=5).answer[
        "next_page_token"
    ]
    rotated = PageTokens([b"new" * 11, b"k" * 32])
    fields = {"max_results": 5, "page_token": token}
    steps = trim("experiments", fields, seal=rotated, principal="user:alice", max_calls=5)
    assert isinstance(next(steps), Fetch)


def test_a_token_does_not_tell_how_many_hidden_rows_were_skipped() -> None:
    names = [str(n) for n in range(9000)]
    lengths = set()
    for hidden in (1, 77, 8000):
        readable = set(names[hidden:])
        result = page("experiments", fake("experiments", names), readable, max_results=3)
        lengths.add(len(result.answer["next_page_token"]))
    assert len(lengths) == 1


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_a_weak_key_is_refused_at_start(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        PageTokens(keys)
