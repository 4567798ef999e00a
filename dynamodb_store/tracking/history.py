"""The points of metrics: whole, in pages, of several runs, and sampled for charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflow.entities import Metric
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities.points import Point, chunk_start, unpack
from dynamodb_store.search.page import make_token, read_token
from dynamodb_store.tracking.base import Base


class History(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def get_metric_history(
        self,
        run_id: str,
        metric_key: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Metric]:
        offset, _ = read_token(page_token)
        enough = None if max_results is None else offset + max_results + 1
        points = sorted(self._points(run_id, metric_key, enough), key=lambda one: one.history)
        points = points[offset:enough]
        token = None
        if max_results is not None and len(points) == max_results + 1:
            token = make_token(offset + max_results)
            points = points[:max_results]
        return PagedList([point.metric(metric_key) for point in points], token)

    def get_metric_history_bulk(
        self, run_ids: Sequence[str], metric_key: str, max_results: int
    ) -> list[MetricWithRunId]:
        """Points of several runs, by run id, then timestamp, step and value."""
        ordered = sorted(set(run_ids))
        found: list[MetricWithRunId] = []
        for run_id, points in zip(ordered, self._points_of(ordered, metric_key), strict=True):
            points = sorted(points, key=lambda one: one.history)
            found += _with_run(run_id, metric_key, points[: max_results - len(found)])
            if len(found) >= max_results:
                break
        return found

    def get_max_step_for_metric(self, run_id: str, metric_key: str) -> int:
        """The largest step of a metric, 0 when it has no points."""
        return max((point.step for point in self._points(run_id, metric_key)), default=0)

    def get_metric_history_bulk_interval_from_steps(
        self, run_id: str, metric_key: str, steps: Sequence[int], max_results: int
    ) -> list[MetricWithRunId]:
        wanted = set(steps)
        points = [one for one in self._points(run_id, metric_key) if one.step in wanted]
        points.sort(key=lambda one: one.recency)
        return _with_run(run_id, metric_key, points[:max_results])

    def get_metric_history_bulk_interval(
        self,
        run_ids: list[str],
        metric_key: str,
        max_results: int,
        start_step: int | None,
        end_step: int | None,
    ) -> list[MetricWithRunId]:
        if (start_step is None) != (end_step is None):
            raise MlflowException.invalid_parameter_value(
                "Both start_step and end_step must be specified together, "
                "or neither may be specified."
            )
        found: list[MetricWithRunId] = []
        for run_id, points in zip(run_ids, self._points_of(run_ids, metric_key), strict=True):
            if start_step is not None and end_step is not None:
                points = [one for one in points if start_step <= one.step <= end_step]
            found += _with_run(run_id, metric_key, sample(points, max(1, max_results)))
        return found

    def _points_of(self, run_ids: Sequence[str], name: str) -> list[list[Point]]:
        return self.table.parallel(lambda run_id: self._points(run_id, name), run_ids)

    def _points(self, run_id: str, name: str, enough: int | None = None) -> list[Point]:
        """The distinct points of a metric, or at least the ``enough`` first by timestamp."""
        held: list[Point] = []
        seen: set[bytes] = set()  # by bytes, since NaN is not equal to itself
        after: str | None = None
        prefix = keys.points_of(name)
        while True:
            items, after = self.table.query(keys.run(run_id), prefix=prefix, after=after)
            _collect(items, seen, held)
            if after is None or (enough is not None and _settled(items, held, enough)):
                return held


def sample(points: Iterable[Point], at_most: int) -> list[Point]:
    """At most so many points: the first of each of as many even groups, and the last of all.

    The groups are SQL's NTILE, which MLflow's SQL store uses: the first ones are larger by one.
    """
    ordered = sorted(points, key=lambda one: one.sampling)
    size, larger = divmod(len(ordered), at_most)
    starts = [number * size + min(number, larger) for number in range(min(at_most, len(ordered)))]
    chosen = [ordered[start] for start in starts]
    if chosen and starts[-1] != len(ordered) - 1:
        if len(chosen) >= at_most:
            chosen.pop()
        chosen.append(ordered[-1])
    return chosen


def _collect(items: Iterable[Item], seen: set[bytes], held: list[Point]) -> None:
    for item in items:
        packed = item["points"]
        for at, point in enumerate(unpack(packed)):
            raw = packed[24 * at : 24 * at + 24]
            if raw not in seen:
                seen.add(raw)
                held.append(point)


def _settled(items: Sequence[Item], held: Sequence[Point], enough: int) -> bool:
    """Whether later chunks, which start no earlier than the last one, cannot come before."""
    if not items:
        return False
    start = chunk_start(items[-1])
    return sum(point.timestamp < start for point in held) >= enough


def _with_run(run_id: str, name: str, points: Iterable[Point]) -> list[MetricWithRunId]:
    return [MetricWithRunId(run_id=run_id, metric=point.metric(name)) for point in points]
