"""A store that a test can take down, and whose answers it can hold back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.acl.store import Store, StoreUnavailable


class FakeGatedStore:
    """Passes everything to ``inner``.

    ``down``: every call fails. ``hold(name)``: calls of that name do their work at once but keep
    the answer until the returned event is set; ``held`` counts those that wait.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._gates: dict[str, asyncio.Event] = {}
        self.down = False
        self.calls: list[str] = []
        self.held = 0
        self.arrived = asyncio.Event()

    def hold(self, name: str) -> asyncio.Event:
        self._gates[name] = asyncio.Event()
        self.arrived.clear()
        return self._gates[name]

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.down:
                raise StoreUnavailable("the test took the store down")
            answer = await method(*args, **kwargs)
            gate = self._gates.get(name)
            if gate is not None and not gate.is_set():
                self.held += 1
                self.arrived.set()
                await gate.wait()
            return answer

        return call
