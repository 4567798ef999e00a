"""The one renderer of refusals: MLflow-shaped JSON, or a plain page for a person's browser."""

from __future__ import annotations

import html

from gateway.errors import GatewayError, Unauthenticated, Unavailable
from gateway.web.answer import Whole, json_answer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - mlgate</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{title}</h1><p>{message}</p>{more}
<p>Request id: <code>{request_id}</code></p></main></body></html>
"""
_SIGN_IN = """
<p>This address is an MLflow tracking server behind mlgate. Browser sign-in is not built yet;
use a token from Python, R, Java or curl:</p>
<pre>export MLFLOW_TRACKING_URI={url}
export MLFLOW_TRACKING_TOKEN=&lt;your token&gt;</pre>
<p>A token is an API token (<code>mlg_…</code>, made with <code>mlgate token create</code> or
<code>POST {url}/access/api/v1/tokens</code>) or a JWT of your identity provider. With user name
and password: send the token as the password.</p>
"""
_HTML_TYPE = (b"content-type", b"text/html; charset=utf-8")
_TITLES = {
    400: "This request cannot be understood",
    401: "Please sign in",
    403: "You may not see this",
    404: "Not found",
    429: "Too many requests",
    503: "Not available right now",
}


def render(
    error: GatewayError, request_id: str, *, page: bool, public_url: str, challenge: str
) -> Whole:
    """The answer for a refusal. ``challenge`` is the WWW-Authenticate value of a 401."""
    headers = [(b"x-request-id", request_id.encode("ascii"))]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode("ascii")))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    if page:
        return _page(error, request_id, public_url, headers)
    body = {"error_code": error.error_code, "message": f"{error.message} (request {request_id})"}
    return json_answer(error.status, body, headers)


def _page(
    error: GatewayError, request_id: str, public_url: str, headers: list[tuple[bytes, bytes]]
) -> Whole:
    more = ""
    if isinstance(error, Unauthenticated):
        more = _SIGN_IN.format(url=html.escape(public_url))
    text = _PAGE.format(
        title=_TITLES.get(error.status, "Something went wrong"),
        message=html.escape(error.message),
        more=more,
        request_id=html.escape(request_id),
    )
    headers = [
        _HTML_TYPE,
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    return Whole(error.status, headers, text.encode("utf-8"))


def draining() -> Unavailable:
    """The refusal while this gateway is going down."""
    return Unavailable("This gateway is going down; another one answers in a moment.")
