"""Every key of the DynamoDB table, in one place. Pure.

Keys are words joined by ``#`` and end in at most one free text (a name, a principal), so no
character of that text can be mistaken for a separator. Text too long for a key becomes its
SHA-256, marked by another first character; the text itself is kept in an attribute.

DynamoDB allows 2,048 bytes in a partition key and 1,024 in a sort key
(docs.aws.amazon.com/amazondynamodb, "Constraints").
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from gateway.model import Kind, Resource

META = "M"
TOKEN = "T"
TOKEN_ID = "I"
PERSON = "P"
PEOPLE = "P"
SECRET = "S"
SESSION = "N#"

BUCKET_SECONDS = 600
"""One feed partition. Longer buckets mean fewer partitions to ask at a boundary."""

_LONGEST = 900


def free(text: str) -> str:
    """``text`` as the last part of a key: ``=`` and the text, or ``~`` and its SHA-256."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST:
        return "=" + text
    return "~" + sha256(raw).hexdigest()


def acl_pk(resource: Resource) -> str:
    """The partition of one ACL: its ``M`` item and one ``G#…`` item for each grant."""
    return f"A#{resource.kind.value}#{free(resource.id)}"


def grant_sk(principal: str) -> str:
    """The sort key of a grant under its ACL."""
    return "G#" + free(principal)


def seen_pk(principal: str, kind: Kind) -> str:
    """Index: what one grant key sees of one kind."""
    return f"G#{kind.value}#{free(principal)}"


def seen_sk(resource: Resource) -> str:
    """Index: the resource among those that a grant key sees."""
    return free(resource.id)


def token_pk(token_hash: str) -> str:
    """The item of an API token."""
    return "T#" + free(token_hash)


def token_id_pk(token_id: str) -> str:
    """The item that leads from a token's public id to its hash."""
    return "I#" + free(token_id)


def tokens_pk(principal: str) -> str:
    """Index: the tokens of a principal."""
    return "T#" + free(principal)


def tokens_sk(created: float, token_id: str) -> str:
    """Index: by time of creation."""
    return f"{int(created * 1000):015d}#{free(token_id)}"


def person_pk(name: str) -> str:
    """The item of a person or service account."""
    return "P#" + free(name)


def sessions_pk(principal: str) -> str:
    """The partition of a principal's browser sessions, so that all of them are one strongly
    consistent query: "end all sessions of a person" must not miss one that just began."""
    return "N#" + free(principal)


def session_sk(session_hash: str) -> str:
    """One browser session among its principal's."""
    return SESSION + free(session_hash)


def secret_pk(name: str) -> str:
    """The item of a secret that all gateways share."""
    return "S#" + free(name)


def feed_pk(at: float) -> str:
    """The feed partition of a moment."""
    return _bucket(int(at // BUCKET_SECONDS))


def feed_sk(at: float, row_id: str) -> str:
    """The place of a feed row in its partition: by time, then told apart by a random id."""
    return f"{feed_from(at)}#{row_id}"


def feed_from(at: float) -> str:
    """Sorts before every feed row at ``at`` or later, after every earlier one."""
    return f"{int(at * 1000):014d}"


def feed_pks(start: float, end: float) -> Iterator[str]:
    """The feed partitions that cover ``start`` to ``end``."""
    first, last = int(start // BUCKET_SECONDS), int(end // BUCKET_SECONDS)
    return (_bucket(number) for number in range(first, last + 1))


def _bucket(number: int) -> str:
    return f"F#{number:010d}"
