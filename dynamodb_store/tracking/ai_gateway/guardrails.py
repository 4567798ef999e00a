"""Guardrails: scorers that look at what goes through an endpoint, and where they are put.

A guardrail holds a copy of its scorer's version, and counts as a use of it, so that the version
stays as long as the guardrail does. Its places are part of each endpoint's record; those of a
guardrail that is gone are not read any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from mlflow.entities.gateway_guardrail import (
    GatewayGuardrail,
    GatewayGuardrailConfig,
    GuardrailAction,
    GuardrailStage,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.ai_gateway import guardrail_config_of, guardrail_of, scorer_body
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Action
from dynamodb_store.tracking.ai_gateway.base import (
    ENDPOINT,
    GUARDRAIL,
    GatewayBase,
    Guards,
    Kind,
    exists,
    stamped,
)
from dynamodb_store.tracking.ai_gateway.budgets import page

PLACE = Kind(keys.ENDPOINTS, "Endpoint", "endpoint_id")


class Guardrails(GatewayBase):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def create_gateway_guardrail(
        self,
        name: str,
        scorer_id: str,
        scorer_version: int,
        stage: GuardrailStage,
        action: GuardrailAction,
        action_endpoint_id: str | None = None,
        created_by: str | None = None,
    ) -> GatewayGuardrail:
        from mlflow.genai.scorers.base import _serialized_scorer_is_custom_code  # slow to import

        scorer, still_there = self._scorer_by_id(scorer_id, scorer_version)
        if _serialized_scorer_is_custom_code(scorer._serialized_scorer):
            # Its source would run in the server.
            raise MlflowException(
                "Gateway guardrails do not support custom scorers defined with the @scorer "
                "decorator. Use a built-in scorer or a judge created with make_judge.",
                INVALID_PARAMETER_VALUE,
            )
        body = {
            "name": name,
            "scorer": scorer_body(scorer),
            "stage": stage.value,
            "action": action.value,
            "endpoint_id": action_endpoint_id,
            **stamped(get_current_time_millis(), created_by),
        }
        record = Record(keys.GUARDRAILS, f"gr-{uuid.uuid4().hex}", body)
        guards = Guards()
        guards.add(
            still_there,
            lambda: MlflowException(
                f"Scorer with ID '{scorer_id}' and version {scorer_version} not found.",
                RESOURCE_DOES_NOT_EXIST,
            ),
        )
        guards.add(_count(body["scorer"], 1))
        if action_endpoint_id is not None:
            if not action_endpoint_id:
                raise _no_endpoint()
            guards.add(exists((keys.ENDPOINTS, action_endpoint_id)), _no_endpoint)
        self._create(record, guards)
        return self._guardrails([record])[record.sk]

    def get_gateway_guardrail(self, guardrail_id: str) -> GatewayGuardrail:
        return self._guardrails([self._record(GUARDRAIL, guardrail_id)])[guardrail_id]

    def delete_gateway_guardrail(self, guardrail_id: str) -> None:
        """Gone from all endpoints in the same moment; what they hold of it is tidied up after."""
        self._remove(
            GUARDRAIL,
            guardrail_id,
            lambda record, guards: guards.add(_count(record.body["scorer"], -1)),
        )
        for record in self._all(ENDPOINT):
            if any(one["guardrail_id"] == guardrail_id for one in record.body["guardrails"]):
                self._forget_guardrail(record.sk, guardrail_id)

    def _forget_guardrail(self, endpoint_id: str, guardrail_id: str) -> None:
        try:
            self.remove_guardrail_from_endpoint(endpoint_id, guardrail_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def list_gateway_guardrails(
        self, max_results: int = SEARCH_MAX_RESULTS_DEFAULT, page_token: str | None = None
    ) -> PagedList[GatewayGuardrail]:
        found, token = page(records.listed(self.table, keys.GUARDRAILS), max_results, page_token)
        return PagedList(list(self._guardrails(found).values()), token)

    def add_guardrail_to_endpoint(
        self,
        endpoint_id: str,
        guardrail_id: str,
        execution_order: int | None = None,
        created_by: str | None = None,
    ) -> GatewayGuardrailConfig:
        guardrail = self.get_gateway_guardrail(guardrail_id)
        new = {
            "guardrail_id": guardrail_id,
            "order": execution_order,
            "created_at": get_current_time_millis(),
            "created_by": created_by,
        }

        def change(record: Record, guards: Guards) -> None:
            if _config(record, guardrail_id) is not None:
                raise MlflowException(
                    f"Guardrail '{guardrail_id}' is already added to endpoint '{endpoint_id}'",
                    RESOURCE_ALREADY_EXISTS,
                )
            guards.needs(GUARDRAIL, guardrail_id)
            record.body["guardrails"].append(new)

        self._edit(PLACE, endpoint_id, change)
        return guardrail_config_of(endpoint_id, new, guardrail)

    def update_endpoint_guardrail_config(
        self, endpoint_id: str, guardrail_id: str, execution_order: int | None = None
    ) -> GatewayGuardrailConfig:
        changed: list[Body] = []

        def change(record: Record, guards: Guards) -> None:
            found = _config(record, guardrail_id)
            if found is None:
                raise _no_config(endpoint_id, guardrail_id)
            found["order"] = execution_order
            guards.add(
                exists((keys.GUARDRAILS, guardrail_id)),
                lambda: _no_config(endpoint_id, guardrail_id),
            )
            changed[:] = [found]

        self._edit(PLACE, endpoint_id, change)
        guardrail = self.get_gateway_guardrail(guardrail_id)
        return guardrail_config_of(endpoint_id, changed[0], guardrail)

    def remove_guardrail_from_endpoint(self, endpoint_id: str, guardrail_id: str) -> None:
        def change(record: Record, guards: Guards) -> None:
            found = _config(record, guardrail_id)
            if found is None:
                raise _no_config(endpoint_id, guardrail_id)
            record.body["guardrails"].remove(found)

        self._edit(PLACE, endpoint_id, change)

    def list_endpoint_guardrail_configs(self, endpoint_id: str) -> list[GatewayGuardrailConfig]:
        """In the order of execution; without one comes last."""
        configs: list[Body] = self._record(PLACE, endpoint_id).body["guardrails"]
        wanted = [(keys.GUARDRAILS, one["guardrail_id"]) for one in configs]
        found = self._guardrails(records.get_many(self.table, wanted))
        return [
            guardrail_config_of(endpoint_id, one, found[one["guardrail_id"]])
            for one in sorted(configs, key=_order)
            if one["guardrail_id"] in found
        ]

    def _guardrails(self, found: Iterable[Record]) -> dict[str, GatewayGuardrail]:
        """The entities, with the names of the endpoints that still exist."""
        rows = list(found)
        wanted = [
            (keys.ENDPOINTS, row.body["endpoint_id"]) for row in rows if row.body["endpoint_id"]
        ]
        endpoints = records.get_many(self.table, wanted)
        names = {endpoint.sk: endpoint.body["name"] for endpoint in endpoints}
        return {row.sk: guardrail_of(row, names.get(row.body["endpoint_id"])) for row in rows}


def scorer_unused(scorer_id: str, version: int) -> Action:
    """For the transaction that deletes a scorer's version: no guardrail may run it."""
    return (
        "Delete",
        {
            "Key": keys.scorer_uses(scorer_id, version),
            "ConditionExpression": "attribute_not_exists(pk) OR n = :none",
            "ExpressionAttributeValues": {":none": 0},
        },
    )


def _count(scorer: Body, change: int) -> Action:
    key = keys.scorer_uses(scorer["scorer_id"], scorer["scorer_version"])
    return (
        "Update",
        {
            "Key": key,
            "UpdateExpression": "ADD n :change",
            "ExpressionAttributeValues": {":change": change},
        },
    )


def _config(record: Record, guardrail_id: str) -> Body | None:
    configs: list[Body] = record.body["guardrails"]
    return next((one for one in configs if one["guardrail_id"] == guardrail_id), None)


def _order(config: Body) -> tuple[bool, int, str]:
    order = config["order"]
    return (order is None, order or 0, config["guardrail_id"])


def _no_config(endpoint_id: str, guardrail_id: str) -> MlflowException:
    return MlflowException(
        f"GuardrailConfig not found (endpoint_id='{endpoint_id}', guardrail_id='{guardrail_id}')",
        RESOURCE_DOES_NOT_EXIST,
    )


def _no_endpoint() -> MlflowException:
    # A foreign key of MLflow's SQL store, hence its code.
    return MlflowException("The endpoint to sanitize with does not exist.", BAD_REQUEST)
