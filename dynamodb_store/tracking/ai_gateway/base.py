"""What the AI gateway's mixins share: records by id or name, and writes that guard each other.

A write of one record often needs another to be there, or not to be used. Such a condition is a
*guard*: an action of the same transaction, with the error that MLflow answers when it fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from dynamodb_store import keys, records
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.keys import Key
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base

MakeError = Callable[[], MlflowException]


@dataclass(frozen=True)
class Kind:
    """One kind of record, and the words of MLflow's errors about it."""

    partition: str
    entity: str
    id_field: str
    name_field: str = "name"

    def missing(self, **asked: str | None) -> MlflowException:
        """MLflow's error for a record that is not there, by what was asked for."""
        words = ", ".join(f"{name}='{value}'" for name, value in asked.items())
        return MlflowException(f"{self.entity} not found ({words})", RESOURCE_DOES_NOT_EXIST)

    def missing_id(self, sk: str) -> MlflowException:
        """The error for an id that is not there."""
        return self.missing(**{self.id_field: sk})


SECRET = Kind(keys.SECRETS, "GatewaySecret", "secret_id", "secret_name")
DEFINITION = Kind(keys.DEFINITIONS, "GatewayModelDefinition", "model_definition_id")
ENDPOINT = Kind(keys.ENDPOINTS, "GatewayEndpoint", "endpoint_id")
BUDGET = Kind(keys.BUDGETS, "BudgetPolicy", "budget_policy_id")
GUARDRAIL = Kind(keys.GUARDRAILS, "Guardrail", "guardrail_id")


@dataclass
class Guards:
    """Actions that a record is written with, each with the error for when it is refused."""

    actions: list[Action] = field(default_factory=list)
    errors: list[MakeError | None] = field(default_factory=list)

    def add(self, action: Action, error: MakeError | None = None) -> None:
        """One more action; ``error`` None: it has no condition."""
        self.actions.append(action)
        self.errors.append(error)

    def take(self, kind: Kind, name: str, owner: str, error: MakeError) -> None:
        """The record gets a unique name."""
        self.add(records.take_name(keys.gateway_name(kind.partition, name), owner), error)

    def free(self, kind: Kind, name: str) -> None:
        """The record gives a unique name up."""
        self.add(records.free_name(keys.gateway_name(kind.partition, name)))

    def needs(self, kind: Kind, sk: str, entity: str | None = None) -> None:
        """Another record has to be there."""
        named = kind if entity is None else Kind(kind.partition, entity, kind.id_field)
        self.add(exists((kind.partition, sk)), lambda: named.missing_id(sk))

    def uses(self, counter: Key, change: int, error: MakeError) -> None:
        """A counter that has to be there moves."""
        parameters = {
            "Key": counter,
            "UpdateExpression": "ADD n :change",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":change": change},
        }
        self.add(("Update", parameters), error)

    def refused(self, failed: ConditionFailed, first: int = 1) -> Exception:
        """The error of the first guard that failed; ``first`` is the position of ours."""
        for position in failed.failed:
            error = self.errors[position - first] if position >= first else None
            if error is not None:
                made: Exception = error()
                return made
        return failed


class GatewayBase(Base):
    """Reads and guarded writes of the AI gateway's records."""

    def _record(self, kind: Kind, sk: str) -> Record:
        """The record of an id. Raises MlflowException."""
        found = records.get(self.table, kind.partition, sk) if sk else None
        if found is None:
            raise kind.missing_id(sk)
        return found

    def _by_name(self, kind: Kind, name: str | None) -> Record:
        """The record of a name. Raises MlflowException."""
        owner = name is not None and records.owner_of(
            self.table, keys.gateway_name(kind.partition, name)
        )
        found = records.get(self.table, kind.partition, owner) if owner else None
        # Between the two reads it may have been renamed or removed.
        if found is None or found.body["name"] != name:
            raise kind.missing(**{kind.name_field: name})
        return found

    def _all(self, kind: Kind) -> list[Record]:
        """All records of a kind as MLflow lists them: in the order of their creation."""
        return in_order(records.listed(self.table, kind.partition))

    def _create(self, record: Record, guards: Guards) -> None:
        """Write a new record. Raises the error of the guard that failed."""
        try:
            records.create(self.table, record, also=guards.actions)
        except ConditionFailed as failed:
            raise guards.refused(failed) from failed

    def _edit(self, kind: Kind, sk: str, change: Callable[[Record, Guards], None]) -> Record:
        """Change a record; ``change`` may be called several times. Raises what guards raise."""
        guards = Guards()

        def changed(record: Record) -> list[Action]:
            guards.actions, guards.errors = [], []
            change(record, guards)
            return guards.actions

        if not sk:  # no item can have it, and DynamoDB refuses to look
            raise kind.missing_id(sk)
        try:
            return records.edit(
                self.table, kind.partition, sk, lambda: kind.missing_id(sk), changed
            )
        except ConditionFailed as failed:
            raise guards.refused(failed) from failed

    def _remove(self, kind: Kind, sk: str, change: Callable[[Record, Guards], None]) -> Record:
        """Remove a record with what ``change`` adds; again when another writer was faster."""
        for _ in self.table.attempts():
            record = self._record(kind, sk)
            guards = Guards()
            change(record, guards)
            try:
                records.delete(self.table, record, guards.actions)
                return record
            except ConditionFailed as failed:
                if 0 not in failed.failed:
                    raise guards.refused(failed) from failed
        raise AssertionError  # attempts() never ends by itself


def exists(key: Key) -> Action:
    """The condition that an item is there."""
    return ("ConditionCheck", {"Key": key, "ConditionExpression": "attribute_exists(pk)"})


def in_order(found: Iterable[Record]) -> list[Record]:
    """Records in the order of their creation."""
    return sorted(found, key=lambda record: (record.body["made"], record.sk))


def stamped(now: int, by: str | None) -> Body:
    """Who and when of a new record; ``made`` keeps the order within a millisecond."""
    return {
        "created_at": now,
        "last_updated_at": now,
        "created_by": by,
        "last_updated_by": by,
        "made": time.time_ns(),
    }


def touched(body: Body, now: int, by: str | None) -> None:
    """Who and when of a change; nobody named leaves the last one who was."""
    body["last_updated_at"] = now
    if by:
        body["last_updated_by"] = by
