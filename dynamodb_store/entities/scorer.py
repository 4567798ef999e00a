"""A scorer is a record with the numbers of its versions; each version is a record of its own.

A version keeps the experiment and the name, so it is found by the scorer's id alone. A version
whose model is an endpoint of the AI gateway keeps the endpoint's id, and is shown with its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mlflow.entities.scorer import ScorerVersion
from mlflow.exceptions import MlflowException
from mlflow.genai.scorers.online.entities import OnlineScoringConfig
from mlflow.genai.scorers.scorer_utils import (
    build_gateway_model,
    extract_endpoint_ref,
    extract_model_from_serialized_scorer,
    is_gateway_model,
    update_model_in_serialized_scorer,
)

from dynamodb_store import keys
from dynamodb_store.records import Body, Record


def parsed(serialized: str) -> dict[str, Any]:
    """The scorer as it was serialized. Raises MlflowException when it is no JSON object."""
    try:
        data = json.loads(serialized)
    except (TypeError, ValueError) as error:
        raise MlflowException.invalid_parameter_value(
            f"A serialized scorer must be JSON: {error}"
        ) from None
    if not isinstance(data, dict):
        raise MlflowException.invalid_parameter_value("A serialized scorer must be a JSON object")
    return data


def model_of(data: dict[str, Any]) -> str | None:
    """The model that a scorer asks."""
    model: str | None = extract_model_from_serialized_scorer(data)
    return model


def endpoint_of(data: dict[str, Any]) -> str | None:
    """The endpoint of the AI gateway that is a scorer's model, if it is one."""
    model = model_of(data)
    return str(extract_endpoint_ref(model)) if is_gateway_model(model) else None


def with_endpoint(data: dict[str, Any], reference: str | None) -> str:
    """The serialized scorer with another endpoint, or without a model."""
    model = build_gateway_model(reference) if reference else None
    return json.dumps(update_model_in_serialized_scorer(data, model))


def new_version(scorer: Record, version: int, serialized: str, now: int) -> Record:
    """The record of a version."""
    body: Body = {
        "experiment_id": scorer.partition.removeprefix("SC#"),
        "name": scorer.body["name"],
        "serialized": serialized,
        "creation_time": now,
    }
    place = keys.scorer_versions(scorer.body["scorer_id"])
    return Record(place, keys.scorer_version(version), body)


def version_of(
    record: Record, shown: Callable[[str], str] = lambda serialized: serialized
) -> ScorerVersion:
    """MLflow's ScorerVersion; ``shown`` puts the endpoint's name into the serialized scorer."""
    return ScorerVersion(
        experiment_id=record.body["experiment_id"],
        scorer_name=record.body["name"],
        scorer_version=int(record.sk),
        serialized_scorer=shown(record.body["serialized"]),
        creation_time=record.body["creation_time"],
        scorer_id=record.partition.removeprefix("SCV#"),
    )


def config_of(record: Record) -> OnlineScoringConfig:
    """MLflow's OnlineScoringConfig."""
    return OnlineScoringConfig(
        online_scoring_config_id=record.body["config_id"],
        scorer_id=record.sk,
        sample_rate=record.body["sample_rate"],
        experiment_id=record.body["experiment_id"],
        filter_string=record.body["filter_string"],
    )
