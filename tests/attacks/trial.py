"""Carries out one attempt and says everything that went wrong: answers, leaks, changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.attacks.attempt import Attempt, Expect, Request
from tests.attacks.victims import World
from tests.attacks.wire import Reply, exchange
from tests.attacks.witness import Witness, differences, views
from tests.stack import Stack

_TELLTALE = (b"Traceback (most recent", b"[SQL:", b"sqlalchemy", b"sqlite3.", b"Werkzeug")


def send_to_gateway(
    stack: Stack, world: World, request: Request
) -> tuple[bytes, bytes, list[Reply]]:
    """What was sent, everything that came back, and the answers in it."""
    sent = request.wire(world, stack.tokens)
    # What is not plain HTTP may leave both sides waiting for the other, once it was answered.
    closes = request.raw is None or b"Connection: close" in request.raw
    received, answers = exchange(stack.url, sent, silence=None if closes else 1.5)
    return sent, received, answers


def attempt_is_stopped(stack: Stack, world: World, witness: Witness, attempt: Attempt) -> None:
    """Send an attempt to the gateway; AssertionError with every problem found."""
    problems: list[str] = []
    world = world.now(attempt.id)
    state = witness.state()
    seen = views(stack, world) if attempt.own else {}
    for request, expect in attempt.steps:
        sent, received, answers = send_to_gateway(stack, world, request)
        problems += _answered(answers, expect)
        if not attempt.sees:
            problems += leaks(received, sent, world)
        problems += _tells(received, stack)
    if attempt.twin:
        problems += _twins_differ(stack, world, attempt)
    if attempt.own:
        after = views(stack, world)
        problems += [f"MLflow now says otherwise: {v}" for v in seen if seen[v] != after[v]]
    else:
        problems += differences(state, witness.state())
    assert not problems, "\n".join([f"{attempt.id}: {attempt.why}", *problems])


def _answered(answers: list[Reply], expect: Expect) -> list[str]:
    if not answers:
        return [] if expect.status == 400 and not expect.code else ["no answer at all"]
    answer = answers[expect.which]
    problems = []
    if answer.status != expect.status:
        problems.append(f"status {answer.status}, wanted {expect.status}: {answer.body[:300]!r}")
    elif expect.code and answer.code != expect.code:
        problems.append(f"code {answer.code!r}, wanted {expect.code!r}: {answer.body[:300]!r}")
    if b"text/html" in answer.head.lower():
        problems.append("the answer is HTML")
    if expect.code and not answer.request_id:
        problems.append("the answer has no request id")
    own = b"(request " in answer.body and answer.code != "INTERNAL_ERROR"
    if expect.code and not expect.by_mlflow and not own:
        problems.append(f"refused by MLflow, not by the gateway: {answer.body[:300]!r}")
    return problems


def leaks(received: bytes, sent: bytes, world: World) -> list[str]:
    """Secrets and identifiers in an answer that the request did not have."""
    problems = []
    if world.secret.encode() in received:
        problems.append(f"the secret word came back: {received[-400:]!r}")
    for name in world.private:
        if name.encode() in received and name.encode() not in sent:
            problems.append(f"the identifier {name} came back")
    return problems


def _tells(received: bytes, stack: Stack) -> list[str]:
    """Server paths, SQL, tracebacks, and MLflow's own address."""
    folder = str(Path(stack.folder)).encode()
    address = stack.mlflow.url.partition("//")[2].encode()
    found = [word for word in (*_TELLTALE, folder, address) if word in received]
    head = received.partition(b"\r\n\r\n")[0]
    if re.search(rb"(?mi)^(location|set-cookie):|^server: uvicorn", head):
        found.append(b"a header of MLflow's")
    return [f"the answer tells {word!r}" for word in found]


def _twins_differ(stack: Stack, world: World, attempt: Attempt) -> list[str]:
    """The answer about what exists must be the answer about what does not."""
    request = attempt.request
    other = request.swapped(attempt.twin)
    _, here, _ = send_to_gateway(stack, world, request)
    _, there, _ = send_to_gateway(stack, world, other)
    ids = [_values(world, side) for side in (attempt.twin.keys(), attempt.twin.values())]
    if _neutral(here, []) == _neutral(there, []):
        return []
    one, two = _neutral(here, ids[0]), _neutral(there, ids[1])
    return [] if one == two else [f"it tells what exists:\n  {one!r}\n  {two!r}"]


def _values(world: Mapping[str, str], places: Iterable[str]) -> list[str]:
    return [world[place.strip("@")] for place in places]


def _neutral(received: bytes, ids: list[str]) -> tuple[list[bytes], bytes]:
    """Head and body without what differs from call to call, and without the caller's words."""
    head, _, body = received.partition(b"\r\n\r\n")
    body = re.sub(rb"\(request [^)]*\)", b"", body)
    plain = body
    for one in ids:
        plain = re.sub(rb"(?<!\w)" + re.escape(one.encode()) + rb"(?!\w)", b"ID", plain)
    drop = (b"x-request-id", b"date", b"content-length")  # a request id may be longer
    lines = [line for line in head.split(b"\r\n") if line.partition(b":")[0].lower() not in drop]
    return lines, plain


def works_without_the_gateway(
    stack: Stack, world: World, witness: Witness, attempt: Attempt
) -> bool:
    """Whether the attempt does to a bare MLflow what the row says it would."""
    world = world.now(attempt.id)
    state = witness.state()
    leaked = False
    for request, _ in attempt.steps:
        sent = request.wire(world, {})
        received, _answers = exchange(stack.mlflow.url, sent)
        leaked = leaked or bool(leaks(received, sent, world))
    changed = bool(differences(state, witness.state()))
    return leaked if attempt.direct == "leaks" else changed
