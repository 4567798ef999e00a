"""From a request's credentials to the Principal, or to a refusal that says what to do.

``cached`` is the hot path: no await, no cryptography. ``principal`` verifies, with the
authenticators in a fixed order; the first that recognises the credential decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.acl.store import Change
from gateway.clock import Clock
from gateway.credentials.api_token import ApiToken
from gateway.credentials.basic import Basic
from gateway.credentials.bearer_jwt import BearerJwt
from gateway.credentials.cache import PrincipalCache
from gateway.credentials.credential import (
    Authenticator,
    Credential,
    Identified,
    parse_authorization,
)
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Forbidden, Unauthenticated
from gateway.idp.oidc import OidcProvider
from gateway.model import Principal
from gateway.sessions.cookies import dictates_authorization
from gateway.settings import Admins, Limits

JWT_SECONDS = 300.0
"""A verified JWT is verified again after this, so that a key the issuer withdrew stops working."""
_REALM = 'realm="mlgate"'


class CookieAuthenticator(Protocol):
    """Signs a browser in by its session cookie."""

    async def authenticate(self, cookie: str) -> Identified | None:
        """Who calls; None when the Cookie header holds no session of ours. Raises as
        ``Authenticator`` does."""
        ...


class Identify:
    """The chain of authenticators with its cache. One per process.

    ``directory`` answers who owns an API token (``AclCache``); ``recorder`` notes changed groups
    and last uses (the store; None: nothing is noted).
    """

    def __init__(
        self,
        providers: Sequence[OidcProvider],
        directory: Directory,
        admins: Admins,
        limits: Limits,
        clock: Clock,
        *,
        recorder: Recorder | None = None,
        session: CookieAuthenticator | None = None,
    ) -> None:
        self.providers = tuple(providers)
        self._api_token = ApiToken(directory, recorder, admins, clock)
        bearer: tuple[Authenticator, ...] = (
            self._api_token,
            BearerJwt(self.providers, directory, recorder, clock),
        )
        self._authenticators: tuple[Authenticator, ...] = (*bearer, Basic(bearer))
        self._session = session
        self._cache = PrincipalCache(limits.token_cache, clock)
        # Not longer than the grace: a store that cannot tell us of revocations is asked by then.
        self._api_token_seconds = min(JWT_SECONDS, limits.acl_grace_seconds)

    def start(self) -> None:
        """Begin to fetch the issuers' keys in the background; returns at once."""
        for provider in self.providers:
            provider.start()

    async def stop(self) -> None:
        """End all background work."""
        for provider in self.providers:
            await provider.stop()
        await self._api_token.close()

    def problems(self) -> Mapping[str, str]:
        """Provider name -> why its keys are not known; for readiness. Empty when all are."""
        return {p.name: p.problem for p in self.providers if not p.ready}

    def cached(self, authorization: str) -> Principal | None:
        """The principal of a header value that was verified lately; None: ask ``principal``.

        Only for a request whose sole credential this is.
        """
        return self._cache.get(authorization)

    async def principal(
        self, authorizations: Sequence[str], cookie: str | None, *, same_origin: bool = False
    ) -> Principal:
        """Who calls, from all Authorization headers and the Cookie header.

        ``same_origin``: the request changes nothing, or a browser proved that a page of ours sends
        it; a session counts for nothing else, because browsers add cookies to everybody's requests.

        Raises Unauthenticated when there is no credential, a bad one or two that disagree,
        Forbidden for a session without that proof, and Unavailable while nobody can tell.
        """
        by_cookie = None
        if self._session is not None and cookie is not None:
            session = await self._session.authenticate(cookie)
            by_cookie = session.principal if session is not None else None
        if by_cookie is not None and dictates_authorization(cookie):
            authorizations = ()
        by_header = await self._by_header(authorizations)
        principal = by_header or by_cookie
        if principal is None:
            raise Unauthenticated(
                "Sign in first: send a token (MLFLOW_TRACKING_TOKEN), or an API token as the "
                "password (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)."
            )
        if by_cookie is not None and by_cookie.name != principal.name:
            raise Unauthenticated(
                "The Authorization header and the browser session are of two different users; "
                "send only one of them."
            )
        if by_header is None and not same_origin:
            raise Forbidden(
                "This call does not prove that it comes from this server's own pages, so your "
                "browser session does not count for it; from a script, send an API token."
            )
        return principal

    def forget_token(self, token_hash: str) -> None:
        """An API token (by its SHA-256, hex) changed or was revoked."""
        self._cache.forget_token(token_hash)

    def forget_person(self, name: str) -> None:
        """The recorded groups of a principal changed."""
        self._cache.forget_person(name)

    def forget_all(self) -> None:
        """Changes may have been missed."""
        self._cache.clear()

    def on_change(self, change: Change) -> None:
        """Drop what a row of the change feed names; give this to ``AclCache.on_change``."""
        if change.kind == "token":
            self.forget_token(change.name)
        elif change.kind == "person":
            self.forget_person(change.name)
        elif change.kind == "reset":
            self.forget_all()

    async def _by_header(self, authorizations: Sequence[str]) -> Principal | None:
        known = self._cache.get(authorizations[0]) if len(authorizations) == 1 else None
        if known is not None:
            return known
        credential = parse_authorization(authorizations)
        if credential is None:
            return None
        changes = self._cache.changes
        identified = await self._authenticate(credential)
        api_token = identified.token_hash is not None
        seconds = self._api_token_seconds if api_token else JWT_SECONDS
        self._cache.put(authorizations[0], identified, seconds, changes=changes)
        return identified.principal

    async def _authenticate(self, credential: Credential) -> Identified:
        for authenticator in self._authenticators:
            identified = await authenticator.authenticate(credential)
            if identified is not None:
                return identified
        raise Unauthenticated(
            "The Bearer token is neither an API token (mlg_…) nor a JWT; opaque access tokens "
            "cannot be verified here, so ask the identity provider for a JWT."
        )


def challenge(headers: Mapping[str, str]) -> str:
    """The ``WWW-Authenticate`` value for a 401, given the request's headers.

    Basic is offered only to what is surely no browser, which would pop up its password box
    (RFC 9110 section 11.6.1 allows several challenges in one value).
    """
    folded = {name.lower(): value for name, value in headers.items()}
    browser = (
        any(name.startswith("sec-fetch-") for name in folded)
        or "mozilla/" in folded.get("user-agent", "").lower()
        or "text/html" in folded.get("accept", "").lower()
        or not folded.get("user-agent")
    )
    return f"Bearer {_REALM}" if browser else f"Bearer {_REALM}, Basic {_REALM}"
