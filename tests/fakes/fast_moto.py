"""moto with its slow habits taken out, so that tests of thousands of items take seconds, and one
call after the other: moto updates a new item in two steps, and another thread read the first.

For each action of a transaction moto copies the whole table, and for each query it sorts the whole
table. Here a copy is made of the partitions that the transaction names, once, and a query
looks at its own partition. The items of an answer become JSON by what they are; moto looks each
attribute up in the model of the service ten times over, which took longer than all the rest.
And botocore reads its description of DynamoDB once a process, not once a client. What DynamoDB
means by a call stays moto's.
"""

from __future__ import annotations

import base64
import copy
import functools
import threading
from typing import Any

import botocore.session
from botocore.loaders import create_loader
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

_transact = DynamoDBBackend.transact_write_items
_query = Table.query
_all_items = Table.all_items
_map = BaseJSONSerializer._serialize_type_map
_process = BotocoreStubber.process_request


def speed_up() -> None:
    """Change moto in this process; a second time does nothing."""
    botocore.session.create_loader = _one_loader
    DynamoDBBackend.transact_write_items = _transact_on_its_partitions  # type: ignore[method-assign]
    Table.query = _query_of_one_partition  # type: ignore[method-assign,assignment]
    Table.all_items = _items_looked_for  # type: ignore[method-assign]
    BaseJSONSerializer._serialize_type_map = _map_as_json  # type: ignore[method-assign]
    Table.__deepcopy__ = _copy_of_partitions  # type: ignore[attr-defined]
    BotocoreStubber.process_request = _one_at_a_time  # type: ignore[method-assign]


_one_loader = functools.cache(create_loader)


_at_work = threading.RLock()


def _one_at_a_time(self: Any, request: Any) -> Any:
    with _at_work:
        return _process(self, request)


class _Now(threading.local):
    """What the call of this thread is about: moto serves several threads with one table."""

    named: frozenset[str] | None = None
    copied: dict[int, Any] | None = None
    looked_for: tuple[Any, Any] | None = None


_now = _Now()


def _transact_on_its_partitions(self: Any, transact_items: list[dict[str, Any]]) -> None:
    named = set()
    for action in transact_items:
        ((_, parameters),) = list(action.items())[:1]
        key = parameters.get("Key") or parameters["Item"]
        named.add(key["pk"]["S"])
    _now.named, _now.copied = frozenset(named), {}
    try:
        _transact(self, transact_items)
    finally:
        _now.named = _now.copied = None


def _copy_of_partitions(self: Any, memo: dict[int, Any]) -> Any:
    named, copied = _now.named, _now.copied
    if named is None or copied is None:
        return _remade(self, {k: copy.deepcopy(v, memo) for k, v in vars(self).items()})
    if id(self) not in copied:
        items = copy.copy(self.items)
        for partition in [one for one in items if one.value in named]:
            items[partition] = copy.deepcopy(items[partition], memo)
        copied[id(self)] = _remade(self, {**vars(self), "items": items})
    return copied[id(self)]


def _remade(table: Any, fields: dict[str, Any]) -> Any:
    made = table.__class__.__new__(table.__class__)
    vars(made).update(fields)
    return made


def _query_of_one_partition(self: Any, hash_key: Any, *args: Any, **kwargs: Any) -> Any:
    if kwargs.get("index_name") or any(args[6:7]):
        return _query(self, hash_key, *args, **kwargs)
    _now.looked_for = (self, hash_key)
    try:
        return _query(self, hash_key, *args, **kwargs)
    finally:
        _now.looked_for = None


def _items_looked_for(self: Any) -> Any:
    table, wanted = _now.looked_for or (None, None)
    if table is not self or self.range_key_attr is None or self.hash_key_attr != "pk":
        return _all_items(self)
    return sorted(self.items.get(wanted, {}).values(), key=lambda item: item.range_key)


def _map_as_json(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if shape.value.name != "AttributeValue":
        _map(self, serialized, value, shape, key)
        return
    item = {name: _attribute(one) for name, one in value.items()}
    self._default_serialize(serialized, item, shape, key)


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    """An AttributeValue as it is on the wire."""
    ((kind, inner),) = value.items()
    match kind:
        case "M":
            return {kind: {name: _attribute(one) for name, one in inner.items()}}
        case "L":
            return {kind: [_attribute(one) for one in inner]}
        case "B":
            return {kind: _base64(inner)}
        case "BS":
            return {kind: [_base64(one) for one in inner]}
    return value


def _base64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
