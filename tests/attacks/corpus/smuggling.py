"""HTTP itself: two servers that frame one stream of bytes differently, or read its head so."""

from __future__ import annotations

from tests.attacks.attempt import (
    BAD,
    DENIED,
    NOBODY,
    NOTHING,
    UNPARSED,
    Attempt,
    Expect,
    Request,
)

_FIRST_BAD = Expect(400, "INVALID_PARAMETER_VALUE", which=0)
_FIRST_DENIED = Expect(403, "PERMISSION_DENIED", which=0)
_RUN_ID = 32 - len("@R@")
_ME = "Authorization: Bearer @TOKEN_CAROL@"
_HOST = "Host: @HOST@"
_GET_E = "GET /api/2.0/mlflow/experiments/get?experiment_id=@E@ HTTP/1.1"
_GET_OWN = "GET /api/2.0/mlflow/experiments/get?experiment_id=@EC@ HTTP/1.1"
_PUT = "PUT /api/2.0/mlflow-artifacts/artifacts/@E@/@R@/artifacts/smuggled.txt HTTP/1.1"
_TAG = '{"run_id":"@R@","key":"smuggled","value":"yes"}'
_INNER = (
    "POST /api/2.0/mlflow/runs/set-tag HTTP/1.1\r\nHost: localhost\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(_TAG) + _RUN_ID}\r\n\r\n{_TAG}"
)


def _raw(*lines: str, body: str = "") -> Request:
    head = "\r\n".join(lines) + "\r\n\r\n"
    return Request(raw=(head + body).encode("latin-1"))


def _row(name: str, why: str, request: Request, expect: Expect = UNPARSED) -> Attempt:
    return Attempt(f"smuggle-{name}", why, request, expect)


def _framed(name: str, why: str, *framing: str, expect: Expect = UNPARSED) -> Attempt:
    """A write whose body hides a second request, framed in a doubtful way."""
    body = "0\r\n\r\n" + _INNER
    return _row(name, why, _raw(_PUT, _HOST, _ME, *framing, body=body), expect)


FRAMING = (
    _framed("cl-te", "both lengths", "Content-Length: 5", "Transfer-Encoding: chunked"),
    _framed("te-cl", "the other order", "Transfer-Encoding: chunked", "Content-Length: 5"),
    _framed("two-lengths", "one server takes the first", "Content-Length: 5", "Content-Length: 9"),
    _framed(
        "equal-lengths", "twice the same is doubtful too", "Content-Length: 5", "Content-Length: 5"
    ),
    _framed("length-list", "a list of lengths", "Content-Length: 5, 9"),
    _framed("length-plus", "a sign", "Content-Length: +5"),
    _framed("length-negative", "a negative length", "Content-Length: -5"),
    _framed("length-hex", "hexadecimal", "Content-Length: 0x5"),
    _framed("length-blank-before-colon", "a blank before the colon", "Content-Length : 5"),
    _framed(
        "length-underscore",
        "an underscore",
        "Content_Length: 500",
        "Content-Length: 5",
        expect=_FIRST_BAD,
    ),
    _framed(
        "te-underscore",
        "an underscore",
        "Transfer_Encoding: chunked",
        "Content-Length: 5",
        expect=_FIRST_BAD,
    ),
    _framed("te-unknown", "a coding that one server ignores", "Transfer-Encoding: xchunked"),
    _framed(
        "te-identity-last", "chunked is not the last coding", "Transfer-Encoding: chunked, identity"
    ),
    _framed(
        "te-gzip",
        "another coding before chunked",
        "Transfer-Encoding: gzip, chunked",
        expect=_FIRST_BAD,
    ),
    _framed("te-twice", "given twice", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    _framed(
        "te-twice-identity",
        "given twice, differing",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ),
    _framed("te-tab", "a tab for a blank", "Transfer-Encoding:\tchunked", "Content-Length: 5"),
    _framed(
        "te-vertical-tab", "a control character in the value", "Transfer-Encoding: \x0bchunked"
    ),
    _framed("te-blank-before-colon", "a blank before the colon", "Transfer-Encoding : chunked"),
    _framed("te-folded", "a folded line", "Transfer-Encoding:", " chunked", "Content-Length: 5"),
    _framed("te-quoted", "a quoted coding", 'Transfer-Encoding: "chunked"'),
    _framed(
        "te-http-1.0",
        "HTTP/1.0 knows no chunks",
        "Content-Length: 5",
        "X-Nothing: 1\r\nTransfer-Encoding: chunked",
    ),
)


def _chunked(name: str, why: str, body: str) -> Attempt:
    request = _raw(
        _PUT.replace("@E@/@R@", "@EC@/@RC@"), _HOST, _ME, "Transfer-Encoding: chunked", body=body
    )
    return Attempt(f"smuggle-chunk-{name}", why, request, UNPARSED, own=True)


CHUNKS = (
    _chunked("size-0x", "a prefix that one parser takes", "0x5\r\nhello\r\n0\r\n\r\n"),
    _chunked("size-sign", "a sign that one parser takes", "+5\r\nhello\r\n0\r\n\r\n"),
    _chunked("size-underscore", "int() takes underscores", "0_5\r\nhello\r\n0\r\n\r\n"),
    _chunked("size-too-large", "a size beyond 64 bits", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    _chunked("size-negative", "a negative size", "-1\r\nhello\r\n0\r\n\r\n"),
    _chunked("bare-lf", "lines that end in LF alone", "5\nhello\n0\n\n" + _INNER),
    _chunked(
        "extension-lf", "a line feed in an extension", "5;x\nx\r\nhello\r\n0\r\n\r\n" + _INNER
    ),
    _chunked(
        "no-crlf-after-data", "no end of line behind the data", "5\r\nhello0\r\n\r\n" + _INNER
    ),
)

HEADS = (
    _row(
        "folded-header",
        "a folded line joins the header before it",
        _raw(_GET_E, _HOST, _ME, "X-A: 1", " X-B: 2", "Connection: close"),
    ),
    _row(
        "bare-lf-head",
        "lines that end in LF alone",
        Request(raw=f"{_GET_E}\nHost: @HOST@\n{_ME}\nConnection: close\n\n".encode()),
    ),
    _row("bare-cr", "a carriage return in a value", _raw(_GET_E, _HOST, "X-A: 1\rX-B: 2", _ME)),
    _row("nul-in-header", "a NUL in a value", _raw(_GET_E, _HOST, "X-A: 1\x002", _ME)),
    _row(
        "blank-before-colon",
        "a blank behind a name",
        _raw(_GET_E, _HOST, "X-Forwarded-User : alice", _ME),
    ),
    _row("blank-in-name", "a blank in a name", _raw(_GET_E, _HOST, "X Forwarded User: alice", _ME)),
    _row("blank-first", "the first header begins with a blank", _raw(_GET_E, " " + _HOST, _ME)),
    _row("no-colon", "a line without a colon", _raw(_GET_E, _HOST, "nonsense", _ME)),
    _row("empty-name", "a header without a name", _raw(_GET_E, _HOST, ": x", _ME)),
    _row(
        "version-0.9",
        "HTTP/0.9 has no head",
        Request(raw=b"GET /api/2.0/mlflow/experiments/get?experiment_id=@E@\r\n\r\n"),
    ),
    _row(
        "version-2-preface",
        "the preface of HTTP/2",
        Request(raw=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ),
    _row("version-odd", "a version that is none", _raw(_GET_E.replace("1.1", "1.1x"), _HOST, _ME)),
    _row(
        "two-blanks",
        "two blanks in the request line",
        _raw(_GET_E.replace(" HTTP", "  HTTP"), _HOST, _ME, "Connection: close"),
        DENIED,
    ),
    _row("no-host", "no Host", _raw(_GET_E, _ME, "Connection: close")),
    _row("two-hosts", "two Hosts", _raw(_GET_E, _HOST, "Host: @MLFLOW@", _ME, "Connection: close")),
    _row(
        "host-of-mlflow",
        "the Host of the server behind",
        _raw(_GET_E, "Host: @MLFLOW@", _ME, "Connection: close"),
        DENIED,
    ),
    _row(
        "host-with-path",
        "a Host that is more than one",
        _raw(_GET_E, "Host: @HOST@/health", "Connection: close"),
        NOBODY,
    ),
    _row(
        "expectation",
        "an expectation that nobody meets",
        _raw(_GET_E, _HOST, _ME, "Expect: 200-maybe", "Connection: close"),
        BAD,
    ),
    _row(
        "connection-names-authorization",
        "hop-by-hop: the credential is stripped after the check",
        _raw(_GET_E, _HOST, _ME, "Connection: close, Authorization"),
        DENIED,
    ),
    _row(
        "upgrade-h2c",
        "a tunnel to the server behind",
        _raw(
            _GET_E,
            _HOST,
            _ME,
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        DENIED,
    ),
    _row(
        "upgrade-websocket",
        "after an upgrade nobody looks",
        _raw(
            _GET_E,
            _HOST,
            _ME,
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            body=_INNER,
        ),
        _FIRST_DENIED,
    ),
    _row(
        "trailer-credential",
        "a credential in a trailer",
        _raw(
            "POST /api/2.0/mlflow/runs/set-tag HTTP/1.1",
            _HOST,
            "Content-Type: application/json",
            "Transfer-Encoding: chunked",
            "Trailer: Authorization",
            "Connection: close",
            body=f"{len(_TAG) + _RUN_ID:x}\r\n" + _TAG + "\r\n0\r\n" + _ME + "\r\n\r\n",
        ),
        NOBODY,
    ),
    _row(
        "large-head",
        "a head that is cut differently",
        _raw(_GET_E, _HOST, _ME, "X-Large: " + "a" * 70000),
    ),
)

PIPELINED = (
    _row(
        "pipeline-no-credential",
        "the credential of the first request sticks to the connection",
        _raw(_GET_OWN, _HOST, _ME, body="\r\n".join((_GET_E, _HOST, "Connection: close", "", ""))),
        NOBODY,
    ),
    _row(
        "pipeline-own-then-foreign",
        "the decision on the first request is taken for the second",
        _raw(
            _GET_OWN,
            _HOST,
            _ME,
            body="\r\n".join((_GET_E, _HOST, _ME, "Connection: close", "", "")),
        ),
        DENIED,
    ),
    _row(
        "pipeline-public-then-foreign",
        "the first request needs no credential",
        _raw(
            "GET /health HTTP/1.1",
            _HOST,
            body="\r\n".join((_GET_E, _HOST, "Connection: close", "", "")),
        ),
        NOBODY,
    ),
    _row(
        "pipeline-after-unread-body",
        "the refused request's body is read as the next request",
        _raw(_PUT, _HOST, "Content-Length: 300", body=_INNER + " " * (300 - len(_INNER) - _RUN_ID)),
        NOBODY,
    ),
    _row(
        "get-with-request-as-body",
        "the body of a GET is left on the connection to MLflow",
        _raw(
            _GET_OWN,
            _HOST,
            _ME,
            f"Content-Length: {len(_INNER) + _RUN_ID}",
            "Connection: close",
            body=_INNER,
        ),
        NOTHING,
    ),
    _row(
        "head-with-request-as-body",
        "the same with HEAD, which has no answer body",
        _raw(
            _GET_OWN.replace("GET", "HEAD", 1),
            _HOST,
            _ME,
            f"Content-Length: {len(_INNER) + _RUN_ID}",
            "Connection: close",
            body=_INNER,
        ),
        Expect(404),
    ),
)

ROWS = (*FRAMING, *CHUNKS, *HEADS, *PIPELINED)
