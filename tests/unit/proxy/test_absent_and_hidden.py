"""What does not exist and what is hidden are told apart to nobody, in calls that name several."""

from __future__ import annotations

import pytest

from gateway.authorize import refusal
from gateway.errors import BadRequest
from gateway.model import Kind, Resource
from gateway.routes.route import Ref, RefKind
from tests.fakes.parts import World, person

CAROL = person("carol", "research")
SHOWN, HIDDEN = Resource(Kind.EXPERIMENT, "1"), Resource(Kind.EXPERIMENT, "2")
LINK = "/api/2.0/mlflow/traces/link-to-run"
THERE, NOWHERE = "tr-there", "tr-nowhere"


@pytest.fixture
async def shown(world: World) -> World:
    """Experiment 1 is shared with carol as reader, 2 is not; each has a run and a trace."""
    world.mlflow.experiments = {"1": {}, "2": {}}
    world.mlflow.runs = {"r1": "1", "r2": "2"}
    world.mlflow.traces = {"tr-mine": "1", THERE: "2"}
    await world.acls.create_acl(SHOWN, "user:alice", {"user:carol": "reader"})
    await world.acls.create_acl(HIDDEN, "user:alice", {"user:alice": "manager"})
    return world


async def _make_editor(world: World, resource: Resource) -> None:
    acl = await world.acls.get(resource)
    assert acl is not None
    await world.acls.set_grant(resource, "user:carol", "editor", expect_version=acl.version)


async def _said(world: World, run: str, trace: str) -> str:
    call = world.call("POST", LINK, {"run_id": run, "trace_ids": [trace]})
    decision = await world.authorizer.decision(call, CAROL)
    assert not decision.allowed
    return refusal(call, CAROL, decision).message


@pytest.mark.parametrize("run", ["r1", "r2", "r0"])
async def test_a_hidden_trace_is_refused_as_one_that_is_not_there(shown: World, run: str) -> None:
    assert await _said(shown, run, THERE) == await _said(shown, run, NOWHERE)


async def test_a_lacking_role_is_told_whatever_comes_behind_it(shown: World) -> None:
    for trace in ("tr-mine", THERE, NOWHERE):
        assert "reader" in await _said(shown, "r1", trace)


async def test_spans_under_a_hidden_run_are_refused_as_under_none(shown: World) -> None:
    await _make_editor(shown, SHOWN)
    said = []
    for run in ("r2", "r0"):
        call = shown.call("POST", "/v1/traces")
        call.refs = (
            Ref(RefKind.EXPERIMENT, "1", "v1/traces"),
            Ref(RefKind.RUN, run, "v1/traces"),
            Ref(RefKind.NEW_TRACE, "tr-new", "v1/traces"),
        )
        decision = await shown.authorizer.decision(call, CAROL)
        said.append(refusal(call, CAROL, decision).message)
    assert said[0] == said[1]


async def test_who_may_edit_both_experiments_still_moves_no_trace(shown: World) -> None:
    for resource in (SHOWN, HIDDEN):
        await _make_editor(shown, resource)
    call = shown.call("POST", "/v1/traces")
    call.refs = (
        Ref(RefKind.EXPERIMENT, "1", "v1/traces"),
        Ref(RefKind.NEW_TRACE, THERE, "v1/traces"),
    )
    with pytest.raises(BadRequest, match="already used in another experiment"):
        await shown.authorizer.decision(call, CAROL)
