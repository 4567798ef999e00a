"""From the ``store`` setting to a store: the one place that names the adapters.

    sqlite:///relative.db          sqlite:////absolute.db
    dynamodb://us-east-1/mlgate    dynamodb://http://127.0.0.1:8000/mlgate

Opening makes no connection; the first call does. ``await store.ping()`` tells early.
"""

from __future__ import annotations

from gateway.acl.dynamodb_url import parse_dynamodb_url
from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import Store
from gateway.clock import Clock

_SQLITE = "sqlite:///"


def open_store(url: str, clock: Clock | None = None) -> Store:
    """The store that ``url`` names. Raises ValueError with a sentence for a URL that is none."""
    if url.startswith(_SQLITE) and (path := url.removeprefix(_SQLITE)):
        return SqliteStore(path, clock)
    if url.startswith("dynamodb://"):
        parts = parse_dynamodb_url(url)
        # Here, because importing boto3 takes longer than starting on SQLite.
        from gateway.acl.dynamodb import DynamoDbStore

        return DynamoDbStore(parts, clock)
    raise ValueError(
        f"store {url!r} is not understood; write sqlite:///FILE.db or dynamodb://REGION/TABLE."
    )
