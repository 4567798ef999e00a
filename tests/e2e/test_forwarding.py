"""Forwarding: what the client sees when MLflow is slow, hung, gone, or answers drop by drop."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.model import Kind, Resource
from tests.e2e.relay import Asked, RawUpstream, Relay
from tests.e2e.world import API, get_experiment, in_store, new_experiment, ok, refused, until
from tests.stack import Answer, Process, Stack, free_port, http, make_tokens, start_gateway

pytestmark = pytest.mark.e2e

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def _close(asked: Asked) -> None:
    """The connection is closed without an answer."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RawUpstream, Stack]]:
    """A gateway in front of a server whose every byte the test decides; experiment 1 is alice's."""
    folder = tmp_path_factory.mktemp("raw")
    tokens = make_tokens(f"sqlite:///{folder / 'acl.db'}")

    async def own(store: Any) -> None:
        grants = {"user:alice": "manager"}
        await store.create_acl(Resource(Kind.EXPERIMENT, "1"), "user:alice", grants)

    in_store(folder, own)
    with RawUpstream(_close) as upstream:
        gateway = start_gateway(folder, [upstream.url], more="limits: {json_body: 1 MiB}\n")
        try:
            gateway.wait_for("/access/readyz")
            yield upstream, Stack(folder, gateway, gateway, tokens)
        finally:
            gateway.stop()


def _connect(stack: Stack) -> HTTPConnection:
    parts = urlsplit(stack.url)
    return HTTPConnection(parts.hostname or "", parts.port or 0, timeout=30)


def _headers(stack: Stack, who: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {stack.tokens[who]}",
        "Content-Type": "application/json",
    }


def _create_run(stack: Stack) -> Answer:
    return stack.call("alice", "POST", f"{API}/runs/create", {"experiment_id": "1"})


# --- cut connections ----------------------------------------------------------------------------


def test_a_write_that_may_have_run_is_not_invited_again(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    upstream.answerer = _close
    before = len(upstream.asked)
    answer = _create_run(stack)
    said = refused(answer, 409, "ABORTED")
    assert "may or may not have taken effect" in said
    assert "retry-after" not in answer.headers
    assert upstream.asked[before:] == [f"POST {API}/runs/create"]


def test_the_real_client_does_not_send_such_a_write_twice(raw: tuple[RawUpstream, Stack]) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    upstream, stack = raw
    upstream.answerer = _close
    before = len(upstream.asked)
    with stack.client_as("alice"), pytest.raises(MlflowException, match="may or may not"):
        MlflowClient().create_run("1")
    assert upstream.asked[before:] == [f"POST {API}/runs/create"]


def test_a_read_that_was_cut_may_be_repeated(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    upstream.answerer = _close
    answer = get_experiment(stack, "alice", "1")
    refused(answer, 503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "35"


def test_a_write_that_changes_nothing_twice_may_be_repeated(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    upstream.answerer = _close
    body = {"experiment_id": "1", "key": "a", "value": "b"}
    answer = stack.call("alice", "POST", f"{API}/experiments/set-experiment-tag", body)
    refused(answer, 503, "TEMPORARILY_UNAVAILABLE")


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Busy", "504 Gateway Timeout"])
def test_a_proxy_in_between_that_gives_up_is_no_invitation_either(
    raw: tuple[RawUpstream, Stack], status: str
) -> None:
    upstream, stack = raw
    upstream.answerer = lambda asked: asked.answer(status.encode(), b"x", b"Retry-After: 1")
    refused(_create_run(stack), 409, "ABORTED")
    refused(get_experiment(stack, "alice", "1"), 503, "TEMPORARILY_UNAVAILABLE")


def test_an_answer_that_is_cut_in_the_middle_never_looks_whole(
    raw: tuple[RawUpstream, Stack],
) -> None:
    upstream, stack = raw
    large = b"x" * 300_000

    def cut(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + large)

    upstream.answerer = cut
    connection = _connect(stack)
    connection.request("GET", f"{ARTIFACTS}/1/a", headers=_headers(stack, "alice"))
    with pytest.raises((OSError, Exception)) as caught:
        connection.getresponse().read()
    assert type(caught.value).__name__ in ("IncompleteRead", "ConnectionResetError")


def test_mlflows_own_failure_text_is_not_passed_on(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    leak = json.dumps({"error_code": "INTERNAL_ERROR", "message": "[SQL: SELECT secret] /srv/x"})
    for status in (b"500 Oops", b"400 Bad"):
        upstream.answerer = lambda asked, status=status: asked.answer(status, leak.encode())
        answer = get_experiment(stack, "alice", "1")
        assert b"SQL" not in answer.body
        assert b"/srv" not in answer.body


def test_a_redirect_of_mlflow_is_not_followed_or_passed_on(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    upstream.answerer = lambda asked: asked.answer(b"302 Found", b"", b"Location: http://evil/")
    answer = get_experiment(stack, "alice", "1")
    assert answer.status == 404
    assert "location" not in answer.headers


# --- nothing there ------------------------------------------------------------------------------


def test_while_mlflow_is_down_everything_may_be_repeated(
    gateway_of: Callable[..., Stack], tmp_path: Path
) -> None:
    async def own(store: Any) -> None:
        grants = {"user:alice": "manager"}
        await store.create_acl(Resource(Kind.EXPERIMENT, "1"), "user:alice", grants)

    in_store(tmp_path, own)
    here = gateway_of([f"http://127.0.0.1:{free_port()}"], ready="/access/healthz")
    for answer in (
        get_experiment(here, "alice", "1"),
        _create_run(here),
        here.call("alice", "POST", f"{API}/experiments/create", {"name": "x"}),
        here.call("alice", "POST", f"{API}/registered-models/create", {"name": "x"}),
        here.call("alice", "POST", f"{API}/experiments/search", {"max_results": 1}),
    ):
        said = refused(answer, 503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "35"
        assert "127.0.0.1" not in said
    ready = http("GET", here.url + "/access/readyz")
    assert ready.status == 503
    assert "upstream" in ready.json()["problems"]
    assert http("GET", here.url + "/access/healthz").status == 200


# --- streams ------------------------------------------------------------------------------------


def test_each_piece_of_an_answer_is_passed_on_at_once(raw: tuple[RawUpstream, Stack]) -> None:
    """The second event is sent only after the client has read the first."""
    upstream, stack = raw
    read_one = threading.Event()

    def drop_by_drop(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        asked.send(b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        assert read_one.wait(60)
        asked.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    upstream.answerer = drop_by_drop
    connection = _connect(stack)
    body = json.dumps({"model": "m", "messages": [], "stream": True})
    connection.request("POST", "/gateway/mlflow/v1/chat/completions", body, _headers(stack, "dave"))
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.read1(9) == b"data: 1\n\n"
    read_one.set()
    assert answer.read() == b"data: 2\n\n"
    connection.close()


def test_a_client_that_gives_up_closes_the_upstream_side(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    asked_by_us, closed = threading.Event(), threading.Event()

    def hang(asked: Asked) -> None:
        asked_by_us.set()
        if asked.gone():
            closed.set()

    upstream.answerer = hang
    connection = _connect(stack)
    body = json.dumps({"experiment_ids": ["1"]})
    connection.request("POST", f"{API}/runs/search", body, _headers(stack, "alice"))
    assert asked_by_us.wait(60)
    connection.close()
    assert closed.wait(60), "the gateway still waits for an answer that nobody wants"


def test_a_slow_reader_slows_mlflow_down(raw: tuple[RawUpstream, Stack]) -> None:
    """Nothing piles up in the gateway: MLflow's side blocks until the client reads."""
    upstream, stack = raw
    total, blocked, go_on = 64 * 1024 * 1024, threading.Event(), threading.Event()
    sent = 0

    def pour(asked: Asked) -> None:
        nonlocal sent
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        asked.connection.settimeout(1.0)
        piece = b"x" * 65536
        while sent < total:
            try:
                sent += asked.connection.send(piece[: total - sent])
            except TimeoutError:
                blocked.set()
                asked.connection.settimeout(30.0)
                go_on.wait(30)

    upstream.answerer = pour
    connection = _connect(stack)
    connection.request("GET", f"{ARTIFACTS}/1/large", headers=_headers(stack, "alice"))
    answer = connection.getresponse()
    assert blocked.wait(60)
    assert sent < total / 2
    go_on.set()
    assert sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b"")) == total
    connection.close()


def test_a_json_body_over_the_limit_is_refused_before_mlflow_sees_it(
    raw: tuple[RawUpstream, Stack],
) -> None:
    upstream, stack = raw
    before = len(upstream.asked)
    body = {"experiment_id": "1", "tags": [{"key": "k", "value": "v" * 2_000_000}]}
    answer = stack.call("alice", "POST", f"{API}/runs/create", body)
    said = refused(answer, 413, "INVALID_PARAMETER_VALUE")
    assert "smaller" in said
    assert "retry-after" not in answer.headers
    assert upstream.asked[before:] == []


def test_a_chunked_json_body_over_the_limit_is_refused_too(raw: tuple[RawUpstream, Stack]) -> None:
    upstream, stack = raw
    before = len(upstream.asked)
    connection = _connect(stack)
    pieces = iter([b'{"experiment_id": "1", "user_id": "'] + [b"v" * 65536] * 32 + [b'"}'])
    connection.request(
        "POST", f"{API}/runs/create", pieces, _headers(stack, "alice"), encode_chunked=True
    )
    assert connection.getresponse().status == 413
    connection.close()
    assert upstream.asked[before:] == []


def test_an_upload_is_refused_before_its_body_is_asked_for(raw: tuple[RawUpstream, Stack]) -> None:
    """``Expect: 100-continue``: who may not write never sends the file."""
    _, stack = raw
    parts = urlsplit(stack.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        head = (
            f"PUT {ARTIFACTS}/1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            f"Expect: 100-continue\r\nAuthorization: Bearer {stack.tokens['carol']}\r\n\r\n"
        )
        client.sendall(head.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 403")


# --- headers ------------------------------------------------------------------------------------


def test_mlflow_sees_no_credential_and_no_identity_that_a_client_claims(
    raw: tuple[RawUpstream, Stack],
) -> None:
    upstream, stack = raw
    heads: list[bytes] = []

    def note(asked: Asked) -> None:
        heads.append(asked.head)
        asked.answer(b"200 OK", b"{}", b"Set-Cookie: a=b", b"Server: x", b"X-Request-Id: theirs")

    upstream.answerer = note
    claims = {
        "X-Forwarded-User": "dave", "X-Remote-User": "dave", "X_Forwarded_User": "dave",
        "Remote-User": "dave", "X-Forwarded-Host": "evil", "Forwarded": "for=1",
        "Cookie": "session=1", "Origin": "http://evil", "Proxy-Authorization": "Basic eA==",
        "X-Request-Id": "my-own-request-id", "X-Mlgate-Upstream-Secret": "guess",
        "Connection": "keep-alive, X-Odd", "X-Odd": "1",
    }  # fmt: skip
    answer = get_experiment(stack, "alice", "1", headers=claims)
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "my-own-request-id"
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("server", "") != "x"
    head = heads[0].decode("latin-1").lower()
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:]}
    assert names <= {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "x-request-id",
        "connection",
    }
    assert "x-request-id: my-own-request-id" in head
    assert f"host: {urlsplit(upstream.url).netloc}" in head
    assert stack.tokens["alice"].lower() not in head


def test_a_workspace_header_is_refused_with_the_variable_to_unset(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    for name in ("X-MLFLOW-WORKSPACE", "x_mlflow_workspace"):
        answer = get_experiment(stack, "alice", experiment, headers={name: "other"})
        assert "MLFLOW_WORKSPACE" in refused(answer, 400, "INVALID_PARAMETER_VALUE")


# --- going down ---------------------------------------------------------------------------------


def test_going_down_finishes_what_is_in_flight_and_refuses_the_rest(
    relay: Relay, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([relay.url])
    experiment = new_experiment(here, "alice")
    relay.hold = b"runs/create"
    answers: list[Answer] = []

    def create() -> None:
        body = {"experiment_id": experiment}
        answers.append(here.call("alice", "POST", f"{API}/runs/create", body))

    caller = threading.Thread(target=create)
    caller.start()
    assert relay.held.wait(60)
    os.kill(here.gateway.process.pid, signal.SIGTERM)
    ready = until(lambda: _not_ready(here.gateway), what="readyz says so at once")
    assert "gateway" in ready.json()["problems"]
    late = get_experiment(here, "alice", experiment)
    refused(late, 503, "TEMPORARILY_UNAVAILABLE")
    assert late.headers["retry-after"] == "35"
    relay.release.set()
    caller.join(60)
    assert ok(answers[0])["run"]["info"]["experiment_id"] == experiment
    assert here.gateway.process.wait(60) == 0


def _not_ready(gateway: Process) -> Answer | None:
    answer = http("GET", gateway.url + "/access/readyz")
    return answer if answer.status == 503 else None


def test_what_one_person_may_see_is_for_no_shared_cache(stack: Stack) -> None:
    """MLflow's artifacts have an ETag and Last-Modified and say nothing else: a cache may keep them
    then, and a cache in between gives what it kept to whoever asks next, without asking us."""
    experiment = new_experiment(stack, "alice")
    path = f"{ARTIFACTS}/{experiment}/notes.txt"
    ok(stack.call("alice", "PUT", path, body=b"secret", headers={"Content-Type": "text/plain"}))
    for target in (path, f"{API}/experiments/get?experiment_id={experiment}"):
        answer = stack.call("alice", "GET", target)
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-cache")
    etag = stack.call("alice", "GET", path).headers["etag"]
    # The browser's own copy is still good for something, once we have been asked.
    asked = {"If-None-Match": etag}
    assert stack.call("alice", "GET", path, headers=asked).status in (200, 304)
    assert stack.call("carol", "GET", path, headers=asked).status == 403
