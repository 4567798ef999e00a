"""Ownership is in mlgate.* tags: every spelling of them, on everything that takes tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from tests.attacks.attempt import BAD, DENIED, Attempt, Expect, Request, new_trace, post, send

A = "/api/2.0/mlflow"
V3 = "/api/3.0/mlflow"
_OWNER = {"key": "mlgate.owner", "value": "user:bob"}
_WHY = "the tag from which a lost ACL is rebuilt"


def _spelling(name: str, key: str, who: str = "bob") -> Attempt:
    """bob is an editor of alice's experiment, so he may write its tags, but not this one."""
    body = {"experiment_id": "@E@", "key": key, "value": "user:bob"}
    request = post(f"{A}/experiments/set-experiment-tag", body, who)
    why = "a database that compares loosely takes it for mlgate.owner"
    return Attempt(f"tag-spelled-{name}", why, request, DENIED, sees=True)


def _on(name: str, request: Request, expect: Expect = DENIED) -> Attempt:
    return Attempt(f"tag-on-{name}", _WHY, request, expect, sees=True)


SPELLINGS = (
    _spelling("plain", "mlgate.owner"),
    _spelling("group", "mlgate.group"),
    _spelling("unknown", "mlgate.anything"),
    _spelling("upper", "MLGATE.OWNER"),
    _spelling("mixed", "mlGate.Owner"),
    _spelling("blank-first", " mlgate.owner"),
    _spelling("blank-last", "mlgate.owner "),
    _spelling("fullwidth", "\uff4d\uff4c\uff47\uff41\uff54\uff45.owner"),
    _spelling("accent", "mlg\u00e1te.owner"),
    _spelling("combining", "mlga\u0301te.owner"),
    _spelling("long-s-like", "mlgate\uff0eowner"),
    _spelling("zero-width", "mlgate\u200b.owner"),
    _spelling("soft-hyphen", "ml\u00adgate.owner"),
    _spelling("nul", "mlgate.owner\u0000"),
)

PLACES = (
    _on(
        "experiment-create",
        post(f"{A}/experiments/create", {"name": "@NOW@-@MARK@", "tags": [_OWNER]}),
    ),
    _on(
        "experiment-delete-tag",
        post(
            f"{A}/experiments/delete-experiment-tag",
            {"experiment_id": "@E@", "key": "mlgate.owner"},
            "bob",
        ),
    ),
    _on(
        "experiment-own-delete",
        post(
            f"{A}/experiments/delete-experiment-tag",
            {"experiment_id": "@EC@", "key": "mlgate.owner"},
        ),
    ),
    _on(
        "model-create",
        post(f"{A}/registered-models/create", {"name": "@NOW@-@MARK@", "tags": [_OWNER]}),
    ),
    _on(
        "model-set",
        post(f"{A}/registered-models/set-tag", {"name": "@M@", **_OWNER}, "bob"),
    ),
    _on(
        "model-delete-tag",
        send(
            "DELETE", f"{A}/registered-models/delete-tag", {"name": "@MC@", "key": "mlgate.owner"}
        ),
    ),
    _on(
        "version-create",
        post(
            f"{A}/model-versions/create",
            {"name": "@MC@", "source": "models:/@LC@", "tags": [_OWNER]},
        ),
    ),
    _on(
        "version-set",
        post(f"{A}/model-versions/set-tag", {"name": "@M@", "version": "1", **_OWNER}, "bob"),
    ),
    _on(
        "version-delete-tag",
        send(
            "DELETE",
            f"{A}/model-versions/delete-tag",
            {"name": "@MC@", "version": "1", "key": "mlgate.owner"},
        ),
    ),
    _on("run-create", post(f"{A}/runs/create", {"experiment_id": "@EC@", "tags": [_OWNER]})),
    _on("run-set", post(f"{A}/runs/set-tag", {"run_id": "@RC@", **_OWNER})),
    _on("run-batch", post(f"{A}/runs/log-batch", {"run_id": "@RC@", "tags": [_OWNER]})),
    _on(
        "run-batch-last-of-many",
        post(
            f"{A}/runs/log-batch",
            {
                "run_id": "@RC@",
                "tags": [{"key": f"k{i}", "value": ""} for i in range(99)] + [_OWNER],
            },
        ),
    ),
    _on("run-delete-tag", post(f"{A}/runs/delete-tag", {"run_id": "@RC@", "key": "mlgate.owner"})),
    _on(
        "run-promptlab",
        post(
            "/ajax-api/2.0/mlflow/runs/create-promptlab-run",
            {"experiment_id": "@EC@", "run_name": "x", "tags": [_OWNER]},
        ),
    ),
    _on(
        "dataset-input",
        post(
            f"{A}/runs/log-inputs",
            {
                "run_id": "@RC@",
                "datasets": [
                    {
                        "tags": [_OWNER],
                        "dataset": {"name": "d", "digest": "1", "source_type": "x", "source": "y"},
                    }
                ],
            },
        ),
    ),
    _on(
        "logged-model-create",
        post(f"{A}/logged-models", {"experiment_id": "@EC@", "name": "x", "tags": [_OWNER]}),
    ),
    _on(
        "logged-model-set",
        send("PATCH", f"{A}/logged-models/@LC@/tags", {"tags": [_OWNER]}),
    ),
    _on("logged-model-delete", send("DELETE", f"{A}/logged-models/@LC@/tags/mlgate.owner")),
    _on(
        "logged-model-delete-encoded",
        send("DELETE", f"{A}/logged-models/@LC@/tags/%4Dlgate%2Eowner"),
    ),
    _on("trace-set", send("PATCH", f"{V3}/traces/@TC@/tags", _OWNER)),
    _on("trace-set-v2", send("PATCH", f"{A}/traces/@TC@/tags", _OWNER)),
    _on(
        "trace-create",
        post(f"{V3}/traces", new_trace("tr-@NEW_HEX@", tags={"mlgate.owner": "user:bob"})),
    ),
    _on(
        "trace-create-v2",
        post(
            f"{A}/traces",
            {"experiment_id": "@EC@", "timestamp_ms": 1, "tags": [_OWNER]},
        ),
    ),
    _on("dataset-delete-tag", send("DELETE", f"{V3}/datasets/@DC@/tags/mlgate.owner")),
    _on(
        "prompt-job",
        post(
            f"{V3}/prompt-optimization/jobs",
            {
                "experiment_id": "@EC@",
                "source_prompt_uri": "models:/@MC@/1",
                "tags": [_OWNER],
            },
        ),
    ),
)


def _by_a_reader(name: str, key: str, **more: str) -> Attempt:
    """bob reads alice's model and may set tags of his own on it."""
    on = "model-versions" if "version" in more else "registered-models"
    body = {"name": "@M@", "key": key, "value": "changed by @NOW@", **more}
    why = "MLflow keeps it in a tag, and readers may set tags"
    request = post(f"{A}/{on}/set-tag", body, "bob")
    return Attempt(f"tag-of-mlflow-{name}", why, request, DENIED, sees=True, direct="changes")


OF_MLFLOW = (
    _by_a_reader("prompt-text", "mlflow.prompt.text", version="1"),
    _by_a_reader("prompt-text-upper", "MLFLOW.PROMPT.TEXT", version="1"),
    _by_a_reader("prompt-version", "mlflow.prompt.is_prompt", version="1"),
    _by_a_reader("prompt-kind", "_mlflow_prompt_type", version="1"),
    _by_a_reader("prompt-settings", "_mlflow_prompt_model_config", version="1"),
    _by_a_reader("model-is-prompt", "mlflow.prompt.is_prompt"),
)


def _attribute(key: str, value: str = "user:bob") -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def _spans(
    trace: str,
    *,
    span: dict[str, object] | None = None,
    resource: dict[str, object] | None = None,
) -> dict[str, object]:
    one: dict[str, object] = {
        "traceId": trace,
        "spanId": "00000000000000aa",
        "name": "@NOW@",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [span] if span else [],
    }
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [resource] if resource else []},
                "scopeSpans": [{"spans": [one]}],
            }
        ]
    }


def _otlp(
    name: str,
    why: str,
    body: object,
    expect: Expect = DENIED,
    *headers: tuple[str, str],
    direct: bool = False,
    twin: Mapping[str, str] | None = None,
) -> Attempt:
    headers = headers or (("x-mlflow-experiment-id", "@EC@"),)
    request = Request("POST", "/v1/traces", body, headers)
    works: Literal["", "changes"] = "changes" if direct else ""
    return Attempt(f"otlp-{name}", why, request, expect, direct=works, twin=twin or {})


_JSON_IDS = json.dumps(
    {
        "resource_spans": [
            {
                "scope_spans": [
                    {
                        "spans": [
                            {
                                "trace_id": "@TBASE64@",
                                "span_id": "AAAAAAAAAKo=",
                                "name": "x",
                                "start_time_unix_nano": "1",
                                "end_time_unix_nano": "2",
                            }
                        ]
                    }
                ]
            }
        ]
    }
)

OTLP = (
    _otlp(
        "foreign-experiment",
        "the experiment is in a header (CVE-2026-2652)",
        _spans("@NEW_HEX@"),
        DENIED,
        ("x-mlflow-experiment-id", "@E@"),
        direct=True,
    ),
    _otlp("no-experiment", "no header, no check", _spans("@NEW_HEX@"), BAD, ("X-Nothing", "1")),
    _otlp(
        "two-experiments",
        "one header is checked, the other is used",
        _spans("@NEW_HEX@"),
        BAD,
        ("x-mlflow-experiment-id", "@EC@"),
        ("x-mlflow-experiment-id", "@E@"),
    ),
    _otlp(
        "experiments-joined",
        "a list in one header",
        _spans("@NEW_HEX@"),
        BAD,
        ("x-mlflow-experiment-id", "@EC@, @E@"),
    ),
    _otlp(
        "underscore-header",
        "the second spelling is what a WSGI server reads",
        _spans("@NEW_HEX@"),
        BAD,
        ("x_mlflow_experiment_id", "@E@"),
    ),
    _otlp(
        "foreign-run",
        "the run is in another header",
        _spans("@NEW_HEX@"),
        DENIED,
        ("x-mlflow-experiment-id", "@EC@"),
        ("x-mlflow-run-id", "@R@"),
        twin={"@R@": "@NO_R@"},
    ),
    _otlp(
        "foreign-trace",
        "the experiment is the caller's, the trace in the body is not",
        _spans("@THEX@"),
        DENIED,
        direct=True,
    ),
    _otlp(
        "foreign-trace-upper-case",
        "hex in capitals is the same trace",
        json.dumps(_spans("@THEX_UPPER@")),
        DENIED,
        direct=True,
    ),
    _otlp(
        "foreign-trace-second-span",
        "only the first span is looked at",
        {
            "resourceSpans": [
                *_spans("@NEW_HEX@")["resourceSpans"],  # type: ignore[misc]
                *_spans("@THEX@")["resourceSpans"],
            ]
        },
        DENIED,
        direct=True,
    ),
    _otlp(
        "foreign-trace-snake-case",
        "protobuf's JSON takes the original names, and base64 for bytes",
        _JSON_IDS,
        DENIED,
    ),
    _otlp(
        "owner-tag",
        "a span attribute becomes a tag of the trace",
        _spans("@NEW_HEX@", span=_attribute("mlflow.traceTag.mlgate.owner")),
        BAD,
    ),
    _otlp(
        "owner-resource-attribute",
        "so does a resource attribute",
        _spans("@NEW_HEX@", resource=_attribute("mlgate.owner")),
        BAD,
    ),
    _otlp(
        "location-tag",
        "and this one says where MLflow reads the spans",
        _spans(
            "@NEW_HEX@",
            span=_attribute("mlflow.traceTag.mlflow.artifactLocation", "mlflow-artifacts:/@E@"),
        ),
        BAD,
    ),
    _otlp(
        "bomb",
        "a small body that is large when it is inflated",
        b"@BOMB@",
        Expect(413, "INVALID_PARAMETER_VALUE"),
        ("x-mlflow-experiment-id", "@EC@"),
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "gzip"),
    ),
)

ROWS = (*SPELLINGS, *PLACES, *OF_MLFLOW, *OTLP)
