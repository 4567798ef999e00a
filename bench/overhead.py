"""What mlgate costs, side by side with nginx, Envoy, a bare aiohttp proxy and MLflow's basic-auth.

One run measures every peer on the same upstreams in interleaved rounds (A B C, A B C, ...): once
on a trivial upstream for CPU per request, once on stock MLflow for latency. Before anything is
measured, mlgate and Envoy must refuse a missing, a forged and a stranger's token. Loopback only;
everything that was started ends with the run, Ctrl-C included. See README.md in this folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TypeVar

from cpu import pinned, split_cores
from issuer import Issuer
from load import Job, Sample
from peers import PEERS
from peers.peer import Running, Site
from processes import INTERRUPTS, BenchError, Farm, ask
from report import Cell, Outcome, Setting, render
from upstreams import UPSTREAMS, Upstream

_Number = TypeVar("_Number", int, float)

_WARM_SECONDS = 0.5
_MAX_REQUESTS = 500_000
"""The bound of one cell, whatever its seconds."""
_MAY_BREAK = frozenset({"basic-auth"})
"""Its wrong answers are reported as a finding: with 32 connections on a busy machine its password
hashing starves its pool of 15 database connections, and it answers 400 after 30 s."""
_CELL_SECONDS = 200.0
"""Longer than warming, stretching and draining together, see load.py."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit status 1 with a line that a person can act on."""
    options = _options(argv)
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        _require(options.peers)
        text, whole = run(options)
    except BenchError as problem:
        print(f"overhead: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("overhead: interrupted; everything it started has ended", file=sys.stderr)
        return 130
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    return 0 if whole else 1


def run(options: argparse.Namespace) -> tuple[str, bool]:
    """Measure everything: (the report, whether every peer always gave the right answer)."""
    cores = split_cores()
    samples: dict[Cell, list[Outcome]] = {}
    for upstream in options.upstreams:
        with tempfile.TemporaryDirectory(prefix="mlgate-bench-") as name:
            folder = Path(name)
            with Farm(folder) as farm, contextlib.closing(Issuer()) as issuer:
                near, far = cores or (None, None)
                _note(f"starting upstream {upstream}")
                site = Site(
                    farm=farm,
                    upstream=UPSTREAMS[upstream](farm, near),
                    issuer=issuer,
                    proxy_core=far,
                    upstream_core=near,
                )
                samples |= _measure_upstream(upstream, site, options)
    whole = all(
        isinstance(outcome, Sample)
        for (_, name, _), cell in samples.items()
        for outcome in cell
        if name not in _MAY_BREAK
    )
    return render(samples, Setting(options.rounds, options.seconds, cores)), whole


def _measure_upstream(
    upstream: str, site: Site, options: argparse.Namespace
) -> dict[Cell, list[Outcome]]:
    running: dict[str, Running] = {}
    for name in options.peers:
        if upstream in PEERS[name].upstreams:
            _note(f"starting {name}")
            running[name] = PEERS[name].start(site)
    jobs: dict[Cell, Job] = {
        (upstream, name, connections): _job(name, peer, site.upstream, connections, options)
        for connections in options.connections
        for name, peer in running.items()
    }
    samples: dict[Cell, list[Outcome]] = {cell: [] for cell in jobs}
    for turn in range(options.rounds):
        _note(f"{upstream}: round {turn + 1} of {options.rounds}")
        for cell, job in jobs.items():
            samples[cell].append(_measure(job, site))
    return samples


def _job(
    name: str,
    peer: Running,
    upstream: Upstream,
    connections: int,
    options: argparse.Namespace,
) -> Job:
    """The cell of one peer, after checking that it gives the upstream's very answer."""
    status, body = ask(peer.port, "GET", upstream.target, {"Authorization": peer.authorization})
    _, expected = ask(upstream.port, "GET", upstream.target)
    if status != 200 or json.loads(body) != json.loads(expected):
        raise BenchError(
            f"{name} answered {status} {body[:300]!r} instead of the upstream's answer"
        )
    request = (
        f"GET {upstream.target} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{peer.port}\r\n"
        "User-Agent: mlflow-python-client/3.17.2\r\n"
        "Accept-Encoding: identity\r\n"
        "Accept: */*\r\n"
        "Connection: keep-alive\r\n"
        f"Authorization: {peer.authorization}\r\n\r\n"
    )
    trees = {"upstream": peer.upstream.pid}
    if peer.proxy is not None:
        trees["proxy"] = peer.proxy.pid
    return Job(
        port=peer.port,
        request=request,
        expected_length=len(body),
        connections=connections,
        warm_seconds=min(_WARM_SECONDS, options.seconds),
        seconds=options.seconds,
        max_requests=_MAX_REQUESTS,
        trees=trees,
    )


def _measure(job: Job, site: Site) -> Outcome:
    with pinned(site.upstream_core):
        loader = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("load.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    try:
        output, problem = loader.communicate(
            json.dumps(asdict(job)), timeout=_CELL_SECONDS + job.seconds
        )
    except subprocess.TimeoutExpired:
        return "the load generator did not finish"
    finally:
        loader.kill()
        loader.wait()
    if loader.returncode != 0:
        return problem.strip()
    return Sample(**json.loads(output))


def _require(names: Sequence[str]) -> None:
    absent = [(name, PEERS[name].missing()) for name in names]
    lines = [f"  {name}: {what}" for name, what in absent if what]
    if lines:
        present = ",".join(name for name, what in absent if not what)
        raise BenchError(
            "\n".join(["not everything to compare with is here:", *lines])
            + f"\nor leave it out: --peers {present}"
        )


def _note(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/overhead.py", description=__doc__)
    parser.add_argument(
        "--peers", type=_names(PEERS), default=list(PEERS), help=f"of {','.join(PEERS)}"
    )
    parser.add_argument(
        "--upstreams",
        type=_names(UPSTREAMS),
        default=list(UPSTREAMS),
        help=f"of {','.join(UPSTREAMS)}",
    )
    parser.add_argument("--rounds", type=_bounded(int, 1, 50), default=3)
    parser.add_argument("--seconds", type=_bounded(float, 0.5, 60), default=3.0, help="a cell")
    parser.add_argument(
        "--connections",
        type=lambda text: [_bounded(int, 1, 256)(part) for part in dict.fromkeys(text.split(","))],
        default=[1, 32],
        help="of the load generator, default 1,32",
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="write the report to FILE too; standard output is Markdown in any case",
    )
    return parser.parse_args(argv)


def _names(known: Container[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}")
        return names

    return parse


def _bounded(kind: type[_Number], least: float, most: float) -> Callable[[str], _Number]:
    def parse(text: str) -> _Number:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main())
