"""The points of metrics: whole, in pages, of several runs, and sampled for charts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from mlflow.entities import Metric
from mlflow.entities.metric import MetricWithRunId
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities.points import (
    POINT_BYTES,
    Point,
    latest_of,
    latest_value,
    raw_points,
)
from dynamodb_store.entities.series import Series
from dynamodb_store.search.page import make_token, read_token
from dynamodb_store.tracking.base import Base
from dynamodb_store.tracking.points import all_points


class History(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def get_metric_history(
        self,
        run_id: str,
        metric_key: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Metric]:
        offset, place = read_token(page_token)
        if max_results is None:
            series = self._series([run_id], metric_key)[0].in_history_order()
            return PagedList([one.metric(metric_key) for one in series.points(offset)], None)
        items, series = self._first(run_id, metric_key, max_results + 1, place)
        skipped = 0 if place else offset
        page = series.points(skipped, skipped + max_results)
        token = None
        if len(series) > skipped + max_results:
            token = make_token(offset + max_results, _place(items, page[-1]))
        return PagedList([one.metric(metric_key) for one in page], token)

    def get_metric_history_bulk(
        self, run_ids: Sequence[str], metric_key: str, max_results: int
    ) -> list[MetricWithRunId]:
        """Points of several runs, by run id, then timestamp, step and value."""
        ordered = sorted(set(run_ids))
        found: list[MetricWithRunId] = []
        read = self.table.parallel(
            lambda run_id: self._first(run_id, metric_key, max_results)[1], ordered
        )
        for run_id, series in zip(ordered, read, strict=True):
            found += _with_run(run_id, metric_key, series.points(0, max_results - len(found)))
            if len(found) >= max_results:
                break
        return found

    def get_max_step_for_metric(self, run_id: str, metric_key: str) -> int:
        """The largest step of a metric, 0 when it has no points."""
        return self._series([run_id], metric_key)[0].max_step()

    def get_metric_history_bulk_interval_from_steps(
        self, run_id: str, metric_key: str, steps: Sequence[int], max_results: int
    ) -> list[MetricWithRunId]:
        series = self._series([run_id], metric_key)[0].at_steps(steps).in_sampling_order()
        return _with_run(run_id, metric_key, series.points(0, max_results))

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
        for run_id, series in zip(run_ids, self._series(run_ids, metric_key), strict=True):
            if start_step is not None and end_step is not None:
                series = series.in_steps(start_step, end_step)
            found += _with_run(run_id, metric_key, series.sampled(max(1, max_results)))
        return found

    def _series(self, run_ids: Sequence[str], name: str) -> list[Series]:
        return [Series(raw) for raw in all_points(self.table, run_ids, name)]

    def _first(
        self, run_id: str, name: str, enough: int, place: str | None = None
    ) -> tuple[list[Item], Series]:
        """In history order the points after a place in it, at least the ``enough`` first of them,
        and the items that hold them."""
        low, _, last = (place or "").partition("!")
        within = (low or keys.points_of(name), keys.points_end(name))
        items: list[Item] = []
        after: str | None = None
        while True:
            page, after = self.table.query(keys.run(run_id), between=within, after=after)
            items += page
            series = Series(b"".join(map(raw_points, items)))
            if last:
                series = series.after(latest_of(bytes.fromhex(last)))
            series = series.in_history_order()
            # Later items hold nothing before the start of the last one.
            start = keys.points_start(items[-1]["sk"]) if items else 0
            if after is None or series.before(start) >= enough:
                return items, series


def _place(items: Sequence[Item], last: Point) -> str:
    """Where a page ended: the first item that holds more, and the last point."""
    pieces = [raw_points(item) for item in items]
    later = Series(b"".join(pieces)).are_after(last)
    ends = list(accumulate(len(piece) // POINT_BYTES for piece in pieces))
    number = bisect_right(ends, int(later.argmax())) if later.any() else len(items) - 1
    return f"{items[number]['sk']}!{latest_value(last, None).hex()}"


def _with_run(run_id: str, name: str, points: Iterable[Point]) -> list[MetricWithRunId]:
    return [MetricWithRunId(run_id=run_id, metric=point.metric(name)) for point in points]
