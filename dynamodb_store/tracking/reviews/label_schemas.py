"""Label schemas: the questions that reviewers answer about traces, by experiment.

A schema lies in its experiment's list (newest first, MLflow's order); a pointer finds it by its id
and an item keeps its name unique. MLflow promises each experiment a default question, which is
made when the list is first read.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mlflow.entities import LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.genai.label_schemas.label_schemas import InputText, LabelSchema, LabelSchemaType
from mlflow.genai.label_schemas.validation import (
    DEFAULT_LABEL_SCHEMA_INSTRUCTION,
    DEFAULT_LABEL_SCHEMA_NAME,
    validate_schema_for_create,
    validate_schema_for_update,
)
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.label_schema import body_of, input_body, label_schema_of
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from dynamodb_store.search.page import check_max_results
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base, canonical_id

ACTIVE = LifecycleStage.view_type_to_stages(ViewType.ACTIVE_ONLY)
_logger = logging.getLogger(__name__)


class LabelSchemas(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_label_schema(
        self,
        experiment_id: str,
        *,
        name: str,
        type: Any,
        input: Any,
        instruction: str | None = None,
        enable_comment: bool = False,
    ) -> LabelSchema:
        validate_schema_for_create(
            name=name,
            type=type,
            input=input,
            instruction=instruction,
            enable_comment=enable_comment,
        )
        self._experiment(experiment_id, ACTIVE)
        schema = LabelSchema(
            name=name,
            type=LabelSchemaType(str(type)),
            input=input,
            instruction=instruction,
            enable_comment=enable_comment,
            experiment_id=canonical_id(experiment_id),
        )
        try:
            return self._put_label_schema(schema)
        except ConditionFailed as failed:
            raise _name_taken(name, canonical_id(experiment_id)) from failed

    def _put_label_schema(self, schema: LabelSchema) -> LabelSchema:
        now = get_current_time_millis()
        schema_id, experiment_id = f"ls-{uuid.uuid4().hex}", str(schema.experiment_id)
        made = replace(schema, schema_id=schema_id, created_at=now, updated_at=now)
        place = keys.newest_first(now, schema_id)
        record = Record(keys.label_schemas(experiment_id), place, body_of(made))
        pointer = records.take_pointer(keys.label_schema(schema_id), record)
        name = keys.label_schema_name(experiment_id, schema.name)
        records.create(self.table, record, [name], [pointer])
        return made

    def get_label_schema(self, schema_id: str) -> LabelSchema:
        record = records.find(self.table, keys.label_schema(schema_id))
        if record is None:
            raise _no_schema(schema_id)
        return label_schema_of(record.body)

    def get_label_schema_by_name(self, experiment_id: str, name: str) -> LabelSchema:
        canonical = canonical_id(experiment_id)
        _, owner = self.table.at_once(
            [
                lambda: self._experiment(canonical, ACTIVE),
                lambda: records.owner_of(self.table, keys.label_schema_name(canonical, name)),
            ],
        )
        record = owner and records.get(self.table, keys.label_schemas(canonical), str(owner))
        # Between the two reads it may have been renamed.
        if not isinstance(record, Record) or record.body["name"] != name:
            raise MlflowException(
                f"Label schema with name '{name}' not found for experiment '{experiment_id}'.",
                error_code=RESOURCE_DOES_NOT_EXIST,
            )
        return label_schema_of(record.body)

    def list_label_schemas(
        self, experiment_id: str, max_results: int = 100, page_token: str | None = None
    ) -> PagedList[LabelSchema]:
        check_max_results(max_results)
        offset = SearchUtils.parse_start_offset_from_page_token(page_token) if page_token else 0
        canonical = canonical_id(experiment_id)
        reads: list[Callable[[], Any]] = [
            lambda: self._experiment(canonical, ACTIVE),
            lambda: self._label_schemas(canonical),
        ]
        _, found = self.table.at_once(reads)
        if not any(schema.is_default for schema in found):
            self._seed_label_schema(canonical)
            found = self._label_schemas(canonical)
        end = offset + max_results
        token = SearchUtils.create_page_token(end) if len(found) > end else None
        return PagedList(found[offset:end], token)

    def _label_schemas(self, experiment_id: str) -> list[LabelSchema]:
        listed = records.listed(self.table, keys.label_schemas(experiment_id))
        return [label_schema_of(record.body) for record in listed]

    def _seed_label_schema(self, experiment_id: str) -> None:
        try:
            self._put_label_schema(
                LabelSchema(
                    name=DEFAULT_LABEL_SCHEMA_NAME,
                    type=LabelSchemaType.FEEDBACK,
                    input=InputText(),
                    instruction=DEFAULT_LABEL_SCHEMA_INSTRUCTION,
                    experiment_id=experiment_id,
                    is_default=True,
                )
            )
        except ConditionFailed:
            _logger.debug("experiment %s has got its default question", experiment_id)

    def update_label_schema(
        self,
        schema_id: str,
        *,
        name: str | None = None,
        instruction: str | None = None,
        enable_comment: bool | None = None,
        input: Any = None,
    ) -> LabelSchema:
        experiment_ids: list[str] = []

        def change(record: Record) -> list[Action]:
            body = record.body
            experiment_ids.append(body["experiment_id"])
            validate_schema_for_update(
                existing=label_schema_of(body),
                name=name,
                instruction=instruction,
                enable_comment=enable_comment,
                input=input,
            )
            also = _rename(record, name)
            given = {"name": name, "instruction": instruction, "enable_comment": enable_comment}
            body.update({field: value for field, value in given.items() if value is not None})
            if input is not None:
                body["input"] = input_body(input)
            body["updated"] = get_current_time_millis()
            return also

        try:
            changed = records.edit_found(
                self.table,
                lambda: records.find(self.table, keys.label_schema(schema_id)),
                lambda: _no_schema(schema_id),
                change,
            )
        except ConditionFailed as failed:
            raise _name_taken(name, experiment_ids[-1]) from failed
        return label_schema_of(changed.body)

    def delete_label_schema(self, schema_id: str) -> None:
        def also(record: Record) -> list[Action]:
            if record.body["is_default"]:
                raise MlflowException(
                    "The experiment's default question cannot be deleted.",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            return [records.free_name(key) for key in _names(record)]

        records.delete_found(
            self.table,
            lambda: records.find(self.table, keys.label_schema(schema_id)),
            None,
            also,
        )

    def _purge_experiment(self, experiment_id: str) -> None:
        for record in list(records.listed(self.table, keys.label_schemas(experiment_id))):
            records.delete(self.table, record, [records.free_name(key) for key in _names(record)])
        super()._purge_experiment(experiment_id)


def _names(record: Record) -> list[keys.Key]:
    body = record.body
    name = keys.label_schema_name(body["experiment_id"], body["name"])
    return [name, keys.label_schema(body["id"])]


def _rename(record: Record, name: str | None) -> list[Action]:
    old, experiment_id = record.body["name"], record.body["experiment_id"]
    if name is None or name == old:
        return []
    return [
        records.take_name(keys.label_schema_name(experiment_id, name), record.sk),
        records.free_name(keys.label_schema_name(experiment_id, old)),
    ]


def _no_schema(schema_id: str) -> MlflowException:
    return MlflowException(
        f"Label schema with id '{schema_id}' not found.", error_code=RESOURCE_DOES_NOT_EXIST
    )


def _name_taken(name: str | None, experiment_id: str) -> MlflowException:
    return MlflowException(
        f"Label schema with name '{name}' already exists for experiment '{experiment_id}'.",
        error_code=RESOURCE_ALREADY_EXISTS,
    )
