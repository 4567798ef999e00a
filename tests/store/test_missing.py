"""Nothing of MLflow's interface is skipped in silence."""

from __future__ import annotations

import asyncio
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store.interface import Interface
from dynamodb_store.registry.base import Base as RegistryBase
from dynamodb_store.registry.missing import REGISTRY
from dynamodb_store.registry.missing import WORKS_AS_INHERITED as REGISTRY_INHERITED
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.tracking.base import Base
from dynamodb_store.tracking.missing import WORKS_AS_INHERITED, interface
from dynamodb_store.tracking.store import DynamoDbTrackingStore

DECLARED = {"_move_runs"}
"""Named by one mixin for another that builds it."""

DOC = Path(__file__).parents[2] / "docs" / "store.md"


def test_each_method_is_built_or_inherited_on_purpose_or_refuses(dynamo: Any) -> None:
    assert len(interface()) > 150
    for name in interface():
        member = getattr(DynamoDbTrackingStore, name)
        ours = member.__module__.startswith("dynamodb_store")
        assert ours or name in WORKS_AS_INHERITED, name


def test_the_registry_has_all_of_its_interface() -> None:
    assert len(REGISTRY.methods()) > 45
    for name in REGISTRY.methods():
        ours = getattr(DynamoDbRegistryStore, name).__module__.startswith("dynamodb_store")
        assert ours or name in REGISTRY_INHERITED, name
    assert DynamoDbRegistryStore.not_built == ()


def test_a_method_of_a_new_mlflow_is_refused_by_its_name() -> None:
    class Abstract:
        def old(self) -> str:
            return "inherited"

        def new(self) -> None: ...

        async def later(self) -> None: ...

    @Interface(Abstract, frozenset({"old"}), ("undeclared",)).complete
    class Store(Abstract):
        pass

    assert Store.not_built == ("later", "new", "undeclared")  # type: ignore[attr-defined]
    assert Store().old() == "inherited"
    for call in (Store().new, Store().undeclared, lambda: asyncio.run(Store().later())):  # type: ignore[attr-defined]
        with pytest.raises(MlflowException, match="does not have"):
            call()


def test_what_is_not_built_says_so_by_its_name(dynamo: Any) -> None:
    for name in DynamoDbTrackingStore.not_built:
        with pytest.raises(MlflowException, match=rf"does not have {name}\(\) yet") as refused:
            getattr(dynamo, name)("name")
        assert refused.value.error_code == "NOT_IMPLEMENTED"


@pytest.mark.parametrize(
    ("store", "base"), [(DynamoDbTrackingStore, Base), (DynamoDbRegistryStore, RegistryBase)]
)
def test_families_do_not_take_each_others_private_names(store: type, base: type) -> None:
    """All mixins are one class: a name in two families would silently be one of them's."""
    mixins = [one for one in store.__mro__ if one.__module__.startswith("dynamodb_store")]
    for first, second in combinations(mixins, 2):
        if not issubclass(first, second):
            shared = {name for name in vars(first) if name in vars(second)}
            taken = {
                name
                for name in shared - DECLARED
                if not name.startswith("__") and not hasattr(base, name)
            }
            assert not taken, f"{first.__name__} and {second.__name__} both have {taken}"


def test_the_document_lists_exactly_what_is_not_built() -> None:
    section = DOC.read_text().split("## Not built yet")[1].split("\n## ")[0]
    listed = re.findall(r"`(\w+)`", section.split("<!-- methods -->")[1])
    assert sorted(listed) == sorted(DynamoDbTrackingStore.not_built)


def test_no_two_mixins_have_helpers_of_the_same_name() -> None:
    """Unless one overrides the other, both override what a base has, or one is a placeholder."""
    mixins = [
        one for one in DynamoDbTrackingStore.__mro__ if one.__module__.startswith("dynamodb_store")
    ]
    for number, first in enumerate(mixins[1:], 1):
        for second in mixins[number + 1 :]:
            bases = [one for one in mixins if issubclass(first, one) and issubclass(second, one)]
            allowed = {name for one in bases for name in vars(one)}
            shared = {
                name
                for name in vars(first).keys() & vars(second)
                if not name.startswith("__") and not _placeholder(vars(second)[name])
            }
            assert issubclass(first, second) or shared <= allowed, (first, second)


def _placeholder(member: Any) -> bool:
    code = getattr(member, "__code__", None)
    return code is not None and code.co_names == ("NotImplementedError",)
