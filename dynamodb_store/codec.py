"""Python values as DynamoDB attribute values and back, without ever losing a bit.

Floats are refused: DynamoDB numbers are decimals of 38 digits, which no double survives with NaN
and infinities; doubles travel as eight bytes (``entities/points.py``). Numbers come back as
``int``, so no Decimal reaches MLflow's protobufs.
"""

from __future__ import annotations

from typing import Any

Item = dict[str, Any]


def to_attribute(value: Any) -> dict[str, Any]:
    """The attribute value of a str, int, bytes, bool, None, list, dict or frozenset of bytes.

    Raises TypeError.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case None:
            return {"NULL": True}
        case dict():
            return {"M": to_item(value)}
        case list():
            return {"L": [to_attribute(one) for one in value]}
        case frozenset():
            return {"BS": sorted(value)}
    raise TypeError(f"{type(value).__name__} has no place in a DynamoDB item")


def to_item(values: Item) -> dict[str, dict[str, Any]]:
    """All attributes of an item."""
    return {name: to_attribute(value) for name, value in values.items()}


def from_attribute(attribute: dict[str, Any]) -> Any:
    """The value of an attribute value that ``to_attribute`` made."""
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "NULL":
            return None
        case "M":
            return from_item(value)
        case "L":
            return [from_attribute(one) for one in value]
        case "BS":
            return frozenset(value)
    return value


def from_item(attributes: dict[str, dict[str, Any]]) -> Item:
    """The item as values."""
    return {name: from_attribute(value) for name, value in attributes.items()}
