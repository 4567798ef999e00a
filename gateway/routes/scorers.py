"""The one reading of a serialized scorer: JSON in a string, of which MLflow makes an object.

MLflow's server calls whatever one of its modules holds under the name of a "built-in scorer",
with arguments out of the request: ``invoke_judge_model`` with a ``base_url`` is a POST to where
the caller says, to MLflow's own API behind the gateway too, with the server's keys. An aligned
judge loads traces by their ids, of whatever experiment, and shows them to the language model.

After ``Scorer.model_validate``, ``BuiltInScorer.model_validate`` and ``MemoryAugmentedJudge`` of
MLflow 3.17.2, which rebuild scorers inside of scorers: so every level is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadRequest
from gateway.routes.bodies import parse_object

BUILT_IN = frozenset({
    "Completeness", "ConversationCompleteness", "ConversationalGuidelines",
    "ConversationalRoleAdherence", "ConversationalSafety", "ConversationalToolCallEfficiency",
    "Correctness", "Equivalence", "ExpectationsGuidelines", "Fluency", "Guidelines",
    "KnowledgeRetention", "PIIDetection", "RegexMatch", "RelevanceToQuery", "ResponseLength",
    "RetrievalGroundedness", "RetrievalRelevance", "RetrievalSufficiency", "Safety",
    "Summarization", "ToolCallCorrectness", "ToolCallEfficiency", "UserFrustration",
})  # fmt: skip
"""The built-in scorers; a test compares them with MLflow's."""

_SHAPING = frozenset({
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens",
    "max_tokens", "min_p", "n", "parallel_tool_calls", "presence_penalty", "reasoning",
    "reasoning_effort", "repetition_penalty", "response_format", "seed", "stop", "stop_sequences",
    "temperature", "thinking", "timeout", "top_k", "top_logprobs", "top_p", "verbosity",
})  # fmt: skip
"""Parameters of a language model that say how it answers. MLflow passes all of them on, and
others choose whom LiteLLM asks, with which of the server's credentials."""

_ELSEWHERE = frozenset({
    "api_base", "base_url", "custom_llm_provider", "extra_headers", "fallbacks", "model_list",
})  # fmt: skip
"""Where a question goes (after ``GATEWAY_DESTINATION_KEYS``), and the headers that it has."""

_MODELS = ("model", "embedding_model", "reflection_lm")
_MODEL = re.compile(r"(?!.*\.\.)[A-Za-z0-9 _.:/@+-]*", re.ASCII)
"""``provider:/name``. MLflow puts the name into the path of a URL, as it is: ``..`` and ``?`` would
choose another path there, of MLFLOW_DEPLOYMENTS_TARGET for one."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """``trace_ids``: what it loads. ``steers``: what in it makes more of it than a scorer, by
    having the server run something of the caller's or ask somewhere else."""

    trace_ids: tuple[str, ...]
    steers: tuple[str, ...]


def read_scorer(text: str, at: str) -> Scorer:
    """Read a serialized scorer; raises BadRequest for what MLflow could read in a second way."""
    try:
        levels: list[Any] = [parse_object(text.encode("utf-8"))]
    except (BadRequest, UnicodeEncodeError) as error:
        raise BadRequest(f"'{at}' must be text that is one JSON object, no key twice.") from error
    traces: list[str] = []
    steers: list[str] = []
    while levels:
        value = levels.pop()
        if isinstance(value, Mapping):
            traces += _traces(value.get("episodic_trace_ids"), at)
            steers += _steers(value)
            levels.extend(value.values())
        elif isinstance(value, list):
            levels.extend(value)
    return Scorer(tuple(dict.fromkeys(traces)), tuple(dict.fromkeys(steers)))


def _traces(ids: Any, at: str) -> list[str]:
    if not ids:
        return []
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise BadRequest(f"'episodic_trace_ids' in '{at}' must be a list of trace ids.")
    return ids


def _steers(level: Mapping[str, Any]) -> Iterable[str]:
    name = level.get("builtin_scorer_class")
    if name is not None and not (isinstance(name, str) and name in BUILT_IN):
        yield f"builtin_scorer_class {str(name)[:60]}"
    if level.get("call_source") is not None:
        yield "call_source"
    params = level.get("inference_params") or {}
    if not isinstance(params, Mapping):
        yield "inference_params"
    else:
        yield from (f"inference_params.{one[:60]}" for one in params if one not in _SHAPING)
    yield from (key for key in sorted(_ELSEWHERE) if level.get(key))
    for key in _MODELS:
        model = level.get(key)
        if model is not None and not (isinstance(model, str) and _MODEL.fullmatch(model)):
            yield f"{key} {str(model)[:60]}"
