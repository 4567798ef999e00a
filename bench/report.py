"""Turns the samples of all rounds into the tables that a person reads.

Ratios are taken within one round, where the machine was in one mood, and then the median over
the rounds is shown.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from load import Sample
from peers import PEERS
from peers.envoy_peer import version as envoy_version
from peers.peer import ROOT

Cell = tuple[str, str, int]
"""Upstream, peer, connections."""
Outcome = Sample | str
"""What a cell gave in one round; a string says why it gave nothing."""
Outcomes = Mapping[Cell, Sequence[Outcome]]

_TITLES = {
    "fast": "trivial upstream (a fixed answer of about 400 bytes)",
    "mlflow": "stock MLflow on SQLite, `experiments/get`",
}
_HEADS = (
    *("peer", "median ms", "x direct", "p99 ms", "requests/s"),
    *("proxy CPU us/request", "x envoy", "x envoy-cached", "upstream CPU us/request", "requests"),
)
_BUSY = 0.97


@dataclass(frozen=True, slots=True)
class Setting:
    """How the run was made, for the head of the report."""

    rounds: int
    seconds: float
    cores: tuple[int, int] | None


def render(outcomes: Outcomes, setting: Setting) -> str:
    """All tables as Markdown, which reads well enough in a terminal too."""
    parts = [_head(setting)]
    for upstream, connections in dict.fromkeys((u, c) for u, _, c in outcomes):
        rows = {p: o for (u, p, c), o in outcomes.items() if (u, c) == (upstream, connections)}
        plural = "connection" if connections == 1 else "connections"
        title = f"### {_TITLES[upstream]}, {connections} keep-alive {plural}"
        parts.append(f"{title}\n\n{_table([_HEADS, *_rows(rows)])}")
    parts.append(_NOTES)
    parts.append(_failures(outcomes))
    return "\n\n".join(filter(None, parts)) + "\n"


def _failures(outcomes: Outcomes) -> str:
    lines = [
        f"- {peer} on {upstream}, {connections} connections, round {turn}: {' '.join(why.split())}"
        for (upstream, peer, connections), cell in outcomes.items()
        for turn, why in enumerate(cell, 1)
        if isinstance(why, str)
    ]
    if not lines:
        return ""
    return "\n".join(["**Wrong answers; these rounds are not in the tables:**", "", *lines])


def _rows(rows: Mapping[str, Sequence[Outcome]]) -> Iterator[tuple[str, ...]]:
    for name, outcomes in rows.items():
        own = [o for o in outcomes if isinstance(o, Sample)]
        if not own:
            yield (name, "failed", *("-" for _ in _HEADS[2:]))
            continue
        saturated = statistics.median(map(_near_core_use, own)) > _BUSY
        yield (
            name if len(own) == len(outcomes) else f"{name} ({len(own)} of {len(outcomes)} rounds)",
            _number(own, lambda s: s.median_us / 1e3),
            _ratio(outcomes, rows.get("direct"), lambda s: s.median_us),
            _number(own, lambda s: s.p99_us / 1e3),
            f"{statistics.median(s.requests / s.seconds for s in own):,.0f}"
            + ("*" if saturated else ""),
            _cpu(own, "proxy"),
            _ratio(outcomes, rows.get("envoy"), _proxy_cpu),
            _ratio(outcomes, rows.get("envoy-cached"), _proxy_cpu),
            _cpu(own, "upstream"),
            f"{sum(s.requests for s in own):,}",
        )


def _proxy_cpu(sample: Sample) -> float:
    return sample.cpu_us.get("proxy", 0.0)


def _near_core_use(sample: Sample) -> float:
    """How busy load generator and upstream kept their core, 0 to 1."""
    per_request = sample.loader_us + sample.cpu_us["upstream"]
    return per_request * sample.requests / sample.seconds / 1e6


def _number(own: Sequence[Sample], value: Callable[[Sample], float]) -> str:
    return f"{statistics.median(map(value, own)):.3f}"


def _cpu(own: Sequence[Sample], tree: str) -> str:
    values = [s.cpu_us[tree] for s in own if tree in s.cpu_us]
    if not values:
        return "-"
    return f"{statistics.median(values):,.1f} ({min(values):,.1f}-{max(values):,.1f})"


def _ratio(
    own: Sequence[Outcome], base: Sequence[Outcome] | None, value: Callable[[Sample], float]
) -> str:
    pairs = [
        (value(a), value(b))
        for a, b in zip(own, base or (), strict=False)
        if isinstance(a, Sample) and isinstance(b, Sample)
    ]
    ratios = [a / b for a, b in pairs if a and b]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join(
        "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)
    )
    return "\n".join([lines[0], rule + "|", *lines[1:]])


def _head(setting: Setting) -> str:
    where = (
        "not pinned: this machine has one core, so the figures include waiting for each other"
        if setting.cores is None
        else f"load generator and upstream (and basic-auth) pinned to core {setting.cores[0]}, "
        f"the proxy to core {setting.cores[1]}"
    )
    versions = ", ".join(
        f"{name} {version}"
        for name, version in (
            ("Python", platform.python_version()),
            ("mlgate", _commit()),
            ("MLflow", _package("mlflow")),
            ("aiohttp", _package("aiohttp")),
            ("nginx", _nginx()),
            ("Envoy", _try(envoy_version)),
        )
    )
    return (
        f"{setting.rounds} rounds of {setting.seconds:g} s a cell, peers interleaved; {where}. "
        f"One worker each. {versions}. {_processor()}, {os.cpu_count()} cores, "
        f"load average at the end {os.getloadavg()[0]:.1f}."
    )


def _try(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except (ImportError, OSError):
        return "absent"


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _nginx() -> str:
    if PEERS["nginx"].missing():
        return "absent"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    output = subprocess.run(
        ["nginx", "-v"], env={"PATH": path}, capture_output=True, text=True, check=False
    )
    return output.stderr.strip().rpartition("/")[2]


def _commit() -> str:
    output = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return output.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


_NOTES = """\
Medians over the rounds; ratios are taken within each round, then their median. CPU is user +
system of the whole process tree divided by the completed requests, with the least and greatest
round in brackets. `x envoy` is the proxy's CPU against Envoy verifying every signature,
`x envoy-cached` against Envoy with its cache of verified tokens. `basic-auth` is a second MLflow
server, not a proxy: its CPU is in the upstream's column. nginx, aiohttp and direct check nothing.
\\* load generator and upstream filled their core: the proxy could have answered more."""
