"""The JSON Schemas and the documentation say what the loaders do."""

import re
from pathlib import Path

import pytest

from gateway.model import Kind
from gateway.roles import call_names, parse_roles
from gateway.routes.catalogue import ROUTES
from gateway.schemas import files, settings_table
from gateway.settings_load import parse_settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name, text", files().items())
def test_the_schema_files_are_those_of_the_loaders(name: str, text: str) -> None:
    shipped = (ROOT / "config" / "schema" / name).read_text("utf-8")
    assert shipped == text, "run: python -m gateway.schemas config/schema"


def test_the_table_of_settings_is_that_of_the_loader() -> None:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert text.partition("<!-- table -->\n")[2] == settings_table()


def samples(name: str) -> list[str]:
    text = (ROOT / "docs" / name).read_text("utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


def test_the_samples_of_the_settings_are_read() -> None:
    (sample,) = samples("settings.md")
    read = parse_settings(sample, {})
    assert read.limits.json_body == 32 * 1024**2
    admins = parse_settings(sample, {"MLGATE_ADMINS": '{"groups": ["ops"]}'}).admins
    assert admins.groups == {"ops"}


def test_the_sample_of_the_roles_is_read() -> None:
    (sample,) = samples("roles.md")
    matrix = parse_roles(sample, call_names(ROUTES))
    assert matrix.roles == ("reader", "editor", "careful-editor", "manager")


def test_the_table_of_the_roles_page_is_true() -> None:
    matrix = parse_roles((ROOT / "config" / "roles.yaml").read_text("utf-8"), call_names(ROUTES))
    claims = [
        (Kind.EXPERIMENT, "runs/set-tag", ("reader", "editor", "manager")),
        (Kind.MODEL, "model-versions/set-tag", ("reader", "editor", "manager")),
        (Kind.EXPERIMENT, "traces/{id}/tags:PATCH", ("editor", "manager")),
        (Kind.EXPERIMENT, "runs/delete-tag", ("editor", "manager")),
        (Kind.MODEL, "model-versions/transition-stage", ("editor", "manager")),
        (Kind.EXPERIMENT, "runs/restore", ("editor", "manager")),
        (Kind.EXPERIMENT, "datasets/{id}:DELETE", ("manager",)),
        (Kind.EXPERIMENT, "traces/delete-traces", ("manager",)),
        (Kind.MODEL, "model-versions/delete", ("manager",)),
        (Kind.MODEL, "registered-models/rename", ("manager",)),
        (Kind.EXPERIMENT, "experiments/restore", ("manager",)),
    ]
    for kind, call, roles in claims:
        assert matrix.roles_allowing(kind, call) == roles, call
