"""The gateway's own cookies: their names, how they are set, and how they are found again.

``__Host-`` (RFC 6265bis section 4.1.3.2): only this very host over https can have set it, for
every path, so that no sibling domain can plant a session. Browsers keep such cookies from plain
http; there, on loopback only, the name carries the port instead, because cookies do not heed it.
Pure: no store, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

_FOREIGN = "mlflow-request-header-"


class CookieNames:
    """What the gateway at ``public_url`` calls its cookies."""

    def __init__(self, public_url: str) -> None:
        parts = urlsplit(public_url)
        self._secure = parts.scheme == "https"
        self.session = "__Host-mlgate" if self._secure else f"mlgate-{parts.port or 80}"
        self._attempt = f"{self.session}-sign-in-"

    def attempt(self, attempt_id: str) -> str:
        """The cookie of one sign-in attempt."""
        return self._attempt + attempt_id

    def attempts(self, cookie: str | None) -> list[str]:
        """The ids of all attempts that a Cookie header still carries."""
        return [
            name.removeprefix(self._attempt)
            for name, _ in pairs(cookie)
            if name.startswith(self._attempt)
        ]

    def made(self, name: str, value: str, *, seconds: float | None = None) -> tuple[bytes, bytes]:
        """A ``Set-Cookie`` header; without ``seconds`` it ends with the browser's session.

        Lax, not Strict: the browser must send it when the provider sends the person back.
        """
        text = f"{name}={value}; Path=/; HttpOnly; SameSite=Lax"
        if self._secure:
            text += "; Secure"
        if seconds is not None:
            text += f"; Max-Age={int(seconds)}"
        return b"set-cookie", text.encode("ascii")

    def gone(self, name: str) -> tuple[bytes, bytes]:
        """A ``Set-Cookie`` header that removes a cookie."""
        return self.made(name, "", seconds=0)


def pairs(cookie: str | None) -> Iterator[tuple[str, str]]:
    """Name and value of each cookie in a Cookie header (RFC 6265 section 5.4)."""
    for part in (cookie or "").split(";"):
        name, equals, value = part.strip(" \t").partition("=")
        if equals:
            yield name, value


def value_of(cookie: str | None, name: str) -> str | None:
    """The value of the first cookie of that very name."""
    return next((value for known, value in pairs(cookie) if known == name), None)


def dictates_authorization(cookie: str | None) -> bool:
    """Whether a cookie tells MLflow's page to send an ``Authorization`` header.

    The page turns ``mlflow-request-header-X=Y`` into a header ``X: Y`` on its calls. Any sibling
    domain can set such a cookie, so what it dictates is not what the person wants.
    """
    wanted = _FOREIGN + "authorization"
    return any(name.lower() == wanted for name, _ in pairs(cookie))
