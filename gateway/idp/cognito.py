"""Amazon Cognito's tokens, where they differ from OpenID Connect's.

Access tokens carry ``client_id`` and no ``aud``; ``token_use`` tells them from ID tokens. The
user name is ``cognito:username`` in an ID token and ``username`` in an access token, the same
value, and the default here because an access token has no e-mail address: whichever token a
person sends, the principal is the same.
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from gateway.errors import Unauthenticated

USER_CLAIMS = ("cognito:username", "username")
GROUPS_CLAIM = "cognito:groups"


def issuer_of(user_pool: str) -> str:
    """The issuer of a user pool id such as ``us-east-1_AbCdEf``; ValueError if it is none."""
    region, _, rest = user_pool.partition("_")
    if not rest.isalnum() or not all(part.isalnum() for part in region.split("-")):
        raise ValueError(f"{user_pool!r} is not a user pool id such as us-east-1_AbCdEf")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://cognito-idp.{region}.{domain}/{user_pool}"


def check_client(
    claims: Mapping[str, Any], clients: Collection[str], accept: Collection[str]
) -> None:
    """Raise Unauthenticated unless the token is of an accepted kind, for one of ``clients``."""
    kind = claims.get("token_use")
    if kind not in ("access", "id"):
        _refuse("This is not a Cognito access or ID token.", "token_use")
    if kind not in accept:
        _refuse(f"Cognito {kind} tokens are not accepted here; send the other kind.", "token_use")
    client = claims.get("client_id") if kind == "access" else claims.get("aud")
    if not isinstance(client, str) or client not in clients:
        _refuse("The token was issued to an application that is not accepted here.", "client")


def _refuse(message: str, detail: str) -> NoReturn:
    raise Unauthenticated(message, detail=f"cognito: {detail}")
