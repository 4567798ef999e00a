"""What can be said about deploy/ without a container runtime or systemd."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.main import _parser
from gateway.settings_load import parse_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
UNIT = (DEPLOY / "systemd/mlgate.service").read_text("utf-8")
DOCKERFILE = (DEPLOY / "docker/Dockerfile").read_text("utf-8")


def option(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_mlflow_publishes_no_port_and_is_on_internal_networks_only() -> None:
    mlflow = COMPOSE["services"]["mlflow"]
    assert "ports" not in mlflow
    assert "network_mode" not in mlflow
    assert mlflow["networks"]
    assert all(COMPOSE["networks"][one].get("internal") is True for one in mlflow["networks"])


def test_only_the_gateway_joins_mlflows_network() -> None:
    joined = [name for name, one in COMPOSE["services"].items() if "upstream" in one["networks"]]
    assert sorted(joined) == ["gateway", "mlflow"]


def test_the_compose_gateway_runs_without_rights_that_it_does_not_need() -> None:
    gateway = COMPOSE["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert gateway["ports"] == ["${MLGATE_PUBLISH:-127.0.0.1:8080}:8080"]


def test_what_compose_mounts_and_builds_exists() -> None:
    for service in COMPOSE["services"].values():
        build = service["build"]
        context = DEPLOY / "compose" / build["context"]
        assert context.resolve() == ROOT
        assert f" AS {build['target']}\n" in DOCKERFILE
        assert (context / build["dockerfile"]).is_file()
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]


def test_every_variable_of_compose_is_in_the_example_env_file() -> None:
    text = (DEPLOY / "compose/compose.yaml").read_text("utf-8")
    used = set(re.findall(r"\$\{(\w+):-", text))
    shown = set(re.findall(r"^(\w+)=", (DEPLOY / "compose/.env.example").read_text("utf-8"), re.M))
    assert used == shown


def test_the_mlflow_that_compose_builds_is_the_one_that_the_catalogue_was_checked_against() -> None:
    from gateway.routes.schema import MLFLOW_VERSION

    assert f"mlflow=={MLFLOW_VERSION} " in DOCKERFILE


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("gateway.yaml")), ids=lambda p: p.parent.name)
def test_settings_in_deploy_load(path: Path) -> None:
    settings = parse_settings(path.read_text("utf-8"), {})
    assert settings.roles.endswith("roles.yaml")


def test_the_environment_of_compose_is_read_by_the_gateway() -> None:
    text = (DEPLOY / "compose/gateway.yaml").read_text("utf-8")
    names = COMPOSE["services"]["gateway"]["environment"]
    settings = parse_settings(text, dict.fromkeys(names, "") | {"MLGATE_ADMINS__USERS": "dave,eve"})
    assert settings.admins.users == {"dave", "eve"}


def test_the_containers_run_as_nobody_in_particular() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    for stage in stages:
        if re.match(r"base AS (gateway|mlflow)\n", stage):
            assert "USER app" in stage
            assert "pip install" not in stage
    assert "/access/readyz" in DOCKERFILE


def test_the_unit_starts_a_command_that_exists() -> None:
    (line,) = option("ExecStart")
    shell = shlex.split(line)
    assert shell[:2] == ["/bin/sh", "-ec"]
    words = shell[2].rpartition("exec ")[2].split()
    assert words[0].endswith("/mlgate")
    args = _parser().parse_args(words[1:])
    assert args.config == "/etc/mlgate/gateway.yaml"


@pytest.mark.parametrize(
    "name, value",
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("User", "mlgate"),
        ("Restart", "always"),
    ],
)
def test_the_unit_is_hardened(name: str, value: str) -> None:
    assert option(name) == [value]


def test_the_unit_waits_longer_than_the_gateway_drains() -> None:
    (seconds,) = option("TimeoutStopSec")
    grace = COMPOSE["services"]["gateway"]["stop_grace_period"]
    drain = parse_settings("", {}).limits.drain_seconds
    assert int(seconds) > drain + 5
    assert int(grace.removesuffix("s")) > drain + 5


def test_secrets_reach_the_unit_as_credentials_only() -> None:
    assert option("LoadCredential") == ["upstream-secret:/etc/mlgate/secrets/upstream-secret"]
    assert not option("Environment")
    assert not option("EnvironmentFile")


def test_the_firewall_lets_only_the_units_user_and_root_reach_mlflow() -> None:
    rules = (DEPLOY / "systemd/mlgate.nft").read_text("utf-8")
    (user,) = option("User")
    assert f'tcp dport 5000 meta skuid != {{ "{user}", "root" }} reject' in rules
    assert 'iifname != "lo" tcp dport 5000 drop' in rules
