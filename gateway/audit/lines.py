"""Lines of a file from its end, read in blocks. Pure: the bytes come through ``Read``.

Every line is found once wherever the blocks' edges fall; a line that is longer than any audit
line can be is not kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""``read(start, size)``; fewer bytes when the file became shorter meanwhile."""

BLOCK = 256 * 1024
LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line and the offset that it begins at. ``text`` is None when it is too long."""

    start: int
    text: bytes | None


def backwards(
    read: Read, end: int, floor: int = 0, *, block: int = BLOCK, longest: int = LONGEST_LINE
) -> Iterator[Line]:
    """The lines before offset ``end``, last one first, without reading below ``floor``.

    A line that would begin below ``floor`` is left for the next search, which goes on at the
    start of the last line given here. If that line is already too long, it is given with the
    start ``floor``, so that there is always a way on.
    """
    at = end
    held: list[bytes] = []  # the line whose start is not found yet, last piece first
    size = 0
    while at > floor:
        wanted = min(block, at - floor)
        piece = read(at - wanted, wanted)
        if len(piece) < wanted:
            return  # the file was cut under us
        position = at
        at -= wanted
        if position == end and piece.endswith(b"\n"):
            piece = piece[:-1]
            position -= 1
        first, *others = piece.split(b"\n")
        for part in reversed(others):
            yield Line(position - len(part), _joined(held, size, part, longest))
            position -= len(part) + 1
            held, size = [], 0
        size += len(first)
        held = [*held, first] if size <= longest else []
    if end > floor and (at == 0 or size > longest):
        yield Line(at, _joined(held, size, b"", longest))


def _joined(held: list[bytes], size: int, part: bytes, longest: int) -> bytes | None:
    if size + len(part) > longest:
        return None
    return b"".join((part, *reversed(held)))
