"""Where a person goes after signing in: the page that they asked for, on this gateway and nowhere
else. Pure.

An open redirect would let a link to the gateway end on somebody else's page. Browsers take a
backslash for a slash and drop tabs and newlines inside a URL (WHATWG URL standard, "basic URL
parser"), so what could be read in two ways is refused.
"""

from __future__ import annotations

import re

from gateway.errors import BadRequest

MAX_LENGTH = 2048

_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
"""A slash, not another one, then printable ASCII without space and backslash."""
_OURS = ("/access/login", "/access/callback", "/access/logout")


def local_target(text: str) -> str:
    """``text`` if it is a path (with query and fragment) of this gateway, else BadRequest.

    What is too long for a cookie becomes the first page.
    """
    if _LOCAL.fullmatch(text) is None:
        raise BadRequest("The page to return to after signing in is not one of this server.")
    path = re.split("[?#]", text, maxsplit=1)[0]
    if any(path == own or path.startswith(own + "/") for own in _OURS):
        return "/"
    return text if len(text) <= MAX_LENGTH else "/"
