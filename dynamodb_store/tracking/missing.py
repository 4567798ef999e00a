"""What of the tracking store's interface works as inherited; the rest has to be built."""

from __future__ import annotations

from mlflow.store.tracking.abstract_store import AbstractStore

from dynamodb_store.interface import Interface

WORKS_AS_INHERITED = frozenset(
    {
        # MLflow's SQL store does not have it either, and says so with the same error
        "get_online_trace_details",
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
    "_get_decrypted_secret",
)
"""Methods that MLflow's server calls although its abstract store does not declare them."""

TRACKING = Interface(AbstractStore, WORKS_AS_INHERITED, BESIDES_THE_INTERFACE)
interface = TRACKING.methods
missing = TRACKING.missing
complete = TRACKING.complete
