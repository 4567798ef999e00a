"""The catalogue against the installed MLflow: its live routes, its protos, its documentation."""

from __future__ import annotations

import re
from collections import defaultdict

import routes_doc
import schema_from_mlflow
from hypothesis import given, settings
from hypothesis import strategies as st
from live_routes import live_routes

from gateway.routes.catalogue import ROUTES
from gateway.routes.match import Matcher
from gateway.routes.route import Route
from gateway.routes.schema import MLFLOW_VERSION, schema

HOLE = re.compile(r"\{(\w+)(:path)?\}")
# Where the catalogue is narrower than MLflow's template: an MCP server's name has two segments,
# and a version with a slash cannot be tagged.
EXAMPLES = {"name": "com.example/server", "version": "1.0"}


def example(template: str) -> str:
    """A path that fits a template; several segments where the template takes several."""
    return HOLE.sub(lambda h: EXAMPLES.get(h[1], "x1/y2" if h[2] else "x1"), template)


def naive(route: Route) -> re.Pattern[str]:
    """The paths of a row, one prefix after the other, as a regular expression."""
    prefixes = "|".join(map(re.escape, route.prefixes))
    parts = HOLE.split(route.path)
    pattern = "".join(
        re.escape(text) if i % 3 == 0 else "" if i % 3 == 1 else (".+" if text else "[^/]+")
        for i, text in enumerate(parts)
    )
    return re.compile(f"(?:{prefixes}){pattern}", re.DOTALL)


MATCHERS = [(route, naive(route)) for route in ROUTES]


def fitting(method: str, path: str) -> list[Route]:
    """The rows that a naive matcher finds; of several, those with the fewest placeholders."""
    found = [r for r, pattern in MATCHERS if r.method == method and pattern.fullmatch(path)]
    literal = [len(HOLE.sub("", r.path)) for r in found]
    return [r for r, n in zip(found, literal, strict=True) if n == max(literal)]


def test_every_live_route_matches_exactly_one_row() -> None:
    bad = {
        f"{method} {template}": [r.path for r in fitting(method, example(template))]
        for method, template in sorted(live_routes())
        if len(fitting(method, example(template))) != 1
    }
    assert not bad, f"live routes of MLflow {MLFLOW_VERSION} without one row: {bad}"


def test_every_row_is_live_under_every_prefix() -> None:
    served = defaultdict(set)
    for method, template in live_routes():
        path = example(template)
        for route in fitting(method, path):
            served[id(route)] |= {p for p in route.prefixes if path.startswith(p + "/")}
    dead = [
        f"{route.method} {prefix}{route.path}"
        for route in ROUTES
        for prefix in route.prefixes
        if prefix not in served[id(route)]
    ]
    assert not dead, f"MLflow {MLFLOW_VERSION} does not serve {dead}"


def test_no_row_is_wider_than_the_live_route() -> None:
    live = {(method, HOLE.sub(r"{\2}", template)) for method, template in live_routes()}
    wider = {
        route.path
        for route in ROUTES
        for prefix in route.prefixes
        if (route.method, prefix + HOLE.sub(r"{\2}", route.path)) not in live
    }
    # One row for two suffixes; and servers' names, which MLflow's template takes by any length.
    assert {p for p in wider if "mcp-servers" not in p} == {
        "/gateway/gemini/v1beta/models/{endpoint_action}"
    }


def test_proto_endpoints_have_the_message_of_their_row() -> None:
    for method, template, message in schema_from_mlflow.endpoints():
        path = example(template.replace("{assessment.trace_id}", "{trace_id}"))
        rows = {r.message for r in fitting(method, "/api" + path) if r.scope != "refused"}
        # Artifact bytes have no fields beside the path.
        assert rows <= {message, None}, f"{method} {template}"
        if None in rows:
            assert not schema().messages[message], f"{method} {template} needs {message}"


def test_the_schema_file_is_what_the_installed_mlflow_says() -> None:
    written = schema_from_mlflow.target().read_text(encoding="utf-8")
    assert schema_from_mlflow.render(schema_from_mlflow.generate()) == written, (
        "run: python tests/catalogue/schema_from_mlflow.py"
    )


def test_the_table_of_routes_is_current() -> None:
    assert routes_doc.TARGET.read_text(encoding="utf-8") == routes_doc.render(), (
        "run: PYTHONPATH=. python tests/catalogue/routes_doc.py"
    )


# No 'endpoints', 'get', 'search' and the like: a fixed segment rightly beats a placeholder.
segment = st.text("abcxyz019_.:@é-", min_size=3, max_size=9).filter(
    lambda s: s not in ("get", "...")
)


@st.composite
def concrete(draw: st.DrawFn) -> tuple[Route, str]:
    route = draw(st.sampled_from(ROUTES))

    def fill(hole: re.Match[str]) -> str:
        segments = draw(st.lists(segment, min_size=1, max_size=3 if hole[2] else 1))
        return "/".join(segments)

    prefix = draw(st.sampled_from(route.prefixes))
    return route, prefix + HOLE.sub(fill, route.path)


@settings(max_examples=300, deadline=None)
@given(concrete())
def test_a_concrete_path_matches_its_own_row_only(case: tuple[Route, str]) -> None:
    route, path = case
    assert fitting(route.method, path) == [route]


MATCHER = Matcher(ROUTES)


@settings(max_examples=300, deadline=None)
@given(concrete())
def test_the_gateways_matcher_agrees_with_the_naive_one(case: tuple[Route, str]) -> None:
    route, path = case
    found = MATCHER.match(route.method, path.replace("é", "%C3%A9"))
    assert found is not None
    assert found.route is route
    for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"} - {
        r.method for r, pattern in MATCHERS if pattern.fullmatch(path)
    }:
        assert MATCHER.match(other, path.replace("é", "%C3%A9")) is None
