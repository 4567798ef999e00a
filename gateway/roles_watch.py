"""Keeps the role matrix equal to roles.yaml while the gateway runs.

The file is looked at once a second: in-place edits, atomic replacements and swapped symlinks (a
Kubernetes ConfigMap) are all seen by what ``stat`` says. A file that cannot be used changes
nothing: the last good matrix stays, and the log, ``state()`` and a callback say so.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.roles import CallNames, RoleMatrix, RolesError, parse_roles
from gateway.yaml_doc import MAX_BYTES, Problem

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

Fingerprint = tuple[int, int, int, int]
Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RolesState:
    """What the watcher knows. ``problems`` are those of a newer file that was refused.

    ``loaded`` is when the matrix in force was read (seconds since the epoch).
    """

    path: str
    loaded: float
    reloads: int
    refused: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the file as it is now is the one in force."""
        return not self.problems


def read_roles(path: str, calls: CallNames) -> RoleMatrix:
    """The matrix of the file at ``path``; RolesError when it cannot be read or used."""
    return parse_roles(_read(path)[0], calls)


class RolesFile:
    """The matrix in force and the watch over its file."""

    def __init__(
        self,
        path: str,
        calls: CallNames,
        clock: Clock,
        changed: Callable[[RolesState], None] | None = None,
    ) -> None:
        """Read the file once. Raises RolesError: a gateway never starts without a matrix.

        ``changed`` is called in the event loop after every edit that was seen, good or refused.
        """
        self._path = path
        self._calls = calls
        self._clock = clock
        self._changed = changed
        self._seen: Fingerprint | None
        text, self._seen = _read(path)
        self._matrix = parse_roles(text, calls)
        self._state = RolesState(path, clock.now(), reloads=0, refused=0)

    @property
    def matrix(self) -> RoleMatrix:
        """The matrix in force; hold it for one request, ask again for the next."""
        return self._matrix

    def state(self) -> RolesState:
        """What is in force, and what is wrong with a newer file, if anything."""
        return self._state

    def look(self) -> bool:
        """Look at the file once; True when an edit was seen (and taken or refused)."""
        seen = _fingerprint(self._path)
        if seen == self._seen:
            return False
        try:
            text, self._seen = _read(self._path)
            matrix = parse_roles(text, self._calls)
        except _StillWritten:
            return False
        except RolesError as error:
            self._seen = seen
            self._refuse(error)
            return True
        self._matrix = matrix
        s = self._state
        self._state = RolesState(self._path, self._clock.now(), s.reloads + 1, s.refused)
        log.info("roles: %s is in force (%s)", self._path, ", ".join(matrix.roles))
        return True

    def _refuse(self, error: RolesError) -> None:
        s = self._state
        problems = tuple(str(problem) for problem in error.problems)
        self._state = RolesState(self._path, s.loaded, s.reloads, s.refused + 1, problems)
        log.error(
            "roles: the edit of %s is refused, the last good one stays in force: %s",
            self._path,
            "; ".join(problems),
        )

    async def watch(self, pause: Pause = asyncio.sleep) -> None:
        """Look every second, until cancelled."""
        while True:
            await pause(POLL_SECONDS)
            if await asyncio.to_thread(self.look) and self._changed is not None:
                self._changed(self._state)


class _StillWritten(RolesError):
    """The file changed while it was read; the next look will find it whole."""


def _fingerprint(path: str) -> Fingerprint | None:
    try:
        return _of(os.stat(path))
    except OSError:
        return None


def _of(stat: os.stat_result) -> Fingerprint:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev


def _read(path: str) -> tuple[str, Fingerprint]:
    """Text and fingerprint of one and the same state of the file."""
    try:
        with open(path, "rb") as file:
            before = _of(os.fstat(file.fileno()))
            content = file.read(MAX_BYTES + 1)
            after = _of(os.fstat(file.fileno()))
        text = content.decode("utf-8")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise RolesError([Problem(None, "", message)]) from error
    except UnicodeDecodeError as error:
        raise RolesError([Problem(None, "", f"{path} is not UTF-8 text")]) from error
    if before != after:
        raise _StillWritten([Problem(None, "", f"{path} changed while it was read; try again")])
    return text, after
