"""The vocabulary of mlgate; every other module uses these words and no synonyms.

principal
    Who calls: ``user:alice@example.com``, ``service:nightly-train``. In grants also
    ``group:data-science`` and ``everyone`` (any signed-in principal).
call
    One MLflow REST endpoint without its version prefix: ``runs/get``, ``experiments/search``.
resource
    What is protected: an experiment (by id) or a registered model (by name). Everything else
    (runs, traces, artifacts, versions, ...) inherits from one of the two.
ref
    An identifier as a request names it: a run id, a trace id, an experiment name. A ref
    *resolves* to resources.
role
    A named set of calls (``reader``, ``editor``, ``manager`` or a custom one) from roles.yaml.
grant
    A role given to a principal on one resource.
decision
    Whether a principal may make a call on resources, and why.

This module imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

EVERYONE = "everyone"

OWNER_TAG = "mlgate.owner"
GROUP_TAG = "mlgate.group"
RESERVED_TAG_PREFIX = "mlgate."


class Kind(StrEnum):
    """The two protected kinds of resource."""

    EXPERIMENT = "experiment"
    MODEL = "model"

    __hash__ = str.__hash__  # in C: an enum's own is a Python call in every dictionary look-up


class Resource(NamedTuple):
    """One protected resource: an experiment by its id, a registered model by its name.

    A named tuple, because every decision looks several of them up.
    """

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in caller.

    ``name`` is the ACL spelling (``user:…`` or ``service:…``); ``groups`` are bare group names;
    ``home_group`` is the one group that gets the default role on what the caller creates;
    ``method`` says how the caller signed in (``jwt:corp``, ``api-token``, …) for the audit line.
    """

    name: str
    groups: frozenset[str] = frozenset()
    home_group: str | None = None
    admin: bool = False
    method: str = ""
    keys: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Every spelling under which a grant reaches this principal."""

    def __post_init__(self) -> None:
        spellings = (self.name, *(f"group:{g}" for g in sorted(self.groups)), EVERYONE)
        object.__setattr__(self, "keys", spellings)

    @property
    def bare_name(self) -> str:
        """``alice@example.com`` of ``user:alice@example.com``: what MLflow shows as the user."""
        return self.name.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Acl:
    """The grants on one resource. ``version`` grows by one with every change."""

    resource: Resource
    owner: str | None
    grants: Mapping[str, str]
    version: int = 1

    def roles_of(self, principal: Principal) -> tuple[str, ...]:
        """The roles that the principal holds here, by name, through groups or as everyone."""
        grants = self.grants
        return tuple([grants[key] for key in principal.keys if key in grants])


class Reason(StrEnum):
    """Why a decision is what it is; feeds audit, metrics, the 403 sentence and ``mlgate can``."""

    ADMIN = "admin"
    ROLE_ALLOWS = "role_allows"
    SERVER_CALL_FOR_EVERYONE = "server_call_for_everyone"
    PUBLIC = "public"
    NO_GRANT = "no_grant"
    ROLE_LACKS_CALL = "role_lacks_call"
    ADMIN_ONLY = "admin_only"
    CALL_UNLISTED = "call_unlisted"
    ADMIN_FIELD = "admin_field"
    RESERVED_TAG = "reserved_tag"
    ABSENT = "absent"
    REFUSED = "refused"

    __hash__ = str.__hash__


ALLOWING = frozenset(
    {Reason.ADMIN, Reason.ROLE_ALLOWS, Reason.SERVER_CALL_FOR_EVERYONE, Reason.PUBLIC}
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to "may this principal make this call on these resources", and why.

    ``resource`` is the resource that decided a denial (None when the call touches none);
    ``roles`` are the caller's roles on it; ``would_allow`` the roles that carry the call.
    """

    allowed: bool
    reason: Reason
    call: str
    resources: tuple[Resource, ...] = ()
    resource: Resource | None = None
    roles: tuple[str, ...] = ()
    would_allow: tuple[str, ...] = ()
