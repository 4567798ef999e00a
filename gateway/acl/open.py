"""From the ``store`` setting to a store: the one place that names the adapters.

    sqlite:///relative.db    sqlite:////absolute.db
    dynamodb://us-east-1/mlgate    dynamodb://http://127.0.0.1:8000/mlgate

Opening makes no connection; the first call does. ``await store.ping()`` tells early.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import Store
from gateway.clock import Clock

_SQLITE = "sqlite:///"
_DYNAMODB = re.compile(r"dynamodb://(?:(https?://[^/]+)|([a-z0-9-]+))/([A-Za-z0-9_.-]{3,255})/?")


@dataclass(frozen=True, slots=True)
class DynamoDbUrl:
    """``endpoint`` or ``region`` is set, never both."""

    table: str
    region: str | None = None
    endpoint: str | None = None


def parse_dynamodb_url(url: str) -> DynamoDbUrl:
    """The parts of a ``dynamodb://`` URL. Raises ValueError with a sentence.

    Table names: 3 to 255 of letters, digits, ``_``, ``-``, ``.``
    (docs.aws.amazon.com/amazondynamodb, naming rules).
    """
    match = _DYNAMODB.fullmatch(url)
    if match is None:
        raise ValueError(
            f"store {url!r} is not understood; write dynamodb://REGION/TABLE, or "
            "dynamodb://http://HOST:PORT/TABLE for another endpoint."
        )
    endpoint, region, table = match.groups()
    return DynamoDbUrl(table, region, endpoint)


def open_store(url: str, clock: Clock | None = None) -> Store:
    """The store that ``url`` names. Raises ValueError with a sentence for a URL that is none."""
    if url.startswith(_SQLITE) and (path := url.removeprefix(_SQLITE)):
        return SqliteStore(path, clock)
    if url.startswith("dynamodb://"):
        parts = parse_dynamodb_url(url)
        from gateway.acl.dynamodb import DynamoDbStore  # boto3 takes a second to import

        return DynamoDbStore(parts.table, region=parts.region, endpoint=parts.endpoint, clock=clock)
    raise ValueError(
        f"store {url!r} is not understood; write sqlite:///FILE.db or dynamodb://REGION/TABLE."
    )
