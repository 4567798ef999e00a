"""Scorers with their versions and their online configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflow.entities.gateway_endpoint import GatewayResourceType
from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlGatewayEndpointBinding,
    SqlOnlineScoringConfig,
    SqlScorer,
    SqlScorerVersion,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.scorer import new_version
from dynamodb_store.records import Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, not_null
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.walk import experiment_ids


class Scorers(Kind):
    """``scorers``, ``scorer_versions`` and ``online_scoring_configs``."""

    name = "scorers"
    root = SqlScorer.__table__
    key = ("scorer_id",)
    page = 50
    children = (
        Child(SqlScorerVersion.__table__, ("scorer_id",)),
        Child(SqlOnlineScoringConfig.__table__, ("scorer_id",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        ids = [row["scorer_id"] for row in rows["scorers"]]
        bindings = sql.matching(SqlGatewayEndpointBinding.__table__, ("resource_id",), ids)
        kind = GatewayResourceType.SCORER.value
        rows["bound"] = [row for row in bindings if row["resource_type"] == kind]
        of = list({row["experiment_id"] for row in rows["scorers"]})
        rows["known"] = sql.matching(SqlExperiment.__table__, ("experiment_id",), of)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from not_null(rows["scorer_versions"], "scorer_versions", "creation_time")
        known = {row["experiment_id"] for row in rows["known"]}
        home = {row["scorer_id"]: row["experiment_id"] for row in rows["scorers"]}
        for scorer_id, experiment_id in home.items():
            if experiment_id not in known:
                yield f"scorers: {scorer_id} is of experiment {experiment_id}, which is gone"
        for scorer_id, some in by(rows["online_scoring_configs"], "scorer_id").items():
            if len(some) > 1:
                yield f"online_scoring_configs: {len(some)} rows for scorer {scorer_id}"
            if any(row["experiment_id"] != home[scorer_id] for row in some):
                yield f"online_scoring_configs: scorer {scorer_id} is of another experiment"

    def items(self, rows: Rows) -> Iterable[Item]:
        versions = by(rows["scorer_versions"], "scorer_id")
        configs = by(rows["online_scoring_configs"], "scorer_id")
        bound = {row["resource_id"] for row in rows["bound"]}
        for row in rows["scorers"]:
            scorer_id, name = row["scorer_id"], row["scorer_name"]
            its = versions.get(scorer_id, [])
            body = {
                "scorer_id": scorer_id,
                "name": name,
                "versions": sorted(one["scorer_version"] for one in its),
                "bound": scorer_id in bound,
            }
            head = Record(keys.scorers(str(row["experiment_id"])), keys.text(name), body)
            for one in its:
                text, made = one["serialized_scorer"], one["creation_time"]
                version = new_version(head, one["scorer_version"], text, made)
                yield from records.items_of(version)
            for config in configs.get(scorer_id, []):
                yield from records.items_of(_config(config, name))
            yield from records.items_of(head)

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in experiment_ids(table):
            for experiment_id in some:
                for head in records.listed(table, keys.scorers(experiment_id)):
                    yield _rows(table, int(experiment_id), head)


def _config(row: Row, name: str) -> Record:
    body = {
        "config_id": row["online_scoring_config_id"],
        "sample_rate": row["sample_rate"],
        "experiment_id": str(row["experiment_id"]),
        "filter_string": row["filter_string"],
        "name": name,
    }
    return Record(keys.SCORING_CONFIGS, row["scorer_id"], body)


def _rows(table: Table, experiment_id: int, head: Record) -> Rows:
    scorer_id = head.body["scorer_id"]
    config = records.get(table, keys.SCORING_CONFIGS, scorer_id)
    return {
        "scorers": [
            {
                "experiment_id": experiment_id,
                "scorer_name": head.body["name"],
                "scorer_id": scorer_id,
            }
        ],
        "scorer_versions": [
            {
                "scorer_id": scorer_id,
                "scorer_version": int(one.sk),
                "serialized_scorer": one.body["serialized"],
                "creation_time": one.body["creation_time"],
            }
            for one in records.listed(table, keys.scorer_versions(scorer_id))
        ],
        "online_scoring_configs": [] if config is None else [_config_row(config)],
    }


def _config_row(config: Record) -> Row:
    return {
        "online_scoring_config_id": config.body["config_id"],
        "scorer_id": config.sk,
        "sample_rate": float(config.body["sample_rate"]),
        "experiment_id": int(config.body["experiment_id"]),
        "filter_string": config.body["filter_string"],
    }
