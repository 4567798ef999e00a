"""``/access/``: what I can see, with which role, and through what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.acl.cache import AclCache
from gateway.model import EVERYONE, Kind, Principal, Resource
from gateway.roles import ACL_READ, READ_CALL, RoleMatrix
from gateway.settings import Settings
from gateway.web.api.people import kind_from
from gateway.web.console.names import Names
from gateway.web.console.shell import Pages, console_page, mlflow_path, share_path
from gateway.web.own import Endpoint, OwnCall

_LONGEST_QUERY = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list. ``reasons``: pairs of role and through what it is held."""

    id: str
    name: str | None
    reasons: tuple[tuple[str, str], ...]
    mlflow: str
    share: str | None


class Overview:
    """The list of what the caller may see."""

    def __init__(
        self,
        settings: Settings,
        acls: AclCache,
        names: Names,
        matrix: Callable[[], RoleMatrix],
    ) -> None:
        self._settings = settings
        self._acls = acls
        self._names = names
        self._matrix = matrix

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's row."""
        return (Endpoint("GET", "", "console/overview", self.show),)

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """One page of experiments or models; names are asked for those on it only."""
        kind = kind_from(call.query.get("kind") or Kind.EXPERIMENT.value)
        text = call.query.get("q", "").strip()[:_LONGEST_QUERY]
        held = await self._held(call.principal, kind)
        shown = await self._matching(held, kind, text) if text else list(held)
        if kind is Kind.EXPERIMENT:
            shown.sort(key=_newest_first)
        else:
            shown.sort(key=lambda name: (name.casefold(), name))
        pages = Pages(shown, call.query, "/access/")
        resources = [Resource(kind, one) for one in pages.items]
        named = await self._names.of(resources)
        rows = [await self._row(call.principal, r, named.get(r), held[r.id]) for r in resources]
        return console_page(
            call, "overview.html", here="overview", kind=kind.value, q=text, rows=rows, pages=pages
        )

    async def _held(
        self, principal: Principal, kind: Kind
    ) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """Id -> (grant key, role) of everything that a search would show."""
        held: dict[str, tuple[tuple[str, str], ...]] = {}
        matrix = self._matrix()
        for key in principal.keys:
            for one, (role,) in (await self._acls.visible((key,), kind)).items():
                held[one] = (*held.get(one, ()), (key, role))
        call = READ_CALL[kind]
        return {
            one: grants
            for one, grants in held.items()
            if principal.admin or any(matrix.allows(role, kind, call) for _, role in grants)
        }

    async def _matching(self, held: Iterable[str], kind: Kind, text: str) -> list[str]:
        if kind is Kind.MODEL:
            return [one for one in held if text.casefold() in one.casefold()]
        like = await self._names.experiments_like(text)
        return [one for one in held if one in like or one == text]

    async def _row(
        self,
        principal: Principal,
        resource: Resource,
        name: str | None,
        grants: tuple[tuple[str, str], ...],
    ) -> Row:
        acl = await self._acls.get(resource)
        owner = acl is not None and acl.owner == principal.name
        matrix = self._matrix()
        may_look = principal.admin or any(
            matrix.allows(role, resource.kind, ACL_READ) for _, role in grants
        )
        return Row(
            id=resource.id,
            name=name,
            reasons=tuple((role, _why(key, owner)) for key, role in grants),
            mlflow=mlflow_path(self._settings, resource),
            share=share_path(resource) if may_look else None,
        )


def _why(key: str, owner: bool) -> str:
    if key == EVERYONE:
        return "shared with everyone"
    if key.startswith("group:"):
        return f"through group {key.partition(':')[2]}"
    return "you are its owner" if owner else "given to you"


def _newest_first(experiment_id: str) -> tuple[int, int, str]:
    number = int(experiment_id) if experiment_id.isascii() and experiment_id.isdigit() else 0
    return (-len(experiment_id) if number else 0, -number, experiment_id)
