"""A label schema (the question that reviewers answer) as the body of a record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlflow.genai.label_schemas.label_schemas import (
    InputCategorical,
    InputNumeric,
    InputPassFail,
    InputText,
    LabelSchema,
    LabelSchemaType,
)

from dynamodb_store.records import Body

_INPUTS: dict[str, type] = {
    "pass_fail": InputPassFail,
    "categorical": InputCategorical,
    "numeric": InputNumeric,
    "text": InputText,
}
"""The kinds of input that MLflow's validation lets through."""


def body_of(schema: LabelSchema) -> Body:
    """The record's body."""
    return {
        "id": schema.schema_id,
        "experiment_id": schema.experiment_id,
        "name": schema.name,
        "type": str(schema.type),
        "input": input_body(schema.input),
        "instruction": schema.instruction,
        "enable_comment": schema.enable_comment,
        "created_by": schema.created_by,
        "created": schema.created_at,
        "updated": schema.updated_at,
        "is_default": schema.is_default,
    }


def label_schema_of(body: Body) -> LabelSchema:
    """MLflow's LabelSchema."""
    kind, values = body["input"]
    return LabelSchema(
        name=body["name"],
        type=LabelSchemaType(body["type"]),
        input=_INPUTS[kind](**values),
        instruction=body["instruction"],
        enable_comment=body["enable_comment"],
        schema_id=body["id"],
        experiment_id=body["experiment_id"],
        created_by=body["created_by"],
        created_at=body["created"],
        updated_at=body["updated"],
        is_default=body["is_default"],
    )


def input_body(value: Any) -> list[Any]:
    """An input as its kind and its fields."""
    kind = next(kind for kind, made in _INPUTS.items() if isinstance(value, made))
    return [kind, asdict(value)]
