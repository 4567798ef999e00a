"""One request, two readings: what MLflow makes of odd bodies and queries."""

from __future__ import annotations

import json

from tests.attacks.attempt import BAD, NOTHING, UNKNOWN, UNPARSED, Attempt, Expect, get, post, send

A = "/api/2.0/mlflow"
_TAG = {"key": "k", "value": "@NOW@"}
_SET_TAG = f"{A}/runs/set-tag"
_GET_E = f"{A}/experiments/get"

ROWS = (
    Attempt(
        "body-run_uuid-and-runId",
        "MLflow acts on runId while a check that reads run_id or run_uuid sees the caller's run",
        post(_SET_TAG, {"run_uuid": "@RC@", "runId": "@R@", **_TAG}),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-run_id-and-runId",
        "two spellings of one field",
        post(_SET_TAG, {"run_id": "@RC@", "runId": "@R@", **_TAG}),
        BAD,
    ),
    Attempt(
        "body-run_id-and-run_uuid-differ",
        "the check reads one, MLflow the other",
        post(_SET_TAG, {"run_id": "@R@", "run_uuid": "@RC@", **_TAG}),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-run_id-null-run_uuid-foreign",
        "a null run_id passes the check, MLflow falls back to run_uuid",
        post(_SET_TAG, {"run_id": None, "run_uuid": "@R@", **_TAG}),
        direct="changes",
    ),
    Attempt(
        "body-stops-at-parse-error",
        "MLflow swallows a type error and acts on the half that it had parsed",
        post(
            f"{A}/runs/log-metric",
            '{"run_uuid":"@R@","key":"mm","value":1.0,"timestamp":1.5,"run_id":"@RC@"}',
        ),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-value-nan-text",
        "the same with a number that is text",
        post(
            f"{A}/runs/log-metric",
            '{"run_uuid":"@R@","key":"mm","value":"nan","timestamp":1,"run_id":"@RC@"}',
        ),
        BAD,
    ),
    Attempt(
        "body-duplicate-key",
        "json takes the last of two equal keys; a streaming check may take the first",
        post(
            _SET_TAG,
            '{"run_id":"@RC@","key":"k","value":"@NOW@","run_id":"@R@"}',
        ),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-duplicate-key-nested",
        "the same two levels down",
        post(
            "/api/3.0/mlflow/traces/search",
            '{"locations":[{"mlflow_experiment":{"experiment_id":"@EC@","experiment_id":"@E@"}}]}',
        ),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-escaped-key",
        "the field's name is spelled with \\u005f, which a text search for it misses",
        post(f"{A}/runs/search", '{"experiment\\u005fids":["@E@"]}'),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "body-escaped-duplicate",
        "one key plain, one escaped: the same key twice",
        post(_SET_TAG, '{"run_id":"@RC@","key":"k","value":"@NOW@","run\\u005fid":"@R@"}'),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-camel-list",
        "MLflow takes experimentIds where nothing checks it",
        post(f"{A}/runs/search", {"experimentIds": ["@E@"]}),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-camel-nested",
        "one location in each spelling; a check that knows one spelling sees the caller's",
        post(
            "/api/3.0/mlflow/traces/search",
            {
                "locations": [
                    {"mlflow_experiment": {"experiment_id": "@EC@"}},
                    {"mlflowExperiment": {"experimentId": "@E@"}},
                ]
            },
        ),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-camel-create-run",
        "runs/create does not require experiment_id, so experimentId goes unseen",
        post(f"{A}/runs/create", {"experimentId": "@E@", "run_name": "x"}),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-mixed-list-types",
        "a number in the list ends MLflow's parsing with the foreign id already in",
        post(f"{A}/runs/search", '{"experiment_ids":["@E@",1]}'),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-utf16",
        "MLflow decodes UTF-16; a check of bytes sees nothing",
        post(
            f"{A}/runs/search",
            {"experiment_ids": ["@E@"]},
            encoding="utf-16",
        ),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-json-in-a-string",
        "MLflow parses a JSON string that holds JSON once more",
        post(f"{A}/runs/search", json.dumps('{"experiment_ids":["@E@"]}')),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-bom",
        "a byte order mark before the object makes a strict parser give up and pass it on",
        post(f"{A}/runs/search", '\ufeff{"experiment_ids":["@E@"]}'),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-gzip",
        "a compressed body is not read by a check; another MLflow may inflate it",
        post(_SET_TAG, {"run_id": "@R@", **_TAG}, Content_Encoding="gzip"),
        BAD,
        direct="changes",
    ),
    Attempt(
        "body-as-form",
        "a form type keeps JSON checks away",
        post(
            _SET_TAG,
            {"run_id": "@R@", **_TAG},
            Content_Type="application/x-www-form-urlencoded",
        ),
        BAD,
    ),
    Attempt(
        "body-array",
        "an array parses to nothing, and nothing lists everything",
        post("/api/3.0/mlflow/datasets/search", '[{"experiment_ids":["@E@"]}]'),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "body-deep",
        "a deep body makes the parser of the check fail",
        post(_SET_TAG, '{"run_id":"@R@","key":"k","value":' + "[" * 3000 + "]" * 3000 + "}"),
        BAD,
    ),
    Attempt(
        "body-lone-surrogate",
        "half a surrogate pair cannot be written again: the original might be passed on",
        post(_SET_TAG, '{"run_id":"@RC@","key":"k","value":"\\ud800"}'),
        BAD,
    ),
    Attempt(
        "get-with-body",
        "MLflow reads the body of a GET that has no query",
        get(_GET_E, {"experiment_id": "@E@"}),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "get-empty-query-with-body",
        "a bare '?' counts as no query",
        get(f"{_GET_E}?", {"experiment_id": "@E@"}),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "head-with-body",
        "HEAD reads the body and never the query",
        send("HEAD", f"{_GET_E}?experiment_id=@EC@", {"experiment_id": "@E@"}),
        Expect(404),
    ),
    Attempt(
        "query-given-twice",
        "the check takes the last, MLflow the first",
        get(f"{_GET_E}?experiment_id=@E@&experiment_id=@EC@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "query-encoded-name",
        "the name of the field is percent-encoded",
        get(f"{_GET_E}?experiment%5Fid=@E@"),
        direct="leaks",
        twin={"@E@": "@NO_E@"},
    ),
    Attempt(
        "query-encoded-name-beside-plain",
        "the same field plain and encoded",
        get(f"{_GET_E}?experiment%5Fid=@E@&experiment_id=@EC@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "id-leading-zero",
        "int() reads 0N as N; a check of text does not know it",
        get(f"{_GET_E}?experiment_id=0@E@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "id-leading-blank",
        "int() strips blanks",
        get(f"{_GET_E}?experiment_id=%20@E@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "id-newline",
        "a regular expression with $ lets a last newline pass",
        get(f"{_GET_E}?experiment_id=@E@%0A"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "id-plus-sign",
        "int() takes a sign",
        get(f"{_GET_E}?experiment_id=%2B@E@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "id-in-body-arabic-digit",
        "int() takes digits of every script",
        post(f"{A}/experiments/update", {"experiment_id": "\u0661", "new_name": "taken-over"}),
        BAD,
    ),
    Attempt(
        "delete-with-query",
        "a check reads the query, MLflow the body",
        send("DELETE", f"{A}/registered-models/delete?name=@MC@", {"name": "@M@"}),
    ),
    Attempt(
        "post-with-query",
        "the check reads the query, MLflow the body",
        post(f"{_SET_TAG}?run_id=@RC@", {"run_id": "@R@", **_TAG}),
        direct="changes",
    ),
    Attempt(
        "path-and-body-disagree",
        "a check reads the body's id, MLflow the path's",
        send(
            "PATCH",
            f"{A}/logged-models/@L@",
            {"model_id": "@LC@", "status": "LOGGED_MODEL_UPLOAD_FAILED"},
        ),
        BAD,
        direct="changes",
    ),
    Attempt(
        "method-lower-case",
        "MLflow serves 'get'; a table of upper-case methods does not know it",
        send("get", f"{_GET_E}?experiment_id=@E@"),
        UNPARSED,
    ),
    Attempt(
        "method-override-header",
        "a framework may take the method from a header",
        post(f"{_GET_E}?experiment_id=@E@", {}, X_HTTP_Method_Override="GET"),
        UNKNOWN,
    ),
    Attempt(
        "options-tells-routes",
        "OPTIONS is answered by Flask without any check",
        send("OPTIONS", f"{_GET_E}?experiment_id=@E@"),
        UNKNOWN,
    ),
)
