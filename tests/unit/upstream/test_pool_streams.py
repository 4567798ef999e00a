"""Large bodies in both directions: flow control, early answers, aborts, cuts."""

import asyncio
import hashlib

import pytest

from gateway.errors import BadRequest
from gateway.upstream import Cut, CutBody
from gateway.upstream.connection import READ_AHEAD
from tests.fakes.odd_upstream import FakeOddUpstream, plain, until
from tests.unit.upstream.conftest import FakeLoopTime

BLOCK = bytes(range(256)) * 256
BIG = 64 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"


async def blocks(total):
    for _ in range(total // len(BLOCK)):
        yield BLOCK


async def pieces(*given):
    for piece in given:
        yield piece


def put(pool, stream, length=None, repeatable=True):
    return pool.request("PUT", "/a", [], stream=stream, stream_length=length, repeatable=repeatable)


async def echo_digest(exchange):
    while True:
        request = await exchange.head()
        body = await exchange.body(request)
        await exchange.send(plain(hashlib.sha256(body).hexdigest().encode()))


@pytest.mark.parametrize("length", [None, 3 * len(BLOCK)])
async def test_streamed_body_arrives_whole_and_the_connection_is_kept(make_pool, length):
    async with FakeOddUpstream(echo_digest) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(3):
            answer = await put(pool, blocks(3 * len(BLOCK)), length)
            expected = hashlib.sha256(BLOCK * 3).hexdigest().encode()
            assert answer.body_if_complete() == expected
        assert upstream.connections == 1


async def test_empty_streams(make_pool):
    async with FakeOddUpstream(echo_digest) as upstream:
        pool = make_pool(upstream.url)
        for stream, length in ((pieces(), None), (pieces(), 0), (pieces(b"", b""), None)):
            answer = await put(pool, stream, length)
            assert answer.body_if_complete() == hashlib.sha256(b"").hexdigest().encode()


async def test_64_mb_up_never_piles_up_here(make_pool):
    """The server reads slowly; what was taken from the client and not yet read there is small."""
    taken = read = most = 0

    async def source():
        nonlocal taken
        for _ in range(BIG // len(BLOCK)):
            taken += len(BLOCK)
            yield BLOCK

    async def script(exchange):
        nonlocal read, most
        await exchange.head()
        while read < BIG:
            most = max(most, taken - read)
            read += len(await exchange.reader.read(len(BLOCK)))
        await exchange.send(plain(b"done"))

    async with FakeOddUpstream(script) as upstream:
        answer = await put(make_pool(upstream.url), source(), BIG)
        assert answer.body_if_complete() == b"done"
    # Socket buffers of the kernel (both sides) and the fake's reader (2 MB) are in this figure.
    assert most < 16 * 1024 * 1024


async def test_64_mb_down_never_piles_up_here(make_pool):
    """The reader is slow; the buffer of the answer stays under its bound."""

    async def script(exchange):
        await exchange.request()
        exchange.writer.write(OK + b"content-length: %d\r\n\r\n" % BIG)
        for _ in range(BIG // len(BLOCK)):
            exchange.writer.write(BLOCK)
            await exchange.writer.drain()
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        answer = await make_pool(upstream.url).request("GET", "/", [], repeatable=True)
        size = most = 0
        digest = hashlib.sha256()
        async for chunk in answer.chunks():
            most = max(most, len(chunk))
            size += len(chunk)
            digest.update(chunk)
            for _ in range(5):
                await asyncio.sleep(0)
        assert size == BIG
        assert digest.digest() == hashlib.sha256(BLOCK * (BIG // len(BLOCK))).digest()
        # One read of the event loop (256 KiB) may come on top.
        assert READ_AHEAD < most <= READ_AHEAD + 256 * 1024


async def test_reader_that_stops_reading_does_not_time_out(make_pool):
    """A slow client is not the upstream's fault: no time runs while we do not read."""

    async def script(exchange):
        await exchange.request()
        await exchange.send(OK + b"content-length: %d\r\n\r\n" % (4 * 1024 * 1024))
        for _ in range(64):
            await exchange.send(BLOCK)

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, answer_seconds=30.0)
        clock = FakeLoopTime(pool)
        answer = await pool.request("GET", "/", [], repeatable=True)
        (connection,) = pool._all
        await until(lambda: not connection.waiting_since)
        clock.advance(300)
        assert len(await answer.read(8 * 1024 * 1024)) == 4 * 1024 * 1024


@pytest.mark.parametrize("linger", [True, False], ids=["reads-on", "closes"])
async def test_early_refusal_is_delivered_and_sending_stops(make_pool, linger):
    """The client side hangs in the middle of its body; the 413 comes through all the same."""
    stopped = asyncio.Event()

    async def source():
        yield b"x" * 1000
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(1000)
        await exchange.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        if linger:
            await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await put(pool, source(), 1_000_000)
        assert (answer.status, answer.body_if_complete()) == (413, b"big")
        await stopped.wait()
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_sending_stops_with_the_head_of_a_refusal_not_with_its_end(make_pool):
    stopped = asyncio.Event()

    async def source():
        try:
            yield b"x" * 1000
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def script(exchange):
        await exchange.head()
        await exchange.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 100000\r\n\r\n")
        await stopped.wait()
        await exchange.send(b"y" * 100_000)
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await put(pool, source(), 1_000_000)
        assert await answer.read(100_000) == b"y" * 100_000
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_early_refusal_while_the_server_reads_nothing(make_pool):
    async def script(exchange):
        await exchange.head()
        await exchange.send(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")
        await finished.wait()

    finished = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await put(pool, blocks(BIG), BIG)
        assert (answer.status, answer.body_if_complete()) == (403, b"no")
        assert (pool.in_use, pool.idle) == (0, 0)
        finished.set()


async def test_answer_that_begins_early_does_not_stop_the_upload(make_pool):
    """200 with the head first, then the digest of a body still under way."""

    async def script(exchange):
        request = await exchange.head()
        await exchange.send(OK + b"transfer-encoding: chunked\r\n\r\n")
        size = len(await exchange.body(request))
        await exchange.send(b"%x\r\n%d\r\n0\r\n\r\n" % (len(str(size)), size))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await put(pool, blocks(10 * len(BLOCK)))
        assert await answer.read(100) == b"%d" % (10 * len(BLOCK))
        assert pool.idle == 1


async def test_client_that_fails_in_its_body_closes_the_upstream(make_pool):
    gone = asyncio.Event()

    async def source():
        yield b"some"
        raise ConnectionResetError("the client has gone")

    async def script(exchange):
        await exchange.head()
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        with pytest.raises(ConnectionResetError, match="the client has gone"):
            await put(pool, source(), 1000)
        await gone.wait()
        assert pool.in_use == 0


@pytest.mark.parametrize("given", [b"short", b"much too long for it"])
async def test_body_of_another_length_is_never_sent_as_whole(make_pool, given):
    got = []

    async def script(exchange):
        await exchange.head()
        got.append(await exchange.reader.read())

    async with FakeOddUpstream(script) as upstream:
        with pytest.raises(BadRequest):
            await put(make_pool(upstream.url), pieces(given), 10)
    assert len(b"".join(got)) < 10


async def test_cancelled_upload_closes_the_socket_at_once(make_pool):
    begun, gone, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def source():
        try:
            while True:
                yield BLOCK
        finally:
            left.set()

    async def script(exchange):
        await exchange.head()
        begun.set()
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        stream = source()
        task = asyncio.create_task(put(pool, stream))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()
        await stream.aclose()
        await left.wait()
        assert pool.in_use == 0


async def test_upload_cut_by_the_server_is_a_cut_and_never_retried(make_pool):
    async def script(exchange):
        request = await exchange.head()
        if request.method == "GET":
            await exchange.send(plain(b""))
            await exchange.head()
        await exchange.reader.readexactly(1000)
        exchange.reset()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        await pool.request("GET", "/", [], repeatable=True)
        with pytest.raises(Cut):
            await put(pool, blocks(BIG), BIG)
        assert upstream.connections == 1
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_server_that_stops_reading_is_given_up(make_pool):
    async def script(exchange):
        await exchange.head()
        exchange.writer.transport.pause_reading()
        await finished.wait()

    finished = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        with pytest.raises(Cut, match="nothing came"):
            await put(make_pool(upstream.url, answer_seconds=0.1), blocks(BIG), BIG)
        finished.set()


async def test_slow_sender_does_not_time_out(make_pool):
    async def source():
        for _ in range(4):
            clock.advance(60)
            yield b"x"

    async with FakeOddUpstream(echo_digest) as upstream:
        pool = make_pool(upstream.url, answer_seconds=30.0)
        clock = FakeLoopTime(pool)
        answer = await put(pool, source())
        assert answer.body_if_complete() == hashlib.sha256(b"xxxx").hexdigest().encode()


async def test_download_aborted_while_paused_closes_the_socket(make_pool):
    gone = asyncio.Event()

    async def script(exchange):
        await exchange.request()
        exchange.writer.write(OK + b"\r\n" + BLOCK * 200)
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await pool.request("GET", "/", [], repeatable=True)
        async for _ in answer.chunks():
            break
        answer.abort()
        await gone.wait()
        assert (pool.in_use, pool.idle) == (0, 0)
        with pytest.raises(CutBody):
            await answer.read(BIG)
