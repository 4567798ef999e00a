"""The one reading of a JSON body: strict, checked against the call's fields, and rebuilt.

MLflow takes UTF-16, a BOM, JSON in a JSON string, duplicate keys (last wins), both spellings of
a field, and goes on with a half-parsed message when a type is wrong. None of that survives:
what leaves the gateway is written from the checked value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateway.errors import BadRequest
from gateway.routes.schema import Schema

Json = Any
Check = Callable[[Json, str], Json]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_DURATION = re.compile(r"-?(\d{1,12})(\.\d{1,9})?s", re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/_-]*)={0,2}", re.ASCII)
_FIELD_MASK = re.compile(r"[A-Za-z0-9.,]*", re.ASCII)
_LONGEST_DURATION = 315_576_000_000
_FLOAT_MAX = 3.4028234663852886e38
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_MAX_DEPTH = 48
"""Of messages, and again of free values below them: protobuf's parser gives up at 100."""


def parse_object(raw: bytes) -> dict[str, Json]:
    """Parse a UTF-8 JSON object; raises BadRequest for anything else, duplicate keys included."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8; send JSON encoded as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON; send one JSON object.") from error
    if type(value) is not dict:
        raise BadRequest("The body must be one JSON object.")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadRequest("The body has the same key twice in one object; send each key once.")
    return made


def _no_constant(text: str) -> Json:
    raise BadRequest(f"The body has a bare {text}, which is not JSON; send it as a string.")


def dump(value: Json) -> bytes:
    """Write a checked value as canonical JSON; raises BadRequest for a lone surrogate."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise BadRequest(
            "The body has text that is not valid Unicode, or a number beyond 64 bits."
        ) from error


class BodyChecks:
    """The checks of the request messages of one MLflow version, compiled on first use."""

    def __init__(self, schema: Schema) -> None:
        self._messages = schema.messages
        self._enums = schema.enums
        self._oneofs = schema.oneofs
        self._checks: dict[str, Check] = {}

    def fields(self, message: str) -> Mapping[str, str]:
        """Field -> type of a message."""
        return self._messages[message]

    def message(self, name: str) -> Check:
        """The check of a message by name."""
        found = self._checks.get(name)
        if found is None:
            # Messages may contain themselves: resolve the name when it is first used.
            self._checks[name] = lambda value, at: self._checks[name](value, at)
            found = self.compile(self._messages[name], self._oneofs.get(name, ()))
            self._checks[name] = found
        return found

    def compile(self, fields: Mapping[str, str], oneofs: Sequence[Sequence[str]] = ()) -> Check:
        """The check of an object with these fields: keeps known ones, drops unknown ones.

        A camelCase spelling of a known field is refused: MLflow would read it as the field.
        """
        checks = {name: self.type_check(text) for name, text in fields.items()}
        nullable = frozenset(name for name, text in fields.items() if text == "value")
        camel = {c: name for name in fields if (c := _camel(name)) != name and c not in fields}

        def check(value: Json, at: str) -> Json:
            if type(value) is not dict:
                raise BadRequest(f"'{at}' must be a JSON object." if at else "Send an object.")
            if at.count(".") > _MAX_DEPTH:
                raise BadRequest("The body is nested too deeply.")
            clean: dict[str, Json] = {}
            for name, item in value.items():
                field = checks.get(name)
                if field is None:
                    if name in camel:
                        raise BadRequest(f"Spell the field '{name}' as '{camel[name]}'.")
                    continue
                if item is not None or name in nullable:
                    clean[name] = field(item, f"{at}.{name}" if at else name)
            for group in oneofs:
                if sum(name in clean for name in group) > 1:
                    raise BadRequest(f"Give only one of {', '.join(group)}.")
            return clean

        return check

    def type_check(self, text: str) -> Check:
        """The check of one type as the schema file spells it."""
        if text.endswith("[]"):
            return _many(self.type_check(text[:-2]))
        if text.startswith("map:"):
            return _map(self.type_check(text[4:]))
        if text.startswith("@"):
            name = text[1:]
            return lambda value, at: self.message(name)(value, at)
        if text.startswith("enum:"):
            return _enum(self._enums[text[5:]])
        if text in _RANGES:
            return _integer(*_RANGES[text])
        return _SCALARS[text]


def _camel(name: str) -> str:
    """protobuf's JSON name of a field: ``run_id`` -> ``runId``."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _many(check: Check) -> Check:
    def many(value: Json, at: str) -> Json:
        if type(value) is not list:
            raise BadRequest(f"'{at}' must be a list.")
        where = at + "[]"
        clean = []
        for item in value:
            if item is None:
                raise BadRequest(f"'{at}' must not contain null.")
            clean.append(check(item, where))
        return clean

    return many


def _map(check: Check) -> Check:
    def mapping(value: Json, at: str) -> Json:
        if type(value) is not dict:
            raise BadRequest(f"'{at}' must be a JSON object.")
        return {k: check(v, f"{at}.*") for k, v in value.items() if v is not None}

    return mapping


def _enum(values: Mapping[str, int]) -> Check:
    names = {number: name for name, number in values.items()}

    def enum(value: Json, at: str) -> Json:
        if type(value) is str and value in values:
            return value
        if type(value) is int and value in names:
            return names[value]
        raise BadRequest(f"'{at}' must be one of {', '.join(values)}.")

    return enum


def _integer(low: int, high: int) -> Check:
    def integer(value: Json, at: str) -> Json:
        if type(value) is str and len(value) < 32 and _INTEGER.fullmatch(value):
            value = int(value)
        elif type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise BadRequest(f"'{at}' must be an integer between {low} and {high}.")
        return value

    return integer


def _string(value: Json, at: str) -> Json:
    if type(value) is not str:
        raise BadRequest(f"'{at}' must be a string.")
    return value


def _boolean(value: Json, at: str) -> Json:
    if type(value) is not bool:
        raise BadRequest(f"'{at}' must be true or false.")
    return value


def _double(value: Json, at: str) -> Json:
    if type(value) is str:
        if value in ("NaN", "Infinity", "-Infinity"):
            return value
        if len(value) < 64 and _NUMBER.fullmatch(value):
            value = float(value)
    if type(value) is int and abs(value) < 2**1023:
        return value if abs(value) < 2**53 else float(value)
    if type(value) is not float or not math.isfinite(value):
        raise BadRequest(f"'{at}' must be a number, or one of 'NaN', 'Infinity', '-Infinity'.")
    return value


def _float(value: Json, at: str) -> Json:
    value = _double(value, at)
    if type(value) is not str and abs(value) > _FLOAT_MAX:
        raise BadRequest(f"'{at}' must be a number of 32 bits.")
    return value


def _timestamp(value: Json, at: str) -> Json:
    found = _TIMESTAMP.fullmatch(value) if type(value) is str else None
    try:
        if found is not None:
            moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S")
            if found[4]:
                # Within year 1 to 9999 in UTC as well (google.protobuf.Timestamp).
                offset = timedelta(hours=int(found[5]), minutes=int(found[6]))
                _ = moment - offset if found[4] == "+" else moment + offset
            return value
    except (ValueError, OverflowError):
        pass
    raise BadRequest(f"'{at}' must be a time like 2026-01-31T12:00:00Z.")


def _duration(value: Json, at: str) -> Json:
    found = _DURATION.fullmatch(value) if type(value) is str else None
    if found is None or int(found[1]) >= _LONGEST_DURATION:
        raise BadRequest(f"'{at}' must be a duration like 1.5s.")
    return value


def _base64(value: Json, at: str) -> Json:
    found = _BASE64.fullmatch(value) if type(value) is str else None
    if found is None or len(found[1]) % 4 == 1:
        raise BadRequest(f"'{at}' must be base64 text.")
    return value


def _pattern(pattern: re.Pattern[str], says: str) -> Check:
    def matches(value: Json, at: str) -> Json:
        if type(value) is not str or pattern.fullmatch(value) is None:
            raise BadRequest(f"'{at}' must be {says}.")
        return value

    return matches


def _struct(value: Json, at: str) -> Json:
    if type(value) is not dict:
        raise BadRequest(f"'{at}' must be a JSON object.")
    return _free(value, at)


def _list(value: Json, at: str) -> Json:
    if type(value) is not list:
        raise BadRequest(f"'{at}' must be a list.")
    return _free(value, at)


def _free(value: Json, at: str) -> Json:
    """Any JSON that MLflow's parser can take: not too deep, no number that has become infinite."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        following: list[Json] = []
        for item in level:
            if type(item) is dict:
                following.extend(item.values())
            elif type(item) is list:
                following.extend(item)
            elif type(item) is float and not math.isfinite(item):
                raise BadRequest(f"'{at}' has a number that is too large.")
        if not following:
            return value
        level = following
    raise BadRequest(f"'{at}' is nested too deeply.")


_SCALARS: Mapping[str, Check] = {
    "string": _string,
    "bool": _boolean,
    "double": _double,
    "float": _float,
    "bytes": _base64,
    "timestamp": _timestamp,
    "duration": _duration,
    "fieldmask": _pattern(_FIELD_MASK, "names in camelCase with commas between"),
    "struct": _struct,
    "listvalue": _list,
    "value": _free,
    "any": _free,
}
