"""What goes wrong between us and DynamoDB, as MLflow's errors with a sentence that helps.

Codes: docs.aws.amazon.com/amazondynamodb, "Error handling with DynamoDB".
"""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_STATE,
    NOT_IMPLEMENTED,
    TEMPORARILY_UNAVAILABLE,
)

BUSY = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes after which the same call may work a little later; both as errors and as reasons."""

_PERMISSION = re.compile(r"perform: ([A-Za-z0-9-]+:[A-Za-z]+)")
_MISSING = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
_CREDENTIALS = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)


class ConditionFailed(Exception):
    """A write was not done because a condition of it does not hold; ``failed`` are positions."""

    def __init__(self, failed: tuple[int, ...] = (0,)) -> None:
        super().__init__(f"condition of action {failed} does not hold")
        self.failed = failed


class TooLarge(Exception):
    """An update would take its item over DynamoDB's 400 KB."""


def code_of(error: ClientError) -> str:
    """DynamoDB's name for the error."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def reasons_of(error: ClientError) -> list[str]:
    """Of a cancelled transaction, the reason at each position."""
    reasons: list[dict[str, Any]] = error.response.get("CancellationReasons", [])
    return [str(reason.get("Code")) for reason in reasons]


def not_implemented(what: str) -> MlflowException:
    """The error for a part of MLflow's interface that is not built yet."""
    return MlflowException(
        f"The DynamoDB store does not have {what} yet; docs/store.md lists what is missing.",
        error_code=NOT_IMPLEMENTED,
    )


def busy(uri: str) -> MlflowException:
    """The error when others kept winning, or DynamoDB kept throttling, for a request's time."""
    return MlflowException(
        f"DynamoDB is too busy for this write or read on {uri}; it was not done, try again.",
        error_code=TEMPORARILY_UNAVAILABLE,
    )


def translated(error: ClientError | BotoCoreError, uri: str) -> MlflowException:
    """MLflow's error for one of boto3; ``uri`` names the store as a person typed it."""
    if not isinstance(error, ClientError):
        return _without_answer(error, uri)
    code = code_of(error)
    if code in _MISSING:
        text = f"The table of {uri} does not exist; make it with `mlgate store create-table {uri}`."
        return MlflowException(text, error_code=INVALID_STATE)
    if code == "AccessDeniedException":
        text = f"AWS does not allow {_permission(error)} on {uri}; add it to the server's role."
        return MlflowException(text, error_code=INVALID_STATE)
    if code in _CREDENTIALS:
        text = f"AWS refused our credentials for {uri} ({code}); renew them, and check the clock."
        return MlflowException(text, error_code=INVALID_STATE)
    if code in BUSY or BUSY.intersection(reasons_of(error)):
        return busy(uri)
    return MlflowException(
        f"DynamoDB refused {error.operation_name} on {uri}: {code}.", error_code=INTERNAL_ERROR
    )


def _permission(error: ClientError) -> str:
    found = _PERMISSION.search(str(error.response["Error"].get("Message", "")))
    return found[1] if found else f"dynamodb:{error.operation_name}"


def _without_answer(error: BotoCoreError, uri: str) -> MlflowException:
    if isinstance(error, NoCredentialsError):
        text = f"No AWS credentials for {uri}: set up a role, a profile or AWS_ACCESS_KEY_ID."
        return MlflowException(text, error_code=INVALID_STATE)
    if isinstance(error, NoRegionError):
        return MlflowException(
            f"No AWS region for {uri}; set AWS_REGION.", error_code=INVALID_STATE
        )
    return MlflowException(
        f"DynamoDB does not answer for {uri}: {error}", error_code=TEMPORARILY_UNAVAILABLE
    )
