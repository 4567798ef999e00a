"""Signing in with a browser: the sign-in page, and the way back with a code.

The authorization endpoint of RFC 6749 section 4.1 with PKCE (S256 only), and logout. The only
client is mlgate on this machine, so it may send people back to ``/access/callback`` of any
loopback port and nowhere else. There is no session of its own: each sign-in asks who it is, so
that alice and bob can be tried out in turn.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.devidp.codes import CODE_SECONDS, Granted
from gateway.devidp.issuer import CLIENT_ID, ISSUER
from gateway.idp.discovery import is_loopback

_PAGES = Path(__file__).parent / "pages"
_STYLE = Path(__file__).parents[1] / "web" / "static" / "style.css"
"""The gateway's own, so that both sides of a sign-in look alike; a file, no import."""
_environment = Environment(
    loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined
)
_CARRIED = (
    "client_id", "redirect_uri", "response_type", "state", "nonce", "code_challenge",
    "code_challenge_method",
)  # fmt: skip


def add_routes(app: web.Application, prefix: str) -> None:
    """The browser's endpoints."""
    app.router.add_get(prefix + "/authorize", _ask)
    app.router.add_post(prefix + "/authorize", _answer)
    app.router.add_get(prefix + "/logout", _logout)
    app.router.add_get(prefix + "/style.css", _style)


async def _ask(request: web.Request) -> web.StreamResponse:
    asked = {name: request.query.get(name, "") for name in _CARRIED}
    wrong = _problem(asked)
    if wrong:
        return _page(request, asked, wrong, status=400, form=False)
    return _page(request, asked, "")


async def _answer(request: web.Request) -> web.StreamResponse:
    origin = request.headers.get("Origin")
    issuer = request.app[ISSUER]
    form = await request.post()
    asked = {name: str(form.get(name, "")) for name in _CARRIED}
    wrong = _problem(asked)
    if wrong or (origin is not None and urlsplit(origin).netloc != request.host):
        return _page(request, asked, wrong or "Sign in on this page.", status=400, form=False)
    account = issuer.accounts.person(str(form.get("username", "")), str(form.get("password", "")))
    if account is None:
        return _page(request, asked, "The user name or the password is wrong.", status=401)
    code = issuer.codes.give(
        Granted(
            account,
            asked["redirect_uri"],
            asked["code_challenge"],
            asked["nonce"] or None,
            issuer.clock.now() + CODE_SECONDS,
        )
    )
    query = urlencode({"code": code, "state": asked["state"], "iss": issuer.url})
    raise web.HTTPSeeOther(
        f"{asked['redirect_uri']}?{query}", headers={"Cache-Control": "no-store"}
    )


async def _logout(request: web.Request) -> web.StreamResponse:
    """RP-initiated logout 1.0; there is no session to end, only the way back."""
    back = request.query.get("post_logout_redirect_uri", "")
    if not _is_ours(back, "/access/logout"):
        return _page(request, {}, "You are signed out.", form=False)
    raise web.HTTPSeeOther(back)


async def _style(request: web.Request) -> web.StreamResponse:
    return web.Response(body=_STYLE.read_bytes(), content_type="text/css")


def _problem(asked: dict[str, str]) -> str:
    """Why a person cannot be sent back with a code; empty: they can."""
    if asked["client_id"] != CLIENT_ID or asked["response_type"] != "code":
        return "This application is not known here."
    if not _is_ours(asked["redirect_uri"], "/access/callback"):
        return "This application is not on this machine."
    if asked["code_challenge_method"] != "S256" or len(asked["code_challenge"]) != 43:
        return "This application does not use PKCE (S256)."
    return ""


def _is_ours(uri: str, path: str) -> bool:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    plain = parts.scheme == "http" and parts.username is None and not parts.query
    return plain and is_loopback(host) and parts.path == path and not parts.fragment


def _page(
    request: web.Request, asked: dict[str, str], says: str, *, status: int = 200, form: bool = True
) -> web.Response:
    names = [account.name for account in request.app[ISSUER].accounts.people]
    text = _environment.get_template("sign_in.html").render(
        asked=asked, says=says, form=form, names=names
    )
    back = urlsplit(asked.get("redirect_uri", ""))
    actions = f"'self' {back.scheme}://{back.netloc}" if form else "'self'"
    policy = (
        f"default-src 'none'; style-src 'self'; img-src data:; form-action {actions}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)
