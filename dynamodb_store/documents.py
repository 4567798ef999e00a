"""A document: sections of named values, with no limit of size, changed by one conditional write.

It is a head item and, when that is full, page items in the same partition, so one Query reads it.
Each write carries the head's revision as its condition: a writer that lost reads again, and
nothing is lost. Every item stays far below 400 KB (``schema.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action, Table

Value = str | bytes
Slot = tuple[str, str]
"""Section and name."""


@dataclass
class Document:
    """``head`` holds plain attributes; ``values`` the named values of all sections."""

    pk: str
    head: Item
    sections: tuple[str, ...]
    revision: int = 0
    values: dict[Slot, Value] = field(default_factory=dict)
    _page_of: dict[Slot, int] = field(default_factory=dict)
    _pages: int = 0
    _dirty: set[int] = field(default_factory=set)

    def section(self, name: str) -> dict[str, Value]:
        """The values of a section."""
        return {slot[1]: value for slot, value in self.values.items() if slot[0] == name}

    def get(self, section: str, name: str) -> Value | None:
        """One value."""
        return self.values.get((section, name))

    def set(self, section: str, name: str, value: Value) -> None:
        """Set one value; new ones go to the head and may be moved when saved."""
        slot = (section, name)
        self.values[slot] = value
        self._dirty.add(self._page_of.setdefault(slot, 0))

    def remove(self, section: str, name: str) -> None:
        """Remove one value. Raises KeyError."""
        del self.values[(section, name)]
        self._dirty.add(self._page_of.pop((section, name)))

    @property
    def paged(self) -> bool:
        """Whether values lie outside of the head."""
        return self._pages > 0

    @property
    def size(self) -> int:
        """Bytes of all values with their names."""
        return sum(_bytes(slot, value) for slot, value in self.values.items())

    def items(self) -> list[Item]:
        """The items to write: the head, and pages that changed."""
        self._spread()
        numbers = [0, *sorted(self._dirty - {0})]
        contents: dict[int, Item] = {
            number: {section: {} for section in self.sections} for number in numbers
        }
        for slot, value in self.values.items():
            if (place := contents.get(self._page_of[slot])) is not None:
                place[slot[0]][slot[1]] = value
        head = {
            **self.head,
            "pk": self.pk,
            "sk": keys.HEAD,
            schema.REVISION: self.revision + 1,
            schema.PAGES: self._pages,
            schema.SECTIONS: contents[0],
        }
        pages = [
            {"pk": self.pk, "sk": keys.page(number), schema.SECTIONS: contents[number]}
            for number in numbers[1:]
        ]
        return [head, *pages]

    def _spread(self) -> None:
        """Move the largest values out of items that are too full."""
        filled: dict[int, list[tuple[int, Slot]]] = {}
        for slot, value in self.values.items():
            filled.setdefault(self._page_of[slot], []).append((_bytes(slot, value), slot))
        used = {number: sum(size for size, _ in filled.get(number, ())) for number in self._dirty}
        for number in sorted(self._dirty):
            limit = schema.PAGE_BYTES if number else schema.HEAD_BYTES
            entries = sorted(filled.get(number, ()))
            while used[number] > limit and (number == 0 or len(entries) > 1):
                size, slot = entries.pop()
                used[number] -= size
                self._move(slot, size, filled)

    def _move(self, slot: Slot, size: int, filled: dict[int, list[tuple[int, Slot]]]) -> None:
        last = self._pages
        there = sum(other for other, at in filled.get(last, ()) if self._page_of[at] == last)
        if last == 0 or there + size > schema.PAGE_BYTES:
            last = self._pages = last + 1
        self._page_of[slot] = last
        self._dirty.add(last)
        filled.setdefault(last, []).append((size, slot))


Change = Callable[[Document], Sequence[Action] | None]
"""Changes a document in place and returns what else to write with it; None: nothing to do."""


def read(table: Table, pk: str, sections: tuple[str, ...]) -> Document | None:
    """The document of a partition, or None."""
    return assemble(list(table.query_all(pk, between=(keys.HEAD, keys.HEAD_END))), pk, sections)


def read_many(table: Table, pks: Sequence[str], sections: tuple[str, ...]) -> list[Document]:
    """Those documents that exist, in the order of ``pks``: 100 a call, one more for paged ones."""
    distinct = list(dict.fromkeys(pks))
    heads = {item["pk"]: item for item in table.batch_get([(pk, keys.HEAD) for pk in distinct])}
    paged = [pk for pk in distinct if pk in heads and heads[pk][schema.PAGES]]
    whole = dict(
        zip(paged, table.parallel(lambda pk: read(table, pk, sections), paged), strict=True)
    )
    found = (
        whole[pk] if pk in whole else assemble([heads[pk]], pk, sections)
        for pk in distinct
        if pk in heads
    )
    return [document for document in found if document is not None]


def assemble(items: Sequence[Item], pk: str, sections: tuple[str, ...]) -> Document | None:
    """The document that these items (in key order) are, or None without a head."""
    if not items or items[0]["sk"] != keys.HEAD:
        return None
    plain = {"pk", "sk", schema.REVISION, schema.PAGES, schema.SECTIONS}
    head = {name: value for name, value in items[0].items() if name not in plain}
    document = Document(pk, head, sections, revision=items[0][schema.REVISION])
    document._pages = items[0][schema.PAGES]
    for number, item in enumerate(items):
        place = int(item["sk"][2:]) if number else 0
        for section, values in item[schema.SECTIONS].items():
            for name, value in values.items():
                document.values[(section, name)] = value
                document._page_of[(section, name)] = place
    return document


def create(table: Table, document: Document, also: Sequence[Action] = ()) -> None:
    """Write a document that must not exist yet. Raises ConditionFailed (position 0)."""
    first, *pages = document.items()
    puts: list[Action] = [
        ("Put", {"Item": first, "ConditionExpression": "attribute_not_exists(pk)"})
    ]
    table.transact([*puts, *(("Put", {"Item": page}) for page in pages), *also])


def edit(
    table: Table,
    pk: str,
    sections: tuple[str, ...],
    missing: Callable[[], Exception],
    change: Change,
) -> Document:
    """Read, change, write, again when another writer was faster; returns the document as written.

    ``change`` may be called several times. Raises what it raises, and ``missing()`` when there
    is no such document.
    """
    for _ in table.attempts():
        document = read(table, pk, sections)
        if document is None:
            raise missing()
        also = change(document)
        if also is None:
            return document
        try:
            _save(table, document, also)
            return document
        except ConditionFailed as failed:
            if 0 not in failed.failed:
                raise
    raise AssertionError  # attempts() never ends by itself


def save(table: Table, document: Document, also: Sequence[Action]) -> None:
    """Write a document as it was read, or as a new one when it has no revision yet.

    Raises ConditionFailed (position 0) when another writer was faster.
    """
    if document.revision:
        _save(table, document, also)
    else:
        create(table, document, also)


def set_in_head(document: Document, names: Sequence[str]) -> Action:
    """Writes these attributes of a document as it was read, and nothing else of it.

    Its condition fails when the document has changed since. For changes of many documents in few
    transactions.
    """
    values = {f":v{at}": document.head[name] for at, name in enumerate(names)}
    sets = [f"#n{at} = :v{at}" for at in range(len(names))]
    update = {
        "Key": (document.pk, keys.HEAD),
        "UpdateExpression": f"SET rev = :next, {', '.join(sets)}",
        "ConditionExpression": "rev = :rev",
        "ExpressionAttributeNames": {f"#n{at}": name for at, name in enumerate(names)},
        "ExpressionAttributeValues": {
            ":rev": document.revision,
            ":next": document.revision + 1,
            **values,
        },
    }
    return ("Update", update)


def _save(table: Table, document: Document, also: Sequence[Action]) -> None:
    first, *pages = document.items()
    condition, values = "rev = :rev", {":rev": document.revision}
    if not pages and not also:
        table.put(first, condition, values)
        return
    put: dict[str, Any] = {
        "Item": first,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
    }
    table.transact([("Put", put), *(("Put", {"Item": page}) for page in pages), *also])


def _bytes(slot: Slot, value: Value) -> int:
    length = len(value) if isinstance(value, bytes) else len(value.encode())
    return len(slot[1].encode()) + length + 4
