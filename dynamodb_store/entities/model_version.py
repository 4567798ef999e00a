"""A model version: the body of its record, and MLflow's entity. No I/O here.

The body does not hold the model's name: that is the model's, so a rename does not touch versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.entities.model_registry.model_version_stages import (
    STAGE_DELETED_INTERNAL,
    STAGE_NONE,
)
from mlflow.entities.model_registry.model_version_status import ModelVersionStatus
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY

from dynamodb_store import keys
from dynamodb_store.records import Body

READY = ModelVersionStatus.to_string(ModelVersionStatus.READY)


def new_version(now: int, tags: Iterable[Any], **fields: Any) -> Body:
    """The body of a version that is being made."""
    return {
        "created": now,
        "updated": now,
        "stage": STAGE_NONE,
        "tags": {tag.key: tag.value for tag in tags},
        **fields,
    }


def number_of(sort_key: str) -> int:
    """The number of the version that has this sort key."""
    return int(sort_key.removeprefix(keys.VERSIONS))


def is_deleted(body: Body) -> bool:
    """Whether the version is deleted; its record stays, so that its number is not used again."""
    return bool(body["stage"] == STAGE_DELETED_INTERNAL)


def is_prompt(body: Body) -> bool:
    """Whether MLflow's searches take the version, and with it the model, for a prompt."""
    return bool(body["tags"].get(IS_PROMPT_TAG_KEY) == "true")


def redact(body: Body, now: int) -> None:
    """What MLflow leaves of a deleted version: its tags and the place of its files."""
    body |= {
        "stage": STAGE_DELETED_INTERNAL,
        "updated": now,
        "description": None,
        "source": "REDACTED-SOURCE-PATH",
        "run_id": "REDACTED-RUN-ID",
        "run_link": "REDACTED-RUN-LINK",
    }


def updated_of(head: Body, body: Body) -> int:
    """A rename counts as an update of every version; it is written down once, in the model."""
    return int(max(body["updated"], head["renamed"]))


def version_of(head: Body, number: int, body: Body, *, aliases: bool = True) -> ModelVersion:
    """MLflow's ModelVersion; ``aliases`` are not part of those that lists hold, as in SQL."""
    return ModelVersion(
        name=head["name"],
        version=number,
        creation_timestamp=body["created"],
        last_updated_timestamp=updated_of(head, body),
        description=body["description"],
        user_id=body.get("user_id"),  # of imported ones: MLflow sets none any more
        current_stage=body["stage"],
        source=body["source"],
        run_id=body["run_id"],
        status=body.get("status", READY),
        status_message=body.get("status_message"),
        tags=[ModelVersionTag(key, value) for key, value in body["tags"].items()],
        run_link=body["run_link"],
        aliases=aliases_of(head["aliases"], number) if aliases else [],
        workspace="default",
    )


def aliases_of(aliases: Mapping[str, int], number: int) -> list[str]:
    """The aliases of one version."""
    return [alias for alias, version in aliases.items() if version == number]
