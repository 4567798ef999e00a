"""What a request must not say whoever sends it, or only an admin may, besides its identifiers.

Tags, fields, names and file paths by which MLflow does more than the call says. Pure; the catalogue
says which row has which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.errors import BadRequest
from gateway.model import RESERVED_TAG_PREFIX
from gateway.routes.call import Call
from gateway.routes.identifiers import reader, ref_of
from gateway.routes.route import Named, Ref, Route, TagNeed
from gateway.routes.scorers import read_scorer
from gateway.routes.tag_keys import folded
from gateway.routes.target import check_artifact_segments


class Guards:
    """The guards of one row, worked out once."""

    __slots__ = (
        "_admin_names", "_admin_readers", "_forbidden_tags", "_scorer_readers", "_tag_needs",
        "_tag_readers",
    )  # fmt: skip

    def __init__(self, route: Route) -> None:
        self._tag_readers = tuple(
            ("path" if "{" + name + "}" in route.path else "body", reader(name))
            for name in route.tag_keys
        )
        self._admin_readers = tuple((name, reader(name)) for name in route.admin_fields)
        self._admin_names = tuple((route.admin_names or {}).items())
        self._scorer_readers = tuple(
            (named, reader(named.where.names[0])) for named in route.scorers
        )
        self._forbidden_tags = frozenset(map(folded, route.forbidden_tags))
        self._tag_needs = tuple(
            TagNeed(folded(need.prefix), need.call, tuple(map(folded, need.but)))
            for need in route.tag_needs
        )

    @staticmethod
    def of(route: Route) -> Guards | None:
        """The guards of a row; None for the many that have none."""
        guarded = (
            route.tag_keys
            or route.admin_fields
            or route.admin_names
            or route.admin_texts
            or route.scorers
            or route.file_names
            or route.inner_paths
            or route.fixed
        )
        return Guards(route) if guarded else None

    def check(self, call: Call) -> None:
        """Note in ``call`` what needs an admin or another call; raises BadRequest for the rest."""
        body = call.body or {}
        call.admin_fields = tuple(
            name
            for name, read in self._admin_readers
            if any(value not in ("", [], {}) for value in read(body))
        )
        call.admin_fields += tuple(
            f"{name}={prefix}…"
            for name, prefix in self._admin_names
            if folded(str(body.get(name, ""))).startswith(prefix)
        )
        for name, key in (call.route.admin_texts or {}).items():
            if _has_text(name, body.get(name, "{}"), key):
                call.admin_fields += (f"{name}: {key}",)
        for named, read in self._scorer_readers:
            for text in read(body):
                _take_scorer(call, named, text)
        bad: list[str] = []
        needing: list[tuple[str, str]] = []
        for part, read in self._tag_readers:
            for key in read(call.params if part == "path" else _both(call.query, body)):
                plain = folded(key)
                if plain.startswith(RESERVED_TAG_PREFIX) or plain in self._forbidden_tags:
                    bad.append(key)
                needing += [
                    (key, need.call)
                    for need in self._tag_needs
                    if plain.startswith(need.prefix) and plain not in need.but
                ]
        call.reserved_tags = tuple(bad)
        if needing:
            call.tags_needing = tuple(needing)
            call.refs += tuple(Ref(r.kind, r.id, also) for _, also in needing for r in call.refs)
        for name in call.route.file_names:
            _check_file_name(name, body.get(name))
        for name in call.route.inner_paths:
            _check_inner_path(name, call.query.get(name, body.get(name)))
        for name, values in (call.route.fixed or {}).items():
            if call.query.get(name) not in values:
                raise BadRequest(f"{call.route.call} is forwarded with {name}={values[0]} only.")


def _has_text(name: str, text: str, key: str) -> bool:
    """Whether a JSON object in a string has text at a key, read as MLflow's server reads it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"'{name}' must be text that is one JSON object.") from error
    if not isinstance(value, dict):
        raise BadRequest(f"'{name}' must be text that is one JSON object.")
    return isinstance(value.get(key), str)


def _take_scorer(call: Call, named: Named, text: str) -> None:
    """What a serialized scorer loads must be readable; what makes more of it is for admins."""
    at = named.where.names[0].removesuffix("[]")
    scorer = read_scorer(text, at)
    call.admin_fields += tuple(f"{at}: {what}" for what in scorer.steers)
    needs = named.needs or call.route.call
    call.refs += tuple(ref_of(named, one, needs) for one in scorer.trace_ids)


def _both(query: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**query, **body} if query else body


def _check_file_name(name: str, value: Any) -> None:
    """MLflow joins it to an artifact path, so it must be one plain part of a path."""
    if value is not None:
        check_artifact_segments([value] if isinstance(value, str) else [""], f"'{name}'")


def _check_inner_path(name: str, value: Any) -> None:
    """A path below an artifact root or an address. MLflow decodes it several times
    (``validate_path_is_safe``), so no part of it may mean another one after that. Empty and absent
    name the root."""
    if value in (None, ""):
        return
    if not isinstance(value, str) or value.startswith("/"):
        raise BadRequest(f"'{name}' must be a relative path.")
    check_artifact_segments(value.removesuffix("/").split("/"), f"'{name}'")
