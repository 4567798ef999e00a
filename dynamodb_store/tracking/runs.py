"""Runs: create, read, update, delete softly and restore."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial

from mlflow.entities import (
    LifecycleStage,
    Run,
    RunInfo,
    RunInputs,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, _get_run_name_from_tags
from mlflow.utils.name_utils import _generate_random_name
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import append_to_uri_path

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.dataset import (
    Fields,
    fields_from,
    input_of,
    input_parts,
)
from dynamodb_store.entities.run import (
    CHANGED,
    COPIED,
    DATASETS,
    SECTIONS,
    TAGS,
    deletion_mark,
    entry,
    info_of,
    run_of,
)
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base, check_experiment_active

_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)


class Runs(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_run(
        self,
        experiment_id: str,
        user_id: str | None,
        start_time: int | None,
        tags: Sequence[RunTag] | None,
        run_name: str | None,
    ) -> Run:
        experiment = self._experiment(experiment_id, _ALL)
        check_experiment_active(experiment)
        run_id = uuid.uuid4().hex
        name, all_tags = _named(run_name, list(tags or ()))
        head: Item = {
            "experiment_id": experiment.pk.removeprefix("E#"),
            "name": name,
            "user_id": user_id,
            "status": RunStatus.to_string(RunStatus.RUNNING),
            "start_time": get_current_time_millis() if start_time is None else start_time,
            "end_time": None,
            "stage": LifecycleStage.ACTIVE,
            "deleted_time": None,
            "artifact_uri": append_to_uri_path(
                experiment.head["artifact_location"], run_id, "artifacts"
            ),
            COPIED: False,
            CHANGED: get_current_time_millis(),
        }
        document = Document(keys.run(run_id), head, SECTIONS)
        for tag in all_tags:
            document.set(TAGS, tag.key, tag.value)
        documents.create(self.table, document, [entry(document)])
        made = run_of(document, with_model_inputs=False)
        return Run(made.info, made.data, RunInputs(dataset_inputs=[]))

    def get_run(self, run_id: str) -> Run:
        return self._whole(self._run(run_id), with_model_inputs=True)

    def _whole(self, document: Document, *, with_model_inputs: bool) -> Run:
        """The run with those of its datasets that are too large to be copied into it."""
        run = run_of(document, with_model_inputs=with_model_inputs)
        values = document.section(DATASETS).values()
        if all(len(input_parts(bytes(value))[2]) > 3 for value in values):  # type: ignore[arg-type]
            return run
        experiment_id = document.head["experiment_id"]
        inputs = []
        for _, used in sorted(
            (input_of(bytes(value)) for value in values),  # type: ignore[arg-type]
            key=lambda pair: pair[0],
        ):
            if used.dataset.source is None:
                fields = self._dataset(experiment_id, used.dataset.name, used.dataset.digest)
                used.dataset._source, used.dataset._schema, used.dataset._profile = fields[3:]
            inputs.append(used)
        model_inputs = run.inputs.model_inputs
        return Run(run.info, run.data, RunInputs(inputs, model_inputs), run.outputs)

    def _dataset(self, experiment_id: str, name: str, digest: str) -> Fields:
        items = list(self.table.query_all(keys.dataset(experiment_id, name, digest)))
        head, parts = items[0], items[1:]
        prefix = f"P#{head['content']}#"
        return fields_from(head, [part for part in parts if part["sk"].startswith(prefix)])

    def update_run_info(
        self,
        run_id: str,
        run_status: int | None,
        end_time: int | None,
        run_name: str | None,
    ) -> RunInfo:
        def change(document: Document) -> list[Action]:
            if run_status is not None:
                document.head["status"] = RunStatus.to_string(run_status)
            if end_time is not None:
                document.head["end_time"] = end_time
            if run_name:
                rename(document, run_name)
            return []

        return info_of(self._edit_run(run_id, change))

    def delete_run(self, run_id: str) -> None:
        self._edit_run(run_id, partial(move, stage=LifecycleStage.DELETED), active_only=False)
        self._run_deleted(run_id)

    def restore_run(self, run_id: str) -> None:
        self._edit_run(run_id, partial(move, stage=LifecycleStage.ACTIVE), active_only=False)


def rename(document: Document, name: str) -> None:
    """The name of a run is an attribute and a tag."""
    document.head["name"] = name
    document.set(TAGS, MLFLOW_RUN_NAME, name)


def _named(run_name: str | None, tags: list[RunTag]) -> tuple[str, list[RunTag]]:
    tagged = _get_run_name_from_tags(tags)
    if run_name and tagged and run_name != tagged:
        raise MlflowException(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
            f"different values (run_name='{run_name}', mlflow.runName='{tagged}').",
            INVALID_PARAMETER_VALUE,
        )
    name = run_name or tagged or _generate_random_name()
    return name, tags if tagged else [*tags, RunTag(MLFLOW_RUN_NAME, name)]


def move(document: Document, stage: str) -> list[Action]:
    """Change a run's stage."""
    deleted = stage == LifecycleStage.DELETED
    now = get_current_time_millis() if deleted else None
    document.head |= {"stage": stage, "deleted_time": now}
    return [deletion_mark(document)]
