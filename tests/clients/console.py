"""The lines that the console's page of tokens gives a person to copy."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.stack import Stack

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_EXAMPLE = re.compile(r'<pre [^>]*aria-label="([^"]*)"[^>]*>([^<]*)</pre>')
_SECRET = re.compile(r'<code id="secret">([^<]*)</code>')


@dataclass(frozen=True)
class Copied:
    """A new API token, and the lines for each client by its name."""

    token: str
    lines: dict[str, str]


def new_token(stack: Stack, who: str) -> Copied:
    """``who`` makes a token on the page."""
    body = urlencode({"do": "create", "label": "a client", "days": "1"}).encode()
    page = stack.call(who, "POST", "/access/tokens", body=body, headers=_FORM)
    assert page.status == 200, page.body
    text = page.body.decode()
    (token,) = _SECRET.findall(text)
    return Copied(token, {n: html.unescape(lines) for n, lines in _EXAMPLE.findall(text)})
