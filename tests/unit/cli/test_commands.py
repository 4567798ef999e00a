"""mlgate check, routes, can, token, and the command line as such."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.acl.store import PersonRecord
from gateway.cli.common import settings_of, store_of
from gateway.tokens import is_well_formed
from tests.fakes.fake_mlflow import FakeMlflow
from tests.unit.cli.conftest import Mlgate


def test_check_has_a_line_for_everything(config: str, mlgate: Mlgate, mlflow: FakeMlflow) -> None:
    done = mlgate("check", "--config", config)
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == f"✓ settings: {config}"
    assert lines[1].endswith("roles.yaml: reader, editor, manager")
    assert lines[2].startswith("! identity: no provider")
    assert lines[3] == f"✓ mlflow {mlflow.url}: MLflow 3.17.2 answers"
    assert lines[-1].startswith("✓ store: sqlite:///")


def test_check_says_what_another_mlflow_means(
    config: str, mlgate: Mlgate, mlflow: FakeMlflow
) -> None:
    mlflow.version = "4.0.0"
    done = mlgate("check", "--config", config)
    assert done.status == 0
    assert f"! mlflow {mlflow.url}: MLflow 4.0.0 is running" in done.out


def test_check_lists_everything_that_is_broken(config: str, mlgate: Mlgate, tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text("version: 1\nroles: {}\n")
    text = Path(config).read_text().splitlines()
    Path(config).write_text(
        "upstreams: [http://127.0.0.1:1]\n"
        f"{text[1]}\nroles: {tmp_path}/roles.yaml\nupstream: {{ca_file: /no/such.pem}}\n"
        "identity: [{type: oidc, name: x, issuer: 'http://127.0.0.1:1', audience: a}]\n"
    )
    done = mlgate("check", "--config", config)
    assert done.status == 1
    broken = [line.split(":")[0] for line in done.out.splitlines() if line.startswith("✗")]
    assert broken == ["✗ files", "✗ roles", "✗ roles", "✗ roles", "✗ mlflow http", "✗ identity x"]
    assert "Traceback" not in done.out + done.err
    offline = mlgate("check", "--config", config, "--offline")
    assert offline.status == 1
    assert "mlflow" not in offline.out


def test_check_lists_the_problems_of_the_settings(config: str, mlgate: Mlgate) -> None:
    Path(config).write_text("worker: 1\nlisten: x\n")
    done = mlgate("check", "--config", config)
    assert done.status == 1
    assert done.out.splitlines() == [
        "✗ settings: line 1, worker: unknown key; did you mean workers?",
        "✗ settings: line 2, listen: must be host:port, such as 127.0.0.1:8080 or [::1]:8080",
    ]


def test_routes_is_a_table_and_json(mlgate: Mlgate) -> None:
    table = mlgate("routes").out
    row = next(line for line in table.splitlines() if "registered-models/rename" in line)
    assert row.split() == [
        "POST", "/{api,ajax-api}/2.0/mlflow/registered-models/rename",
        "registered-models/rename", "model",
    ]  # fmt: skip
    rows = {(r["method"], r["call"]): r for r in json.loads(mlgate("routes", "--json").out)}
    assert rows["POST", "model-versions/create"]["on"] == ["experiment", "model"]
    assert rows["POST", "experiments/create"]["on"] == ["server"]
    assert rows["GET", "health"]["on"] == ["public"]
    assert rows["POST", "assistant/message:POST"]["on"] == ["refused"]
    assert rows["GET", "get-artifact"]["path"] == "/get-artifact"


def test_routes_compares_with_a_running_mlflow(mlgate: Mlgate, mlflow: FakeMlflow) -> None:
    mlflow.version = "4.0.0"
    done = mlgate("routes", "--upstream", mlflow.url)
    assert done.status == 1
    assert "MLflow 4.0.0 is running" in done.out
    assert (
        json.loads(mlgate("routes", "--upstream", mlflow.url, "--json").out)["version"] == "4.0.0"
    )
    assert (
        "cannot reach http://127.0.0.1:1"
        in mlgate("routes", "--upstream", "http://127.0.0.1:1").err
    )
    assert mlgate("routes", "--upstream", "x").status == 1


CAN = [
    (("user:alice", "runs/delete", "experiment:5"), 0, "yes: user:alice may call runs/delete"),
    (("user:alice", "runs/delete", "run:r1"), 0, "yes: "),
    (("user:alice", "acl/write", "experiment:by-name:churn"), 0, "yes: "),
    (("user:bob", "runs/get", "experiment:5"), 1, "no: user:bob may not call runs/get"),
    (("user:bob", "runs/get", "experiment:5", "--group", "ds"), 0, "yes: "),
    (("user:bob", "acl/write", "experiment:5", "--group", "ds"), 1, "role manager"),
    (("user:dave", "acl/write", "experiment:5"), 0, "yes: "),
    (("service:dave", "acl/write", "experiment:5"), 1, "no: "),
    (("user:bob", "experiments/create"), 0, "yes: "),
    (("user:bob", "webhooks:GET"), 1, "it is for admins"),
    (("user:dave", "webhooks:GET"), 0, "yes: "),
]


@pytest.mark.parametrize("words, status, says", CAN)
def test_can_says_yes_or_no_and_why(
    words: tuple[str, ...],
    status: int,
    says: str,
    config: str,
    mlgate: Mlgate,
    mlflow: FakeMlflow,
) -> None:
    tags = {"mlgate.owner": "user:alice", "mlgate.group": "ds"}
    mlflow.experiments["5"] = ("churn", tags)
    mlflow.runs["r1"] = ("5", "alice")
    done = mlgate("can", *words, "--config", config)
    assert done.status == status
    assert says in done.out
    as_json = json.loads(mlgate("can", *words, "--config", config, "--json").out)
    assert as_json["allowed"] == (status == 0)


@pytest.mark.parametrize(
    "words, says",
    [
        (
            ("user:a", "runs/gte", "experiment:5"),
            "there is no call runs/gte; did you mean runs/get?",
        ),
        (("user:a", "health"), "it is open to everyone without a sign-in"),
        (("alice", "runs/get", "experiment:5"), "'alice' is not a principal"),
        (("user:a", "runs/get"), "name one, such as experiment:5"),
        (("user:a", "runs/get", "model:m"), "runs/get is not a call on a model"),
        (("user:a", "runs/get", "run:none"), "MLflow has no run 'none'"),
    ],
)
def test_can_says_what_it_did_not_understand(
    words: tuple[str, ...], says: str, config: str, mlgate: Mlgate
) -> None:
    done = mlgate("can", *words, "--config", config)
    assert done.status == 1
    assert says in done.err


def test_can_asks_a_gateway(
    mlgate: Mlgate, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGATE_URL", mlflow.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mlg_x")
    mlflow.own["GET", "/access/api/v1/can"] = (200, {"allowed": True, "explanation": "of course"})
    assert mlgate("can", "user:alice", "runs/get", "experiment:5").out == "yes: of course\n"
    _, target, headers, _ = mlflow.seen[-1]
    assert target.endswith("can?principal=user%3Aalice&call=runs%2Fget&kind=experiment&id=5")
    assert headers["Authorization"].startswith("Basic ")


def test_a_token_is_printed_once_and_only_its_hash_is_kept(
    config: str, mlgate: Mlgate, tmp_path: Path
) -> None:
    place = ("--config", config)
    made = mlgate(
        "token", "create", "--service", "nightly", "--group", "ds", "--label", "ci", *place
    )
    secret = made.out.strip()
    assert is_well_formed(secret)
    assert secret not in made.err
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    listed = mlgate("token", "list", "--service", "nightly", *place).out
    assert "service:nightly" in listed
    assert listed.rstrip().endswith("never used  ci")
    token_id = listed.split()[0]
    assert mlgate("token", "revoke", token_id, *place).out == f"token {token_id} is revoked\n"
    assert mlgate("token", "revoke", token_id, *place).status == 1
    assert mlgate("token", "list", *place).err == "no tokens\n"


def test_token_create_says_what_is_missing(config: str, mlgate: Mlgate) -> None:
    place = ("--config", config)
    assert "say whose" in mlgate("token", "create", *place).err
    assert "needs --group" in mlgate("token", "create", "--service", "x", *place).err
    assert (
        "at most 365 days" in mlgate("token", "create", "--user", "a", "--days", "900", *place).err
    )
    assert "give --service" in mlgate("token", "create", "--user", "a", "--group", "g", *place).err
    assert mlgate("token", "create", "--service", "x", "--group", "g", *place).status == 0
    other = mlgate("token", "create", "--service", "x", "--group", "h", *place)
    assert "belongs to g already" in other.err


def test_a_providers_service_gets_a_team_once(config: str, mlgate: Mlgate) -> None:
    async def seen() -> None:
        async with store_of(settings_of(config)) as store:
            await store.put_person(
                PersonRecord(name="service:etl", groups=(), home_group=None, seen=1.0)
            )

    asyncio.run(seen())
    words = ("token", "create", "--service", "etl", "--config", config)
    assert mlgate(*words).status == 0
    assert mlgate(*words, "--group", "ds").status == 0
    assert "belongs to ds already" in mlgate(*words, "--group", "other").err


def test_tokens_through_a_gateway(
    mlgate: Mlgate, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "jwt")
    row = {"id": "i", "principal": "user:a", "label": "", "expires": 0, "last_used": None}
    mlflow.own["POST", "/access/api/v1/tokens"] = (200, {**row, "token": "mlg_new"})
    mlflow.own["GET", "/access/api/v1/tokens"] = (200, {"tokens": [row]})
    mlflow.own["DELETE", "/access/api/v1/tokens/i"] = (200, {"revoked": "i"})
    place = ("--url", mlflow.url)
    assert mlgate("token", "create", "--days", "3", *place).out == "mlg_new\n"
    assert mlflow.seen[-1][3] == {"days": 3.0, "label": ""}
    assert mlgate("token", "list", "--all", *place).out.startswith("i  user:a  until 1970-01-01")
    assert mlflow.seen[-1][1].endswith("?principal=all")
    assert mlgate("token", "revoke", "i", *place).status == 0


def test_the_place_must_be_said(mlgate: Mlgate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "say where: --url" in mlgate("acl", "show", "experiment:1").err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "set MLFLOW_TRACKING_TOKEN" in mlgate("acl", "show", "experiment:1").err
    assert "not the URL of a gateway" in mlgate("acl", "show", "experiment:1", "--url", "x").err


@pytest.mark.parametrize(
    "words", [(), ("fly",), ("acl",), ("check",), ("up", "--port", "x"), ("can", "user:a")]
)
def test_a_command_line_that_is_not_understood_is_status_2(
    words: tuple[str, ...], mlgate: Mlgate
) -> None:
    assert mlgate(*words).status == 2


@pytest.mark.parametrize(
    "words",
    [(), ("up",), ("serve",), ("check",), ("routes",), ("can",), ("token",), ("acl",),
     ("acl", "import"), ("acl", "reconcile"), ("acl", "grant"), ("token", "create")],
)  # fmt: skip
def test_every_command_has_help(
    words: tuple[str, ...], mlgate: Mlgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # a terminal, and what sets this, may be wider
    done = mlgate(*words, "--help")
    assert done.status == 0
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_create_table_wants_a_dynamodb_uri(mlgate: Mlgate) -> None:
    done = mlgate("acl", "create-table", "sqlite:///x")
    assert done.status == 1
    assert "dynamodb://" in done.err
