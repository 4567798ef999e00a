"""GraphQL: one endpoint, many resources; names, aliases, fragments and variables hide them."""

from __future__ import annotations

from typing import Any

from tests.attacks.attempt import BAD, DENIED, NOTHING, Attempt, Expect, Request, get, post

_E = 'mlflowGetExperiment(input: {experimentId: "%s"}) { experiment { name tags { value } } }'
_R = "{ run { info { runName } data { params { value } } } }"


def _ask(query: str, **more: Any) -> Request:
    return post("/graphql", {"query": query, **more})


def _row(name: str, why: str, request: Request, expect: Expect = DENIED, **more: Any) -> Attempt:
    more.setdefault("direct", "leaks")
    return Attempt(f"graphql-{name}", why, request, expect, **more)


ROWS = (
    _row(
        "experiment",
        "a route that is neither /api nor /ajax-api (CVE-2025-14297)",
        _ask("{ " + _E % "@E@" + " }"),
        twin={"@E@": "@NO_E@"},
    ),
    _row(
        "run",
        "by run",
        _ask('{ mlflowGetRun(input: {runId: "@R@"}) ' + _R + " }"),
        twin={"@R@": "@NO_R@"},
    ),
    _row(
        "run-by-uuid",
        "the deprecated name of the field",
        _ask('{ mlflowGetRun(input: {runUuid: "@R@"}) ' + _R + " }"),
        twin={"@R@": "@NO_R@"},
    ),
    _row(
        "run-both-names",
        "runId beats runUuid; a check may read the other",
        _ask('{ mlflowGetRun(input: {runUuid: "@RC@", runId: "@R@"}) ' + _R + " }"),
        BAD,
    ),
    _row(
        "aliases",
        "the first field is the caller's, the second is not",
        _ask("{ a: " + _E % "@EC@" + " b: " + _E % "@E@" + " }"),
        twin={"@E@": "@NO_E@"},
    ),
    _row(
        "fragment",
        "the field is in a fragment at the end of the document",
        _ask("query { ...F } fragment F on Query { " + _E % "@E@" + " }"),
    ),
    _row(
        "fragment-in-fragment",
        "fragments nest",
        _ask(
            "query { ...F } fragment F on Query { ...G } fragment G on Query { ... on Query { "
            + _E % "@E@"
            + " } }"
        ),
    ),
    _row(
        "variable",
        "the id is not in the document",
        _ask(
            "query Q($i: MlflowGetExperimentInput) { mlflowGetExperiment(input: $i) "
            "{ experiment { name tags { value } } } }",
            variables={"i": {"experimentId": "@E@"}},
        ),
    ),
    _row(
        "variable-default",
        "the id is a default that the variables do not show",
        _ask(
            'query Q($i: String = "@E@") { mlflowGetExperiment(input: {experimentId: $i}) '
            "{ experiment { name tags { value } } } }"
        ),
    ),
    _row(
        "escaped-string",
        "the id is written with unicode escapes",
        _ask(
            '{ mlflowGetExperiment(input: {experimentId: "\\u00@EHEX@"}) '
            "{ experiment { name tags { value } } } }"
        ),
    ),
    _row(
        "two-operations",
        "operationName picks the one that was not looked at",
        _ask(
            "query A { " + _E % "@EC@" + " } query B { " + _E % "@E@" + " }",
            operationName="B",
        ),
        BAD,
    ),
    _row(
        "operation-name-of-another",
        "operationName names an operation that is not there",
        _ask("query A { " + _E % "@E@" + " }", operationName="Z"),
        BAD,
        direct="",
    ),
    _row(
        "include-directive",
        "a directive decides what runs",
        _ask(
            "query Q($y: Boolean = true) { "
            + _E % "@EC@"
            + ' x: mlflowGetExperiment(input: {experimentId: "@E@"}) @include(if: $y) '
            "{ experiment { name tags { value } } } }"
        ),
        direct="",
    ),
    _row(
        "search-runs",
        "one readable experiment in the list opens the others",
        _ask(
            '{ mlflowSearchRuns(input: {experimentIds: ["@EC@", "@E@"]}) '
            "{ runs { info { runName } } } }"
        ),
        twin={"@E@": "@NO_E@"},
    ),
    _row(
        "mutation-search-runs",
        "a mutation that reads",
        _ask(
            'mutation { mlflowSearchRuns(input: {experimentIds: ["@E@"]}) '
            "{ runs { info { runName } } } }"
        ),
    ),
    _row(
        "mutation-search-datasets",
        "another one",
        _ask(
            'mutation { mlflowSearchDatasets(input: {experimentIds: ["@E@"]}) '
            "{ datasetSummaries { name } } }"
        ),
        direct="",
    ),
    _row(
        "search-versions",
        "CVE-2026-2734: lists every model version",
        _ask("{ mlflowSearchModelVersions(input: {}) { modelVersions { name description } } }"),
        NOTHING,
    ),
    _row(
        "search-versions-without-name",
        "the name that a filter needs is not asked for",
        _ask("{ mlflowSearchModelVersions(input: {}) { modelVersions { description source } } }"),
        NOTHING,
    ),
    _row(
        "search-versions-alias-name",
        "another field poses as the name",
        _ask(
            "{ mlflowSearchModelVersions(input: {}) "
            "{ modelVersions { name: description real: name } } }"
        ),
        NOTHING,
    ),
    _row(
        "search-versions-page",
        "MLflow's token of a next page says that more versions match the filter, hidden ones too",
        _ask(
            "{ mlflowSearchModelVersions(input: {maxResults: 1, "
            "filter: \"tags.secret LIKE '@SECRET@%'\"}) { modelVersions { name } nextPageToken } }"
        ),
        BAD,
        direct="",
    ),
    _row(
        "search-versions-page-token",
        "an offset of one's own choice walks over hidden versions",
        _ask(
            '{ mlflowSearchModelVersions(input: {pageToken: "eyJvZmZzZXQiOiAxfQ=="}) '
            "{ modelVersions { name } nextPageToken } }"
        ),
        BAD,
        direct="",
    ),
    _row(
        "nested-model-versions",
        "GHSA-f253: a readable run tells of models that are not",
        _ask(
            '{ mlflowGetRun(input: {runId: "@RX@"}) '
            "{ run { modelVersions { name description } } } }"
        ),
        NOTHING,
    ),
    _row(
        "list-artifacts",
        "by run",
        _ask('{ mlflowListArtifacts(input: {runUuid: "@R@", path: ""}) { rootUri } }'),
        twin={"@R@": "@NO_R@"},
        direct="",
    ),
    _row(
        "list-artifacts-climbs",
        "one's own run, and .. to others",
        _ask('{ mlflowListArtifacts(input: {runId: "@RC@", path: "../../@E@"}) { rootUri } }'),
        BAD,
        direct="",
    ),
    _row(
        "metric-history",
        "the second of two runs",
        _ask(
            '{ mlflowGetMetricHistoryBulkInterval(input: {runIds: ["@RC@", "@R@"], '
            'metricKey: "loss-@SECRET@", maxResults: 5}) { metrics { runId key value } } }'
        ),
        twin={"@R@": "@NO_R@"},
        direct="",
    ),
    _row(
        "introspection",
        "the whole schema",
        _ask("{ __schema { types { name } } }"),
        BAD,
        direct="",
    ),
    _row(
        "get",
        "MLflow executes the body of a GET",
        get("/graphql", {"query": "{ " + _E % "@E@" + " }"}),
    ),
    _row(
        "batch",
        "CVE-2025-0453: an array of documents",
        post("/graphql", [{"query": "{ " + _E % "@E@" + " }"}]),
        BAD,
        direct="",
    ),
    _row(
        "duplicate-query-key",
        "the first document is harmless, the last one runs",
        post(
            "/graphql",
            '{"query":"{ __typename }","query":"{ mlflowGetExperiment(input: '
            '{experimentId: \\"@E@\\"}) { experiment { name tags { value } } } }"}',
        ),
        BAD,
    ),
    _row(
        "typed-as-graphql",
        "application/graphql carries the document bare",
        post("/graphql", "{ " + _E % "@E@" + " }", Content_Type="application/graphql"),
        BAD,
        direct="",
    ),
    _row(
        "id-blank",
        "int() strips blanks",
        _ask("{ " + _E % " @E@" + " }"),
        BAD,
    ),
    _row(
        "many-aliases",
        "thousands of fields in one document",
        _ask("{ " + " ".join(f"a{i}: {_E % '@EC@'}" for i in range(60)) + " }"),
        BAD,
        direct="",
    ),
)
