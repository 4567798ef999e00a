"""Evaluation datasets: create, read, tag, link to experiments, delete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from mlflow.entities.entity_type import EntityAssociationType
from mlflow.entities.evaluation_dataset import EvaluationDataset
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.mlflow_tags import MLFLOW_USER
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import documents, keys, schema
from dynamodb_store.documents import Document
from dynamodb_store.entities.evaluation_dataset import (
    SECTIONS,
    dataset_of,
    digest_of,
    entry,
    entry_key,
    remove_tag,
    set_tag,
)
from dynamodb_store.table import Action
from dynamodb_store.tracking.associations import Associations, End, link, unlink

_DATASET = EntityAssociationType.EVALUATION_DATASET
_EXPERIMENT = EntityAssociationType.EXPERIMENT
_LINKS_AT_ONCE = 40
"""Two items each; a transaction takes 100."""


class EvaluationDatasets(Associations):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_dataset(
        self,
        name: str,
        tags: dict[str, str] | None = None,
        experiment_ids: list[str] | None = None,
    ) -> EvaluationDataset:
        dataset_id = f"d-{uuid.uuid4().hex}"
        now = get_current_time_millis()
        ids = [str(one) for one in experiment_ids or ()]
        _check_distinct(ids)
        user = (tags or {}).get(MLFLOW_USER)
        head = {
            "name": "dataset" if name is None else name,  # as mlflow.data.Dataset names it
            "digest": digest_of(name, now),
            "profile": None,
            "created_time": now,
            "last_update_time": now,
            "created_by": user,
            "last_updated_by": user,
        }
        document = Document(keys.evaluation_dataset(dataset_id), head, SECTIONS)
        _set_tags(document, tags or {})
        ends = [(_EXPERIMENT, one) for one in ids]
        first, rest = ends[:_LINKS_AT_ONCE], ends[_LINKS_AT_ONCE:]
        links = link((_DATASET, dataset_id), first, now)
        documents.create(self.table, document, [entry(document), *links])
        self._write_links(link((_DATASET, dataset_id), rest, now))
        made = dataset_of(document)
        made.tags = tags or {}
        made.experiment_ids = experiment_ids or []
        made._tracking_store = self
        return made

    def get_dataset(self, dataset_id: str) -> EvaluationDataset:
        document = self._read_dataset(dataset_id)
        if document is None:
            raise MlflowException(
                f"Evaluation dataset with id '{dataset_id}' not found", RESOURCE_DOES_NOT_EXIST
            )
        return dataset_of(document)

    def delete_dataset(self, dataset_id: str) -> None:
        """Remove a dataset, its records and links; nothing when there is none.

        The dataset itself goes last, so that what was cut short can be asked for again.
        """
        document = self._read_dataset(dataset_id)
        if document is None:
            return
        self._remove_records(dataset_id)
        for forward in (True, False):
            partition = keys.association(_DATASET, dataset_id, forward=forward)
            for item in list(self.table.query_all(partition)):
                other: End = (item["sk"].split("#", 1)[0], item["id"])
                here: End = (_DATASET, dataset_id)
                self._write_links(unlink(here, [other]) if forward else unlink(other, [here]))
        pages = self.table.query_all(document.pk)
        self.table.batch_write(
            deletes=[(document.pk, item["sk"]) for item in pages if item["sk"] != keys.HEAD]
        )
        last = [(document.pk, keys.HEAD), entry_key(document)]
        self.table.transact([("Delete", {"Key": key}) for key in last])

    def set_dataset_tags(self, dataset_id: str, tags: dict[str, Any]) -> None:
        values = [(key, value) for key, value in tags.items() if value is not None]
        for at in range(0, max(1, len(values)), schema.SLICE):
            part = dict(values[at : at + schema.SLICE])

            def change(document: Document, part: dict[str, Any] = part) -> list[Action] | None:
                _set_tags(document, part)
                return [] if part else None

            text = f"Could not find evaluation dataset with ID {dataset_id}"
            self._edit_dataset(dataset_id, text, change)

    def delete_dataset_tag(self, dataset_id: str, key: str) -> None:
        """Remove a tag; nothing when there is no such tag or dataset."""
        if self._read_dataset(dataset_id) is None:
            return
        self._edit_dataset(
            dataset_id, "", lambda document: [] if remove_tag(document, key) else None
        )

    def get_dataset_experiment_ids(self, dataset_id: str) -> list[str]:
        found: list[str] = self.search_entities_by_source(
            dataset_id, _DATASET, _EXPERIMENT
        ).to_list()
        return found

    def add_dataset_to_experiments(
        self, dataset_id: str, experiment_ids: list[str]
    ) -> EvaluationDataset:
        missing = f"Dataset '{dataset_id}' not found"
        if self._read_dataset(dataset_id) is None:
            raise MlflowException(missing, RESOURCE_DOES_NOT_EXIST)
        wanted = [str(one) for one in experiment_ids]
        self._check_experiments(wanted)
        known = set(self.get_dataset_experiment_ids(dataset_id))
        ends = [(_EXPERIMENT, one) for one in wanted if one not in known]
        _check_distinct(ends)
        self._write_links(link((_DATASET, dataset_id), ends))
        return dataset_of(self._edit_dataset(dataset_id, missing, _touch))

    def remove_dataset_from_experiments(
        self, dataset_id: str, experiment_ids: list[str]
    ) -> EvaluationDataset:
        document = self._read_dataset(dataset_id)
        missing = f"Dataset '{dataset_id}' not found"
        if document is None:
            raise MlflowException(missing, RESOURCE_DOES_NOT_EXIST)
        known = set(self.get_dataset_experiment_ids(dataset_id))
        ends = [(_EXPERIMENT, one) for one in map(str, experiment_ids) if one in known]
        if not ends:
            return dataset_of(document)
        self._write_links(unlink((_DATASET, dataset_id), dict.fromkeys(ends)))
        return dataset_of(self._edit_dataset(dataset_id, missing, _touch))

    def _read_dataset(self, dataset_id: str) -> Document | None:
        return documents.read(self.table, keys.evaluation_dataset(dataset_id), SECTIONS)

    def _edit_dataset(self, dataset_id: str, missing: str, change: documents.Change) -> Document:
        """Change a dataset and its copy in the list of all."""

        def checked(document: Document) -> list[Action] | None:
            also = change(document)
            return None if also is None else [*also, entry(document)]

        return documents.edit(
            self.table,
            keys.evaluation_dataset(dataset_id),
            SECTIONS,
            lambda: MlflowException(missing, RESOURCE_DOES_NOT_EXIST),
            checked,
        )

    def _check_experiments(self, experiment_ids: Sequence[str]) -> None:
        heads = self.table.batch_get(
            [(keys.experiment(one), keys.HEAD) for one in dict.fromkeys(experiment_ids)]
        )
        found = {item["pk"] for item in heads}
        for one in experiment_ids:
            if keys.experiment(one) not in found:
                raise MlflowException(f"No Experiment with id={one}", RESOURCE_DOES_NOT_EXIST)

    def _write_links(self, actions: Sequence[Action]) -> None:
        size = 2 * _LINKS_AT_ONCE
        for at in range(0, len(actions), size):
            self.table.transact(actions[at : at + size])

    def _remove_records(self, dataset_id: str) -> None:
        raise NotImplementedError  # in DatasetRecords


def _check_distinct(values: Sequence[Any]) -> None:
    if len(set(values)) != len(values):
        raise MlflowException("An experiment is given twice.", BAD_REQUEST)


def _touch(document: Document) -> list[Action]:
    document.head["last_update_time"] = get_current_time_millis()
    return []


def _set_tags(document: Document, tags: dict[str, Any]) -> None:
    for key, value in tags.items():
        if len(str(value).encode()) > schema.PART_BYTES:
            raise MlflowException.invalid_parameter_value(
                f"The value of {key!r} has more than {schema.PART_BYTES} bytes."
            )
        set_tag(document, key, value)
