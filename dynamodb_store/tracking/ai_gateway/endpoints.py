"""Endpoints: one record with its models, tags, bindings and guardrails, so one write cascades."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mlflow.entities import (
    ExperimentTag,
    FallbackConfig,
    GatewayEndpoint,
    GatewayEndpointModelConfig,
    RoutingStrategy,
)
from mlflow.entities.gateway_endpoint import GatewayModelLinkageType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.tracking.gateway.sqlalchemy_mixin import _validate_one_of
from mlflow.utils.mlflow_tags import (
    MLFLOW_EXPERIMENT_IS_GATEWAY,
    MLFLOW_EXPERIMENT_SOURCE_ID,
    MLFLOW_EXPERIMENT_SOURCE_TYPE,
)
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store import keys
from dynamodb_store.entities.ai_gateway import endpoint_of, fallback_body, mapping_body
from dynamodb_store.records import Body, Record
from dynamodb_store.tracking.ai_gateway.base import (
    DEFINITION,
    ENDPOINT,
    Guards,
    exists,
    stamped,
    touched,
)
from dynamodb_store.tracking.ai_gateway.definitions import Definitions, joined

MAX_DEFINITIONS = 45
"""Different models of one endpoint: exchanging all of them must fit a transaction of 100."""

Configs = Sequence[GatewayEndpointModelConfig]


class Endpoints(Definitions):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def create_gateway_endpoint(
        self,
        name: str,
        model_configs: list[GatewayEndpointModelConfig],
        created_by: str | None = None,
        routing_strategy: RoutingStrategy | None = None,
        fallback_config: FallbackConfig | None = None,
        experiment_id: str | None = None,
        usage_tracking: bool = True,
    ) -> GatewayEndpoint:
        if not model_configs:
            raise MlflowException(
                "Endpoint must have at least one model configuration", INVALID_PARAMETER_VALUE
            )
        wanted = {config.model_definition_id for config in model_configs}
        definitions = self._definitions(wanted)
        if missing := wanted - set(definitions):
            raise MlflowException(
                f"Model definitions not found: {', '.join(sorted(missing))}",
                RESOURCE_DOES_NOT_EXIST,
            )
        endpoint_id = f"e-{uuid.uuid4().hex}"
        if usage_tracking and experiment_id is None:
            experiment_id = self._traces_experiment(name, endpoint_id)
        now = get_current_time_millis()
        body = {
            "name": name,
            "models": _mappings(model_configs, now, created_by),
            "tags": {},
            "bindings": [],
            "guardrails": [],
            "routing": routing_strategy.value if routing_strategy else None,
            "fallback": fallback_body(fallback_config)
            if fallback_config or _falls_back(model_configs)
            else None,
            "experiment_id": _canonical(experiment_id),
            "usage_tracking": usage_tracking,
            **stamped(now, created_by),
        }
        record = Record(keys.ENDPOINTS, endpoint_id, body)
        guards = Guards()
        guards.take(ENDPOINT, name, endpoint_id, _taken(name))
        count_uses(guards, [], body["models"])
        _need_experiment(guards, body["experiment_id"])
        self._create(record, guards)
        return endpoint_of(record, definitions)

    def get_gateway_endpoint(
        self, endpoint_id: str | None = None, name: str | None = None
    ) -> GatewayEndpoint:
        _validate_one_of("endpoint_id", endpoint_id, "name", name)
        if endpoint_id:
            return self._endpoint_of(self._record(ENDPOINT, endpoint_id))
        return self._endpoint_of(self._by_name(ENDPOINT, name))

    def update_gateway_endpoint(
        self,
        endpoint_id: str,
        name: str | None = None,
        updated_by: str | None = None,
        routing_strategy: RoutingStrategy | None = None,
        fallback_config: FallbackConfig | None = None,
        model_configs: list[GatewayEndpointModelConfig] | None = None,
        experiment_id: str | None = None,
        usage_tracking: bool | None = None,
    ) -> GatewayEndpoint:
        def change(record: Record, guards: Guards) -> None:
            body = record.body
            if name is not None and name != body["name"]:
                guards.take(ENDPOINT, name, record.sk, _taken(name))
                guards.free(ENDPOINT, body["name"])
                body["name"] = name
            if usage_tracking is not None:
                body["usage_tracking"] = usage_tracking
            traces = experiment_id
            if usage_tracking and traces is None and body["experiment_id"] is None:
                traces = self._traces_experiment(body["name"], record.sk)
            if traces is not None:
                body["experiment_id"] = _canonical(traces)
                _need_experiment(guards, body["experiment_id"])
            if routing_strategy is not None:
                body["routing"] = routing_strategy.value
            now = get_current_time_millis()
            if model_configs is not None:
                mappings = _mappings(model_configs, now, updated_by)
                count_uses(guards, body["models"], mappings)
                body["models"] = mappings
            if model_configs is not None or fallback_config is not None:
                body["fallback"] = fallback_body(fallback_config)
            touched(body, now, updated_by)

        return self._endpoint_of(self._edit(ENDPOINT, endpoint_id, change))

    def delete_gateway_endpoint(self, endpoint_id: str) -> None:
        def change(record: Record, guards: Guards) -> None:
            guards.free(ENDPOINT, record.body["name"])
            count_uses(guards, record.body["models"], [])

        self._remove(ENDPOINT, endpoint_id, change)

    def list_gateway_endpoints(
        self, provider: str | None = None, secret_id: str | None = None
    ) -> list[GatewayEndpoint]:
        """As in SQL, an endpoint that lost all its models is not listed."""
        found, models, secrets = self._partitions(keys.ENDPOINTS, keys.DEFINITIONS, keys.SECRETS)
        definitions = joined(models, secrets)
        fitting = {
            definition.model_definition_id
            for definition in definitions.values()
            if (not provider or definition.provider == provider)
            and (not secret_id or definition.secret_id == secret_id)
        }
        return [
            endpoint_of(record, definitions)
            for record in found
            if any(mapping["definition_id"] in fitting for mapping in record.body["models"])
        ]

    def _purge_experiment(self, experiment_id: str) -> None:
        """Endpoints whose traces went to the experiment lose it, as SQL's foreign key says."""

        def change(record: Record, guards: Guards) -> None:
            if record.body["experiment_id"] == experiment_id:
                record.body["experiment_id"] = None

        for record in self._all(ENDPOINT):
            if record.body["experiment_id"] == experiment_id:
                self._edit(ENDPOINT, record.sk, change)
        super()._purge_experiment(experiment_id)

    def _endpoint_of(self, record: Record) -> GatewayEndpoint:
        ids = {mapping["definition_id"] for mapping in record.body["models"]}
        return endpoint_of(record, self._definitions(ids))

    def _traces_experiment(self, name: str, endpoint_id: str) -> str:
        """The experiment of an endpoint's traces; the one of that name when there is one."""
        called = f"gateway/{name}"
        tags = [
            ExperimentTag(MLFLOW_EXPERIMENT_SOURCE_TYPE, "GATEWAY"),
            ExperimentTag(MLFLOW_EXPERIMENT_SOURCE_ID, endpoint_id),
            ExperimentTag(MLFLOW_EXPERIMENT_IS_GATEWAY, "true"),
        ]
        try:
            return str(self.create_experiment(called, None, tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if (found := self.get_experiment_by_name(called)) is None:
                raise
            return str(found.experiment_id)


def count_uses(guards: Guards, before: Iterable[Body], after: Iterable[Body]) -> None:
    """The counters of the definitions that an endpoint begins or ceases to use."""
    change = Counter(mapping["definition_id"] for mapping in after)
    if len(change) > MAX_DEFINITIONS:
        raise MlflowException(
            f"An endpoint can have at most {MAX_DEFINITIONS} different model definitions here.",
            INVALID_PARAMETER_VALUE,
        )
    change.subtract(mapping["definition_id"] for mapping in before)
    for definition_id, number in sorted(change.items()):
        if not definition_id:
            raise DEFINITION.missing_id(definition_id)
        if number:
            guards.uses(keys.definition_uses(definition_id), number, _no_definition(definition_id))


def _mappings(configs: Configs, now: int, by: str | None) -> list[Body]:
    seen = {(config.model_definition_id, config.linkage_type) for config in configs}
    if len(seen) < len(configs):
        raise MlflowException(
            "A model definition can be attached to an endpoint once for each linkage type.",
            BAD_REQUEST,
        )
    return [mapping_body(f"m-{uuid.uuid4().hex}", config, now, by) for config in configs]


def _falls_back(configs: Configs) -> bool:
    return any(config.linkage_type == GatewayModelLinkageType.FALLBACK for config in configs)


def _canonical(experiment_id: str | None) -> str | None:
    return None if experiment_id is None else str(_parse_experiment_id(experiment_id))


def _need_experiment(guards: Guards, experiment_id: str | None) -> None:
    if experiment_id is not None:
        guards.add(
            exists((keys.experiment(experiment_id), keys.HEAD)),
            # A foreign key of MLflow's SQL store, hence its code.
            lambda: MlflowException(f"No Experiment with id={experiment_id} exists", BAD_REQUEST),
        )


def _taken(name: str) -> Callable[[], MlflowException]:
    # MLflow's SQL store answers BAD_REQUEST here, unlike for secrets and model definitions.
    return lambda: MlflowException(f"Endpoint with name '{name}' already exists", BAD_REQUEST)


def _no_definition(definition_id: str) -> Callable[[], MlflowException]:
    return lambda: DEFINITION.missing_id(definition_id)
