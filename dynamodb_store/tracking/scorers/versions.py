"""Scorers and their versions: register, read, list, delete."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from mlflow.entities import LifecycleStage, ViewType
from mlflow.entities.gateway_endpoint import GatewayResourceType
from mlflow.entities.scorer import ScorerVersion
from mlflow.exceptions import MlflowException
from mlflow.genai.scorers.scorer_utils import validate_scorer_model, validate_scorer_name
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _parse_experiment_ids

from dynamodb_store import keys, records
from dynamodb_store.entities.scorer import (
    endpoint_of,
    model_of,
    new_version,
    parsed,
    version_of,
    with_endpoint,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from dynamodb_store.table import Action
from dynamodb_store.tracking.ai_gateway.guardrails import scorer_unused
from dynamodb_store.tracking.base import Base, check_experiment_active

_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)
_SCORER = GatewayResourceType.SCORER.value
_AT_ONCE = 40
"""Versions deleted in one transaction: two actions each."""


class Scorers(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    # in the family of the AI gateway
    get_gateway_endpoint: Callable[..., Any]
    list_gateway_endpoints: Callable[..., Any]
    _bind: Callable[..., Any]
    _unbind: Callable[..., Any]

    def register_scorer(
        self, experiment_id: str, name: str, serialized_scorer: str
    ) -> ScorerVersion:
        validate_scorer_name(name)
        partition = self._scorers_of(experiment_id)
        data = parsed(serialized_scorer)
        validate_scorer_model(model_of(data))
        endpoint_id = None
        if (endpoint_name := endpoint_of(data)) is not None:
            endpoint_id = self.get_gateway_endpoint(name=endpoint_name).endpoint_id
            serialized_scorer = with_endpoint(data, endpoint_id)
        version = self._add_version(partition, name, serialized_scorer, endpoint_id is not None)
        if endpoint_id is not None:
            scorer_id = version.partition.removeprefix("SCV#")
            self._unbind(_SCORER, scorer_id)
            self._bind(endpoint_id, _SCORER, scorer_id, None, name)
        return version_of(version, self._shown)

    def _add_version(self, partition: str, name: str, serialized: str, bound: bool) -> Record:
        """Write the next version; of two who do so at once each gets a number of its own."""
        now = get_current_time_millis()
        for _ in self.table.attempts():
            scorer = records.get(self.table, partition, keys.text(name))
            if scorer is None:
                body = {
                    "scorer_id": str(uuid.uuid4()),
                    "name": name,
                    "versions": [],
                    "bound": False,
                }
                scorer = Record(partition, keys.text(name), body)
            number = max(scorer.body["versions"], default=0) + 1
            scorer.body["versions"].append(number)
            scorer.body["bound"] = scorer.body["bound"] or bound
            version = new_version(scorer, number, serialized, now)
            try:
                self.table.transact(
                    [
                        records.put_action(self.table, scorer),
                        records.put_action(self.table, version),
                    ]
                )
            except ConditionFailed:
                continue  # another version was registered or deleted meanwhile
            return version
        raise AssertionError  # attempts() never ends by itself

    def list_scorers(self, experiment_id: str) -> list[ScorerVersion]:
        partition = self._scorers_of(experiment_id)
        return self._latest([partition.removeprefix("SC#")])

    def list_scorers_across_experiments(self, experiment_ids: list[str]) -> list[ScorerVersion]:
        return self._latest([str(number) for number in _parse_experiment_ids([*experiment_ids])])

    def _latest(self, experiment_ids: Sequence[str]) -> list[ScorerVersion]:
        """The latest version of each scorer, by experiment and name."""

        def of(experiment_id: str) -> list[Record]:
            return list(records.listed(self.table, keys.scorers(experiment_id)))

        ids = list(dict.fromkeys(experiment_ids))
        found = [scorer for some in self.table.parallel(of, ids) for scorer in some]
        found.sort(key=lambda one: (int(one.partition.removeprefix("SC#")), one.body["name"]))
        wanted = [
            _version_key(one, max(one.body["versions"])) for one in found if one.body["versions"]
        ]
        return self._with_names(records.get_many(self.table, wanted))

    def get_scorer(
        self, experiment_id: str, name: str, version: int | None = None
    ) -> ScorerVersion:
        scorer = self._scorer(experiment_id, name)
        number = max(scorer.body["versions"], default=None) if version is None else int(version)
        found = None
        if number is not None and number in scorer.body["versions"]:
            found = records.get(self.table, *_version_key(scorer, number))
        if found is None:
            raise no_scorer(experiment_id, name, version)
        return version_of(found, self._shown)

    def list_scorer_versions(self, experiment_id: str, name: str) -> list[ScorerVersion]:
        scorer = self._scorer(experiment_id, name)
        found = list(records.listed(self.table, keys.scorer_versions(scorer.body["scorer_id"])))
        if not found:
            raise no_scorer(experiment_id, name)
        return self._with_names(found)

    def delete_scorer(self, experiment_id: str, name: str, version: int | None = None) -> None:
        scorer = self._scorer(experiment_id, name)
        versions = scorer.body["versions"] if version is None else [int(version)]
        if not versions or not set(versions) <= set(scorer.body["versions"]):
            raise no_scorer(experiment_id, name, version)
        self._check_unused(scorer, versions)
        if version is None and scorer.body["bound"]:
            self._unbind(_SCORER, scorer.body["scorer_id"])
        self._delete_versions(scorer, versions, whole=version is None, of=experiment_id)

    def _delete_versions(
        self, scorer: Record, versions: Sequence[int], *, whole: bool, of: str
    ) -> None:
        """Remove versions and, when they are all, the scorer after them."""
        name = scorer.body["name"]
        large = [
            record
            for record in records.get_many(
                self.table, [_version_key(scorer, one) for one in versions]
            )
            if record.large
        ]
        for at in range(0, len(versions), _AT_ONCE):
            part = versions[at : at + _AT_ONCE]
            last = whole and at + _AT_ONCE >= len(versions)

            def change(record: Record, part: Sequence[int] = part) -> list[Action] | None:
                gone = [one for one in part if one in record.body["versions"]]
                left = [one for one in record.body["versions"] if one not in part]
                record.body["versions"] = left
                return [action for one in gone for action in _removal(record, one)]

            try:
                edited = records.edit(
                    self.table, scorer.partition, scorer.sk, lambda: no_scorer(of, name), change
                )
            except ConditionFailed as failed:
                raise _in_use(name) from failed
            if last and not edited.body["versions"]:
                self._delete_head(edited)
        for record in large:
            records.remove_parts(self.table, record.partition, record.sk)

    def _delete_head(self, scorer: Record) -> None:
        config = {"Key": (keys.SCORING_CONFIGS, scorer.body["scorer_id"])}
        try:
            records.delete(self.table, scorer, [("Delete", config)])
        except ConditionFailed:
            return  # it was registered anew meanwhile, and stays

    def _check_unused(self, scorer: Record, versions: Sequence[int]) -> None:
        """Raises MlflowException when a guardrail runs one of the versions."""
        wanted = [keys.scorer_uses(scorer.body["scorer_id"], one) for one in versions]
        if any(item["n"] > 0 for item in self.table.batch_get(wanted)):
            raise _in_use(scorer.body["name"])

    def _check_purgeable(self, experiment_id: str) -> None:
        """As in SQL, an experiment stays as long as a guardrail runs one of its scorers."""
        for scorer in records.listed(self.table, keys.scorers(experiment_id)):
            self._check_unused(scorer, scorer.body["versions"])
        super()._check_purgeable(experiment_id)

    def _purge_experiment(self, experiment_id: str) -> None:
        for scorer in list(records.listed(self.table, keys.scorers(experiment_id))):
            if scorer.body["bound"]:
                self._unbind(_SCORER, scorer.body["scorer_id"])
            versions = scorer.body["versions"]
            self._delete_versions(scorer, versions, whole=True, of=experiment_id)
            if not versions:
                self._delete_head(scorer)
        super()._purge_experiment(experiment_id)

    def _scorer_by_id(self, scorer_id: str, version: int) -> tuple[ScorerVersion, Action]:
        place = (keys.scorer_versions(scorer_id), keys.scorer_version(version))
        found = records.get(self.table, *place)
        if found is None:
            raise MlflowException(
                f"Scorer with ID '{scorer_id}' and version {version} not found.",
                RESOURCE_DOES_NOT_EXIST,
            )
        there = {"Key": place, "ConditionExpression": "attribute_exists(pk)"}
        return version_of(found), ("ConditionCheck", there)

    def _scorers_of(self, experiment_id: str) -> str:
        """The partition of an active experiment's scorers. Raises MlflowException."""
        experiment = self._experiment(experiment_id, _ALL)
        check_experiment_active(experiment)
        return keys.scorers(experiment.pk.removeprefix("E#"))

    def _scorer(self, experiment_id: str, name: str) -> Record:
        found = records.get(self.table, self._scorers_of(experiment_id), keys.text(name))
        if found is None:
            raise no_scorer(experiment_id, name)
        return found

    def _shown(self, serialized: str) -> str:
        """With the name of the endpoint, or without a model when the endpoint is gone."""
        data = parsed(serialized)
        if (endpoint_id := endpoint_of(data)) is None:
            return serialized
        try:
            return with_endpoint(data, self.get_gateway_endpoint(endpoint_id=endpoint_id).name)
        except MlflowException:
            return with_endpoint(data, None)

    def _with_names(self, found: Sequence[Record]) -> list[ScorerVersion]:
        """The versions with the names of endpoints, all of which are read at most once."""
        names: dict[str, str] | None = None

        def shown(serialized: str) -> str:
            nonlocal names
            data = parsed(serialized)
            if (endpoint_id := endpoint_of(data)) is None:
                return json.dumps(data)  # as MLflow lists it
            if names is None:
                names = {one.endpoint_id: one.name for one in self.list_gateway_endpoints()}
            return with_endpoint(data, names.get(endpoint_id))

        return [version_of(record, shown) for record in found]


def _version_key(scorer: Record, version: int) -> keys.Key:
    return (keys.scorer_versions(scorer.body["scorer_id"]), keys.scorer_version(version))


def _removal(scorer: Record, version: int) -> list[Action]:
    """The removal of a version that no guardrail runs."""
    return [
        scorer_unused(scorer.body["scorer_id"], version),
        ("Delete", {"Key": _version_key(scorer, version)}),
    ]


def _in_use(name: str) -> MlflowException:
    return MlflowException(f"A guardrail uses the scorer '{name}'.", BAD_REQUEST)


def no_scorer(experiment_id: str, name: str, version: int | None = None) -> MlflowException:
    """MLflow's error for a scorer or a version that does not exist."""
    words = "" if version is None else f" and version {version}"
    return MlflowException(
        f"Scorer with name '{name}'{words} not found for experiment {experiment_id}.",
        RESOURCE_DOES_NOT_EXIST,
    )
