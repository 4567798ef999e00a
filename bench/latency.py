"""Latency that the gateway adds to a real MLflow: requests direct and through it, one by one.

Single requests in random order share every drift of the machine, so the ratio of the medians is
steadier than that of two runs. Run as::

    python bench/latency.py --direct http://127.0.0.1:5000 --via http://127.0.0.1:8080 \
        --token "$MLFLOW_TRACKING_TOKEN" --experiment 1

``--via`` may be given several times (another proxy beside mlgate). Bounded by ``--requests``.
"""

from __future__ import annotations

import argparse
import http.client
import random
import statistics
import sys
import time
from urllib.parse import urlsplit

PATH = "/api/2.0/mlflow/experiments/get?experiment_id="


def ask(connection: http.client.HTTPConnection, path: str, token: str | None) -> float:
    """Milliseconds of one request; ends the run when the answer is not 200."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    taken = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        sys.exit(f"{connection.host}:{connection.port} answered {answer.status}: {body[:300]!r}")
    return taken


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--direct", required=True, metavar="URL")
    parser.add_argument("--via", required=True, action="append", metavar="URL")
    parser.add_argument("--token", default=None)
    parser.add_argument("--experiment", default="1")
    parser.add_argument("--requests", type=int, default=1000)
    args = parser.parse_args()
    urls = [args.direct, *args.via]
    connections = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=60) for url in urls]
    times: list[list[float]] = [[] for _ in urls]
    order = list(range(len(urls)))
    for turn in range(-20, args.requests):
        # What a request leaves behind (warm caches, MLflow's garbage) is not always the same one's.
        random.shuffle(order)
        for index in order:
            taken = ask(connections[index], PATH + args.experiment, args.token)
            if turn >= 0:
                times[index].append(taken)
    base = statistics.median(times[0])
    print("| what | median ms | x direct | p99 ms |\n|---|---:|---:|---:|")
    for url, sample in zip(urls, times, strict=True):
        middle = statistics.median(sample)
        p99 = statistics.quantiles(sample, n=100)[98]
        print(f"| {url} | {middle:.3f} | {middle / base:.3f} | {p99:.3f} |")


if __name__ == "__main__":
    main()
