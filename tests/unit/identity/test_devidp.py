"""The development identity provider, and the gateway's trust in it by ordinary settings."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from gateway.credentials.chain import Identify
from gateway.devidp import Accounts, create_app, provider_settings, serve
from gateway.devidp.signing import SigningKey
from tests.stack import free_port


class Running:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.accounts = Accounts.load(folder / "devidp")

    async def post(self, form: Any, **more: Any) -> tuple[int, dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.url + "/token", data=form, **more) as answer,
        ):
            return answer.status, await answer.json()

    async def sign_in(self, name: str) -> str:
        password = next(a.password for a in self.accounts.people if a.name == name)
        form = {"grant_type": "password", "client_id": "mlgate"}
        status, body = await self.post({**form, "username": name, "password": password})
        assert status == 200
        return str(body["access_token"])


@pytest.fixture
async def idp(tmp_path: Path) -> AsyncIterator[Running]:
    port = free_port()
    runner = await serve(tmp_path, port)
    yield Running(tmp_path, port)
    await runner.cleanup()


@pytest.mark.parametrize(
    "name,group,admin",
    [
        ("alice", "data-science", False),
        ("bob", "data-science", False),
        ("carol", "research", False),
        ("dave", "mlflow-admins", True),
    ],
)
async def test_the_sample_accounts_sign_in(
    name: str, group: str, admin: bool, idp: Running, make_chain: Any
) -> None:
    chain: Identify = make_chain(provider_settings(idp.url))
    principal = await chain.principal([f"Bearer {await idp.sign_in(name)}"], None)
    assert (principal.name, principal.groups, principal.admin) == (f"user:{name}", {group}, admin)
    assert principal.home_group == (None if admin else group)


@pytest.mark.parametrize("way", ["form", "basic"])
async def test_a_service_signs_in(way: str, idp: Running, make_chain: Any) -> None:
    client = idp.accounts.services[0]
    form = {"grant_type": "client_credentials"}
    more: dict[str, Any] = {}
    if way == "basic":
        more["auth"] = aiohttp.BasicAuth(client.client_id, client.secret)
    else:
        form |= {"client_id": client.client_id, "client_secret": client.secret}
    status, body = await idp.post(form, **more)
    assert status == 200
    chain: Identify = make_chain(provider_settings(idp.url))
    principal = await chain.principal([f"Bearer {body['access_token']}"], None)
    assert (principal.name, principal.groups) == ("service:nightly-train", {"data-science"})


REFUSED = {
    "wrong password": {"username": "alice", "password": "alice"},
    "empty password": {"username": "alice", "password": ""},
    "no password": {"username": "alice"},
    "unknown name": {"username": "eve", "password": ""},
    "unknown client": {"username": "alice", "password": "x", "client_id": "other"},
    "another grant": {"grant_type": "refresh_token"},
    "no grant": {"grant_type": ""},
    "wrong secret": {"grant_type": "client_credentials", "client_id": "nightly-train"},
    "a person as a client": {"grant_type": "client_credentials", "client_id": "alice"},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(changes: dict[str, str], idp: Running) -> None:
    status, body = await idp.post({"grant_type": "password", "client_id": "mlgate", **changes})
    assert status in (400, 401)
    assert "access_token" not in body
    assert body["error"]


async def test_odd_requests_are_refused(idp: Running) -> None:
    good = {"grant_type": "password", "client_id": "mlgate", "username": "alice"}
    assert (await idp.post(None, json=good))[0] == 400
    assert (await idp.post([*good.items(), ("username", "bob")]))[0] == 400
    assert (await idp.post({"grant_type": "client_credentials"}, headers={"Authorization": "x"}))[
        0
    ] == 401


async def test_a_page_that_rebinds_its_name_is_refused(idp: Running) -> None:
    status, body = await idp.post({}, headers={"Host": "evil.example.com"})
    assert (status, body) == (403, {"error": "access_denied"})


async def test_key_and_passwords_survive_and_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "devidp"
    key, accounts = SigningKey.load(folder), Accounts.load(folder)
    assert SigningKey.load(folder).public_jwk == key.public_jwk
    assert Accounts.load(folder) == accounts
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in folder.iterdir()) == ["accounts.json", "signing-key.pem"]
    elsewhere = Accounts.load(tmp_path / "other")
    assert elsewhere.people[0].password != accounts.people[0].password
    assert all(len(account.password) == 20 for account in accounts.people)


async def test_an_opened_file_is_closed_again(tmp_path: Path) -> None:
    Accounts.load(tmp_path)
    os.chmod(tmp_path / "accounts.json", 0o644)
    Accounts.load(tmp_path)
    assert stat.S_IMODE((tmp_path / "accounts.json").stat().st_mode) == 0o600


async def test_two_starts_at_once_agree(tmp_path: Path) -> None:
    loaded = await asyncio.gather(*(asyncio.to_thread(Accounts.load, tmp_path) for _ in range(8)))
    assert len(set(loaded)) == 1
    assert os.listdir(tmp_path) == ["accounts.json"]


@pytest.mark.parametrize("name", ["accounts.json", "signing-key.pem"])
@pytest.mark.parametrize("content", [b"", b"{}", b"junk"])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "devidp").mkdir()
    (tmp_path / "devidp" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged; delete it"):
        create_app(tmp_path, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:80", "http://idp.example.com", "https://127.0.0.1:1", "http://10.0.0.1"]
)
def test_it_serves_this_machine_only(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this machine only"):
        create_app(tmp_path, url)
    assert list(tmp_path.iterdir()) == []


async def test_a_port_in_use_is_an_oserror(idp: Running, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await serve(tmp_path, int(idp.url.rsplit(":", 1)[1]))


async def test_the_token_is_of_the_shape_of_rfc_9068(idp: Running) -> None:
    token = await idp.sign_in("alice")
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= claims.keys()
    assert claims["iss"] == idp.url
