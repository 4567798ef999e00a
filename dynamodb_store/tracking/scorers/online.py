"""Which scorers score traces online, how many of them, and which."""

from __future__ import annotations

import uuid

from mlflow.exceptions import MlflowException
from mlflow.genai.scorers.online.entities import OnlineScorer, OnlineScoringConfig
from mlflow.utils.search_utils import SearchTraceUtils

from dynamodb_store import keys, records
from dynamodb_store.entities.scorer import config_of, endpoint_of, parsed, with_endpoint
from dynamodb_store.records import Record
from dynamodb_store.table import Action
from dynamodb_store.tracking.scorers.versions import Scorers, no_scorer


class OnlineScoring(Scorers):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def get_online_scoring_configs(self, scorer_ids: list[str]) -> list[OnlineScoringConfig]:
        wanted = [(keys.SCORING_CONFIGS, one) for one in dict.fromkeys(scorer_ids) if one]
        return [config_of(record) for record in records.get_many(self.table, wanted)]

    def upsert_online_scoring_config(
        self,
        experiment_id: str,
        scorer_name: str,
        sample_rate: float,
        filter_string: str | None = None,
    ) -> OnlineScoringConfig:
        _check(sample_rate, filter_string)
        scorer = self._scorer(experiment_id, scorer_name)
        if scorer.body["versions"] and sample_rate > 0:
            latest = keys.scorer_version(max(scorer.body["versions"]))
            version = records.get(
                self.table, keys.scorer_versions(scorer.body["scorer_id"]), latest
            )
            if version is not None:
                _check_scores_online(scorer_name, version.body["serialized"])
        made: list[Record] = []

        def change(record: Record) -> list[Action]:
            config = Record(
                keys.SCORING_CONFIGS,
                record.body["scorer_id"],
                {
                    "config_id": uuid.uuid4().hex,
                    "sample_rate": sample_rate,
                    "experiment_id": record.partition.removeprefix("SC#"),
                    "filter_string": filter_string,
                    "name": scorer_name,
                },
            )
            made[:] = [config]
            verb, put = records.put_new(self.table, config)
            return [(verb, {"Item": put["Item"]})]  # in place of the one before

        records.edit(
            self.table,
            scorer.partition,
            scorer.sk,
            lambda: no_scorer(experiment_id, scorer_name),
            change,
        )
        return config_of(made[0])

    def get_active_online_scorers(self) -> list[OnlineScorer]:
        """Those with a sample rate above zero whose latest version asks the AI gateway."""
        configs = [
            config
            for config in records.listed(self.table, keys.SCORING_CONFIGS)
            if config.body["sample_rate"] > 0
        ]
        heads = {
            head.body["scorer_id"]: head
            for head in records.get_many(
                self.table,
                [
                    (keys.scorers(one.body["experiment_id"]), keys.text(one.body["name"]))
                    for one in configs
                ],
            )
        }
        latest = {
            one: (keys.scorer_versions(one), keys.scorer_version(max(head.body["versions"])))
            for one, head in heads.items()
            if head.body["versions"]
        }
        versions = {
            version.partition: version
            for version in records.get_many(self.table, list(latest.values()))
        }
        found = []
        for config in configs:
            version = versions.get(keys.scorer_versions(config.sk))
            if version is not None and endpoint_of(parsed(version.body["serialized"])) is not None:
                found.append(self._online(config, version))
        return found

    def _online(self, config: Record, version: Record) -> OnlineScorer:
        data = parsed(version.body["serialized"])
        try:
            name = self.get_gateway_endpoint(endpoint_id=endpoint_of(data)).name
        except MlflowException:  # the endpoint is gone; MLflow leaves its id here
            name = endpoint_of(data)
        return OnlineScorer(
            name=version.body["name"],
            serialized_scorer=with_endpoint(data, name),
            online_config=config_of(config),
            scorer_version=int(version.sk),
        )


def _check(sample_rate: float, filter_string: str | None) -> None:
    if not isinstance(sample_rate, (int, float)):
        raise MlflowException.invalid_parameter_value(
            f"sample_rate must be a number, got {type(sample_rate).__name__}"
        )
    if not 0.0 <= sample_rate <= 1.0:
        raise MlflowException.invalid_parameter_value(
            f"sample_rate must be between 0.0 and 1.0, got {sample_rate}"
        )
    if not filter_string:
        return
    if not isinstance(filter_string, str):
        raise MlflowException.invalid_parameter_value(
            f"filter_string must be a string, got {type(filter_string).__name__}"
        )
    SearchTraceUtils.parse_search_filter_for_search_traces(filter_string)


def _check_scores_online(name: str, serialized: str) -> None:
    """Raises MlflowException for a scorer that cannot score traces by itself."""
    # These imports take seconds.
    from mlflow.genai.judges.instructions_judge import EXPECTATIONS_FIELD, InstructionsJudge
    from mlflow.genai.scorers.base import Scorer

    if endpoint_of(parsed(serialized)) is None:
        raise MlflowException.invalid_parameter_value(
            f"Scorer '{name}' does not use a gateway model. Automatic evaluation is only "
            "supported for scorers that use gateway models."
        )
    try:
        scorer = Scorer.model_validate_json(serialized)
    except Exception:  # noqa: BLE001 - as MLflow: what cannot be read is not refused here
        return
    if isinstance(scorer, InstructionsJudge) and EXPECTATIONS_FIELD in scorer.get_input_fields():
        raise MlflowException.invalid_parameter_value(
            f"Scorer '{name}' requires expectations, but scorers with expectations are not "
            "currently supported for automatic evaluation."
        )
