"""YAML read as a person wrote it: every value keeps its line, every problem is collected.

Safe by construction: nothing is constructed but text, lists and mappings; aliases, tags,
deep nesting and oversized files are refused; a key written twice is a problem, not a silent
overwrite. Shared by roles.yaml and gateway.yaml; knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import yaml

MAX_BYTES = 512 * 1024
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``line`` is None for what no line of the file is to blame for."""

    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line is not None else ""
        parts = [part for part in (where, self.key) if part]
        return f"{', '.join(parts)}: {self.message}" if parts else self.message


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written: ``off`` stays ``off``. ``empty``: nothing, ``~`` or ``null``."""

    line: int | None
    text: str
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int | None
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; the line of each value is the line of its key."""

    line: int | None
    fields: Mapping[str, Node]


Node = Scalar | Items | Fields


class _Refused(yaml.YAMLError):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Composer(yaml.SafeLoader):
    """Builds the node graph; refuses what a settings file has no need of."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(
                line, "aliases are not allowed; put an entry that begins with * in quotes"
            )
        if getattr(event, "anchor", None):
            raise _Refused(line, "anchors are not allowed; write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _Refused(line, f"tags such as {tag} are not allowed")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(line, f"nested more than {MAX_DEPTH} levels deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def parse_document(text: str) -> tuple[Node | None, list[Problem]]:
    """The one document in ``text`` and the problems found on the way.

    None when it cannot be read at all; then there is at least one problem. A text without any
    value is an empty Scalar.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, [Problem(None, "", f"the file is larger than {MAX_BYTES // 1024} KiB")]
    try:
        composed = _compose(text)
    except _Refused as refused:
        return None, [Problem(refused.line, "", refused.message)]
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_problem(error)]
    except yaml.YAMLError as error:
        return None, [Problem(None, "", f"not readable as YAML: {str(error).splitlines()[0]}")]
    if composed is None:
        return Scalar(None, "", empty=True), []
    problems: list[Problem] = []
    return _read(composed, "", problems), problems


def _compose(text: str) -> yaml.Node | None:
    loader = _Composer(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    words = "; ".join(part for part in (error.context, error.problem) if part)
    line = mark.line + 1 if mark is not None else None
    return Problem(line, "", f"not readable as YAML: {words}")


def _read(node: yaml.Node, key: str, problems: list[Problem]) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return Scalar(line, node.value, node.tag == "tag:yaml.org,2002:null")
    if isinstance(node, yaml.SequenceNode):
        children = enumerate(node.value)
        return Items(line, tuple(_read(n, f"{key}[{i}]", problems) for i, n in children))
    fields: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for name_node, value_node in node.value:
        name_line = name_node.start_mark.line + 1
        if not isinstance(name_node, yaml.ScalarNode):
            problems.append(Problem(name_line, key, "a key must be a plain word"))
            continue
        name = str(name_node.value)
        dotted = f"{key}.{name}" if key else name
        if name in fields:
            first = lines[name]
            problems.append(Problem(name_line, dotted, f"written twice (first on line {first})"))
            continue
        lines[name] = name_line
        fields[name] = replace(_read(value_node, dotted, problems), line=name_line)
    return Fields(line, fields)
