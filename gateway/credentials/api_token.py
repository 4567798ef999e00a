"""API tokens (``mlg_…``): looked up by their hash, with the newest groups of their owner."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict

from gateway import tokens
from gateway.acl.store import StoreUnavailable, TokenRecord
from gateway.clock import Clock
from gateway.credentials.credential import Credential, Identified
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.claims import principal_of, spellings_of
from gateway.settings import Admins

log = logging.getLogger(__name__)

TOUCH_SECONDS = 60.0
MAX_TOUCHED = 10_000


class ApiToken:
    """Authenticates API tokens. ``close`` waits for what is still being noted."""

    def __init__(
        self, directory: Directory, recorder: Recorder | None, admins: Admins, clock: Clock
    ) -> None:
        self._directory = directory
        self._recorder = recorder
        self._admins = admins
        self._clock = clock
        self._touched: OrderedDict[str, float] = OrderedDict()
        self._pending: set[asyncio.Task[None]] = set()

    async def authenticate(self, credential: Credential) -> Identified | None:
        """See ``Authenticator``; mine is what begins with ``mlg_``."""
        secret = credential.token
        if credential.scheme != "bearer" or not secret.startswith(tokens.PREFIX):
            return None
        if not tokens.is_well_formed(secret):
            raise Unauthenticated(
                "This is not a whole API token (its checksum is wrong); copy it again."
            )
        token_hash = tokens.hash_of(secret)
        try:
            record = self._valid(await self._directory.token(token_hash), token_hash)
            identified = await self._identified(record)
        except StoreUnavailable as problem:
            raise Unavailable(
                "API tokens cannot be checked at the moment; try again shortly.",
                detail=f"api token: {problem}",
            ) from problem
        self._touch(token_hash)
        return identified

    async def close(self) -> None:
        """Wait for the last-use notes under way."""
        await asyncio.gather(*self._pending, return_exceptions=True)

    def _valid(self, record: TokenRecord | None, token_hash: str) -> TokenRecord:
        # compare_digest: a store adapter that matched by prefix or case must not let it pass.
        if record is None or not hmac.compare_digest(record.hash, token_hash):
            raise Unauthenticated("This API token is not known or was revoked; create a new one.")
        if record.expires <= self._clock.now():
            raise Unauthenticated("This API token has expired; create a new one.")
        if not record.principal.startswith(("user:", "service:")):
            raise Unauthenticated(
                "This API token cannot be used; create a new one.",
                detail=f"token {record.id} belongs to {record.principal!r}",
            )
        return record

    async def _identified(self, record: TokenRecord) -> Identified:
        person = await self._directory.person(record.principal)
        # A provider's own service is recorded without a team: its token keeps what it was given.
        newest = record if person is None or person.teamless else person
        principal = principal_of(
            record.principal,
            tuple(newest.groups),
            home=newest.home_group,
            admin_users=self._admins.users,
            admin_groups=self._admins.groups,
            method="api-token",
        )
        return Identified(
            principal, record.expires, spellings_of(record.principal), token_hash=record.hash
        )

    def _touch(self, token_hash: str) -> None:
        """Note the use in the background, at most once a minute per token."""
        now = self._clock.monotonic()
        last = self._touched.get(token_hash, float("-inf"))
        if self._recorder is None or now < last + TOUCH_SECONDS:
            return
        self._touched[token_hash] = now
        self._touched.move_to_end(token_hash)
        while len(self._touched) > MAX_TOUCHED:
            self._touched.popitem(last=False)
        task = asyncio.create_task(self._note(self._recorder, token_hash))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _note(self, recorder: Recorder, token_hash: str) -> None:
        try:
            await recorder.touch_token(token_hash, self._clock.now())
        except (StoreUnavailable, Unavailable) as problem:
            log.info("the last use of an API token was not recorded: %s", problem)
