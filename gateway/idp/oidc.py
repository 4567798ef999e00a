"""One trusted issuer: a token that names it becomes a verified principal, or is refused.

The order is cheapest first, and nothing is fetched for a token that would be refused anyway:
audience and times, then the key, then the signature, then who it is.
Rules: OpenID Connect Core section 3.1.3.7, RFC 9068 section 4, RFC 8725.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.errors import Unauthenticated
from gateway.idp import cognito
from gateway.idp.claims import Claimed, ClaimRules, claim_at, interpret
from gateway.idp.discovery import IssuerClient
from gateway.idp.jwks import INTERVAL_SECONDS, REFRESH_SECONDS, KeyCache
from gateway.idp.unverified import UnverifiedToken
from gateway.settings import Admins, IdentityProvider

log = logging.getLogger(__name__)

MAX_SKEW_SECONDS = 300.0
_DEFAULTS = IdentityProvider(type="oidc", name="", issuer="")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified token says. Times are seconds since the epoch.

    ``expires`` includes the accepted clock skew; ``issued`` is 0 when the token does not say.
    """

    claimed: Claimed
    expires: float
    issued: float


class OidcProvider:
    """Verifies the tokens of one issuer, OpenID Connect or Cognito.

    ValueError when the settings would let it accept tokens that are meant for others.
    """

    def __init__(
        self,
        settings: IdentityProvider,
        admins: Admins,
        clock: Clock,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        interval_seconds: float = INTERVAL_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = settings.name
        self.issuer = settings.issuer
        self._settings = settings
        self._audience = frozenset(settings.audience or settings.client_id)
        if not self._audience:
            raise ValueError(
                f"identity provider {settings.name}: set audience (or client_id), "
                "or tokens meant for other applications would be accepted"
            )
        self._rules = _claim_rules(settings, admins)
        self._skew = min(max(settings.skew_seconds, 0.0), MAX_SKEW_SECONDS)
        self._clock = clock
        self.client = self._client = IssuerClient(settings)
        """For the other questions to the same issuer (browser sign-in)."""
        self._keys = KeyCache(
            settings.name,
            self._client.keys,
            clock,
            refresh_seconds=refresh_seconds,
            interval_seconds=interval_seconds,
            sleep=sleep,
        )
        self._overage_logged = False

    @property
    def ready(self) -> bool:
        """Whether the issuer's keys are known."""
        return self._keys.ready

    @property
    def problem(self) -> str:
        """Why the last fetch of the keys failed; empty when it worked."""
        return self._keys.problem

    def start(self) -> None:
        """Begin to fetch the keys in the background; returns at once."""
        self._keys.start()

    async def stop(self) -> None:
        """End the background work and close the connections."""
        await self._keys.stop()
        await self._client.close()

    async def check(self) -> None:
        """Fetch the keys once, now, for ``mlgate check``; raises FetchFailed."""
        await self._client.keys()

    async def verify(self, token: UnverifiedToken) -> Verified:
        """Who the token stands for; raises Unauthenticated, or Unavailable without keys."""
        claims = token.claims
        if token.issuer != self.issuer:
            _refuse("The token's issuer is not trusted here.", "iss")
        self._check_audience(token)
        expires, issued = self._check_times(claims)
        await self._check_signature(token)
        return Verified(self.claimed(claims), expires, issued)

    async def _check_signature(self, token: UnverifiedToken) -> None:
        if token.algorithm not in self._settings.algorithms:
            _refuse("The token's signature algorithm is not accepted.", "alg")
        key = await self._keys.key(token.kid, token.algorithm)
        if not key.verifies(token.compact, token.algorithm):
            _refuse("The token's signature is not valid; sign in again.", "signature")

    async def verify_id_token(
        self, token: UnverifiedToken, client_id: str, nonce: str | None
    ) -> Mapping[str, Any]:
        """The claims of an ID token that answers a sign-in of ``client_id``; raises as ``verify``.

        ``nonce`` None: of a refresh, which has none of its own (OIDC Core section 12.2).
        """
        claims = token.claims
        if token.issuer != self.issuer:
            _refuse("The ID token's issuer is not the one asked.", "iss")
        audience = claims.get("aud")
        listed = [audience] if isinstance(audience, str) else audience
        if not isinstance(listed, list) or client_id not in listed:
            _refuse("The ID token is meant for another application (aud).", "aud")
        # Section 3.1.3.7, 4 and 5: of several audiences azp says who asked.
        authorized = claims.get("azp", client_id if len(listed) == 1 else None)
        if authorized != client_id:
            _refuse("The ID token was issued to another application (azp).", "azp")
        kind = _kind(token)
        if kind in ("access", "other") or claims.get("token_use", "id") != "id":
            _refuse("The provider sent another kind of token in place of an ID token.", "kind")
        if nonce is not None and not _same(claims.get("nonce"), nonce):
            _refuse("The ID token does not belong to this sign-in (nonce).", "nonce")
        if not isinstance(claims.get("sub"), str):
            _refuse("The ID token does not say whom it is about (sub).", "sub")
        self._check_times(claims)
        await self._check_signature(token)
        return claims

    def claimed(self, claims: Mapping[str, Any]) -> Claimed:
        """Who verified claims stand for; raises Unauthenticated when they name nobody."""
        claimed = interpret(claims, self._rules)
        if not claimed.groups_known:
            self._log_overage()
        return claimed

    def lacks(self, claims: Mapping[str, Any]) -> bool:
        """Whether claims leave out what userinfo may add: the groups, or the preferred name."""
        names = (self._rules.groups_claim, self._rules.user_claims[0])
        return any(claim_at(claims, name) is None for name in names)

    def _check_audience(self, token: UnverifiedToken) -> None:
        claims = token.claims
        accept = self._settings.accept
        if self._settings.type == "cognito":
            cognito.check_client(claims, self._audience, accept)
            return
        aud = claims.get("aud")
        listed = [aud] if isinstance(aud, str) else aud
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            _refuse("The token does not say whom it is meant for (aud).", "aud")
        if self._audience.isdisjoint(listed):
            _refuse("The token is meant for another application (aud).", "aud")
        kind = _kind(token)
        if kind == "other" or (kind != "unknown" and kind not in accept):
            _refuse("This kind of token is not accepted here; send an access token.", "kind")

    def _check_times(self, claims: Mapping[str, Any]) -> tuple[float, float]:
        now = self._clock.now()
        expires = _instant(claims, "exp")
        if expires is None:
            _refuse("The token has no expiry (exp).", "exp")
        if now >= expires + self._skew:
            _refuse("The token has expired; get a new one.", "exp")
        not_before = _instant(claims, "nbf")
        issued = _instant(claims, "iat")
        if max(not_before or 0.0, issued or 0.0) > now + self._skew:
            _refuse("The token is not valid yet; check the clocks.", "nbf or iat")
        return expires + self._skew, issued or 0.0

    def _log_overage(self) -> None:
        if not self._overage_logged:
            self._overage_logged = True
            log.warning(
                "identity provider %s left groups out of a token (too many for it): the person "
                "has no groups here; let the issuer send only assigned groups, or app roles",
                self.name,
            )


def _claim_rules(settings: IdentityProvider, admins: Admins) -> ClaimRules:
    user_claims, groups_claim = settings.user_claims, settings.groups_claim
    if settings.type == "cognito":
        if user_claims == _DEFAULTS.user_claims:
            user_claims = cognito.USER_CLAIMS
        if groups_claim == _DEFAULTS.groups_claim:
            groups_claim = cognito.GROUPS_CLAIM
    return ClaimRules(
        provider=settings.name,
        user_claims=user_claims,
        groups_claim=groups_claim,
        home_group_claim=settings.home_group_claim,
        user_prefix=settings.user_prefix,
        groups_prefix=settings.groups_prefix,
        admin_users=admins.users,
        admin_groups=admins.groups,
    )


def _kind(token: UnverifiedToken) -> str:
    """``access``, ``id``, ``other`` (never a credential) or ``unknown``: what the token says.

    RFC 9068 section 2.1 marks access tokens in the header, Keycloak all tokens in the claim
    ``typ``; a back-channel logout token has ``events`` (OIDC Back-Channel Logout 2.4).
    """
    if "events" in token.claims:
        return "other"
    if token.typ.endswith("at+jwt"):
        return "access"
    match token.claims.get("typ"):
        case "Bearer":
            return "access"
        case "ID":
            return "id"
        case "Refresh" | "Offline" | "Logout":
            return "other"
        case _:
            return "unknown"


def _same(given: Any, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"The token's {name} is not a time.", name)
    if not 0 <= value < 1e12 or not math.isfinite(value):
        _refuse(f"The token's {name} is not a time.", name)
    return float(value)


def _refuse(message: str, detail: str) -> NoReturn:
    raise Unauthenticated(message, detail=f"token: {detail}")
