"""Adds the gateway's small menu to MLflow's page as it passes.

One script element before ``</head>``; MLflow itself is not touched. The script is the gateway's own
file on the same origin, so a content security policy that lets MLflow's scripts run lets it run
too, and one that does not keeps it out: the page's policy is never changed.
"""

from __future__ import annotations

from gateway.forward import Received
from gateway.web.pages import static_url

_HEAD = b"</head>"
_STALE = frozenset({b"etag", b"last-modified", b"cache-control", b"expires", b"content-length"})
CONDITIONS = frozenset(
    {b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since"}
)
"""Request headers that would have MLflow answer about its page instead of ours."""


def with_menu(page: Received) -> Received:
    """MLflow's page with the menu; whatever is not a page passes as it is."""
    kind = next((v for n, v in page.headers if n.lower() == b"content-type"), b"")
    encoded = any(n.lower() == b"content-encoding" for n, _ in page.headers)
    at = page.body.find(_HEAD)
    if page.status != 200 or b"text/html" not in kind.lower() or encoded or at < 0:
        return page
    script = f'<script src="{static_url("menu.js")}" defer></script>'.encode("ascii")
    body = page.body[:at] + script + page.body[at:]
    headers = [(n, v) for n, v in page.headers if n.lower() not in _STALE]
    # Whoever signs out must not find the page of before in the browser's cache.
    headers.append((b"cache-control", b"no-cache, private"))
    return Received(page.status, headers, body)
