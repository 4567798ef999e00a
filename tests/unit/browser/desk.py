"""The gateway's own endpoints without the servers around them: a target in, an answer out."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.audit.event import Trail
from gateway.errors import GatewayError
from gateway.model import Principal
from gateway.web.head import Head, Headers
from gateway.web.own import Endpoint, OwnEndpoints

ADMIN = Principal("user:dave@example.com", frozenset({"mlflow-admins"}), admin=True, method="x")
OTHER = Principal("user:alice@example.com", frozenset({"data-science"}), method="x")


@dataclass
class Answer:
    """``text`` of a refusal is its message."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def words(self) -> str:
        """What a person reads."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    def links(self, attributes: str) -> list[str]:
        """The addresses of the links that begin with these attributes."""
        return [
            html.unescape(one) for one in re.findall(f'<a {attributes}href="([^"]*)"', self.text)
        ]


class Desk:
    """Answers as the gateway does; the caller is an admin unless somebody else is named."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self._caller = ADMIN
        self._own = OwnEndpoints(endpoints, self._identify)

    async def _identify(self, head: Head) -> Principal:
        return self._caller

    async def get(self, target: str, caller: Principal = ADMIN) -> Answer:
        self._caller = caller
        trail = Trail("00000000-1", 0.0, 0.0)
        head = Head("GET", target, Headers(), ())
        request: Any = None  # a GET has no body to read
        try:
            whole: Any = await self._own.handle(request, head, trail)
        except GatewayError as error:
            return Answer(error.status, {}, error.message)
        headers = {name.decode(): value.decode() for name, value in whole.raw_headers}
        return Answer(whole.status, headers, whole.payload.decode())
