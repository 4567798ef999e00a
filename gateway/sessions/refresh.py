"""Asks the provider, every so often, whether a person is still there and in which groups.

Once for all requests that wait (in this process), and by one gateway only (a mark in the store):
providers that rotate refresh tokens take the second use of one for theft and end the session.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from gateway.acl.store import Conflict, SessionRecord
from gateway.clock import Clock
from gateway.credentials.people import remember
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.jwks import FetchFailed
from gateway.idp.sign_in import GrantRefused, SignedIn, SignIn
from gateway.sessions.ports import SessionStore
from gateway.sessions.ticket import ProviderTokens, Ticket, open_tokens, seal_tokens

log = logging.getLogger(__name__)

BUSY_SECONDS = 20.0
"""Longer than the three questions that a refresh may ask, each within 5 s."""
AGAIN_SECONDS = 30.0
"""A provider that is down is asked again for one session after this."""
GRACE_SECONDS = 3600.0
"""A session goes on this long while its provider cannot be asked."""
_MOST_REMEMBERED = 10_000


class Refresher:
    """Refreshes sessions. One per process; ``close`` it."""

    def __init__(
        self, store: SessionStore, sign_ins: Mapping[str, SignIn], seconds: float, clock: Clock
    ) -> None:
        self._store = store
        self._sign_ins = sign_ins
        self._seconds = seconds
        self._clock = clock
        self._flights: dict[str, asyncio.Task[SessionRecord | None]] = {}
        self._not_before: OrderedDict[str, float] = OrderedDict()

    async def current(self, record: SessionRecord, ticket: Ticket) -> SessionRecord | None:
        """The session with groups that are new enough; None: the provider ended it.

        Raises Unavailable when the provider could not be asked for too long.
        """
        if self._clock.now() < record.refreshed + self._seconds or not record.tokens:
            return record
        if self._clock.monotonic() < self._not_before.get(record.hash, float("-inf")):
            return self._in_grace(record)
        flight = self._flights.get(record.hash)
        if flight is None:
            flight = asyncio.create_task(self._refresh(record, ticket))
            self._flights[record.hash] = flight
            flight.add_done_callback(lambda _: self._flights.pop(record.hash, None))
        # Shielded: a caller that goes away must not lose a refresh token that was just rotated.
        return await asyncio.shield(flight)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)

    async def _refresh(self, record: SessionRecord, ticket: Ticket) -> SessionRecord | None:
        tokens = open_tokens(record.tokens, ticket)
        sign_in = self._sign_ins.get(record.provider)
        if tokens is None or sign_in is None:
            return None
        if tokens.refresh_token is None:
            return record
        ours, claimed = await self._claim(record)
        if claimed is None or not ours:
            return claimed
        try:
            found = await sign_in.refresh(tokens.refresh_token, tokens.sub)
        except (GrantRefused, Unauthenticated) as refused:
            log.info("the provider %s ended a session of %s: %s", record.provider,
                     record.principal, refused)  # fmt: skip
            await self._store.delete_session(record.principal, record.hash)
            return None
        except (FetchFailed, Unavailable) as failure:
            return self._failed(claimed, failure)
        return await self._settle(claimed, ticket, tokens, found)

    async def _claim(self, record: SessionRecord) -> tuple[bool, SessionRecord | None]:
        """Whether it is ours to refresh, and the session as it is then. While another gateway is
        at it, the person goes on with the groups that are known."""
        now = self._clock.now()
        if record.busy_until <= now:
            marked = replace(record, busy_until=now + BUSY_SECONDS)
            try:
                return True, await self._store.replace_session(
                    marked, expect_version=record.version
                )
            except Conflict:
                pass
        return False, await self._store.newest_session(record.principal, record.hash)

    async def _settle(
        self,
        record: SessionRecord,
        ticket: Ticket,
        tokens: ProviderTokens,
        found: SignedIn | None,
    ) -> SessionRecord | None:
        now = self._clock.now()
        renewed = replace(record, refreshed=now, busy_until=0.0)
        if found is not None:
            principal = found.claimed.principal
            if principal.name != record.principal:
                await self._store.delete_session(record.principal, record.hash)
                return None
            kept = ProviderTokens(
                tokens.sub,
                found.id_token or tokens.id_token,
                # Section 6 of RFC 6749: without a new one, the old one goes on.
                found.refresh_token or tokens.refresh_token,
            )
            renewed = replace(
                renewed,
                groups=tuple(sorted(principal.groups)),
                home_group=principal.home_group,
                tokens=seal_tokens(kept, ticket),
            )
            await remember(found.claimed, now, self._store, self._store)
        try:
            return await self._store.replace_session(renewed, expect_version=record.version)
        except Conflict:
            # Ended meanwhile; it stays ended.
            return await self._store.newest_session(record.principal, record.hash)

    def _failed(self, record: SessionRecord, failure: Exception) -> SessionRecord:
        detail = failure.detail if isinstance(failure, Unavailable) else str(failure)
        log.warning("a session could not be refreshed at %s: %s", record.provider, detail)
        self._not_before[record.hash] = self._clock.monotonic() + AGAIN_SECONDS
        self._not_before.move_to_end(record.hash)
        while len(self._not_before) > _MOST_REMEMBERED:
            self._not_before.popitem(last=False)
        return self._in_grace(record)

    def _in_grace(self, record: SessionRecord) -> SessionRecord:
        if self._clock.now() > record.refreshed + self._seconds + GRACE_SECONDS:
            raise Unavailable(
                "The sign-in service cannot be reached, so your session cannot be confirmed; try "
                "again in a minute.",
                detail=f"session at {record.provider} not refreshed for too long",
            )
        return record
