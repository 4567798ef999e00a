"""The store's table: made, described and deleted on a person's request, never by a server.

On-demand billing and point-in-time recovery; every step can be repeated. Needs the dynamodb
permissions CreateTable, DescribeTable, UpdateContinuousBackups, DescribeContinuousBackups, and
DeleteTable to delete it.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE

from dynamodb_store.errors import code_of, translated
from dynamodb_store.table import make_client
from dynamodb_store.uri import StoreUri, parse_uri

_WAIT = {"Delay": 2, "MaxAttempts": 150}
_KEYS = [
    {"AttributeName": "pk", "KeyType": "HASH"},
    {"AttributeName": "sk", "KeyType": "RANGE"},
]


def create_table(uri: str) -> list[str]:
    """Make the table of ``dynamodb://…`` and wait until it can be used.

    Returns a line for each thing done or found. Raises MlflowException. Blocking.
    """
    parsed = parse_uri(uri)
    client = make_client(parsed)
    try:
        return [_table(client, parsed), _recovery(client, parsed)]
    except (BotoCoreError, ClientError) as error:
        raise translated(error, uri) from error


def describe_table(uri: str) -> dict[str, Any]:
    """Status, items, bytes and billing of the table (DynamoDB counts every six hours)."""
    parsed = parse_uri(uri)
    try:
        table = make_client(parsed).describe_table(TableName=parsed.table)["Table"]
    except (BotoCoreError, ClientError) as error:
        raise translated(error, uri) from error
    return {
        "table": parsed.table,
        "status": table["TableStatus"],
        "items": table.get("ItemCount", 0),
        "bytes": table.get("TableSizeBytes", 0),
        "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
    }


def delete_table(uri: str) -> None:
    """Delete the table and all that is in it; whoever calls this has asked. Raises."""
    parsed = parse_uri(uri)
    client = make_client(parsed)
    try:
        _refuse_other_shape(client, parsed)
        client.delete_table(TableName=parsed.table)
        client.get_waiter("table_not_exists").wait(TableName=parsed.table, WaiterConfig=_WAIT)
    except (BotoCoreError, ClientError) as error:
        raise translated(error, uri) from error


def _table(client: Any, uri: StoreUri) -> str:
    made = True
    try:
        client.create_table(
            TableName=uri.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
            ],
            KeySchema=_KEYS,
        )
    except ClientError as error:
        if code_of(error) != "ResourceInUseException":
            raise
        made = False
    client.get_waiter("table_exists").wait(TableName=uri.table, WaiterConfig=_WAIT)
    if not made:
        _refuse_other_shape(client, uri)
    return f"table {uri.table}: {'made' if made else 'already there'}"


def _refuse_other_shape(client: Any, uri: StoreUri) -> None:
    """A table of this name that is not ours is left alone (the ACL table has an index)."""
    table = client.describe_table(TableName=uri.table)["Table"]
    if table["KeySchema"] != _KEYS or table.get("GlobalSecondaryIndexes"):
        raise MlflowException(
            f"The table of {uri} is not a table of this store; choose another table name.",
            error_code=INVALID_STATE,
        )


def _recovery(client: Any, uri: StoreUri) -> str:
    name = "point-in-time recovery"
    try:
        answer = client.describe_continuous_backups(TableName=uri.table)
        backups = answer["ContinuousBackupsDescription"]
        status = backups.get("PointInTimeRecoveryDescription", {})
        if status.get("PointInTimeRecoveryStatus") == "ENABLED":
            return f"{name}: already on"
        client.update_continuous_backups(
            TableName=uri.table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    except ClientError as error:
        if code_of(error) != "UnknownOperationException":
            raise
        return f"{name}: not offered by this endpoint"
    return f"{name}: on"
