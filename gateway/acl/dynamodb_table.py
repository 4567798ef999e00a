"""One DynamoDB table, awaited: boto3 on a bounded pool of threads, errors as sentences.

Timeouts are tight, because the cache in front lives through an outage better than a request
lives through a long wait. Of the items it knows only that keys are ``pk`` and ``sk``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.acl.dynamodb_errors import error_code, unavailable
from gateway.acl.dynamodb_url import DynamoDbUrl
from gateway.acl.items import Item
from gateway.acl.store import StoreUnavailable
from gateway.clock import Clock

THREADS = 8
ATTEMPTS = 3
CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0

CALL_SECONDS = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) + 3.0
"""One call ends within this: botocore's standard mode pauses at most 1 and 2 seconds between
three attempts. A feed row may become readable this long after the time it is stamped with."""

_CONFLICTS = 6
_BUSY = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


Action = tuple[str, dict[str, Any]]
"""``Put`` or ``Delete`` and its parameters, without the table's name."""


class ConditionFailed(Exception):
    """A transaction was not done; ``failed`` are the positions of the conditions in the way."""

    def __init__(self, failed: Sequence[int]) -> None:
        super().__init__(f"condition of action {failed} does not hold")
        self.failed = tuple(failed)


class Table:
    """Calls on the table of ``url``. Every method raises StoreUnavailable."""

    def __init__(self, url: DynamoDbUrl, clock: Clock) -> None:
        self.url = url
        self.skew = 0.0
        """Our clock minus DynamoDB's in seconds, as of the last answer."""
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="acl-dynamodb")
        self._making = threading.Lock()
        self._client: Any = None
        self._closed = False

    async def get(self, primary_key: Item) -> Item | None:
        """One item, strongly consistent."""
        answer = await self.call("get_item", Key=primary_key, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    async def query(self, **parameters: Any) -> list[Item]:
        """All items of a Query, page after page."""
        return [item async for page in self._pages("query", parameters) for item in page]

    def scan(self, **parameters: Any) -> AsyncIterator[list[Item]]:
        """The pages of a Scan."""
        return self._pages("scan", parameters)

    async def scan_some(
        self, after: Item | None, **parameters: Any
    ) -> tuple[list[Item], Item | None]:
        """One page of a Scan after a primary key, and the key to go on after, if there is more."""
        start = {} if after is None else {"ExclusiveStartKey": after}
        answer = await self.call("scan", **parameters, **start)
        return answer["Items"], answer.get("LastEvaluatedKey")

    async def transact(self, actions: Callable[[], Sequence[Action]]) -> None:
        """All actions or none. Raises ConditionFailed.

        ``actions`` is called on the thread, right before each attempt, so that a time stamp in
        them is not older than the attempt. boto3 adds an idempotency token: its own repeats do
        it once. Another transaction on the same items is waited out, with random pauses.
        """

        def attempt(client: Any) -> dict[str, Any]:
            named = [{verb: {"TableName": self.url.table, **p}} for verb, p in actions()]
            answer: dict[str, Any] = client.transact_write_items(TransactItems=named)
            return answer

        for number in range(_CONFLICTS):
            try:
                await self._on_thread(attempt)
                return
            except ClientError as error:
                codes = [r.get("Code") for r in error.response.get("CancellationReasons", ())]
                failed = [at for at, code in enumerate(codes) if code == "ConditionalCheckFailed"]
                if failed:
                    raise ConditionFailed(failed) from error
                if not _BUSY.intersection(codes):
                    raise unavailable(error, str(self.url)) from error
            await asyncio.sleep(random.uniform(0.01, 0.05 * 2**number))
        raise StoreUnavailable(f"Other writes kept getting in the way on {self.url}.")

    async def update(self, **parameters: Any) -> bool:
        """An UpdateItem; False when its condition does not hold."""
        try:
            await self._on_thread(
                lambda client: client.update_item(TableName=self.url.table, **parameters)
            )
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise unavailable(error, str(self.url)) from error
        return True

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Any operation on this table, by boto3's name of it."""
        try:
            return await self._on_thread(
                lambda client: getattr(client, operation)(TableName=self.url.table, **parameters)
            )
        except ClientError as error:
            raise unavailable(error, str(self.url)) from error

    async def close(self) -> None:
        """Give up the connections; calls after this raise StoreUnavailable."""
        self._closed = True
        self._threads.shutdown(wait=False)
        if self._client is not None:
            self._client.close()

    async def _pages(self, operation: str, parameters: dict[str, Any]) -> AsyncIterator[list[Item]]:
        after: dict[str, Any] = {}
        while True:
            answer = await self.call(operation, **parameters, **after)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _on_thread(self, work: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Run ``work(client)``; ClientError is left to the caller, the rest is translated."""
        if self._closed:
            raise StoreUnavailable(f"The ACL store {self.url} is closed.")

        def run() -> dict[str, Any]:
            try:
                client = self._connected()
                sent = self._clock.now()
                answer = work(client)
            except BotoCoreError as error:
                raise unavailable(error, str(self.url)) from error
            self._compare_clocks(sent, answer)
            return answer

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _compare_clocks(self, sent: float, answer: dict[str, Any]) -> None:
        """How far DynamoDB's time of answering lies outside of when we waited for it."""
        date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        if date:  # in whole seconds
            answered = parsedate_to_datetime(date).timestamp()
            late, early = answered - self._clock.now(), sent - (answered + 1.0)
            self.skew = -late if late > 0 else max(0.0, early)

    def _connected(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = make_client(self.url)
            return self._client


def make_client(url: DynamoDbUrl, *, read_seconds: float = READ_SECONDS) -> Any:
    """A boto3 client for ``url``; usable from several threads. Raises BotoCoreError.

    For an endpoint on this machine (DynamoDB Local) made-up credentials do when there are none.
    """
    # boto3 alone reads AWS_DEFAULT_REGION but not AWS_REGION, which the other SDKs read.
    names = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}
    session = boto3.Session(botocore_session=botocore.session.Session(session_vars=names))
    options: dict[str, Any] = {"region_name": url.region}
    if url.endpoint is not None:
        options |= {
            "endpoint_url": url.endpoint,
            "region_name": session.region_name or "us-east-1",
        }
        if _is_loopback(url.endpoint) and session.get_credentials() is None:
            options |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=THREADS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return session.client("dynamodb", config=config, **options)


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
