"""An admin edits roles.yaml while the gateway runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.world import (
    API,
    get_experiment,
    grants_of,
    in_force,
    metric,
    mlgate,
    new_experiment,
    new_run,
    ok,
    refused,
    share,
    unshare,
)
from tests.stack import ROOT, Answer, Stack

pytestmark = pytest.mark.e2e

SECONDS = 5.0
"""The file is looked at once a second."""


def _tag(stack: Stack, who: str, run: str) -> Answer:
    body = {"run_id": run, "key": "seen", "value": "yes"}
    return stack.call(who, "POST", f"{API}/runs/set-tag", body)


def _replace(path: Path, text: str) -> None:
    """As editors and configuration management do: a new file in the old one's place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def test_taking_a_call_from_a_role_and_breaking_the_file(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([stack.mlflow.url])
    roles = here.folder / "roles.yaml"
    config = next(here.folder.glob("gateway-*.yaml"))
    shipped = roles.read_text()
    experiment = new_experiment(here, "alice")
    run = new_run(here, "alice", experiment)
    ok(share(here, "alice", "experiment", experiment, "user:carol", "reader"))
    ok(_tag(here, "carol", run))

    # Taken from readers, given to editors: in force without a restart.
    lines = [
        line for line in shipped.splitlines() if line.split("#")[0].strip() != "- runs/set-tag"
    ]
    assert len(lines) == len(shipped.splitlines()) - 1
    taken = "\n".join(lines).replace(
        "      - runs/create\n", "      - runs/create\n      - runs/set-tag\n"
    )
    assert taken.count("- runs/set-tag\n") == 1
    _replace(roles, taken)
    in_force(lambda: _tag(here, "carol", run).status == 403, SECONDS)
    said = refused(_tag(here, "carol", run))
    assert "editor" in said
    assert get_experiment(here, "carol", experiment).status == 200
    ok(_tag(here, "alice", run))
    ok(_tag(here, "bob", run))

    # A broken edit changes nothing, and everybody who looks is told.
    roles.write_text(taken.replace("      - runs/create\n", "      - runs/craete\n"))
    in_force(lambda: metric(here.url, "mlgate_roles_broken") == 1, SECONDS)
    refused(_tag(here, "carol", run))
    ok(_tag(here, "alice", run))
    checked = mlgate("check", "--offline", "--config", str(config), cwd=here.folder)
    assert checked.returncode == 1
    assert "runs/craete" in checked.stdout
    assert "runs/create" in checked.stdout, "and a suggestion"
    assert "refused" in here.gateway.log.read_text()

    for broken in ("", "roles: [", "version: 1\nroles: {}\n"):
        roles.write_text(broken)
        in_force(lambda: metric(here.url, "mlgate_roles_broken") == 1, SECONDS)
        refused(_tag(here, "carol", run))
        ok(_tag(here, "bob", run))

    _replace(roles, shipped)
    in_force(lambda: metric(here.url, "mlgate_roles_broken") == 0, SECONDS)
    ok(_tag(here, "carol", run))
    checked = mlgate("check", "--offline", "--config", str(config), cwd=here.folder)
    assert checked.returncode == 0, checked.stdout


def test_a_role_of_ones_own_and_private_spaces(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([stack.mlflow.url])
    roles = here.folder / "roles.yaml"
    text = roles.read_text()
    text = text.replace(
        "\nserver:", "\n  auditor:\n    experiment: [experiments/get, runs/get]\n\nserver:", 1
    ).replace(
        "experiment: {creator: manager, group: editor}",
        "experiment: {creator: manager, group: none}",
    )
    _replace(roles, text)
    experiment = in_force(lambda: _private(here), SECONDS)
    refused(get_experiment(here, "bob", experiment))
    run = new_run(here, "alice", experiment)
    ok(share(here, "alice", "experiment", experiment, "user:bob", "auditor"))
    ok(get_experiment(here, "bob", experiment))
    ok(here.call("bob", "GET", f"{API}/runs/get?run_id={run}"))
    refused(_tag(here, "bob", run))
    refused(here.call("bob", "GET", f"{API}/metrics/get-history?run_id={run}&metric_key=x"))


def _private(stack: Stack) -> str | None:
    """A new experiment, once new ones are private."""
    made = new_experiment(stack, "alice")
    return made if get_experiment(stack, "bob", made).status == 403 else None


def test_nobody_gives_or_takes_a_role_above_their_own(
    stack: Stack, gateway_of: Callable[..., Stack], tmp_path: Path
) -> None:
    roles = (ROOT / "config/roles.yaml").read_text()
    lead = "\n  lead:\n    extends: editor\n    experiment: [acl/write]\n\nserver:"
    (tmp_path / "roles.yaml").write_text(roles.replace("\nserver:", lead, 1))
    here = gateway_of([stack.mlflow.url])
    experiment = new_experiment(here, "alice")
    ok(share(here, "alice", "experiment", experiment, "user:carol", "lead"))
    ok(share(here, "carol", "experiment", experiment, "user:x", "editor"))
    ok(share(here, "carol", "experiment", experiment, "user:x", "reader"))
    for key, role in (("user:x", "manager"), ("user:carol", "manager"), ("user:alice", "reader")):
        said = refused(share(here, "carol", "experiment", experiment, key, role))
        assert "above their own" in said
    refused(unshare(here, "carol", "experiment", experiment, "user:alice"))
    ok(unshare(here, "carol", "experiment", experiment, "user:x"))
    assert grants_of(here, "alice", "experiment", experiment) == {
        "user:alice": "manager",
        "group:data-science": "editor",
        "user:carol": "lead",
    }
