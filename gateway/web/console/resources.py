"""``/access/resources``: every experiment and model, who owns it, who may share it."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from gateway.settings import Settings
from gateway.web.api.resources import Held, Listing, ResourcesApi
from gateway.web.console.shell import console_page, mlflow_path, share_path, spelled
from gateway.web.own import Endpoint, OwnCall

_MOST_MANAGERS = 5


class ResourcePages:
    """The list of all resources; it changes nothing."""

    def __init__(self, settings: Settings, resources: ResourcesApi) -> None:
        self._settings = settings
        self._resources = resources

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's row."""
        return (Endpoint("GET", "resources", "console/resources", self.show),)

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """One page of the list, or of what a search found."""
        listing = await self._resources.listing(call)
        return console_page(
            call,
            "resources.html",
            here="resources",
            kind=listing.kind.value,
            q=listing.text,
            total=listing.total,
            rows=[self._row(one) for one in listing.rows],
            first=_address(listing, None),
            later=bool(call.query.get("after")),
            after=_address(listing, listing.after) if listing.after is not None else None,
        )

    def _row(self, one: Held) -> dict[str, object]:
        others = [key for key in one.managers if key != one.owner]
        return {
            "id": one.resource.id,
            "name": one.name,
            "owner": spelled(one.owner) if one.owner else None,
            "managers": [spelled(key) for key in others[:_MOST_MANAGERS]],
            "more": max(0, len(others) - _MOST_MANAGERS),
            "grants": one.grants,
            "mlflow": mlflow_path(self._settings, one.resource),
            "share": share_path(one.resource),
        }


def _address(listing: Listing, after: str | None) -> str:
    fields = {"kind": listing.kind.value, "q": listing.text, "after": after or ""}
    return "/access/resources?" + urlencode({k: v for k, v in fields.items() if v})
