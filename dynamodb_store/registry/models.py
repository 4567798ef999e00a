"""Registered models: create, read, update, rename, tag; their aliases and latest versions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from mlflow.entities.model_registry import ModelVersion, RegisteredModel, RegisteredModelTag
from mlflow.entities.model_registry.model_version_stages import ALL_STAGES, get_canonical_stage
from mlflow.exceptions import MlflowException
from mlflow.prompt.registry_utils import handle_resource_already_exist_error, has_prompt_tag
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_ALREADY_EXISTS
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST as NOT_FOUND
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _REGISTERED_MODEL_ALIAS_LATEST,
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
    _validate_model_renaming,
    _validate_model_version,
    _validate_registered_model_tag,
    _validate_tag_name,
)

from dynamodb_store import keys, records
from dynamodb_store.entities.model_version import is_deleted, version_of
from dynamodb_store.entities.registered_model import (
    entry,
    entry_key,
    id_of,
    latest_numbers,
    model_of,
    new_model,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from dynamodb_store.registry.base import Base, no_version
from dynamodb_store.table import Action


class Models(Base):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def create_registered_model(
        self,
        name: str,
        tags: list[RegisteredModelTag] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        _validate_model_name(name)
        for tag in tags or ():
            _validate_registered_model_tag(tag.key, tag.value)
        model_id = uuid.uuid4().hex
        body = new_model(name, get_current_time_millis(), tags or (), description)
        head = Record(keys.model(model_id), keys.HEAD, body)
        try:
            records.create(self.table, head, also=_named(head))
        except ConditionFailed:
            existing = self._model(name)
            handle_resource_already_exist_error(
                name, has_prompt_tag(existing.body["tags"]), has_prompt_tag(tags)
            )
        self._remember(name, model_id)
        return model_of(body, [])

    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        def change(head: Record) -> list[Action]:
            head.body |= {"description": description, "updated": get_current_time_millis()}
            return []

        return self._entity(self._edit_model(name, change))

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        _validate_model_renaming(new_name)

        def rename(head: Record) -> list[Action]:
            old, now = entry_key(head.body), get_current_time_millis()
            head.body |= {"name": new_name, "updated": now, "renamed": now}
            if new_name == name:
                return []
            return [*_named(head), records.free_name(keys.model_name(name)), _gone(old)]

        try:
            head = self._edit_model(name, rename)
        except ConditionFailed as failed:
            raise MlflowException(
                f"Registered Model (name={new_name}) already exists.", RESOURCE_ALREADY_EXISTS
            ) from failed
        self._remember(new_name, id_of(head.partition))
        return self._entity(head)

    def get_registered_model(self, name: str) -> RegisteredModel:
        return self._entity(self._model(name))

    def get_latest_versions(
        self, name: str, stages: Sequence[str] | None = None
    ) -> list[ModelVersion]:
        head = self._model(name)
        wanted = {get_canonical_stage(stage) for stage in stages or ALL_STAGES}
        latest = self._latest([head], aliases=True)[0]
        return [version for version in latest if version.current_stage in wanted]

    def _entity(self, head: Record) -> RegisteredModel:
        return model_of(head.body, self._latest([head])[0])

    def _latest(
        self, heads: Sequence[Record], *, aliases: bool = False
    ) -> list[list[ModelVersion]]:
        """The latest version of each stage, of each model; one more call for large versions."""
        copies = {
            (head.partition, keys.version(one["version"])): one["body"]
            for head in heads
            for one in head.body["latest"].values()
        }
        large = [place for place, body in copies.items() if body is None]
        for found in records.get_many(self.table, large) if large else ():
            if not is_deleted(found.body):  # since the model was read
                copies[(found.partition, found.sk)] = found.body
        return [
            [
                version_of(head.body, number, body, aliases=aliases)
                for number in latest_numbers(head.body)
                if (body := copies[(head.partition, keys.version(number))]) is not None
            ]
            for head in heads
        ]

    def set_registered_model_tag(self, name: str, tag: RegisteredModelTag) -> None:
        _validate_model_name(name)
        _validate_registered_model_tag(tag.key, tag.value)

        def change(head: Record) -> list[Action]:
            old = entry_key(head.body)
            head.body["tags"][tag.key] = tag.value
            return _moved(head, old)

        self._edit_model(name, change)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        _validate_model_name(name)
        _validate_tag_name(key)

        def change(head: Record) -> list[Action] | None:
            if key not in head.body["tags"]:
                return None
            old = entry_key(head.body)
            del head.body["tags"][key]
            return _moved(head, old)

        self._edit_model(name, change)

    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        _validate_model_name(name)
        _validate_model_alias_name(alias)
        _validate_model_alias_name_reserved(alias)
        number = _validate_model_version(version)
        for _ in self.table.attempts():
            head, _found = self._version(name, number)
            head.body["aliases"][alias] = number
            try:
                # Deleting the version would have changed the model: one condition is enough.
                records.save(self.table, head)
                return
            except ConditionFailed:
                continue

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        _validate_model_name(name)
        _validate_model_alias_name(alias)

        def change(head: Record) -> list[Action] | None:
            return None if head.body["aliases"].pop(alias, None) is None else []

        self._edit_model(name, change)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        _validate_model_name(name)
        _validate_model_alias_name(alias)
        if alias.lower() == _REGISTERED_MODEL_ALIAS_LATEST:
            versions = self.get_latest_versions(name)
            if not versions:
                raise MlflowException(f"Latest version not found for model {name}.", NOT_FOUND)
            return max(versions, key=lambda one: int(one.version))
        head = self._model(name)
        number = head.body["aliases"].get(alias)
        if number is None:
            raise MlflowException(
                f"Registered model alias {alias} not found.", INVALID_PARAMETER_VALUE
            )
        for latest in head.body["latest"].values():
            if latest["version"] == number and latest["body"] is not None:
                return version_of(head.body, number, latest["body"])
        body = self._get_body(head, number)
        if is_deleted(body):  # since the model was read
            raise no_version(name, number)
        return version_of(head.body, number, body)


def _named(head: Record) -> list[Action]:
    """Takes the model's name and its place in the list."""
    place = keys.model_name(head.body["name"])
    taken = {"pk": place[0], "sk": place[1], "owner": id_of(head.partition)}
    condition = {"Item": taken, "ConditionExpression": "attribute_not_exists(pk)"}
    return [("Put", condition), entry(head.partition, head.body)]


def _moved(head: Record, old: keys.Key) -> list[Action]:
    """A model that becomes a prompt, or the other way around, goes to the other list."""
    return [] if entry_key(head.body) == old else [entry(head.partition, head.body), _gone(old)]


def _gone(place: keys.Key) -> Action:
    return ("Delete", {"Key": place})
