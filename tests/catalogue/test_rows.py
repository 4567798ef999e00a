"""The catalogue against itself and against the fields of MLflow's requests."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import combinations

import pytest
from fields import accounted, fields_of, looks_like_identifier, placeholders
from plain_fields import PLAIN, is_plain

from gateway.routes.catalogue import CALLS, ROUTES
from gateway.routes.catalogue.rows import call_name
from gateway.routes.route import Creates, Deletes, Learns, Named, RefKind, Renames, Route, Trims
from gateway.routes.schema import schema

DECIDED_BY_ROLES = [r for r in ROUTES if r.scope == "resources"]


def label(route: Route) -> str:
    return f"{route.method} {route.prefixes[0]}{route.path}"


def unaccounted(route: Route) -> list[str]:
    """Identifier-like fields about which neither the row nor the plain table says anything."""
    said = accounted(route)
    return [
        field
        for field, kind in fields_of(route).items()
        if looks_like_identifier(field, kind) and field not in said and is_plain(field) is None
    ]


@pytest.mark.parametrize("route", DECIDED_BY_ROLES, ids=label)
def test_every_field_that_can_name_a_resource_is_classified(route: Route) -> None:
    missing = unaccounted(route)
    assert not missing, (
        f"{label(route)} ({route.message}): say in the row what {missing} name: a ref, tag_keys, "
        "admin_fields, file_names, inner_paths, or plain with the reason"
    )


def test_no_entry_of_the_plain_table_is_stale() -> None:
    used = {is_plain(field) for route in DECIDED_BY_ROLES for field in fields_of(route)}
    assert set(PLAIN) <= used


@pytest.mark.parametrize(
    "field", ["experiment_id", "run_ids", "model_uri", "artifact_location", "source", "key", "path"]
)
def test_a_new_field_of_that_name_would_be_noticed(field: str) -> None:
    assert looks_like_identifier(f"nested.{field}", "string")
    assert is_plain(field) is None


def located_type(route: Route, named: Named, name: str) -> str | None:
    """The type of the place of a ref; None when the request has no such place."""
    where = named.where
    if where.part == "header":
        return "string"
    if where.part == "path":
        return "string" if name in placeholders(route.path) else None
    if where.part == "query":
        plain = name.removesuffix("[]")
        if route.method != "GET":
            return "string" if plain in route.query else None
        fields = fields_of(route)
        kind = fields.get(plain)
        agrees = kind is not None and kind.endswith("[]") == name.endswith("[]")
        return kind if agrees else None
    return body_type(route, name)


def body_type(route: Route, name: str) -> str | None:
    if route.message is not None:
        kind = schema().type_at(route.message, name)
        if kind is None and name.endswith("[]"):  # the keys of a map
            mapped = schema().type_at(route.message, name.removesuffix("[]"))
            return mapped if mapped is not None and mapped.startswith("map:") else None
        return kind
    head, _, rest = name.partition(".")
    kind = (route.fields or {}).get(head.removesuffix("[]"))
    if kind is None or kind.endswith("[]") != head.endswith("[]"):
        return None
    return schema().type_at(kind.strip("@[]"), rest) if rest else kind


@pytest.mark.parametrize("route", [r for r in ROUTES if r.refs], ids=label)
def test_every_ref_is_where_the_request_has_a_string(route: Route) -> None:
    for named in (*route.refs, *route.scorers):
        for name in named.where.names:
            kind = located_type(route, named, name)
            assert kind is not None, f"{label(route)} has no {named.where.part} field {name}"
            assert kind.removesuffix("[]") == "string", f"{label(route)}: {name} is {kind}"
        assert named.many == ("[]" in named.where.names[0])
        assert named.where.part != "body" or route.body == "json", label(route)


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_every_other_field_that_a_row_names_exists(route: Route) -> None:
    known = set(fields_of(route)) | set(placeholders(route.path))
    named = [*route.tag_keys, *route.admin_fields, *route.file_names, *route.inner_paths]
    named += [*route.plain, *route.requires_any, *(route.fixed or ())]
    named += [*(route.admin_names or ()), *(route.admin_texts or ())]
    for answer in route.answers:
        if isinstance(answer, Creates) and answer.body_field:
            named.append(answer.body_field)
        elif isinstance(answer, Deletes):
            named.append(answer.body_field)
        elif isinstance(answer, Renames):
            named += [answer.old_field, answer.new_field]
    missing = [name for name in named if name.replace("[]", "") not in known]
    assert not missing, f"{label(route)} has no fields {missing}"
    for name in (*route.tag_keys, *route.admin_fields):
        if name not in placeholders(route.path):
            assert body_type(route, name) is not None, f"{label(route)}: [] of {name}"


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_every_message_and_type_of_a_row_exists(route: Route) -> None:
    assert route.message is None or route.fields is None
    assert route.message is None or route.message in schema().messages
    for kind in (route.fields or {}).values():
        element = kind.removesuffix("[]")
        assert not element.startswith("@") or element[1:] in schema().messages
        assert not element.startswith("enum:")
    if route.body == "json":
        assert route.message is not None or route.fields is not None, label(route)


def test_every_yardstick_is_a_call_of_the_right_kind() -> None:
    kinds = defaultdict(set)
    for route in ROUTES:
        kinds[route.call] |= route.kinds
    for route in ROUTES:
        for named in (*route.refs, *route.scorers):
            if named.needs is not None:
                assert named.needs in CALLS, f"{label(route)} needs {named.needs}"
                assert kinds[named.needs], f"{named.needs} decides on no resource"
        for need in route.tag_needs:
            assert kinds[need.call] == route.kinds, f"{label(route)}: {need.call}"


def test_calls_are_named_by_their_path() -> None:
    """MLflow's path without version; artifacts, jobs and the UI have names with a meaning."""
    semantic = re.compile(r"artifacts/.*|ui(/static)?|mcp-servers.*|gateway/.*|jobs")
    for route in ROUTES:
        name = route.call.removesuffix(f":{route.method}")
        assert semantic.fullmatch(name) or name == call_name(route.path), label(route)


def test_methods_of_one_path_that_differ_are_different_calls() -> None:
    by_path = defaultdict(dict)
    for route in ROUTES:
        by_path[route.path][route.method] = route
    for path, rows in by_path.items():
        for one, other in combinations(rows.values(), 2):
            same_message = one.message is not None and one.message == other.message
            assert (one.call == other.call) == same_message, path


def test_rows_of_one_call_agree_on_what_decides() -> None:
    by_call = defaultdict(set)
    for route in ROUTES:
        decides = frozenset((n.kind, n.needs, n.narrow, n.many) for n in route.refs)
        by_call[route.call].add((route.scope, route.does, route.stamps, route.hides, decides))
    # The 3.0 message also names the new trace, the 2.0 one cannot.
    ragged = {call for call, sorts in by_call.items() if len(sorts) > 1}
    assert ragged == {"traces:POST"}


def specific(path: str) -> list[str]:
    return path.strip("/").split("/")


def overlap(one: Route, other: Route) -> bool:
    """Whether one concrete path fits both templates."""
    if one.method != other.method or not set(one.prefixes) & set(other.prefixes):
        return False
    left, right = specific(one.path), specific(other.path)
    for a, b in zip(left, right, strict=False):
        if a.endswith(":path}") or b.endswith(":path}"):
            return True
        if not a.startswith("{") and not b.startswith("{") and a != b:
            return False
    return len(left) == len(right)


MORE_SPECIFIC_WINS = {
    ("GET", "/3.0/mlflow/traces/get", "/3.0/mlflow/traces/{trace_id}"),
    ("GET", "/3.0/mlflow/traces/batchGet", "/3.0/mlflow/traces/{trace_id}"),
    ("GET", "/3.0/mlflow/datasets/search", "/3.0/mlflow/datasets/{dataset_id}"),
    (
        "GET",
        "/3.0/mlflow/prompt-optimization/jobs/search",
        "/3.0/mlflow/prompt-optimization/jobs/{job_id}",
    ),
    # An AI gateway endpoint named 'proxy': MLflow takes the invocation, we the proxy. Both spend
    # a key of the server and neither touches a resource.
    (
        "POST",
        "/gateway/proxy/{endpoint_name}/{path:path}",
        "/gateway/{endpoint_name}/mlflow/invocations",
    ),
    (
        "DELETE",
        "/3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}/tags/{key:path}",
        "/3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version:path}",
    ),
}
"""Pairs in which a fixed segment beats a placeholder, in MLflow's routers and in ours."""


def test_no_two_rows_overlap_but_where_a_fixed_segment_wins() -> None:
    found = set()
    for one, other in combinations(ROUTES, 2):
        if overlap(one, other):
            first, second = sorted((one, other), key=lambda r: _holes_first(r.path))
            found.add((first.method, first.path, second.path))
    assert found == MORE_SPECIFIC_WINS


def _holes_first(path: str) -> list[bool | int]:
    return [segment.endswith(":path}") * 2 or segment.startswith("{") for segment in specific(path)]


def test_a_row_is_refused_or_decided_never_left_open() -> None:
    public = {r.call for r in ROUTES if r.scope == "public"}
    assert public == {"health"}
    # These may name no resource: the server part of roles.yaml decides and answers are trimmed,
    # or one of several fields is needed, or (scorers/list) a decision without resources denies.
    unnamed = {r.call for r in DECIDED_BY_ROLES if not any(n.required for n in r.refs)}
    assert unnamed == {
        "experiments/create",
        "experiments/search",
        "registered-models/create",
        "registered-models/search",
        "model-versions/search",
        "scorers/list",
        "scorers/online-configs",
        "artifacts/presigned-upload-url",
        "graphql",
    }
    for route in DECIDED_BY_ROLES:
        if route.call in unnamed - {"scorers/list"}:
            guarded = route.requires_any or route.stamps or route.body == "graphql"
            assert guarded or any(isinstance(a, Trims) for a in route.answers), label(route)


def test_refused_rows_say_why_and_list_nothing_else() -> None:
    for route in ROUTES:
        if route.scope == "refused":
            assert route.note
            assert route.call not in CALLS
            assert not route.refs
            assert not route.answers
            assert route.body == "none"


def test_only_idempotent_rows_may_be_sent_again() -> None:
    for route in ROUTES:
        if route.does == "read":
            continue
        creates = route.does == "create" and route.call != "review-queues/get-or-create-user"
        if creates or any(isinstance(a, Creates | Deletes | Renames) for a in route.answers):
            assert not route.repeatable, label(route)


def test_a_body_is_only_dropped_where_there_is_none() -> None:
    without = {r.call for r in ROUTES if r.body == "none" and r.method in ("POST", "PUT", "PATCH")}
    refused = {r.call for r in ROUTES if r.scope == "refused"}
    assert without - refused == {"jobs/cancel/{id}"}


@pytest.mark.parametrize("route", DECIDED_BY_ROLES, ids=label)
def test_everything_that_writes_tags_guards_them(route: Route) -> None:
    """A field that holds tags, or a key beside a tag call's value, is in tag_keys."""
    fields = fields_of(route)
    keys = {f for f in fields if f.endswith("tags.key")} | {f for f in fields if f == "tag_key"}
    keys |= {f for f, kind in fields.items() if kind.startswith("map:") and f.endswith("tags")}
    if "tag" in route.call.rpartition("/")[2] and "key" in {*fields, *placeholders(route.path)}:
        keys.add("key")
    if route.method == "DELETE" and route.path.endswith("key}"):
        keys.add(placeholders(route.path)[-1])
    assert keys <= {name.replace("[]", "") for name in route.tag_keys}, label(route)


def test_whatever_touches_trace_tags_refuses_the_location_tags() -> None:
    for route in DECIDED_BY_ROLES:
        traces = any(n.kind in (RefKind.TRACE, RefKind.NEW_TRACE) for n in route.refs)
        if route.call == "v1/traces" or (route.tag_keys and (traces or "traces" in route.call)):
            assert "mlflow.artifactLocation" in route.forbidden_tags, label(route)
            assert "mlflow.trace.archiveLocation" in route.forbidden_tags, label(route)


def test_what_an_answer_teaches_is_of_a_ref_kind_that_never_moves() -> None:
    learnt = {a.kind for r in ROUTES for a in r.answers if isinstance(a, Learns)}
    assert RefKind.DATASET not in learnt
