"""The gateway's DynamoDB table, made on an admin's request and never by a server on its own.

On-demand billing, the inverted index, deletion of expired rows (TTL) and point-in-time recovery.
Every step can be repeated. Needs the dynamodb permissions CreateTable, DescribeTable,
UpdateTimeToLive, DescribeTimeToLive, UpdateContinuousBackups and DescribeContinuousBackups.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gateway.acl.dynamodb_errors import error_code, unavailable
from gateway.acl.dynamodb_table import make_client
from gateway.acl.dynamodb_url import DynamoDbUrl, parse_dynamodb_url
from gateway.acl.items import INDEX, TTL
from gateway.acl.store import StoreUnavailable

_WAIT_SECONDS = 300
_POLL_SECONDS = 2
_READ_SECONDS = 30.0
"""Nobody's request waits here, and a DynamoDB Local that has just started takes seconds."""


def create_table(uri: str) -> list[str]:
    """Make the table of ``dynamodb://…`` ready for use and wait until it is.

    Returns a line for each thing done or found, for the terminal. Raises ValueError for a URI
    that is none, StoreUnavailable with a sentence for anything AWS refuses. Blocking.
    """
    url = parse_dynamodb_url(uri)
    try:
        client = make_client(url, read_seconds=_READ_SECONDS)
        return [_table(client, url), _ttl(client, url), _recovery(client, url)]
    except (BotoCoreError, ClientError) as error:
        raise unavailable(error, uri) from error


def _table(client: Any, url: DynamoDbUrl) -> str:
    made = True
    try:
        client.create_table(
            TableName=url.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in ("pk", "sk", "gsi1pk", "gsi1sk")
            ],
            KeySchema=_keys("pk", "sk"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": _keys("gsi1pk", "gsi1sk"),
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
    except ClientError as error:
        if error_code(error) != "ResourceInUseException":
            raise
        made = False
    client.get_waiter("table_exists").wait(
        TableName=url.table,
        WaiterConfig={"Delay": _POLL_SECONDS, "MaxAttempts": _WAIT_SECONDS // _POLL_SECONDS},
    )
    if not made:
        _refuse_other_shape(client, url)
    return f"table {url.table}: {'made' if made else 'already there'}"


def _refuse_other_shape(client: Any, url: DynamoDbUrl) -> None:
    """A table of this name that is not ours is left alone."""
    table = client.describe_table(TableName=url.table)["Table"]
    indexes = {
        index["IndexName"]: index["KeySchema"] for index in table.get("GlobalSecondaryIndexes", ())
    }
    if table["KeySchema"] != _keys("pk", "sk") or indexes.get(INDEX) != _keys("gsi1pk", "gsi1sk"):
        raise StoreUnavailable(
            f"The table of {url} exists with other keys; choose another table name."
        )


def _ttl(client: Any, url: DynamoDbUrl) -> str:
    answer = client.describe_time_to_live(TableName=url.table)
    if answer["TimeToLiveDescription"]["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}:
        return f"time to live ({TTL}): already on"
    client.update_time_to_live(
        TableName=url.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL}
    )
    return f"time to live ({TTL}): on"


def _recovery(client: Any, url: DynamoDbUrl) -> str:
    name = "point-in-time recovery"
    try:
        answer = client.describe_continuous_backups(TableName=url.table)
        backups = answer["ContinuousBackupsDescription"]
        status = backups.get("PointInTimeRecoveryDescription", {})
        if status.get("PointInTimeRecoveryStatus") == "ENABLED":
            return f"{name}: already on"
        client.update_continuous_backups(
            TableName=url.table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    except ClientError as error:
        if error_code(error) != "UnknownOperationException":
            raise
        return f"{name}: not offered by this endpoint"
    return f"{name}: on"


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]
