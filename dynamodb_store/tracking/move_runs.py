"""Deleting and restoring all runs of an experiment: 33 runs a transaction, 16 of these at once.

Runs cannot inherit the stage of their experiment when they are read: get_run and each call that
logs would have to read the experiment as well, one more call and a partition that everybody reads.
What is cut short, by a crash or because a request's time is over, goes on with the same call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.run import id_of, restaged
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import REQUEST_SECONDS, Action
from dynamodb_store.tracking.base import canonical_id
from dynamodb_store.tracking.runs import move
from dynamodb_store.tracking.search_runs import SearchRuns

_IN_TRANSACTION = 33
"""Three writes for each run, 100 a transaction."""
_A_QUERY = 500


class MoveRuns(SearchRuns):
    """Used by delete_experiment and restore_experiment."""

    def _move_runs(self, experiment_id: str, stage: str, since: int) -> None:
        """Move those runs that are not in ``stage`` (deleted: since that time) already.

        Raises MlflowException when it has moved some, there may be more, and the time of a request
        is over.
        """
        ends = self.table.now() + REQUEST_SECONDS
        moved = False
        for entries in self._entries(keys.run_shards(canonical_id(experiment_id))):
            if moved and self.table.now() > ends:
                raise MlflowException(
                    f"The runs of experiment {experiment_id} are too many for one request; "
                    "the same call goes on where this one ended.",
                    TEMPORARILY_UNAVAILABLE,
                )
            due = [one for one in self._documents(entries) if not _is_moved(one, stage, since)]
            moved = moved or bool(due)
            slices = [due[at : at + _IN_TRANSACTION] for at in range(0, len(due), _IN_TRANSACTION)]
            left = self.table.parallel(partial(self._move_together, stage), slices)
            alone = [run_id for run_ids in left for run_id in run_ids]
            self.table.parallel(partial(self._move_alone, stage), alone)
            if stage == LifecycleStage.DELETED:
                self.table.parallel(self._run_deleted, [id_of(one) for one in due])

    def _entries(self, partitions: Sequence[str]) -> Iterator[list[Item]]:
        """List entries, a page of each partition at a time."""
        places: dict[str, str | None] = dict.fromkeys(partitions)
        while places:
            pages = self.table.parallel(self._page, list(places.items()))
            yield [item for items, _ in pages for item in items]
            ends = zip(places, (after for _, after in pages), strict=True)
            places = {pk: after for pk, after in ends if after is not None}

    def _page(self, place: tuple[str, str | None]) -> tuple[list[Item], str | None]:
        return self.table.query(place[0], after=place[1], limit=_A_QUERY)

    def _move_together(self, stage: str, part: Sequence[Document]) -> list[str]:
        """Move runs in one transaction; the ids of all of them when one has changed meanwhile."""
        deleted = None if stage == LifecycleStage.ACTIVE else get_current_time_millis()
        actions: list[Action] = [action for one in part for action in restaged(one, stage, deleted)]
        try:
            self.table.transact(actions)
        except ConditionFailed:
            return [id_of(one) for one in part]
        return []

    def _move_alone(self, stage: str, run_id: str) -> None:
        try:
            self._edit_run(run_id, partial(move, stage=stage), active_only=False)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # gc may have been here
                raise


def _is_moved(document: Document, stage: str, since: int) -> bool:
    head = document.head
    if head["stage"] != stage:
        return False
    return stage == LifecycleStage.ACTIVE or int(head["deleted_time"] or 0) >= since
