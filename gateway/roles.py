"""roles.yaml as one frozen matrix: role x kind -> calls, server-wide calls, defaults.

Pure: text in, values out. The rules of the file are in docs/roles.md; every problem of a file
is collected, with its line and key, before any of it is refused. Knows no catalogue: the calls
that exist come in as ``CallNames``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from gateway.model import EVERYONE, Kind
from gateway.routes.route import Route, kind_of
from gateway.yaml_doc import Fields, Items, Node, Problem, Scalar, parse_document

ACL_READ = "acl/read"
ACL_WRITE = "acl/write"
OWN_CALLS = frozenset({ACL_READ, ACL_WRITE})
"""The gateway's own calls; they exist for both kinds and answer no path of MLflow."""

READ_CALL: Mapping[Kind, str] = MappingProxyType(
    {Kind.EXPERIMENT: "experiments/get", Kind.MODEL: "registered-models/get"}
)
"""What a role must list for its holder to find the resource in a search that names none."""

_ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_RESERVED = frozenset({"none", EVERYONE})
_NO_CALLS: frozenset[str] = frozenset()
_PLACES = {
    "experiment": "experiment (of a role)",
    "model": "model (of a role)",
    "everyone": "server.everyone or server.admin",
}


@dataclass(frozen=True, slots=True)
class CallNames:
    """The calls that roles.yaml may list, by section.

    ``unlistable`` holds calls that exist but that no role can give, each with the reason.
    """

    experiment: frozenset[str]
    model: frozenset[str]
    server: frozenset[str]
    unlistable: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> frozenset[str]:
        """The calls of the section that is named like the kind."""
        return self.experiment if kind is Kind.EXPERIMENT else self.model


def call_names(routes: Iterable[Route]) -> CallNames:
    """The listable calls of a catalogue.

    A call is an experiment (model) call when one of the row's identifiers resolves to
    experiments (models) and needs it: by the row's own call, or by the ref's ``needs``. It is
    a server call when the row's scope is ``server``, and when no identifier of the row needs
    the row's own call: creates, and searches that name no resource (their rows are trimmed by
    ``READ_CALL``).
    """
    sections: dict[Kind, set[str]] = {kind: set(OWN_CALLS) for kind in Kind}
    server: set[str] = set()
    unlistable: dict[str, str] = {}
    for route in routes:
        if route.scope == "public":
            unlistable[route.call] = "it is open to everyone without a sign-in"
            continue
        if route.scope == "refused":
            unlistable[route.call] = "the gateway refuses it for everyone"
            continue
        for ref in route.refs:
            sections[kind_of(ref.kind)].add(ref.needs or route.call)
        if route.scope == "server" or not route.kinds:
            server.add(route.call)
    listable = server.union(*sections.values())
    return CallNames(
        experiment=frozenset(sections[Kind.EXPERIMENT]),
        model=frozenset(sections[Kind.MODEL]),
        server=frozenset(server),
        unlistable={call: why for call, why in unlistable.items() if call not in listable},
    )


@dataclass(frozen=True, slots=True)
class Defaults:
    """The grants on a new resource; ``group`` None: the creator's group gets none."""

    creator: str
    group: str | None


@dataclass(frozen=True, slots=True)
class RoleMatrix:
    """All of roles.yaml, resolved. ``roles`` is in the order of the file.

    ``everyone``: the server calls of any signed-in principal. ``admin``: the calls that an admin
    may make, on the server and on every resource, whatever the grants are.
    """

    calls: Mapping[tuple[str, Kind], frozenset[str]]
    roles: tuple[str, ...]
    everyone: frozenset[str]
    admin: frozenset[str]
    defaults: Mapping[Kind, Defaults]

    def allows(self, role: str, kind: Kind, call: str) -> bool:
        """Whether the role lists the call; an unknown role (of an old grant) allows nothing."""
        return call in self.calls.get((role, kind), _NO_CALLS)

    def roles_allowing(self, kind: Kind, call: str) -> tuple[str, ...]:
        """The roles that list the call, in the order of the file."""
        return tuple(role for role in self.roles if call in self.calls[role, kind])

    def covers(self, role: str, other: str, kind: Kind) -> bool:
        """Whether ``role`` allows all that ``other`` allows on that kind.

        False when either is unknown: nobody may grant, or be measured by, what is not there.
        """
        mine, theirs = self.calls.get((role, kind)), self.calls.get((other, kind))
        return mine is not None and theirs is not None and mine >= theirs


class RolesError(Exception):
    """The file is not usable; ``problems`` is all that is wrong with it, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line or 0, p.key)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def parse_roles(text: str, catalogue: CallNames) -> RoleMatrix:
    """The matrix that a roles.yaml describes.

    Raises RolesError with every problem when there is any: a matrix is never half read.
    """
    document, problems = parse_document(text)
    reading = _Reading(catalogue, problems)
    matrix = reading.matrix(document) if document is not None else None
    if problems or matrix is None:
        raise RolesError(problems)
    return matrix


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a list of calls, and the calls it stands for."""

    line: int | None
    key: str
    text: str
    removes: bool
    exact: bool
    matched: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Role:
    line: int | None
    extends: str | None
    entries: Mapping[Kind, tuple[_Entry, ...]]


@dataclass(slots=True)
class _Reading:
    """One pass over the file. Methods return what they could read and note what they could not."""

    catalogue: CallNames
    problems: list[Problem]

    def matrix(self, document: Node) -> RoleMatrix | None:
        if isinstance(document, Scalar) and document.empty:
            self.note(None, "", "the file is empty")
            return None
        top = self.fields(document, "", ("version", "roles", "server", "defaults"))
        if top is None:
            return None
        self.version(top.get("version"))
        roles = self.roles(top.get("roles"))
        calls = self.resolve(roles)
        everyone, admin = self.server(top.get("server"))
        defaults = self.defaults(top.get("defaults"), roles)
        if roles and not self.problems:
            self.somebody_may_share(calls)
        return RoleMatrix(
            calls=MappingProxyType(calls),
            roles=tuple(roles),
            everyone=everyone,
            admin=admin,
            defaults=MappingProxyType(defaults),
        )

    def note(self, line: int | None, key: str, message: str) -> None:
        self.problems.append(Problem(line, key, message))

    def fields(
        self, node: Node | None, key: str, known: tuple[str, ...] | None
    ) -> Mapping[str, Node] | None:
        if not isinstance(node, Fields):
            self.note(node.line if node else None, key, "must be a mapping (key: value)")
            return None
        for name, value in node.fields.items():
            if known is not None and name not in known:
                dotted = f"{key}.{name}" if key else name
                self.note(value.line, dotted, f"unknown key{_did_you_mean(name, known)}")
        return node.fields

    def version(self, node: Node | None) -> None:
        if node is None:
            self.note(None, "version", "missing; write version: 1 at the top")
        elif not isinstance(node, Scalar) or node.text != "1":
            self.note(node.line, "version", "this mlgate reads version 1 only")

    # --- roles ---------------------------------------------------------------------------

    def roles(self, node: Node | None) -> dict[str, _Role]:
        if node is None:
            self.note(None, "roles", "missing; list at least one role")
            return {}
        fields = self.fields(node, "roles", None)
        if fields is None:
            return {}
        if not fields:
            self.note(node.line, "roles", "list at least one role")
        roles = {name: self.role(name, value) for name, value in fields.items()}
        for name, role in roles.items():
            if role.extends is not None and role.extends not in roles:
                hint = _did_you_mean(role.extends, roles)
                key = f"roles.{name}.extends"
                self.note(role.line, key, f"there is no role {role.extends}{hint}")
        return roles

    def role(self, name: str, node: Node) -> _Role:
        key = f"roles.{name}"
        if name in _RESERVED:
            self.note(node.line, key, f"{name} has a meaning of its own; choose another name")
        elif not _ROLE_NAME.fullmatch(name):
            message = "a role name is a lower-case letter, then up to 63 of a-z, 0-9, _ and -"
            self.note(node.line, key, message)
        fields = self.fields(node, key, ("extends", *(kind.value for kind in Kind))) or {}
        extends = fields.get("extends")
        parent: str | None = None
        if isinstance(extends, Scalar) and not extends.empty:
            parent = extends.text
        elif extends is not None:
            self.note(extends.line, f"{key}.extends", "must be the name of one role")
        entries = {
            kind: self.entries(fields.get(kind.value), f"{key}.{kind.value}", kind.value)
            for kind in Kind
        }
        return _Role(extends.line if extends else node.line, parent, entries)

    # --- lists of calls ------------------------------------------------------------------

    def entries(self, node: Node | None, key: str, section: str) -> tuple[_Entry, ...]:
        if node is None:
            return ()
        if not isinstance(node, Items):
            self.note(node.line, key, "must be a list of calls")
            return ()
        seen: dict[str, int | None] = {}
        entries = []
        for item in node.items:
            if not isinstance(item, Scalar) or item.empty:
                self.note(item.line, key, "must be the name of a call")
            elif item.text in seen:
                first = seen[item.text]
                self.note(item.line, key, f"{item.text} is listed twice (first on line {first})")
            else:
                seen[item.text] = item.line
                entries.append(self.entry(item, key, section))
        return tuple(entries)

    def entry(self, item: Scalar, key: str, section: str) -> _Entry:
        removes = item.text.startswith("-")
        wanted = item.text.removeprefix("-")
        known = self.known(section)
        exact = "*" not in wanted
        if exact:
            matched = frozenset({wanted}) & known
        else:
            pattern = _pattern(wanted)
            matched = frozenset(call for call in known if pattern.fullmatch(call))
        if not matched:
            self.note(item.line, key, self.no_such_call(wanted, section))
        return _Entry(item.line, key, item.text, removes, exact, matched)

    def known(self, section: str) -> frozenset[str]:
        """The calls that a list may hold: admins have a say on resources without a grant."""
        names = self.catalogue
        if section == "admin":
            return names.server | names.experiment | names.model
        return names.server if section == "everyone" else names.of_kind(Kind(section))

    def no_such_call(self, wanted: str, section: str) -> str:
        if wanted in self.catalogue.unlistable:
            why = self.catalogue.unlistable[wanted]
            return f"{wanted} cannot be listed: {why}; remove the line"
        for other, place in _PLACES.items():
            if wanted in self.known(other):
                return f"{wanted} is not a call of this list; it belongs under {place}"
        hint = _did_you_mean(wanted, self.known(section))
        return f"{wanted} matches no call{hint}; mlgate routes lists them"

    def apply(self, inherited: frozenset[str], entries: tuple[_Entry, ...]) -> frozenset[str]:
        """What is inherited and added, without what is taken away: a removal always wins."""
        added = inherited.union(*(e.matched for e in entries if not e.removes))
        removed = _NO_CALLS.union(*(e.matched for e in entries if e.removes))
        for entry in entries:
            if entry.exact and not entry.removes and entry.matched & removed:
                message = f"{entry.text} is both listed and taken away in this list"
                self.note(entry.line, entry.key, message)
            elif entry.removes and entry.matched and not entry.matched & added and self.sound():
                message = f"{entry.text} takes away nothing: the role has no such call"
                self.note(entry.line, entry.key, message)
        return added - removed

    # --- extends -------------------------------------------------------------------------

    def sound(self) -> bool:
        """Whether every ``extends`` holds; if not, what a role inherits is not known."""
        return not any(problem.key.endswith(".extends") for problem in self.problems)

    def resolve(self, roles: Mapping[str, _Role]) -> dict[tuple[str, Kind], frozenset[str]]:
        calls: dict[tuple[str, Kind], frozenset[str]] = {}
        for name in roles:
            for ancestor in reversed(self.lineage(name, roles)):
                role = roles[ancestor]
                for kind in Kind:
                    if (ancestor, kind) not in calls:
                        inherited = calls.get((role.extends or "", kind), _NO_CALLS)
                        calls[ancestor, kind] = self.apply(inherited, role.entries[kind])
        return calls

    def lineage(self, name: str, roles: Mapping[str, _Role]) -> list[str]:
        """The role and what it extends, nearest first; a circle is noted on each of its roles."""
        line = [name]
        parent = roles[name].extends
        while parent is not None and parent in roles:
            if parent == name:
                circle = " -> ".join([*line, name])
                key = f"roles.{name}.extends"
                self.note(roles[name].line, key, f"extends itself: {circle}")
            if parent in line:
                break
            line.append(parent)
            parent = roles[parent].extends
        return line

    # --- server and defaults -------------------------------------------------------------

    def server(self, node: Node | None) -> tuple[frozenset[str], frozenset[str]]:
        if node is None:
            self.note(None, "server", "missing; it holds the lists everyone and admin")
            return _NO_CALLS, _NO_CALLS
        fields = self.fields(node, "server", ("everyone", "admin")) or {}
        lists = []
        for name in ("everyone", "admin"):
            entries = self.entries(fields.get(name), f"server.{name}", name)
            lists.append(self.apply(_NO_CALLS, entries))
        return lists[0], lists[1]

    def defaults(self, node: Node | None, roles: Mapping[str, _Role]) -> dict[Kind, Defaults]:
        if node is None:
            self.note(None, "defaults", "missing; it says who gets which role on what is new")
            return {}
        fields = self.fields(node, "defaults", tuple(kind.value for kind in Kind))
        if fields is None:
            return {}
        found: dict[Kind, Defaults] = {}
        for kind in Kind:
            key = f"defaults.{kind.value}"
            if kind.value not in fields:
                self.note(node.line, key, "missing; for example {creator: manager, group: none}")
                continue
            child = fields[kind.value]
            pair = self.fields(child, key, ("creator", "group")) or {}
            creator = self.default_role(pair.get("creator"), child.line, f"{key}.creator", roles)
            group = self.default_role(
                pair.get("group"), child.line, f"{key}.group", roles, none_allowed=True
            )
            if creator is not None:
                found[kind] = Defaults(creator, group)
        return found

    def default_role(
        self,
        node: Node | None,
        line: int | None,
        key: str,
        roles: Mapping[str, _Role],
        *,
        none_allowed: bool = False,
    ) -> str | None:
        choices = (*roles, "none") if none_allowed else tuple(roles)
        if not isinstance(node, Scalar) or node.empty:
            at = node.line if node is not None else line
            self.note(at, key, f"must be one of {', '.join(choices)}")
            return None
        if none_allowed and node.text == "none":
            return None
        if node.text not in roles:
            hint = _did_you_mean(node.text, choices)
            self.note(node.line, key, f"there is no role {node.text}{hint}")
            return None
        return node.text

    def somebody_may_share(self, calls: Mapping[tuple[str, Kind], frozenset[str]]) -> None:
        for kind in Kind:
            if not any(ACL_WRITE in listed for (_, k), listed in calls.items() if k is kind):
                message = f"no role lists {ACL_WRITE} for {kind.value}: nobody could ever share one"
                self.note(None, "roles", message)


def _pattern(text: str) -> re.Pattern[str]:
    """``*`` stands for any characters, ``/`` included; all else for itself."""
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _did_you_mean(word: str, choices: Iterable[str]) -> str:
    close = get_close_matches(word, sorted(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
