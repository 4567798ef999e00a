"""Every experiment and model with its owner, for admins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from gateway.acl.cache import AclCache
from gateway.errors import BadRequest, Forbidden
from gateway.filters.page_token import PageTokens, Position, query_of
from gateway.model import Acl, Kind, Resource
from gateway.roles import ACL_WRITE, RoleMatrix
from gateway.web.answer import json_answer
from gateway.web.api.people import kind_from
from gateway.web.console.names import Names
from gateway.web.own import Endpoint, OwnCall

PER_PAGE = 25
_LONGEST_QUERY = 200


@dataclass(frozen=True, slots=True)
class Held:
    """One resource. ``managers`` may share it; ``grants`` counts everybody with a role."""

    resource: Resource
    name: str | None
    owner: str | None
    managers: tuple[str, ...]
    grants: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One page. ``after``: sealed, where the next one begins; ``total`` is known of searches."""

    kind: Kind
    text: str
    rows: tuple[Held, ...]
    after: str | None
    total: int | None


class ResourcesApi:
    """Lists what the access store knows, and searches it by MLflow's names."""

    def __init__(
        self,
        acls: AclCache,
        names: Names,
        matrix: Callable[[], RoleMatrix],
        tokens: PageTokens,
    ) -> None:
        self._acls = acls
        self._names = names
        self._matrix = matrix
        self._tokens = tokens

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's row."""
        return (Endpoint("GET", "api/v1/resources", "resources/list", self.list),)

    async def list(self, call: OwnCall) -> web.StreamResponse:
        """``{resources: [{kind, id, name, owner, managers, grants}], after}``."""
        listing = await self.listing(call)
        return json_answer(
            200, {"resources": [_shown(one) for one in listing.rows], "after": listing.after}
        )

    async def listing(self, call: OwnCall) -> Listing:
        """The page that the query asks for. Raises Forbidden, BadRequest, Unavailable."""
        if not call.principal.admin:
            raise Forbidden("The list of all resources is for admins; ask an mlgate admin.")
        kind = kind_from(call.query.get("kind") or Kind.EXPERIMENT.value)
        text = call.query.get("q", "").strip()[:_LONGEST_QUERY]
        bound = query_of("resources", {"kind": kind.value, "q": text}, call.principal.name)
        position = self._position(call.query.get("after", ""), bound)
        total = None
        if text:
            found = await self._matching(kind, text)
            total, end = len(found), position.offset + PER_PAGE
            acls = [(one, await self._acls.get(one)) for one in found[position.offset : end]]
            following = Position(offset=end) if end < total else None
        else:
            page = await self._acls.acl_page(kind, position.upstream or None, PER_PAGE)
            acls = [(acl.resource, acl) for acl in page.acls]
            following = None if page.after is None else Position(upstream=page.after)
        after = None if following is None else self._tokens.seal(following, bound)
        return Listing(kind, text, await self._held(acls), after, total)

    def _position(self, after: str, bound: bytes) -> Position:
        if not after:
            return Position()
        try:
            return self._tokens.open(after, bound)
        except BadRequest:
            raise BadRequest("This list cannot go on from there; start it again.") from None

    async def _matching(self, kind: Kind, text: str) -> Sequence[Resource]:
        """What MLflow calls so, and the resource with this very id if it is in the store (MLflow
        may have forgotten it)."""
        like = self._names.experiments_like if kind is Kind.EXPERIMENT else self._names.models_like
        ids = set(await like(text))
        exact = Resource(kind, text)
        if await self._acls.get(exact) is not None:
            ids.add(text)
        return [Resource(kind, one) for one in sorted(ids, key=_by_number)]

    async def _held(self, acls: Sequence[tuple[Resource, Acl | None]]) -> tuple[Held, ...]:
        named = await self._names.of(resource for resource, _ in acls)
        matrix = self._matrix()
        return tuple(
            Held(
                resource,
                named.get(resource),
                acl.owner if acl is not None else None,
                tuple(
                    key
                    for key, role in sorted((acl.grants if acl is not None else {}).items())
                    if matrix.allows(role, resource.kind, ACL_WRITE)
                ),
                len(acl.grants) if acl is not None else 0,
            )
            for resource, acl in acls
        )


def _by_number(one: str) -> tuple[int, str, str]:
    """Numbers by their value, before names."""
    return (len(one) if one.isascii() and one.isdigit() else 99, one.casefold(), one)


def _shown(one: Held) -> dict[str, object]:
    return {
        "kind": one.resource.kind.value,
        "id": one.resource.id,
        "name": one.name,
        "owner": one.owner,
        "managers": list(one.managers),
        "grants": one.grants,
    }
