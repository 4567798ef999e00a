"""FakeDynamoDb: a boto3 client in front of another (moto) that counts, serialises and fails.

moto is not safe for several threads, hence the lock; real concurrency is tested on DynamoDB Local.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

WRITES = {"put_item", "update_item", "delete_item", "transact_write_items", "batch_write_item"}
READS = {"get_item", "batch_get_item", "query"}

Fault = Callable[[str, dict[str, Any]], dict[str, Any] | None]
"""Given operation and parameters: raise, answer instead of DynamoDB, or None to go on."""


class FakeDynamoDb:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.RLock()
        self.calls: list[str] = []
        self.written: Counter[str] = Counter()
        self.largest_item = 0
        self.weak_reads: list[str] = []
        self.faults: list[Fault] = []
        self._done: set[str] = set()

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._client, operation)
        if operation.startswith("_") or operation in {"close", "get_waiter", "meta"}:
            return method

        def call(**parameters: Any) -> Any:
            with self._lock:
                self.calls.append(operation)
                for fault in list(self.faults):
                    if (answer := fault(operation, parameters)) is not None:
                        return answer
                answer = self.real(operation, parameters)
                self._note(operation, parameters)
                return answer

        return call

    def real(self, operation: str, parameters: dict[str, Any]) -> Any:
        """The call itself, for faults that lose an answer."""
        token = parameters.get("ClientRequestToken")
        if token in self._done:  # as DynamoDB does; moto forgets tokens
            return {}
        answer = getattr(self._client, operation)(**parameters)
        if token:
            self._done.add(token)
        return answer

    def _note(self, operation: str, parameters: dict[str, Any]) -> None:
        tables = parameters.get("RequestItems", {}).values()
        reads = tables if operation == "batch_get_item" else [parameters]
        if operation in READS and not all(read.get("ConsistentRead") for read in reads):
            self.weak_reads.append(operation)
        for item in _touched(operation, parameters):
            self.written[item["pk"]["S"]] += 2 if operation == "transact_write_items" else 1
            self.largest_item = max(self.largest_item, _size({"M": item}))


def _touched(operation: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    if operation == "batch_write_item":
        return [
            request.get("PutRequest", {}).get("Item") or request["DeleteRequest"]["Key"]
            for requests in parameters["RequestItems"].values()
            for request in requests
        ]
    if operation == "transact_write_items":
        actions = [next(iter(one.values())) for one in parameters["TransactItems"]]
        return [action.get("Item") or action["Key"] for action in actions]
    if operation in WRITES:
        return [parameters.get("Item") or parameters["Key"]]
    return []


def _size(attribute: dict[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return 3 + sum(len(name.encode()) + 1 + _size(one) for name, one in value.items())
        case "L":
            return 3 + sum(1 + _size(one) for one in value)
        case "S":
            return len(value.encode())
        case "N" | "B":
            return len(value)
    return 1


def throttle(times: int, operations: set[str] | None = None) -> Fault:
    """The first so many calls are throttled."""
    left = [times]

    def fault(operation: str, parameters: dict[str, Any]) -> None:
        if left[0] and (operations is None or operation in operations):
            left[0] -= 1
            raise client_error("ProvisionedThroughputExceededException", operation)

    return fault


def lose_answers(fake: FakeDynamoDb, lost: list[str] | None = None) -> Fault:
    """Every second write, from the first on, is done and its answer gets lost; ``lost`` lists all
    writes that were tried."""
    tried = [] if lost is None else lost

    def fault(operation: str, parameters: dict[str, Any]) -> None:
        if operation in WRITES:
            tried.append(operation)
            if len(tried) % 2:
                fake.real(operation, parameters)
                raise client_error("InternalServerError", operation)

    return fault


def client_error(code: str, operation: str, message: str = "injected") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
