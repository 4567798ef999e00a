"""The DynamoDB store beside MLflow's own on SQLite and PostgreSQL, at scale, in one run.

``make bench-store``, or see ``--help``; bench/README.md tells what is measured and how to read it.
The report (Markdown) goes to standard output and ``--markdown``, progress to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import platform
import signal
import statistics
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from store_cases import Case, Places, cases
from store_data import Run, in_parts, put_points, put_runs, put_versions
from store_meter import LINGER, Cost
from store_sides import SIDES, Side


@dataclass
class Result:
    """One case on all sides."""

    name: str
    cost: Cost | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default=",".join(SIDES), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=10_000, help="of two experiments")
    parser.add_argument("--large-runs", type=int, default=0, help="one more experiment, as 100000")
    parser.add_argument("--doomed-runs", type=int, default=10_000, help="deleted and restored")
    parser.add_argument("--points", type=int, default=1_000_000, help="of a metric of one run")
    parser.add_argument("--experiments", type=int, default=5_000)
    parser.add_argument("--models", type=int, default=2_000, help="0: no registry")
    parser.add_argument("--versions", type=int, default=50, help="of each model")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="write the report to this file too")
    return parser.parse_args()


def build(side: Side, args: argparse.Namespace) -> Places:
    """Fill a store; every side gets the same."""
    tracking = side.tracking
    ended, still_open, doomed, large = (
        tracking.create_experiment(name) for name in ("ended", "open", "doomed", "large")
    )
    put_runs(side, ended, args.runs, ended=True)
    put_runs(side, still_open, args.runs, ended=False)
    put_runs(side, doomed, args.doomed_runs, ended=True)
    put_runs(side, large, args.large_runs, ended=True)
    long_run = Run(ended, 0, True).run_id
    put_points(side, long_run, "loss", args.points)
    with ThreadPoolExecutor(8 if side.name == "dynamodb" else 1) as threads:
        _build_by_calls(side, args, threads)
    return Places(
        ended=ended,
        open=still_open,
        doomed=doomed,
        runs=args.runs,
        doomed_runs=args.doomed_runs,
        long_run=long_run,
        points=args.points,
        experiments=args.experiments,
        large=large if args.large_runs else None,
        models=args.models if side.registry else 0,
        versions=args.versions,
    )


def _build_by_calls(side: Side, args: argparse.Namespace, threads: ThreadPoolExecutor) -> None:
    """What is few enough to be made as people make it."""

    def each(make: Any, numbers: range) -> None:
        list(threads.map(make, numbers))

    def experiment(number: int) -> None:
        side.tracking.create_experiment(f"experiment {number}")

    def model(number: int) -> None:
        side.registry.create_registered_model(f"model {number}")

    def experiments(numbers: range) -> None:
        each(experiment, numbers)

    def models(numbers: range) -> None:
        each(model, numbers)
        put_versions(side, numbers, args.versions, each)

    in_parts(f"{side.name}: experiments", args.experiments, experiments, 100)
    if side.registry:
        in_parts(f"{side.name}: models with versions", args.models, models, 20)


def measure(side: Side, case: Case, at: Places, repeat: int, result: Result) -> None:
    """Count a case once, where calls can be counted, and time it several times."""
    if side.meter and case.repeats is None:
        work = case.prepare(side, at)
        side.meter.linger = LINGER
        side.meter.take()
        try:
            work()
        finally:
            side.meter.linger = 0.0
        result.cost = side.meter.take()
    taken = []
    for _ in range(case.repeats or repeat):
        work = case.prepare(side, at)
        if side.meter:
            side.meter.take()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
        if side.meter and case.repeats is not None:  # it cannot be done twice: rounds not counted
            result.cost = side.meter.take()
            result.cost.rounds = 0
    result.seconds[side.name] = statistics.median(taken)


def run(args: argparse.Namespace, results: dict[str, Result]) -> None:
    """All cases on all sides, case by case, so that sides share what the machine does."""
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(SIDES[name]()) for name in args.sides.split(",")]
        places = {side.name: build(side, args) for side in sides}
        own = {name: {case.name: case for case in cases(at)} for name, at in places.items()}
        for name in max(own.values(), key=len):
            result = results.setdefault(name, Result(name))
            print(name, file=sys.stderr, flush=True)
            for side in sides:
                if name not in own[side.name]:
                    continue
                try:
                    measure(side, own[side.name][name], places[side.name], args.repeat, result)
                except Exception as error:  # noqa: BLE001 - the table names it
                    traceback.print_exc()
                    result.failed[side.name] = type(error).__name__


def report(args: argparse.Namespace, results: list[Result]) -> str:
    """The table."""
    names = args.sides.split(",")
    others = [name for name in names if name != "dynamodb"]
    heads = ["MLflow call", "calls", "rounds", "read units", "write units"]
    heads += [f"{name}, ms" for name in names] + [f"x {name}" for name in others]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join(["---"] * len(heads)) + " |"]
    for one in results:
        cells = [one.name, *_cost_cells(one.cost)]
        cells += [one.failed.get(name) or _ms(one.seconds.get(name)) for name in names]
        cells += [_ratio(one.seconds, name) for name in others]
        lines.append("| " + " | ".join(cells) + " |")
    cores = os.cpu_count()
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    sizes = ", ".join(
        f"{name.replace('_', '-')} {getattr(args, name):,}"
        for name in ("runs", "large_runs", "doomed_runs", "points", "experiments", "models",
                     "versions", "repeat")
    )  # fmt: skip
    made = f"Made on {when}, Python {platform.python_version()}, {cores} cores, load {load}."
    return "\n".join([*lines, "", f"{made} Sizes: {sizes}.", ""])


def _cost_cells(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["", "", "", ""]
    rounds = str(cost.rounds) if cost.rounds else "-"
    return [f"{cost.calls:,}", rounds, f"{cost.read:,.0f}", f"{cost.written:,.0f}"]


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.1f}"


def _ratio(seconds: dict[str, float], other: str) -> str:
    if "dynamodb" not in seconds or not seconds.get(other):
        return ""
    return f"{seconds['dynamodb'] / seconds[other]:.2g}"


def main() -> None:
    """Build, measure, report."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers and folders go away then too
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    results: dict[str, Result] = {}
    try:
        run(args, results)
    finally:  # what was measured before the run was ended counts too
        text = report(args, list(results.values()))
        print(text, flush=True)
    if args.markdown:
        page = args.markdown.read_text("utf-8")
        before, mark, _ = page.partition("<!-- measured -->\n")
        if not mark:
            sys.exit(f"{args.markdown} has no line <!-- measured -->")
        args.markdown.write_text(f"{before}{mark}\n{text}", "utf-8")


if __name__ == "__main__":
    main()
