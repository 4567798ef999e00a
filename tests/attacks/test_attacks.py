"""A hundred ways around do not work: each row of the corpus against a running gateway.

The attacker is carol (or, where the row says so, bob as a mere editor, or nobody). After each
attempt MLflow's own database and files must be what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.attacks.attempt import Attempt
from tests.attacks.corpus import CORPUS
from tests.attacks.trial import attempt_is_stopped, works_without_the_gateway
from tests.attacks.victims import World, world_of
from tests.attacks.witness import Witness, views
from tests.stack import Stack

pytestmark = pytest.mark.e2e
LEAST = 110


def _row(row: Attempt) -> object:
    marks = [pytest.mark.xfail(strict=True, reason=row.hole)] if row.hole else []
    return pytest.param(row, id=row.id, marks=marks)


@pytest.fixture(scope="session")
def witness(stack: Stack) -> Iterator[Witness]:
    made = Witness(stack)
    yield made
    made.close()


@pytest.fixture(scope="session")
def world(stack: Stack) -> World:
    """Victims behind the gateway."""
    return world_of(stack, behind_gateway=True)


@pytest.fixture(scope="session")
def bare_world(stack: Stack) -> World:
    """The same world again, made in MLflow without the gateway: here attempts may work."""
    return world_of(stack, behind_gateway=False)


def test_the_corpus_is_large_and_each_row_is_its_own() -> None:
    ids = [row.id for row in CORPUS]
    assert len(ids) == len(set(ids))
    assert len(ids) >= LEAST
    requests = [repr((row.request, row.then)) for row in CORPUS]
    assert len(requests) == len(set(requests))


@pytest.mark.parametrize("attempt", [_row(row) for row in CORPUS])
def test_attempt_is_stopped(stack: Stack, world: World, witness: Witness, attempt: Attempt) -> None:
    attempt_is_stopped(stack, world, witness, attempt)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("run-get", "the secret word came back"),
        ("run-get", "status 200, wanted 403"),
        ("run-set-tag", "(tags|items): new"),
        ("artifact-put", "files: new"),
        ("acl-show-foreign", "status 200, wanted 403"),
        ("acl-grant-oneself", "acl grants: new"),
    ],
)
def test_the_trial_notices_an_attempt_that_works(
    stack: Stack, bare_world: World, witness: Witness, row: str, says: str
) -> None:
    """The same requests sent by an admin do work, and every kind of damage is reported."""
    attempt = next(one for one in CORPUS if one.id == row)
    admins = replace(attempt, request=replace(attempt.request, who="dave"), twin={})
    with pytest.raises(AssertionError, match=says):
        attempt_is_stopped(stack, bare_world, witness, admins)


def test_mlflow_shows_the_victims_as_they_were_made(stack: Stack, world: World) -> None:
    """The witness of all the rows above must not be blind: the secrets are still there to take."""
    seen = views(stack, world)
    assert {status for status, _ in seen.values()} == {200}
    shown = [view for view, (_, body) in seen.items() if world.secret.encode() in body]
    assert len(shown) > 15


@pytest.mark.parametrize("attempt", [row for row in CORPUS if row.direct], ids=lambda row: row.id)
def test_attempt_works_on_a_bare_mlflow(
    stack: Stack, bare_world: World, witness: Witness, attempt: Attempt
) -> None:
    """The self-check: without the gateway the very same request is a real danger."""
    assert works_without_the_gateway(stack, bare_world, witness, attempt), attempt.why
