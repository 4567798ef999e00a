"""Lists in several partitions, read page by page, come out in one order with nothing left out."""

from __future__ import annotations

from itertools import chain
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dynamodb_store.tracking.listing import merged


class FakePages:
    """A table whose Query answers at most ``size`` items, and an empty page now and then."""

    def __init__(self, partitions: dict[str, list[str]], size: int) -> None:
        self._partitions = partitions
        self._size = size
        self._asked = 0

    def query(
        self,
        partition: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        between: tuple[str, str] | None = None,
        reverse: bool = False,
    ) -> tuple[list[dict[str, str]], str | None]:
        self._asked += 1
        if self._asked % 5 == 0:
            return [], after or ("~" if reverse else "")
        low, high = between or ("", "~")
        held = [sk for sk in self._partitions[partition] if low <= sk <= high]
        if reverse:
            left = [sk for sk in held[::-1] if sk < (after or "~")]
        else:
            left = [sk for sk in held if sk > (after or "")]
        page = left[: min(self._size, limit or self._size)]
        return [{"sk": sk} for sk in page], page[-1] if len(left) > len(page) else None

    def parallel(self, work: Any, arguments: Any) -> list[Any]:
        return [work(argument) for argument in arguments]


@given(
    st.lists(st.sets(st.text("abcd", min_size=1, max_size=4)), max_size=5),
    st.integers(1, 4),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, ("b", "c")]),
    st.booleans(),
)
def test_merged_is_sorted_and_complete(
    parts: list[set[str]],
    size: int,
    first: int | None,
    between: tuple[str, str] | None,
    reverse: bool,
) -> None:
    partitions = {str(number): sorted(texts) for number, texts in enumerate(parts)}
    table: Any = FakePages(partitions, size)
    batches = merged(table, list(partitions), first=first, between=between, reverse=reverse)
    found = [item["sk"] for item in chain(*batches)]
    low, high = between or ("", "~")
    wanted = (sk for sk in chain(*partitions.values()) if low <= sk <= high)
    assert found == sorted(wanted, reverse=reverse)
