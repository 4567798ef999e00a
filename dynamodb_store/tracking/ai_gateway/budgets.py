"""Budget policies: how much may be spent, by whom, in which window."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetTargetScope,
    BudgetUnit,
    GatewayBudgetPolicy,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT, SEARCH_MAX_RESULTS_THRESHOLD
from mlflow.store.tracking.gateway.sqlalchemy_mixin import _normalize_budget_target_value
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.ai_gateway import budget_of
from dynamodb_store.records import Body, Record
from dynamodb_store.tracking.ai_gateway.base import (
    BUDGET,
    ENDPOINT,
    GatewayBase,
    Guards,
    stamped,
)

_ENDPOINT = BudgetTargetScope.ENDPOINT.value


class Budgets(GatewayBase):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def create_budget_policy(
        self,
        budget_unit: BudgetUnit,
        budget_amount: float,
        duration: BudgetDuration,
        target_scope: BudgetTargetScope,
        budget_action: BudgetAction,
        created_by: str | None = None,
        target_value: str | None = None,
    ) -> GatewayBudgetPolicy:
        scope = _word(target_scope)
        body = {
            "unit": _word(budget_unit),
            "amount": budget_amount,
            "duration_unit": duration.unit.value,
            "duration_value": duration.value,
            "scope": scope,
            "action": _word(budget_action),
            "target": _normalize_budget_target_value(scope, target_value),
            **stamped(get_current_time_millis(), created_by),
        }
        record = Record(keys.BUDGETS, f"bp-{uuid.uuid4().hex}", body)
        guards = Guards()
        if scope == _ENDPOINT:
            guards.needs(ENDPOINT, body["target"])
        made = _checked(record)
        self._create(record, guards)
        return made

    def get_budget_policy(self, budget_policy_id: str) -> GatewayBudgetPolicy:
        return budget_of(self._record(BUDGET, budget_policy_id))

    def update_budget_policy(
        self,
        budget_policy_id: str,
        budget_unit: BudgetUnit | None = None,
        budget_amount: float | None = None,
        duration: BudgetDuration | None = None,
        target_scope: BudgetTargetScope | None = None,
        budget_action: BudgetAction | None = None,
        updated_by: str | None = None,
        target_value: str | None = None,
    ) -> GatewayBudgetPolicy:
        given: Body = {
            "unit": _word(budget_unit),
            "amount": budget_amount,
            "duration_unit": duration.unit.value if duration is not None else None,
            "duration_value": duration.value if duration is not None else None,
            "scope": _word(target_scope),
            "action": _word(budget_action),
            "last_updated_by": updated_by,
        }

        def change(record: Record, guards: Guards) -> None:
            body = record.body
            if given["scope"] not in (None, body["scope"]):
                body["target"] = None  # it meant something in the other scope only
            body |= {name: value for name, value in given.items() if value is not None}
            if target_value is not None:
                body["target"] = target_value
            body["target"] = _normalize_budget_target_value(body["scope"], body["target"])
            if target_value is not None and body["scope"] == _ENDPOINT:
                guards.needs(ENDPOINT, body["target"])
            body["last_updated_at"] = get_current_time_millis()
            _checked(record)

        return budget_of(self._edit(BUDGET, budget_policy_id, change))

    def delete_budget_policy(self, budget_policy_id: str) -> None:
        self._remove(BUDGET, budget_policy_id, lambda record, guards: None)

    def list_budget_policies(
        self, max_results: int = SEARCH_MAX_RESULTS_DEFAULT, page_token: str | None = None
    ) -> PagedList[GatewayBudgetPolicy]:
        found, token = page(records.listed(self.table, keys.BUDGETS), max_results, page_token)
        return PagedList([budget_of(record) for record in found], token)


def page(
    found: Iterable[Record], max_results: int, page_token: str | None
) -> tuple[list[Record], str | None]:
    """One page of records in the order of their ids, by MLflow's own offset tokens."""
    if max_results is None or not 1 <= max_results <= SEARCH_MAX_RESULTS_THRESHOLD:
        raise MlflowException(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be "
            f"a positive integer, at most {SEARCH_MAX_RESULTS_THRESHOLD}",
            INVALID_PARAMETER_VALUE,
        )
    offset = SearchUtils.parse_start_offset_from_page_token(page_token)
    rows = list(islice(found, offset, offset + max_results + 1))
    more = len(rows) > max_results
    token = SearchUtils.create_page_token(offset + max_results) if more else None
    return rows[:max_results], token


def _word(value: Any) -> Any:
    """An enum's value; MLflow takes the word itself as well."""
    return getattr(value, "value", value)


def _checked(record: Record) -> GatewayBudgetPolicy:
    """The entity. Raises MlflowException for words that MLflow does not know."""
    try:
        return budget_of(record)
    except ValueError as error:  # MLflow's SQL store fails at the same place
        raise MlflowException(str(error), INTERNAL_ERROR) from error
