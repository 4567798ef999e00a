"""Experiments: create, read, rename, tag, delete softly and restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow.entities import Experiment, ExperimentTag, LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_STATE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import append_to_uri_path, resolve_uri_if_local
from mlflow.utils.validation import (
    _parse_experiment_ids,
    _validate_experiment_artifact_location_length,
    _validate_experiment_name,
    _validate_experiment_tag,
)

from dynamodb_store import documents, keys
from dynamodb_store.documents import Document
from dynamodb_store.entities.experiment import SECTIONS, TAGS, entry, experiment_of, id_of
from dynamodb_store.entities.retention import configured
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import (
    DEFAULT_EXPERIMENT_ID,
    Base,
    check_experiment_active,
)

_DELETING = "deleting"
_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)
_ACTIVE = LifecycleStage.view_type_to_stages(ViewType.ACTIVE_ONLY)
_DELETED = LifecycleStage.view_type_to_stages(ViewType.DELETED_ONLY)


class Experiments(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_experiment(
        self,
        name: str,
        artifact_location: str | None = None,
        tags: Sequence[ExperimentTag] | None = None,
    ) -> str:
        _validate_experiment_name(name)
        if artifact_location:
            artifact_location = resolve_uri_if_local(artifact_location)
            _validate_experiment_artifact_location_length(artifact_location)
        for tag in tags or ():
            _validate_experiment_tag(tag.key, tag.value)
        numbered = self.table.update(
            keys.COUNTER,
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="UPDATED_NEW",
        )
        experiment_id = str(numbered["n"])
        self._create_experiment(experiment_id, name, artifact_location, tags or ())
        return experiment_id

    def _create_experiment(
        self,
        experiment_id: str,
        name: str,
        artifact_location: str | None,
        tags: Sequence[ExperimentTag],
    ) -> None:
        now = get_current_time_millis()
        head = {
            "name": name,
            "artifact_location": artifact_location
            or append_to_uri_path(self.artifact_root_uri, experiment_id),
            "stage": LifecycleStage.ACTIVE,
            "creation_time": now,
            "last_update_time": now,
        }
        document = Document(keys.experiment(experiment_id), head, SECTIONS)
        for tag in tags:
            document.set(TAGS, tag.key, tag.value)
        try:
            documents.create(self.table, document, [_name(name, experiment_id), entry(document)])
        except ConditionFailed as failed:
            raise MlflowException(
                f"Experiment(name={name}) already exists."
                if 0 not in failed.failed
                else f"Experiment id {experiment_id} is in use; try again.",
                RESOURCE_ALREADY_EXISTS,
            ) from failed

    def _ensure_default_experiment(self) -> None:
        """MLflow expects an experiment 0 named Default; several servers may start at once."""
        key = keys.experiment(DEFAULT_EXPERIMENT_ID)
        if documents.read(self.table, key, SECTIONS) is not None:
            return
        try:
            self._create_experiment(
                DEFAULT_EXPERIMENT_ID, Experiment.DEFAULT_EXPERIMENT_NAME, None, ()
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def get_experiment(self, experiment_id: str | None) -> Experiment:
        return experiment_of(self._experiment(experiment_id, _ALL), configured())

    def get_experiment_by_name(self, experiment_name: str) -> Experiment | None:
        item = self.table.get(keys.experiment_name(experiment_name))
        if item is None:
            return None
        found = documents.read(self.table, keys.experiment(item["experiment_id"]), SECTIONS)
        # Between the two reads it may have been renamed or removed.
        if found is None or found.head["name"] != experiment_name:
            return None
        return experiment_of(found, configured())

    def filter_active_experiment_ids(self, experiment_ids: list[str]) -> list[str]:
        ids = sorted(set(_parse_experiment_ids(experiment_ids)))
        pks = [keys.experiment(str(one)) for one in ids]
        found = documents.read_many(self.table, pks, SECTIONS)
        return [id_of(one) for one in found if one.head["stage"] == LifecycleStage.ACTIVE]

    def delete_experiment(self, experiment_id: str) -> None:
        # The runs first: when this is cut short the experiment is still there to be deleted again.
        began = self._edit_experiment(experiment_id, _ACTIVE, _note_deletion).head[_DELETING]
        self._move_runs(experiment_id, LifecycleStage.DELETED, began)
        self._edit_experiment(
            experiment_id, _ACTIVE, lambda document: _stage(document, LifecycleStage.DELETED)
        )

    def restore_experiment(self, experiment_id: str) -> None:
        self._experiment(experiment_id, _DELETED)
        self._move_runs(experiment_id, LifecycleStage.ACTIVE, 0)
        self._edit_experiment(
            experiment_id, _DELETED, lambda document: _stage(document, LifecycleStage.ACTIVE)
        )

    def _move_runs(self, experiment_id: str, stage: str, since: int) -> None:
        raise NotImplementedError  # in MoveRuns

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        _validate_experiment_name(new_name)

        def rename(document: Document) -> list[Action]:
            if document.head["stage"] != LifecycleStage.ACTIVE:
                raise MlflowException("Cannot rename a non-active experiment.", INVALID_STATE)
            old = document.head["name"]
            document.head |= {"name": new_name, "last_update_time": get_current_time_millis()}
            if old == new_name:
                return []
            return [
                _name(new_name, id_of(document)),
                ("Delete", {"Key": keys.experiment_name(old)}),
            ]

        try:
            self._edit_experiment(experiment_id, _ALL, rename)
        except ConditionFailed as failed:
            # MLflow's SQL store answers BAD_REQUEST here, unlike when it creates.
            raise MlflowException(
                f"Experiment(name={new_name}) already exists.", BAD_REQUEST
            ) from failed

    def set_experiment_tag(self, experiment_id: str, tag: ExperimentTag) -> None:
        _validate_experiment_tag(tag.key, tag.value)

        def change(document: Document) -> list[Action]:
            check_experiment_active(document)
            document.set(TAGS, tag.key, tag.value)
            return []

        self._edit_experiment(experiment_id, _ALL, change)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        def change(document: Document) -> list[Action]:
            check_experiment_active(document)
            if document.get(TAGS, key) is None:
                raise MlflowException(
                    f"No tag with name: {key} in experiment with id {experiment_id}",
                    error_code=RESOURCE_DOES_NOT_EXIST,
                )
            document.remove(TAGS, key)
            return []

        self._edit_experiment(experiment_id, _ALL, change)


def _name(name: str, experiment_id: str) -> Action:
    """Takes a name, unless another experiment has it."""
    pk, sk = keys.experiment_name(name)
    item: dict[str, Any] = {"pk": pk, "sk": sk, "name": name, "experiment_id": experiment_id}
    return ("Put", {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"})


def _note_deletion(document: Document) -> list[Action] | None:
    """From when on a deleted run counts as deleted with its experiment, also in a repeat."""
    if _DELETING in document.head:
        return None
    document.head[_DELETING] = get_current_time_millis()
    return []


def _stage(document: Document, stage: str) -> list[Action]:
    document.head |= {"stage": stage, "last_update_time": get_current_time_millis()}
    document.head.pop(_DELETING, None)
    return []
