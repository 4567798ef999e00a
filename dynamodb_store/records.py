"""Records: the small, rarely written entities (secrets, endpoints, schemas, queues, webhooks …).

All records of a kind (of one owner) are items of one partition, so that a list is one Query and a
record one GetItem. A body is JSON, compressed; what does not fit into an item lies in parts that
are written first. Unique names are items of their own, written in the same transaction; a pointer
is one that also tells the partition, for records that are known by an id alone. Not for what many
people write at once: a partition takes 1,000 writes a second.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dynamodb_store import schema
from dynamodb_store.codec import Item
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.keys import Key
from dynamodb_store.table import Action, Table

Body = dict[str, Any]
"""What JSON can hold, doubles included: Python writes and reads them without losing a bit."""


@dataclass
class Record:
    """One record; ``body`` may be changed in place inside ``edit``."""

    partition: str
    sk: str
    body: Body
    revision: int = 0
    large: bool = field(default=False, compare=False)
    """Whether the body lay in parts when it was read."""


Change = Callable[[Record], Sequence[Action] | None]
"""Changes a record in place and returns what else to write with it; None: nothing to do."""


def get(table: Table, partition: str, sk: str) -> Record | None:
    """One record, strongly consistent."""
    item = table.get((partition, sk))
    return None if item is None else of_item(table, item)


def get_many(table: Table, keys: Sequence[Key]) -> list[Record]:
    """Those records of ``keys`` that exist, in the order of ``keys``."""
    found = {(item["pk"], item["sk"]): item for item in table.batch_get(list(dict.fromkeys(keys)))}
    return [of_item(table, found[key]) for key in keys if key in found]


def listed(table: Table, partition: str, **parameters: Any) -> Iterator[Record]:
    """The records of a partition in key order; ``parameters`` as of ``Table.query``."""
    for item in table.query_all(partition, **parameters):
        yield of_item(table, item)


def create(
    table: Table, record: Record, names: Iterable[Key] = (), also: Sequence[Action] = ()
) -> None:
    """Write a record that must not exist yet, and take unique names for it.

    Raises ConditionFailed: position 0 is the record, 1 and on the names, then ``also``.
    """
    put = put_new(table, record)
    table.transact([put, *(take_name(name, record.sk) for name in names), *also])
    record.revision += 1


def put_new(table: Table, record: Record) -> Action:
    """The write of a record that must not exist yet, for a transaction; parts are written here."""
    item = _item(table, record)
    return ("Put", {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"})


def put_content(table: Table, partition: str, name: Callable[[str], str], body: Body) -> str:
    """Write what never changes, under the hash of its content; returns its ``sk``.

    A repeat writes the same again. Written before the record that names it.
    """
    record = content_record(partition, name, body)
    table.put(_item(table, record))
    return record.sk


def content_record(partition: str, name: Callable[[str], str], body: Body) -> Record:
    """What never changes as a record under the hash of its content."""
    text = json.dumps(body, separators=(",", ":"))
    sk = name(sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])
    return Record(partition, sk, body)


def remove_all(table: Table, partition: str) -> None:
    """Remove all records of a partition that nothing names any more."""
    items = list(table.query_all(partition))
    table.batch_write(deletes=[(partition, item["sk"]) for item in items])
    for item in items:
        if "parts" in item:
            remove_parts(table, partition, item["sk"])


def edit(
    table: Table, partition: str, sk: str, missing: Callable[[], Exception], change: Change
) -> Record:
    """Read, change, write, again when another writer was faster; returns the record as written.

    ``change`` may be called several times. Raises what it raises, ``missing()`` when there is no
    such record, and ConditionFailed when an action of ``change`` fails (positions from 1).
    """
    return edit_found(table, lambda: get(table, partition, sk), missing, change)


def edit_found(
    table: Table,
    read: Callable[[], Record | None],
    missing: Callable[[], Exception],
    change: Change,
) -> Record:
    """``edit`` of the record that ``read`` finds. A ``change`` of its ``sk`` moves it."""
    for _ in table.attempts():
        record = read()
        if record is None:
            raise missing()
        before = record.sk
        also = change(record)
        if also is None:
            return record
        moves = record.sk != before
        try:
            if moves:
                _move(table, record, before, also)
            else:
                save(table, record, also)
            return record
        except ConditionFailed as failed:
            if 0 not in failed.failed and not (moves and len(also) + 1 in failed.failed):
                raise
    raise AssertionError  # attempts() never ends by itself


def save(table: Table, record: Record, also: Sequence[Action] = ()) -> None:
    """Write a record that was read. Raises ConditionFailed (0: it has changed since).

    A transaction even when alone: its token makes a repeat after a lost answer no second write,
    which would find the revision moved on by the first and be taken for another writer's.
    """
    table.transact([put_action(table, record), *also])
    record.revision += 1


def put_action(table: Table, record: Record) -> Action:
    """The write of a record, new or read, for a transaction; parts are written here.

    The revision is not counted up.
    """
    if not record.revision:
        return put_new(table, record)
    put = {
        "Item": _item(table, record),
        "ConditionExpression": "rev = :rev",
        "ExpressionAttributeValues": {":rev": record.revision},
    }
    return ("Put", put)


def delete(table: Table, record: Record, also: Sequence[Action] = ()) -> None:
    """Remove a record that was read, and in the same transaction what ``also`` says.

    Raises ConditionFailed (0: it has changed since).
    """
    gone = {
        "Key": (record.partition, record.sk),
        "ConditionExpression": "rev = :rev",
        "ExpressionAttributeValues": {":rev": record.revision},
    }
    table.transact([("Delete", gone), *also])
    remove_parts(table, record.partition, record.sk)


def _move(table: Table, record: Record, before: str, also: Sequence[Action]) -> None:
    """Write a record at its new ``sk`` and remove it at the one ``before``, or nothing of it."""
    gone = {
        "Key": (record.partition, before),
        "ConditionExpression": "rev = :rev",
        "ExpressionAttributeValues": {":rev": record.revision},
    }
    table.transact([put_new(table, record), *also, ("Delete", gone)])
    record.revision += 1
    remove_parts(table, record.partition, before)


def delete_found(
    table: Table,
    read: Callable[[], Record | None],
    missing: Callable[[], Exception] | None,
    also: Callable[[Record], Sequence[Action]],
) -> None:
    """Remove the record that ``read`` finds and what ``also`` says, again after other writers.

    When there is none: raises ``missing()``, or does nothing.
    """
    for _ in table.attempts():
        record = read()
        if record is None:
            if missing is None:
                return
            raise missing()
        try:
            delete(table, record, also(record))
            return
        except ConditionFailed as failed:
            if 0 not in failed.failed:
                raise


def take_pointer(key: Key, record: Record) -> Action:
    """A unique name that also tells the record's partition; ``find`` follows it."""
    return ("Put", {**repoint(key, record)[1], "ConditionExpression": "attribute_not_exists(pk)"})


def repoint(key: Key, record: Record) -> Action:
    """The write of a pointer whose record has moved."""
    place = {"owner": record.sk, "partition": record.partition}
    return ("Put", {"Item": {"pk": key[0], "sk": key[1], **place}})


def find(table: Table, key: Key) -> Record | None:
    """The record that a pointer leads to."""
    before: Item | None = None
    for _ in table.attempts():
        pointer = table.get(key)
        if pointer is None or pointer == before:
            return None
        if (record := get(table, pointer["partition"], pointer["owner"])) is not None:
            return record
        before = pointer  # it may have moved between the two reads
    raise AssertionError  # attempts() never ends by itself


def take_name(name: Key, owner: str) -> Action:
    """Takes a unique name, unless another record has it."""
    item = {"pk": name[0], "sk": name[1], "owner": owner}
    return ("Put", {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"})


def free_name(name: Key) -> Action:
    """Gives a unique name up."""
    return ("Delete", {"Key": name})


def owner_of(table: Table, name: Key) -> str | None:
    """The ``sk`` of the record that has a unique name."""
    item = table.get(name)
    return None if item is None else str(item["owner"])


def _item(table: Table, record: Record) -> Item:
    """The record's item; parts of a large body are written here, before it."""
    *parts, item = items_of(record)
    table.batch_write(parts)
    return item


def items_of(record: Record) -> list[Item]:
    """The items of a record: the parts of a large body, then the one that makes them count."""
    text = json.dumps(record.body, separators=(",", ":"))
    packed = zlib.compress(text.encode("utf-8", "surrogatepass"), 6)
    item: Item = {"pk": record.partition, "sk": record.sk, "rev": record.revision + 1}
    if len(packed) <= schema.PART_BYTES:
        return [{**item, "doc": packed}]
    content = sha256(packed).hexdigest()[:16]
    place = _parts_of(record.partition, record.sk)
    parts: list[Item] = [
        {
            "pk": place,
            "sk": f"{content}#{number:04d}",
            "doc": packed[at : at + schema.PART_BYTES],
        }
        for number, at in enumerate(range(0, len(packed), schema.PART_BYTES))
    ]
    return [*parts, {**item, "parts": content}]


def of_item(table: Table, item: Item) -> Record:
    """The record of an item that was read; parts of a large body are read here."""
    packed = item.get("doc")
    if packed is None:
        place = _parts_of(item["pk"], item["sk"])
        parts = table.query_all(place, prefix=f"{item['parts']}#")
        packed = b"".join(part["doc"] for part in parts)
    body: Body = json.loads(zlib.decompress(packed))
    return Record(item["pk"], item["sk"], body, item["rev"], "doc" not in item)


def remove_parts(table: Table, partition: str, sk: str) -> None:
    """Remove the parts of a record that is gone or has no large body any more."""
    place = _parts_of(partition, sk)
    keys = [(place, part["sk"]) for part in table.query_all(place)]
    if keys:
        table.batch_write(deletes=keys)


def _parts_of(partition: str, sk: str) -> str:
    return f"{partition}//{sk}"
