"""Audit lines, metrics and health of a running gateway."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.world import (
    API,
    OWN,
    get_experiment,
    metric,
    name_of,
    new_experiment,
    new_model,
    ok,
    refused,
    share,
    until,
)
from tests.stack import Stack, free_port, http

pytestmark = pytest.mark.e2e

FIELDS = {
    "v", "time", "request_id", "principal", "signed_in_by", "call", "method", "path", "resources",
    "result", "reason", "status", "ms", "peer",
}  # fmt: skip


def _only(stack: Stack, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The one audit line that is wanted: written once the answer was sent, so it may come later."""

    def found() -> list[dict[str, Any]]:
        # Up to the last line feed: a line may be in the middle of being written.
        whole, _, _ = (stack.folder / "audit.log").read_bytes().rpartition(b"\n")
        return [e for e in map(json.loads, whole.splitlines()) if wanted(e)]

    (line,) = until(found)
    return line


def _line(stack: Stack, request_id: str) -> dict[str, Any]:
    """The one audit line of a request."""
    return _only(stack, lambda e: e["request_id"] == request_id)


def _id() -> dict[str, str]:
    return {"X-Request-Id": f"test-{uuid.uuid4().hex}"}


def test_each_decision_is_one_json_line(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    allowed, denied, nobody = _id(), _id(), _id()
    answer = get_experiment(stack, "alice", experiment, headers=allowed)
    assert answer.headers["x-request-id"] == allowed["X-Request-Id"]
    said = refused(get_experiment(stack, "carol", experiment, headers=denied))
    assert denied["X-Request-Id"] in said
    get_experiment(stack, None, experiment, headers=nobody)

    line = _line(stack, allowed["X-Request-Id"])
    assert set(line) >= FIELDS
    assert line["principal"] == "user:alice"
    assert line["signed_in_by"] == "api-token"
    assert (line["call"], line["method"]) == ("experiments/get", "GET")
    assert line["path"] == f"{API}/experiments/get", "the query is not part of it"
    assert line["resources"] == [f"experiment:{experiment}"]
    assert (line["result"], line["reason"], line["status"]) == ("allow", "role_allows", 200)
    assert 0 < line["ms"] < 60_000
    assert line["peer"] == "127.0.0.1"

    line = _line(stack, denied["X-Request-Id"])
    assert (line["result"], line["reason"], line["status"]) == ("deny", "no_grant", 403)
    line = _line(stack, nobody["X-Request-Id"])
    assert (line["result"], line["principal"], line["status"]) == ("deny", None, 401)


def test_sharing_and_tokens_are_in_the_audit(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    ok(share(stack, "alice", "experiment", experiment, "user:carol", "reader"))
    made = ok(stack.call("alice", "POST", f"{OWN}/tokens", {"label": "x"}))
    grant = _only(
        stack,
        lambda e: (
            e.get("grant_to") == "user:carol" and e["resources"] == [f"experiment:{experiment}"]
        ),
    )
    assert (grant["call"], grant["role"], grant["principal"]) == (
        "acl/write",
        "reader",
        "user:alice",
    )
    token = _only(stack, lambda e: e.get("token_id") == made["id"])
    assert token["token_of"] == "user:alice"
    assert (token["result"], token["status"]) == ("allow", 200)


def test_no_secret_is_ever_written_down(stack: Stack) -> None:
    secret = ok(stack.call("alice", "POST", f"{OWN}/tokens", {"label": "x"}))["token"]
    http("GET", f"{stack.url}{OWN}/whoami", token=secret)
    http("GET", f"{stack.url}{OWN}/whoami", token=secret + "wrong")
    http("GET", f"{stack.url}{API}/experiments/get?experiment_id=1&token={secret}", token=secret)
    name, last = name_of("secret-in-the-body"), _id()
    stack.call("alice", "POST", f"{API}/experiments/create", {"name": name}, headers=last)
    assert _line(stack, last["X-Request-Id"])
    written = (stack.folder / "audit.log").read_text()
    written += "".join(log.read_text() for log in stack.folder.glob("gateway-*.log"))
    for hidden in (secret, *stack.tokens.values(), "Bearer ", name):
        assert hidden not in written
    config = b"".join(one.read_bytes() for one in stack.folder.glob("acl.db*"))
    assert secret.encode() not in config, "only the hash is stored"


def test_a_line_stays_one_line_whatever_the_request_says(stack: Stack) -> None:
    request_id = _id()
    path = f"{API}/registered-models/get?name=a%0A%7B%22v%22%3A1%7D"
    stack.call("alice", "GET", path, headers=request_id)
    line = _line(stack, request_id["X-Request-Id"])
    assert line["call"] == "registered-models/get"
    whole, _, _ = (stack.folder / "audit.log").read_text().rpartition("\n")
    for text in whole.splitlines():
        json.loads(text)


def test_metrics_count_what_happened(stack: Stack) -> None:
    model = new_model(stack, "alice")
    denied = 'mlgate_decisions_total{reason="no_grant"}'
    before = metric(stack.url, denied), metric(stack.url, "mlgate_request_seconds_count")
    for _ in range(3):
        stack.call("carol", "GET", f"{API}/registered-models/get?name={model}")
    assert metric(stack.url, denied) - before[0] == 3
    assert metric(stack.url, "mlgate_request_seconds_count") - before[1] >= 3
    assert metric(stack.url, "mlgate_upstreams_healthy") == 1
    assert metric(stack.url, "mlgate_roles_broken") == 0
    text = http("GET", stack.url + "/access/metrics").body.decode()
    assert 'mlgate_requests_total{result="refuse"}' in text
    assert "user:" not in text
    assert model not in text


def test_the_hot_path_asks_no_store_and_no_lookup(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    experiment = new_experiment(gateway_of([stack.mlflow.url]), "alice")
    # A gateway that starts after the creation does not hear of it in its change feed again.
    quiet = gateway_of([stack.mlflow.url])

    def asked(calls: int) -> tuple[float, float]:
        """Store reads and MLflow lookups that so many calls cost."""
        names = "mlgate_store_reads", "mlgate_mlflow_lookups"
        before = [metric(quiet.url, name) for name in names]
        for _ in range(calls):
            assert get_experiment(quiet, "alice", experiment).status == 200
        reads, lookups = (metric(quiet.url, n) - b for n, b in zip(names, before, strict=True))
        return reads, lookups

    assert asked(1) != (0, 0)
    assert asked(100) == (0, 0)


def test_health_needs_no_sign_in_and_names_what_is_broken(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    assert http("GET", stack.url + "/access/healthz").json() == {"status": "ok"}
    assert http("GET", stack.url + "/access/readyz").json() == {"status": "ready"}
    broken = gateway_of([f"http://127.0.0.1:{free_port()}"], ready="/access/healthz")
    answer = http("GET", broken.url + "/access/readyz")
    assert (answer.status, list(answer.json()["problems"])) == (503, ["upstream"])
    assert metric(broken.url, "mlgate_upstreams_healthy") == 0


def test_a_person_with_a_browser_gets_a_page(stack: Stack) -> None:
    answer = http("GET", stack.url + "/", headers={"Accept": "text/html"})
    assert answer.status == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert b"MLFLOW_TRACKING_TOKEN" in answer.body
    assert "basic" not in answer.headers["www-authenticate"].lower(), "no password box pops up"
    page = stack.call("alice", "GET", "/", headers={"Accept": "text/html"})
    assert page.status == 200
    assert b"<html" in page.body.lower()
