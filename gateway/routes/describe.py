"""From a raw request to a ``Call``: which endpoint, which identifiers, and what to forward.

Pure. The ``Describer`` is compiled once from the catalogue and the schema; a ``Call`` holds the
only copy of path, query and body that the rest of the gateway uses, so that what was authorized
is what is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.errors import BadRequest, UnknownEndpoint
from gateway.routes.bodies import BodyChecks, Check, parse_object
from gateway.routes.call import Call
from gateway.routes.guards import Guards
from gateway.routes.identifiers import ID, NAMES, SYNTAX, Reader, reader, ref_of
from gateway.routes.match import Match, Matcher
from gateway.routes.route import Named, Ref, Route
from gateway.routes.schema import Schema
from gateway.routes.target import is_plain_query, parse_query, split_target


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
    guards: Guards | None


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
        if compiled.guards is not None:
            compiled.guards.check(call)
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
                    into.append(ref_of(named, value, needs))
        if route.requires_any and not any(
            call.query.get(f) or (call.body or {}).get(f) for f in route.requires_any
        ):
            raise BadRequest(f"{route.call} needs one of: {', '.join(route.requires_any)}.")
        call.refs = tuple(refs)
        if narrow:
            call.narrow = tuple(narrow)

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
                    reader(named.where.names[0]),
                    named,
                    named.needs or route.call,
                    None if named.kind in NAMES else SYNTAX.get(named.kind, ID),
                )
                for named in route.refs
                if named.where.part != "header"
            ),
            guards=Guards.of(route),
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


def _query_bool(value: str, at: str) -> str:
    if value not in ("true", "false", "True", "False"):
        raise BadRequest(f"The query field '{at}' must be true or false.")
    return value


def _agree(fields: Mapping[str, Any], params: Mapping[str, str], place: str) -> None:
    """What the path says and a field of the same name repeats must be one thing."""
    for name, said in params.items():
        if name in fields and fields[name] != said:
            raise BadRequest(f"'{name}' in the {place} is not the one in the path.")


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
            refs.append(ref_of(named, values[0], named.needs or route.call))
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
    read = reader(rest.removeprefix("."))
    return [v for v in values if (ids := read(v)) and keep.issuperset(ids)]
