"""The gateway is layers: words, rules, ports, adapters, surface, composition.

A module imports only from its own layer or a lower one, there are no cycles, and what decides
knows no I/O. Read from the source with ``ast``: imports inside functions and under
TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("words", ("model", "errors", "clock")),
    (
        "rules",
        (
            "yaml_doc", "roles", "rbac", "ownership", "sharing", "stamps", "routes", "filters",
            "idp.claims", "idp.cognito", "upstream.choose", "credentials.credential",
        ),
    ),
    (
        "ports",
        (
            "settings", "settings_types", "settings_keys", "settings_load", "schemas",
            "acl.store", "acl.feed", "credentials.ports", "audit.event", "tokens", "rate",
        ),
    ),
    (
        "adapters",
        (
            "acl", "audit", "credentials", "idp", "sessions", "upstream", "metrics",
            "roles_watch", "devidp", "dynamodb_local", "maven",
        ),
    ),
    ("surface", ("resolve", "authorize", "settle", "forward", "trimmed", "proxy", "web")),
    ("composition", ("app", "cli")),
)  # fmt: skip
"""From the bottom up; the longest name that fits a module says where it belongs."""

WORLD = frozenset(
    {"aiohttp", "boto3", "botocore", "sqlite3", "asyncio", "socket", "os", "time", "threading",
     "subprocess", "httptools", "uvloop", "requests", "urllib.request", "http", "logging"}
)  # fmt: skip
"""What the two lowest layers must not touch."""
WORLD_ALLOWED = {
    ("gateway.clock", "time"): "the one reader of the time",
    ("gateway.filters.page_token", "os"): "os.urandom: the nonce of a sealed token",
}
ENVIRONMENT_READERS = {
    "gateway.cli.common": "MLGATE_CONFIG, and the settings of a command",
    "gateway.cli.serve": "the settings of the server",
    "gateway.cli.up": "what MLflow's own process inherits",
}
TIME_READERS = {
    "gateway.clock": "the one reader of the time",
    "gateway.cli.up": "seconds shown while a person waits for MLflow",
}


@dataclass(frozen=True)
class Import:
    """One import: where it stands and what it names."""

    module: str
    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.module} imports {self.name}"


def sources() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in SOURCES.items()}


def imports_of(module: str) -> Iterator[Import]:
    file = str(SOURCES[module].relative_to(ROOT))
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                name = inner if inner in SOURCES else str(node.module)
                yield Import(module, file, node.lineno, name)


IMPORTS = tuple(one for module in SOURCES for one in imports_of(module))


def layer(module: str) -> int:
    """The number of a module's layer; the package itself (its version) is at the bottom."""
    if module == "gateway":
        return 0
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for number, (_, names) in enumerate(LAYERS):
            if name in names:
                return number
    raise LookupError(f"{module} is in no layer; say in LAYERS where it belongs")


def ours(name: str) -> bool:
    return name == "gateway" or name.startswith("gateway.")


def is_or_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def listed(wrong: list[str]) -> None:
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_every_module_has_a_layer_and_every_layer_its_modules() -> None:
    for module in SOURCES:
        layer(module)
    for _, names in LAYERS:
        for name in names:
            assert f"gateway.{name}" in SOURCES, f"LAYERS names gateway.{name}, which is gone"


def test_imports_go_down() -> None:
    names = [name for name, _ in LAYERS]
    listed(
        [
            f"{one} ({names[layer(one.module)]} may not know {names[layer(one.name)]})"
            for one in IMPORTS
            if ours(one.name) and layer(one.name) > layer(one.module)
        ]
    )


def test_what_decides_knows_no_io() -> None:
    listed(
        [
            str(one)
            for one in IMPORTS
            if layer(one.module) <= 1
            and any(is_or_below(one.name, name) for name in WORLD)
            and (one.module, one.name) not in WORLD_ALLOWED
        ]
    )


def test_the_exceptions_are_still_needed() -> None:
    made = {(one.module, one.name) for one in IMPORTS}
    assert set(WORLD_ALLOWED) <= made
    assert set(ENVIRONMENT_READERS) == {m for m in SOURCES if attribute_uses(m, "os", ENVIRON)}
    assert set(TIME_READERS) == {m for m in SOURCES if attribute_uses(m, "time", CLOCKS)}


STORE_COMMAND = "gateway.cli.store"
"""``mlgate store`` works on the plugin's table, by contract; it imports the plugin on use."""


@pytest.mark.parametrize("package", ["mlflow", "tests", "dynamodb_store", "gateway_client"])
def test_the_gateway_never_imports(package: str) -> None:
    listed(
        [
            str(one)
            for one in IMPORTS
            if is_or_below(one.name, package)
            and (one.module, package) != (STORE_COMMAND, "dynamodb_store")
        ]
    )


def test_nobody_imports_the_composition() -> None:
    listed(
        [
            str(one)
            for one in IMPORTS
            if (is_or_below(one.name, "gateway.app") and not one.module.startswith("gateway.cli."))
            or (is_or_below(one.name, "gateway.cli") and "gateway.cli" not in one.module)
        ]
    )


def test_the_catalogue_knows_neither_matching_nor_the_web() -> None:
    listed(
        [
            str(one)
            for one in IMPORTS
            if is_or_below(one.module, "gateway.routes.catalogue")
            and (one.name == "gateway.routes.match" or is_or_below(one.name, "gateway.web"))
        ]
    )


def test_aws_is_known_to_the_dynamodb_adapter_only() -> None:
    listed(
        [
            str(one)
            for one in IMPORTS
            if one.name.split(".")[0] in ("boto3", "botocore")
            and not one.module.startswith(("gateway.acl.dynamodb", "gateway.acl.create_table"))
        ]
    )


def test_no_cycles() -> None:
    graph: dict[str, dict[str, Import]] = {module: {} for module in SOURCES}
    for one in IMPORTS:
        if one.name in SOURCES and one.name != one.module:
            graph[one.module].setdefault(one.name, one)
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            loop = [*way[way.index(module) :], module]
            steps = [str(graph[a][b]) for a, b in pairwise(loop)]
            pytest.fail("a cycle of imports:\n" + "\n".join(steps), pytrace=False)
        if module not in done:
            for following in sorted(graph[module]):
                visit(following, [*way, module])
            done.add(module)

    for module in SOURCES:
        visit(module, [])


ENVIRON = frozenset({"environ", "getenv", "environb", "putenv"})
CLOCKS = frozenset({"time", "monotonic", "time_ns", "monotonic_ns", "perf_counter"})


def attribute_uses(module: str, of: str, names: frozenset[str]) -> list[str]:
    """``time.time`` and the like, and ``from time import time``."""
    file = str(SOURCES[module].relative_to(ROOT))
    found = []
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == of and node.attr in names:
                found.append(f"{file}:{node.lineno}: {of}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == of:
            found += [
                f"{file}:{node.lineno}: from {of} import {alias.name}"
                for alias in node.names
                if alias.name in names
            ]
    return found


def test_the_time_is_read_in_one_place() -> None:
    listed([u for m in SOURCES if m not in TIME_READERS for u in attribute_uses(m, "time", CLOCKS)])


def test_the_environment_is_read_where_the_gateway_begins() -> None:
    listed(
        [
            use
            for module in SOURCES
            if module not in ENVIRONMENT_READERS
            for use in attribute_uses(module, "os", ENVIRON)
        ]
    )


def test_datetime_does_not_read_the_time_either() -> None:
    wrong = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
                text = ast.unparse(node)
                if text.split(".")[0] in ("datetime", "date"):
                    wrong.append(f"{SOURCES[module].relative_to(ROOT)}:{node.lineno}: {text}")
    listed(wrong)
