"""People, service accounts and groups that were seen, to find whom to share with."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.acl.cache import AclCache
from gateway.acl.store import PersonRecord
from gateway.clock import Clock
from gateway.model import Principal

_REMEMBERED_SECONDS = 10.0
_MOST = 50


class Directory:
    """Whoever signed in once, and the groups that they were in.

    Pages read the store: what another gateway has just written is on them. Suggestions are
    remembered for some seconds, so that they are not one read for each letter that somebody types.
    """

    def __init__(self, acls: AclCache, clock: Clock) -> None:
        self._acls = acls
        self._clock = clock
        self._people: tuple[PersonRecord, ...] = ()
        self._until = 0.0

    async def people(self) -> Sequence[PersonRecord]:
        """Everybody seen, by name. Raises Unavailable."""
        now = self._clock.monotonic()
        found = await self._acls.people()
        self._people = tuple(sorted(found, key=lambda person: person.name.casefold()))
        self._until = now + _REMEMBERED_SECONDS
        return self._people

    async def accounts(self, me: Principal, text: str = "") -> list[PersonRecord]:
        """The service accounts whose tokens ``me`` may manage, with ``text`` in name or group."""
        wanted = text.casefold()
        return [
            one
            for one in await self.people()
            if one.name.startswith("service:")
            and (me.admin or me.groups.intersection(one.groups))
            and any(wanted in part.casefold() for part in (one.name, *one.groups))
        ]

    async def suggestions(self, text: str) -> list[str]:
        """As ``keys``, from what was read within the last seconds."""
        remembered = self._clock.monotonic() < self._until
        return _keys(self._people if remembered else await self.people(), text, _MOST)

    async def keys(self, text: str = "", most: int = _MOST) -> list[str]:
        """Grant keys that contain ``text``: groups first, because sharing with one is simplest."""
        return _keys(await self.people(), text, most)

    async def meant(self, text: str) -> str:
        """The grant key that a person means: as typed, or the one that is known by that name.

        The provider names people and groups. Service accounts are named by whoever makes one, after
        a person who is still to come for instance, so theirs has to be typed in full.
        """
        typed = text.strip()
        if ":" in typed:
            return typed
        known = set(await self.keys(typed, most=100_000))
        fits = [key for kind in ("user", "group") if (key := f"{kind}:{typed}") in known]
        if len(fits) == 1:
            return fits[0]
        return f"user:{typed}" if "@" in typed else typed


def _keys(people: Sequence[PersonRecord], text: str, most: int) -> list[str]:
    groups = sorted({f"group:{group}" for person in people for group in person.groups})
    wanted = text.casefold()
    every = [*groups, *(person.name for person in people)]
    return [key for key in every if wanted in key.casefold()][:most]
