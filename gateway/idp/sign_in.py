"""Browser sign-in with one provider: where to send the person, and what the answer is worth.

The authorization code flow of OpenID Connect Core section 3.1 with PKCE (RFC 7636), refresh
(section 12) and RP-initiated logout 1.0. Cognito's hosted UI has a logout of its own:
https://docs.aws.amazon.com/cognito/latest/developerguide/logout-endpoint.html
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from gateway.clock import Clock
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.claims import Claimed
from gateway.idp.discovery import Metadata, may_carry_secrets
from gateway.idp.jwks import FetchFailed
from gateway.idp.oidc import OidcProvider
from gateway.idp.unverified import parse
from gateway.settings import IdentityProvider

METADATA_SECONDS = 600.0
_AGAIN = "Signing in did not work; start again."


class GrantRefused(Exception):
    """The provider answered: no. Its ``error`` code (RFC 6749 section 5.2) is the text."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person, for whom the provider vouched just now. ``sub`` is its own name of them."""

    claimed: Claimed
    sub: str
    id_token: str | None
    refresh_token: str | None


class SignIn:
    """The browser's way to one provider. ``verifier`` knows its keys and claims."""

    def __init__(
        self, settings: IdentityProvider, verifier: OidcProvider, public_url: str, clock: Clock
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._verifier = verifier
        self._client_id = settings.client_id[0]
        self._redirect_uri = f"{public_url}/access/callback"
        self._after_logout = f"{public_url}/access/logout"
        self._clock = clock
        self._metadata: Metadata | None = None
        self._stale = 0.0
        self._asking = asyncio.Lock()

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where to send the person. Raises Unavailable while the provider cannot be reached."""
        endpoint = self._endpoint(await self._known(), "authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(endpoint, asked, self._settings.authorization_parameters)

    async def check_answer_issuer(self, issuer: str | None) -> None:
        """RFC 9207 section 2.4: the answer must come from the provider that was asked.

        Raises Unauthenticated when it says otherwise, or says nothing though the provider always
        does.
        """
        document = (await self._known()).document
        promised = document.get("authorization_response_iss_parameter_supported") is True
        if issuer is None and not promised:
            return
        if issuer != self._settings.issuer:
            raise Unauthenticated(_AGAIN, detail=f"sign-in {self.name}: iss is {issuer!r}")

    async def redeem(self, code: str, *, verifier: str, nonce: str) -> SignedIn:
        """Who the code stands for. Raises Unauthenticated for a bad answer, Unavailable."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        try:
            answer = await self._tokens(form)
        except GrantRefused as refused:
            raise Unauthenticated(
                "This sign-in was used already or took too long; start again.",
                detail=f"sign-in {self.name}: the provider says {refused}",
            ) from refused
        except FetchFailed as failure:
            raise self._unreachable(failure) from failure
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise Unauthenticated(_AGAIN, detail=f"sign-in {self.name}: no ID token; scope openid?")
        claims = await self._verifier.verify_id_token(parse(id_token), self._client_id, nonce)
        return await self._signed_in(claims, answer, id_token)

    async def refresh(self, refresh_token: str, sub: str) -> SignedIn | None:
        """The person as the provider knows them now; None: still there, and nothing more is said.

        Raises GrantRefused when the provider ended the session, FetchFailed when it cannot be
        asked, Unauthenticated when its answer is about somebody else.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await self._tokens(form)
        id_token = answer.get("id_token")
        claims: Mapping[str, Any] = {}
        if isinstance(id_token, str):
            claims = await self._verifier.verify_id_token(parse(id_token), self._client_id, None)
            if claims["sub"] != sub:
                raise Unauthenticated(_AGAIN, detail=f"refresh {self.name}: another sub")
            return await self._signed_in(claims, answer, id_token)
        claims = await self._userinfo(answer, sub)
        if not claims:
            return None
        return await self._signed_in({**claims, "sub": sub}, answer, None)

    async def logout_url(self, id_token: str | None) -> str | None:
        """Where to send the person so that the provider signs them out too; None: nowhere."""
        try:
            return self._logout(await self._known(), id_token)
        except Unavailable:
            return None

    def _logout(self, metadata: Metadata, id_token: str | None) -> str | None:
        if self._settings.type == "cognito":
            parts = urlsplit(self._endpoint(metadata, "authorization_endpoint"))
            place = urlunsplit((parts.scheme, parts.netloc, "/logout", "", ""))
            back = {"client_id": self._client_id, "logout_uri": self._after_logout}
            return _with_query(place, back)
        if "end_session_endpoint" not in metadata.document:
            return None
        hint = {"id_token_hint": id_token} if id_token else {}
        back = {"client_id": self._client_id, "post_logout_redirect_uri": self._after_logout}
        return _with_query(self._endpoint(metadata, "end_session_endpoint"), {**back, **hint})

    async def _signed_in(
        self, claims: Mapping[str, Any], answer: Mapping[str, Any], id_token: str | None
    ) -> SignedIn:
        if self._settings.type == "oidc" and self._verifier.lacks(claims):
            # What the ID token says goes first: it is signed.
            claims = {**await self._userinfo(answer, claims["sub"]), **claims}
        claimed = self._verifier.claimed(claims)
        if not claimed.principal.name.startswith("user:"):
            raise Unauthenticated("Only people sign in here.", detail=claimed.principal.name)
        refresh_token = answer.get("refresh_token")
        return SignedIn(
            claimed,
            claims["sub"],
            id_token,
            refresh_token if isinstance(refresh_token, str) else None,
        )

    async def _userinfo(self, answer: Mapping[str, Any], sub: str) -> Mapping[str, Any]:
        """OIDC Core section 5.3; {} where there is none. It must be about the same ``sub``
        (5.3.2), or another person's answer could be slipped in."""
        metadata = await self._known()
        access_token = answer.get("access_token")
        if "userinfo_endpoint" not in metadata.document or not isinstance(access_token, str):
            return {}
        try:
            status, found = await self._verifier.client.get_as(
                self._endpoint(metadata, "userinfo_endpoint"), access_token
            )
        except FetchFailed as failure:
            raise self._unreachable(failure) from failure
        if status != 200:
            return {}
        if found.get("sub") != sub:
            raise Unauthenticated(_AGAIN, detail=f"sign-in {self.name}: userinfo of another sub")
        return found

    async def _tokens(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token endpoint's answer; raises GrantRefused, FetchFailed, Unavailable."""
        metadata = await self._known()
        authorization, more = self._authentication(metadata)
        status, answer = await self._verifier.client.post_form(
            self._endpoint(metadata, "token_endpoint"), {**form, **more}, authorization
        )
        if status == 200:
            return answer
        error = answer.get("error")
        if error in ("invalid_grant", "access_denied", "interaction_required", "login_required"):
            raise GrantRefused(error)
        # Such as invalid_client: an admin's mistake, which must not end people's sessions.
        raise FetchFailed(f"the token endpoint answered {status} {error!r}")

    def _authentication(self, metadata: Metadata) -> tuple[str | None, dict[str, str]]:
        """How the gateway proves to be the client (RFC 6749 section 2.3.1)."""
        secret = self._settings.client_secret
        if secret is None:
            return None, {"client_id": self._client_id}
        ways = metadata.document.get("token_endpoint_auth_methods_supported")
        basic = not isinstance(ways, list) or "client_secret_basic" in ways
        if not basic:
            return None, {"client_id": self._client_id, "client_secret": secret.reveal()}
        pair = f"{quote(self._client_id, safe='')}:{quote(secret.reveal(), safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii"), {}

    async def _known(self) -> Metadata:
        """The provider's metadata, at most ten minutes old unless it is down."""
        if self._metadata is None or self._clock.monotonic() >= self._stale:
            async with self._asking:
                if self._metadata is None or self._clock.monotonic() >= self._stale:
                    await self._ask()
        assert self._metadata is not None
        return self._metadata

    async def _ask(self) -> None:
        try:
            self._metadata = await self._verifier.client.metadata()
        except FetchFailed as failure:
            if self._metadata is None:
                raise self._unreachable(failure) from failure
        self._stale = self._clock.monotonic() + METADATA_SECONDS

    def _endpoint(self, metadata: Metadata, name: str) -> str:
        url = metadata.document.get(name)
        if not isinstance(url, str) or not may_carry_secrets(url, self._settings.issuer):
            raise self._unreachable(f"its metadata has no usable {name}: {url!r}")
        return url

    def _unreachable(self, why: object) -> Unavailable:
        return Unavailable(
            "The sign-in service cannot be reached right now; try again in a minute.",
            detail=f"sign-in {self.name}: {why}",
        )


def _with_query(url: str, parameters: Mapping[str, str], more: Iterable[str] = ()) -> str:
    """``url`` with parameters added to those that it has (RFC 6749 section 3.1); ``more``: as
    ``name=value``."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    pairs += [(name, value) for name, _, value in (one.partition("=") for one in more)]
    query = urlencode([*pairs, *parameters.items()])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
