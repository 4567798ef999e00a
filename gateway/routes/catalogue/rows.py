"""The functions that catalogue rows are written with: one per HTTP method.

They spell out what nearly every row shares: the ``/api`` and ``/ajax-api`` twins, the name of
the call (MLflow's path without version and ``mlflow/``, the first placeholder as ``{id}``), what
the method does, and that only reads may be sent again unless the row says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypedDict, Unpack

from gateway.routes.route import BARE, BOTH, Answer, BodyKind, Named, Route, Scope, TagNeed

Request = str | Mapping[str, str] | None
"""The fields of a request: a message of the schema file, the fields in place, or none."""

Does = Literal["read", "write", "create", "delete"]

_VERSION = re.compile(r"^/\d\.0/(mlflow/)?")


class Rest(TypedDict, total=False):
    """The parts of a row that only some rows have; see ``Route``."""

    prefixes: tuple[str, ...]
    call: str
    does: Does
    scope: Scope
    body: BodyKind
    query: tuple[str, ...]
    answers: tuple[Answer, ...]
    tag_keys: tuple[str, ...]
    admin_fields: tuple[str, ...]
    admin_names: Mapping[str, str]
    admin_texts: Mapping[str, str]
    scorers: tuple[Named, ...]
    forbidden_tags: tuple[str, ...]
    tag_needs: tuple[TagNeed, ...]
    stamps: Literal["", "owner", "user"]
    hides: bool
    repeatable: bool
    requires_any: tuple[str, ...]
    file_names: tuple[str, ...]
    inner_paths: tuple[str, ...]
    fixed: Mapping[str, tuple[str, ...]]
    plain: tuple[str, ...]
    note: str


def call_name(path: str) -> str:
    """The name of the call at a path: its version and ``mlflow/`` dropped, the first hole ``{id}``.

    ``/2.0/mlflow/traces/{request_id}/tags`` is ``traces/{id}/tags``. Where one path has several
    methods that are different calls, the row adds ``:METHOD``.
    """
    bare = _VERSION.sub("", path).strip("/")
    bare = bare.replace(":path}", "}")
    return re.sub(r"\{\w+\}", "{id}", bare, count=1)


def get(path: str, request: Request, *refs: Named, **rest: Unpack[Rest]) -> Route:
    """A GET: reads, and its fields are in the query."""
    return _row("GET", path, request, refs, "read", rest)


def post(path: str, request: Request, *refs: Named, **rest: Unpack[Rest]) -> Route:
    """A POST with a JSON body."""
    return _row("POST", path, request, refs, "write", rest)


def put(path: str, request: Request, *refs: Named, **rest: Unpack[Rest]) -> Route:
    """A PUT with a JSON body."""
    return _row("PUT", path, request, refs, "write", rest)


def patch(path: str, request: Request, *refs: Named, **rest: Unpack[Rest]) -> Route:
    """A PATCH with a JSON body."""
    return _row("PATCH", path, request, refs, "write", rest)


def delete(path: str, request: Request, *refs: Named, **rest: Unpack[Rest]) -> Route:
    """A DELETE; MLflow reads its fields from a JSON body, never from the query."""
    return _row("DELETE", path, request, refs, "delete", rest)


def refused(method: str, path: str, note: str, *, prefixes: tuple[str, ...] = BOTH) -> Route:
    """An endpoint of MLflow that is never forwarded, with the reason shown."""
    return Route(
        method=method,
        path=path,
        prefixes=prefixes,
        call=f"{call_name(path)}:{method}",
        does="read" if method == "GET" else "write",
        scope="refused",
        repeatable=False,
        note=note,
    )


def _row(
    method: str, path: str, request: Request, refs: tuple[Named, ...], does: Does, rest: Rest
) -> Route:
    versioned = path[0].isdigit()
    template = f"/{path}" if versioned else path
    does = rest.pop("does", does)
    fields: Rest = {
        "prefixes": BOTH if versioned else BARE,
        "call": call_name(template),
        "does": does,
        "body": "none" if method == "GET" or request is None else "json",
        "repeatable": does == "read",
    }
    fields.update(rest)
    return Route(
        method=method,
        path=template,
        refs=refs,
        message=request if isinstance(request, str) else None,
        fields=None if request is None or isinstance(request, str) else request,
        **fields,
    )
