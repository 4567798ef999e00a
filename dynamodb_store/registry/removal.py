"""Deleting a registered model with all its versions.

One small transaction takes the model, its name and its place in the list away, so that nobody
sees half a model; its versions, which nothing points to any more, are removed after that. A mark
stays until they are gone: what was cut short is finished by the next deletion of any model.
"""

from __future__ import annotations

from dynamodb_store import keys, records
from dynamodb_store.entities.model_version import is_deleted, number_of
from dynamodb_store.entities.registered_model import entry_key, id_of
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.registry.base import Base
from dynamodb_store.registry.versions import places

_AT_ONCE = 500


class Removal(Base):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def delete_registered_model(self, name: str) -> None:
        for _ in self.table.attempts():
            head = self._model(name)
            mark = {"pk": keys.DELETED_MODELS, "sk": id_of(head.partition)}
            try:
                records.delete(
                    self.table,
                    head,
                    [
                        records.free_name(keys.model_name(name)),
                        ("Delete", {"Key": entry_key(head.body)}),
                        ("Put", {"Item": mark}),
                    ],
                )
                break
            except ConditionFailed:
                continue
        self._ids.pop(name, None)
        for left in self.table.query_all(keys.DELETED_MODELS):
            self._remove_versions(left["sk"])

    def _remove_versions(self, model_id: str) -> None:
        partition, after = keys.model(model_id), None
        while True:
            items, after = self.table.query(
                partition, prefix=keys.VERSIONS, after=after, limit=_AT_ONCE
            )
            found = [records.of_item(self.table, item) for item in items]
            listed = [
                place
                for one in found
                if not is_deleted(one.body)
                for place in places(one, number_of(one.sk), one.body)
            ]
            # The lists by stage, run and source first: the versions say where those are.
            self.table.batch_write(deletes=listed)
            self.table.batch_write(deletes=[(one.partition, one.sk) for one in found])
            for item in items:
                if "parts" in item:
                    records.remove_parts(self.table, partition, item["sk"])
            if after is None:
                break
        self.table.batch_write(deletes=[(keys.DELETED_MODELS, model_id)])
