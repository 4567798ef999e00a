"""Property: whatever mix of odd answers a server gives, each request gets its own answer, whole,
or a typed failure; never another's answer, never half of one, never a leaked connection.
"""

import asyncio

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings import Upstream
from gateway.upstream import UpstreamFailure, UpstreamPool
from tests.fakes.odd_upstream import FakeOddUpstream, chunked, plain

OK = b"HTTP/1.1 200 OK\r\n"
POISON = plain(b"poison")

# How the body of an answer is framed. Each takes the body and gives (bytes, closes after).
FRAMINGS = {
    "length": lambda body: (plain(body), False),
    "close": lambda body: (plain(body, b"connection: close"), True),
    "until-close": lambda body: (OK + b"\r\n" + body, True),
    "chunked": lambda body: (chunked([body[:3], body[3:]]), False),
    "extensions": lambda body: (chunked([body], b";a=b", b"T: v\r\n"), False),
    "interim": lambda body: (
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nl: x\r\n\r\n" + plain(body),
        False,
    ),
    "http10": lambda body: (b"HTTP/1.0 200 OK\r\n\r\n" + body, True),
}


@st.composite
def turns(draw):
    """What the server does with one request."""
    framing = draw(st.sampled_from(sorted(FRAMINGS)))
    return {
        "framing": framing,
        # Cutting an answer that only the close ends is not noticeable, by anyone.
        "cut": None
        if framing in ("until-close", "http10")
        else draw(st.none() | st.none() | st.integers(0, 120)),
        "after": draw(st.sampled_from([b"", b"", b"", b"H", b"\r\n", POISON])),
        "close": draw(st.sampled_from(["no", "no", "fin", "reset"])),
        "steps": draw(st.lists(st.integers(1, 60), max_size=4)),
        "early": draw(st.booleans()),
    }


@st.composite
def asks(draw):
    """What a client does: (method, with a streamed body, limit of turns before it goes away)."""
    return (
        draw(st.sampled_from(["GET", "GET", "POST", "HEAD", "PUT"])),
        draw(st.none() | st.none() | st.integers(0, 30)),
    )


def server(plan):
    """A script that plays ``plan`` over and over; the body of an answer is its target."""
    position = 0

    async def script(exchange):
        nonlocal position
        while True:
            request = await exchange.head()
            turn = plan[position % len(plan)]
            position += 1
            if not turn["early"]:
                await exchange.body(request)
            raw, closes = FRAMINGS[turn["framing"]](request.target.encode())
            if request.method == "HEAD":
                raw = (
                    raw[: raw.rindex(b"\r\n\r\n", 0, raw.rindex(b"/")) + 4] if b"/" in raw else raw
                )
                if turn["framing"] in ("chunked", "extensions"):
                    raw = OK + b"transfer-encoding: chunked\r\n\r\n"
            if turn["cut"] is not None and turn["cut"] < len(raw):
                await exchange.send(raw[: turn["cut"]])
                return
            # What follows an answer comes with its end. Were it to come later, after the next
            # request was sent, it would be that request's answer: HTTP/1.1 has no other order.
            after = b"" if closes else turn["after"]
            pieces, at = [], 0
            for step in turn["steps"]:
                if at + step >= len(raw):
                    break
                pieces.append(raw[at : at + step])
                at += step
            await exchange.send(*pieces, raw[at:] + after)
            if closes or turn["close"] == "fin":
                return
            if turn["close"] == "reset":
                exchange.reset()
                return
            if turn["early"]:
                await exchange.body(request)

    return script


async def client(pool, number, method, patience):
    target = f"/{method}-{number}-{'y' * (number % 40)}"

    async def stream():
        for _ in range(5):
            await asyncio.sleep(0)
            yield b"z" * 1000

    async def one():
        answer = await pool.request(
            method,
            target,
            [(b"accept", b"*/*")],
            b"{}" if method == "POST" else None,
            repeatable=method != "POST",
            stream=stream() if method == "PUT" else None,
            stream_length=5000 if number % 2 else None,
        )
        try:
            return answer.status, await answer.read(10_000)
        finally:
            answer.release()

    task = asyncio.ensure_future(one())
    if patience is not None:
        for _ in range(patience):
            await asyncio.sleep(0)
        task.cancel()
    try:
        status, body = await task
    except UpstreamFailure:
        return
    except asyncio.CancelledError:
        assert patience is not None
        return
    assert status == 200
    assert body == (b"" if method == "HEAD" else target.encode())


async def play(plan, requests, at_once):
    async with FakeOddUpstream(server(plan)) as upstream:
        pool = UpstreamPool(upstream.url, Upstream(connections=3, answer_seconds=2.0))
        numbered = list(enumerate(requests))
        for start in range(0, len(numbered), at_once):
            await asyncio.gather(
                *(client(pool, n, *ask) for n, ask in numbered[start : start + at_once])
            )
            assert (pool.in_use, pool.waiting) == (0, 0)
        await pool.close()


@pytest.mark.parametrize("runner", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_each_request_gets_its_own_answer_or_a_failure(runner):
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(turns(), min_size=1, max_size=6),
        st.lists(asks(), min_size=1, max_size=12),
        st.integers(1, 6),
    )
    def check(plan, requests, at_once):
        runner(play(plan, requests, at_once))

    check()
