"""What all mixins of the registry store share: finding a model by its name, changing it.

A model has an id for life; its name is an item that points to the id. Ids that were found are
remembered, and each is checked against the name in the model's own record, which is read anyway:
a remembered id costs no call and cannot be wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.utils.validation import _validate_model_name, _validate_model_version

from dynamodb_store import keys, records
from dynamodb_store.entities import model_version, registered_model
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Action, Table

_REMEMBERED = 20_000

ChangeModel = Callable[[Record], Sequence[Action] | None]
"""Changes the record in place and says what else to write; None: nothing to do."""
ChangeVersion = Callable[[Record, Record], Sequence[Action] | None]
"""The same for a model (first) and one of its versions."""


class Base(AbstractStore):
    """Holds ``table`` and the ids of the models that were used."""

    table: Table
    _ids: dict[str, str]

    def _model(self, name: str) -> Record:
        """The model's record. Raises MlflowException."""
        model: Record = self._model_and(name)[0]
        return model

    def _version(self, name: str, version: Any) -> tuple[Record, Record]:
        """The records of a model and of one of its versions. Raises MlflowException."""
        _validate_model_name(name)
        number = _validate_model_version(version)
        try:
            head, found = self._model_and(name, keys.version(number))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise no_version(name, version) from error
        if found is None or model_version.is_deleted(found.body):
            raise no_version(name, version)
        return head, found

    def _model_and(self, name: str, *sort_keys: str) -> list[Any]:
        """The model's record, and of its partition those with these keys, or None."""
        _validate_model_name(name)
        found = self._find(name, *sort_keys)
        if found is None:
            raise no_model(name)
        return found

    def _find(self, name: str, *sort_keys: str) -> list[Any] | None:
        """The same, None without such a model.

        One call; two when this process does not know the model's id, or knows an old one.
        """
        remembered = self._ids.get(name)
        if remembered and (found := self._read(remembered, name, sort_keys)):
            return found
        for _ in self.table.attempts():
            model_id = records.owner_of(self.table, keys.model_name(name))
            if model_id is None:
                return None
            self._remember(name, model_id)
            if found := self._read(model_id, name, sort_keys):
                return found
        raise AssertionError  # attempts() never ends by itself

    def _read(self, model_id: str, name: str, sort_keys: Sequence[str]) -> list[Any] | None:
        """None when the model is gone or has another name by now."""
        places = [(keys.model(model_id), sk) for sk in (keys.HEAD, *sort_keys)]
        found = {one.sk: one for one in records.get_many(self.table, places)}
        head = found.get(keys.HEAD)
        if head is None or head.body["name"] != name:
            return None
        return [found.get(sk) for _, sk in places]

    def _remember(self, name: str, model_id: str) -> None:
        if len(self._ids) >= _REMEMBERED:
            self._ids.clear()
        self._ids[name] = model_id

    def _edit_model(self, name: str, change: ChangeModel) -> Record:
        """Read, change, write, again when another writer was faster.

        ``change`` may be called several times. Raises what it raises, and ConditionFailed when an
        action of it fails (positions from 1).
        """
        for _ in self.table.attempts():
            head = self._model(name)
            also = change(head)
            if also is None:
                return head
            try:
                records.save(self.table, head, also)
                return head
            except ConditionFailed as failed:
                if 0 not in failed.failed:
                    raise
        raise AssertionError  # attempts() never ends by itself

    def _edit_version(
        self, name: str, version: Any, change: ChangeVersion
    ) -> tuple[Record, Record]:
        """The same for a version; the model is written too when ``change`` changed it, when it
        holds a copy of the version, and with any other item: its revision guards the lists of
        versions by stage."""
        for _ in self.table.attempts():
            head, found = self._version(name, version)
            before = copy.deepcopy(head.body)
            also = change(head, found)
            if also is None:
                return head, found
            number = model_version.number_of(found.sk)
            if registered_model.is_latest(head.body, number, found.body["stage"]):
                registered_model.make_latest(head.body, number, found.body)
            same = head.body == before and not also
            heads = [] if same else [records.put_action(self.table, head)]
            try:
                records.save(self.table, found, [*heads, *also])
                return head, found
            except ConditionFailed:
                continue
        raise AssertionError  # attempts() never ends by itself

    def _get_body(self, head: Record, number: int) -> Body:
        """The body of a version that the model's record points to."""
        found = records.get(self.table, head.partition, keys.version(number))
        if found is None:  # the model was deleted meanwhile
            raise no_version(head.body["name"], number)
        return found.body


def no_model(name: str) -> MlflowException:
    """MLflow's error for a model that does not exist."""
    return MlflowException(f"Registered Model with name={name} not found", RESOURCE_DOES_NOT_EXIST)


def no_version(name: str, version: Any) -> MlflowException:
    """MLflow's error for a version that does not exist."""
    return MlflowException(
        f"Model Version (name={name}, version={version}) not found", RESOURCE_DOES_NOT_EXIST
    )
