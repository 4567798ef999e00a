"""Datasets and models that a run used, models that it made."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import DatasetInput, LoggedModelInput, LoggedModelOutput
from mlflow.entities.dataset_summary import _DatasetSummary
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from mlflow.utils.validation import (
    _parse_experiment_ids,
    _validate_dataset_inputs,
    _validate_run_id,
)

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.dataset import (
    dataset_items,
    fields_from,
    fields_of,
    input_value,
)
from dynamodb_store.entities.run import DATASETS, MODELS_IN, MODELS_OUT
from dynamodb_store.table import Action
from dynamodb_store.tracking.runs import Runs

_MOST_SUMMARIES = 1000


class Inputs(Runs):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def log_inputs(
        self,
        run_id: str,
        datasets: list[DatasetInput] | None = None,
        models: list[LoggedModelInput] | None = None,
    ) -> None:
        _validate_run_id(run_id)
        if datasets is not None:
            if not isinstance(datasets, list):
                raise TypeError(f"Argument 'datasets' should be a list, got '{type(datasets)}'")
            _validate_dataset_inputs(datasets)

        def change(document: Document) -> list[Action]:
            self._use_datasets(document, datasets or ())
            for model in models or ():
                document.set(MODELS_IN, model.model_id, "")
            return []

        self._edit_run(run_id, change)

    def log_outputs(self, run_id: str, models: list[LoggedModelOutput]) -> None:
        def change(document: Document) -> list[Action]:
            for model in models:
                step = document.get(MODELS_OUT, model.model_id)
                if step is not None and step != str(model.step):
                    raise MlflowException(
                        f"Run {run_id} has the model {model.model_id} of step {step!s} already, "
                        f"which cannot become {model.step}.",
                        BAD_REQUEST,
                    )
                document.set(MODELS_OUT, model.model_id, str(model.step))
            return []

        self._edit_run(run_id, change)

    def _search_datasets(self, experiment_ids: Sequence[str]) -> list[_DatasetSummary]:
        """Name, digest and context of the datasets that the experiments' runs use."""
        found: list[_DatasetSummary] = []
        for number in dict.fromkeys(_parse_experiment_ids(list(experiment_ids))):
            for item in self.table.query_all(keys.dataset_summaries(str(number))):
                if len(found) == _MOST_SUMMARIES:
                    return found
                found.append(
                    _DatasetSummary(
                        experiment_id=str(number),
                        name=item["name"],
                        digest=item["digest"],
                        context=item["context"],
                    )
                )
        return found

    def _use_datasets(self, document: Document, datasets: Sequence[DatasetInput]) -> None:
        """Keep what is new of the datasets, and note in the run that it uses them."""
        distinct: dict[str, DatasetInput] = {}
        for used in datasets:
            if used.dataset is None:
                raise MlflowException(
                    "Dataset input must have a dataset associated with it.", INTERNAL_ERROR
                )
            distinct.setdefault(keys.digest(used.dataset.name, used.dataset.digest), used)
        experiment_id = document.head["experiment_id"]
        kept = self._kept(experiment_id, list(distinct.values()))
        heads: list[Item] = []
        for key, used in distinct.items():
            if document.get(DATASETS, key) is not None:
                continue
            pk = keys.dataset(experiment_id, used.dataset.name, used.dataset.digest)
            fields = fields_of(used.dataset)
            if (known := kept.get(pk)) is None:
                *parts, head = dataset_items(experiment_id, fields)
                self.table.batch_write(parts)  # they count when their head is there
                heads.append(head)
            elif known["parts"] == 0:
                fields = fields_from(known, ())
            else:
                fields = self._dataset(experiment_id, used.dataset.name, used.dataset.digest)
            heads.append(_summary(experiment_id, key, used))
            order = len(document.section(DATASETS))
            document.set(DATASETS, key, input_value(order, fields, used.tags))
        self.table.batch_write(heads)

    def _kept(self, experiment_id: str, datasets: Sequence[DatasetInput]) -> dict[str, Item]:
        heads = self.table.batch_get(
            [
                (keys.dataset(experiment_id, one.dataset.name, one.dataset.digest), keys.HEAD)
                for one in datasets
            ]
        )
        return {item["pk"]: item for item in heads}


def _summary(experiment_id: str, key: str, used: DatasetInput) -> Item:
    tags = {tag.key: tag.value for tag in used.tags}
    context = tags.get(MLFLOW_DATASET_CONTEXT)
    return {
        "pk": keys.dataset_summaries(experiment_id),
        "sk": f"{key}#{'' if context is None else keys.digest(context)}",
        "name": used.dataset.name,
        "digest": used.dataset.digest,
        "context": context,
    }
