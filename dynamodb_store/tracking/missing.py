"""What of MLflow's interface is not built yet: every such method says so by its name.

Made from the interface itself, so that no method of a new MLflow is skipped in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mlflow.store.tracking.abstract_store import AbstractStore

from dynamodb_store.errors import not_implemented

WORKS_AS_INHERITED = frozenset(
    {
        # they call methods that are built, or need none
        "resolve_trace_archival_config",
        "search_runs",
        "delete_traces",
        "log_metric_async",
        "log_param_async",
        "log_batch_async",
        "log_spans_async",
        "set_tag_async",
        "end_async_logging",
        "flush_async_logging",
        "shut_down_async_logging",
    }
)

BESIDES_THE_INTERFACE = (
    "deprecated_start_trace_v2",
    "deprecated_end_trace_v2",
    "log_logged_model_params",
    "search_entities_by_source",
    "search_entities_by_destination",
    "_load_dataset_records",
)
"""Methods that MLflow's server calls although its abstract store does not declare them."""


def interface() -> list[str]:
    """The methods that a tracking store may be asked for."""
    declared = [
        name
        for name, member in inspect.getmembers(AbstractStore, inspect.isfunction)
        if not name.startswith("_")
    ]
    return sorted({*declared, *BESIDES_THE_INTERFACE})


def missing(store: type) -> list[str]:
    """The methods of the interface that ``store`` does not have of its own."""
    return [
        name
        for name in interface()
        if name not in WORKS_AS_INHERITED
        and getattr(store, name, None) is getattr(AbstractStore, name, None)
    ]


def complete(store: type) -> type:
    """``store`` with a refusal for each method that is missing, listed as ``not_built``."""
    names = missing(store)
    for name in names:
        setattr(store, name, _refusal(name))
    store.not_built = tuple(names)  # type: ignore[attr-defined]
    return store


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise not_implemented(f"{name}()")

    async def refuse_later(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise not_implemented(f"{name}()")

    declared = getattr(AbstractStore, name, None)
    made = refuse_later if inspect.iscoroutinefunction(declared) else refuse
    made.__name__ = name
    made.__doc__ = "Not built yet; see docs/store.md."
    return made
