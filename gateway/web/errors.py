"""The one renderer of refusals: MLflow-shaped JSON, or a page for a person's browser."""

from __future__ import annotations

from gateway.errors import (
    GatewayError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from gateway.model import Principal
from gateway.web.answer import Whole, json_answer
from gateway.web.pages import page as html_page

_TITLES = {
    400: "This request cannot be understood",
    401: "Please sign in",
    403: "You may not do this",
    404: "Not found",
    409: "This may have happened already",
    413: "This is too large",
    429: "Too many requests",
    503: "Not available right now",
}


def render(
    error: GatewayError,
    request_id: str,
    *,
    page: bool,
    public_url: str,
    challenge: str,
    principal: Principal | None = None,
    sign_in: str | None = None,
) -> Whole:
    """The answer for a refusal. ``challenge`` is the WWW-Authenticate value of a 401; ``sign_in``
    the address where a person may sign in (again), if there is one."""
    headers = [(b"x-request-id", request_id.encode("ascii"))]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode("ascii")))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    if not page:
        text = f"{error.message} (request {request_id})"
        return json_answer(error.status, {"error_code": error.error_code, "message": text}, headers)
    known = principal is not None and principal.method != "none"
    return html_page(
        "error.html",
        status=error.status,
        headers=headers,
        title=_TITLES.get(error.status, "Something went wrong"),
        message=error.message,
        advice=_advice(error),
        name=principal.bare_name if principal is not None and known else None,
        groups=sorted(principal.groups) if principal is not None else [],
        request_id=request_id,
        public_url=public_url,
        sign_in=None if known else sign_in,
        how_with_a_token=isinstance(error, Unauthenticated),
        home=known,
    )


def _advice(error: GatewayError) -> str:
    if isinstance(error, TooManyRequests):
        return "Wait a moment, then load the page again."
    if isinstance(error, Unavailable):
        return "Nothing was lost. Wait half a minute, then load the page again."
    if error.status >= 500:
        return "Give the request id to whoever runs this service."
    return ""


def draining() -> Unavailable:
    """The refusal while this gateway is going down."""
    return Unavailable("This gateway is going down; another one answers in a moment.")
