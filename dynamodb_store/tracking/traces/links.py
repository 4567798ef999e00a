"""Links of traces to runs and prompts.

Run links are items of the run: a trace may be linked before it has arrived. Prompts lie in the
trace's document, where searches find them.
"""

from __future__ import annotations

from mlflow.entities.model_registry import PromptVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from dynamodb_store import keys
from dynamodb_store.documents import Document
from dynamodb_store.entities.trace import PROMPTS
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces.base import TraceBase

_MOST = 100


class TraceLinks(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        _check_number(trace_ids)
        self.table.batch_write(
            {"pk": pk, "sk": sk, "trace": trace_id}
            for trace_id in dict.fromkeys(trace_ids)
            for pk, sk in [keys.linked_entry(run_id, trace_id)]
        )

    def unlink_traces_from_run(self, trace_ids: list[str], run_id: str) -> None:
        """MLflow's SQL store does not have this one; its client and its page do."""
        _check_number(trace_ids)
        self.table.batch_write(
            deletes=[keys.linked_entry(run_id, trace_id) for trace_id in dict.fromkeys(trace_ids)]
        )

    def _linked_traces(self, run_id: str) -> frozenset[str]:
        """The ids of the traces linked to a run."""
        return frozenset(item["trace"] for item in self.table.query_all(keys.linked_to(run_id)))

    def _purge_links(self, run_id: str) -> None:
        items = self.table.query_all(keys.linked_to(run_id))
        self.table.batch_write(deletes=[(item["pk"], item["sk"]) for item in items])

    def link_prompts_to_trace(self, trace_id: str, prompt_versions: list[PromptVersion]) -> None:
        if not prompt_versions:
            return
        names = [f"{one.name}/{one.version}" for one in prompt_versions]

        def link(document: Document) -> list[Action] | None:
            new = [name for name in names if document.get(PROMPTS, name) is None]
            for name in new:
                document.set(PROMPTS, name, "")
            return [] if new else None

        self._edit_trace(trace_id, link)


def _check_number(trace_ids: list[str]) -> None:
    if len(trace_ids) > _MOST:
        raise MlflowException(
            f"Cannot link more than {_MOST} traces to a run in a single request. "
            f"Provided {len(trace_ids)} traces.",
            error_code=INVALID_PARAMETER_VALUE,
        )
