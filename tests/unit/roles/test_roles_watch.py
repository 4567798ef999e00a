"""The watch over roles.yaml: every way of editing a file, and edits that are not valid."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from gateway.model import Kind
from gateway.roles import CallNames, RolesError
from gateway.roles_watch import RolesFile, RolesState, read_roles

CALLS = CallNames(
    frozenset({"runs/get", "runs/create", "acl/write"}), frozenset({"acl/write"}), frozenset()
)
ONE = """\
version: 1
roles:
  reader: {experiment: [runs/get]}
  manager: {extends: reader, experiment: [acl/write], model: [acl/write]}
server: {everyone: [], admin: []}
defaults:
  experiment: {creator: manager, group: none}
  model: {creator: manager, group: none}
"""
TWO = ONE.replace("[runs/get]", "[runs/get, runs/create]")


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "roles.yaml"
    path.write_text(ONE)
    return path


def opened(path: Path) -> RolesFile:
    return RolesFile(str(path), CALLS, FakeClock())


def reader_may_create(roles: RolesFile) -> bool:
    return roles.matrix.allows("reader", Kind.EXPERIMENT, "runs/create")


def test_nothing_happens_while_nothing_changes(file: Path) -> None:
    roles = opened(file)
    assert not roles.look()
    assert roles.state() == RolesState(str(file), 1000.0, reloads=0, refused=0)


def test_an_edit_in_place_is_taken(file: Path) -> None:
    roles = opened(file)
    file.write_text(TWO)
    assert roles.look()
    assert reader_may_create(roles)
    assert not roles.look()
    assert roles.state().reloads == 1


def test_an_atomic_replacement_of_the_same_size_and_time_is_taken(file: Path) -> None:
    roles = opened(file)
    old = file.stat()
    new = file.with_suffix(".new")
    new.write_text(ONE.replace("runs/get", "runs/*  "))
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert new.stat().st_size == old.st_size
    new.replace(file)
    assert roles.look()
    assert reader_may_create(roles)


def test_a_swapped_symlink_is_taken(tmp_path: Path) -> None:
    for name, text in (("first", ONE), ("second", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "roles.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "roles.yaml").symlink_to("..data/roles.yaml")
    roles = opened(tmp_path / "roles.yaml")
    (tmp_path / "..data_tmp").symlink_to("second")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert roles.look()
    assert reader_may_create(roles)


@pytest.mark.parametrize("broken", ["roles: [", "", TWO.replace("defaults", "default"), TWO[:70]])
def test_a_broken_edit_keeps_the_last_good_matrix_and_says_so(
    file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    roles = opened(file)
    good = roles.matrix
    file.write_text(broken)
    with caplog.at_level(logging.ERROR, "gateway.roles_watch"):
        assert roles.look()
        assert not roles.look(), "one edit, one log line"
    assert roles.matrix is good
    assert not roles.state().ok
    assert roles.state().problems
    assert roles.state().refused == 1
    assert "the last good one stays in force" in caplog.text
    file.write_text(TWO)
    assert roles.look()
    assert roles.state().ok
    assert reader_may_create(roles)


def test_a_file_that_vanishes_and_comes_back(file: Path) -> None:
    roles = opened(file)
    file.unlink()
    assert roles.look()
    assert roles.state().problems == (f"cannot read {file}: No such file or directory",)
    assert not roles.look()
    file.write_text(TWO)
    assert roles.look()
    assert reader_may_create(roles)


def test_a_gateway_does_not_start_with_a_broken_file(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(RolesError, match="is not UTF-8 text"):
        opened(file)
    with pytest.raises(RolesError, match="cannot read"):
        read_roles(str(file.parent), CALLS)


def edit(file: Path, text: str) -> None:
    file.write_text(text)


async def test_the_watch_looks_after_every_pause_and_calls_back(file: Path) -> None:
    told: list[RolesState] = []
    roles = RolesFile(str(file), CALLS, FakeClock(), told.append)
    pauses: asyncio.Queue[None] = asyncio.Queue()
    waiting = asyncio.Event()

    async def pause(seconds: float) -> None:
        assert seconds == 1.0
        waiting.set()
        await pauses.get()

    async def second() -> None:
        await waiting.wait()
        waiting.clear()
        pauses.put_nowait(None)
        await waiting.wait()

    task = asyncio.create_task(roles.watch(pause))
    await second()
    assert told == []
    edit(file, TWO)
    await second()
    edit(file, "")
    await second()
    assert [state.ok for state in told] == [True, False]
    assert reader_may_create(roles)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
