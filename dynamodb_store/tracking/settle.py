"""Copies of quiet runs in their experiments' lists, made by the searches that had to fetch them.

Runs whose process died never end, and only a reader can tell that a run has gone quiet. Strong
reads stay strong: the copy is written in one transaction that fails when the run has changed, and
marks the run, whose next change takes the copy away.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.exceptions import MlflowException

from dynamodb_store.documents import Document
from dynamodb_store.entities import run
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action, Table

AT_MOST = 500
"""Runs that one search copies: about 250 write units for each of a list's 8 partitions."""
_WORTHWHILE = 50
"""Fewer are fetched with the first BatchGet anyway."""
_IN_TRANSACTION = 50


def settle(table: Table, documents: Sequence[Document]) -> None:
    """Copy these runs if that is worthwhile, and as far as nothing is in the way."""
    if len(documents) < _WORTHWHILE:
        return
    slices = [
        documents[at : at + _IN_TRANSACTION] for at in range(0, len(documents), _IN_TRANSACTION)
    ]

    def copy(part: Sequence[Document]) -> None:
        actions: list[Action] = [action for one in part for action in run.settled(one)]
        try:
            if actions:
                table.transact(actions, patient=False)
        except (ConditionFailed, MlflowException):
            return  # changed since, or throttled, or we may only read: the search has its answer

    table.parallel(copy, slices)
