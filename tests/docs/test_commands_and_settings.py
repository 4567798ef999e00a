"""Commands, targets and settings that the documentation shows are those of the code."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracing.trace_archival_config import load_trace_archival_server_config

from gateway.cli.main import _parser
from gateway.roles import call_names, parse_roles
from gateway.routes.catalogue import ROUTES
from gateway.settings_keys import IDENTITY, SECTIONS, TOP
from gateway.settings_load import SettingsError, parse_settings
from tests.docs.pages import NAMES, ROOT, blocks, text_of


def children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def shown_commands(text: str) -> Iterator[str]:
    """What follows ``mlgate`` at the start of a line of a block, and in backquotes."""
    for block in blocks(text, ""):
        for line in block.splitlines():
            found = re.match(r"(?:\$ )?(?:\S+/)?mlgate (.+)", line)
            if found and not found[1].startswith(("serves", "is up")):
                yield found[1].partition("  #")[0]
    spans = " ".join(text.split("\n"))
    yield from re.findall(r"`mlgate ([^`]+)`", spans)


def problem(command: str) -> str | None:
    """Why a command cannot be one; None: it can."""
    words = shlex.split(re.split(r" [|>&] ", command)[0])
    parser = _parser()
    while words and (below := children(parser)):
        if words[0] in ("…", "COMMAND", "--version", "--help"):
            return None
        for one in words[0].split("/"):
            if one not in below:
                return f"there is no {one}"
        parser, words = below[words[0].split("/")[0]], words[1:]
    known = {name for action in parser._actions for name in action.option_strings}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"no such option: {unknown}" if unknown else None


COMMANDS = [(name, one) for name in NAMES for one in shown_commands(text_of(name))]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("name, command", COMMANDS)
def test_a_command_that_is_shown_exists(name: str, command: str) -> None:
    assert problem(command) is None, name


@pytest.mark.parametrize("wrong", ["serv --config x", "acl shwo model:x", "check --confg x"])
def test_a_wrong_command_is_noticed(wrong: str) -> None:
    assert problem(wrong) is not None


def test_make_targets_that_are_shown_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    shown = set()
    for name in NAMES:
        text = text_of(name)
        shown |= set(re.findall(r"^make ([\w-]+)", "\n".join(blocks(text, "")), re.MULTILINE))
        shown |= set(re.findall(r"`make ([\w-]+)`", text))
    assert {"up", "test"} <= shown <= targets


def test_the_readme_shows_the_two_commands() -> None:
    first = blocks(text_of("README.md"), "")[0]
    assert re.findall(r"^make (\w+)", first, re.MULTILINE) == ["up", "test"]


def test_ci_runs_make_test() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert re.search(r"^make test\b", run.read_text("utf-8"), re.MULTILINE)


# --- settings and roles -------------------------------------------------------------------------

KEYS = {key.name for key in TOP.keys}
KEYS |= {f"{section.name}.{key.name}" for section in SECTIONS for key in section.keys}
KEYS |= {f"identity.{key.name}" for key in IDENTITY.keys}
SECTION_NAMES = "|".join([*(section.name for section in SECTIONS), "identity"])


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named_exist(name: str) -> None:
    for key in re.findall(rf"`((?:{SECTION_NAMES})\.[a-z_]+)(?:: [^`]*)?`", text_of(name)):
        assert key in KEYS, f"{name}: {key}"


YAML = [(name, one) for name in NAMES for one in blocks(text_of(name), "yaml")]


@pytest.mark.parametrize("name, sample", YAML)
def test_yaml_that_is_shown_is_read(name: str, sample: str, tmp_path: Path) -> None:
    if sample.startswith("trace_archival:"):  # MLflow's own
        path = tmp_path / "sample.yaml"
        path.write_text(sample)
        assert load_trace_archival_server_config(path).enabled
        return
    if sample.startswith("version: 1\nroles:"):
        parse_roles(sample, call_names(ROUTES))
        return
    environ = dict.fromkeys(re.findall(r"_env: (\w+)", sample), "x")
    try:
        parse_settings(sample, environ)
    except SettingsError as error:
        pytest.fail(f"{name}: {'; '.join(map(str, error.problems))}")


def test_environment_variables_of_settings_that_are_named_exist() -> None:
    named = {v for name in NAMES for v in re.findall(r"\bMLGATE_[A-Z_0-9]+\b", text_of(name))}
    known = {"MLGATE_" + key.upper().replace(".", "__") for key in KEYS}
    known |= {"MLGATE_" + one.upper() for one in SECTION_NAMES.split("|")}
    known |= {"MLGATE_CONFIG", "MLGATE_URL", "MLGATE_"}
    folded = {re.sub(r"__\d+__", "__", one) for one in named}
    assert folded <= known
