"""JWTs: each goes to the one provider that its ``iss`` names, and that provider decides."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gateway.acl.store import PersonRecord, StoreUnavailable
from gateway.clock import Clock
from gateway.credentials.credential import Credential, Identified
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.oidc import OidcProvider, Verified
from gateway.idp.unverified import looks_like_jwt, parse

log = logging.getLogger(__name__)


class BearerJwt:
    """Authenticates signed JWTs. ValueError when two providers claim one issuer."""

    def __init__(
        self,
        providers: Iterable[OidcProvider],
        directory: Directory,
        recorder: Recorder | None,
        clock: Clock,
    ) -> None:
        self._by_issuer: dict[str, OidcProvider] = {}
        for provider in providers:
            if provider.issuer in self._by_issuer:
                raise ValueError(f"two identity providers have the issuer {provider.issuer}")
            self._by_issuer[provider.issuer] = provider
        self._directory = directory
        self._recorder = recorder
        self._clock = clock

    async def authenticate(self, credential: Credential) -> Identified | None:
        """See ``Authenticator``; mine is what looks like a JWT."""
        if credential.scheme != "bearer" or not looks_like_jwt(credential.token):
            return None
        token = parse(credential.token)
        provider = self._by_issuer.get(token.issuer)
        if provider is None:
            raise Unauthenticated(
                "The token's issuer is not trusted here; sign in where this server's "
                "administrator says.",
                detail=f"unknown iss {token.issuer[:200]!r}",
            )
        verified = await provider.verify(token)
        await self._remember(verified)
        claimed = verified.claimed
        return Identified(claimed.principal, verified.expires, claimed.spellings)

    async def _remember(self, verified: Verified) -> None:
        """Record a person's groups when newer ones are seen; API tokens follow the record.

        Ordered by the token's own time of issue, so that an old token still in use does not
        undo what a newer one told. A store that is down does not stop a valid sign-in.
        """
        principal = verified.claimed.principal
        if (
            self._recorder is None
            or not verified.claimed.groups_known
            or not principal.name.startswith("user:")
        ):
            return
        issued = verified.issued or self._clock.now()
        groups = tuple(sorted(principal.groups))
        try:
            known = await self._directory.person(principal.name)
            if known is not None:
                same = (tuple(sorted(known.groups)), known.home_group)
                if same == (groups, principal.home_group) or known.seen >= issued:
                    return
            await self._recorder.put_person(
                PersonRecord(
                    name=principal.name,
                    groups=groups,
                    home_group=principal.home_group,
                    seen=issued,
                )
            )
        except (StoreUnavailable, Unavailable) as problem:
            log.warning("the groups of a person could not be recorded: %s", problem)
