"""Comparing the catalogue with an MLflow: from a list of routes, and from probes."""

from __future__ import annotations

import re

import pytest
from live_routes import live_routes

from gateway.routes.compare import (
    UNKNOWN_PATH,
    Answer,
    Difference,
    Probe,
    compare,
    from_openapi,
    learn,
    probes,
)
from gateway.routes.schema import MLFLOW_VERSION

HTML = "text/html; charset=utf-8"
FASTAPI_ONLY = (
    "/v1/traces",
    "/gateway/",
    "/ajax-api/3.0/jobs",
    "/ajax-api/3.0/mlflow/assistant",
    "/api/3.0/mlflow/mcp-servers",
    "/ajax-api/3.0/mlflow/mcp-servers",
)


class FakeMlflow:
    """Answers probes as MLflow 3.17.2 did: OPTIONS by Flask alone, errors of FastAPI as JSON."""

    def __init__(self, routes: frozenset[tuple[str, str]], prefix: str = "") -> None:
        self.prefix = prefix
        self.routes = [
            (method, re.compile(prefix + re.sub(r"\\?\{\w+(:path)?\}", self._hole, template)))
            for method, template in routes
        ]
        self.flask = [
            row for row, (_, t) in zip(self.routes, routes, strict=True) if not self._fast(t)
        ]

    @staticmethod
    def _hole(hole: re.Match[str]) -> str:
        return ".+" if hole[1] else "[^/]+"

    @staticmethod
    def _fast(template: str) -> bool:
        return template.startswith(FASTAPI_ONLY)

    def answer(self, probe: Probe) -> Answer:
        table = self.flask if probe.method == "OPTIONS" else self.routes
        methods = [m for m, pattern in table if pattern.fullmatch(probe.path)]
        if probe.method == "OPTIONS" and methods:
            return Answer(204, ", ".join([*methods, "OPTIONS", "HEAD"]))
        if probe.method in methods:
            return Answer(404, None, "application/json")
        return Answer(404, None, HTML)

    def answers(self) -> dict[Probe, Answer]:
        return {probe: self.answer(probe) for probe in probes(static_prefix=self.prefix)}


def test_the_installed_mlflow_differs_in_nothing() -> None:
    found = compare(live_routes(), MLFLOW_VERSION)
    assert found == Difference()
    assert found.same
    assert found.lines() == []


@pytest.mark.parametrize("prefix", ["", "/mlflow"])
def test_probes_of_the_same_mlflow_differ_in_nothing(prefix: str) -> None:
    fake = FakeMlflow(live_routes(), prefix)
    assert learn(fake.answers(), f"{MLFLOW_VERSION}\n", static_prefix=prefix) == Difference()


def test_new_and_missing_routes_are_told_with_the_version() -> None:
    live = live_routes() - {("GET", "/get-artifact")} | {
        ("POST", "/api/4.0/mlflow/runs/steal"),
        ("PATCH", "/api/2.0/mlflow/traces/<request_id>/owner"),
        ("GET", "/api/3.0/mlflow/traces/everything"),
        ("HEAD", "/get-artifact"),
    }
    found = compare(live, "3.18.0")
    assert found.version == "3.18.0"
    assert set(found.unknown) == {
        ("POST", "/api/4.0/mlflow/runs/steal"),
        ("PATCH", "/api/2.0/mlflow/traces/<request_id>/owner"),
        ("GET", "/api/3.0/mlflow/traces/everything"),
    }
    assert found.gone == (("GET", "/get-artifact"),)
    lines = found.lines()
    assert "3.18.0" in lines[0]
    assert "not in the catalogue, so refused: POST /api/4.0/mlflow/runs/steal" in lines
    assert "not served by this MLflow: GET /get-artifact" in lines


def test_flask_spelling_of_placeholders_is_the_same_route() -> None:
    flask = {
        (method, re.sub(r"\{(\w+):path\}", r"<path:\1>", re.sub(r"\{(\w+)\}", r"<\1>", template)))
        for method, template in live_routes()
    }
    assert compare(flask).same


def test_probes_find_a_missing_path_a_new_method_and_a_missing_router() -> None:
    live = (
        live_routes()
        - {("GET", "/get-artifact")}
        - {(m, t) for m, t in live_routes() if t.startswith("/ajax-api/3.0/jobs/")}
    )
    live |= {("PUT", "/api/2.0/mlflow/runs/create")}
    found = learn(FakeMlflow(live).answers(), "3.10.0")
    assert found.version == "3.10.0"
    assert found.unknown == (("PUT", "/api/2.0/mlflow/runs/create"),)
    assert ("GET", "/get-artifact") in found.gone
    assert {p for _, p in found.gone if p != "/get-artifact"} == {
        "/ajax-api/3.0/jobs/",
        "/ajax-api/3.0/jobs/search",
        "/ajax-api/3.0/jobs/{job_id}",
        "/ajax-api/3.0/jobs/cancel/{job_id}",
    }


def test_a_path_that_lost_one_method_is_told() -> None:
    live = live_routes() - {("DELETE", "/api/2.0/mlflow/logged-models/{model_id}")}
    found = learn(FakeMlflow(live).answers())
    assert found.gone == (("DELETE", "/api/2.0/mlflow/logged-models/{model_id}"),)


@pytest.mark.parametrize(
    "control",
    [
        {"/health": Answer(404, None, HTML)},
        {UNKNOWN_PATH: Answer(200)},
        {UNKNOWN_PATH: Answer(401)},
    ],
)
def test_a_server_that_does_not_behave_like_mlflow_is_a_doubt(control: dict[str, Answer]) -> None:
    answers = FakeMlflow(live_routes()).answers()
    answers.update({Probe("OPTIONS", path): answer for path, answer in control.items()})
    found = learn(answers)
    assert found.doubt
    assert not found.gone
    assert not found.same


def test_lost_probes_are_not_missing_endpoints() -> None:
    answers = FakeMlflow(live_routes()).answers()
    controls = {p: a for p, a in answers.items() if p.path in ("/health", UNKNOWN_PATH)}
    assert learn(controls).same
    broken = {p: Answer(503) if p not in controls else a for p, a in answers.items()}
    assert learn(broken).same


def test_a_404_without_its_content_type_does_not_make_a_router_missing() -> None:
    answers = FakeMlflow(live_routes()).answers()
    bare = {p: Answer(a.status, a.allow) for p, a in answers.items()}
    assert learn(bare).same


def test_probes_change_nothing_and_run_no_handler() -> None:
    others = [p for p in probes() if p.method != "OPTIONS"]
    assert {p.method for p in others} == {"GET", "POST"}
    # The experiment header is missing there, and FastAPI refuses before the handler runs.
    assert [p.path for p in others if p.method == "POST"] == ["/v1/traces"]
    assert len(set(probes())) == len(probes())
    assert not any("{" in p.path or "<" in p.path for p in probes())


def test_an_openapi_document_is_a_list_of_routes() -> None:
    document = {"paths": {"/v1/traces": {"post": {}, "parameters": []}, "/a/{b}": {"get": {}}}}
    assert from_openapi(document) == [("POST", "/v1/traces"), ("GET", "/a/{b}")]
