"""The gateway's own endpoints are found strictly; refusals and MLflow's errors say no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from gateway.audit.event import Trail
from gateway.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownEndpoint,
)
from gateway.model import Principal
from gateway.web.answer import cleaned_error, json_answer, passed_on
from gateway.web.errors import render
from gateway.web.head import Head, HeadReader
from gateway.web.own import Endpoint, OwnCall, OwnEndpoints


class FakeContent:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    async def readany(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


class FakeRequest:
    """What the gateway's own endpoints use of aiohttp's request."""

    def __init__(self, body: bytes) -> None:
        self.content = FakeContent(body)
        self.version = (1, 1)
        self.transport = None
        self.headers: dict[str, str] = {}


async def show(call: OwnCall) -> web.StreamResponse:
    return json_answer(200, [dict(call.params), dict(call.query), dict(call.body)])


async def nobody(head: Head) -> Principal:
    raise Unauthenticated("Sign in.")


async def somebody(head: Head) -> Principal:
    return Principal("user:me")


ENDPOINTS = (
    Endpoint("GET", "open", "open", show, open=True),
    Endpoint("GET", "api/v1/acl/{kind}/{id}", "acl/read", show),
    Endpoint("PUT", "api/v1/acl/{kind}/{id}/{principal}", "acl/write", show),
)


async def ask(method: str, target: str, body: bytes = b"", *, signed_in: bool = True) -> Any:
    raw = [(b"Host", b"gate"), (b"Content-Length", str(len(body)).encode())]
    head = HeadReader(1 << 20).read(method, target, raw)
    own = OwnEndpoints(ENDPOINTS, somebody if signed_in else nobody)
    request: Any = FakeRequest(body)
    response: Any = await own.handle(request, head, Trail("id", 0, 0))
    return json.loads(response.payload)


async def test_names_are_decoded_once_and_may_hold_a_slash() -> None:
    params, _, _ = await ask("GET", "/access/api/v1/acl/model/a%2Fb%2525")
    assert params == {"kind": "model", "id": "a/b%25"}


async def test_without_sign_in_only_open_endpoints_answer() -> None:
    await ask("GET", "/access/open", signed_in=False)
    with pytest.raises(Unauthenticated):
        await ask("GET", "/access/api/v1/acl/model/a", signed_in=False)


@pytest.mark.parametrize(
    "target",
    ["/access/", "/access/nope", "/access/open/", "/access/OPEN", "/access/api/v1/acl/model",
     "/access/api/v1/acl/model/", "/access/api/v1/acl/model/a/b", "/access//open",
     "/access/./open", "/access/x/../open"],
)  # fmt: skip
async def test_anything_else_is_no_endpoint(target: str) -> None:
    with pytest.raises(UnknownEndpoint):
        await ask("GET", target)


async def test_the_method_counts() -> None:
    with pytest.raises(UnknownEndpoint):
        await ask("POST", "/access/open")


PUT = "/access/api/v1/acl/model/a/user:b"
BODIES = {
    "not JSON": b"role=reader",
    "list": b"[]",
    "same key twice": b'{"role": "reader", "role": "manager"}',
    "BOM": b'\xef\xbb\xbf{"role": "reader"}',
    "half a character": b'{"role": "\\ud800"}',
    "beyond 64 bits": b'{"days": 99999999999999999999}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_with_a_second_meaning_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await ask("PUT", PUT, body)


async def test_a_body_is_bounded() -> None:
    with pytest.raises(TooLarge):
        await ask("PUT", PUT, b'{"role": "' + b"x" * 70_000 + b'"}')


async def test_a_query_field_counts_once() -> None:
    with pytest.raises(BadRequest):
        await ask("GET", "/access/open?a=1&a=2")


# --- refusals -------------------------------------------------------------------------------------

ERRORS: list[GatewayError] = [
    BadRequest("no"), Unauthenticated("no"), Forbidden("no"), UnknownEndpoint("no"),
    TooLarge("no"), TooManyRequests("no", retry_after=7), Unavailable("no", detail="secret-host"),
]  # fmt: skip


def rendered(error: GatewayError, *, page: bool = False) -> Any:
    return render(error, "id-1", page=page, public_url="http://gate/<x>", challenge="Bearer")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_refusal_is_shaped_like_mlflows_and_tells_no_detail(error: GatewayError) -> None:
    answer = rendered(error)
    headers = dict(answer.raw_headers)
    assert answer.status == error.status
    assert json.loads(answer.payload)["error_code"] == error.error_code
    assert b"secret-host" not in answer.payload
    assert (b"retry-after" in headers) is (error.retry_after is not None)
    assert (b"www-authenticate" in headers) is isinstance(error, Unauthenticated)


def test_a_page_escapes_what_it_shows() -> None:
    answer = rendered(Forbidden("<script>alert(1)</script>"), page=True)
    assert b"<script>" not in answer.payload
    assert b"&lt;script&gt;" in answer.payload
    assert b"<x>" not in rendered(Unauthenticated("no"), page=True).payload


@pytest.mark.parametrize(
    ("status", "body", "cleaned"),
    [
        (200, b"{}", False),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', False),
        (400, b'{"error_code": "BAD_REQUEST", "message": "x [SQL: SELECT 1]"}', True),
        (404, b"Traceback (most recent call last)", True),
        (500, b'{"message": "/srv/mlflow/db.sqlite"}', True),
        (503, b"", True),
    ],
)
def test_an_error_of_mlflow_that_says_too_much_is_replaced(
    status: int, body: bytes, cleaned: bool
) -> None:
    made = cleaned_error(status, body, "id-1")
    assert (made is not None) is cleaned
    if made is not None:
        assert b"SQL" not in made
        assert b"/srv" not in made


def test_the_code_of_a_4xx_stays() -> None:
    body = b'{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "(sqlite3.IntegrityError)"}'
    made = json.loads(cleaned_error(400, body, "id-1") or b"{}")
    assert made["error_code"] == "RESOURCE_ALREADY_EXISTS"


def test_some_headers_of_mlflow_stay_here() -> None:
    sent = [
        (b"Content-Type", b"a/b"), (b"Set-Cookie", b"a"), (b"SERVER", b"b"), (b"Location", b"c"),
        (b"Access-Control-Allow-Origin", b"*"), (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"), (b"ETag", b"e"),
    ]  # fmt: skip
    assert passed_on(sent, "id-1") == [
        (b"Content-Type", b"a/b"), (b"ETag", b"e"), (b"cache-control", b"private, no-cache"),
        (b"x-request-id", b"id-1"),
    ]  # fmt: skip


def test_what_mlflow_says_about_caches_stays() -> None:
    static = (b"Cache-Control", b"public, max-age=2419200")
    assert passed_on([static], "id-1") == [static, (b"x-request-id", b"id-1")]
