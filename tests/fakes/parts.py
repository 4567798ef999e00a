"""The gateway's inner parts on a real cache and a SQLite file, beside a fake MLflow."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.acl.cache import AclCache
from gateway.acl.sqlite import SqliteStore
from gateway.authorize import Authorizer
from gateway.model import Principal
from gateway.resolve import Ownership, Resolver
from gateway.roles import RoleMatrix, call_names, parse_roles
from gateway.routes.call import Call
from gateway.routes.catalogue import ROUTES
from gateway.routes.describe import Describer
from gateway.routes.schema import schema
from gateway.settings import Limits
from gateway.settle import Settler
from tests.fakes.clock import FakeClock
from tests.fakes.fake_lookups import FakeLookups

ROLES = (Path(__file__).parents[2] / "config" / "roles.yaml").read_text()
NAMES = call_names(ROUTES)


@dataclass
class World:
    mlflow: FakeLookups
    store: SqliteStore
    acls: AclCache
    resolver: Resolver
    ownership: Ownership
    authorizer: Authorizer
    settler: Settler
    clock: FakeClock
    matrix: RoleMatrix
    describer: Describer

    def call(self, method: str, target: str, body: Any = None) -> Call:
        match, query = self.describer.match(method, target)
        raw = None if not match.route.takes_json else json.dumps(body or {}).encode()
        return self.describer.describe(match, query, raw)


@functools.cache
def shipped() -> RoleMatrix:
    """The roles as they are shipped; parsed once a process, as nothing changes them."""
    return parse_roles(ROLES, NAMES)


@functools.cache
def describer() -> Describer:
    """The whole catalogue; nothing changes it either."""
    return Describer(ROUTES, schema())


def person(name: str, *groups: str, admin: bool = False) -> Principal:
    home = groups[0] if groups else None
    return Principal(f"user:{name}", frozenset(groups), home_group=home, admin=admin)


def make_world(folder: Path) -> World:
    clock, mlflow = FakeClock(), FakeLookups()
    store = SqliteStore(folder / "acl.db", clock)
    acls = AclCache(store, clock, Limits())
    resolver = Resolver(mlflow.ask, prefix="", remember=100)
    matrix = shipped()

    def current() -> RoleMatrix:
        return made.matrix

    ownership = Ownership(acls, resolver, current, clock)
    made = World(
        mlflow,
        store,
        acls,
        resolver,
        ownership,
        Authorizer(acls, ownership, resolver, current),
        Settler(acls, ownership, resolver, current),
        clock,
        matrix,
        describer(),
    )
    return made
