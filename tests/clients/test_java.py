"""MLflow's released Java client, with the lines that the console gives for it.

``java/App.java`` is compiled and run for each person; nothing of the client is stubbed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.maven import fetch_jars
from tests.clients.console import Copied, new_token
from tests.e2e.world import name_of
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.heavy, pytest.mark.timeout(900)]

VERSION = "2.17.2"
"""The newest that could be fetched when this was written."""
PROGRAM = Path(__file__).parent / "java" / "App.java"
PLACE = "// The lines of the console: they declare `client`."


@pytest.fixture(scope="module")
def jars() -> Path:
    """The client and all that it needs, fetched on first use."""
    place = (ROOT / ".cache" / f"mlflow-client-{VERSION}").resolve()
    fetch_jars(place, f"org.mlflow:mlflow-client:{VERSION}")
    return place


@dataclass(frozen=True)
class Work:
    """What alice made with the Java client, and what each call of it said."""

    name: str
    model: str
    said: dict[str, str]


def run_java(jars: Path, folder: Path, lines: str, *arguments: str) -> dict[str, str]:
    """What the program said, call by call, with these lines in it.

    It finds Python, which moves its artifacts, as the client says it does: by one variable. The
    credential is in the lines alone.
    """
    program = PROGRAM.read_text("utf-8")
    assert program.count(PLACE) == 1
    made = folder / "App.java"
    made.write_text(program.replace(PLACE, lines), "utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLGATE_"))}
    env["MLFLOW_PYTHON_EXECUTABLE"] = sys.executable
    done = subprocess.run(
        ["java", "-cp", f"{jars}/*", str(made), *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr[-3000:])
    return dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)


@pytest.fixture(scope="module")
def work(stack: Stack, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("java")
    (folder / "hello.txt").write_text("hello from Java")
    name, model = name_of("java"), name_of("java-model")
    lines = new_token(stack, "alice").lines["Java"]
    arguments = ("work", name, model, str(folder / "hello.txt"))
    return Work(name, model, run_java(jars, folder, lines, *arguments))


def test_alice_works_and_finds_what_she_did(stack: Stack, work: Work) -> None:
    said = dict(work.said)
    experiment, run = said.pop("experiment"), said.pop("run")
    tags = said.pop("tags")
    assert "batch=yes" in tags
    assert "kind=baseline" in tags
    assert "mlflow.user=alice" in tags, "not what the machine calls her"
    assert "gone" not in tags
    uri = said.pop("getModelVersionDownloadUri")
    assert uri.endswith(f"/{run}/artifacts/texts")
    assert said == {
        "status": "FINISHED",
        "metrics": "[accuracy=0.9, loss=0.25, odd=NaN]",
        "params": "[depth=3, width=7]",
        "history": "[0.5, 0.25]",
        "searchRuns": f"[{run}]",
        "searchExperiments": f"[{experiment}]",
        "getExperimentByName": experiment,
        "getExperimentByName of none": "false",
        "getExperiment": f"{work.name}-renamed",
        "listArtifacts": "[texts/hello.txt 15]",
        "downloadArtifacts": "hello from Java",
        "getRegisteredModel": "from Java",
        "getLatestVersions": "[1]",
        "getModelVersion": run,
        "searchModelVersions": "[1]",
        "downloadModelVersion": "[hello.txt]",
    }


def look(stack: Stack, jars: Path, folder: Path, lines: str, work: Work) -> dict[str, str]:
    made = (f"{work.name}-renamed", work.said["experiment"], work.said["run"], work.model)
    return run_java(jars, folder, lines, "look", *made)


def refusal(said: str) -> tuple[str, str, str]:
    """Status, error code and sentence."""
    status, _, body = said.partition(" ")
    parsed = json.loads(body)
    return status, parsed["error_code"], parsed["message"]


NAMED = ("getRegisteredModel", "getModelVersion", "getLatestVersions")
HIDDEN = ("getRun", "getMetricHistory", "getExperiment", "createRun", "logMetric")
SEARCHES = {"searchRuns": "0", "searchExperiments": "0", "searchModelVersions": "0"}


def test_carol_is_refused_with_our_sentence_and_finds_nothing(
    stack: Stack, jars: Path, work: Work, tmp_path: Path
) -> None:
    before = len((stack.folder / "audit.log").read_text().splitlines())
    said = look(stack, jars, tmp_path, new_token(stack, "carol").lines["Java"], work)
    for call in HIDDEN:
        status, code, sentence = refusal(said.pop(call))
        assert (call, status, code) == (call, "403", "PERMISSION_DENIED")
        assert sentence.startswith("user:carol may not call")
        assert "is not shared with you" in sentence
    for call in NAMED:
        status, code, _ = refusal(said.pop(call))
        assert (call, status, code) == (call, "404", "RESOURCE_DOES_NOT_EXIST")
    status, code, sentence = refusal(said.pop("createExperiment"))
    assert (status, code) == ("403", "PERMISSION_DENIED")
    assert "is taken" in sentence
    assert said == {"getExperimentByName": "false", **SEARCHES}
    # As docs/errors.md and docs/audit.md say: the client sends what is refused three times.
    lines = (stack.folder / "audit.log").read_text().splitlines()[before:]
    asked = [one for one in map(json.loads, lines) if one["call"] == "runs/get"]
    assert [one["result"] for one in asked] == ["deny"] * 3


def wrong(copied: Copied) -> str:
    """The lines with the token's last character changed."""
    last = "A" if copied.token[-1] != "A" else "B"
    lines = copied.lines["Java"]
    assert copied.token in lines
    return lines.replace(copied.token, copied.token[:-1] + last)


def test_a_wrong_token_is_401_everywhere(
    stack: Stack, jars: Path, work: Work, tmp_path: Path
) -> None:
    said = look(stack, jars, tmp_path, wrong(new_token(stack, "alice")), work)
    assert len(said) == len(HIDDEN) + len(NAMED) + len(SEARCHES) + 2
    assert {refusal(one)[:2] for one in said.values()} == {("401", "UNAUTHENTICATED")}


def test_the_token_may_also_be_the_password_beside_the_user_name(
    stack: Stack, jars: Path, work: Work, tmp_path: Path
) -> None:
    creds = ", ".join(json.dumps(one) for one in (stack.url, "alice", stack.tokens["alice"]))
    lines = f"MlflowClient client = new MlflowClient(new BasicMlflowHostCreds({creds}));"
    said = look(stack, jars, tmp_path, lines, work)
    assert said["getRun"] == work.said["run"]
    assert said["searchRuns"] == "2", "hers, and the one that she has just made"
