"""A registered model: the body of its record, and MLflow's entity. No I/O here.

The record holds the latest version of each stage, with a copy when that is small, so that a model
or a page of a search needs no second read. Whoever changes such a version renews the copy in the
same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities.model_registry import (
    ModelVersion,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY

from dynamodb_store import keys
from dynamodb_store.records import Body
from dynamodb_store.table import Action

COPY_BYTES = 4 * 1024
"""Longer versions (prompts with long texts) are not copied into the model's record."""


def new_model(name: str, now: int, tags: Iterable[Any], description: str | None) -> Body:
    """The body of a model that is being made."""
    return {
        "name": name,
        "created": now,
        "updated": now,
        "renamed": 0,
        "description": description,
        "tags": {tag.key: tag.value for tag in tags},
        "aliases": {},
        "last": 0,
        "prompts": 0,
        "latest": {},
    }


def id_of(partition: str) -> str:
    """The model's id, which it keeps when it is renamed."""
    return partition.removeprefix(keys.model(""))


def is_prompt(head: Body) -> bool:
    """Whether MLflow's searches take the model for a prompt."""
    return bool(head["tags"].get(IS_PROMPT_TAG_KEY) == "true")


def entry_key(head: Body) -> keys.Key:
    """Where the lists of models and prompts hold it."""
    return (keys.PROMPTS if is_prompt(head) else keys.MODELS, keys.model_order(head["name"]))


def entry(partition: str, head: Body) -> Action:
    """The write of its place in the list."""
    pk, sk = entry_key(head)
    return ("Put", {"Item": {"pk": pk, "sk": sk, "id": id_of(partition), "name": head["name"]}})


def make_latest(head: Body, number: int, body: Body) -> None:
    """Let a version be the latest of its stage, unless a later one is."""
    stage = body["stage"]
    if stage not in head["latest"] or head["latest"][stage]["version"] <= number:
        copy = len(json.dumps(body)) <= COPY_BYTES
        head["latest"][stage] = {"version": number, "body": body if copy else None}


def is_latest(head: Body, number: int, stage: str) -> bool:
    """Whether the version is the latest of the stage."""
    return bool(head["latest"].get(stage, {}).get("version") == number)


def latest_numbers(head: Body) -> list[int]:
    """The versions that are the latest of a stage, in the order of their numbers."""
    return sorted(latest["version"] for latest in head["latest"].values())


def model_of(head: Body, latest: Sequence[ModelVersion]) -> RegisteredModel:
    """MLflow's RegisteredModel."""
    return RegisteredModel(
        name=head["name"],
        creation_timestamp=head["created"],
        last_updated_timestamp=head["updated"],
        description=head["description"],
        latest_versions=list(latest),
        tags=[RegisteredModelTag(key, value) for key, value in head["tags"].items()],
        aliases=[RegisteredModelAlias(alias, to) for alias, to in head["aliases"].items()],
        workspace="default",
    )
