"""A webhook: the body of its record, and MLflow's entity. Secrets are encrypted as MLflow does it.

The key is ``MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY``. Without it MLflow makes one that lasts as long
as the process, and so do we.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from cryptography.fernet import InvalidToken
from mlflow.entities.webhook import (
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from mlflow.environment_variables import MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.store.model_registry.dbmodels.models import EncryptedString

from dynamodb_store.records import Body

_KEY = MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.name


@cache
def _cipher(key: str | None) -> EncryptedString:
    """MLflow's own column type; one a key, so that a made-up one lasts as long as the process."""
    return EncryptedString()


def encrypted(secret: str | None) -> str | None:
    """The secret as it is kept."""
    cipher = _cipher(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.get())
    kept: str | None = cipher.process_bind_param(secret, None)
    return kept


def events_of(events: Sequence[WebhookEvent]) -> list[list[str]]:
    """Events as they are kept."""
    return [[event.entity.value, event.action.value] for event in events]


def webhook_of(webhook_id: str, body: Body) -> Webhook:
    """MLflow's Webhook. Raises MlflowException when the secret cannot be read."""
    return Webhook(
        webhook_id=webhook_id,
        name=body["name"],
        url=body["url"],
        events=[
            WebhookEvent(WebhookEntity(entity), WebhookAction(action))
            for entity, action in body["events"]
        ],
        creation_timestamp=body["created"],
        last_updated_timestamp=body["updated"],
        workspace="default",
        description=body["description"],
        status=WebhookStatus(body["status"]),
        secret=_decrypted(webhook_id, body["secret"]),
    )


def _decrypted(webhook_id: str, kept: str | None) -> str | None:
    try:
        cipher = _cipher(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY.get())
        secret: str | None = cipher.process_result_value(kept, None)
    except InvalidToken as error:
        raise MlflowException(
            f"The secret of webhook {webhook_id} was encrypted with another key than this "
            f"process has. Set {_KEY} to one key for all servers; then set the secret again, or "
            f"delete the webhook.",
            INVALID_STATE,
        ) from error
    return secret
