"""The parser alone, without sockets: every way an answer can end, at every segmentation."""

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstream.failures import Garbled
from gateway.upstream.framing import MAX_HEAD, AnswerParser

OK = b"HTTP/1.1 200 OK\r\n"


def parse(*pieces: bytes, is_head: bool = False) -> AnswerParser:
    parser = AnswerParser()
    parser.begin(is_head=is_head)
    for piece in pieces:
        parser.feed(piece)
    return parser


def body(parser: AnswerParser) -> bytes:
    return b"".join(parser.chunks)


def test_answer_of_known_length():
    parser = parse(b"HTTP/1.1 404 Not Here\r\nA: 1\r\nb:2\r\nContent-Length: 2\r\n\r\nhi")
    assert (parser.status, parser.reason, parser.content_length) == (404, b"Not Here", 2)
    assert parser.headers == [(b"A", b"1"), (b"b", b"2"), (b"Content-Length", b"2")]
    assert body(parser) == b"hi"
    assert parser.done
    assert parser.keep_alive
    assert not parser.extra


def test_chunked_answer_is_decoded_and_trailers_and_extensions_dropped():
    parser = parse(OK + b"Transfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n")
    assert (body(parser), parser.done, parser.keep_alive) == (b"abc", True, True)
    assert parser.headers == [(b"Transfer-Encoding", b"Chunked")]
    assert parser.content_length is None


def test_answer_without_length_ends_with_the_connection():
    parser = parse(OK + b"\r\nabc")
    assert not parser.done
    assert parser.eof()
    assert not parser.keep_alive


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize(
    "framing", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_204_and_304_have_no_body(status, framing):
    parser = parse(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n")
    assert (parser.done, parser.extra, body(parser)) == (True, False, b"")


@pytest.mark.parametrize(
    "framing", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_answer_to_head_has_no_body_and_the_next_answer_parses(framing):
    parser = parse(OK + framing + b"\r\n", is_head=True)
    assert (parser.done, parser.extra, body(parser)) == (True, False, b"")
    parser.begin(is_head=False)
    parser.feed(OK + b"Content-Length: 2\r\n\r\nhi")
    assert (parser.done, body(parser)) == (True, b"hi")


def test_interim_answers_are_skipped():
    parser = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\n")
    assert not parser.head_done
    parser.feed(OK + b"Content-Length: 0\r\n\r\n")
    assert (parser.status, parser.reason, parser.done) == (200, b"OK", True)
    assert parser.headers == [(b"Content-Length", b"0")]


@pytest.mark.parametrize(
    "answer, keep",
    [
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_who_asks_to_close_is_heard(answer, keep):
    parser = parse(answer)
    assert parser.done
    assert parser.keep_alive is keep


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        OK + b"Content-Length: 2, 2\r\n\r\n",
        OK + b"Content-Length: +2\r\n\r\n",
        OK + b"Content-Length: -2\r\n\r\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b"A: b\r\n c\r\n\r\n",
        OK + b"A: b\nC: d\r\n\r\n",
        OK + b"A: b\rC: d\r\n\r\n",
        OK + b"A: \0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 1000 No\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ],
)
def test_answer_with_two_meanings_is_refused(answer):
    with pytest.raises(Garbled):
        parse(answer)


@pytest.mark.parametrize("step", [1000, MAX_HEAD, 1 << 20])
def test_head_over_64_kib_is_refused_however_it_comes(step):
    answer = OK + b"".join(b"a%d: %b\r\n" % (n, b"x" * 90) for n in range(700))
    answer += b"Content-Length: 0\r\n\r\n"
    with pytest.raises(Garbled, match="65536"):
        parse(*(answer[at : at + step] for at in range(0, len(answer), step)))


def test_head_under_64_kib_with_a_long_body_in_one_read_is_fine():
    parser = parse(OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000)
    assert parser.done


@pytest.mark.parametrize("flood", [b"a: b\r\n", b"HTTP/1.1 100 C\r\n\r\n"])
def test_endless_trailers_and_interim_answers_are_refused(flood):
    parser = AnswerParser()
    if flood.startswith(b"a"):
        parser.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
    feed_endlessly = iter(lambda: parser.feed(flood), "never")
    with pytest.raises(Garbled):
        list(itertools.islice(feed_endlessly, MAX_HEAD))


@pytest.mark.parametrize("garbage", [b"H", b"X", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    "answer, is_head",
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", False),
        (OK + b"Content-Length: 2\r\n\r\n", True),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi", False),
        (b"HTTP/1.1 204 N\r\n\r\n", False),
        (b"HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n", False),
    ],
)
def test_bytes_after_the_end_are_noticed_and_change_nothing(answer, is_head, garbage, apart):
    clean = parse(answer, is_head=is_head)
    odd = parse(*([answer, garbage] if apart else [answer + garbage]), is_head=is_head)
    assert odd.done
    assert odd.extra or not odd.keep_alive
    assert (odd.status, odd.reason, odd.headers, body(odd)) == (
        clean.status,
        clean.reason,
        clean.headers,
        body(clean),
    )


@st.composite
def answers(draw):
    """(bytes, status, headers, body, ends with the connection)."""
    whole = draw(st.binary(max_size=300))
    status = draw(st.sampled_from([200, 201, 400, 404, 500, 503, 302]))
    names = st.text("abcXYZ-", min_size=1, max_size=8).map(lambda name: "x-" + name)
    values = st.text("abc 1;=,\"'\t", max_size=12).map(str.strip)
    headers = [
        (n.encode(), v.encode()) for n, v in draw(st.lists(st.tuples(names, values), max_size=5))
    ]
    kind = draw(st.sampled_from(["length", "chunked", "close"]))
    interim = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nl: x\r\n\r\n"])
    )
    framed = whole
    if kind == "length":
        headers.append((b"Content-Length", b"%d" % len(whole)))
    elif kind == "chunked":
        headers.append((b"transfer-encoding", b"chunked"))
        cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=4)) | {0, len(whole)})
        ext = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b"']))
        framed = b"".join(
            b"%x%b\r\n%b\r\n" % (j - i, ext, whole[i:j]) for i, j in itertools.pairwise(cuts)
        ) + draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nT: v\r\n\r\n", b"000\r\n\r\n"]))
    head = b"HTTP/1.1 %d Why\r\n" % status
    head += b"".join(n + b": " + v + b"\r\n" for n, v in headers) + b"\r\n"
    return interim + head + framed, status, headers, whole, kind == "close"


def split(data, at):
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[i:j] for i, j in itertools.pairwise(edges) if i < j]


@settings(max_examples=150, deadline=None)
@given(answers(), st.lists(st.integers(0, 600), max_size=12))
def test_segmentation_does_not_matter(answer, cuts):
    data, status, headers, whole, until_close = answer
    parser = parse(*split(data, cuts))
    assert (parser.status, parser.reason, parser.headers) == (status, b"Why", headers)
    assert body(parser) == whole
    assert parser.done is not until_close
    assert parser.eof()
    assert not parser.extra


@settings(max_examples=150, deadline=None)
@given(answers(), st.data())
def test_answer_cut_at_any_byte_never_looks_whole(answer, data):
    raw, *_, whole, until_close = answer
    cut = data.draw(st.integers(0, len(raw) - 1))
    parser = parse(*split(raw[:cut], data.draw(st.lists(st.integers(0, 600), max_size=5))))
    assert whole.startswith(body(parser))
    if until_close and parser.head_done:
        return  # Nothing tells this cut from the end: HTTP/1.0's weakness, not ours.
    assert not parser.done
    assert not parser.eof()


@settings(max_examples=100, deadline=None)
@given(st.lists(answers(), min_size=2, max_size=4))
def test_answers_one_after_the_other_on_one_connection(sequence):
    parser = AnswerParser()
    for raw, status, _, whole, until_close in sequence:
        parser.begin(is_head=False)
        parser.feed(raw)
        assert (parser.status, body(parser)) == (status, whole)
        if until_close:
            break


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
def test_random_bytes_raise_nothing_but_garbled(head, tail, is_head):
    for data in (head, OK + head, OK + b"Transfer-Encoding: chunked\r\n\r\n" + head):
        with contextlib.suppress(Garbled):
            parse(data, tail, is_head=is_head)
