"""The only module that talks to an issuer: its discovery document and its keys, over HTTP.

Rules: OpenID Connect Discovery 1.0 sections 4 and 4.3 (the document's issuer must be the
configured one), RFC 8414 section 3.3 (the same), RFC 7517 (JWKS). Redirects are not followed:
an issuer's documents live where it says, and a redirect could leave https.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.idp.jwks import FetchFailed
from gateway.idp.keys import BadKeys, KeySet, parse_jwks
from gateway.settings import IdentityProvider

MAX_DOCUMENT_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Metadata:
    """An issuer's discovery document, checked to be the issuer's own."""

    issuer: str
    jwks_uri: str
    document: Mapping[str, Any]


class IssuerClient:
    """Fetches the documents of one configured issuer. One per provider; ``close`` it."""

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider
        self._session: aiohttp.ClientSession | None = None

    async def metadata(self) -> Metadata:
        """The discovery document; raises FetchFailed when absent, invalid or another's."""
        issuer = self._provider.issuer
        # Section 4: a trailing slash of the issuer goes before the well-known part is added.
        body = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as problem:
            raise FetchFailed("the discovery document is not JSON") from problem
        if not isinstance(document, dict):
            raise FetchFailed("the discovery document is not a JSON object")
        if document.get("issuer") != issuer:
            raise FetchFailed(
                f"the discovery document is of issuer {document.get('issuer')!r}, "
                f"configured is {issuer!r}; they must be the same, character by character"
            )
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise FetchFailed("the discovery document names no jwks_uri")
        return Metadata(issuer, jwks_uri, document)

    async def keys(self) -> KeySet:
        """The issuer's usable keys, from ``jwks_url`` if set, else by discovery.

        Raises FetchFailed.
        """
        url = self._provider.jwks_url or (await self.metadata()).jwks_uri
        if not may_carry_secrets(url, self._provider.issuer):
            raise FetchFailed(f"the keys' address {url!r} is not https")
        try:
            return parse_jwks(await self._get(url), self._provider.algorithms)
        except BadKeys as problem:
            raise FetchFailed(f"{problem} ({url})") from problem

    async def post_form(
        self, url: str, form: Mapping[str, str], authorization: str | None
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object ({} if it is none) of a form sent to the token endpoint.

        Raises FetchFailed when there is no answer, or a 5xx.
        """
        headers = {"Accept": "application/json", "User-Agent": "mlgate"}
        if authorization is not None:
            headers["Authorization"] = authorization
        return await self._object("POST", url, headers, form)

    async def get_as(self, url: str, access_token: str) -> tuple[int, Mapping[str, Any]]:
        """The same for a GET with an access token (RFC 6750), such as userinfo."""
        headers = {
            "Accept": "application/json",
            "User-Agent": "mlgate",
            "Authorization": f"Bearer {access_token}",
        }
        return await self._object("GET", url, headers, None)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, url: str) -> bytes:
        try:
            headers = await self._headers(url)
        except (OSError, ValueError) as problem:
            raise FetchFailed(f"{url} cannot be read: {problem}") from problem
        status, body = await self._ask("GET", url, headers, None)
        if status != 200:
            raise FetchFailed(f"{url} answered {status}")
        return body

    async def _object(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, Mapping[str, Any]]:
        if not may_carry_secrets(url, self._provider.issuer):
            raise FetchFailed(f"the address {url!r} is not https")
        status, body = await self._ask(method, url, headers, form)
        if status >= 500:
            raise FetchFailed(f"{url} answered {status}")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = {}
        return status, answer if isinstance(answer, dict) else {}

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        """Status and bounded body; raises FetchFailed."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._open().request(
                    method, url, headers=headers, data=form, allow_redirects=False
                ) as answer,
            ):
                body = await answer.content.read(MAX_DOCUMENT_BYTES + 1)
                while not answer.content.at_eof() and len(body) <= MAX_DOCUMENT_BYTES:
                    body += await answer.content.read(MAX_DOCUMENT_BYTES + 1 - len(body))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            raise FetchFailed(f"{url} cannot be read: {problem or type(problem).__name__}") from (
                problem
            )
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchFailed(f"{url} answered more than {MAX_DOCUMENT_BYTES} bytes")
        return answer.status, body

    async def _headers(self, url: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "mlgate"}
        path = self._provider.bearer_token_file
        if path is not None and urlsplit(url).scheme == "https":
            # Read each time: kubelet renews a projected service account token hourly.
            token = await asyncio.to_thread(Path(path).read_text, "ascii")
            headers["Authorization"] = f"Bearer {token.strip()}"
        return headers

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context: ssl.SSLContext | bool = True
            if self._provider.ca_file is not None:
                context = ssl.create_default_context(cafile=self._provider.ca_file)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=4),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address (without brackets) can only mean this machine."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_carry_secrets(url: str, issuer: str) -> bool:
    """Whether keys, codes and tokens may travel there: https, or as little as the issuer itself."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    plain = parts.scheme == "http"
    return plain and (is_loopback(parts.hostname) or urlsplit(issuer).scheme == "http")
