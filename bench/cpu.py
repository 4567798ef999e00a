"""Processor time and pinning of processes that we started, read from the kernel.

The time is user + system of a process with all its threads and descendants. The kernel's process
clock gives the sum that ``/proc/PID/stat`` rounds to ticks of 10 ms, in nanoseconds: a cell of
500 requests at 50 us each is 2.5 ticks, too coarse to compare.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2
"""Low bits of a clock id: the whole process, user + system. See clock_getcpuclockid(3) and
MAKE_PROCESS_CPUCLOCK in Linux' include/linux/posix-timers_types.h."""


def descendants(pid: int) -> list[int]:
    """``pid`` and every process below it; gone processes are left out."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in task.read_text().split())
            except OSError:
                continue
    return found


def stat_fields(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` after the command name (state first), None when gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree_ns(pid: int) -> int:
    """User + system time in nanoseconds of a process, its descendants and its reaped children."""
    total = 0
    for member in descendants(pid):
        fields = stat_fields(member)
        if fields is None:
            continue
        total += (int(fields[13]) + int(fields[14])) * _TICK_NS
        try:
            total += time.clock_gettime_ns((~member << 3) | _CPUCLOCK_SCHED)
        except OSError:
            total += (int(fields[11]) + int(fields[12])) * _TICK_NS
    return total


def split_cores() -> tuple[int, int] | None:
    """(core of load generator and upstream, core of the proxy); None on a one-core machine."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """What is started inside inherits the core, before its first thread; None changes nothing."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
