"""Metrics of logged models, which runs log together with their own.

They are put beside the model's document and never changed, so writers to one model do not wait
for each other. The run keeps the ids of the models, to remove the metrics when it is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import run
from dynamodb_store.entities.logged_model import (
    MEASURED,
    SECTIONS,
    changed,
    metric_items,
    no_model,
)
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base


class ModelMetrics(Base):
    """What logging to runs and the calls on logged models share."""

    def _edit_model(self, model_id: str, change: documents.Change) -> Document:
        """Change a model and, once it is ready, its copy in the experiment's list."""

        def checked(document: Document) -> list[Action] | None:
            also = change(document)
            return None if also is None else [*also, *changed(document)]

        return documents.edit(
            self.table,
            keys.logged_model(model_id),
            SECTIONS,
            lambda: no_model(model_id),
            checked,
        )

    def _measure(self, document: Document, model_ids: Sequence[str]) -> bool:
        """Prepare a run and models for metrics; whether the run changes. Raises MlflowException."""
        heads = self.table.batch_get([(keys.logged_model(one), keys.HEAD) for one in model_ids])
        found = {item["pk"]: item for item in heads}
        for model_id in model_ids:
            if keys.logged_model(model_id) not in found:
                # MLflow's SQL store answers BAD_REQUEST here, unlike when a model is read.
                raise MlflowException(
                    f"Metrics name the logged model {model_id!r}, which does not exist.",
                    BAD_REQUEST,
                )
        for model_id in model_ids:
            if not found[keys.logged_model(model_id)][MEASURED]:
                self._edit_model(model_id, _mark)
        new = [one for one in model_ids if document.get(run.MEASURED, one) is None]
        for model_id in new:
            document.set(run.MEASURED, model_id, "")
        return bool(new)

    def _forget_model_metrics(self, document: Document) -> None:
        """Remove what a run logged to models."""
        for model_id in document.section(run.MEASURED):
            pk, prefix = keys.logged_model(model_id), keys.model_metrics_of(run.id_of(document))
            gone = [(pk, item["sk"]) for item in self.table.query_all(pk, prefix=prefix)]
            self.table.batch_write(deletes=gone)


def of_models(run_id: str, metrics: Sequence[Metric]) -> tuple[list[str], list[Item]]:
    """The models that metrics name, and the items to put for them."""
    named: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.model_id is not None:
            named.setdefault(metric.model_id, []).append(metric)
    items = [item for one, some in named.items() for item in metric_items(one, run_id, some)]
    return list(named), items


def _mark(document: Document) -> list[Action] | None:
    if document.head[MEASURED]:
        return None
    document.head[MEASURED] = True
    return []
