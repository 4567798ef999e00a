"""``mlgate serve`` in front of an MLflow that has been in use; its settings and their problems."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.world import (
    API,
    get_experiment,
    get_model,
    grants_of,
    mlgate,
    name_of,
    new_experiment,
    ok,
    refused,
    until,
)
from tests.stack import ROOT, Stack, free_port, http

pytestmark = pytest.mark.e2e


def _older_than_the_gateway(stack: Stack, user: str) -> tuple[str, str]:
    """An experiment and a model as they are in an MLflow that never had a gateway."""
    name = name_of("old")
    made = ok(stack.direct("POST", f"{API}/experiments/create", {"name": name}))["experiment_id"]
    tags = [{"key": "mlflow.user", "value": user}]
    body = {"experiment_id": made, "tags": tags, "start_time": 1}
    run = ok(stack.direct("POST", f"{API}/runs/create", body))["run"]["info"]["run_id"]
    ok(stack.direct("POST", f"{API}/registered-models/create", {"name": name}))
    version = {"name": name, "source": f"runs:/{run}/model", "run_id": run}
    ok(stack.direct("POST", f"{API}/model-versions/create", version))
    return made, name


def test_what_is_older_than_the_gateway_gets_its_owners(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    experiment, model = _older_than_the_gateway(stack, "alice")
    here = gateway_of([stack.mlflow.url])
    config = str(next(here.folder.glob("gateway-*.yaml")))
    for who in ("alice", "bob"):
        refused(get_experiment(here, who, experiment))
        assert get_model(here, who, model).status == 404
    assert get_experiment(here, "dave", experiment).status == 200

    dry = mlgate("acl", "import", "--config", config, "--dry-run", cwd=here.folder)
    assert dry.returncode == 0, dry.stderr
    assert "nothing was changed" in dry.stderr
    # What nobody owned a moment ago is remembered for a while as such.
    done = mlgate("acl", "import", "--config", config, cwd=here.folder)
    assert done.returncode == 0, done.stderr
    assert f"experiment:{experiment}: user:alice manager" in done.stdout

    other = gateway_of([stack.mlflow.url])
    # This one did not start after it, so that it has to hear of it.
    until(lambda: get_experiment(here, "alice", experiment).status == 200)
    for gateway in (here, other):
        assert grants_of(gateway, "alice", "experiment", experiment) == {"user:alice": "manager"}
        assert get_model(gateway, "alice", model).status == 200
        refused(get_experiment(gateway, "bob", experiment))

    again = mlgate("acl", "import", "--config", config, cwd=here.folder)
    assert again.returncode == 0
    assert f"experiment:{experiment}:" not in again.stdout


def test_owners_from_a_csv_file(stack: Stack, gateway_of: Callable[..., Stack]) -> None:
    experiment, model = _older_than_the_gateway(stack, "root")
    here = gateway_of([stack.mlflow.url])
    config = str(next(here.folder.glob("gateway-*.yaml")))
    csv = here.folder / "owners.csv"
    csv.write_text(
        "kind,id,owner,group\n"
        f"experiment,{experiment},user:alice,data-science\n"
        f"model,{model},service:nightly,\n"
        "experiment,99999999,user:alice,\n"
    )
    done = mlgate("acl", "import", "--config", config, "--csv", str(csv), cwd=here.folder)
    assert done.returncode == 0, done.stderr
    assert "99999999" in done.stderr
    assert get_experiment(here, "bob", experiment).status == 200
    assert grants_of(here, "dave", "model", model) == {"service:nightly": "manager"}

    csv.write_text("kind,id,owner\nexperiment,1,\nthing,2,user:x\n")
    bad = mlgate("acl", "import", "--config", config, "--csv", str(csv), cwd=here.folder)
    assert bad.returncode == 1
    assert "line 2" in bad.stderr
    assert "line 3" in bad.stderr


def test_the_command_line_shares_through_a_running_gateway(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    place = {"MLGATE_URL": stack.url, "MLFLOW_TRACKING_TOKEN": stack.tokens["alice"]}
    given = mlgate(
        "acl", "grant", f"experiment:{experiment}", "user:carol", "reader", cwd=ROOT, **place
    )
    assert given.returncode == 0, given.stderr
    assert get_experiment(stack, "carol", experiment).status == 200
    shown = mlgate("acl", "show", f"experiment:{experiment}", cwd=ROOT, **place)
    assert "user:carol" in shown.stdout
    place["MLFLOW_TRACKING_TOKEN"] = stack.tokens["carol"]
    no = mlgate("acl", "grant", f"experiment:{experiment}", "user:x", "reader", cwd=ROOT, **place)
    assert no.returncode == 1
    assert "user:carol" in no.stderr
    made = mlgate("token", "create", "--label", "ci", cwd=ROOT, **place)
    assert made.returncode == 0, made.stderr
    who = http("GET", f"{stack.url}/access/api/v1/whoami", token=made.stdout.strip())
    assert ok(who)["principal"] == "user:carol"


def test_check_says_what_works_and_what_does_not(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([stack.mlflow.url])
    config = str(next(here.folder.glob("gateway-*.yaml")))
    good = mlgate("check", "--config", config, cwd=here.folder)
    assert good.returncode == 0, good.stdout + good.stderr
    assert f"✓ mlflow {stack.mlflow.url}: MLflow 3.17.2 answers" in good.stdout
    assert "✗" not in good.stdout

    nowhere = f"http://127.0.0.1:{free_port()}"
    bad = mlgate("check", "--config", config, cwd=here.folder, MLGATE_UPSTREAMS=nowhere)
    assert bad.returncode == 1
    (line,) = [one for one in bad.stdout.splitlines() if one.startswith("✗")]
    assert nowhere in line
    assert "Traceback" not in bad.stdout + bad.stderr


def test_the_environment_wins_over_the_file(stack: Stack, gateway_of: Callable[..., Stack]) -> None:
    here = gateway_of(
        [stack.mlflow.url], MLGATE_LIMITS__JSON_BODY="2048", MLGATE_STAMP_USER="false"
    )
    assert (
        here.call("alice", "POST", f"{API}/experiments/create", {"name": "x" * 3000}).status == 413
    )
    experiment = new_experiment(here, "alice")
    tags = [{"key": "mlflow.user", "value": "somebody"}]
    body = {"experiment_id": experiment, "tags": tags}
    made = ok(here.call("alice", "POST", f"{API}/runs/create", body))
    stored = {t["key"]: t["value"] for t in made["run"]["data"]["tags"]}
    assert stored["mlflow.user"] == "somebody"


def test_a_bad_settings_file_lists_every_problem_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "listen: nowhere\n"
        "upstream: {connections: many}\n"
        "upstreams: [ftp://x]\n"
        "stroe: sqlite:///x.db\n"
        "workers: 0\n"
    )
    bad = mlgate("serve", "--config", str(config), cwd=tmp_path, MLGATE_LIMITS__BURST="x")
    assert bad.returncode == 1
    for says in (
        "line 1", "listen", "line 2", "connections", "line 3", "upstreams", "line 4", "stroe",
        "did you mean store", "line 5", "workers", "MLGATE_LIMITS__BURST",
    ):  # fmt: skip
        assert says in bad.stderr, (says, bad.stderr)
    assert "Traceback" not in bad.stderr
    missing = mlgate("serve", "--config", str(tmp_path / "no.yaml"), cwd=tmp_path)
    assert missing.returncode == 1
    assert "no.yaml" in missing.stderr


def test_a_port_in_use_is_said_in_one_line(stack: Stack, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bad = mlgate("serve", cwd=ROOT, MLGATE_LISTEN=f"127.0.0.1:{port}",
                     MLGATE_UPSTREAMS=stack.mlflow.url,
                     MLGATE_STORE=f"sqlite:///{tmp_path / 'x.db'}",
                     MLGATE_CONFIG=str(ROOT / "config/gateway.yaml"))  # fmt: skip
    assert bad.returncode == 1
    (line,) = bad.stderr.strip().splitlines()
    assert str(port) in line
    assert "in use" in line
