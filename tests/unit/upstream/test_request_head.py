import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.upstream.head import HeadWriter, written_by_pool

WRITER = HeadWriter("mlflow:5000", (b"X-Mlgate-Upstream-Secret", b"s3cret"))
BARE = HeadWriter("mlflow:5000")


def test_head_is_request_line_host_secret_headers_length():
    head = WRITER.build("POST", "/api/x?a=b", [(b"Accept", b"*/*")], 3)
    assert head == (
        b"POST /api/x?a=b HTTP/1.1\r\nhost: mlflow:5000\r\nX-Mlgate-Upstream-Secret: s3cret\r\n"
        b"Accept: */*\r\ncontent-length: 3\r\n\r\n"
    )


@pytest.mark.parametrize(
    "method, length, chunked, end",
    [
        ("GET", None, False, b"a: b\r\n\r\n"),
        ("POST", None, False, b"content-length: 0\r\n\r\n"),
        ("PUT", 0, False, b"content-length: 0\r\n\r\n"),
        ("PUT", None, True, b"transfer-encoding: chunked\r\n\r\n"),
    ],
)
def test_body_framing_is_written_by_us(method, length, chunked, end):
    assert BARE.build(method, "/", [(b"a", b"b")], length, chunked=chunked).endswith(end)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "x",
        "*",
        "http://h/",
        "/a b",
        "/a\r\nX: y",
        "/a\n",
        "/a\0",
        "/a\t",
        "/é",
        "/a#b",
        "/\x7f",
    ],
)
def test_target_that_is_not_origin_form_is_refused(target):
    with pytest.raises(BadRequest):
        BARE.build("GET", target, [], None)


@pytest.mark.parametrize("method", ["", "get", "GET ", "G T", "GET\r\n", "GET\n", "É", "A" * 21])
def test_odd_method_is_refused(method):
    with pytest.raises(BadRequest):
        BARE.build(method, "/", [], None)


@pytest.mark.parametrize(
    "name", [b"", b"a b", b"a:", b"a\r", b"\n", b"a\0", b"\xe9", b" a", b"a\n"]
)
def test_name_that_is_no_token_is_refused(name):
    with pytest.raises(BadRequest):
        BARE.build("GET", "/", [(name, b"v")], None)


@pytest.mark.parametrize(
    "name",
    b"Host Content-Length content_length Transfer-Encoding TRANSFER_ENCODING Connection Upgrade "
    b"Expect TE Trailer Keep-Alive".split(),
)
def test_framing_and_hop_headers_are_refused(name):
    assert written_by_pool(name)
    with pytest.raises(BadRequest):
        BARE.build("GET", "/", [(name, b"1")], None)


@pytest.mark.parametrize("name", [b"x-mlgate-upstream-secret", b"X_Mlgate_Upstream-Secret"])
def test_nobody_but_us_sends_the_secret_header(name):
    with pytest.raises(BadRequest):
        WRITER.build("GET", "/", [(name, b"guess")], None)


@pytest.mark.parametrize("value", [b"a\rb", b"a\nb", b"a\r\nX: y", b"\0", b"\x01", b"\x7f"])
def test_control_character_in_a_value_is_refused(value):
    with pytest.raises(BadRequest):
        BARE.build("GET", "/", [(b"fine", b"fine"), (b"a", value)], None)


@pytest.mark.parametrize("secret", [(b"a b", b"x"), (b"host", b"x"), (b"a", b"x\r\n")])
def test_secret_that_is_no_header_is_refused(secret):
    with pytest.raises(BadRequest):
        HeadWriter("h", secret)


def test_names_remembered_are_bounded():
    writer = HeadWriter("h")
    for number in range(5000):
        writer.build("GET", "/", [(b"x-%d" % number, b"")], None)
    assert len(writer._names) <= 1024


@given(
    method=st.text(max_size=6) | st.just("GET"),
    target=st.text(max_size=12).map(lambda text: "/" + text),
    headers=st.lists(st.tuples(st.binary(max_size=8) | st.just(b"a"), st.binary(max_size=8))),
)
def test_what_is_built_is_one_head_with_exactly_the_given_lines(method, target, headers):
    try:
        head = BARE.build(method, target, headers, 7)
    except BadRequest:
        return
    lines = head.split(b"\r\n")
    assert lines[0].split(b" ") == [method.encode(), target.encode(), b"HTTP/1.1"]
    assert lines[1] == b"host: mlflow:5000"
    assert lines[2:-3] == [name + b": " + value for name, value in headers]
    assert lines[-3:] == [b"content-length: 7", b"", b""]
    assert head.count(b"\n") == head.count(b"\r") == len(lines) - 1
