"""The same data in every store: written in bulk, ours by the store's own documents and keys.

Values are made from the number of the run, so each store holds the same.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels import models as sql

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import points, run
from dynamodb_store.entities.points import Point

START = 1_700_000_000_000
_SPACE = uuid.UUID("5d1c2f0e-6a55-4c5e-9c55-2f5f0d2a9a11")
_AT_ONCE = 2_000


@dataclass(frozen=True)
class Run:
    """Run number ``number`` of an experiment: 2 metrics, 5 params, 4 tags."""

    experiment_id: str
    number: int
    ended: bool

    @property
    def run_id(self) -> str:
        return uuid.uuid5(_SPACE, f"{self.experiment_id}/{self.number}").hex

    @property
    def head(self) -> dict[str, Any]:
        at = START + 1000 * self.number
        return {
            "user_id": f"person{self.number % 1500}@example.com",
            "name": f"run-{self.number}",
            "status": "FINISHED" if self.ended else "RUNNING",
            "start_time": at,
            "end_time": at + 600_000 if self.ended else None,
            "deleted_time": None,
            "artifact_uri": f"s3://bucket/root/{self.experiment_id}/{self.run_id}/artifacts",
        }

    @property
    def metrics(self) -> dict[str, Point]:
        mixed = (self.number * 2654435761) % 2**32 / 2**32
        moment = START + 1000 * self.number + 500
        return {"accuracy": Point(3, moment, mixed), "loss": Point(3, moment, 1 / (1 + mixed))}

    @property
    def params(self) -> dict[str, str]:
        values = {f"parameter_{at}": f"value {self.number * at}" for at in range(4)}
        return {**values, "depth": str(self.number % 100)}

    @property
    def tags(self) -> dict[str, str]:
        return {
            "mlflow.runName": f"run-{self.number}",
            "mlflow.user": f"person{self.number % 1500}",
            "mlflow.source.name": "train.py",
            "team": f"team {self.number % 20}",
        }


def progress(what: str, done: int, of: int) -> None:
    """A bar on standard error."""
    filled = 30 * done // max(1, of)
    end = "\n" if done >= of else ""
    bar = "#" * filled + "." * (30 - filled)
    print(f"\r{what:<44} {bar} {done:>9,} of {of:,}", end=end, file=sys.stderr, flush=True)


def in_parts(what: str, number: int, write: Callable[[range], None], part: int = _AT_ONCE) -> None:
    """Write so many things a part at a time, with a bar."""
    for at in range(0, number, part):
        write(range(at, min(number, at + part)))
        progress(what, min(number, at + part), number)


def put_runs(side: Any, experiment_id: str, number: int, *, ended: bool) -> None:
    """Put so many runs into an experiment."""
    write = _dynamo_runs if side.meter else _sql_runs

    def some(numbers: range) -> None:
        write(side.tracking, [Run(experiment_id, at, ended) for at in numbers])

    in_parts(f"{side.name}: runs of experiment {experiment_id}", number, some)


def put_versions(
    side: Any, models: range, versions: int, each: Callable[[Any, range], None]
) -> None:
    """So many versions of each model: by calls in ours, in bulk in SQL, which would take hours."""
    if not side.meter:
        rows = [_version_row(model, at) for model in models for at in range(versions)]
        _insert(side.registry, {SqlModelVersion: rows} if rows else {})
        return

    def of_one(model: int) -> None:
        for at in range(versions):
            side.registry.create_model_version(*version(model, at))

    each(of_one, models)


def version(model: int, at: int) -> tuple[str, str]:
    """Name and source of a version."""
    return f"model {model}", f"s3://bucket/{model}/{at}"


def _version_row(model: int, at: int) -> dict[str, Any]:
    """As MLflow's create_model_version writes it."""
    name, source = version(model, at)
    now = START + 1000 * (50 * model + at)
    return {
        "name": name,
        "version": at + 1,
        "source": source,
        "storage_location": source,
        "creation_time": now,
        "last_updated_time": now,
        "run_id": "",
    }


def put_points(side: Any, run_id: str, name: str, number: int) -> None:
    """Put so many points of a metric, as they lie when they were logged one by one."""
    write = _dynamo_points if side.meter else _sql_points

    def some(steps: range) -> None:
        write(side.tracking, run_id, name, [_point(step) for step in steps])

    in_parts(f"{side.name}: points of a metric", number, some, part=36 * 1_000)


def _point(step: int) -> Point:
    return Point(step, START + 100 * step, (step * 2654435761) % 2**32 / 2**32)


def _dynamo_runs(store: Any, runs: list[Run]) -> None:
    store.table.batch_write(item for one in runs for item in _run_items(one))


def _run_items(one: Run) -> Iterator[Item]:
    head = {**one.head, "experiment_id": one.experiment_id, "stage": "active"}
    head |= {run.COPIED: False, run.CHANGED: START}
    document = Document(keys.run(one.run_id), head, run.SECTIONS)
    for name, value in one.tags.items():
        document.set(run.TAGS, name, value)
    for name, value in one.params.items():
        document.set(run.PARAMS, name, value)
    for name, point in one.metrics.items():
        document.set(run.METRICS, name, points.latest_value(point, None))
        yield from points.chunk_items(document.pk, name, [point])
    yield run.entry(document)[1]["Item"]
    yield from document.items()


def _dynamo_points(store: Any, run_id: str, name: str, made: list[Point]) -> None:
    store.table.batch_write(
        {
            "pk": keys.run(run_id),
            "sk": keys.tail(name, made[at].timestamp, made[at].step // 36),
            "few": frozenset(points.pack([point]) for point in made[at : at + 36]),
        }
        for at in range(0, len(made), 36)
    )


def _sql_runs(store: Any, runs: list[Run]) -> None:
    rows: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (sql.SqlRun, sql.SqlTag, sql.SqlParam, sql.SqlMetric,
                                sql.SqlLatestMetric)
    }  # fmt: skip
    for one in runs:
        of = {"run_uuid": one.run_id}
        head = {"experiment_id": int(one.experiment_id), "lifecycle_stage": "active"}
        plain = {"source_type": "UNKNOWN", "source_name": "", "entry_point_name": ""}
        rows[sql.SqlRun].append({**of, **one.head, **head, **plain, "source_version": ""})
        rows[sql.SqlTag] += [{**of, "key": key, "value": text} for key, text in one.tags.items()]
        rows[sql.SqlParam] += [
            {**of, "key": key, "value": text} for key, text in one.params.items()
        ]
        measured = [{**of, "key": key, **_row(point)} for key, point in one.metrics.items()]
        rows[sql.SqlMetric] += measured
        rows[sql.SqlLatestMetric] += measured
    _insert(store, rows)


def _sql_points(store: Any, run_id: str, name: str, made: list[Point]) -> None:
    rows = [{"run_uuid": run_id, "key": name, **_row(point)} for point in made]
    _insert(store, {sql.SqlMetric: rows})


def _row(point: Point) -> dict[str, Any]:
    return {**point._asdict(), "is_nan": False}


def _insert(store: Any, rows: dict[Any, list[dict[str, Any]]]) -> None:
    with store.engine.begin() as connection:
        for table, some in rows.items():
            connection.execute(table.__table__.insert(), some)
