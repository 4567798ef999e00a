"""Stages and deletion of versions: what moves a version from one stage to another.

The versions of each stage are listed in the model's partition, so the latest of a stage that lost
its latest is one Query away, also with 10,000 versions.
"""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry.model_version_stages import (
    DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS,
    STAGE_ARCHIVED,
    get_canonical_stage,
)
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _validate_model_version

from dynamodb_store import keys, records
from dynamodb_store.entities.model_version import number_of, redact, version_of
from dynamodb_store.entities.registered_model import is_latest, make_latest
from dynamodb_store.records import Record
from dynamodb_store.registry.base import Base
from dynamodb_store.registry.versions import places
from dynamodb_store.table import Action

ARCHIVED_AT_ONCE = 10
"""Of versions that lie in one stage: three items each, the version up to 300 KB, in one
transaction of at most 100 items and 4 MB."""


class Stages(Base):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool
    ) -> ModelVersion:
        target = get_canonical_stage(stage)
        if archive_existing_versions and target not in DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS:
            raise MlflowException(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are "
                f"{DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS}"
            )
        now = get_current_time_millis()
        left = 0

        def change(head: Record, found: Record) -> list[Action]:
            nonlocal left
            number, old = number_of(found.sk), found.body["stage"]
            actions: list[Action] = []
            if old != target:
                actions = [*self._leave(head, number, old), *_move(head, number, old, target)]
            if archive_existing_versions:
                archived, left = self._archive(head, number, target, now)
                actions += archived
            head.body["updated"] = now
            found.body |= {"stage": target, "updated": now}
            make_latest(head.body, number, found.body)
            return actions

        # One transaction, unless very many versions have to be archived.
        head, found = self._edit_version(name, version, change)
        while left:
            head, found = self._edit_version(name, version, change)
        return version_of(head.body, number_of(found.sk), found.body)

    def _archive(self, head: Record, chosen: int, stage: str, now: int) -> tuple[list[Action], int]:
        """Archive the other versions of a stage, lowest first; also how many are left."""
        listed = self.table.query_all(head.partition, prefix=keys.in_stage(stage))
        numbers = [int(item["sk"].rpartition("#")[2]) for item in listed]
        others = [number for number in numbers if number != chosen]
        batch = others[:ARCHIVED_AT_ONCE]
        places_of = [(head.partition, keys.version(number)) for number in batch]
        actions: list[Action] = []
        for other in records.get_many(self.table, places_of) if batch else ():
            other.body |= {"stage": STAGE_ARCHIVED, "updated": now}
            make_latest(head.body, number_of(other.sk), other.body)
            actions.append(records.put_action(self.table, other))
            actions += _move(head, number_of(other.sk), stage, STAGE_ARCHIVED)
        if others and len(batch) == len(others):
            # Absent when another writer came between the reads: this write fails and is redone.
            head.body["latest"].pop(stage, None)
        return actions, len(others) - len(batch)

    def delete_model_version(self, name: str, version: str | int) -> None:
        number = _validate_model_version(version)

        def change(head: Record, found: Record) -> list[Action]:
            now = get_current_time_millis()
            aliases = head.body["aliases"]
            head.body["aliases"] = {alias: to for alias, to in aliases.items() if to != number}
            head.body["updated"] = now
            actions = self._leave(head, number, found.body["stage"])
            listed = places(head, number, found.body)
            redact(found.body, now)
            return [*actions, *(("Delete", {"Key": place}) for place in listed)]

        self._edit_version(name, version, change)

    def _leave(self, head: Record, number: int, stage: str) -> list[Action]:
        """A version leaves a stage: when it was its latest, the next one is found and copied."""
        if not is_latest(head.body, number, stage):
            return []
        del head.body["latest"][stage]
        items, _ = self.table.query(
            head.partition, prefix=keys.in_stage(stage), reverse=True, limit=2
        )
        numbers = [int(item["sk"].rpartition("#")[2]) for item in items]
        for next_one in (one for one in numbers if one != number):
            found = records.get(self.table, head.partition, keys.version(next_one))
            if found is None:  # the model was deleted meanwhile: the write will fail
                break
            make_latest(head.body, next_one, found.body)
            return [_touch(found)]
        return []


def _touch(record: Record) -> Action:
    """Counts up the revision of a version that was copied: who read it before has to read again,
    and sees that there is a copy to renew."""
    return (
        "Update",
        {
            "Key": (record.partition, record.sk),
            "UpdateExpression": "SET rev = :next",
            "ConditionExpression": "rev = :rev",
            "ExpressionAttributeValues": {":rev": record.revision, ":next": record.revision + 1},
        },
    )


def _move(head: Record, number: int, old: str, new: str) -> list[Action]:
    place: Any = {"pk": head.partition, "sk": keys.in_stage(new, number)}
    return [
        ("Delete", {"Key": (head.partition, keys.in_stage(old, number))}),
        ("Put", {"Item": place}),
    ]
