"""Random sequences of calls on both stores: how calls are drawn, made and compared.

A test draws a list of ``Call`` and gives it to ``Worlds.drive``, which makes them on a new pair of
stores, a second of MLflow's clock apart, and compares every answer and every error code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import moto.backends
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as SqlRegistryStore
from moto import mock_aws

from dynamodb_store.provision import create_table
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.table import Table, make_client
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.both import Both, Ref, Side
from tests.store.conftest import MOTO, sqlite_store
from tests.store.registry_both import Clock

MOST_PAGES = 40


def examples(number: int) -> settings:
    """The same examples each time; a new one takes a fraction of a second, hence no deadline."""
    return settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        print_blob=False,
    )


@dataclass(frozen=True)
class Call:
    """A call of both stores; ``method`` is the name of one of theirs, or a function of a store."""

    method: str | Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    makes: str = ""
    """The kind of what it makes: the first is remembered as ``kind0``, the next as ``kind1``."""
    id_of: str = ""
    paged: bool = False
    """Whether all pages are asked for, one after the other."""
    sort: bool = False
    """Whether MLflow promises no order of the answer."""

    def __repr__(self) -> str:
        name = self.method if isinstance(self.method, str) else self.method.__name__
        given = [repr(one) for one in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{name}({', '.join(given)}){' in pages' if self.paged else ''}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # as hypothesis shows it


@st.composite
def call(draw: Any, method: str | Callable[..., Any], *args: Any, **more: Any) -> Call:
    """Calls whose arguments are drawn; ``kwargs`` is a dictionary of strategies."""
    kwargs = {name: draw(value) for name, value in more.pop("kwargs", {}).items()}
    return Call(method, tuple(draw(one) for one in args), kwargs, **more)


def refs(kind: str, number: int) -> st.SearchStrategy[Ref]:
    """One of the first things of a kind, whether or not it was made."""
    return st.sampled_from([Ref(f"{kind}{at}", f"no-{kind}") for at in range(number)])


@st.composite
def sequences(draw: Any, *steps: st.SearchStrategy[Call], more: int) -> list[Call]:
    """Each of the steps once, in any order (the first example: in the order given), and more."""
    order = draw(st.permutations(range(len(steps))))
    return [draw(steps[at]) for at in order] + draw(st.lists(st.one_of(*steps), max_size=more))


class Worlds:
    """Pairs of empty stores. Making them anew takes a second, so the two are emptied instead."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.tracking = sqlite_store(folder)
        self.registry = SqlRegistryStore(self.tracking.db_uri)
        self._file = folder / "mlflow.db"
        self._empty = self._file.read_bytes()
        create_table(MOTO)
        self._client = make_client(parse_uri(MOTO))

    def close(self) -> None:
        self.registry.engine.dispose()
        self.tracking.engine.dispose()

    def new(self, *, registry: bool = False) -> Both:
        self.close()  # and with it the connections to the file that is replaced
        self._file.write_bytes(self._empty)
        _items_in_moto().clear()
        table = Table(FakeDynamoDb(self._client), parse_uri(MOTO))
        if registry:
            return Both(self.registry, DynamoDbRegistryStore(table))
        return Both(self.tracking, DynamoDbTrackingStore(table, "s3://bucket/root"))

    def drive(self, both: Both, calls: Sequence[Call]) -> None:
        for one in calls:
            self.clock.seconds += 1
            compare(both, one)

    def end(self, both: Both) -> None:
        both.sides[1].store.table.close()


def _items_in_moto() -> Any:
    """What moto's one table holds; emptying it takes no time, a new table half a second.

    Looked up each time: moto puts another table in its place when a transaction fails.
    """
    (regions,) = moto.backends.get_backend("dynamodb").values()
    uri = parse_uri(MOTO)
    return regions[uri.region].tables[uri.table].items


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    clock = Clock()
    monkeypatch.setattr("mlflow.utils.time.time", clock)
    with mock_aws():
        made = Worlds(tmp_path, clock)
        yield made
        made.close()


def compare(both: Both, one: Call) -> Any:
    """Make the call on both sides; what they say, which is asserted to be the same."""
    if one.paged:
        return _compare_pages(both, one)
    answers = [_answer(side, one, one.kwargs) for side in both.sides]
    plain = [_plain(side, one, answer) for side, answer in zip(both.sides, answers, strict=True)]
    return _same(one, plain)


def _answer(side: Side, one: Call, kwargs: dict[str, Any]) -> Any:
    try:
        answer = side.made_by(one.method, one.args, kwargs)
    except MlflowException as error:
        return ("error", error.error_code)
    if one.makes:
        number = sum(name.rstrip("0123456789") == one.makes for name in side.made)
        side.made[f"{one.makes}{number}"] = str(getattr(answer, one.id_of))
    return answer


def _plain(side: Side, one: Call, answer: Any) -> Any:
    plain = side.plain(answer)
    return sorted(plain, key=str) if one.sort and isinstance(plain, list) else plain


def _compare_pages(both: Both, one: Call) -> Any:
    tokens: list[Any] = [None, None]
    pages: list[Any] = []
    while len(pages) < MOST_PAGES:
        read = []
        for number, side in enumerate(both.sides):
            answer = _answer(side, one, {**one.kwargs, "page_token": tokens[number]})
            tokens[number] = None
            if not _refused(answer):
                answer, tokens[number] = _page(answer)
            read.append((_plain(side, one, answer), tokens[number] is None))
        pages.append(_same(one, read)[0])
        if tokens[0] is None:
            return pages
    raise AssertionError(f"pages without end: {one}")


def _same(one: Call, answers: Sequence[Any]) -> Any:
    theirs, ours = answers
    assert ours == theirs, f"{one}\nSQL:  {theirs}\nours: {ours}"
    return ours


def _refused(answer: Any) -> bool:
    return isinstance(answer, tuple) and answer[:1] == ("error",)


def _page(answer: Any) -> tuple[list[Any], Any]:
    if isinstance(answer, tuple):  # as search_traces answers
        found, token = answer
        return list(found), token or None
    return list(answer), answer.token or None
