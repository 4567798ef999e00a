"""roles.yaml: what is read, and what is said about a file that cannot be."""

import pytest

from gateway.model import Kind
from gateway.roles import CallNames, Defaults, RolesError, call_names, parse_roles
from gateway.routes import route as row
from gateway.routes.route import BOTH, Route

CALLS = CallNames(
    experiment=frozenset(
        {"experiments/get", "runs/get", "runs/create", "runs/delete", "acl/read", "acl/write"}
    ),
    model=frozenset({"registered-models/get", "registered-models/delete", "acl/read", "acl/write"}),
    server=frozenset({"experiments/create", "experiments/search", "webhooks/create"}),
    unlistable={"version": "it is open to everyone without a sign-in"},
)

GOOD = """\
version: 1
roles:
  reader:
    experiment: [experiments/get, runs/get]
    model: [registered-models/get]
  editor:
    extends: reader
    experiment: ["runs/*", -runs/delete]
  manager:
    extends: editor
    experiment: [runs/delete, "acl/*"]
    model: ["*"]
server:
  everyone: [experiments/create, experiments/search]
  admin: ["*"]
defaults:
  experiment: {creator: manager, group: none}
  model: {creator: manager, group: reader}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RolesError) as caught:
        parse_roles(text, CALLS)
    return [str(problem) for problem in caught.value.problems]


def test_a_role_has_what_it_lists_and_what_it_extends() -> None:
    matrix = parse_roles(GOOD, CALLS)
    assert matrix.roles == ("reader", "editor", "manager")
    assert matrix.calls["editor", Kind.EXPERIMENT] == {"experiments/get", "runs/get", "runs/create"}
    assert matrix.calls["editor", Kind.MODEL] == {"registered-models/get"}
    assert matrix.allows("manager", Kind.MODEL, "acl/write")
    assert not matrix.allows("reader", Kind.EXPERIMENT, "registered-models/get")
    assert not matrix.allows("gone", Kind.EXPERIMENT, "runs/get")


def test_roles_allowing_are_in_the_order_of_the_file() -> None:
    matrix = parse_roles(GOOD, CALLS)
    assert matrix.roles_allowing(Kind.EXPERIMENT, "runs/get") == ("reader", "editor", "manager")
    assert matrix.roles_allowing(Kind.EXPERIMENT, "runs/delete") == ("manager",)
    assert matrix.roles_allowing(Kind.MODEL, "runs/get") == ()


def test_a_role_covers_what_it_is_a_superset_of() -> None:
    matrix = parse_roles(GOOD, CALLS)
    assert matrix.covers("manager", "reader", Kind.EXPERIMENT)
    assert matrix.covers("reader", "reader", Kind.EXPERIMENT)
    assert not matrix.covers("editor", "manager", Kind.EXPERIMENT)
    assert matrix.covers("reader", "editor", Kind.MODEL)
    assert not matrix.covers("gone", "reader", Kind.MODEL)
    assert not matrix.covers("manager", "gone", Kind.MODEL)


def test_admins_are_listed_over_all_calls_and_everyone_over_server_calls_only() -> None:
    matrix = parse_roles(GOOD, CALLS)
    assert matrix.admin == CALLS.experiment | CALLS.model | CALLS.server
    assert matrix.everyone == {"experiments/create", "experiments/search"}
    less = parse_roles(GOOD.replace('admin: ["*"]', 'admin: ["*", "-acl/*"]'), CALLS)
    assert less.admin == matrix.admin - {"acl/read", "acl/write"}


def test_the_group_default_may_be_none() -> None:
    matrix = parse_roles(GOOD, CALLS)
    assert matrix.defaults[Kind.EXPERIMENT] == Defaults("manager", None)
    assert matrix.defaults[Kind.MODEL] == Defaults("manager", "reader")


def test_a_role_may_stand_before_the_role_that_it_extends() -> None:
    text = GOOD.replace("roles:\n", "roles:\n  first: {extends: manager}\n")
    matrix = parse_roles(text, CALLS)
    assert matrix.calls["first", Kind.EXPERIMENT] == matrix.calls["manager", Kind.EXPERIMENT]


BROKEN = [
    pytest.param(
        GOOD.replace("runs/get]", "runs/gte]"),
        ["line 4, roles.reader.experiment: runs/gte matches no call; did you mean runs/get?;"
         " mlgate routes lists them"],
        id="misspelt-call",
    ),
    pytest.param(
        GOOD.replace('"runs/*"', '"rums/*"'),
        ["line 8, roles.editor.experiment: rums/* matches no call; mlgate routes lists them",
         "line 8, roles.editor.experiment: -runs/delete takes away nothing: the role has no such"
         " call"],
        id="pattern-without-a-match",
    ),
    pytest.param(
        GOOD.replace("[registered-models/get]", "[registered-models/get, runs/get]"),
        ["line 5, roles.reader.model: runs/get is not a call of this list; it belongs under"
         " experiment (of a role)"],
        id="call-of-the-other-kind",
    ),
    pytest.param(
        GOOD.replace("[registered-models/get]", "[webhooks/create]"),
        ["line 5, roles.reader.model: webhooks/create is not a call of this list; it belongs"
         " under server.everyone or server.admin"],
        id="server-call-in-a-role",
    ),
    pytest.param(
        GOOD.replace("experiments/search]", "version]"),
        ["line 14, server.everyone: version cannot be listed: it is open to everyone without a"
         " sign-in; remove the line"],
        id="public-call",
    ),
    pytest.param(
        GOOD.replace("extends: reader", "extends: raeder"),
        ["line 7, roles.editor.extends: there is no role raeder; did you mean reader?"],
        id="unknown-parent",
    ),
    pytest.param(
        GOOD.replace("  reader:\n", "  reader:\n    extends: manager\n"),
        ["line 4, roles.reader.extends: extends itself: reader -> manager -> editor -> reader",
         "line 8, roles.editor.extends: extends itself: editor -> reader -> manager -> editor",
         "line 11, roles.manager.extends: extends itself: manager -> editor -> reader -> manager"],
        id="circle",
    ),
    pytest.param(
        GOOD.replace("model: [registered-models/get]", "model: [registered-models/get]\n"
                     "    model: []"),
        ["line 6, roles.reader.model: written twice (first on line 5)"],
        id="duplicate-key",
    ),
    pytest.param(
        GOOD.replace("[experiments/get, runs/get]", "[runs/get, runs/get]"),
        ["line 4, roles.reader.experiment: runs/get is listed twice (first on line 4)"],
        id="duplicate-entry",
    ),
    pytest.param(
        GOOD.replace("-runs/delete]", "runs/delete, -runs/delete]"),
        ["line 8, roles.editor.experiment: runs/delete is both listed and taken away in this"
         " list"],
        id="listed-and-taken-away",
    ),
    pytest.param(
        GOOD.replace("    model: [registered-models/get]", "    models: []"),
        ["line 5, roles.reader.models: unknown key; did you mean model?"],
        id="unknown-key",
    ),
    pytest.param(
        GOOD.replace("group: reader", "group: writer").replace("group: none", "group:"),
        ["line 17, defaults.experiment.group: must be one of reader, editor, manager, none",
         "line 18, defaults.model.group: there is no role writer"],
        id="defaults",
    ),
    pytest.param(
        GOOD.replace('"acl/*"', '"acl/read"'),
        ["roles: no role lists acl/write for experiment: nobody could ever share one"],
        id="nobody-may-share",
    ),
    pytest.param(
        GOOD.replace("  editor:", "  none:").replace("extends: editor", "extends: none"),
        ["line 6, roles.none: none has a meaning of its own; choose another name"],
        id="reserved-name",
    ),
    pytest.param(
        "version: 2\nroles: []\n",
        ["defaults: missing; it says who gets which role on what is new",
         "server: missing; it holds the lists everyone and admin",
         "line 1, version: this mlgate reads version 1 only",
         "line 2, roles: must be a mapping (key: value)"],
        id="everything-at-once",
    ),
    pytest.param("", ["the file is empty"], id="empty"),
    pytest.param("- a\n", ["line 1: must be a mapping (key: value)"], id="not-a-mapping"),
    pytest.param(
        GOOD.replace('"*"', "*"),
        ["line 12: not readable as YAML: while scanning an alias; expected alphabetic or numeric"
         " character, but found ']'"],
        id="unquoted-star",
    ),
    pytest.param(
        GOOD.replace('["*"]', "[*all]"),
        ["line 12: aliases are not allowed; put an entry that begins with * in quotes"],
        id="alias",
    ),
    pytest.param(
        "a: &x [1]\n", ["line 1: anchors are not allowed; write the value out"], id="anchor"
    ),
    pytest.param(
        "a: !!python/object:os.system {}\n",
        ["line 1: tags such as tag:yaml.org,2002:python/object:os.system are not allowed"],
        id="tag",
    ),
    pytest.param("[" * 500, ["line 1: nested more than 20 levels deep"], id="deep"),
    pytest.param("#" * 600_000, ["the file is larger than 512 KiB"], id="large"),
    pytest.param(
        "version: 1\n---\nversion: 1\n",
        ["line 2: not readable as YAML: expected a single document in the stream; but found"
         " another document"],
        id="two-documents",
    ),
    pytest.param(
        "version: \x07\n",
        ["not readable as YAML: unacceptable character #x0007: special characters are not"
         " allowed"],
        id="control-character",
    ),
]  # fmt: skip


@pytest.mark.parametrize("text, expected", BROKEN)
def test_a_broken_file_lists_all_its_problems(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def post(call: str, *refs: row.Named, **more: object) -> Route:
    return Route(
        method="POST", path=f"/2.0/mlflow/{call}", prefixes=BOTH, call=call, does="write",
        refs=refs, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def test_calls_are_sorted_by_what_their_identifiers_resolve_to() -> None:
    names = call_names(
        [
            post("runs/create", row.experiment(row.body("experiment_id"))),
            post(
                "model-versions/create",
                row.model(row.body("name")),
                row.run(row.body("run_id"), needs="runs/get"),
            ),
            post("experiments/create"),
            post("registered-models/alias"),
            post("webhooks/create", scope="server"),
            post("version", scope="public"),
            post("demo", scope="refused"),
        ]
    )
    assert names.experiment == {"runs/create", "runs/get", "acl/read", "acl/write"}
    assert names.model == {"model-versions/create", "acl/read", "acl/write"}
    assert names.server == {"experiments/create", "registered-models/alias", "webhooks/create"}
    assert set(names.unlistable) == {"version", "demo"}
