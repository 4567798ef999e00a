"""Large artifacts pass through in both directions without staying in the gateway's memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.e2e.world import forget_peak, new_experiment, peak_of, refused
from tests.stack import Answer, Stack, http

pytestmark = pytest.mark.e2e

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024
MOST_GROWTH = 60 * MIB
_PIECE = hashlib.sha256(b"piece").digest() * (MIB // 32)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("mebibytes", "chunked"),
    [
        pytest.param(256, False, id="256 MiB"),
        pytest.param(64, True, id="64 MiB, length unknown"),
        pytest.param(2048, False, id="2 GiB", marks=pytest.mark.heavy),
    ],
)
def test_a_large_artifact_goes_up_and_down_in_flat_memory(
    stack: Stack, mebibytes: int, chunked: bool
) -> None:
    experiment = new_experiment(stack, "alice")
    path = f"{ARTIFACTS}/{experiment}/large/{mebibytes}.bin"
    worker = stack.gateway.process.pid
    before = forget_peak(worker)

    parts = urlsplit(stack.url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 0, timeout=600)
    headers = {"Authorization": f"Bearer {stack.tokens['alice']}"}
    if not chunked:
        headers["Content-Length"] = str(mebibytes * MIB)
    connection.request("PUT", path, _pieces(mebibytes), headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    up = peak_of(worker) - before
    assert up < MOST_GROWTH, f"{up / MIB:.0f} MiB more while it went up"

    before = forget_peak(worker)
    connection.request("GET", path, headers={"Authorization": headers["Authorization"]})
    answer = connection.getresponse()
    assert answer.status == 200
    size = 0
    for number, piece in enumerate(iter(lambda: answer.read(MIB), b"")):
        size += len(piece)
        if len(piece) == MIB:
            assert piece == _numbered(number), number
    connection.close()
    assert size == mebibytes * MIB
    down = peak_of(worker) - before
    assert down < MOST_GROWTH, f"{down / MIB:.0f} MiB more while it came down"
    assert stack.call("alice", "DELETE", path).status == 200


def _pieces(mebibytes: int) -> Iterator[bytes]:
    for number in range(mebibytes):
        yield _numbered(number)


def _numbered(number: int) -> bytes:
    """A piece that is in its right place in one place only."""
    return number.to_bytes(8, "big") + _PIECE[8:]


def test_ranges_are_answered_as_mlflow_answers_them(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    path = f"{ARTIFACTS}/{experiment}/range/data.txt"
    assert stack.call("alice", "PUT", path, body=b"0123456789").status == 200
    for wanted in ("bytes=2-4", "bytes=-3", "bytes=7-", "bytes=20-30"):
        direct = stack.direct("GET", path, headers={"Range": wanted})
        through = stack.call("alice", "GET", path, headers={"Range": wanted})
        assert _seen(through) == _seen(direct), wanted


def _seen(answer: Answer) -> tuple[object, ...]:
    names = ("content-range", "accept-ranges", "content-type", "content-disposition")
    return answer.status, answer.body, *(answer.headers.get(name) for name in names)


def test_head_has_no_body_and_the_connection_lives_on(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    answer = http(
        "HEAD",
        f"{stack.url}/api/2.0/mlflow/experiments/get?experiment_id={experiment}",
        token=stack.tokens["alice"],
    )
    assert answer.body == b""
    assert answer.status in (200, 404)


def test_an_empty_artifact_is_an_artifact(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    path = f"{ARTIFACTS}/{experiment}/empty.txt"
    assert stack.call("alice", "PUT", path, body=b"").status == 200
    answer = stack.call("alice", "GET", path)
    assert (answer.status, answer.body) == (200, b"")


def test_an_upload_by_somebody_else_changes_nothing(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    path = f"{ARTIFACTS}/{experiment}/mine.txt"
    assert stack.call("alice", "PUT", path, body=b"mine").status == 200
    refused(stack.call("carol", "PUT", path, body=b"x" * 3_000_000))
    refused(stack.call("carol", "DELETE", path))
    refused(stack.call("carol", "GET", path))
    assert stack.call("alice", "GET", path).body == b"mine"
