"""The load generator: N keep-alive connections, each asking again as soon as it is answered.

Run as ``python load.py`` with one JSON object (a ``Job``) on standard input; prints one JSON
object (a ``Sample``). A process of its own on asyncio protocols and uvloop with the request
bytes made beforehand, so that it costs about a tenth of what it measures. Any answer but a 200
of the expected length ends the cell: a fast refusal must not count as a fast answer.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from array import array
from dataclasses import asdict, dataclass
from typing import Any, cast

import uvloop
from cpu import tree_ns

_POLL_SECONDS = 0.01
_DRAIN_SECONDS = 120.0
_BODY_SECONDS = 0.5
_FAILURE_CHARACTERS = 1000
_PATIENCE_SECONDS = 20.0
"""A window lasts up to this long until it holds an answer for every connection: basic-auth takes
many seconds to answer 32 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One cell: which bytes to which port, over how many connections, for how long.

    ``trees`` names process trees by root pid, whose CPU is read at both ends of the window.
    """

    port: int
    request: str
    expected_length: int
    connections: int
    warm_seconds: float
    seconds: float
    max_requests: int
    trees: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one cell measured. Times in microseconds, per completed request where it says so."""

    requests: int
    seconds: float
    median_us: float
    p99_us: float
    cpu_us: dict[str, float]
    loader_us: float


class Run:
    """The state that all connections of a cell share."""

    def __init__(self, job: Job) -> None:
        self.request = job.request.encode("latin-1")
        self.expected_length = job.expected_length
        self.latencies_ns = array("q")
        self.stopping = False
        self.in_flight = 0
        self.all_answered = asyncio.Event()
        self.failure = ""

    def fail(self, why: str) -> None:
        """End the cell; what went wrong is remembered up to a bound."""
        self.failure = (self.failure + why)[:_FAILURE_CHARACTERS]
        self.stopping = True


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    __slots__ = ("_began", "_partial", "_run", "_total", "_transport", "_wrong")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._partial = b""
        self._total = 0
        self._began = 0
        self._wrong = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport, only of its shape.
        self._transport = cast(asyncio.Transport, transport)
        self._run.in_flight += 1
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter_ns()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        if self._wrong:
            self._run.fail(data.decode("latin-1"))
            return
        if self._partial:
            data = self._partial + data
        if not self._total:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._partial = data
                return
            length = self._length_of(data[:end])
            if length != self._run.expected_length:
                self._wrong_answer(data)
                return
            self._total = end + 4 + length
        if len(data) < self._total:
            self._partial = data
            return
        run = self._run
        run.latencies_ns.append(time.perf_counter_ns() - self._began)
        if len(data) > self._total:
            run.fail("more bytes than the answer's Content-Length")
        self._partial = b""
        self._total = 0
        if run.stopping:
            self._transport.close()
        else:
            self._send()

    def _wrong_answer(self, data: bytes) -> None:
        """Void the cell, but stay a moment for a body that follows its head."""
        self._wrong = True
        expected = self._run.expected_length
        self._run.fail(f"expected a 200 with Content-Length {expected}, got:\n")
        self._run.fail(data.decode("latin-1"))
        asyncio.get_running_loop().call_later(_BODY_SECONDS, self._transport.close)

    @staticmethod
    def _length_of(head: bytes) -> int:
        """Content-Length of a 200; -1 for any other answer, or when it has none."""
        if not head.startswith(b"HTTP/1.1 200"):
            return -1
        at = head.lower().find(b"\r\ncontent-length:")
        if at < 0:
            return -1
        end = head.find(b"\r\n", at + 17)
        return int(head[at + 17 : end if end > 0 else None])

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.in_flight -= 1
        if not self._run.in_flight:
            self._run.all_answered.set()
        if not self._run.stopping:
            self._run.fail(
                f"the server closed a connection after {len(self._run.latencies_ns)} answers"
                + (f" ({exc})" if exc else "")
            )


async def _window(run: Run, seconds: float, at_least: int, at_most: int) -> None:
    began = time.perf_counter()
    before = len(run.latencies_ns)
    while not run.stopping:
        elapsed = time.perf_counter() - began
        done = len(run.latencies_ns) - before
        if done >= at_most or (elapsed >= seconds and done >= at_least):
            return
        if elapsed >= max(seconds, _PATIENCE_SECONDS):
            return
        await asyncio.sleep(_POLL_SECONDS)


async def measure(job: Job) -> Sample:
    """Run one cell.

    Raises:
        RuntimeError: A wrong answer, a lost connection, or no answer at all.
    """
    run = Run(job)
    loop = asyncio.get_running_loop()
    for _ in range(job.connections):
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", job.port)
    await _window(run, job.warm_seconds, 1, job.max_requests)

    first = len(run.latencies_ns)
    trees = {name: tree_ns(pid) for name, pid in job.trees.items()}
    own, began = time.process_time_ns(), time.perf_counter_ns()
    await _window(run, job.seconds, job.connections, job.max_requests)
    elapsed, own = time.perf_counter_ns() - began, time.process_time_ns() - own
    spent = {name: tree_ns(pid) - trees[name] for name, pid in job.trees.items()}
    last = len(run.latencies_ns)

    # What is still in flight must be answered, or the server works on it in the next cell.
    run.stopping = True
    async with asyncio.timeout(_DRAIN_SECONDS):
        await run.all_answered.wait()
    if run.failure:
        raise RuntimeError(run.failure)
    latencies = sorted(run.latencies_ns[first:last])
    count = len(latencies)
    if not count:
        raise RuntimeError("no request was answered within the window")
    return Sample(
        requests=count,
        seconds=elapsed / 1e9,
        median_us=latencies[count // 2] / 1e3,
        p99_us=latencies[min(count - 1, count * 99 // 100)] / 1e3,
        cpu_us={name: ns / 1e3 / count for name, ns in spent.items()},
        loader_us=own / 1e3 / count,
    )


def main() -> int:
    """One cell; exit status 1 with a line when it could not be measured."""
    fields: dict[str, Any] = json.load(sys.stdin)
    gc.disable()
    try:
        sample = uvloop.run(measure(Job(**fields)))
    except (RuntimeError, OSError, TimeoutError) as problem:
        print(str(problem) or repr(problem), file=sys.stderr)
        return 1
    print(json.dumps(asdict(sample)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
