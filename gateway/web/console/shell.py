"""What every page of the console shares: who one is, where one can go, refusals as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.errors import GatewayError
from gateway.model import EVERYONE, Kind, Resource
from gateway.settings import Settings
from gateway.web.answer import Whole
from gateway.web.own import OwnCall
from gateway.web.pages import page

PER_PAGE = 25


def console_page(
    call: OwnCall, template: str, *, here: str, refused: GatewayError | None = None, **values: Any
) -> Whole:
    """One page of the console. ``refused``: why what was asked for was not done; the page has its
    status, so that a script does not take it for done, and ``call``'s audit line has its code."""
    if refused is not None:
        call.trail.error = refused.error_code.lower()
    return page(
        template,
        status=refused.status if refused is not None else 200,
        me=call.principal,
        here=here,
        error=refused.message if refused is not None else None,
        **values,
    )


def share_path(resource: Resource) -> str:
    """The page to share a resource from."""
    return f"/access/share/{resource.kind.value}/{quote(resource.id, safe='')}"


def mlflow_path(settings: Settings, resource: Resource) -> str:
    """MLflow's own page of a resource."""
    place = "experiments" if resource.kind is Kind.EXPERIMENT else "models"
    return f"{settings.upstream.static_prefix}/#/{place}/{quote(resource.id, safe='')}"


def spelled(key: str) -> str:
    """A grant key as a person says it: ``group data-science``, ``everyone who is signed in``."""
    if key == EVERYONE:
        return "everyone who is signed in"
    kind, _, name = key.partition(":")
    return {"user": name, "group": f"group {name}", "service": f"service account {name}"}.get(
        kind, key
    )


def moment(at: float | None) -> str:
    """A time as people read it, in UTC; the gateway does not know theirs."""
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


class Pages:
    """Page ``number`` (from 1) of a list, and the addresses of its neighbours."""

    def __init__(self, items: Iterable[Any], query: Mapping[str, str], path: str) -> None:
        everything = list(items)
        text = query.get("page", "1")
        asked = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
        self.total = len(everything)
        self.count = max(1, -(-self.total // PER_PAGE))
        self.number = min(max(1, asked), self.count)
        self.items = everything[(self.number - 1) * PER_PAGE : self.number * PER_PAGE]
        self._path = path
        self._query = {k: v for k, v in query.items() if k in ("kind", "q", "of") and v}

    def _address(self, number: int) -> str:
        fields = {**self._query, "page": str(number)}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        return f"{self._path}?{query}"

    @property
    def before(self) -> str | None:
        """The address of the page before, if there is one."""
        return self._address(self.number - 1) if self.number > 1 else None

    @property
    def after(self) -> str | None:
        """The address of the page after, if there is one."""
        return self._address(self.number + 1) if self.number < self.count else None
