"""Trims GraphQL answers: model versions of hidden models, and error texts that could tell.

Works on the answer to a document that ``graphql.read_graphql`` wrote, so the response keys are
known exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.routes.graphql import GraphQLCall, TrimPath

_GENERIC = "MLflow could not answer this part of the query."
_SAFE = re.compile(
    r"(Cannot query field |Unknown (argument|type|directive|fragment) |Syntax Error: |"
    r"GraphQL queries should have at most |Query exceeds maximum )"
)
"""Texts of parsing and validation: they repeat only what the document says."""

Value = Any


def models_in(answer: Mapping[str, Any], call: GraphQLCall) -> frozenset[str]:
    """The model names in an answer: what the driver asks about at once."""
    return frozenset(
        name
        for trim in call.trims
        for version in _leaves(answer.get("data"), trim.path)
        if isinstance(version, dict) and isinstance(name := version.get(trim.name), str)
    )


def trim_graphql(
    answer: Mapping[str, Any],
    call: GraphQLCall,
    readable_models: frozenset[str] | Callable[[str], bool],
) -> dict[str, Any]:
    """The answer for the caller: hidden model versions gone, error texts made generic.

    A version without a name is dropped. The given answer is not changed.
    """
    readable = readable_models if callable(readable_models) else readable_models.__contains__
    data = answer.get("data")
    for trim in call.trims:
        data = _trimmed(data, trim.path, trim, readable)
    return {"data": data if isinstance(data, dict) else None, **_errors(answer)}


def _trimmed(
    value: Value, path: tuple[str, ...], trim: TrimPath, readable: Callable[[str], bool]
) -> Value:
    if isinstance(value, list):
        if path:
            return [_trimmed(item, path, trim, readable) for item in value]
        return [_shown(v, trim) for v in value if _may_see(v, trim, readable)]
    if not isinstance(value, dict):
        return None
    if not path:
        return _shown(value, trim) if _may_see(value, trim, readable) else None
    made = dict(value)
    if path[0] in made:
        made[path[0]] = _trimmed(made[path[0]], path[1:], trim, readable)
    return made


def _may_see(version: Value, trim: TrimPath, readable: Callable[[str], bool]) -> bool:
    name = version.get(trim.name) if isinstance(version, dict) else None
    return isinstance(name, str) and readable(name)


def _shown(version: dict[str, Any], trim: TrimPath) -> dict[str, Any]:
    if not trim.added:
        return version
    return {key: item for key, item in version.items() if key != trim.name}


def _leaves(value: Value, path: tuple[str, ...]) -> Iterator[Value]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        yield from _leaves(value.get(path[0]), path[1:])


def _errors(answer: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow's ``errors``: null or a list of texts (objects, as the standard has them, too)."""
    errors = answer.get("errors")
    if not isinstance(errors, list):
        return {"errors": None}
    return {"errors": [_scrubbed(error) for error in errors]}


def _scrubbed(error: Value) -> Value:
    if isinstance(error, dict):
        kept = {key: error[key] for key in ("path", "locations") if key in error}
        return {"message": _scrubbed(error.get("message")), **kept}
    return error if isinstance(error, str) and _SAFE.match(error) else _GENERIC
