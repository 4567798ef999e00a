"""Logged models: create, read, finalize, tag, delete softly and for good."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence

from mlflow.entities import (
    LifecycleStage,
    LoggedModel,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS
from mlflow.utils.name_utils import _generate_random_name
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import _validate_logged_model_name

from dynamodb_store import documents, keys, schema
from dynamodb_store.documents import Document
from dynamodb_store.entities.logged_model import (
    MEASURED,
    PARAMS,
    SECTIONS,
    TAGS,
    entry,
    entry_key,
    id_of,
    is_deleted,
    metrics_of,
    model_of,
    no_model,
    slot,
)
from dynamodb_store.entities.run import COPIED
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import check_experiment_active
from dynamodb_store.tracking.logged_models.metrics import ModelMetrics

_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)


class LoggedModels(ModelMetrics):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: list[LoggedModelTag] | None = None,
        params: list[LoggedModelParameter] | None = None,
        model_type: str | None = None,
    ) -> LoggedModel:
        _validate_logged_model_name(name)
        experiment = self._experiment(experiment_id, _ALL)
        check_experiment_active(experiment)
        model_id = f"m-{uuid.uuid4().hex}"
        now = get_current_time_millis()
        head = {
            "experiment_id": experiment.pk.removeprefix("E#"),
            "name": name or _generate_random_name(),
            "artifact_location": append_to_uri_path(
                experiment.head["artifact_location"], "models", model_id, "artifacts"
            ),
            "creation_time": now,
            "last_update_time": now,
            "status": LoggedModelStatus.PENDING.to_int(),
            "status_message": None,
            "stage": LifecycleStage.ACTIVE,
            "model_type": model_type,
            "source_run_id": source_run_id,
            MEASURED: False,
            COPIED: False,
        }
        document = Document(keys.logged_model(model_id), head, SECTIONS)
        for section, values in ((TAGS, tags), (PARAMS, params)):
            for key, value in _distinct(values or ()):
                document.set(section, slot(key), value)
        if document.size > schema.TRANSACTION_BYTES:
            raise MlflowException.invalid_parameter_value(
                f"Tags and params of {document.size} bytes are too many to create a logged model "
                f"with; at most {schema.TRANSACTION_BYTES}. Log params in several calls."
            )
        documents.create(self.table, document, [entry(document)])
        return model_of(document)

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> LoggedModel:
        pk = keys.logged_model(model_id)
        items = list(self.table.query_all(pk))
        measured = [item for item in items if item["sk"].startswith(keys.MODEL_METRICS)]
        kept = [item for item in items if not item["sk"].startswith(keys.MODEL_METRICS)]
        document = documents.assemble(kept, pk, SECTIONS)
        if document is None or (is_deleted(document) and not allow_deleted):
            raise no_model(model_id)
        return model_of(document, metrics_of(model_id, measured))

    def _model_metrics(self, model_id: str) -> list[Metric]:
        items = self.table.query_all(keys.logged_model(model_id), prefix=keys.MODEL_METRICS)
        return metrics_of(model_id, items)

    def finalize_logged_model(self, model_id: str, status: LoggedModelStatus) -> LoggedModel:
        def finalize(document: Document) -> list[Action]:
            now = get_current_time_millis()
            document.head |= {"status": status.to_int(), "last_update_time": now}
            return [_deleted(document)] if is_deleted(document) else []

        document = self._edit_model(model_id, finalize)
        measured = document.head[MEASURED]
        return model_of(document, self._model_metrics(model_id) if measured else ())

    def delete_logged_model(self, model_id: str) -> None:
        def delete(document: Document) -> list[Action]:
            now = get_current_time_millis()
            document.head |= {"stage": LifecycleStage.DELETED, "last_update_time": now}
            return [_deleted(document)]

        self._edit_model(model_id, delete)

    def log_logged_model_params(self, model_id: str, params: list[LoggedModelParameter]) -> None:
        """Add params; one that is there with the same value is left alone.

        MLflow's SQL store refuses that too, which its client's repeat of a call would run into.
        """

        def change(document: Document) -> list[Action] | None:
            touched = False
            for key, value in _distinct(params):  # a model that is not there counts first
                old = document.get(PARAMS, slot(key))
                if old is None:
                    document.set(PARAMS, slot(key), value)
                    touched = True
                elif old != value:
                    raise MlflowException(
                        f"Param {key!r} of logged model {model_id!r} is {old!r}; params cannot "
                        f"be changed, here to {value!r}.",
                        BAD_REQUEST,
                    )
            return [] if touched else None

        self._edit_model(model_id, change)

    def set_logged_model_tags(self, model_id: str, tags: list[LoggedModelTag]) -> None:
        for at in range(0, max(1, len({tag.key for tag in tags})), schema.SLICE):

            def change(document: Document, at: int = at) -> list[Action] | None:
                # All are looked at before the first is written, and the model before them.
                values = list({tag.key: _text(tag.key, tag.value) for tag in tags}.items())
                part = values[at : at + schema.SLICE]
                for key, value in part:
                    document.set(TAGS, slot(key), value)
                return [] if part else None

            self._edit_model(model_id, change)

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        had_it: list[bool] = []

        def change(document: Document) -> list[Action] | None:
            if document.get(TAGS, slot(key)) is not None:
                had_it.append(True)
                document.remove(TAGS, slot(key))
                return []
            if had_it:  # an attempt whose answer got lost removed it, or another writer
                return None
            raise MlflowException(
                f"No tag with key {key!r} found for model with ID {model_id!r}.",
                RESOURCE_DOES_NOT_EXIST,
            )

        self._edit_model(model_id, change)

    def set_model_versions_tags(self, name: str, version: str, model_id: str) -> None:
        """Note a registered version in the model's tag, whoever else notes one meanwhile."""
        added = {"name": name, "version": version}

        def change(document: Document) -> list[Action] | None:
            if is_deleted(document):
                raise no_model(model_id)
            old = document.get(TAGS, slot(MLFLOW_MODEL_VERSIONS))
            versions = json.loads(old) if old else []
            if added in versions:
                return None
            document.set(TAGS, slot(MLFLOW_MODEL_VERSIONS), json.dumps([*versions, added]))
            return []

        self._edit_model(model_id, change)

    def _get_deleted_logged_models(self, older_than: int = 0) -> list[str]:
        """Ids of the models deleted at least ``older_than`` milliseconds ago."""
        until = get_current_time_millis() - older_than
        shards = self.table.parallel(
            lambda shard: list(self.table.query_all(shard)), keys.deleted_logged_model_shards()
        )
        return [item["sk"] for items in shards for item in items if item["deleted_time"] <= until]

    def _hard_delete_logged_model(self, model_id: str) -> None:
        """Remove a model with its metrics. Raises MlflowException when there is none."""
        pk = keys.logged_model(model_id)
        document = documents.read(self.table, pk, SECTIONS)
        if document is None:
            raise no_model(model_id)
        rest = [(pk, item["sk"]) for item in self.table.query_all(pk) if item["sk"] != keys.HEAD]
        self.table.batch_write(deletes=rest)
        last = [(pk, keys.HEAD), entry_key(document), keys.deleted_logged_model(model_id)]
        self.table.transact([("Delete", {"Key": key}) for key in last])

    def _purge_experiment(self, experiment_id: str) -> None:
        for shard in keys.logged_model_shards(experiment_id):
            for item in list(self.table.query_all(shard)):
                try:
                    self._hard_delete_logged_model(item["sk"].partition("#")[2])
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
        super()._purge_experiment(experiment_id)


def _deleted(document: Document) -> Action:
    pk, sk = keys.deleted_logged_model(id_of(document))
    return (
        "Put",
        {"Item": {"pk": pk, "sk": sk, "deleted_time": document.head["last_update_time"]}},
    )


def _distinct(
    values: Iterable[LoggedModelTag | LoggedModelParameter],
) -> Sequence[tuple[str, str]]:
    """Names and texts. Raises MlflowException when a name comes twice, as in MLflow's SQL store."""
    found: dict[str, str] = {}
    for one in values:
        if one.key in found:
            raise MlflowException(f"{one.key!r} is given twice.", BAD_REQUEST)
        found[one.key] = _text(one.key, one.value)
    return list(found.items())


def _text(key: str, value: object) -> str:
    """A value as text. Raises MlflowException for none, and for one that no item can hold."""
    if value is None:
        raise MlflowException(f"The value of {key!r} is missing.", BAD_REQUEST)
    text = str(value)
    if len(text.encode()) > schema.PART_BYTES:
        raise MlflowException(
            f"The value of {key!r} has {len(text.encode())} bytes; at most {schema.PART_BYTES}.",
            INVALID_PARAMETER_VALUE,
        )
    return text
