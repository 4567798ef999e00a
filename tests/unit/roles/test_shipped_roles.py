"""config/roles.yaml against the catalogue: complete, and a ladder."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from gateway.model import Kind
from gateway.roles import READ_CALL, CallNames, Defaults, RoleMatrix, call_names, parse_roles
from gateway.routes.catalogue import ROUTES

PATH = Path(__file__).parents[3] / "config" / "roles.yaml"
ADMIN_ONLY = (
    "demo/*", "gateway/*", "jobs", "jobs/*", "mcp-servers*", "webhooks*", "workspaces*",
)  # fmt: skip


@pytest.fixture(scope="module")
def names() -> CallNames:
    return call_names(ROUTES)


@pytest.fixture(scope="module")
def matrix(names: CallNames) -> RoleMatrix:
    return parse_roles(PATH.read_text("utf-8"), names)


@pytest.mark.parametrize("kind", Kind)
def test_every_call_on_a_resource_is_given_to_a_role(
    kind: Kind, names: CallNames, matrix: RoleMatrix
) -> None:
    assert names.of_kind(kind) - matrix.calls["manager", kind] == set()


def test_every_server_call_is_given_to_everyone_or_kept_for_admins_on_purpose(
    names: CallNames, matrix: RoleMatrix
) -> None:
    kept = {call for call in names.server if any(fnmatchcase(call, p) for p in ADMIN_ONLY)}
    assert names.server - kept - matrix.everyone == set()


def test_every_call_of_a_role_is_written_out(names: CallNames, matrix: RoleMatrix) -> None:
    text = PATH.read_text("utf-8")
    for call in names.experiment | names.model | matrix.everyone:
        assert re.search(rf"^ +- {re.escape(call)}( |$)", text, re.MULTILINE), call


def test_admins_may_make_every_call(names: CallNames, matrix: RoleMatrix) -> None:
    assert matrix.admin == names.experiment | names.model | names.server


@pytest.mark.parametrize("kind", Kind)
def test_the_roles_are_a_ladder(kind: Kind, matrix: RoleMatrix) -> None:
    reader, editor, manager = (matrix.calls[role, kind] for role in matrix.roles)
    assert reader < editor < manager
    assert READ_CALL[kind] in reader
    assert "acl/write" in manager - editor


def test_readers_change_nothing_but_tags(matrix: RoleMatrix) -> None:
    changing = {row.call for row in ROUTES if row.does != "read"}
    allowed = matrix.calls["reader", Kind.EXPERIMENT] | matrix.calls["reader", Kind.MODEL]
    assert allowed & changing == {
        "experiments/set-experiment-tag",
        "runs/set-tag",
        "registered-models/set-tag",
        "model-versions/set-tag",
    }


def test_readers_read_everything(names: CallNames, matrix: RoleMatrix) -> None:
    reading = {row.call for row in ROUTES if row.does == "read"} | {"acl/read"}
    for kind in Kind:
        assert names.of_kind(kind) & reading <= matrix.calls["reader", kind]


def test_only_admins_change_the_server(matrix: RoleMatrix) -> None:
    changing = {row.call for row in ROUTES if row.does != "read"}
    assert matrix.everyone & changing == {
        "experiments/create",
        "registered-models/create",
        "ui-telemetry:POST",
    }


def test_deleting_for_good_takes_a_manager(matrix: RoleMatrix) -> None:
    deleting = {row.call for row in ROUTES if row.does == "delete"}
    editors = matrix.calls["editor", Kind.EXPERIMENT] | matrix.calls["editor", Kind.MODEL]
    parts_or_restorable = re.compile(
        r".*tag.*|runs/delete|artifacts/mpu/abort|registered-models/alias:DELETE"
        r"|datasets/\{id\}/records:DELETE|review-queues/.*|traces/\{id\}/assessments/.*"
    )
    assert {c for c in editors & deleting if not parts_or_restorable.fullmatch(c)} == set()


def test_the_defaults_share_with_the_group(matrix: RoleMatrix) -> None:
    assert matrix.defaults[Kind.EXPERIMENT] == Defaults("manager", "editor")
    assert matrix.defaults[Kind.MODEL] == Defaults("manager", "reader")


def test_the_commented_viewer_role_takes_the_tags_away(names: CallNames) -> None:
    text = PATH.read_text("utf-8")
    viewer = re.search(r"#   (viewer: \{.*\n)  #( +model: .*\n)", text)
    assert viewer is not None
    built = parse_roles(text.replace("roles:\n", f"roles:\n  {viewer[1]}  {viewer[2]}", 1), names)
    assert not any(built.allows("viewer", Kind.EXPERIMENT, call) for call in ("runs/set-tag",))
    assert built.allows("viewer", Kind.MODEL, "model-versions/get")
    assert not any("set-tag" in call for call in built.calls["viewer", Kind.MODEL])
