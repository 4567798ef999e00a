"""JWTs: each goes to the one provider that its ``iss`` names, and that provider decides."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.clock import Clock
from gateway.credentials.credential import Credential, Identified
from gateway.credentials.people import remember
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Unauthenticated
from gateway.idp.oidc import OidcProvider, Verified
from gateway.idp.unverified import looks_like_jwt, parse


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
        if self._recorder is not None:
            issued = verified.issued or self._clock.now()
            await remember(verified.claimed, issued, self._directory, self._recorder)
