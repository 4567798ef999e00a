"""``dynamodb://REGION/TABLE`` and ``dynamodb://http://HOST:PORT/TABLE`` as values."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Table names: 3 to 255 of letters, digits, _ - . (docs.aws.amazon.com, naming rules).
_URL = re.compile(r"dynamodb://(?:(https?://[^/\s]+)|([a-z0-9-]+))/([A-Za-z0-9_.-]{3,255})")


@dataclass(frozen=True, slots=True)
class DynamoDbUrl:
    """Of ``region`` and ``endpoint`` one is set; ``str()`` gives the URL back."""

    table: str
    region: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"dynamodb://{self.endpoint or self.region}/{self.table}"


def parse_dynamodb_url(url: str) -> DynamoDbUrl:
    """The parts of a ``dynamodb://`` URL. Raises ValueError with a sentence."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(
            f"store {url!r} is not understood; write dynamodb://REGION/TABLE, or "
            "dynamodb://http://HOST:PORT/TABLE for another endpoint."
        )
    endpoint, region, table = match.groups()
    return DynamoDbUrl(table, region, endpoint)
