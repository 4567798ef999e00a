"""What signing in needs of the store, in memory: tokens, people, and what was noted."""

from __future__ import annotations

from gateway.acl.store import PersonRecord, StoreUnavailable, TokenRecord


class FakeDirectory:
    """A Directory and Recorder in one; ``down`` makes every call fail."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenRecord] = {}
        self.people: dict[str, PersonRecord] = {}
        self.puts: list[PersonRecord] = []
        self.touched: list[tuple[str, float]] = []
        self.lookups = 0
        self.down = False
        self.on_person: list[object] = []
        """Callables run (once each) while a person is looked up, to interleave a change."""

    async def token(self, token_hash: str, /) -> TokenRecord | None:
        self._check()
        self.lookups += 1
        return self.tokens.get(token_hash)

    async def person(self, name: str, /) -> PersonRecord | None:
        self._check()
        while self.on_person:
            self.on_person.pop()()  # type: ignore[operator]
        return self.people.get(name)

    async def put_person(self, person: PersonRecord, /) -> None:
        self._check()
        self.puts.append(person)
        self.people[person.name] = person

    async def create_person(self, person: PersonRecord, /) -> bool:
        if person.name in self.people:
            return False
        await self.put_person(person)
        return True

    async def touch_token(self, token_hash: str, used: float, /) -> None:
        self._check()
        self.touched.append((token_hash, used))

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("the fake store is down")
