"""Permanent deletion, as ``mlflow gc`` asks for it. Cut short, it can be asked for again."""

from __future__ import annotations

from collections.abc import Iterable

from mlflow.entities import LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import experiment
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import canonical_id
from dynamodb_store.tracking.logged_models.metrics import ModelMetrics
from dynamodb_store.tracking.search_runs import SearchRuns

_DELETED = LifecycleStage.view_type_to_stages(ViewType.DELETED_ONLY)


class Gc(SearchRuns, ModelMetrics):
    """These names are the ones that ``mlflow gc`` calls (mlflow/cli/__init__.py)."""

    def _get_deleted_runs(self, older_than: int = 0) -> list[str]:
        """Ids of the runs deleted at least ``older_than`` milliseconds ago."""
        until = get_current_time_millis() - older_than
        shards = self.table.parallel(
            lambda shard: list(self.table.query_all(shard)), keys.deleted_shards()
        )
        return [item["sk"] for items in shards for item in items if item["deleted_time"] <= until]

    def _hard_delete_run(self, run_id: str) -> None:
        """Remove a run with its points. Raises MlflowException when there is none."""
        document = self._run(run_id)
        self._purge_run(run_id)
        self._forget_model_metrics(document)
        self._purge(document.pk)
        head = document.head
        self.table.transact(
            [
                _delete((document.pk, keys.HEAD)),
                _delete(keys.run_entry(head["experiment_id"], head["start_time"], run_id)),
                _delete(keys.deleted_run(run_id)),
            ]
        )

    def _hard_delete_experiment(self, experiment_id: str) -> None:
        """Remove a deleted experiment with its runs.

        Raises MlflowException when there is none, or when something outside needs what is in it.
        """
        document = self._experiment(experiment_id, _DELETED)
        canonical = canonical_id(experiment_id)
        self._check_purgeable(canonical)
        for run_ids in self._run_ids(canonical):
            for run_id in run_ids:
                self._hard_delete_left(run_id)
        self._purge_datasets(canonical)
        self._purge_experiment(canonical)
        self._purge(document.pk)
        self._forget(document)

    def _hard_delete_left(self, run_id: str) -> None:
        try:
            self._hard_delete_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _purge_datasets(self, experiment_id: str) -> None:
        places = (keys.dataset_summaries(experiment_id), keys.unused_datasets(experiment_id))
        summaries = [item for place in places for item in self.table.query_all(place)]
        for item in summaries:
            pk = keys.dataset(experiment_id, item["name"], item["digest"])
            self.table.batch_write(deletes=_keys(self.table.query_all(pk)))
        self.table.batch_write(deletes=_keys(summaries))

    def _purge(self, pk: str) -> None:
        """Remove all of a partition but the head of its document."""
        rest = (key for key in _keys(self.table.query_all(pk)) if key[1] != keys.HEAD)
        self.table.batch_write(deletes=rest)

    def _forget(self, document: Document) -> None:
        self.table.transact(
            [
                _delete((document.pk, keys.HEAD)),
                _delete(experiment.entry_key(document)),
                _delete(keys.experiment_name(document.head["name"])),
            ]
        )


def _delete(key: keys.Key) -> Action:
    return ("Delete", {"Key": key})


def _keys(items: Iterable[Item]) -> list[keys.Key]:
    return [(item["pk"], item["sk"]) for item in items]
