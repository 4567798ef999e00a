"""The issuer's web application: discovery, keys and the token endpoint, on loopback only.

Rules: OpenID Connect Discovery 1.0 section 4, RFC 6749 sections 4.1 (code), 4.3 (password), 4.4
(client credentials), 6 (refresh), 5.1 and 5.2 (answers), RFC 9068 (JWT access tokens).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

from aiohttp import BasicAuth, web

from gateway.clock import Clock, SystemClock
from gateway.devidp import browser
from gateway.devidp.accounts import Account, Accounts
from gateway.devidp.issuer import CLIENT_ID, ISSUER, TOKEN_SECONDS, Issuer
from gateway.devidp.signing import ALGORITHM, SigningKey
from gateway.idp.discovery import is_loopback
from gateway.settings import IdentityProvider

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refused(Exception):
    """An OAuth error answer (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.answer = {"error": error, "error_description": description}
        self.status = status


def create_app(data_dir: Path, issuer_url: str, *, clock: Clock | None = None) -> web.Application:
    """The issuer as an application, its key and accounts kept in ``data_dir/devidp``.

    ``issuer_url`` is where it will be reached, on loopback. Raises ValueError for another
    host and for damaged files, OSError when the folder cannot be used.
    """
    parts = urlsplit(issuer_url)
    if parts.scheme != "http" or not is_loopback(parts.hostname):
        raise ValueError(
            "the development identity provider serves this machine only: use 127.0.0.1"
        )
    folder = data_dir / "devidp"
    app = web.Application(middlewares=[_this_machine_only], client_max_size=16 * 1024)
    app[ISSUER] = Issuer(
        issuer_url, Accounts.load(folder), SigningKey.load(folder), clock or SystemClock()
    )
    prefix = parts.path.rstrip("/")
    app.router.add_get(prefix + "/.well-known/openid-configuration", _discovery)
    app.router.add_get(prefix + "/jwks.json", _keys)
    app.router.add_post(prefix + "/token", _token)
    browser.add_routes(app, prefix)
    return app


async def serve(data_dir: Path, port: int) -> web.AppRunner:
    """Serve on 127.0.0.1:``port`` (the issuer is ``http://127.0.0.1:<port>``); ``cleanup()`` ends.

    Raises what ``create_app`` raises, and OSError when the port is in use.
    """
    runner = web.AppRunner(create_app(data_dir, f"http://127.0.0.1:{port}"), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def provider_settings(issuer_url: str) -> IdentityProvider:
    """The settings with which a gateway trusts this issuer: ``user:alice``, ``service:…``."""
    return IdentityProvider(
        type="oidc",
        name="dev",
        issuer=issuer_url,
        audience=(CLIENT_ID,),
        user_claims=("preferred_username",),
        client_id=(CLIENT_ID,),
    )


@web.middleware
async def _this_machine_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    # The Host check stops a web page that points its own name at 127.0.0.1 (DNS rebinding).
    peer = request.transport.get_extra_info("peername") if request.transport else None
    host = urlsplit(f"//{request.host}").hostname
    if not peer or not is_loopback(peer[0]) or not is_loopback(host):
        return web.json_response({"error": "access_denied"}, status=403)
    return await handler(request)


async def _discovery(request: web.Request) -> web.Response:
    url = request.app[ISSUER].url
    base = url.rstrip("/")
    return web.json_response(
        {
            "issuer": url,
            "jwks_uri": base + "/jwks.json",
            "token_endpoint": base + "/token",
            "authorization_endpoint": base + "/authorize",
            "end_session_endpoint": base + "/logout",
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "password",
                "client_credentials",
            ],
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_basic",
                "client_secret_post",
            ],
        }
    )


async def _keys(request: web.Request) -> web.Response:
    return web.json_response({"keys": [dict(request.app[ISSUER].key.public_jwk)]})


async def _token(request: web.Request) -> web.Response:
    try:
        form = await _form(request)
        answer = _grant(request.app[ISSUER], form, request.headers.get("Authorization"))
    except _Refused as refused:
        return web.json_response(
            refused.answer, status=refused.status, headers={"Cache-Control": "no-store"}
        )
    return web.json_response(
        {**answer, "token_type": "Bearer", "expires_in": TOKEN_SECONDS},
        headers={"Cache-Control": "no-store"},
    )


def _grant(issuer: Issuer, form: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    match form.get("grant_type"):
        case "authorization_code":
            return _code(issuer, form)
        case "refresh_token":
            _own_client(form)
            account = issuer.refreshed(form.get("refresh_token", ""))
            if account is None:
                raise _Refused("invalid_grant", "the refresh token is not valid")
            return _person(issuer, account, None)
        case "password":
            _own_client(form)
            account = issuer.accounts.person(form.get("username", ""), form.get("password", ""))
            if account is None:
                raise _Refused("invalid_grant", "user name or password is wrong")
            return {"access_token": issuer.access_token(account.name, CLIENT_ID, account.groups)}
        case "client_credentials":
            client = issuer.accounts.service(*_client_credentials(form, authorization))
            if client is None:
                raise _Refused("invalid_client", "client id or secret is wrong", 401)
            token = issuer.access_token(client.client_id, client.client_id, client.groups)
            return {"access_token": token}
        case _:
            raise _Refused("unsupported_grant_type", "see grant_types_supported")


def _code(issuer: Issuer, form: Mapping[str, str]) -> dict[str, str]:
    _own_client(form)
    granted = issuer.codes.redeem(
        form.get("code", ""),
        form.get("redirect_uri", ""),
        form.get("code_verifier", ""),
        issuer.clock.now(),
    )
    if granted is None:
        raise _Refused("invalid_grant", "the code is not valid (any more)")
    return _person(issuer, granted.account, granted.nonce)


def _person(issuer: Issuer, account: Account, nonce: str | None) -> dict[str, str]:
    return {
        "access_token": issuer.access_token(account.name, CLIENT_ID, account.groups),
        "id_token": issuer.id_token(account, nonce),
        "refresh_token": issuer.refresh_token(account),
    }


def _own_client(form: Mapping[str, str]) -> None:
    if form.get("client_id") != CLIENT_ID:
        raise _Refused("invalid_client", f"client_id must be {CLIENT_ID}", 401)


def _client_credentials(form: Mapping[str, str], authorization: str | None) -> tuple[str, str]:
    if authorization is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        auth = BasicAuth.decode(authorization, encoding="utf-8")
    except ValueError as problem:
        raise _Refused("invalid_client", "Authorization must be Basic", 401) from problem
    # RFC 6749 section 2.3.1: both halves are form-encoded before they go into Basic.
    return unquote_plus(auth.login), unquote_plus(auth.password)


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise _Refused("invalid_request", "send application/x-www-form-urlencoded")
    try:
        posted = await request.post()
    except ValueError as problem:
        raise _Refused("invalid_request", "the form cannot be read") from problem
    form = {name: value for name, value in posted.items() if isinstance(value, str)}
    if len(form) != len(posted):
        raise _Refused("invalid_request", "a parameter is given twice")
    return form
