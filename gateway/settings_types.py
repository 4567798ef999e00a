"""How one value of gateway.yaml is read: text in, a typed value or a noted problem out.

Each reader also describes itself for the JSON Schema, so that file, schema and loader cannot
disagree. Nothing here knows a setting by name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from gateway.settings import Secret
from gateway.yaml_doc import Fields, Items, Node, Problem, Scalar, parse_document

Json = dict[str, Any]


class Bad:
    """What a reader returns when it noted a problem instead of finding a value."""


BAD: Final = Bad()


@dataclass(slots=True)
class Notes:
    """The problems so far, the environment, and which keys came from it."""

    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    from_environ: dict[str, str] = field(default_factory=dict)
    """Dotted key -> variable name."""

    def note(self, line: int | None, key: str, message: str) -> Bad:
        """Add a problem; what the environment set is named by its variable."""
        variable = self.variable(key) or (self._variable_below(key) if line is None else None)
        if variable:
            self.problems.append(Problem(None, f"{key} ({variable})", message))
        else:
            self.problems.append(Problem(line, key, message))
        return BAD

    def variable(self, key: str) -> str | None:
        """The variable that set this key, or a part of the file around it."""
        while key:
            if key in self.from_environ:
                return self.from_environ[key]
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return None

    def _variable_below(self, key: str) -> str | None:
        """The variable that made ``key`` be there at all, by setting something inside it."""
        inside = (f"{key}.", f"{key}[")
        return next((v for k, v in self.from_environ.items() if k.startswith(inside)), None)


class Reader(Protocol):
    """Reads one value."""

    def read(self, node: Node, key: str, notes: Notes) -> object:
        """The value, or BAD after noting why not."""
        ...

    def schema(self) -> Json:
        """The JSON Schema of what ``read`` accepts."""
        ...


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``; did you mean x?`` or nothing."""
    close = get_close_matches(word, sorted(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _text(node: Node, key: str, notes: Notes) -> str | Bad:
    if not isinstance(node, Scalar):
        return notes.note(node.line, key, "must be a single value")
    if node.empty or node.text == "":
        return notes.note(node.line, key, "is empty; give a value or remove the key")
    return node.text


Check = Callable[[str], str | None]
"""Says what is wrong with a text, or None."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text, with an optional check."""

    check: Check | None = None

    def read(self, node: Node, key: str, notes: Notes) -> object:
        text = _text(node, key, notes)
        if isinstance(text, Bad):
            return BAD
        wrong = self.check(text) if self.check else None
        return notes.note(node.line, key, wrong) if wrong else text

    def schema(self) -> Json:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, key: str, notes: Notes) -> object:
        text = _text(node, key, notes)
        if isinstance(text, Bad) or text in self.words:
            return text
        hint = did_you_mean(text, self.words)
        return notes.note(node.line, key, f"must be one of {', '.join(self.words)}{hint}")

    def schema(self) -> Json:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, node: Node, key: str, notes: Notes) -> object:
        text = _text(node, key, notes)
        if isinstance(text, Bad):
            return BAD
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        return notes.note(node.line, key, "must be true or false")

    def schema(self) -> Json:
        return {"type": "boolean"}


_SIZE = re.compile(r"([0-9]+) ?(KiB|MiB|GiB)?")
_UNITS = {None: 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two bounds; with ``size`` also ``16 MiB``."""

    low: int
    high: int
    size: bool = False

    def read(self, node: Node, key: str, notes: Notes) -> object:
        text = _text(node, key, notes)
        if isinstance(text, Bad):
            return BAD
        match = _SIZE.fullmatch(text) if text.isascii() and len(text) < 20 else None
        if match is None or (match[2] and not self.size):
            units = " (KiB, MiB and GiB may follow)" if self.size else ""
            return notes.note(node.line, key, f"must be a whole number{units}")
        number = int(match[1]) * _UNITS[match[2]]
        if self.low <= number <= self.high:
            return number
        return notes.note(node.line, key, f"must be between {self.low} and {self.high}")

    def schema(self) -> Json:
        number = {"type": "integer", "minimum": self.low, "maximum": self.high}
        if not self.size:
            return number
        return {"anyOf": [number, {"type": "string", "pattern": f"^{_SIZE.pattern}$"}]}


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds, a fraction allowed."""

    low: float
    high: float

    def read(self, node: Node, key: str, notes: Notes) -> object:
        text = _text(node, key, notes)
        if isinstance(text, Bad):
            return BAD
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text, re.ASCII):
            return notes.note(node.line, key, "must be a number, such as 30 or 2.5")
        if self.low <= float(text) <= self.high:
            return float(text)
        return notes.note(node.line, key, f"must be between {self.low:g} and {self.high:g}")

    def schema(self) -> Json:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Many:
    """A list; a single value stands for a list of one; in the environment commas part values."""

    of: Reader
    make: Callable[[Iterable[Any]], object] = tuple
    at_least: int = 0

    def read(self, node: Node, key: str, notes: Notes) -> object:
        items = self._items(node, key, notes)
        if isinstance(items, Bad):
            return BAD
        if len(items) < self.at_least:
            return notes.note(node.line, key, "must have at least one value")
        values = [self.of.read(item, f"{key}[{i}]", notes) for i, item in enumerate(items)]
        return BAD if BAD in values else self.make(values)

    def _items(self, node: Node, key: str, notes: Notes) -> tuple[Node, ...] | Bad:
        if isinstance(node, Items):
            return node.items
        if isinstance(node, Fields):
            return notes.note(node.line, key, "must be a list")
        if notes.from_environ.get(key):
            if node.text.lstrip().startswith("["):
                return self._json(node, key, notes)
            parts = (part.strip() for part in node.text.split(","))
            return tuple(Scalar(None, part) for part in parts if part)
        return (node,)

    def _json(self, node: Scalar, key: str, notes: Notes) -> tuple[Node, ...] | Bad:
        parsed, _ = parse_document(node.text)
        if isinstance(parsed, Items):
            return parsed.items
        return notes.note(node.line, key, "begins with [ and is not a JSON list")

    def schema(self) -> Json:
        one = self.of.schema()
        many: Json = {"type": "array", "items": one}
        if self.at_least:
            many["minItems"] = self.at_least
        return {"anyOf": [one, many]}


@dataclass(frozen=True, slots=True)
class SecretFrom:
    """The name of an environment variable that holds the secret; the file never does."""

    def read(self, node: Node, key: str, notes: Notes) -> object:
        name = _text(node, key, notes)
        if isinstance(name, Bad):
            return BAD
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
            message = "must be the name of an environment variable, not the secret itself"
            return notes.note(node.line, key, message)
        secret = notes.environ.get(name, "")
        if not secret:
            return notes.note(node.line, key, f"the environment variable {name} is not set")
        return Secret(secret)

    def schema(self) -> Json:
        return {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}


# --- checks of texts ----------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether a host name can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(text: str, *, secure: bool, path: bool) -> str | None:
    """What is wrong with an http(s) URL. ``secure``: https unless the host is this machine."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return "is not a valid URL"
    if url.scheme not in ("http", "https") or not host or not text.isascii() or " " in text:
        return "must be a URL such as https://mlflow.example.com"
    if url.username is not None:
        return "must not hold a user name or password"
    if "?" in text or "#" in text:
        return "must not have a query or a fragment"
    if not path and url.path not in ("", "/"):
        return f"must end after the host and port, without {url.path}"
    if secure and url.scheme == "http" and not is_loopback(host):
        return "must be https (http is for this machine only)"
    return None


def secure_url(text: str) -> str | None:
    """What is wrong with a URL that people or tokens trust."""
    return check_url(text, secure=True, path=True)


def server_url(text: str) -> str | None:
    """What is wrong with the URL of a server of ours: any network, no path."""
    return check_url(text, secure=False, path=False)


def network(text: str) -> str | None:
    """What is wrong with a network in CIDR notation."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return f"must be an address or a network such as 10.0.0.0/8: {error}"
    return None


def split_listen(text: str) -> tuple[str, int] | None:
    """Host and port of ``host:port`` or ``[ipv6]:port``, or None."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not colon or not bare or (":" in bare) != bracketed:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:
        return None
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", bare, re.ASCII):
        return None
    return bare, int(port)


def listen(text: str) -> str | None:
    """What is wrong with an address to listen on."""
    if split_listen(text) is None:
        return "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"
    return None


_DYNAMODB = re.compile(
    r"dynamodb://([a-z]{2}(-[a-z]+)+-[0-9]|https?://[^/\s?#@]+)/[A-Za-z0-9_.-]{3,255}"
)


def store_url(text: str) -> str | None:
    """What is wrong with the URL of the gateway's own store."""
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return None
    if _DYNAMODB.fullmatch(text):
        return None
    return "must be sqlite:///FILE, dynamodb://REGION/TABLE or dynamodb://http://HOST:PORT/TABLE"
