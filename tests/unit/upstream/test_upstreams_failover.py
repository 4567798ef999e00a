import asyncio

import pytest

from gateway.errors import MayHaveRun, TooLarge, Unavailable
from gateway.settings import Upstream
from gateway.upstream import (
    AnswerTooLarge,
    Cut,
    CutBody,
    Garbled,
    NotSent,
    Upstreams,
    error_for,
)
from tests.fakes.odd_upstream import FakeOddUpstream, always, plain, until


@pytest.fixture
async def make_upstreams():
    made = []

    def make(*servers, **settings):
        urls = tuple(server if isinstance(server, str) else server.url for server in servers)
        made.append(Upstreams(Upstream(urls=urls, **settings)))
        return made[-1]

    yield make
    for upstreams in made:
        await upstreams.close()


def named(name, health=b"HTTP/1.1 200 OK"):
    async def script(exchange):
        while True:
            request = await exchange.request()
            if request.target.endswith("/health"):
                await exchange.send(health + b"\r\ncontent-length: 0\r\n\r\n")
            else:
                await exchange.send(plain(name))

    return script


async def ask(upstreams, method="POST", **more):
    answer = await upstreams.request(method, "/", [], repeatable=False, **more)
    return answer.body_if_complete()


async def test_load_is_spread(make_upstreams):
    async with FakeOddUpstream(named(b"a")) as a, FakeOddUpstream(named(b"b")) as b:
        upstreams = make_upstreams(a, b)
        answers = [await ask(upstreams) for _ in range(6)]
        assert sorted(answers) == [b"a"] * 3 + [b"b"] * 3


async def test_server_that_is_down_is_stepped_over_and_then_put_aside(make_upstreams):
    async with FakeOddUpstream(named(b"a")) as a, FakeOddUpstream(named(b"b")) as b:
        upstreams = make_upstreams(a, b)
        await a.stop()
        assert [await ask(upstreams, body=b"{}") for _ in range(6)] == [b"b"] * 6
        assert upstreams.healthy() == 1
        assert [gauge.healthy for gauge in upstreams.gauges()] == [False, True]
        await a.listen()
        await upstreams.check()
        assert upstreams.healthy() == 2


async def test_stream_goes_whole_to_the_server_that_is_up(make_upstreams):
    async def stream():
        yield b"one"
        yield b"two"

    got = []

    async def script(exchange):
        while True:
            request = await exchange.head()
            got.append(await exchange.body(request))
            await exchange.send(plain(b"ok"))

    async with FakeOddUpstream(script) as a, FakeOddUpstream(script) as b:
        upstreams = make_upstreams(a, b)
        await b.stop()
        await a.stop()
        await b.listen()
        for _ in range(2):
            assert await ask(upstreams, stream=stream()) == b"ok"
    assert got == [b"onetwo"] * 2


async def test_request_that_may_have_run_is_not_sent_elsewhere(make_upstreams):
    async def script(exchange):
        await exchange.request()

    async with FakeOddUpstream(script) as a, FakeOddUpstream(script) as b:
        upstreams = make_upstreams(a, b)
        with pytest.raises(Cut):
            await ask(upstreams)
        assert a.connections + b.connections == 1


async def test_all_down_is_not_sent_and_the_first_back_is_found_without_a_probe(make_upstreams):
    async with FakeOddUpstream(named(b"a")) as a, FakeOddUpstream(named(b"b")) as b:
        upstreams = make_upstreams(a, b)
        await a.stop()
        await b.stop()
        for _ in range(2):
            with pytest.raises(NotSent):
                await ask(upstreams)
        assert upstreams.healthy() == 0
        await b.listen()
        assert await ask(upstreams) == b"b"
        assert [gauge.healthy for gauge in upstreams.gauges()] == [False, True]
        await a.listen()


async def test_health_is_known_after_start_and_watched(make_upstreams):
    async with FakeOddUpstream(named(b"a")) as a:
        upstreams = make_upstreams(a, health_seconds=0.01)
        await upstreams.start()
        assert upstreams.healthy() == 1
        await a.stop()
        await until(lambda: upstreams.healthy() == 0)
        await a.listen()
        await until(lambda: upstreams.healthy() == 1)


async def test_health_check_uses_the_static_prefix_and_believes_only_200(make_upstreams):
    targets = []

    async def script(exchange):
        while True:
            targets.append((await exchange.request()).target)
            await exchange.send(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")

    async with FakeOddUpstream(script) as a:
        upstreams = make_upstreams(a, static_prefix="/mlflow")
        await upstreams.check()
        assert upstreams.healthy() == 0
    assert targets == ["/mlflow/health"]


async def test_server_that_answers_requests_is_not_probed(make_upstreams):
    async with FakeOddUpstream(named(b"a", health=b"HTTP/1.1 503 No")) as a:
        upstreams = make_upstreams(a)
        await ask(upstreams)
        await upstreams.check()
        assert upstreams.healthy() == 1
        await upstreams.check()
        assert upstreams.healthy() == 0


async def test_server_with_all_connections_in_use_is_busy_not_dead(make_upstreams):
    async def script(exchange):
        await exchange.request()
        await go.wait()
        await exchange.send(plain(b"a"))

    go = asyncio.Event()
    async with FakeOddUpstream(script) as a:
        upstreams = make_upstreams(a, connections=1)
        task = asyncio.create_task(ask(upstreams))
        await until(lambda: a.open)
        await upstreams.check()
        assert upstreams.healthy() == 1
        assert upstreams.gauges()[0].in_use == 1
        go.set()
        assert await task == b"a"


async def test_hanging_health_check_ends(make_upstreams):
    async def script(exchange):
        await exchange.request()
        await exchange.closed()

    async with FakeOddUpstream(script) as a:
        upstreams = make_upstreams(a, health_seconds=0.01, connect_seconds=0.04)
        await upstreams.start()
        assert upstreams.healthy() == 0


async def test_many_answers_at_once_each_reach_their_own_request(make_upstreams):
    async def script(exchange):
        while True:
            request = await exchange.request()
            await exchange.send(plain(request.target.encode()))

    async with FakeOddUpstream(always(b"")) as down:
        url = down.url
    async with FakeOddUpstream(script) as a, FakeOddUpstream(script) as b:
        upstreams = make_upstreams(a, url, b, connections=4)

        async def one(number):
            answer = await upstreams.request("GET", f"/{number}", [], repeatable=True)
            return answer.body_if_complete()

        answers = await asyncio.gather(*(one(number) for number in range(200)))
        assert answers == [b"/%d" % number for number in range(200)]
        assert a.connections <= 4
        assert b.connections <= 4


@pytest.mark.parametrize(
    "failure, repeatable, error",
    [
        (NotSent("x"), True, Unavailable),
        (NotSent("x"), False, Unavailable),
        (Cut("x"), True, Unavailable),
        (Cut("x"), False, MayHaveRun),
        (Garbled("x"), True, Unavailable),
        (Garbled("x"), False, MayHaveRun),
        (CutBody("x"), True, Unavailable),
        (CutBody("x"), False, MayHaveRun),
        (AnswerTooLarge("x"), False, TooLarge),
    ],
)
def test_failure_becomes_an_error_that_clients_treat_rightly(failure, repeatable, error):
    result = error_for(failure, repeatable)
    assert type(result) is error
    assert result.detail == f"{type(failure).__name__}: x"
    assert "x" not in result.message.split()
