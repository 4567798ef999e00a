"""One request and its answer over a real socket, with servers that behave oddly."""

import asyncio
import ssl

import pytest

from gateway.errors import BadRequest
from gateway.settings import Secret
from gateway.upstream import AnswerTooLarge, Cut, CutBody, Garbled, NotSent
from tests.fakes.odd_upstream import FakeOddUpstream, always, chunked, once, plain, until
from tests.unit.upstream.conftest import FakeLoopTime

OK = b"HTTP/1.1 200 OK\r\n"


async def get(pool, target="/x", **more):
    return await pool.request("GET", target, [(b"a", b"b")], repeatable=True, **more)


async def test_small_answer_is_there_without_waiting(make_pool):
    async with FakeOddUpstream(always(plain(b"hi", b"X-A: 1", b"x-a: 2"))) as upstream:
        answer = await get(make_pool(upstream.url))
        assert (answer.status, answer.reason, answer.content_length) == (200, b"OK", 2)
        assert answer.headers == [(b"content-length", b"2"), (b"X-A", b"1"), (b"x-a", b"2")]
        assert answer.body_if_complete() == b"hi"


async def test_small_answer_in_two_segments_still_comes_whole(make_pool):
    head = OK + b"content-length: 2\r\n\r\n"
    async with FakeOddUpstream(once(head, b"h", b"i")) as upstream:
        answer = await get(make_pool(upstream.url))
        assert answer.body_if_complete() == b"hi"


async def test_request_arrives_as_given(make_pool):
    seen = []

    async def script(exchange):
        request = await exchange.head()
        seen.append((request, await exchange.body(request)))
        await exchange.send(plain(b""))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, host="mlflow.internal", secret=Secret("s3"))
        await pool.request("POST", "/a?b=c", [(b"X-B", b"d")], b"body", repeatable=False)
    request, body = seen[0]
    assert request.line == "POST /a?b=c HTTP/1.1"
    assert request.headers == {
        "host": "mlflow.internal",
        "x-mlgate-upstream-secret": "s3",
        "x-b": "d",
        "content-length": "4",
    }
    assert body == b"body"


async def test_large_body_at_hand_arrives_whole(make_pool):
    async def script(exchange):
        request = await exchange.head()
        await exchange.send(plain(b"%d" % len(await exchange.body(request))))

    async with FakeOddUpstream(script) as upstream:
        body = b"x" * 5_000_000
        answer = await make_pool(upstream.url).request("POST", "/", [], body, repeatable=False)
        assert answer.body_if_complete() == b"5000000"


@pytest.mark.parametrize(
    "raw, body",
    [
        (chunked([b"ab", b"c"]), b"abc"),
        (chunked([b"ab", b"c"], b";x=y", b"T: v\r\n"), b"abc"),
        (OK + b"\r\nuntil close", b"until close"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nlink: x\r\n\r\n" + plain(b"late"), b"late"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b""),
        (plain(b"x" * 100_000), b"x" * 100_000),
    ],
    ids=["chunked", "extensions", "close", "http10", "interim", "204", "304", "long"],
)
async def test_every_framing_is_read_byte_by_byte_or_at_once(make_pool, raw, body):
    step = 1 if len(raw) < 1000 else 10_000
    pieces = [raw[at : at + step] for at in range(0, len(raw), step)]
    for script in (once(raw), once(*pieces)):
        async with FakeOddUpstream(script) as upstream:
            answer = await get(make_pool(upstream.url))
            assert await answer.read(200_000) == body


async def test_head_keeps_its_length_and_its_connection(make_pool):
    async with FakeOddUpstream(always(OK + b"Content-Length: 12\r\n\r\n")) as upstream:
        pool = make_pool(upstream.url)
        for _ in range(3):
            answer = await pool.request("HEAD", "/", [], repeatable=True)
            assert (answer.content_length, answer.body_if_complete()) == (12, b"")
        assert upstream.connections == 1


async def test_chunks_come_at_once(make_pool):
    """As in server-sent events: no chunk waits for the next."""
    go = asyncio.Event()

    async def script(exchange):
        await exchange.request()
        await exchange.send(OK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await go.wait()
            go.clear()
            await exchange.send(b"3\r\nabc\r\n")
        await exchange.send(b"0\r\n\r\n")

    async with FakeOddUpstream(script) as upstream:
        answer = await get(make_pool(upstream.url))
        assert answer.body_if_complete() is None
        got = []
        go.set()
        async for chunk in answer.chunks():
            got.append(chunk)
            go.set()
        assert got == [b"abc"] * 3


async def test_read_refuses_an_answer_over_the_limit(make_pool):
    async with FakeOddUpstream(once(chunked([b"x" * 1000] * 200))) as upstream:
        pool = make_pool(upstream.url)
        answer = await get(pool)
        with pytest.raises(AnswerTooLarge):
            await answer.read(1999)
        assert pool.in_use == 0


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 2", OK + b"Content-Le", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["nothing", "status", "header", "interim"],
)
async def test_cut_before_the_head_is_over(make_pool, raw):
    async with FakeOddUpstream(once(raw)) as upstream:
        pool = make_pool(upstream.url)
        with pytest.raises(Cut) as caught:
            await get(pool)
        assert not caught.value.stale
        assert upstream.connections == 1
        assert pool.in_use == 0


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"content-length: 5\r\n\r\nhalf",
        OK + b"content-length: 100000\r\n\r\nhalf",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhalf",
        OK + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ],
)
async def test_cut_in_the_body_never_looks_whole(make_pool, raw):
    async with FakeOddUpstream(once(raw)) as upstream:
        with pytest.raises(CutBody):
            await (await get(make_pool(upstream.url))).read(1000)


async def test_what_came_before_the_cut_is_passed_on_first(make_pool):
    async with FakeOddUpstream(once(OK + b"content-length: 99999\r\n\r\nhalf")) as upstream:
        answer = await get(make_pool(upstream.url))
        chunks = answer.chunks()
        assert await anext(chunks) == b"half"
        with pytest.raises(CutBody):
            await anext(chunks)
        assert answer.body_if_complete() is None


async def test_reset_in_an_answer_without_length_is_a_cut(make_pool):
    async def script(exchange):
        await exchange.request()
        await exchange.send(OK + b"\r\nhalf")
        await resets.wait()
        exchange.reset()

    resets = asyncio.Event()
    async with FakeOddUpstream(script) as upstream:
        answer = await get(make_pool(upstream.url))
        resets.set()
        with pytest.raises(CutBody):
            await answer.read(1000)


async def test_garbage_is_not_an_answer(make_pool):
    async with FakeOddUpstream(once(b"SSH-2.0-OpenSSH\r\n\r\n")) as upstream:
        with pytest.raises(Garbled):
            await get(make_pool(upstream.url))


async def test_server_that_never_answers_is_given_up(make_pool):
    async def script(exchange):
        await exchange.request()
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, answer_seconds=0.05)
        with pytest.raises(Cut, match="nothing came"):
            await get(pool)


async def test_server_that_stops_in_the_body_is_given_up(make_pool):
    async def script(exchange):
        await exchange.request()
        await exchange.send(OK + b"content-length: 100000\r\n\r\nhalf")
        await exchange.closed()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, answer_seconds=30.0)
        clock = FakeLoopTime(pool)
        answer = await get(pool)
        reading = asyncio.create_task(answer.read(1000))
        clock.advance(29)
        await asyncio.sleep(0)
        assert not reading.done()
        clock.advance(2)
        with pytest.raises(CutBody, match="nothing came"):
            await reading


async def test_slow_server_within_the_time_is_waited_for(make_pool):
    """Each byte starts the time anew: all of them take longer than answer_seconds."""

    async def script(exchange):
        await exchange.request()
        (connection,) = pool._all
        for byte in plain(b"x" * 10):
            clock.advance(20)
            exchange.writer.write(bytes([byte]))
            # Until it is heard: no time runs after the last one.
            await until(lambda: connection.waiting_since in (0.0, clock.time()))

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url, answer_seconds=30.0)
        clock = FakeLoopTime(pool)
        answer = await get(pool)
        assert answer.body_if_complete() == b"x" * 10


async def test_nobody_listens(make_pool):
    async with FakeOddUpstream(always(b"")) as upstream:
        pass
    pool = make_pool(upstream.url)
    with pytest.raises(NotSent):
        await get(pool)
    assert pool.in_use == 0


async def test_cancelled_request_closes_the_socket_at_once(make_pool):
    got, gone = asyncio.Event(), asyncio.Event()

    async def script(exchange):
        await exchange.request()
        got.set()
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        task = asyncio.create_task(get(pool))
        await got.wait()
        task.cancel()
        await gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.in_use == pool.idle == 0


async def test_release_of_an_unread_answer_closes_the_socket(make_pool):
    gone = asyncio.Event()

    async def script(exchange):
        await exchange.request()
        await exchange.send(OK + b"content-length: 1000000\r\n\r\nx")
        await exchange.closed()
        gone.set()

    async with FakeOddUpstream(script) as upstream:
        pool = make_pool(upstream.url)
        answer = await get(pool)
        answer.release()
        answer.release()
        await gone.wait()
        assert pool.in_use == 0
        with pytest.raises(CutBody):
            await answer.read(10)


@pytest.mark.parametrize(
    "bad", [{"target": "/a b"}, {"target": "/\r\nX: y"}, {"method": "G T"}, {"name": b"host"}]
)
async def test_request_that_may_not_be_sent_opens_no_connection(make_pool, bad):
    async with FakeOddUpstream(always(plain(b""))) as upstream:
        with pytest.raises(BadRequest):
            await make_pool(upstream.url).request(
                bad.get("method", "GET"),
                bad.get("target", "/"),
                [(bad.get("name", b"x"), b"")],
                repeatable=True,
            )
        assert upstream.connections == 0


@pytest.mark.parametrize(
    "url",
    ["ftp://h", "http://", "http://h/path", "http://u:p@h", "http://h?q", "h:80", "http://h:99999"],
)
async def test_url_that_is_no_base_url_is_refused(make_pool, url):
    with pytest.raises(ValueError):  # noqa: PT011
        make_pool(url)


async def test_tls_with_a_private_authority_and_a_client_certificate(make_pool, certificates):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    server.load_cert_chain(certificates.cert, certificates.key)
    server.verify_mode = ssl.CERT_REQUIRED
    async with FakeOddUpstream(always(plain(b"x" * 300_000)), tls=server) as upstream:
        pool = make_pool(
            upstream.url,
            ca_file=certificates.authority,
            client_cert=certificates.cert,
            client_key=certificates.key,
        )
        for _ in range(2):
            assert len(await (await get(pool)).read(300_000)) == 300_000
        assert upstream.connections == 1


async def test_tls_server_of_an_unknown_authority_gets_nothing(make_pool, certificates):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates.cert, certificates.key)
    async with FakeOddUpstream(always(plain(b"")), tls=server) as upstream:
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await get(make_pool(upstream.url))
