"""Where identifiers are in a request, and what one looks like. Pure.

A value that MLflow could take for another one (``02``, ``run-1%20``) is no identifier here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import BadRequest
from gateway.routes.route import Named, Ref, RefKind, Where
from gateway.routes.target import check_artifact_segments

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}", re.ASCII)
_EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,24}", re.ASCII)
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,4096}")
SYNTAX: Mapping[RefKind, re.Pattern[str]] = {
    RefKind.EXPERIMENT: _EXPERIMENT_ID,
    RefKind.EXPERIMENT_NAME: _NAME,
    RefKind.MODEL: _NAME,
    RefKind.MODEL_SOURCE: _NAME,
    RefKind.MODEL_URI: _NAME,
    RefKind.ARTIFACT_PATH: _NAME,
}

NAMES = frozenset(SYNTAX) - {RefKind.EXPERIMENT}

Reader = Callable[[Mapping[str, Any]], list[Any]]


def reader(name: str) -> Reader:
    """Compile ``metrics[].model_id`` to a function that lists the non-empty values there."""
    steps = name.split(".")
    if len(steps) == 1 and not name.endswith("[]"):

        def read_one(fields: Mapping[str, Any]) -> list[Any]:
            value = fields.get(name)
            return [] if value is None or value == "" else [value]

        return read_one

    def read(fields: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = [fields]
        for step in steps:
            plain = step.removesuffix("[]")
            many = step.endswith("[]")
            following: list[Any] = []
            for item in found:
                value = item.get(plain) if isinstance(item, Mapping) else None
                if value is None:
                    continue
                if many and isinstance(value, Mapping):
                    following.extend(value)  # the keys of a map
                elif many:
                    following.extend(value)
                else:
                    following.append(value)
            found = following
        return [value for value in found if value != ""]

    return read


def ref_of(named: Named, value: Any, call: str) -> Ref:
    """The ref that a value at the place of ``named`` is; its resources must allow ``call``.

    Raises BadRequest for what is no identifier of that kind.
    """
    kind = named.kind
    field_name = named.where.names[0]
    if type(value) is not str:
        raise BadRequest(f"'{field_name}' must be a string.")
    if SYNTAX.get(kind, ID).fullmatch(value) is None:
        raise BadRequest(_syntax_sentence(kind, field_name))
    if kind in (RefKind.MODEL, RefKind.EXPERIMENT_NAME) and value != value.strip():
        # MySQL compares names without their trailing blanks: two spellings, one model.
        raise BadRequest(f"'{field_name}' must not begin or end with blanks.")
    if kind is RefKind.ARTIFACT_PATH:
        segments = value.split("/")
        check_artifact_segments(segments)
        if _EXPERIMENT_ID.fullmatch(segments[0]) is None:
            raise BadRequest(
                "An artifact path must start with the id of the experiment it belongs to."
            )
        value = segments[0]
    return Ref(kind, value, call)


def check_new_name(value: Any, field_name: str) -> str:
    """The name that a model is to get; it must be one that later requests can use.

    Raises BadRequest when it is missing or not plain text.
    """
    if not value:
        raise BadRequest(f"'{field_name}' is missing or empty; give the model a name.")
    return ref_of(_NEW_NAME, value, field_name).id


_NEW_NAME = Named(kind=RefKind.MODEL, where=Where("body", ("name",)))


def _syntax_sentence(kind: RefKind, field_name: str) -> str:
    if kind is RefKind.EXPERIMENT:
        return f"'{field_name}' must be an experiment id: decimal digits, no leading zero."
    if kind in SYNTAX:
        return f"'{field_name}' must be text without control characters."
    return f"'{field_name}' is not an id: letters, digits, '_', '-', '.' and ':' only."
