"""Ownership from tags: the ACL that a resource is born with, and is rebuilt from.

The gateway stamps ``mlgate.owner`` and ``mlgate.group`` on what is created, in the very write
that creates it; the ACL row follows. Whoever finds a resource without a row rebuilds it here.
Pure: tags and the matrix in, an ACL out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.model import EVERYONE, GROUP_TAG, OWNER_TAG, Acl, Kind, Principal, Resource
from gateway.roles import RoleMatrix

OWNER_PREFIXES = ("user:", "service:")


def ownership_tags(principal: Principal) -> dict[str, str]:
    """The tags to stamp on what ``principal`` creates."""
    tags = {OWNER_TAG: principal.name}
    if principal.home_group:
        tags[GROUP_TAG] = principal.home_group
    return tags


def first_grants(
    kind: Kind, owner: str, home_group: str | None, matrix: RoleMatrix
) -> Mapping[str, str]:
    """The grants on a new resource, by the defaults of roles.yaml; ``home_group`` is bare."""
    defaults = matrix.defaults[kind]
    grants = {owner: defaults.creator}
    if home_group and defaults.group is not None:
        grants[f"group:{home_group}"] = defaults.group
    return MappingProxyType(grants)


def acl_from_tags(resource: Resource, tags: Mapping[str, str], matrix: RoleMatrix) -> Acl | None:
    """The ACL that the ownership tags describe, or None when they name no owner.

    An owner is spelled like a principal (``user:…`` or ``service:…``); anything else is not a
    stamp of ours and gives nobody anything.
    """
    owner = tags.get(OWNER_TAG, "")
    if not is_owner(owner):
        return None
    grants = first_grants(resource.kind, owner, tags.get(GROUP_TAG), matrix)
    return Acl(resource, owner, grants)


def is_owner(name: str) -> bool:
    """Whether ``name`` can own something: a person or a service account, spelled in full."""
    return any(name.startswith(prefix) and name != prefix for prefix in OWNER_PREFIXES)


# --- first owners of what is older than the gateway ---------------------------------------------


NOBODY = frozenset({"", "unknown", "root", "jovyan", "mlflow", "nobody"})
"""What notebooks and containers call themselves; it names no person."""


def owner_from_user(user: str | None, domain: str | None = None) -> str | None:
    """The owner that an ``mlflow.user`` tag means, or None when it means nobody.

    ``mlflow.user`` is what the operating system said: ``alice``. ``domain`` completes such a name
    to the one that the identity provider knows: ``alice@example.com``.
    """
    name = (user or "").strip()
    if name in NOBODY or not name.isprintable() or len(name) > 256:
        return None
    if name == EVERYONE or name.startswith("group:"):
        return None
    if name.startswith(OWNER_PREFIXES):
        return name if is_owner(name) else None
    if domain and "@" not in name:
        name = f"{name}@{domain}"
    return f"user:{name}"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One line of the file that ``mlgate acl import --csv`` reads."""

    resource: Resource
    owner: str
    group: str | None


def read_csv(text: str) -> tuple[list[CsvRow], list[str]]:
    """The rows of ``kind,id,owner,group`` and what is wrong, line by line."""
    rows: list[CsvRow] = []
    problems: list[str] = []
    seen: set[Resource] = set()
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    missing = {"kind", "id", "owner"} - set(reader.fieldnames or ())
    if missing:
        return [], [f"line 1: the columns are kind,id,owner,group; missing: {_list(missing)}"]
    for line in reader:
        values = {key: (line.get(key) or "").strip() for key in ("kind", "id", "owner", "group")}
        wrong = _csv_problem(values)
        if wrong is None:
            resource = Resource(Kind(values["kind"]), values["id"])
            wrong = f"{resource} is listed twice" if resource in seen else None
        if wrong is not None:
            problems.append(f"line {reader.line_num}: {wrong}")
            continue
        seen.add(resource)
        group = values["group"].removeprefix("group:") or None
        owner = owner_from_user(values["owner"]) or ""
        rows.append(CsvRow(resource, owner, group))
    return rows, problems


def _csv_problem(values: Mapping[str, str]) -> str | None:
    kinds = [kind.value for kind in Kind]
    if values["kind"] not in kinds:
        return f"kind must be {' or '.join(kinds)}, not '{values['kind']}'"
    if not values["id"]:
        return "id is empty"
    if values["kind"] == Kind.EXPERIMENT and not values["id"].isdecimal():
        return f"'{values['id']}' is not an experiment id"
    if owner_from_user(values["owner"]) is None:
        return f"'{values['owner']}' names no owner; write user:NAME or service:NAME"
    return None


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
