"""The gateway's own HTML pages: templates with autoescape, headers that let nothing else run."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.errors import NotFound
from gateway.web.answer import RawHeaders, Whole
from gateway.web.own import Endpoint, OwnCall

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_YEAR = b"public, max-age=31536000, immutable"

_environment = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    template: str,
    *,
    status: int = 200,
    headers: RawHeaders = (),
    form_action: Iterable[str] = (),
    **values: Any,
) -> Whole:
    """A page made from a template. ``form_action``: further origins that its forms may end at
    (browsers count where a form's answer redirects to).

    Content Security Policy Level 3: nothing but the gateway's own files runs, inline or other.
    """
    text = _environment.get_template(template).render(**values)
    actions = " ".join(("'self'", *form_action))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; form-action {actions}; base-uri 'none'; frame-ancestors 'none'"
    )
    made = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    return Whole(status, made, text.encode("utf-8"))


def see_other(location: str, headers: RawHeaders = ()) -> Whole:
    """On to another address, with GET."""
    made = [
        (b"location", location.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        *headers,
    ]
    return Whole(303, made, b"")


@cache
def _files() -> Mapping[str, tuple[bytes, str]]:
    """Every static file with its bytes and their hash; read once."""
    found = {}
    for path in sorted(_STATIC.iterdir()):
        content = path.read_bytes()
        found[path.name] = (content, hashlib.sha256(content).hexdigest()[:16])
    return found


def static_url(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return f"/access/static/{name}?v={_files()[name][1]}"


_environment.globals["static"] = static_url


class StaticFiles:
    """Serves the files of ``static/``; open, because the sign-in page needs them."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's row."""
        return (Endpoint("GET", "static/{name}", "static", self.file, open=True, quiet=True),)

    async def file(self, call: OwnCall) -> web.StreamResponse:
        """One file, by its name in the folder; there is no way out of it."""
        found = _files().get(call.params["name"])
        if found is None:
            raise NotFound("There is no such file.")
        content, version = found
        kind = mimetypes.guess_type(call.params["name"])[0] or "application/octet-stream"
        fresh = call.query.get("v") == version
        headers = [
            (b"content-type", f"{kind}; charset=utf-8".encode("ascii")),
            (b"cache-control", _YEAR if fresh else b"no-cache"),
            (b"x-content-type-options", b"nosniff"),
        ]
        return Whole(200, headers, content)
