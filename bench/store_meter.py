"""A boto3 client in front of another that notes calls, capacity units and rounds.

A *round* is a call that had to wait for another. It is counted in a pass of its own, in which
every call takes ``LINGER`` longer, so that calls made at once do overlap whatever the machine does.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

LINGER = 0.25
_DATA = {
    "get_item", "batch_get_item", "query", "put_item", "update_item", "delete_item",
    "batch_write_item", "transact_write_items", "transact_get_items",
}  # fmt: skip
_WRITES = {"put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items"}


@dataclass
class Cost:
    """What one MLflow call cost."""

    calls: int = 0
    rounds: int = 0
    read: float = 0.0
    written: float = 0.0


@dataclass
class Meter:
    """Use it as the client of a ``Table``."""

    client: Any
    linger: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _spans: list[tuple[float, float]] = field(default_factory=list)
    _cost: Cost = field(default_factory=Cost)

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self.client, operation)
        if operation not in _DATA:
            return method

        def call(**parameters: Any) -> Any:
            began = time.monotonic()
            answer = method(**parameters, ReturnConsumedCapacity="TOTAL")
            time.sleep(self.linger)
            self._note(operation, answer, began)
            return answer

        return call

    def _note(self, operation: str, answer: dict[str, Any], began: float) -> None:
        used = answer.get("ConsumedCapacity") or []
        units = sum(one["CapacityUnits"] for one in (used if isinstance(used, list) else [used]))
        with self._lock:
            self._spans.append((time.monotonic(), began))
            self._cost.calls += 1
            if operation in _WRITES:
                self._cost.written += units
            else:
                self._cost.read += units

    def take(self) -> Cost:
        """The cost since the last time."""
        with self._lock:
            cost, spans = self._cost, sorted(self._spans)
            self._cost, self._spans = Cost(), []
        free = 0.0
        for ended, began in spans:  # the longest chain of calls that do not overlap
            if began >= free:
                cost.rounds += 1
                free = ended
        return cost
