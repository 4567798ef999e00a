"""Logging: metrics, params and tags, alone or in batches; each batch is one change of the run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_MODELS, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_metric,
    _validate_param,
    _validate_param_keys_unique,
    _validate_run_id,
    _validate_tag,
)

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document, Slot
from dynamodb_store.entities.points import (
    Point,
    Tail,
    appended,
    chunk_items,
    latest_of,
    latest_value,
    point_of,
    tail_of,
)
from dynamodb_store.entities.run import CHANGED, COPIED, METRICS, PARAMS, TAGS
from dynamodb_store.errors import ConditionFailed, TooLarge
from dynamodb_store.table import Action
from dynamodb_store.tracking.logged_models.metrics import ModelMetrics, of_models
from dynamodb_store.tracking.runs import rename

_CHUNKS_IN_TRANSACTION = 20
"""More chunks are put before the run is changed: cheaper by half, and harmless when cut short,
since the client's repeat puts the same items again."""

_TAG_AT_ONCE = "attribute_exists(pk) AND #stage = :active AND #copied = :no AND #pages = :zero"


class Logging(ModelMetrics):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def log_metric(self, run_id: str, metric: Metric) -> None:
        _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
        self._log(run_id, [metric], [], [])

    def log_param(self, run_id: str, param: Param) -> None:
        param = _validate_param(param.key, param.value)

        def change(document: Document) -> list[Action] | None:
            old = document.get(PARAMS, param.key)
            if old is not None and old != param.value:
                raise MlflowException(
                    f"Changing param values is not allowed. Param with key='{param.key}' was "
                    f"already logged with value='{old!s}' for run ID='{run_id}'. Attempted "
                    f"logging new value '{param.value}'.",
                    INVALID_PARAMETER_VALUE,
                )
            return _set_new(document, PARAMS, {param.key: param.value})

        self._edit_run(run_id, change)

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        tag = _validate_tag(tag.key, tag.value)
        if tag.key == MLFLOW_RUN_NAME or not self._set_tag_at_once(run_id, tag):
            self._log(run_id, [], [], [tag])

    def _set_tag_at_once(self, run_id: str, tag: RunTag) -> bool:
        """One conditional update, without reading, for a run that is small and under way."""
        try:
            self.table.update(
                (keys.run(run_id), keys.HEAD),
                UpdateExpression="SET #s.#t.#tag = :value, #rev = #rev + :one, #changed = :now",
                ConditionExpression=_TAG_AT_ONCE,
                ExpressionAttributeNames={
                    "#tag": tag.key,
                    "#s": schema.SECTIONS,
                    "#t": TAGS,
                    "#rev": schema.REVISION,
                    "#pages": schema.PAGES,
                    "#copied": COPIED,
                    "#changed": CHANGED,
                    "#stage": "stage",
                },
                ExpressionAttributeValues={
                    ":value": tag.value,
                    ":one": 1,
                    ":now": get_current_time_millis(),
                    ":active": "active",
                    ":no": False,
                    ":zero": 0,
                },
            )
        except (ConditionFailed, TooLarge):
            return False
        return True

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a tag. Raises MlflowException when the run has none of this name."""

        had_it: list[bool] = []

        def change(document: Document) -> list[Action] | None:
            if document.get(TAGS, key) is not None:
                had_it.append(True)
                document.remove(TAGS, key)
                return []
            if had_it:  # an attempt whose answer got lost removed it, or another writer
                return None
            raise MlflowException(
                f"No tag with name: {key} in run with id {run_id}",
                error_code=RESOURCE_DOES_NOT_EXIST,
            )

        self._edit_run(run_id, change)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Param],
        tags: Sequence[RunTag],
    ) -> None:
        _validate_run_id(run_id)
        metrics, params, tags = _validate_batch_log_data(metrics, params, tags)
        _validate_batch_log_limits(metrics, params, tags)
        _validate_param_keys_unique(params)
        self._log(run_id, metrics, params, tags)

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        from mlflow.models import Model

        if not isinstance(mlflow_model, Model):
            raise TypeError(
                f"Argument 'mlflow_model' should be mlflow.models.Model, got '{type(mlflow_model)}'"
            )
        added = mlflow_model.get_tags_dict()

        def change(document: Document) -> list[Action]:
            old = document.get(TAGS, MLFLOW_LOGGED_MODELS)
            value = json.dumps([*(json.loads(old) if old else []), added])
            document.set(
                TAGS, MLFLOW_LOGGED_MODELS, _validate_tag(MLFLOW_LOGGED_MODELS, value).value
            )
            return []

        self._edit_run(run_id, change)

    def _log(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Param],
        tags: Sequence[RunTag],
    ) -> None:
        """Log validated values; params that conflict are refused before anything is written."""
        pk = keys.run(run_id)
        points = _by_name(metrics)
        model_ids, items = of_models(run_id, metrics)
        chunks = {name: chunk_items(pk, name, logged) for name, logged in points.items()}
        apart = sum(map(len, chunks.values())) + len(items) > _CHUNKS_IN_TRANSACTION
        written: list[Item] = []
        values = {(PARAMS, one.key): one.value for one in params}
        values |= {(TAGS, one.key): one.value for one in tags}
        pending: list[Slot] = [*values, *((METRICS, name) for name in points)]

        def change(document: Document) -> list[Action] | None:
            _check_params(document, run_id, params)
            newly = self._measure(document, model_ids)
            if apart and not written:
                written.extend(item for some in (*chunks.values(), items) for item in some)
                self.table.batch_write(written)
            part = pending[: schema.SLICE] if document.paged else pending
            rest[:] = pending[len(part) :]
            also: list[Action] = [] if apart else [("Put", {"Item": item}) for item in items]
            touched = newly
            for slot in part:
                if slot[0] == METRICS:
                    tail, writes = _tail_and_writes(document, slot[1], points, chunks, apart)
                    also += writes
                    touched |= _set_latest(document, slot[1], _latest(points[slot[1]]), tail)
                else:
                    touched |= _apply(document, slot, values[slot])
            return also if touched or also else None

        rest: list[Slot] = []
        while True:
            self._edit_run(run_id, change)
            pending = list(rest)
            items.clear()  # they were written with the first slice
            model_ids.clear()
            if not pending:
                return


def _tail_and_writes(
    document: Document,
    name: str,
    points: dict[str, list[Point]],
    chunks: dict[str, list[Item]],
    apart: bool,
) -> tuple[Tail | None, list[Action]]:
    """What of a metric's points is written with the document, and its open tail then."""
    old = document.get(METRICS, name)
    tail = None if old is None else tail_of(bytes(old))  # type: ignore[arg-type]
    if apart:
        return tail, []
    added = appended(document.pk, name, points[name], tail)
    if added is None:
        return tail, [("Put", {"Item": item}) for item in chunks[name]]
    return added[0], [added[1]]


def _by_name(metrics: Iterable[Metric]) -> dict[str, list[Point]]:
    points: dict[str, list[Point]] = {}
    for metric in metrics:
        points.setdefault(metric.key, []).append(point_of(metric))
    return points


def _latest(points: Sequence[Point]) -> Point:
    return max(points, key=lambda point: point.recency)  # the first of equals, as MLflow keeps


def _check_params(document: Document, run_id: str, params: Sequence[Param]) -> None:
    conflicts = []
    for param in params:
        old = document.get(PARAMS, param.key)
        if old is not None and old != param.value:
            conflicts.append({"key": param.key, "old_value": old, "new_value": param.value})
    if conflicts:
        raise MlflowException(
            "Changing param values is not allowed. Params were already"
            f" logged='{conflicts}' for run ID='{run_id}'.",
            INVALID_PARAMETER_VALUE,
        )


def _set_latest(document: Document, name: str, point: Point, tail: Tail | None) -> bool:
    """Set a metric's latest point and open tail; False when that changes nothing."""
    old = document.get(METRICS, name)
    if old is not None:
        before = latest_of(bytes(old))  # type: ignore[arg-type]
        if point.recency <= before.recency:
            point = before
    value = latest_value(point, tail)
    if value == old:
        return False
    document.set(METRICS, name, value)
    return True


def _apply(document: Document, slot: Slot, value: str) -> bool:
    """Set a param or a tag; False when it changes nothing."""
    section, name = slot
    if document.get(section, name) == value:
        return False
    if slot == (TAGS, MLFLOW_RUN_NAME):
        rename(document, value)
    else:
        document.set(section, name, value)
    return True


def _set_new(document: Document, section: str, values: dict[str, str]) -> list[Action] | None:
    new = {name: value for name, value in values.items() if document.get(section, name) is None}
    for name, value in new.items():
        document.set(section, name, value)
    return [] if new else None
