"""The built-in scorers that the gateway lets pass are MLflow's."""

from __future__ import annotations

from mlflow.genai.scorers import builtin_scorers
from mlflow.utils.validation import GATEWAY_DESTINATION_KEYS

from gateway.routes.scorers import _ELSEWHERE, BUILT_IN


def test_the_built_in_scorers_are_those_of_mlflow() -> None:
    assert {c.__name__ for c in builtin_scorers._get_all_concrete_builtin_scorers()} == BUILT_IN


def test_where_a_question_goes_is_said_by_the_keys_that_mlflow_knows() -> None:
    assert GATEWAY_DESTINATION_KEYS < _ELSEWHERE
