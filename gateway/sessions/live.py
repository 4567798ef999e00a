"""The sessions: begun at a sign-in, believed while they last, ended everywhere at once."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.acl.store import SessionRecord
from gateway.clock import Clock
from gateway.credentials.people import remember
from gateway.errors import Unavailable
from gateway.idp.claims import principal_of
from gateway.idp.sign_in import SignedIn, SignIn
from gateway.model import Principal
from gateway.sessions.box import Box
from gateway.sessions.cookies import CookieNames, value_of
from gateway.sessions.ports import SessionStore
from gateway.sessions.refresh import Refresher
from gateway.sessions.ticket import (
    ProviderTokens,
    Ticket,
    new_ticket,
    open_ticket,
    open_tokens,
    seal_ticket,
    seal_tokens,
)
from gateway.settings import Admins, Session

log = logging.getLogger(__name__)

TOUCH_SECONDS = 60.0
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Live:
    """A session that is believed, and until when. Seconds since the epoch."""

    principal: Principal
    provider: str
    expires: float
    idle_expires: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that was ended: where it came from, and what the provider wants to see of it."""

    principal: str
    provider: str
    id_token: str | None


class Sessions:
    """Begins, believes and ends sessions. One per process; ``unlock`` it, ``close`` it."""

    def __init__(
        self,
        store: SessionStore,
        sign_ins: Mapping[str, SignIn],
        names: CookieNames,
        bounds: Session,
        admins: Admins,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sign_ins = sign_ins
        self._name = names.session
        self._bounds = bounds
        self._admins = admins
        self._clock = clock
        self._box: Box | None = None
        self._refresher = Refresher(store, sign_ins, bounds.refresh_seconds, clock)
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._pending: set[asyncio.Task[None]] = set()

    def unlock(self, box: Box) -> None:
        """Give the box that all gateways share; before that no cookie opens."""
        self._box = box

    async def begin(self, signed_in: SignedIn, provider: str) -> str:
        """A new session; the cookie's value. Raises Unavailable."""
        assert self._box is not None, "unlock first"
        principal = signed_in.claimed.principal
        now = self._clock.now()
        ticket = new_ticket(principal.name)
        tokens = ProviderTokens(signed_in.sub, signed_in.id_token, signed_in.refresh_token)
        life = self._bounds.max_seconds
        if signed_in.refresh_token is None:
            life = min(life, self._bounds.unrefreshed_seconds)
        await self._store.put_session(
            SessionRecord(
                hash=ticket.hash,
                principal=principal.name,
                provider=provider,
                groups=tuple(sorted(principal.groups)),
                home_group=principal.home_group,
                created=now,
                expires=now + life,
                refreshed=now,
                seen=now,
                tokens=seal_tokens(tokens, ticket),
            )
        )
        await remember(signed_in.claimed, now, self._store, self._store)
        return seal_ticket(ticket, self._box)

    async def use(self, cookie: str | None) -> Live | None:
        """The session of a Cookie header, used now; None: there is none (any more).

        Raises Unavailable when that cannot be found out.
        """
        ticket = self._ticket(cookie)
        record = await self._alive(ticket) if ticket is not None else None
        if ticket is None or record is None:
            return None
        current = await self._refresher.current(record, ticket)
        if current is None:
            return None
        self._touch(current)
        return self._live(current)

    async def look(self, cookie: str | None) -> Live | None:
        """The same without using it: a page that only watches must not keep it alive."""
        ticket = self._ticket(cookie)
        record = await self._alive(ticket) if ticket is not None else None
        return None if record is None else self._live(record)

    async def end(self, cookie: str | None) -> Ended | None:
        """End the session of a Cookie header, everywhere; None: there was none."""
        ticket = self._ticket(cookie)
        if ticket is None:
            return None
        record = await self._store.session(ticket.principal, ticket.hash)
        await self._store.delete_session(ticket.principal, ticket.hash)
        if record is None:
            return None
        tokens = open_tokens(record.tokens, ticket)
        return Ended(record.principal, record.provider, tokens.id_token if tokens else None)

    async def of(self, principal: str) -> Sequence[SessionRecord]:
        """The sessions of a principal that have not expired, newest first."""
        now = self._clock.now()
        found = await self._store.sessions_of(principal)
        alive = [s for s in found if s.expires > now and s.seen + self._bounds.idle_seconds > now]
        return sorted(alive, key=lambda s: s.created, reverse=True)

    async def end_all(self, principal: str) -> int:
        """End all sessions of a principal, everywhere; how many there were."""
        return await self._store.delete_sessions(principal)

    async def end_others(self, principal: str, kept: str | None) -> int:
        """End all sessions of a principal but the one that is called ``kept``; how many."""
        others = [one for one in await self._store.sessions_of(principal) if one.hash != kept]
        ended = [await self._store.delete_session(principal, one.hash) for one in others]
        return sum(ended)

    def called(self, cookie: str | None) -> str | None:
        """What the store calls the session of a Cookie header; None: no gateway made it."""
        ticket = self._ticket(cookie)
        return None if ticket is None else ticket.hash

    async def close(self) -> None:
        """Wait for what is being noted."""
        await self._refresher.close()
        await asyncio.gather(*self._pending, return_exceptions=True)

    def _ticket(self, cookie: str | None) -> Ticket | None:
        value = value_of(cookie, self._name)
        if value is None or self._box is None:
            return None
        return open_ticket(value, self._box)

    async def _alive(self, ticket: Ticket) -> SessionRecord | None:
        record = await self._store.session(ticket.principal, ticket.hash)
        if record is None or record.provider not in self._sign_ins:
            return None
        now = self._clock.now()
        if now < record.expires and now < self._idle_at(record):
            return record
        # Other gateways note uses in the store without telling.
        record = await self._store.newest_session(ticket.principal, ticket.hash)
        if record is None:
            return None
        if now < record.expires and now < self._idle_at(record):
            return record
        await self._store.delete_session(ticket.principal, ticket.hash)
        return None

    def _idle_at(self, record: SessionRecord) -> float:
        seen = max(record.seen, self._seen.get(record.hash, 0.0))
        return seen + self._bounds.idle_seconds

    def _live(self, record: SessionRecord) -> Live:
        principal = principal_of(
            record.principal,
            record.groups,
            home=record.home_group,
            admin_users=self._admins.users,
            admin_groups=self._admins.groups,
            method=f"session:{record.provider}",
        )
        return Live(principal, record.provider, record.expires, self._idle_at(record))

    def _touch(self, record: SessionRecord) -> None:
        """Note the use in the background, at most once a minute per session."""
        now = self._clock.now()
        last = max(record.seen, self._seen.get(record.hash, 0.0))
        if now < last + min(TOUCH_SECONDS, self._bounds.idle_seconds / 4):
            return
        self._seen[record.hash] = now
        self._seen.move_to_end(record.hash)
        while len(self._seen) > _MOST_REMEMBERED:
            self._seen.popitem(last=False)
        task = asyncio.create_task(self._note(record, now))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _note(self, record: SessionRecord, now: float) -> None:
        try:
            await self._store.touch_session(record.principal, record.hash, now)
        except Unavailable as problem:
            log.info("the last use of a session was not recorded: %s", problem.detail)
