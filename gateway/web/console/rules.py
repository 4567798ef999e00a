"""``/access/roles``, ``/access/why`` and ``/access/people``: who may do what, and why.

What roles allow is no secret: whoever shares should know what they give. Decisions about others
and the list of people are for admins.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.errors import Forbidden, GatewayError
from gateway.model import Kind
from gateway.roles import CallNames, RoleMatrix
from gateway.web.api.people import PeopleApi
from gateway.web.console.directory import Directory
from gateway.web.console.shell import Pages, console_page, moment
from gateway.web.own import Endpoint, OwnCall


class RulePages:
    """Pages about the rules; they change nothing."""

    def __init__(
        self,
        people: PeopleApi,
        directory: Directory,
        matrix: Callable[[], RoleMatrix],
        names: CallNames,
    ) -> None:
        self._people = people
        self._directory = directory
        self._matrix = matrix
        self._names = names

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "roles", "console/roles", self.roles),
            Endpoint("GET", "why", "can", self.why),
            Endpoint("GET", "people", "console/people", self.people),
        )

    async def roles(self, call: OwnCall) -> web.StreamResponse:
        """roles.yaml as it is in force: roles across, calls down."""
        matrix = self._matrix()
        tables = [
            (
                f"On {kind.value}s",
                [*matrix.roles, "admin"],
                [
                    (
                        name,
                        [
                            *(matrix.allows(role, kind, name) for role in matrix.roles),
                            name in matrix.admin,
                        ],
                    )
                    for name in sorted(self._names.of_kind(kind))
                ],
            )
            for kind in Kind
        ]
        server = [
            (name, [name in matrix.everyone, name in matrix.admin])
            for name in sorted(self._names.server)
        ]
        tables.append(("On the server", ["everyone", "admin"], server))
        defaults = [
            (kind.value, matrix.defaults[kind].creator, matrix.defaults[kind].group)
            for kind in Kind
        ]
        return console_page(call, "roles.html", here="roles", tables=tables, defaults=defaults)

    async def why(self, call: OwnCall) -> web.StreamResponse:
        """Why somebody can or cannot do something: the JSON API's answer, as a sentence."""
        answer, refused = None, None
        if call.query.get("call"):
            try:
                answer = await self._people.answer(call)
            except GatewayError as error:
                refused = error
        names = self._names
        return console_page(
            call,
            "why.html",
            here="why",
            refused=refused,
            answer=answer,
            asked={key: call.query.get(key, "") for key in ("principal", "call", "kind", "id")},
            calls=sorted(names.experiment | names.model | names.server),
        )

    async def people(self, call: OwnCall) -> web.StreamResponse:
        """Everybody who was here, with the groups of then; a page of them."""
        if not call.principal.admin:
            raise Forbidden("The list of people is for admins; ask an mlgate admin.")
        text = call.query.get("q", "").strip()[:200]
        wanted = text.casefold()
        everybody = await self._directory.people()
        found = [
            one
            for one in everybody
            if any(wanted in part.casefold() for part in (one.name, *one.groups))
        ]
        pages = Pages(found, {**call.query, "kind": ""}, "/access/people")
        rows = [(one.name, sorted(one.groups), moment(one.seen)) for one in pages.items]
        groups: dict[str, int] = {}
        for one in everybody:
            for group in one.groups:
                groups[group] = groups.get(group, 0) + 1
        return console_page(
            call,
            "people.html",
            here="people",
            q=text,
            rows=rows,
            pages=pages,
            groups=sorted(groups.items()),
        )
