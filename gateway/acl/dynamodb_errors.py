"""What went wrong between us and DynamoDB, as a sentence that says what to do.

Codes: docs.aws.amazon.com/amazondynamodb, "Error handling with DynamoDB".
"""

from __future__ import annotations

import re

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from gateway.acl.store import StoreUnavailable

_PERMISSION = re.compile(r"perform: ([A-Za-z0-9-]+:[A-Za-z]+)")

_THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_CREDENTIALS = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)


def unavailable(error: ClientError | BotoCoreError, uri: str) -> StoreUnavailable:
    """The StoreUnavailable for an error of boto3; ``uri`` names the store as an admin typed it."""
    if not isinstance(error, ClientError):
        return StoreUnavailable(_without_answer(error, uri))
    code = error_code(error)
    if code in {"ResourceNotFoundException", "TableNotFoundException"}:
        text = f"The ACL table {uri} does not exist; make it with `mlgate acl create-table {uri}`."
    elif code == "AccessDeniedException":
        text = f"AWS does not allow {_permission(error)} on {uri}; add it to the gateway's role."
    elif code in _CREDENTIALS:
        text = f"AWS refused our credentials for {uri} ({code}); renew them, and check the clock."
    elif code in _THROTTLED:
        text = f"DynamoDB throttles {uri}; check the table's capacity and the account's limits."
    else:
        text = f"DynamoDB refused {error.operation_name} on {uri}: {code}."
    return StoreUnavailable(text)


def error_code(error: ClientError) -> str:
    """DynamoDB's name for the error."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _permission(error: ClientError) -> str:
    """The permission as AWS names it; by the operation when its message does not."""
    found = _PERMISSION.search(str(error.response["Error"].get("Message", "")))
    return found[1] if found else f"dynamodb:{error.operation_name}"


def _without_answer(error: BotoCoreError, uri: str) -> str:
    if isinstance(error, NoCredentialsError):
        return f"No AWS credentials for {uri}: set up a role, a profile or AWS_ACCESS_KEY_ID."
    if isinstance(error, NoRegionError):
        return f"No AWS region for {uri}; set AWS_REGION."
    return f"DynamoDB does not answer for {uri}: {error}"
