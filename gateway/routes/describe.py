"""From a raw request to a ``Call``: which endpoint, which identifiers, and what to forward.

Pure. The ``Describer`` is compiled once from the catalogue and the schema; a ``Call`` holds the
only copy of path, query and body that the rest of the gateway uses, so that what was authorized
is what is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.errors import BadRequest, UnknownEndpoint
from gateway.model import RESERVED_TAG_PREFIX
from gateway.routes.bodies import BodyChecks, Check, dump, parse_object
from gateway.routes.graphql import GraphQLCall
from gateway.routes.match import Match, Matcher
from gateway.routes.route import Named, Ref, RefKind, Route, TagNeed, Where
from gateway.routes.schema import Schema
from gateway.routes.scorers import read_scorer
from gateway.routes.tag_keys import folded
from gateway.routes.target import (
    check_artifact_segments,
    encode_query,
    is_plain_query,
    parse_query,
    split_target,
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}", re.ASCII)
_EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,24}", re.ASCII)
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,4096}")
_SYNTAX: Mapping[RefKind, re.Pattern[str]] = {
    RefKind.EXPERIMENT: _EXPERIMENT_ID,
    RefKind.EXPERIMENT_NAME: _NAME,
    RefKind.MODEL: _NAME,
    RefKind.MODEL_SOURCE: _NAME,
    RefKind.MODEL_URI: _NAME,
    RefKind.ARTIFACT_PATH: _NAME,
}

_NAMES = frozenset(_SYNTAX) - {RefKind.EXPERIMENT}

Reader = Callable[[Mapping[str, Any]], list[Any]]


class Call:
    """One request, read once. ``path`` is canonical and encoded; ``query`` is decoded.

    ``body`` is the checked JSON object, or None when the body is an opaque stream or absent.
    ``refs`` are the identifiers whose resources must all allow their call; ``narrow`` those of
    which the forbidden ones are taken out of the request instead.
    """

    __slots__ = (
        "_query", "_sent_query", "admin_fields", "body", "content_type", "graphql", "headers",
        "narrow", "params", "path", "refs", "reserved_tags", "route", "tags_needing",
    )  # fmt: skip

    def __init__(
        self,
        route: Route,
        path: str,
        params: Mapping[str, str],
        query: Mapping[str, Any],
        body: dict[str, Any] | None = None,
        *,
        sent_query: str | None = None,
    ) -> None:
        """``sent_query``: the raw query when it can be forwarded as it came."""
        self.route = route
        self.path = path
        self.params = params
        self.body = body
        self._query = query
        self._sent_query = sent_query
        self.refs: tuple[Ref, ...] = ()
        self.narrow: tuple[Ref, ...] = ()
        self.admin_fields: tuple[str, ...] = ()
        """Fields present in this request that only an admin may fill."""
        self.reserved_tags: tuple[str, ...] = ()
        """Tag keys in this request that only the gateway (or an admin) may write."""
        self.tags_needing: tuple[tuple[str, str], ...] = ()
        """Tag keys in this request that need another call too, and that call."""
        self.graphql: GraphQLCall | None = None
        """What a GraphQL document asks for, when the call is one."""
        self.content_type = ""
        """The Content-Type to forward, where a reader of the body decided on it."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """Headers that carry identifiers, written from what was read."""

    @property
    def query(self) -> Mapping[str, Any]:
        """The decoded query fields; assign a new mapping to change what is forwarded."""
        return self._query

    @query.setter
    def query(self, fields: Mapping[str, Any]) -> None:
        self._query = fields
        self._sent_query = None

    def target(self) -> str:
        """The request target to forward."""
        query = self._sent_query
        if query is None:
            query = encode_query(self._query)
        return f"{self.path}?{query}" if query else self.path

    def body_bytes(self) -> bytes | None:
        """The JSON body to forward, written from the checked value."""
        return None if self.body is None else dump(self.body)


class _Locator(NamedTuple):
    """One ``Named`` of a row, ready to run."""

    part: str
    read: Reader
    named: Named
    call: str
    """The call that the resource must allow."""
    plain_id: re.Pattern[str] | None
    """The syntax, when the value itself is the id and needs no further check."""


@dataclass(slots=True)
class _Compiled:
    """What is worked out once per row."""

    query_fields: Mapping[str, bool]
    """Allowed query field -> may it repeat."""
    query_checks: Mapping[str, Check | None]
    body_check: Check | None
    query_aliases: tuple[tuple[str, str], ...]
    body_aliases: tuple[tuple[str, str], ...]
    readers: tuple[_Locator, ...]
    tag_readers: tuple[tuple[str, Reader], ...]
    admin_readers: tuple[tuple[str, Reader], ...]
    admin_names: tuple[tuple[str, str], ...]
    scorer_readers: tuple[tuple[Named, Reader], ...]
    forbidden_tags: frozenset[str]
    tag_needs: tuple[TagNeed, ...]
    guarded: bool


class Describer:
    """Reads requests against a catalogue and the schema of its request messages."""

    def __init__(self, routes: Iterable[Route], schema: Schema, static_prefix: str = "") -> None:
        self._schema = schema
        self._checks = BodyChecks(schema)
        self._matcher = Matcher(routes, static_prefix)
        self._compiled: dict[int, _Compiled] = {}

    def match(self, method: str, target: str) -> tuple[Match, str]:
        """The row of a raw request and its raw query.

        Raises UnknownEndpoint when the catalogue has no such method and path, BadRequest when
        the target is not canonical.
        """
        path, _, query = target.partition("?")
        odd = path.startswith("//") or not path.startswith("/") or not path.isascii()
        if odd or "#" in target or "\\" in target:
            split_target(target)
        found = self._matcher.match(method, path)
        if found is None:
            split_target(target)
            raise UnknownEndpoint(
                f"{method} {_shown(path)} is not an MLflow endpoint that this gateway knows. "
                "Check the tracking URI and the MLflow version ('mlgate routes' lists them)."
            )
        return found, query

    def describe(self, match: Match, raw_query: str, raw_body: bytes | None) -> Call:
        """Read query, path and JSON body of a matched request.

        ``raw_body`` is None for rows whose body is not JSON. Raises BadRequest for whatever
        MLflow could read in a second way.
        """
        route = match.route
        compiled = self._compiled.get(id(route))
        if compiled is None:
            compiled = self._compiled[id(route)] = self._compile(route)
        query: dict[str, Any] = {}
        sent: str | None = ""
        if raw_query:
            query, sent = self._query(compiled, raw_query)
            _agree(query, match.params, "query")
        body = None
        if raw_body is not None:
            body = self._body(compiled, route, raw_body, match.params)
        call = Call(route, match.path, match.params, query, body, sent_query=sent)
        self._collect(compiled, call)
        if compiled.guarded:
            self._guard(compiled, call)
        return call

    def _query(self, compiled: _Compiled, raw: str) -> tuple[dict[str, Any], str | None]:
        """The decoded fields, and ``raw`` itself when it can be forwarded as it is."""
        if not raw.isascii() or not raw.isprintable() or "#" in raw:
            raise BadRequest("The query has characters that must be percent-encoded.")
        clean: dict[str, Any] = {}
        fields = parse_query(raw)
        for name, values in fields.items():
            repeats = compiled.query_fields.get(name)
            if repeats is None:
                continue
            if repeats:
                clean[name] = values
            elif len(values) == 1:
                clean[name] = values[0]
            else:
                raise BadRequest(f"The query field '{name}' is given twice; give it once.")
            check = compiled.query_checks[name]
            if check is not None:
                for value in values:
                    check(value, name)
        as_sent = len(clean) == len(fields) and is_plain_query(raw)
        for alias, name in compiled.query_aliases:
            if alias in clean:
                as_sent = False
                _fold_alias(clean, alias, name)
        return clean, raw if as_sent else None

    def _body(
        self, compiled: _Compiled, route: Route, raw: bytes, params: Mapping[str, str]
    ) -> dict[str, Any]:
        # An absent body is an empty message for MLflow (a DELETE of the Python client).
        value = parse_object(raw) if raw else {}
        if compiled.body_check is not None:
            value = compiled.body_check(value, "")
        for alias, name in compiled.body_aliases:
            _fold_alias(value, alias, name)
        _agree(value, params, "body")
        return value

    def _collect(self, compiled: _Compiled, call: Call) -> None:
        route = call.route
        refs: list[Ref] = []
        narrow: list[Ref] = []
        for part, read, named, needs, plain_id in compiled.readers:
            fields = call.query if part == "query" else call.params
            if part == "body":
                fields = call.body or {}
            found = read(fields)
            if not found:
                if named.required and not named.narrow:
                    raise BadRequest(
                        f"{route.call} needs '{named.where.names[0].removesuffix('[]')}'; "
                        "it is missing or empty."
                    )
                continue
            into = narrow if named.narrow else refs
            for value in found:
                if plain_id is not None and type(value) is str and plain_id.fullmatch(value):
                    into.append(Ref(named.kind, value, needs))
                else:
                    into.append(_ref(named, value, needs))
        if route.requires_any and not any(
            call.query.get(f) or (call.body or {}).get(f) for f in route.requires_any
        ):
            raise BadRequest(f"{route.call} needs one of: {', '.join(route.requires_any)}.")
        call.refs = tuple(refs)
        if narrow:
            call.narrow = tuple(narrow)

    def _guard(self, compiled: _Compiled, call: Call) -> None:
        body = call.body or {}
        call.admin_fields = tuple(
            name
            for name, read in compiled.admin_readers
            if any(value not in ("", [], {}) for value in read(body))
        )
        call.admin_fields += tuple(
            f"{name}={prefix}…"
            for name, prefix in compiled.admin_names
            if folded(str(body.get(name, ""))).startswith(prefix)
        )
        for name, key in (call.route.admin_texts or {}).items():
            if _has_text(name, body.get(name, "{}"), key):
                call.admin_fields += (f"{name}: {key}",)
        for named, read in compiled.scorer_readers:
            for text in read(body):
                _take_scorer(call, named, text)
        bad: list[str] = []
        needing: list[tuple[str, str]] = []
        for part, read in compiled.tag_readers:
            for key in read(call.params if part == "path" else _both(call.query, body)):
                plain = folded(key)
                if plain.startswith(RESERVED_TAG_PREFIX) or plain in compiled.forbidden_tags:
                    bad.append(key)
                needing += [
                    (key, need.call)
                    for need in compiled.tag_needs
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

    def _compile(self, route: Route) -> _Compiled:
        fields: Mapping[str, str] = route.fields or {}
        if route.message is not None:
            fields = self._schema.messages[route.message]
        in_query = fields if route.method in ("GET", "HEAD") else {}
        queries = {name: fields.get(name, "string") for name in (*in_query, *route.query)}
        for named in route.refs:
            if named.where.part == "query":
                for name in named.where.names:
                    plain = name.removesuffix("[]")
                    queries.setdefault(plain, "string[]" if name.endswith("[]") else "string")
        check: Check | None = None
        if route.body == "json":
            check = (
                self._checks.message(route.message)
                if route.message is not None
                else self._checks.compile(fields)
            )
        return _Compiled(
            query_fields={name: kind.endswith("[]") for name, kind in queries.items()},
            query_checks={name: self._query_check(kind) for name, kind in queries.items()},
            body_check=check,
            query_aliases=_aliases(route, "query"),
            body_aliases=_aliases(route, "body"),
            readers=tuple(
                _Locator(
                    named.where.part,
                    _reader(named.where.names[0]),
                    named,
                    named.needs or route.call,
                    None if named.kind in _NAMES else _SYNTAX.get(named.kind, _ID),
                )
                for named in route.refs
                if named.where.part != "header"
            ),
            tag_readers=tuple(
                ("path" if "{" + name + "}" in route.path else "body", _reader(name))
                for name in route.tag_keys
            ),
            admin_readers=tuple((name, _reader(name)) for name in route.admin_fields),
            admin_names=tuple((route.admin_names or {}).items()),
            scorer_readers=tuple((named, _reader(named.where.names[0])) for named in route.scorers),
            forbidden_tags=frozenset(map(folded, route.forbidden_tags)),
            tag_needs=tuple(
                TagNeed(folded(need.prefix), need.call, tuple(map(folded, need.but)))
                for need in route.tag_needs
            ),
            guarded=bool(
                route.tag_keys
                or route.admin_fields
                or route.admin_names
                or route.admin_texts
                or route.scorers
                or route.file_names
                or route.inner_paths
                or route.fixed
            ),
        )

    def _query_check(self, kind: str) -> Check | None:
        """The check of one value of a query field; None: any text.

        MLflow goes on with a half-read message when one value does not fit its type, so a value
        that it could not read must not leave.
        """
        kind = kind.removesuffix("[]")
        if kind == "string":
            return None
        if kind == "bool":
            return _query_bool
        check = self._checks.type_check(kind)
        if kind.startswith("enum:"):
            return lambda value, at: check(int(value) if value.isdecimal() else value, at)
        return check


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
    call.refs += tuple(_ref(named, one, needs) for one in scorer.trace_ids)


def _query_bool(value: str, at: str) -> str:
    if value not in ("true", "false", "True", "False"):
        raise BadRequest(f"The query field '{at}' must be true or false.")
    return value


def _agree(fields: Mapping[str, Any], params: Mapping[str, str], place: str) -> None:
    """What the path says and a field of the same name repeats must be one thing."""
    for name, said in params.items():
        if name in fields and fields[name] != said:
            raise BadRequest(f"'{name}' in the {place} is not the one in the path.")


def _both(query: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**query, **body} if query else body


def header_refs(route: Route, headers: Mapping[str, list[str]]) -> tuple[Ref, ...]:
    """The identifiers that a row takes from headers (OTLP names its experiment there).

    ``headers`` maps lower-case names to all their values. Raises BadRequest when a required
    one is missing or any is given twice.
    """
    refs = []
    for named in route.refs:
        if named.where.part != "header":
            continue
        name = named.where.names[0].lower()
        values = headers.get(name, [])
        if len(values) > 1:
            raise BadRequest(f"The header '{name}' is given twice; give it once.")
        if values and values[0]:
            refs.append(_ref(named, values[0], named.needs or route.call))
        elif named.required:
            raise BadRequest(f"{route.call} needs the header '{name}'.")
    return tuple(refs)


def _shown(path: str) -> str:
    return path if len(path) <= 100 else path[:100] + "…"


def _aliases(route: Route, part: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for named in route.refs:
        if named.where.part == part:
            first, *others = named.where.names
            pairs.extend((other, first) for other in others)
    return tuple(pairs)


def _fold_alias(fields: dict[str, Any], alias: str, name: str) -> None:
    """Two spellings of one field: they must agree, and only the first is forwarded."""
    if alias not in fields:
        return
    value = fields.pop(alias)
    if value in ("", None):
        return
    if fields.get(name, "") not in ("", value):
        raise BadRequest(f"'{alias}' and '{name}' name different things; send only '{name}'.")
    fields[name] = value


def _check_file_name(name: str, value: Any) -> None:
    """MLflow joins it to an artifact path, so it must be one plain part of a path."""
    if value is not None:
        check_artifact_segments([value] if isinstance(value, str) else [""])


def _check_inner_path(name: str, value: Any) -> None:
    """A path below an artifact root. MLflow decodes it several times (``validate_path_is_safe``),
    so no part of it may mean another one after that. Empty and absent name the root."""
    if value in (None, ""):
        return
    if not isinstance(value, str) or value.startswith("/"):
        raise BadRequest(f"'{name}' must be a path relative to the artifact root.")
    check_artifact_segments(value.removesuffix("/").split("/"))


def _reader(name: str) -> Reader:
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


def _ref(named: Named, value: Any, call: str) -> Ref:
    kind = named.kind
    field_name = named.where.names[0]
    if type(value) is not str:
        raise BadRequest(f"'{field_name}' must be a string.")
    if _SYNTAX.get(kind, _ID).fullmatch(value) is None:
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
    return _ref(_NEW_NAME, value, field_name).id


_NEW_NAME = Named(kind=RefKind.MODEL, where=Where("body", ("name",)))


def _syntax_sentence(kind: RefKind, field_name: str) -> str:
    if kind is RefKind.EXPERIMENT:
        return f"'{field_name}' must be an experiment id: decimal digits, no leading zero."
    if kind in _SYNTAX:
        return f"'{field_name}' must be text without control characters."
    return f"'{field_name}' is not an id: letters, digits, '_', '-', '.' and ':' only."


def narrow_body(call: Call, field_name: str, keep: frozenset[str]) -> None:
    """Take the identifiers not in ``keep`` out of the list at ``field_name`` of the request.

    For a list of objects (``locations[].mlflow_experiment.experiment_id``) whole elements go.
    """
    first, _, rest = field_name.partition("[]")
    if call.body is not None and first in call.body:
        call.body[first] = _narrowed(call.body[first], rest, keep)
    elif first in call.query:
        call.query = {**call.query, first: _narrowed(call.query[first], rest, keep)}


def _narrowed(values: list[Any], rest: str, keep: frozenset[str]) -> list[Any]:
    if not rest:
        return [v for v in values if v in keep]
    read = _reader(rest.removeprefix("."))
    return [v for v in values if (ids := read(v)) and keep.issuperset(ids)]
