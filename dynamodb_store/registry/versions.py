"""Model versions: create, read, update, tag.

A version is created by the model's next revision: two who create one at a time get two numbers.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import _STORE_PROMPT_SOURCE_PLACEHOLDER
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _validate_model_name,
    _validate_model_version,
    _validate_model_version_tag,
    _validate_tag_name,
)

from dynamodb_store import keys, records
from dynamodb_store.entities.model_version import is_prompt, new_version, version_of
from dynamodb_store.entities.registered_model import id_of, make_latest
from dynamodb_store.records import Body, Record
from dynamodb_store.registry.base import Base
from dynamodb_store.table import Action


class Versions(Base):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    tracking_uri: str | None

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[ModelVersionTag] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        _validate_model_name(name)
        for tag in tags or ():
            _validate_model_version_tag(tag.key, tag.value)
        storage_location, run_id = self._resolve(source, run_id)
        if not run_id and model_id:
            run_id = self._logged_model(model_id).source_run_id
        now = get_current_time_millis()
        body = new_version(
            now,
            tags or (),
            source=source,
            storage_location=storage_location,
            run_id=run_id,
            run_link=run_link,
            description=description,
        )

        def change(head: Record) -> list[Action]:
            number = head.body["last"] + 1
            head.body |= {"last": number, "updated": now}
            head.body["prompts"] += is_prompt(body)
            make_latest(head.body, number, body)
            made = Record(head.partition, keys.version(number), body)
            return [records.put_action(self.table, made), *_put(places(head, number, body))]

        head = self._edit_model(name, change)
        return version_of(head.body, head.body["last"], body)

    def _resolve(self, source: str, run_id: str | None) -> tuple[str | None, str | None]:
        """Where the files of a ``models:/`` source lie, and the run that made them."""
        if urllib.parse.urlparse(source).scheme != "models":
            return source, run_id
        try:
            parsed = _parse_model_uri(source)
            if parsed.model_id is None:
                return self.get_model_version_download_uri(parsed.name, parsed.version), run_id
            model = self._logged_model(parsed.model_id)
            return model.artifact_location, run_id or model.source_run_id
        except Exception as error:
            raise MlflowException(
                f"Unable to fetch model from model URI source artifact location '{source}'."
                f"Error: {error}"
            ) from error

    def _logged_model(self, model_id: str) -> Any:
        from mlflow.tracking.client import MlflowClient  # imports this package's caller

        return MlflowClient(tracking_uri=self.tracking_uri).get_logged_model(model_id)

    def get_model_version(self, name: str, version: str | int) -> ModelVersion:
        return self._as_entity(*self._version(name, version))

    def get_model_version_download_uri(self, name: str, version: str | int | None) -> Any:
        _, found = self._version(name, version)
        return found.body["storage_location"] or found.body["source"]

    def update_model_version(
        self, name: str, version: str | int, description: str | None = None
    ) -> ModelVersion:
        def change(_: Record, found: Record) -> list[Action]:
            found.body |= {"description": description, "updated": get_current_time_millis()}
            return []

        return self._as_entity(*self._edit_version(name, version, change))

    def set_model_version_tag(self, name: str, version: str | int, tag: ModelVersionTag) -> None:
        _validate_model_name(name)
        _validate_model_version(version)
        _validate_model_version_tag(tag.key, tag.value)

        def change(head: Record, found: Record) -> list[Action]:
            before = is_prompt(found.body)
            found.body["tags"][tag.key] = tag.value
            head.body["prompts"] += is_prompt(found.body) - before
            return []

        self._edit_version(name, version, change)

    def delete_model_version_tag(self, name: str, version: str | int, key: str) -> None:
        _validate_model_name(name)
        _validate_model_version(version)
        _validate_tag_name(key)

        def change(head: Record, found: Record) -> list[Action] | None:
            if key not in found.body["tags"]:
                return None
            before = is_prompt(found.body)
            del found.body["tags"][key]
            head.body["prompts"] += is_prompt(found.body) - before
            return []

        self._edit_version(name, version, change)

    def _as_entity(self, head: Record, found: Record) -> ModelVersion:
        return version_of(head.body, int(found.sk.removeprefix(keys.VERSIONS)), found.body)


def places(head: Record, number: int, body: Body) -> list[keys.Key]:
    """The items that list a version by its stage, its run and its source.

    All prompts have one source, which says nothing and would make one partition hot.
    """
    model_id = id_of(head.partition)
    listed = [(head.partition, keys.in_stage(body["stage"], number))]
    if body["run_id"]:
        listed.append((keys.versions_of_run(body["run_id"]), keys.version_entry(model_id, number)))
    if is_listed_source(body["source"]):
        listed.append(
            (keys.versions_of_source(body["source"]), keys.version_entry(model_id, number))
        )
    return listed


def is_listed_source(source: str | None) -> bool:
    """Whether versions of this source are listed by it."""
    return bool(source) and source != _STORE_PROMPT_SOURCE_PLACEHOLDER


def _put(listed: Sequence[keys.Key]) -> list[Action]:
    return [("Put", {"Item": {"pk": pk, "sk": sk}}) for pk, sk in listed]
