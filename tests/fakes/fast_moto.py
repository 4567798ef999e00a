"""moto with two quadratic habits taken out, so that tests of thousands of items take seconds.

For each action of a transaction moto copies the whole table, and for each query it sorts the whole
table. Here a copy is made of the partitions that the transaction names, once, and a query
looks at its own partition. What DynamoDB means by a call stays moto's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

_transact = DynamoDBBackend.transact_write_items
_query = Table.query
_all_items = Table.all_items


def speed_up() -> None:
    """Change moto in this process; a second time does nothing."""
    DynamoDBBackend.transact_write_items = _transact_on_its_partitions  # type: ignore[method-assign]
    Table.query = _query_of_one_partition  # type: ignore[method-assign,assignment]
    Table.all_items = _items_looked_for  # type: ignore[method-assign]
    Table.__deepcopy__ = _copy_of_partitions  # type: ignore[attr-defined]


def _transact_on_its_partitions(self: Any, transact_items: list[dict[str, Any]]) -> None:
    named = set()
    for action in transact_items:
        ((_, parameters),) = list(action.items())[:1]
        key = parameters.get("Key") or parameters["Item"]
        named.add(key["pk"]["S"])
    tables = list(self.tables.values())
    for table in tables:
        table._named, table._copied = named, None
    try:
        _transact(self, transact_items)
    finally:
        for table in tables:
            del table._named, table._copied


def _copy_of_partitions(self: Any, memo: dict[int, Any]) -> Any:
    named = getattr(self, "_named", None)
    if named is None:
        fields = {name: copy.deepcopy(value, memo) for name, value in vars(self).items()}
    else:
        if self._copied is not None:
            return self._copied
        fields = {k: v for k, v in vars(self).items() if k not in ("_named", "_copied")}
        items = copy.copy(self.items)
        for partition in [one for one in items if one.value in named]:
            items[partition] = copy.deepcopy(items[partition], memo)
        fields["items"] = items
    made = copy.copy(self)
    vars(made).clear()
    vars(made).update(fields)
    if named is not None:
        self._copied = made
    return made


def _query_of_one_partition(self: Any, hash_key: Any, *args: Any, **kwargs: Any) -> Any:
    if kwargs.get("index_name") or any(args[6:7]):
        return _query(self, hash_key, *args, **kwargs)
    with _looking_for(self, hash_key):
        return _query(self, hash_key, *args, **kwargs)


@contextmanager
def _looking_for(table: Any, hash_key: Any) -> Iterator[None]:
    table._looked_for = hash_key
    try:
        yield
    finally:
        del table._looked_for


def _items_looked_for(self: Any) -> Any:
    wanted = getattr(self, "_looked_for", None)
    if wanted is None or self.range_key_attr is None or self.hash_key_attr != "pk":
        return _all_items(self)
    return sorted(self.items.get(wanted, {}).values(), key=lambda item: item.range_key)
