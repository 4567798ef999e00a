"""The tracking store: all mixins in one class."""

from __future__ import annotations

from mlflow.store.tracking import DEFAULT_ARTIFACTS_URI
from mlflow.utils.uri import resolve_uri_if_local

from dynamodb_store.table import Table
from dynamodb_store.tracking.ai_gateway.attached import Attached
from dynamodb_store.tracking.ai_gateway.budgets import Budgets
from dynamodb_store.tracking.ai_gateway.guardrails import Guardrails
from dynamodb_store.tracking.ai_gateway.secrets import Secrets
from dynamodb_store.tracking.batch import Logging
from dynamodb_store.tracking.evaluation_datasets.search import SearchEvaluationDatasets
from dynamodb_store.tracking.experiments import Experiments
from dynamodb_store.tracking.gc import Gc
from dynamodb_store.tracking.history import History
from dynamodb_store.tracking.inputs import Inputs
from dynamodb_store.tracking.logged_models.search import SearchLoggedModels
from dynamodb_store.tracking.mcp.all import McpRegistry
from dynamodb_store.tracking.missing import complete
from dynamodb_store.tracking.move_runs import MoveRuns
from dynamodb_store.tracking.reviews.all import Reviews
from dynamodb_store.tracking.scorers.online import OnlineScoring
from dynamodb_store.tracking.search_experiments import SearchExperiments
from dynamodb_store.tracking.traces.all import Traces


@complete
class DynamoDbTrackingStore(
    # families, each a mixin of its own package or module
    Traces,
    SearchLoggedModels,
    Secrets,
    Attached,
    Budgets,
    Guardrails,
    SearchEvaluationDatasets,
    OnlineScoring,
    Gc,
    Reviews,
    McpRegistry,
    MoveRuns,
    Inputs,
    Logging,
    History,
    SearchExperiments,
    Experiments,
):
    """MLflow's tracking store in one table; ``docs/store.md`` tells what is where."""

    def __init__(self, table: Table, artifact_uri: str | None = None) -> None:
        super().__init__()
        self.table = table
        self.artifact_root_uri = resolve_uri_if_local(artifact_uri or DEFAULT_ARTIFACTS_URI)
        self._ensure_default_experiment()
