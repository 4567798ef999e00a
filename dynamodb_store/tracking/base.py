"""What all mixins of the tracking store share: the table and a few lookups."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import LifecycleStage, ScorerVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store import documents, keys
from dynamodb_store.documents import Document
from dynamodb_store.entities import experiment, run
from dynamodb_store.table import Action, Table

DEFAULT_EXPERIMENT_ID = "0"


class Base(AbstractStore):
    """Holds ``table`` and ``artifact_root_uri``."""

    table: Table
    artifact_root_uri: str

    def _experiment(self, experiment_id: str | None, stages: Sequence[str]) -> Document:
        """The experiment in one of ``stages``. Raises MlflowException."""
        canonical = canonical_id(experiment_id)
        found = documents.read(self.table, keys.experiment(canonical), experiment.SECTIONS)
        return in_stage(found, canonical, stages)

    def _edit_experiment(
        self, experiment_id: str | None, stages: Sequence[str], change: documents.Change
    ) -> Document:
        """Change an experiment and its place in the list of all."""
        canonical = canonical_id(experiment_id)

        def checked(document: Document) -> list[Action] | None:
            also = change(in_stage(document, canonical, stages))
            return None if also is None else [*also, experiment.entry(document)]

        return documents.edit(
            self.table,
            keys.experiment(canonical),
            experiment.SECTIONS,
            lambda: no_experiment(canonical),
            checked,
        )

    def _run(self, run_id: str) -> Document:
        """The run's document. Raises MlflowException."""
        found = documents.read(self.table, keys.run(run_id), run.SECTIONS)
        if found is None:
            raise no_run(run_id)
        return found

    def _edit_run(
        self, run_id: str, change: documents.Change, *, active_only: bool = True
    ) -> Document:
        """Change a run and, once it has ended, its copy in the experiment's list."""

        def checked(document: Document) -> list[Action] | None:
            if active_only:
                check_active(document)
            also = change(document)
            return None if also is None else [*also, *run.changed(document)]

        return documents.edit(
            self.table, keys.run(run_id), run.SECTIONS, lambda: no_run(run_id), checked
        )

    def _scorer_by_id(self, scorer_id: str, version: int) -> tuple[ScorerVersion, Action]:
        """A scorer's version as it is stored, and the condition that it is still there.

        In the family of scorers. Raises MLflow's error when there is none.
        """
        raise NotImplementedError  # in Scorers

    def _check_purgeable(self, experiment_id: str) -> None:
        """Called before anything of an experiment goes for good.

        A family overrides it when what it holds of the experiment may be needed from outside, and
        raises MlflowException then.
        """

    def _purge_experiment(self, experiment_id: str) -> None:
        """Called when an experiment goes for good, before its head does.

        Each family overrides it, removes what it holds of the experiment, and calls super. It
        may be called again for the same experiment when ``mlflow gc`` was cut short.
        """

    def _run_deleted(self, run_id: str) -> None:
        """Called when a run was deleted softly, for what goes with it at once."""

    def _purge_run(self, run_id: str) -> None:
        """The same for a run, before any of it goes."""

    def _purge_trace(self, trace_id: str) -> None:
        """The same for a trace; called from many threads at once, so not for ``parallel``."""


def canonical_id(experiment_id: str | int | None) -> str:
    """MLflow's experiment ids are integers, and none means the default experiment."""
    return str(_parse_experiment_id(experiment_id or DEFAULT_EXPERIMENT_ID))


def in_stage(document: Document | None, experiment_id: str, stages: Sequence[str]) -> Document:
    """The experiment when it exists in one of ``stages``. Raises MlflowException."""
    if document is None or document.head["stage"] not in stages:
        raise no_experiment(experiment_id)
    return document


def no_experiment(experiment_id: str) -> MlflowException:
    """MLflow's error for an experiment that does not exist."""
    return MlflowException(f"No Experiment with id={experiment_id} exists", RESOURCE_DOES_NOT_EXIST)


def no_run(run_id: str) -> MlflowException:
    """MLflow's error for a run that does not exist."""
    return MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)


def check_active(document: Document) -> None:
    """Raises MlflowException when the run is deleted."""
    if not run.is_active(document):
        raise MlflowException(
            f"The run {run.id_of(document)} must be in the 'active' state. "
            f"Current state is {document.head['stage']}.",
            INVALID_PARAMETER_VALUE,
        )


def check_experiment_active(document: Document) -> None:
    """Raises MlflowException when the experiment is deleted."""
    if document.head["stage"] != LifecycleStage.ACTIVE:
        raise MlflowException(
            f"The experiment {experiment.id_of(document)} must be in the 'active' state. "
            f"Current state is {document.head['stage']}.",
            INVALID_PARAMETER_VALUE,
        )
