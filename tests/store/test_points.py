"""Points of metrics at scale: tails gather them, slices read them, and none is lost or doubled."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Metric, ViewType

from dynamodb_store import keys, schema
from dynamodb_store.entities.points import Point, pack, unpack
from dynamodb_store.entities.series import Series
from dynamodb_store.tracking.points import all_points
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers
from tests.store.both import Both, RunRef

numbers = st.sampled_from([0.0, -0.0, math.nan, 1.5, -2.0, math.inf])
points = st.builds(Point, st.integers(-2, 3), st.integers(-2, 3), numbers)


def items_of(dynamo: Any, run_id: str, name: str) -> list[dict[str, Any]]:
    return list(dynamo.table.query_all(keys.run(run_id), prefix=keys.points_of(name)))


def test_points_that_come_one_by_one_gather_and_are_those_of_sql(sql: Any, dynamo: Any) -> None:
    both = Both(sql, dynamo)
    both.create_run("0", "u", 1, [], "r")
    moments = [*range(40), 5, 5, 39, 1, *range(40, 50)]
    for number, moment in enumerate(moments):
        value = math.nan if moment == 7 else float(number % 3)
        both.log_metric(RunRef(0), Metric("m", value, 1000 + moment, moment // 2))
    for size in (3, 30, 50):
        batch = [Metric("m", i, 2000 + size + i, size) for i in range(size)]
        both.log_batch(RunRef(0), [*batch, Metric("other", size, size, 1)], [], [])
    both.get_metric_history(RunRef(0), "m")
    both.get_metric_history(RunRef(0), "other")
    both.get_run(RunRef(0))
    both.get_metric_history_bulk([RunRef(0)], "m", 37)
    both.get_metric_history_bulk_interval([RunRef(0)], "m", 10, 3, 12)
    both.get_metric_history_bulk_interval_from_steps(RunRef(0), "m", [1, 3, 50], 9)
    assert len(both.pages("get_metric_history", RunRef(0), "m", 10)) == 14
    run_id = dynamo.search_runs(["0"], "", ViewType.ALL)[0].info.run_id
    # 52 points; 5 and 1 came late, which began new tails; 30 fit no tail that was begun; 50 none.
    assert len(items_of(dynamo, run_id, "m")) < 10
    assert len(items_of(dynamo, run_id, "other")) == 1


def test_a_full_tail_stays_below_a_kilobyte(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    for number in range(2 * schema.POINTS_PER_TAIL + 1):
        dynamo.log_metric(run_id, Metric("m" * 200, number / 7, 1_700_000_000_000 + number, number))
    items = items_of(dynamo, run_id, "m" * 200)
    assert [len(item["few"]) for item in items] == [36, 36, 1]
    texts = sum(len(name) + len(str(items[0][name])) for name in ("pk", "sk"))
    # docs.aws.amazon.com, "DynamoDB item sizes": 3 bytes a set, 1 more for each of its values.
    assert texts + len("few") + 3 + 36 * 25 <= 1024


def test_what_is_repeated_after_a_lost_answer_counts_once(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    fake.faults.append(lose_answers(fake))
    for number in range(45):
        for _ in range(2):  # as a client whose own answer got lost
            dynamo.log_metric(run_id, Metric("m", number, number, number))
    assert [one.step for one in dynamo.get_metric_history(run_id, "m")] == list(range(45))


def test_two_writers_fill_one_tail_without_losing_a_point(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    others: list[Metric] = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and others:
            dynamo.log_metric(run_id, others.pop())

    fake.faults.append(meanwhile)
    for number in range(40):
        others.append(Metric("m", 100 + number, 100 + number, 100 + number))
        dynamo.log_metric(run_id, Metric("m", number, number, number))
    assert len(dynamo.get_metric_history(run_id, "m")) == 80
    assert all(len(item["few"]) <= 36 for item in items_of(dynamo, run_id, "m"))


def test_a_deep_page_reads_from_where_the_last_ended(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    for at in range(0, 3000, 1000):
        dynamo.log_batch(run_id, [Metric("m", i, i, i) for i in range(at, at + 1000)], [], [])
    page = dynamo.get_metric_history(run_id, "m", 1500)
    read: list[int] = []

    def note(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "query":
            read.append(len(fake.real(operation, parameters)["Items"]))

    fake.faults.append(note)
    rest = dynamo.get_metric_history(run_id, "m", 2000, page.token)
    assert [one.step for one in rest] == list(range(1500, 3000))
    assert read == [2]


class FakePages:
    """A table whose Query answers at most ``size`` items."""

    def __init__(self, items: list[dict[str, Any]], size: int) -> None:
        self._items = sorted(items, key=lambda item: str(item["sk"]))
        self._size = size
        self.read = 0

    def query(
        self,
        pk: str,
        *,
        between: tuple[str, str] | None = None,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> tuple[list[dict[str, Any]], str | None]:
        low, high = between or (prefix, prefix + "~")
        assert low <= high
        assert after is None or low <= after <= high
        found = [item for item in self._items if low <= item["sk"] <= high]
        if reverse:
            found.reverse()
        found = [item for item in found if after is None or item["sk"] > after]
        page = found[: limit or self._size]
        self.read += len(page)
        return page, page[-1]["sk"] if len(found) > len(page) else None

    def query_all(self, pk: str, **parameters: Any) -> Any:
        after = parameters.pop("after", None)
        while True:
            items, after = self.query(pk, after=after, **parameters)
            yield from items
            if after is None:
                return

    def parallel(self, work: Any, arguments: Any) -> list[Any]:
        return [work(argument) for argument in arguments]


@given(st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 9)), unique=True), st.integers(1, 5))
def test_slices_cover_all_points_and_read_none_twice(
    made: list[tuple[int, int]], size: int
) -> None:
    items = [
        {"sk": keys.points("m", time, str(n)), "points": pack([Point(n, time, 0.5)])}
        for time, n in made
    ]
    table: Any = FakePages(items, size)
    (raw,) = all_points(table, ["r"], "m")
    assert sorted(unpack(raw)) == sorted(Point(n, time, 0.5) for time, n in made)
    assert table.read <= len(made) + 1  # the last one shows where the slices end


@given(st.lists(points), st.integers(1, 7), points)
def test_columns_sort_as_tuples_do(made: list[Point], at_most: int, last: Point) -> None:
    series = Series(pack(made))
    distinct = {pack([point]): point for point in made}.values()

    def bits(found: Any) -> list[bytes]:
        return [pack([point]) for point in found]

    history = series.in_history_order()
    assert [one.history for one in history.points()] == sorted(one.history for one in distinct)
    assert sorted(bits(history.points())) == sorted(bits(distinct))
    later = bits(history.after(last).points())
    assert later == bits(history.points())[len(history) - len(later) :]
    ours = bits(history.points())
    place = ours.index(pack([last])) + 1 if pack([last]) in ours else None
    assert place is None or len(later) == len(history) - place
    chosen = series.sampled(at_most)
    assert len(chosen) == min(at_most, len(distinct))
    if chosen:
        assert chosen[-1].recency == max(one.recency for one in distinct)


@pytest.mark.parametrize("steps", [[], [2**70], [1, 1]])
def test_steps_of_any_size(steps: list[int]) -> None:
    series = Series(pack([Point(1, 1, 1.0), Point(2, 1, 1.0)]))
    assert len(series.at_steps(steps)) == len({1} & set(steps))
    assert len(list(chain(series.points()))) == 2
