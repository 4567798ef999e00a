"""One DynamoDB table, called from MLflow's request threads: retries, pages, parallel reads.

Knows that keys are ``pk`` and ``sk`` and nothing else of the items. Throttling is waited out with
full jitter for ``REQUEST_SECONDS``; then MLflow's TEMPORARILY_UNAVAILABLE, which clients retry.
"""

from __future__ import annotations

import ipaddress
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dynamodb_store.codec import Item, from_item, to_item
from dynamodb_store.errors import (
    BUSY,
    ConditionFailed,
    TooLarge,
    busy,
    code_of,
    reasons_of,
    translated,
)
from dynamodb_store.keys import Key
from dynamodb_store.uri import StoreUri

REQUEST_SECONDS = 20.0
"""Below the 30 seconds after which load balancers and clients commonly give up."""
THREADS = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_BATCH_WRITE, _BATCH_GET = 25, 100

Action = tuple[str, Item]
"""``Put``, ``Update``, ``Delete`` or ``ConditionCheck`` with its parameters, keys as values."""

A = TypeVar("A")
B = TypeVar("B")


class Table:
    """Calls on one table. Every method raises MlflowException when DynamoDB cannot do it."""

    def __init__(
        self,
        client: Any,
        uri: StoreUri,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.uri = uri
        self._client = client
        self._now = now
        self._pause = pause
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dynamodb-store")

    def get(self, key: Key) -> Item | None:
        """One item, strongly consistent."""
        answer = self._call("get_item", Key=_key(key), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    def batch_get(self, keys: Sequence[Key]) -> list[Item]:
        """The items that exist among ``keys``, strongly consistent, 100 a call in parallel."""
        slices = [keys[at : at + _BATCH_GET] for at in range(0, len(keys), _BATCH_GET)]
        return [item for items in self.parallel(self._batch_get, slices) for item in items]

    def query(
        self,
        partition: str,
        *,
        between: tuple[str, str] | None = None,
        prefix: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> tuple[list[Item], str | None]:
        """One page in key order, strongly consistent, and the sort key to go on ``after``."""
        values: Item = {":pk": partition}
        condition = "pk = :pk"
        if between is not None:
            condition += " AND sk BETWEEN :low AND :high"
            values |= {":low": between[0], ":high": between[1]}
        elif prefix is not None:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = prefix
        extra: dict[str, Any] = {}
        if after is not None:
            extra["ExclusiveStartKey"] = _key((partition, after))
        if limit is not None:
            extra["Limit"] = limit
        if reverse:
            extra["ScanIndexForward"] = False
        answer = self._call(
            "query",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
            ConsistentRead=True,
            **extra,
        )
        last = answer.get("LastEvaluatedKey")
        return [from_item(item) for item in answer["Items"]], last["sk"]["S"] if last else None

    def query_all(self, partition: str, **parameters: Any) -> Iterator[Item]:
        """All items of ``query``, page after page."""
        after: str | None = parameters.pop("after", None)
        while True:
            items, after = self.query(partition, after=after, **parameters)
            yield from items
            if after is None:
                return

    def scan_partitions(self) -> Iterator[list[str]]:
        """The partition key of every item, page after page; for a person's command only."""
        extra: dict[str, Any] = {}
        while True:
            answer = self._call("scan", ProjectionExpression="pk", ConsistentRead=True, **extra)
            yield [item["pk"]["S"] for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return
            extra = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def is_empty(self) -> bool:
        """Whether there is no item at all; for a person's command only."""
        return not self._call("scan", Limit=1, ConsistentRead=True)["Items"]

    def put(self, item: Item, condition: str | None = None, values: Item | None = None) -> None:
        """Write one item. Raises ConditionFailed."""
        self._call("put_item", Item=to_item(item), **_condition(condition, values))

    def update(self, key: Key, **parameters: Any) -> Item:
        """Update one item; returns the attributes asked for. Raises ConditionFailed, TooLarge."""
        answer = self._call("update_item", Key=_key(key), **_encoded(parameters))
        return from_item(answer.get("Attributes", {}))

    def transact(self, actions: Sequence[Action], *, patient: bool = True) -> None:
        """All actions or none. Raises ConditionFailed; without patience throttling is an error.

        The token makes repeats, also those after an answer that got lost, do it once
        (docs.aws.amazon.com, TransactWriteItems, ClientRequestToken: for ten minutes).
        """
        named = [
            {verb: {"TableName": self.uri.table, **_encoded(parameters)}}
            for verb, parameters in actions
        ]
        self._call(
            "transact_write_items",
            named=False,
            patient=patient,
            TransactItems=named,
            ClientRequestToken=uuid.uuid4().hex,
        )

    def batch_write(self, puts: Iterable[Item] = (), deletes: Iterable[Key] = ()) -> None:
        """Puts and deletes without conditions, 25 a call in parallel, until all are done."""
        requests = [{"PutRequest": {"Item": to_item(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": _key(key)}} for key in deletes]
        slices = [requests[at : at + _BATCH_WRITE] for at in range(0, len(requests), _BATCH_WRITE)]
        self.parallel(self._batch_write, slices)

    def parallel(self, work: Callable[[A], B], arguments: Sequence[A]) -> list[B]:
        """``work`` on each argument, at once; the answers in order. ``work`` must not nest it."""
        if len(arguments) < 2:
            return [work(argument) for argument in arguments]
        return list(self._threads.map(work, arguments))

    def at_once(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """Different works at once, as ``parallel``; their answers in order."""
        return self.parallel(_done, works)

    def close(self) -> None:
        """Give up threads and connections."""
        self._threads.shutdown(wait=False)
        self._client.close()

    def wait(self, seconds: float) -> None:
        """Let time pass, for what another process is about to finish."""
        self._pause(seconds)

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""
        return self._now()

    def attempts(self) -> Iterator[None]:
        """Iterate to try again with growing random pauses until the request's time is over."""
        ends = self._now() + REQUEST_SECONDS
        longest = _FIRST_PAUSE
        while True:
            yield
            wait = random.uniform(0, longest)
            if self._now() + wait > ends:
                raise busy(str(self.uri))
            self._pause(wait)
            longest = min(longest * 2, _LONGEST_PAUSE)

    def _batch_get(self, keys: Sequence[Key]) -> list[Item]:
        wanted: Any = {"Keys": [_key(key) for key in keys], "ConsistentRead": True}
        found: list[Item] = []
        for _ in self.attempts():
            answer = self._call(
                "batch_get_item", named=False, RequestItems={self.uri.table: wanted}
            )
            found += map(from_item, answer["Responses"].get(self.uri.table, ()))
            wanted = answer.get("UnprocessedKeys", {}).get(self.uri.table)
            if not wanted:
                break
        return found

    def _batch_write(self, requests: Any) -> None:
        for _ in self.attempts():
            answer = self._call(
                "batch_write_item", named=False, RequestItems={self.uri.table: requests}
            )
            requests = answer.get("UnprocessedItems", {}).get(self.uri.table)
            if not requests:
                return

    def _call(
        self, operation: str, *, named: bool = True, patient: bool = True, **parameters: Any
    ) -> dict[str, Any]:
        if named:
            parameters["TableName"] = self.uri.table
        for _ in self.attempts():
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
                return answer
            except ClientError as error:
                if not self._again(error) or not patient:
                    raise translated(error, str(self.uri)) from error
            except BotoCoreError as error:
                raise translated(error, str(self.uri)) from error
        raise AssertionError  # attempts() never ends by itself

    def _again(self, error: ClientError) -> bool:
        """Whether the same call may work later. Raises what the caller has to decide on."""
        code = code_of(error)
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed from error
        if code == "TransactionCanceledException":
            reasons = reasons_of(error)
            failed = tuple(at for at, why in enumerate(reasons) if why == "ConditionalCheckFailed")
            if failed:
                raise ConditionFailed(failed) from error
            return bool(BUSY.intersection(reasons))
        if code == "ValidationException" and "maximum allowed size" in str(error):
            raise TooLarge from error
        return code in BUSY


def open_table(uri: StoreUri) -> Table:
    """The table of ``uri``; connects on first use."""
    return Table(make_client(uri), uri)


def make_client(uri: StoreUri) -> Any:
    """A boto3 client for ``uri``, usable from several threads. Raises MlflowException.

    For an endpoint on this machine (DynamoDB Local) made-up credentials do when there are none.
    """
    # boto3 alone reads AWS_DEFAULT_REGION but not AWS_REGION, which the other SDKs read.
    names = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}
    session = boto3.Session(botocore_session=botocore.session.Session(session_vars=names))
    options: dict[str, Any] = {"region_name": uri.region}
    if uri.endpoint is not None:
        options["endpoint_url"] = uri.endpoint
        options["region_name"] = session.region_name or "us-east-1"
        if _is_loopback(uri.endpoint) and session.get_credentials() is None:
            options |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    config = Config(
        connect_timeout=2.0,
        read_timeout=10.0,
        max_pool_connections=2 * THREADS,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    try:
        return session.client("dynamodb", config=config, **options)
    except BotoCoreError as error:
        raise translated(error, str(uri)) from error


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _condition(condition: str | None, values: Item | None) -> dict[str, Any]:
    if condition is None:
        return {}
    encoded: dict[str, Any] = {"ConditionExpression": condition}
    if values:
        encoded["ExpressionAttributeValues"] = to_item(values)
    return encoded


def _encoded(parameters: Item) -> dict[str, Any]:
    """Parameters of a write with their values as attribute values."""
    encoded = dict(parameters)
    if "Key" in encoded:
        encoded["Key"] = _key(encoded["Key"])
    for name in ("Item", "ExpressionAttributeValues"):
        if name in encoded:
            encoded[name] = to_item(encoded[name])
    return encoded


def _done(work: Callable[[], Any]) -> Any:
    return work()
