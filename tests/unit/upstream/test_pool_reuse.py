"""Keep-alive: which connections are used again, which never, and what a stale one costs."""

import asyncio
import select
import socket

import pytest

from gateway.settings import Upstream
from gateway.upstream import Cut, NotSent, UpstreamPool
from tests.fakes.odd_upstream import FakeOddUpstream, always, chunked, once, plain, until

OK = b"HTTP/1.1 200 OK\r\n"


async def get(pool, repeatable=True):
    answer = await pool.request("GET", "/x", [], repeatable=repeatable)
    return await answer.read(1 << 20)


async def post(pool):
    answer = await pool.request("POST", "/x", [], b"{}", repeatable=False)
    return await answer.read(1 << 20)


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"hi"),
        chunked([b"h", b"i"]),
        chunked([b"hi"], b";e", b"T: v\r\n"),
        plain(b"x" * 99_999),
        b"HTTP/1.1 204 N\r\n\r\n",
        b"HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["length", "chunked", "trailers", "long", "204", "304"],
)
async def test_clean_answers_share_one_connection(make_pool, answer):
    async with FakeOddUpstream(always(answer)) as upstream:
        pool = make_pool(upstream.url)
        first = await get(pool)
        for _ in range(4):
            assert await get(pool, repeatable=False) == first
        assert upstream.connections == 1
        assert (pool.in_use, pool.idle, pool.answered) == (0, 1, 5)


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"hi", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        plain(b"hi") + b"H",
        plain(b"hi") + b"garbage",
        plain(b"hi") + plain(b"poison"),
        chunked([b"hi"]) + plain(b"poison"),
        b"HTTP/1.1 204 N\r\n\r\n" + plain(b"poison"),
    ],
)
async def test_connection_that_is_not_clean_is_used_once(make_pool, answer):
    async with FakeOddUpstream(always(answer)) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(3):
            assert await get(pool) in (b"hi", b"")
        assert upstream.connections == 3


async def test_body_after_an_answer_to_head_is_nobodys_answer(make_pool):
    async with FakeOddUpstream(always(plain(plain(b"poison")))) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(3):
            answer = await pool.request("HEAD", "/", [], repeatable=True)
            assert answer.body_if_complete() == b""
        assert upstream.connections == 3


async def test_bytes_on_an_idle_connection_drop_it(make_pool):
    spoken = asyncio.Event()

    async def script(exchange):
        await exchange.request()
        await exchange.send(plain(b"hi"))
        await speak.wait()
        await exchange.send(plain(b"poison"))
        await exchange.closed()
        spoken.set()

    speak = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, keepalive_seconds=60.0)
        assert await get(pool) == b"hi"
        speak.set()
        await spoken.wait()
        assert pool.idle == 0
        assert await get(pool) == b"hi"
        assert upstream.connections == 2


async def test_server_that_closes_an_idle_connection_costs_nothing(make_pool):
    async with FakeOddUpstream(once(plain(b"hi"))) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(5):
            assert await post(pool) == b"hi"
            await until(lambda: pool.idle == 0)
        assert upstream.connections == 5


async def test_close_that_the_loop_has_not_seen_yet_is_noticed_before_a_post(make_pool):
    """The end of file is in the socket as the next request starts, no turn of the loop between."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        pool = make_pool(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(3):
            asking = asyncio.ensure_future(post(pool))
            server, _ = await loop.sock_accept(listener)
            with server:
                await loop.sock_recv(server, 65536)
                await loop.sock_sendall(server, plain(b"hi"))
                await until(lambda: pool.idle == 1)
                assert await asking == b"hi"
                (idle,) = pool._idle
            # The block has closed the server's socket. The kernel may take a moment to hand its
            # end over on a busy machine; the loop stands still meanwhile.
            heard = select.poll()
            heard.register(idle.fileno(), select.POLLIN)
            assert heard.poll(60_000)


async def test_idle_connection_is_closed_before_the_server_would(make_pool):
    gone = asyncio.Event()

    async def script(exchange):
        await exchange.request()
        await exchange.send(plain(b""))
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, keepalive_seconds=0.05)
        await get(pool)
        await gone.wait()
        assert pool.idle == 0


def stale_after_one(closing):
    """Answers one request; reads the second of a connection and closes without a word."""

    async def script(exchange):
        await exchange.request()
        await exchange.send(plain(b"hi"))
        await exchange.request()
        if closing == "reset":
            exchange.reset()

    return script


@pytest.mark.parametrize("closing", ["fin", "reset"])
async def test_stale_connection_is_retried_unseen_when_repeatable(make_pool, closing):
    async with FakeOddUpstream(stale_after_one(closing)) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(4):
            assert await get(pool) == b"hi"
        assert upstream.connections == 4
        assert pool.in_use == 0


@pytest.mark.parametrize("closing", ["fin", "reset"])
async def test_stale_connection_is_a_cut_when_not_repeatable(make_pool, closing):
    async with FakeOddUpstream(stale_after_one(closing)) as upstream:
        pool = make_pool(upstream.url)
        assert await post(pool) == b"hi"
        with pytest.raises(Cut):
            await post(pool)
        assert upstream.connections == 1
        assert await post(pool) == b"hi"


async def test_retry_happens_once(make_pool):
    connections = 0

    async def script(exchange):
        nonlocal connections
        connections += 1
        await exchange.request()
        if connections == 1:
            await exchange.send(plain(b"hi"))
            await exchange.request()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        await get(pool)
        with pytest.raises(Cut):
            await get(pool)
        assert upstream.connections == 2


async def test_cut_after_the_first_byte_is_never_retried(make_pool):
    async def script(exchange):
        await exchange.request()
        await exchange.send(plain(b"hi"))
        await exchange.request()
        await exchange.send(b"H")

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        await get(pool)
        with pytest.raises(Cut):
            await get(pool)
        assert upstream.connections == 1


async def test_retry_finds_room_in_a_full_pool(make_pool):
    """Both connections are stale; each retry may evict the other idle one, none deadlocks."""
    async with FakeOddUpstream(stale_after_one("fin")) as upstream:
        pool = make_pool(upstream.url, connections=2)
        await asyncio.gather(get(pool), get(pool))
        assert upstream.connections == 2
        for _ in range(4):
            assert await asyncio.gather(get(pool), get(pool), get(pool)) == [b"hi"] * 3


async def test_connections_are_bounded_and_the_queue_is_fair(make_pool):
    order = []

    async def script(exchange):
        while True:
            request = await exchange.request()
            order.append(request.target)
            await exchange.send(plain(request.target.encode()))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, connections=1)
        targets = [f"/{n}" for n in range(20)]
        answers = await asyncio.gather(
            *(pool.request("GET", target, [], repeatable=True) for target in targets)
        )
        assert [a.body_if_complete().decode() for a in answers] == targets
        assert order == targets
        assert upstream.connections == 1


async def test_waiter_gets_the_slot_of_a_lost_connection(make_pool):
    async with FakeOddUpstream(once(plain(b"hi", b"Connection: close"))) as upstream:
        pool = make_pool(upstream.url, connections=2)
        assert await asyncio.gather(*(get(pool) for _ in range(10))) == [b"hi"] * 10
        assert upstream.connections == 10
        assert (pool.in_use, pool.idle, pool.waiting) == (0, 0, 0)


async def test_waiters_that_go_away_leave_no_trace(make_pool):
    go = asyncio.Event()

    async def script(exchange):
        while True:
            await exchange.request()
            await go.wait()
            await exchange.send(plain(b"hi"))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, connections=1)
        tasks = [asyncio.create_task(get(pool)) for _ in range(6)]
        await until(lambda: pool.waiting == 5)
        for task in tasks[1:4]:
            task.cancel()
        go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r for r in results if r == b"hi"] == [b"hi"] * 3
        assert (pool.in_use, pool.idle, pool.waiting) == (0, 1, 0)
        assert await get(pool) == b"hi"


async def test_cancelling_at_any_moment_never_leaks_a_slot_or_mixes_answers(make_pool):
    """Cancel each request after a different number of turns of the loop."""

    async def script(exchange):
        while True:
            request = await exchange.request()
            await exchange.send(plain(request.target.encode()))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, connections=2)

        async def ask(number):
            answer = await pool.request("GET", f"/{number}", [], repeatable=True)
            assert await answer.read(100) == b"/%d" % number

        for turns in range(40):
            tasks = [asyncio.create_task(ask(turns * 10 + n)) for n in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
            assert all(r is None for r in results[1::2])
            assert (pool.in_use, pool.waiting) == (0, 0)


async def test_cancelling_after_the_answer_does_not_hit_the_next_user(make_pool):
    """The first request is cancelled when its connection already serves the second."""

    async def script(exchange):
        await exchange.request()
        await exchange.send(plain(b"first"))
        await exchange.request()
        await asyncio.sleep(0.01)
        await exchange.send(plain(b"second"))
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, connections=1)
        first, second = asyncio.create_task(post(pool)), asyncio.create_task(post(pool))
        await until(lambda: pool.answered == 1)
        first.cancel()
        assert await second == b"second"
        await asyncio.gather(first, return_exceptions=True)


async def test_connection_with_unsent_bytes_is_not_used_again(make_pool):
    async def script(exchange):
        await exchange.head()
        await exchange.send(plain(b"early"))
        await finished.wait()

    finished = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await pool.request("POST", "/", [], b"x" * 32_000_000, repeatable=False)
        assert answer.body_if_complete() == b"early"
        assert (pool.in_use, pool.idle) == (0, 0)
        finished.set()


async def test_long_wait_in_the_queue_ends_as_not_sent():
    async def script(exchange):
        await exchange.request()
        sent.set()
        await exchange.closed()

    sent = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        pool = UpstreamPool(upstream.url, Upstream(connections=1), queue_seconds=0.02)
        first = asyncio.create_task(get(pool))
        await sent.wait()
        with pytest.raises(NotSent) as caught:
            await get(pool)
        assert caught.value.busy
        assert pool.waiting == 0
        await pool.close()
        with pytest.raises(Cut):
            await first


async def test_close_ends_everything(make_pool):
    async def script(exchange):
        await exchange.request()
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, connections=1)
        busy, queued = asyncio.create_task(get(pool)), asyncio.create_task(get(pool))
        await until(lambda: pool.waiting and upstream.open)
        await pool.close()
        results = await asyncio.gather(busy, queued, return_exceptions=True)
        assert isinstance(results[0], Cut | NotSent)
        assert isinstance(results[1], NotSent)
        with pytest.raises(NotSent):
            await get(pool)
        await pool.close()


async def test_server_that_accepts_and_closes_at_once_is_never_taken_for_an_answer(make_pool):
    async def script(exchange):
        exchange.reset()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        with pytest.raises((NotSent, Cut)):
            await post(pool)
        assert (pool.in_use, pool.idle) == (0, 0)
