"""MLflow's own GraphQL schema over handlers that record what they are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.protos import model_registry_pb2, service_pb2
from mlflow.server import handlers
from mlflow.server.graphql.graphql_no_batching import check_query_safety
from mlflow.server.graphql.graphql_schema_extensions import schema


class FakeGraphQLMlflow:
    """Executes documents as MLflow does. Run ``r7`` lives in experiment ``7``.

    ``asked`` lists (REST call, ids). Every search for model versions finds one version of the
    model ``open`` and one of ``hidden``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        for name in (
            "get_experiment",
            "get_run",
            "list_artifacts",
            "get_metric_history_bulk_interval",
            "search_runs",
            "search_datasets",
            "search_model_versions",
        ):
            monkeypatch.setattr(handlers, f"{name}_impl", getattr(self, name))

    def execute(self, body: dict[str, Any]) -> dict[str, Any]:
        """What ``handlers._graphql`` does with a JSON body."""
        from graphql import parse

        refused = check_query_safety(parse(body["query"]))
        result = refused or schema.execute(
            body["query"], variables=body.get("variables"), operation_name=body.get("operationName")
        )
        errors = [error.message for error in result.errors] if result.errors else None
        return {"data": result.data, "errors": errors}

    def get_experiment(self, message: Any) -> Any:
        self.asked.append(("experiments/get", (message.experiment_id,)))
        answer = service_pb2.GetExperiment.Response()
        answer.experiment.experiment_id = message.experiment_id
        answer.experiment.name = f"experiment {message.experiment_id}"
        return answer

    def get_run(self, message: Any) -> Any:
        run_id = message.run_id or message.run_uuid
        self.asked.append(("runs/get", (run_id,)))
        answer = service_pb2.GetRun.Response()
        self._run(answer.run, run_id)
        return answer

    def list_artifacts(self, message: Any) -> Any:
        self.asked.append(("artifacts/list", (message.run_id or message.run_uuid,)))
        answer = service_pb2.ListArtifacts.Response()
        answer.files.add(path=message.path + "/file", is_dir=False, file_size=3)
        return answer

    def get_metric_history_bulk_interval(self, message: Any) -> Any:
        ids = tuple(message.run_ids)
        self.asked.append(("metrics/get-history-bulk-interval", ids))
        answer = service_pb2.GetMetricHistoryBulkInterval.Response()
        for run_id in ids:
            answer.metrics.add(key=message.metric_key, value=1.0, run_id=run_id)
        return answer

    def search_runs(self, message: Any) -> Any:
        ids = tuple(message.experiment_ids)
        self.asked.append(("runs/search", ids))
        answer = service_pb2.SearchRuns.Response()
        for experiment_id in ids:
            self._run(answer.runs.add(), f"r{experiment_id}")
        return answer

    def search_datasets(self, message: Any) -> Any:
        ids = tuple(message.experiment_ids)
        self.asked.append(("experiments/search-datasets", ids))
        answer = service_pb2.SearchDatasets.Response()
        for experiment_id in ids:
            answer.dataset_summaries.add(experiment_id=experiment_id, name="d")
        return answer

    def search_model_versions(self, message: Any) -> Any:
        self.asked.append(("model-versions/search", ()))
        answer = model_registry_pb2.SearchModelVersions.Response()
        for name in ("open", "hidden"):
            version = answer.model_versions.add(name=name, version="1", source=f"s3://{name}")
            version.tags.add(key="team", value=name)
        return answer

    @staticmethod
    def _run(run: Any, run_id: str) -> None:
        run.info.run_id = run_id
        run.info.experiment_id = run_id.removeprefix("r")
        run.data.metrics.add(key="m", value=0.5, timestamp=1, step=2)
        run.data.params.add(key="p", value="v")
