"""Turns the bytes of one connection into answers, and knows where each one ends. No I/O.

httptools (llhttp) parses, in its strict mode; what it leaves open is settled here: HEAD has no
body whatever its headers say, interim 1xx answers are skipped, a coding other than plain
``chunked`` and a head without bound are refused, and bytes after the end are noticed.
Rules: RFC 9112, section 6.3 (length of a message).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.upstream.failures import Garbled

MAX_HEAD = 64 * 1024


class AnswerParser:
    """Parses the answers on one connection, one after the other.

    ``begin`` starts an answer, ``feed`` takes bytes. When ``head_done``: ``status``,
    ``reason``, ``headers`` and ``content_length`` hold. Decoded body bytes collect in
    ``chunks``, ``size`` bytes since the reader last took them. When ``done``: ``keep_alive``
    and ``extra`` say whether the connection may be used again.
    """

    __slots__ = (
        "_barren", "_fields", "_is_head", "_parser", "chunks", "content_length", "done", "extra",
        "head_done", "headers", "keep_alive", "reason", "size", "status", "until_close",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self.begin(is_head=False)

    def begin(self, *, is_head: bool) -> None:
        """Expect the answer to the next request."""
        self._is_head = is_head
        self._barren = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length: int | None = None
        self.chunks: list[bytes] = []
        self.size = 0
        self.head_done = self.done = self.extra = False
        self.keep_alive = self.until_close = False

    @property
    def began(self) -> bool:
        """Whether any byte of the answer has come."""
        return self._barren > 0 or self.head_done

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Garbled unless they continue one clear answer."""
        if self.done or self._parser is None:
            self.extra = True
            return
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self.done:
                self.extra = True
                return
            cause = error.__context__
            if isinstance(cause, Garbled):
                raise cause from None
            raise Garbled(f"not a valid HTTP answer: {error}") from error
        if self._barren > MAX_HEAD and not self.done:
            raise Garbled(f"more than {MAX_HEAD} bytes without any content")

    def eof(self) -> bool:
        """The peer has closed. True when that ends the answer as it should."""
        if self.head_done and self.until_close:
            self.done = True
        return self.done

    def release(self) -> None:
        """Let go of the C parser, which refers back to this object."""
        self._parser = None

    # Called by httptools:

    def on_message_begin(self) -> None:
        if self.done:
            self.extra = True

    def on_status(self, reason: bytes) -> None:
        # httptools hands over a reason that was split between two reads in pieces.
        if not self.done:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 14 and name.lower() == b"content-length":
            if not self.head_done:
                self.content_length = int(value)
        elif len(name) == 17 and name.lower() == b"transfer-encoding" and not self.head_done:
            if value.strip().lower() != b"chunked":
                raise Garbled("a transfer coding other than chunked")
            if self.until_close:
                raise Garbled("two Transfer-Encoding headers")
            # Until the head is complete this means: chunked has been seen.
            self.until_close = True
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.done:
            return
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        version = parser.get_http_version()
        chunked, self.until_close = self.until_close, False
        if version not in ("1.1", "1.0") or (chunked and version == "1.0"):
            raise Garbled(f"an HTTP/{version} answer framed as that version cannot be")
        if self._barren > MAX_HEAD and _size(self._fields) > MAX_HEAD:
            raise Garbled(f"a head of more than {MAX_HEAD} bytes")
        if status < 200:
            self._skip_interim(status, framed=chunked or self.content_length is not None)
            return
        self.status = status
        self.headers = self._fields
        # Trailers, and the head of a smuggled next answer, go where nobody reads.
        self._fields = []
        self.head_done = True
        self._barren = 0
        self.keep_alive = parser.should_keep_alive()
        if self._is_head or status in (204, 304):
            if self._is_head:
                # llhttp waits for a body that does not come; the next answer needs a new one.
                self._parser = HttpResponseParser(self)
            self.done = True
        elif not chunked and self.content_length is None:
            self.until_close = True

    def on_body(self, data: bytes) -> None:
        if self.done:
            self.extra = True
            return
        self._barren = 0
        self.size += len(data)
        self.chunks.append(data)

    def on_message_complete(self) -> None:
        if self.head_done:
            self.done = True

    def _skip_interim(self, status: int, *, framed: bool) -> None:
        if status == 101 or status < 100:
            raise Garbled(f"an answer with status {status} that nobody asked for")
        if framed:
            raise Garbled("an interim answer that claims a body")
        self._fields = []
        self.reason = b""


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
