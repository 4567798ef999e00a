"""MLflow below a path of its own (``--static-prefix``), and the real client in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.world import mlgate, name_of, ok, refused
from tests.stack import Process, Stack, start_mlflow

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

PREFIX = "/ml/flow"


@pytest.fixture(scope="module")
def prefixed(stack: Stack) -> Iterator[Process]:
    """A second server on the shared MLflow's database, so that no tables have to be made."""
    process = start_mlflow(stack.folder, "--static-prefix", PREFIX)
    try:
        process.wait_for(f"{PREFIX}/health")
        yield process
    finally:
        process.stop()


def test_everything_works_below_the_prefix(
    prefixed: Process, gateway_of: Callable[..., Stack]
) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    here = gateway_of([prefixed.url], more=f"upstream: {{static_prefix: {PREFIX}}}\n")
    api = f"{PREFIX}/api/2.0/mlflow"
    made = ok(here.call("alice", "POST", f"{api}/experiments/create", {"name": name_of("p")}))
    path = f"{api}/experiments/get?experiment_id={made['experiment_id']}"
    ok(here.call("alice", "GET", path))
    refused(here.call("carol", "GET", path))
    without = here.call("alice", "GET", path.removeprefix(PREFIX))
    refused(without, 404, "ENDPOINT_NOT_FOUND")
    page = here.call("alice", "GET", f"{PREFIX}/", headers={"Accept": "text/html"})
    assert page.status == 200
    assert b"<html" in page.body.lower()

    with here.client_as("alice"):
        mlflow.set_tracking_uri(here.url + PREFIX)
        mlflow.set_registry_uri(here.url + PREFIX)
        experiment = mlflow.set_experiment(name_of("prefixed")).experiment_id
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1.0)
        assert mlflow.get_run(run.info.run_id).data.metrics == {"m": 1.0}
        assert len(mlflow.search_runs([experiment], output_format="list")) == 1
    with here.client_as("carol"):
        mlflow.set_tracking_uri(here.url + PREFIX)
        with pytest.raises(MlflowException, match="user:carol"):
            mlflow.get_run(run.info.run_id)

    config = str(next(here.folder.glob("gateway-*.yaml")))
    checked = mlgate("check", "--config", config, cwd=here.folder)
    assert checked.returncode == 0, checked.stdout


def test_a_missing_prefix_setting_is_found_by_check(
    prefixed: Process, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([prefixed.url], ready="/access/healthz")
    config = str(next(here.folder.glob("gateway-*.yaml")))
    checked = mlgate("check", "--config", config, cwd=here.folder)
    assert checked.returncode == 1
    assert "prefix" in checked.stdout
