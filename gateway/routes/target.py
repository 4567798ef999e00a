"""The one reading of a request target: decoded once into canonical form, or refused.

MLflow's servers disagree about odd targets (a leading ``//``, ``%2f``, repeated decoding of
artifact paths; see docs/threat-model.md), so whatever is not canonical after one decoding
never leaves the gateway. What leaves is written again from the decoded parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote_to_bytes

from gateway.errors import BadRequest

_PRINTABLE = re.compile(r"[!-~]*", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SIMPLE_QUERY = re.compile(r"[A-Za-z0-9._~=&:,@/-]*", re.ASCII)
_ONE_FIELD = r"[A-Za-z0-9._~:,@/-]+=[A-Za-z0-9._~:,@/-]*"
_PLAIN_QUERY = re.compile(rf"{_ONE_FIELD}(?:&{_ONE_FIELD})*", re.ASCII)
_ARTIFACT_SEGMENT_REFUSES = re.compile(r"[%\\?#;]|^\s|\s$")


def split_target(target: str) -> tuple[str, str]:
    """Split an origin-form target (RFC 9112 §3.2.1) into raw path and raw query.

    Raises BadRequest for absolute-form and authority-form targets, fragments, a leading ``//``,
    backslashes and characters outside printable ASCII.
    """
    path, _, query = target.partition("?")
    if not path.startswith("/") or path.startswith("//"):
        raise BadRequest("The request target must start with exactly one '/'.")
    if "#" in target or "\\" in target or _PRINTABLE.fullmatch(target) is None:
        raise BadRequest(
            "The request target contains '#', a backslash or a character that is not printable "
            "ASCII; percent-encode it."
        )
    return path, query


def segments_of(path: str) -> tuple[str, ...]:
    """Decode a raw path once into its segments (without the leading empty one).

    Raises BadRequest for an invalid escape, bytes that are not UTF-8, an encoded slash or
    backslash, a control character, and empty, ``.`` or ``..`` segments. One empty last segment
    (a trailing slash) is kept: the catalogue decides whether an endpoint has it.
    """
    raw = path[1:].split("/")
    last = len(raw) - 1
    return tuple(_segment(text, i == last) for i, text in enumerate(raw))


def _segment(text: str, is_last: bool) -> str:
    if text == "" and is_last:
        return ""
    decoded = decode_once(text) if "%" in text else text
    if decoded in ("", ".", ".."):
        raise BadRequest("The path has an empty, '.' or '..' segment; send the plain path.")
    if "/" in decoded or "\\" in decoded or _CONTROL.search(decoded):
        raise BadRequest("The path has an encoded slash, backslash or control character.")
    return decoded


def is_plain_query(raw: str) -> bool:
    """Whether a query means the same however often it is decoded, with one ``=`` in each field."""
    return _PLAIN_QUERY.fullmatch(raw) is not None


def decode_once(text: str) -> str:
    """Percent-decode once, strictly (RFC 3986 §2.1); raises BadRequest."""
    if _BAD_ESCAPE.search(text):
        raise BadRequest("The request target has a '%' that starts no valid escape.")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("The request target does not decode to UTF-8.") from error


def encode_path(segments: Sequence[str]) -> str:
    """Write segments as a canonical path: everything but unreserved characters is escaped."""
    return "/" + "/".join(quote(s, safe="-._~") for s in segments)


def check_artifact_segments(segments: Sequence[str], name: str = "An artifact path") -> None:
    """Refuse what MLflow's artifact handlers would read as another path; ``name`` is how an error
    calls the whole.

    ``validate_path_is_safe`` (mlflow/utils/uri.py) decodes up to ten times and goes through
    urlparse, so ``%``, ``?``, ``#``, ``;`` and blanks at the ends change what is opened.
    """
    for segment in segments:
        if segment in ("", ".", "..") or _ARTIFACT_SEGMENT_REFUSES.search(segment):
            raise BadRequest(
                f"{name} must not contain empty, '.' or '..' parts, '%', '?', '#', ';', "
                "a backslash, or blanks at either end of a part; use another name."
            )
        if "/" in segment or _CONTROL.search(segment):
            raise BadRequest(f"{name} must not contain control characters.")


def parse_query(raw: str) -> dict[str, list[str]]:
    """Decode a raw query once: field -> its values in order.

    Raises BadRequest for an invalid escape, bytes that are not UTF-8, or a control character.
    """
    fields: dict[str, list[str]] = {}
    if not raw:
        return fields
    simple = _SIMPLE_QUERY.fullmatch(raw) is not None
    for pair in raw.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if not simple:
            name, value = _decode_field(name), _decode_field(value)
        fields.setdefault(name, []).append(value)
    return fields


def _decode_field(text: str) -> str:
    decoded = decode_once(text.replace("+", " "))
    if "\x00" in decoded:
        raise BadRequest("A query field contains a NUL character.")
    return decoded


def encode_query(fields: Mapping[str, str | list[str]]) -> str:
    """Write query fields canonically, in their order; a list repeats its field."""
    pairs = []
    for name, value in fields.items():
        for one in (value,) if isinstance(value, str) else value:
            pairs.append(f"{quote_plus(name)}={quote_plus(one)}")
    return "&".join(pairs)
