"""Lines from the end of a file, wherever the edges of the blocks fall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.lines import Line, Read, backwards


def reader(data: bytes) -> Read:
    return lambda start, size: data[start : start + size]


def lines_of(data: bytes) -> list[bytes]:
    """What ``backwards`` has to find, the plain way."""
    if not data:
        return []
    return list(reversed(data.removesuffix(b"\n").split(b"\n")))


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"def", b"\r", b"\xc3\xa9"])).map(b"".join),
    block=st.integers(1, 9),
)
def test_lines_backwards_are_the_lines_reversed(data: bytes, block: int) -> None:
    found = list(backwards(reader(data), len(data), block=block))
    assert [line.text for line in found] == lines_of(data)
    for line in found:
        assert line.text is not None
        assert data[line.start :].startswith(line.text)
        assert line.start == 0 or data[line.start - 1 : line.start] == b"\n"


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.integers(0, 5).map(lambda n: b"x" * n), max_size=12),
    block=st.integers(1, 9),
    bound=st.integers(8, 20),
)
def test_searches_that_go_on_where_the_last_one_stopped_miss_nothing(
    lines: list[bytes], block: int, bound: int
) -> None:
    data = b"".join(line + b"\n" for line in lines)
    found: list[bytes | None] = []
    at = len(data)
    for _ in range(len(lines) + 1):
        floor = max(0, at - bound)
        for line in backwards(reader(data), at, floor, block=block):
            found.append(line.text)
            at = line.start
        if not floor:
            break
    assert found == lines_of(data)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_a_line_that_is_too_long_is_passed_by(block: int) -> None:
    data = b"old\n" + b"x" * 30 + b"\nnew\n"
    whole = list(backwards(reader(data), len(data), block=block, longest=5))
    assert whole == [Line(35, b"new"), Line(4, None), Line(0, b"old")]
    cut = list(backwards(reader(data), len(data), 20, block=block, longest=5))
    assert cut == [Line(35, b"new"), Line(20, None)]
    assert list(backwards(reader(data), 20, block=block, longest=5))[-1] == Line(0, b"old")


def test_nothing_below_the_floor_is_read() -> None:
    asked: list[tuple[int, int]] = []

    def read(start: int, size: int) -> bytes:
        asked.append((start, size))
        return (b"abcd\n" * 20)[start : start + size]

    assert [line.start for line in backwards(read, 100, 60, block=16)] == [
        95,
        90,
        85,
        80,
        75,
        70,
        65,
    ]
    assert min(start for start, _ in asked) == 60


def test_a_file_that_is_cut_meanwhile_ends_the_search() -> None:
    assert list(backwards(reader(b"a\nb\n"), 400, block=8)) == []
