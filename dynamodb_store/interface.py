"""What of one of MLflow's store interfaces is not built yet: every such method says so by its name.

Made from the interface itself, so that no method of a new MLflow is skipped in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dynamodb_store.errors import not_implemented


@dataclass(frozen=True)
class Interface:
    """An abstract store of MLflow, and what it takes to have all of it."""

    declared: type
    works_as_inherited: frozenset[str]
    """Methods that only call others, which are built."""
    besides: tuple[str, ...] = ()
    """Methods that MLflow's server calls although the abstract store does not declare them."""

    def methods(self) -> list[str]:
        """The methods that a store of this kind may be asked for."""
        declared = [
            name
            for name, _ in inspect.getmembers(self.declared, inspect.isfunction)
            if not name.startswith("_")
        ]
        return sorted({*declared, *self.besides})

    def missing(self, store: type) -> list[str]:
        """The methods of the interface that ``store`` does not have of its own."""
        return [
            name
            for name in self.methods()
            if name not in self.works_as_inherited
            and getattr(store, name, None) is getattr(self.declared, name, None)
        ]

    def complete(self, store: type) -> type:
        """``store`` with a refusal for each method that is missing, listed as ``not_built``."""
        names = self.missing(store)
        for name in names:
            setattr(store, name, self._refusal(name))
        store.not_built = tuple(names)  # type: ignore[attr-defined]
        return store

    def _refusal(self, name: str) -> Callable[..., Any]:
        def refuse(_: Any, *args: Any, **kwargs: Any) -> Any:
            raise not_implemented(f"{name}()")

        async def refuse_later(_: Any, *args: Any, **kwargs: Any) -> Any:
            raise not_implemented(f"{name}()")

        declared = getattr(self.declared, name, None)
        made = refuse_later if inspect.iscoroutinefunction(declared) else refuse
        made.__name__ = name
        made.__doc__ = "Not built yet; see docs/store.md."
        return made
