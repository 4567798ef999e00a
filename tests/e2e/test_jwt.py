"""Signing in with tokens of an identity provider, end to end."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from tests.e2e.world import OWN, get_experiment, name_of, new_experiment, ok, refused, share
from tests.fakes.fake_issuer import FakeIssuer
from tests.stack import Answer, Process, Stack, free_port, http, make_tokens, start_gateway

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


class LiveIssuer:
    """A FakeIssuer that listens, in a thread with its own event loop."""

    def __init__(self) -> None:
        self.fake = FakeIssuer(free_port())  # it stays its own while it is down
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine there, to its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        """Stop listening and end the thread."""
        self.run(self.fake.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[LiveIssuer]:
    """An identity provider on loopback."""
    made = LiveIssuer()
    made.run(made.fake.start())
    yield made
    made.close()


@pytest.fixture(scope="module")
def here(
    stack: Stack, issuer: LiveIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A gateway that trusts the issuer."""
    folder = tmp_path_factory.mktemp("jwt")
    tokens = make_tokens(f"sqlite:///{folder / 'acl.db'}")
    more = f"identity: [{{type: oidc, name: corp, issuer: {issuer.fake.url}, audience: mlflow}}]\n"
    gateway = start_gateway(folder, [stack.mlflow.url], more=more)
    try:
        gateway.wait_for("/access/readyz")
        yield Stack(folder, stack.mlflow, gateway, tokens)
    finally:
        gateway.stop()


def _whoami(gateway: Process, token: str, **more: Any) -> Answer:
    return http("GET", f"{gateway.url}{OWN}/whoami", token=token, **more)


def _signed_in(here: Stack, token: str) -> Stack:
    return Stack(here.folder, here.mlflow, here.gateway, {**here.tokens, "jwt": token})


def test_a_token_of_the_provider_signs_in_the_real_client(here: Stack, issuer: LiveIssuer) -> None:
    token = issuer.fake.token()
    who = ok(_whoami(here.gateway, token))
    assert who == {
        "principal": "user:alice@example.com",
        "groups": ["data-science"],
        "admin": False,
        "method": "jwt:corp",
    }
    with _signed_in(here, token).client_as("jwt"):
        experiment = mlflow.set_experiment(name_of("jwt")).experiment_id
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1.0)
        tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["mlflow.user"] == "alice@example.com"
    # bob's API token has the same group; carol's has not.
    assert get_experiment(here, "bob", experiment).status == 200
    refused(get_experiment(here, "carol", experiment))


def test_an_admin_group_of_the_provider_is_an_admin(here: Stack, issuer: LiveIssuer) -> None:
    token = issuer.fake.token(email="root@example.com", groups=["mlflow-admins"])
    assert ok(_whoami(here.gateway, token))["admin"] is True


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"aud": "another-service"}, "meant for"),
        ({"aud": None}, "meant for"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"iss": "http://127.0.0.1:1/other"}, "issuer"),
        ({"exp": None}, "exp"),
    ],
    ids=["expired", "wrong audience", "no audience", "not yet", "unknown issuer", "no expiry"],
)
def test_a_token_that_is_not_good_is_refused_with_a_sentence_the_client_shows(
    here: Stack, issuer: LiveIssuer, changes: dict[str, Any], says: str
) -> None:
    token = issuer.fake.token(**changes)
    answer = _whoami(here.gateway, token)
    said = refused(answer, 401, "UNAUTHENTICATED")
    assert says in said.lower()
    assert answer.headers["www-authenticate"]
    assert token not in said
    with _signed_in(here, token).client_as("jwt"), pytest.raises(RestException) as caught:
        MlflowClient().get_experiment("0")
    assert says in str(caught.value).lower()
    assert str(caught.value).startswith("UNAUTHENTICATED: ")


def test_a_forged_or_unsigned_token_is_refused(here: Stack, issuer: LiveIssuer) -> None:
    from tests.fakes.fake_issuer import rsa_key, segment

    good = issuer.fake.token()
    head, _, signature = good.split(".")
    claims = issuer.fake.claims(groups=["mlflow-admins"])
    unsigned = f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(claims)}."
    forged = issuer.fake.sign(claims, key=rsa_key(5))
    for token in (unsigned, forged, f"{head}.{segment(claims)}.{signature}", good[:-4] + "AAAA"):
        refused(_whoami(here.gateway, token), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("user", ["alice@example.com", "token", ""])
def test_a_jwt_is_a_password_too(here: Stack, issuer: LiveIssuer, user: str) -> None:
    pair = base64.b64encode(f"{user}:{issuer.fake.token()}".encode()).decode()
    answer = http("GET", f"{here.url}{OWN}/whoami", headers={"Authorization": f"Basic {pair}"})
    assert ok(answer)["principal"] == "user:alice@example.com"


def test_a_user_name_that_is_not_the_tokens_is_refused(here: Stack, issuer: LiveIssuer) -> None:
    for token in (issuer.fake.token(), here.tokens["alice"]):
        pair = base64.b64encode(f"bob:{token}".encode()).decode()
        answer = http("GET", f"{here.url}{OWN}/whoami", headers={"Authorization": f"Basic {pair}"})
        assert "disagree" in refused(answer, 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("kind", ["api token", "jwt"])
def test_user_name_and_password_of_the_real_client(
    here: Stack, issuer: LiveIssuer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    user, password = "alice", here.tokens["alice"]
    if kind == "jwt":
        user, password = "alice@example.com", issuer.fake.token()
    experiment = new_experiment(_signed_in(here, password), "jwt")
    with here.client_as("carol"):
        monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        assert MlflowClient().get_experiment(experiment).experiment_id == experiment
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")


def test_the_name_of_a_providers_service_cannot_be_taken_by_another_team(
    here: Stack, issuer: LiveIssuer
) -> None:
    """The provider's service and an account made here would be one principal: carol would hold
    whatever the service makes from then on."""
    client = name_of("etl")
    robot = _signed_in(here, issuer.fake.token(sub=client, client_id=client, email=None))
    assert ok(_whoami(here.gateway, robot.tokens["jwt"]))["principal"] == f"service:{client}"
    body = {"principal": f"service:{client}", "group": "research"}
    refused(here.call("carol", "POST", f"{OWN}/tokens", body))
    refused(here.call("carol", "GET", f"{OWN}/tokens?principal=service:{client}"))
    experiment = new_experiment(robot, "jwt")
    refused(get_experiment(here, "carol", experiment))
    # An admin may say whose it is.
    ok(here.call("dave", "POST", f"{OWN}/tokens", body))
    made = ok(here.call("carol", "POST", f"{OWN}/tokens", {"principal": f"service:{client}"}))
    assert http("GET", f"{here.url}{OWN}/whoami", token=made["token"]).status == 200


def test_two_credentials_are_one_too_many(here: Stack, issuer: LiveIssuer) -> None:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(here.url)
    head = (
        f"GET {OWN}/whoami HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {here.tokens['carol']}\r\n"
        f"Authorization: Bearer {issuer.fake.token()}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(head.encode())
        assert client.recv(65536).startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))


def test_the_provider_changes_its_keys_without_a_failed_request(
    here: Stack, issuer: LiveIssuer
) -> None:
    before = issuer.fake.token()
    ok(_whoami(here.gateway, before))
    issuer.fake.rotate(1, keep_old=True)
    ok(_whoami(here.gateway, issuer.fake.token()))
    ok(_whoami(here.gateway, before))


def test_keys_that_are_known_outlive_the_provider(here: Stack, issuer: LiveIssuer) -> None:
    token = issuer.fake.token(email="late@example.com")
    ok(_whoami(here.gateway, issuer.fake.token()))
    issuer.run(issuer.fake.stop())
    try:
        assert ok(_whoami(here.gateway, token))["principal"] == "user:late@example.com"
    finally:
        issuer.run(issuer.fake.start())


def test_what_the_group_loses_at_the_provider_is_lost_here(here: Stack, issuer: LiveIssuer) -> None:
    experiment = new_experiment(here, "carol")
    ok(share(here, "carol", "experiment", experiment, "group:data-science", "reader"))
    member = _signed_in(here, issuer.fake.token(email="m@example.com"))
    assert get_experiment(member, "jwt", experiment).status == 200
    former = _signed_in(here, issuer.fake.token(email="m@example.com", groups=[]))
    refused(get_experiment(former, "jwt", experiment))


def test_a_gateway_starts_while_its_provider_is_down_and_recovers(
    stack: Stack, gateway_of: Callable[..., Stack], issuer: LiveIssuer
) -> None:
    issuer.run(issuer.fake.stop())
    more = f"identity: [{{type: oidc, name: corp, issuer: {issuer.fake.url}, audience: mlflow}}]\n"
    try:
        late = gateway_of([stack.mlflow.url], more=more, ready="/access/healthz")
        ready = http("GET", late.url + "/access/readyz")
        assert ready.json()["problems"] == {"identity:corp": "its keys are not known yet"}
        answer = _whoami(late.gateway, issuer.fake.token())
        refused(answer, 503, "TEMPORARILY_UNAVAILABLE")
        assert ok(late.call("alice", "GET", f"{OWN}/whoami"))["principal"] == "user:alice"
    finally:
        issuer.run(issuer.fake.start())
    late.gateway.wait_for("/access/readyz")
    ok(_whoami(late.gateway, issuer.fake.token()))
