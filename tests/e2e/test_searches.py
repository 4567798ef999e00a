"""Searches against stock MLflow: full pages of exactly what the caller may read, in order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.world import (
    API,
    acl_path,
    name_of,
    new_experiment,
    new_model,
    new_run,
    ok,
    refused,
    share,
)
from tests.stack import Stack, make_tokens

pytestmark = pytest.mark.e2e

EXPERIMENTS, MODELS = 60, 40


@dataclass(frozen=True)
class Crowd:
    """Many experiments and models of several people; ``mine`` are erin's."""

    stack: Stack
    prefix: str
    mine: frozenset[str]
    experiments: tuple[str, ...]
    models: tuple[str, ...]
    my_models: frozenset[str]
    versions: frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def crowd(stack: Stack) -> Crowd:
    """60 experiments and 40 models; a third, in no pattern, are erin's or shared with her."""
    prefix = name_of("crowd")
    erin = name_of("erin")
    tokens = make_tokens(f"sqlite:///{stack.folder / 'acl.db'}", {erin: (f"{prefix}-team",)})
    stack = replace(stack, tokens={**stack.tokens, "erin": tokens[erin]})
    choose = random.Random(7)
    mine, experiments = set(), []
    for number in range(EXPERIMENTS):
        owner = choose.choice(("alice", "carol", "erin"))
        name = f"{prefix}-{choose.randrange(10**6):06d}"
        made = new_experiment(stack, owner, name)
        experiments.append(made)
        if owner == "erin":
            mine.add(made)
        elif number % 9 == 0:
            ok(share(stack, owner, "experiment", made, f"user:{erin}", "reader"))
            mine.add(made)
    run = new_run(stack, "dave", experiments[0])
    models, my_models, versions = [], set(), set()
    for number in range(MODELS):
        owner = choose.choice(("alice", "carol", "erin"))
        name = f"{prefix}-{choose.randrange(10**6):06d}"
        new_model(stack, owner, name)
        models.append(name)
        for version in range(1 + number % 3):
            # Made past the gateway: what a version's source may be is another test's matter.
            body = {"name": name, "source": f"runs:/{run}/model", "run_id": run}
            ok(stack.direct("POST", f"{API}/model-versions/create", body))
            if owner == "erin":
                versions.add((name, str(version + 1)))
        if owner == "erin":
            my_models.add(name)
    return Crowd(
        stack,
        prefix,
        frozenset(mine),
        tuple(experiments),
        tuple(models),
        frozenset(my_models),
        frozenset(versions),
    )


Fetch = Callable[[dict[str, Any]], Any]


def _pages(fetch: Fetch, rows: str, **fields: Any) -> list[list[Any]]:
    """Every page of a search, by its tokens."""
    pages, token = [], None
    while True:
        asked = dict(fields) if token is None else {**fields, "page_token": token}
        answer = ok(fetch(asked))
        pages.append(answer.get(rows, []))
        token = answer.get("next_page_token")
        if not token:
            return pages
        assert len(pages) < 200


def _post(stack: Stack, who: str | None, path: str) -> Fetch:
    if who is None:
        return lambda fields: stack.direct("POST", f"{API}/{path}", fields)
    return lambda fields: stack.call(who, "POST", f"{API}/{path}", fields)


def _get(stack: Stack, who: str | None, path: str) -> Fetch:
    def fetch(fields: dict[str, Any]) -> Any:
        target = f"{API}/{path}?{urlencode(fields, doseq=True)}"
        return stack.direct("GET", target) if who is None else stack.call(who, "GET", target)

    return fetch


def _full(pages: list[list[Any]], size: int) -> bool:
    return all(len(page) == size for page in pages[:-1]) and (len(pages) == 1 or bool(pages[-1]))


@pytest.mark.parametrize("method", [_get, _post], ids=["GET", "POST"])
@pytest.mark.parametrize(
    ("size", "order"),
    [
        (1, ["name DESC"]),
        (7, ["name ASC"]),
        (7, ["creation_time ASC"]),
        (7, None),
        (1000, ["name DESC"]),
        (1000, None),
    ],
)
def test_experiments_page_by_page_equal_brute_force(
    crowd: Crowd, method: Callable[..., Fetch], size: int, order: list[str] | None
) -> None:
    fields: dict[str, Any] = {"filter": f"name LIKE '{crowd.prefix}%'"}
    if order:
        fields["order_by"] = order
    path = "experiments/search"
    everything = _pages(method(crowd.stack, None, path), "experiments", **fields, max_results=1000)
    expected = [e for page in everything for e in page if e["experiment_id"] in crowd.mine]
    pages = _pages(method(crowd.stack, "erin", path), "experiments", **fields, max_results=size)
    assert [e for page in pages for e in page] == expected
    assert {e["experiment_id"] for e in expected} == crowd.mine
    assert _full(pages, size)


def test_without_a_filter_exactly_what_is_hers_is_found(crowd: Crowd) -> None:
    pages = _pages(_post(crowd.stack, "erin", "experiments/search"), "experiments", max_results=5)
    found = [e["experiment_id"] for page in pages for e in page]
    assert len(found) == len(set(found))
    public = _public(crowd, "experiment", set(found) - crowd.mine)
    assert set(found) == crowd.mine | public


def _public(crowd: Crowd, kind: str, names: set[str]) -> set[str]:
    """Those that other tests shared with everyone who is signed in."""
    shown = {
        name: ok(crowd.stack.call("dave", "GET", acl_path(kind, name)))["grants"] for name in names
    }
    return {n for n, grants in shown.items() if any(g["principal"] == "everyone" for g in grants)}


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize("order", [["name DESC"], ["last_updated_timestamp ASC"], None])
def test_models_page_by_page_equal_brute_force(
    crowd: Crowd, size: int, order: list[str] | None
) -> None:
    fields: dict[str, Any] = {"filter": f"name LIKE '{crowd.prefix}%'"}
    if order:
        fields["order_by"] = order
    path, rows = "registered-models/search", "registered_models"
    everything = _pages(_get(crowd.stack, None, path), rows, **fields, max_results=1000)
    expected = [m for page in everything for m in page if m["name"] in crowd.my_models]
    pages = _pages(_get(crowd.stack, "erin", path), rows, **fields, max_results=size)
    assert [m for page in pages for m in page] == expected
    assert {m["name"] for m in expected} == crowd.my_models
    assert _full(pages, size)


@pytest.mark.parametrize("size", [4, 1000])
def test_versions_page_by_page_equal_brute_force(crowd: Crowd, size: int) -> None:
    fields: dict[str, Any] = {
        "filter": f"name LIKE '{crowd.prefix}%'",
        "order_by": ["name ASC", "version_number DESC"],
    }
    path, rows = "model-versions/search", "model_versions"
    everything = _pages(_get(crowd.stack, None, path), rows, **fields, max_results=1000)
    expected = [v for page in everything for v in page if v["name"] in crowd.my_models]
    pages = _pages(_get(crowd.stack, "erin", path), rows, **fields, max_results=size)
    assert [v for page in pages for v in page] == expected
    assert {(v["name"], v["version"]) for v in expected} == crowd.versions
    assert _full(pages, size)


def test_an_admin_sees_all_and_pages_as_mlflow_does(crowd: Crowd) -> None:
    fields = {"filter": f"name LIKE '{crowd.prefix}%'", "max_results": 25}
    direct = _pages(_post(crowd.stack, None, "experiments/search"), "experiments", **fields)
    assert _pages(_post(crowd.stack, "dave", "experiments/search"), "experiments", **fields) == (
        direct
    )
    assert sum(map(len, direct)) == EXPERIMENTS


def test_a_page_token_opens_only_where_it_was_made(crowd: Crowd) -> None:
    search = _post(crowd.stack, "erin", "experiments/search")
    fields = {"filter": f"name LIKE '{crowd.prefix}%'", "max_results": 2}
    token = ok(search(fields))["next_page_token"]
    mlflows = ok(_post(crowd.stack, None, "experiments/search")(fields))["next_page_token"]
    for fetch, asked in (
        (_post(crowd.stack, "carol", "experiments/search"), {**fields, "page_token": token}),
        (search, {**fields, "filter": "name LIKE '%'", "page_token": token}),
        (search, {**fields, "order_by": ["name ASC"], "page_token": token}),
        (search, {**fields, "page_token": mlflows}),
        (search, {**fields, "page_token": token[:-2] + ("AA" if token[-2:] != "AA" else "BB")}),
        (search, {**fields, "page_token": "garbage"}),
        (
            _get(crowd.stack, "erin", "registered-models/search"),
            {"filter": fields["filter"], "page_token": token},
        ),
    ):
        said = refused(fetch(asked), 400, "INVALID_PARAMETER_VALUE")
        assert "page_token" in said
    assert search({**fields, "max_results": 5, "page_token": token}).status == 200


def test_a_page_token_works_on_the_other_gateway(crowd: Crowd, second: Stack) -> None:
    fields: dict[str, Any] = {"filter": f"name LIKE '{crowd.prefix}%'", "max_results": 3}
    first = ok(_post(crowd.stack, "erin", "experiments/search")(fields))
    other = replace(crowd.stack, gateway=second.gateway)
    fields["page_token"] = first["next_page_token"]
    here, there = (
        ok(_post(one, "erin", "experiments/search")(fields)) for one in (crowd.stack, other)
    )
    assert here["experiments"] == there["experiments"]
    assert len(there["experiments"]) == 3


def test_a_search_for_what_is_not_hers_finds_nothing(crowd: Crowd) -> None:
    hidden = next(e for e in crowd.experiments if e not in crowd.mine)
    shown = ok(crowd.stack.direct("GET", f"{API}/experiments/get?experiment_id={hidden}"))
    name = shown["experiment"]["name"]
    answer = ok(
        _post(crowd.stack, "erin", "experiments/search")(
            {"filter": f"name = '{name}'", "max_results": 10}
        )
    )
    assert answer == {}


def test_runs_of_experiments_that_are_not_hers_are_left_out(crowd: Crowd) -> None:
    hidden = next(e for e in crowd.experiments if e not in crowd.mine)
    seen = min(crowd.mine, key=int)
    run = new_run(crowd.stack, "dave", seen)
    new_run(crowd.stack, "dave", hidden)
    search = _post(crowd.stack, "erin", "runs/search")
    both = ok(search({"experiment_ids": [hidden, seen], "max_results": 10}))
    assert run in {r["info"]["run_id"] for r in both["runs"]}
    assert {r["info"]["experiment_id"] for r in both["runs"]} == {seen}
    assert ok(search({"experiment_ids": [hidden], "max_results": 10})) == {}


def test_prompts_are_trimmed_like_models(crowd: Crowd) -> None:
    made = {}
    for who in ("alice", "erin"):
        made[who] = name_of("prompt")
        tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
        body = {"name": made[who], "tags": tags}
        ok(crowd.stack.call(who, "POST", f"{API}/registered-models/create", body))
    prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"
    pages = _pages(
        _get(crowd.stack, "erin", "registered-models/search"),
        "registered_models",
        filter=prompts,
        max_results=2,
    )
    found = {m["name"] for page in pages for m in page}
    assert made["erin"] in found
    assert made["alice"] not in found


def test_scorers_are_listed_where_the_caller_may_read(crowd: Crowd) -> None:
    hidden = next(e for e in crowd.experiments if e not in crowd.mine)
    seen = min(crowd.mine, key=int)
    base = "/api/3.0/mlflow/scorers"
    for experiment in (hidden, seen):
        body = {
            "experiment_id": experiment,
            "name": f"scorer-{experiment}",
            "serialized_scorer": '{"name": "s"}',
        }
        ok(crowd.stack.call("dave", "POST", f"{base}/register", body))
    call = crowd.stack.call
    listed = ok(call("erin", "GET", f"{base}/list?experiment_id={seen}"))["scorers"]
    assert [s["scorer_name"] for s in listed] == [f"scorer-{seen}"]
    refused(call("erin", "GET", f"{base}/list?experiment_id={hidden}"))
    refused(call("erin", "GET", f"{base}/list?experiment_ids={seen}&experiment_ids={hidden}"))
    # With neither MLflow lists those of every experiment.
    refused(call("erin", "GET", f"{base}/list"), 400, "INVALID_PARAMETER_VALUE")
    both = f"{base}/list?experiment_ids={seen}&experiment_ids={hidden}"
    listed = ok(call("dave", "GET", both))["scorers"]
    assert {s["scorer_name"] for s in listed} == {f"scorer-{seen}", f"scorer-{hidden}"}


QUERY = """
query Q($id: String!) {
  mlflowGetRun(input: {runId: $id}) {
    run { info { runId } modelVersions { NAMED version } }
  }
}
"""


@pytest.mark.parametrize("named", ["name", "", "title: name"])
def test_graphql_shows_only_versions_of_models_that_may_be_read(crowd: Crowd, named: str) -> None:
    """The run is erin's to read; of the two models made from it only one is."""
    stack, seen = crowd.stack, min(crowd.mine, key=int)
    run = new_run(stack, "dave", seen)
    hidden, mine = new_model(stack, "alice"), new_model(stack, "erin")
    for name in (hidden, mine):
        body = {"name": name, "source": f"runs:/{run}/model", "run_id": run}
        ok(stack.direct("POST", f"{API}/model-versions/create", body))

    def versions(who: str, run_id: str) -> Any:
        body = {"query": QUERY.replace("NAMED", named), "variables": {"id": run_id}}
        return stack.call(who, "POST", "/graphql", body)

    shown = ok(versions("erin", run))["data"]["mlflowGetRun"]["run"]
    assert shown["info"]["runId"] == run
    expected = {"version": "1"}
    if named:
        expected[named.partition(":")[0]] = mine
    assert shown["modelVersions"] == [expected]
    both = ok(versions("dave", run))["data"]["mlflowGetRun"]["run"]["modelVersions"]
    assert len(both) == 2
    hidden_experiment = next(e for e in crowd.experiments if e not in crowd.mine)
    refused(versions("erin", new_run(stack, "dave", hidden_experiment)))
