"""Ownership tags and the ACL that follows from them."""

import pytest

from gateway.model import Kind, Principal, Resource
from gateway.ownership import acl_from_tags, first_grants, ownership_tags
from gateway.roles import Defaults, RoleMatrix

MATRIX = RoleMatrix(
    calls={},
    roles=("reader", "manager"),
    everyone=frozenset(),
    admin=frozenset(),
    defaults={
        Kind.EXPERIMENT: Defaults("manager", None),
        Kind.MODEL: Defaults("manager", "reader"),
    },
)
EXPERIMENT = Resource(Kind.EXPERIMENT, "5")
MODEL = Resource(Kind.MODEL, "churn")
ALICE = Principal("user:alice@example.com", frozenset({"ds", "all"}), home_group="ds")


def test_what_is_stamped_is_what_is_rebuilt() -> None:
    acl = acl_from_tags(MODEL, ownership_tags(ALICE), MATRIX)
    assert acl is not None
    assert acl.owner == "user:alice@example.com"
    assert acl.grants == {"user:alice@example.com": "manager", "group:ds": "reader"}


def test_the_group_gets_nothing_where_the_default_is_none() -> None:
    acl = acl_from_tags(EXPERIMENT, ownership_tags(ALICE), MATRIX)
    assert acl is not None
    assert acl.grants == {"user:alice@example.com": "manager"}


def test_a_principal_without_a_home_group_stamps_none() -> None:
    assert ownership_tags(Principal("service:nightly")) == {"mlgate.owner": "service:nightly"}
    assert first_grants(Kind.MODEL, "service:nightly", None, MATRIX) == {
        "service:nightly": "manager"
    }


@pytest.mark.parametrize(
    "tags",
    [{}, {"mlgate.group": "ds"}, {"mlgate.owner": ""}, {"mlgate.owner": "alice"},
     {"mlgate.owner": "user:"}, {"mlgate.owner": "everyone"}, {"mlgate.owner": "group:ds"}],
)  # fmt: skip
def test_tags_without_an_owner_give_nobody_anything(tags: dict[str, str]) -> None:
    assert acl_from_tags(MODEL, tags, MATRIX) is None
