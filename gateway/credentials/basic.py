"""HTTP Basic: ``user:<API token or JWT>``, for clients that know nothing else.

The password is the credential and names the principal; the user name may be left out, and if
given it must not contradict the token. Real passwords are refused: the gateway never sees one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.credentials.credential import Authenticator, Credential, Identified
from gateway.errors import Unauthenticated

_NOBODY = frozenset({"", "token"})


class Basic:
    """Authenticates Basic by handing the password, as a bearer token, to ``inner``."""

    def __init__(self, inner: Sequence[Authenticator]) -> None:
        self._inner = inner

    async def authenticate(self, credential: Credential) -> Identified | None:
        """See ``Authenticator``; mine is every Basic credential."""
        if credential.scheme != "basic":
            return None
        # RFC 7617 ends the user name at the first colon, but ours may hold one
        # (service:nightly) and a token never does, so the last colon is the one that counts.
        user, _, token = f"{credential.user or ''}:{credential.token}".rpartition(":")
        as_bearer = Credential("bearer", token)
        for authenticator in self._inner:
            identified = await authenticator.authenticate(as_bearer)
            if identified is not None:
                _check_user(user, identified)
                return identified
        raise Unauthenticated(
            "Passwords are not accepted here: put an API token (mlg_…) or a sign-in token "
            "in place of the password (MLFLOW_TRACKING_PASSWORD)."
        )


def _check_user(user: str, identified: Identified) -> None:
    if user in _NOBODY:
        return
    if user.casefold() not in {spelling.casefold() for spelling in identified.spellings}:
        raise Unauthenticated(
            "The user name and the token disagree: the token is somebody else's. Send the "
            "token with its own user name, or with the user name 'token'."
        )
