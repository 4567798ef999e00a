"""``dynamodb://REGION/TABLE`` and ``dynamodb://http://HOST:PORT/TABLE`` as values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow.exceptions import MlflowException

# Table names: 3 to 255 of letters, digits, _ - . (docs.aws.amazon.com, naming rules).
_URI = re.compile(r"dynamodb://(?:(https?://[^/\s]+)|([a-z0-9-]+))/([A-Za-z0-9_.-]{3,255})/?")


@dataclass(frozen=True, slots=True)
class StoreUri:
    """Of ``region`` and ``endpoint`` one is set; ``str()`` gives the URI back."""

    table: str
    region: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"dynamodb://{self.endpoint or self.region}/{self.table}"


def parse_uri(uri: str) -> StoreUri:
    """The parts of a store URI. Raises MlflowException (INVALID_PARAMETER_VALUE)."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise MlflowException.invalid_parameter_value(
            f"Store URI {uri!r} is not understood; write dynamodb://REGION/TABLE, or "
            "dynamodb://http://HOST:PORT/TABLE for another endpoint."
        )
    endpoint, region, table = match.groups()
    return StoreUri(table, region, endpoint)
