"""mlgate acl, on the store and through a gateway."""

import io
from pathlib import Path

import pytest

from tests.fakes.fake_mlflow import FakeMlflow
from tests.unit.cli.conftest import Mlgate

ALICE = {"mlgate.owner": "user:alice", "mlgate.group": "ds"}


def test_a_grant_is_shown_and_taken_away(config: str, mlgate: Mlgate, mlflow: FakeMlflow) -> None:
    mlflow.experiments["5"] = ("churn", ALICE)
    place = ("--config", config)
    done = mlgate("acl", "grant", "experiment:5", "group:research", "reader", *place)
    assert (done.status, done.out) == (0, "group:research is reader on experiment:5\n")
    assert mlgate("acl", "show", "experiment:by-name:churn", *place).out == (
        "experiment:5  (owner: user:alice)\n"
        "  group:ds        editor\n"
        "  group:research  reader\n"
        "  user:alice      manager\n"
    )
    assert mlgate("acl", "revoke", "experiment:5", "group:research", *place).status == 0
    again = mlgate("acl", "revoke", "experiment:5", "group:research", *place)
    assert (again.status, again.err) == (1, "mlgate: group:research has no role on experiment:5\n")


@pytest.mark.parametrize(
    "words, says",
    [
        (("grant", "experiment:5", "alice", "reader"), "'alice' is not a principal"),
        (("grant", "experiment:5", "user:bob", "raeder"), "There is no role 'raeder'"),
        (("grant", "experiment:9", "user:bob", "reader"), "MLflow has no experiment '9'"),
        (("grant", "model:free", "user:bob", "reader"), "MLflow has no model 'free'"),
        (("grant", "run:1", "user:bob", "reader"), "'run:1' is not a resource"),
        (("grant", "experiment:churn", "user:bob", "reader"), "'churn' is not an experiment id"),
        (("show", "experiment:by-name:none"), "MLflow has no experiment name 'none'"),
        (("revoke", "experiment:5", "user:alice"), "is the last one who can manage"),
    ],
)
def test_what_cannot_be_is_said(
    words: tuple[str, ...], says: str, config: str, mlgate: Mlgate, mlflow: FakeMlflow
) -> None:
    mlflow.experiments["5"] = ("churn", ALICE)
    done = mlgate("acl", *words, "--config", config)
    assert done.status == 1
    assert says in done.err
    assert mlgate("acl", "show", "experiment:9", "--config", config).out == (
        "experiment:9: nobody owns it; only admins see it\n"
    )


def seed(mlflow: FakeMlflow) -> None:
    mlflow.experiments |= {
        "0": ("Default", {}),
        "1": ("a", {}),
        "2": ("b", {}),
        "3": ("stamped", {"mlgate.owner": "user:carol", "mlgate.group": "research"}),
        "4": ("empty", {}),
    }
    mlflow.runs |= {
        "r0": ("0", "alice"), "r1": ("1", "alice"), "r2": ("1", "bob"), "r3": ("2", "root"),
    }  # fmt: skip
    mlflow.models |= {"it's": {}, "both'\"": {}, "prompt": {"mlflow.prompt.is_prompt": "true"}}
    mlflow.versions["it's"] = ["r2", "r1"]


def test_import_gives_first_owners_once(config: str, mlgate: Mlgate, mlflow: FakeMlflow) -> None:
    seed(mlflow)
    words = ("acl", "import", "--config", config, "--domain", "example.com")
    given = {
        "experiment:1: user:alice@example.com manager",
        "experiment:3: user:carol manager, group:research editor",
        "model:it's: user:bob@example.com manager",
    }
    dry = mlgate(*words, "--dry-run")
    assert set(dry.out.splitlines()) == given
    assert "nothing was changed (--dry-run)" in dry.err
    first = mlgate(*words)
    assert (first.status, set(first.out.splitlines())) == (0, given)
    assert first.err.splitlines() == [
        "2 experiments, 1 models got an owner; 0 had one already",
        "5 have no known owner; only admins see them until you grant a role: "
        "experiment:0, experiment:2, experiment:4, model:both'\", model:prompt",
    ]
    assert mlgate(*words, "--dry-run").out == ""
    second = mlgate(*words)
    assert second.out == ""
    assert "0 experiments, 0 models got an owner; 3 had one already" in second.err
    rest = mlgate(*words, "--owner", "service:steward")
    assert len(rest.out.splitlines()) == 5
    assert all("service:steward manager" in line for line in rest.out.splitlines())


def test_import_from_a_csv_file(
    config: str, mlgate: Mlgate, mlflow: FakeMlflow, tmp_path: Path
) -> None:
    seed(mlflow)
    path = tmp_path / "owners.csv"
    path.write_text(
        "\ufeffkind,id,owner,group\nexperiment,0,dave,ops\nmodel,it's,service:nightly,\n"
        "model,gone,user:x,\nexperiment,3,user:eve,\n"
    )
    done = mlgate("acl", "import", "--config", config, "--csv", str(path))
    assert done.out.splitlines() == [
        "experiment:0: user:dave manager, group:ops editor",
        "model:it's: service:nightly manager",
        "experiment:3: user:carol manager, group:research editor",
    ]
    assert "1 of the CSV file are not in MLflow: model:gone" in done.err


def test_a_csv_file_with_problems_changes_nothing(
    config: str, mlgate: Mlgate, mlflow: FakeMlflow, tmp_path: Path
) -> None:
    seed(mlflow)
    path = tmp_path / "owners.csv"
    path.write_text(
        "kind,id,owner,group\nexperiment,1,user:a,\nrun,1,user:a,\nexperiment,a,user:a,\n"
        "model,,user:a,\nmodel,m,group:x,\nexperiment,1,user:b,\n"
    )
    done = mlgate("acl", "import", "--config", config, "--csv", str(path))
    assert done.status == 1
    assert done.err.splitlines() == [
        f"mlgate: {path} is not usable; nothing was done:",
        "  line 3: kind must be experiment or model, not 'run'",
        "  line 4: 'a' is not an experiment id",
        "  line 5: id is empty",
        "  line 6: 'group:x' names no owner; write user:NAME or service:NAME",
        "  line 7: experiment:1 is listed twice",
    ]
    assert "nobody owns it" in mlgate("acl", "show", "experiment:1", "--config", config).out
    path.write_text("id,owner\n1,a\n")
    assert "missing: kind" in mlgate("acl", "import", "--config", config, "--csv", str(path)).err


def test_reconcile_rebuilds_what_is_lost_and_removes_what_is_gone(
    config: str, mlgate: Mlgate, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.models |= {"old": ALICE, "kept": ALICE}
    assert mlgate("acl", "import", "--config", config).status == 0
    del mlflow.models["old"]
    mlflow.experiments["7"] = ("lost", ALICE)
    words = ("acl", "reconcile", "--config", config)
    dry = mlgate(*words, "--dry-run")
    assert dry.out.splitlines() == ["rebuilt: experiment:7 of user:alice", "stale: model:old"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    unasked = mlgate(*words)
    assert unasked.out == dry.out
    assert "--yes removes them" in unasked.err
    done = mlgate(*words, "--yes")
    assert done.out == "stale: model:old\n"
    assert "1 removed" in done.err
    assert mlgate(*words, "--yes").out == ""
    assert "nobody owns it" in mlgate("acl", "show", "model:old", "--config", config).out
    assert "user:alice" in mlgate("acl", "show", "model:kept", "--config", config).out
    assert "user:alice" in mlgate("acl", "show", "experiment:7", "--config", config).out


def test_reconcile_asks_again_before_it_calls_something_stale(
    config: str, mlgate: Mlgate, mlflow: FakeMlflow
) -> None:
    mlflow.models["young"] = ALICE
    mlgate("acl", "import", "--config", config)
    mlflow.own["GET", "/api/2.0/mlflow/registered-models/search"] = (200, {})
    assert mlgate("acl", "reconcile", "--config", config, "--yes").out == ""
    assert "user:alice" in mlgate("acl", "show", "model:young", "--config", config).out


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("said, left", [("\n", 1), ("y\n", 0)])
def test_reconcile_asks_before_it_removes(
    said: str,
    left: int,
    config: str,
    mlgate: Mlgate,
    mlflow: FakeMlflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow.models["old"] = ALICE
    mlgate("acl", "import", "--config", config)
    mlflow.models.clear()
    monkeypatch.setattr("sys.stdin", FakeTerminal(said))
    assert mlgate("acl", "reconcile", "--config", config).status == 0
    still = mlgate("acl", "reconcile", "--config", config, "--dry-run").out
    assert still.count("stale:") == left


def test_through_a_gateway_names_are_escaped_and_the_token_is_sent(
    mlgate: Mlgate, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mlg_secret")
    target = "/access/api/v1/acl/model/a%2Fb%20c"
    mlflow.own["GET", target] = (200, {"owner": None, "grants": [
        {"principal": "everyone", "role": "reader"}]})  # fmt: skip
    mlflow.own["PUT", f"{target}/user%3Abob"] = (200, {})
    mlflow.own["DELETE", f"{target}/user%3Abob"] = (403, {"message": "Ask a manager."})
    place = ("--url", mlflow.url)
    assert mlgate("acl", "show", "model:a/b c", *place).out == (
        "model:a/b c  (owner: none)\n  everyone  reader\n"
    )
    assert mlgate("acl", "grant", "model:a/b c", "user:bob", "editor", *place).status == 0
    method, _, headers, body = mlflow.seen[-1]
    assert (method, body) == ("PUT", {"role": "editor"})
    assert headers["Authorization"] == "Bearer mlg_secret"
    refused = mlgate("acl", "revoke", "model:a/b c", "user:bob", *place)
    assert (refused.status, refused.err) == (1, "mlgate: Ask a manager.\n")
