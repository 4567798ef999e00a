"""Every kind that can be carried, in the order of writing; and the tables that are not carried.

A family adds its kinds to ``KINDS`` and the beginnings of its partition keys to ``PREFIXES``.
"""

from __future__ import annotations

from dynamodb_store import keys
from dynamodb_store.transfer.ai_endpoints import Endpoints
from dynamodb_store.transfer.ai_gateway import Budgets, ModelDefinitions, Secrets
from dynamodb_store.transfer.datasets import Datasets
from dynamodb_store.transfer.evaluation import (
    EvaluationDatasets,
    EvaluationLinks,
    EvaluationRecords,
)
from dynamodb_store.transfer.experiments import Experiments
from dynamodb_store.transfer.guardrails import GuardrailPlaces, Guardrails
from dynamodb_store.transfer.issues import Issues
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.logged_models import LoggedModelMetrics, LoggedModels
from dynamodb_store.transfer.mcp import McpServers
from dynamodb_store.transfer.metrics import Metrics
from dynamodb_store.transfer.registry import RegisteredModels
from dynamodb_store.transfer.reviews import LabelSchemas, ReviewItems, ReviewQueues
from dynamodb_store.transfer.runs import Runs
from dynamodb_store.transfer.scorers import Scorers
from dynamodb_store.transfer.trace_links import TraceLinks
from dynamodb_store.transfer.traces import Traces
from dynamodb_store.transfer.webhooks import Webhooks

KINDS: tuple[Kind, ...] = (
    Experiments(),
    Datasets(),
    Runs(),
    Metrics(),
    LoggedModels(),
    LoggedModelMetrics(),
    Traces(),
    TraceLinks(),
    RegisteredModels(),
    Webhooks(),
    LabelSchemas(),
    ReviewQueues(),
    ReviewItems(),
    Issues(),
    McpServers(),
    EvaluationDatasets(),
    EvaluationRecords(),
    EvaluationLinks(),
    Scorers(),
    Secrets(),
    ModelDefinitions(),
    Endpoints(),
    Budgets(),
    Guardrails(),
    GuardrailPlaces(),
)

PREFIXES = (
    *("C", "E#", "N#", keys.EXPERIMENTS, "R#", "L#", "Z#", "S#", "Y#", keys.IMPORT[0]),
    *("LM#", "LML#", "LMZ#"),
    *("RM#", "RN#", keys.MODELS, keys.PROMPTS, keys.DELETED_MODELS, "RR#", "RS#"),
    *(keys.WEBHOOKS, f"{keys.WEBHOOKS}//", keys.DELETED_WEBHOOKS, f"{keys.DELETED_WEBHOOKS}//"),
    *("ED#", "EDL#", "EDR#", "EDI#", "AF#", "AR#"),
    *("SC#", "SCV#", keys.SCORING_CONFIGS, f"{keys.SCORING_CONFIGS}//", "AI#"),
    *("TR#", "TRL#", "TRS#", "TRU#", "TRA#", "TRR#", "TRG#"),
    *("LS#", "LSI#", "LSN#", "RQ#", "RQI#", "RQN#", "RQE#", "RQM#"),
    *("IS#", "ISI#", "ISR#", "IST#", keys.EXPERIMENTS_WITH_ISSUES),
    *(keys.MCP_SERVERS, f"{keys.MCP_SERVERS}//", "MSV#"),
)
"""What the partition keys of all carried items begin with, or are when without ``#``."""

MADE_BY_MLFLOW = {"alembic_version": 1, "workspaces": 1}
"""A new database has this many rows in them (the default workspace)."""

DERIVED = frozenset(
    {
        "sql_trace_metric_daily_rollups",
        "sql_span_cost_daily_rollups",
        "sql_assessment_daily_rollups",
        "sql_trace_rollup_rebuild_queue",
    }
)
"""Sums over traces that MLflow's SQL store makes again by itself."""


def carried() -> set[str]:
    """Names of the SQL tables that are carried."""
    return {name for kind in KINDS for name in kind.tables()}


def is_known(partition: str) -> bool:
    """Whether a partition of the table belongs to a kind that is carried."""
    return any(
        partition.startswith(one) if one.endswith(("#", "/")) else partition == one
        for one in PREFIXES
    )
