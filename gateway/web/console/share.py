"""``/access/share/…``: who has access to an experiment or model, and giving or taking it.

The rules are those of the JSON API: the same functions, the same refusals.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.errors import BadRequest, GatewayError
from gateway.model import Acl, Principal
from gateway.roles import ACL_READ, ACL_WRITE, RoleMatrix
from gateway.settings import Settings
from gateway.sharing import may_give
from gateway.web.answer import json_answer
from gateway.web.api.grants import GrantsApi
from gateway.web.console.directory import Directory
from gateway.web.console.names import Names
from gateway.web.console.shell import console_page, mlflow_path, share_path, spelled
from gateway.web.own import Endpoint, OwnCall
from gateway.web.pages import see_other

_FIELDS = frozenset({"do", "principal", "role"})


class SharePages:
    """Shows and changes the sharing of one resource."""

    def __init__(
        self,
        settings: Settings,
        grants: GrantsApi,
        directory: Directory,
        names: Names,
        matrix: Callable[[], RoleMatrix],
    ) -> None:
        self._settings = settings
        self._grants = grants
        self._directory = directory
        self._names = names
        self._matrix = matrix

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        path = "share/{kind}/{id}"
        return (
            Endpoint("GET", path, ACL_READ, self.show),
            Endpoint("POST", path, ACL_WRITE, self.change, form=True),
            Endpoint("GET", f"{path}/names", ACL_WRITE, self.suggest, quiet=True),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The page."""
        return await self._page(call, None)

    async def change(self, call: OwnCall) -> web.StreamResponse:
        """Give or take a role, then back to the page; a refusal is a sentence on it."""
        try:
            after = await self._changed(call)
        except GatewayError as refused:
            decision = call.trail.decision
            page = await self._page(call, refused)  # raises where there is no page to say it on
            call.trail.decision = decision  # the audit line is about the change
            return page
        may_look = call.principal.admin or any(
            self._matrix().allows(role, after.resource.kind, ACL_READ)
            for role in after.roles_of(call.principal)
        )
        return see_other(f"{share_path(after.resource)}?done=1" if may_look else "/access/")

    async def suggest(self, call: OwnCall) -> web.StreamResponse:
        """Whom one could mean, for the page's script; only for those who may share this."""
        await self._grants.permitted(call, ACL_WRITE)
        return json_answer(
            200, {"names": await self._directory.suggestions(call.query.get("q", ""))}
        )

    async def _changed(self, call: OwnCall) -> Acl:
        unknown = set(call.body) - _FIELDS
        if unknown or call.body.get("do") not in ("give", "remove"):
            raise BadRequest("The form is not the one of this page; load the page again.")
        principal = call.body.get("principal", "")
        if not isinstance(principal, str) or not principal.strip():
            raise BadRequest("Say with whom: a person, a group or everyone.")
        if call.body["do"] == "remove":
            return await self._grants.change(call, principal, None)
        role = call.body.get("role", "")
        if not isinstance(role, str):
            raise BadRequest("Choose a role.")
        return await self._grants.change(call, await self._directory.meant(principal), role)

    async def _page(self, call: OwnCall, refused: GatewayError | None) -> web.StreamResponse:
        acl = await self._grants.permitted(call, ACL_READ)
        me, matrix, kind = call.principal, self._matrix(), acl.resource.kind
        may_share = me.admin or any(matrix.allows(r, kind, ACL_WRITE) for r in acl.roles_of(me))
        offered = [r for r in matrix.roles if may_give(acl, me, r, matrix)] if may_share else []
        rows = [
            {
                "key": key,
                "name": spelled(key),
                "role": role,
                "why": _why(key, acl, me),
                "change": may_share and may_give(acl, me, role, matrix),
            }
            for key, role in sorted(acl.grants.items())
        ]
        return console_page(
            call,
            "share.html",
            here="share",
            refused=refused,
            kind=kind.value,
            id=acl.resource.id,
            name=await self._names.name(acl.resource),
            owner=spelled(acl.owner) if acl.owner else None,
            rows=rows,
            roles=offered,
            may_share=may_share,
            suggestions=await self._directory.keys() if may_share else [],
            typed=str(call.body.get("principal", "")) if refused is not None else "",
            done="done" in call.query,
            action=share_path(acl.resource),
            mlflow=mlflow_path(self._settings, acl.resource),
        )


def _why(key: str, acl: Acl, me: Principal) -> str:
    said = []
    if key == acl.owner:
        said.append("owner")
    if key in me.keys:
        said.append("you" if key == me.name else "you too")
    return ", ".join(said)
