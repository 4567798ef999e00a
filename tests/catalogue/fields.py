"""Every field that a request of a row can carry, and which of them look like identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.routes.route import Creates, Deletes, Renames, Route
from gateway.routes.schema import schema

_WORDS = frozenset(
    word
    for line in (
        "id ids uuid uuids name names key keys alias aliases version versions",
        "uri uris url urls link links source sources path paths location locations root prefix",
        "bucket file files filename dir directory workspace workspaces resource parent",
        "experiment experiments run runs model models trace traces dataset datasets prompt prompts",
        "scorer scorers schema schemas queue queues item items job jobs webhook webhooks",
        "endpoint endpoints route routes secret secrets owner user users creator by",
        "overrides filter string tags records json serialized",
    )
    for word in line.split(" ")
)
"""A field whose name has one of these words could name a resource, a place or a person."""


def fields_of(route: Route) -> dict[str, str]:
    """Every leaf field of the request -> its type; nested ones as ``metrics.model_id``."""
    if route.message is not None:
        top = dict(schema().messages[route.message])
    else:
        top = dict(route.fields or {})
    top.update({name: "string" for name in route.query if name not in top})
    return dict(_walk(top, "", ()))


def _walk(fields: dict[str, str], at: str, inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, kind in fields.items():
        here = f"{at}.{name}" if at else name
        element = kind.removesuffix("[]")
        if not element.startswith("@"):
            yield here, kind
        elif element not in inside:
            nested = dict(schema().messages[element[1:]])
            yield from _walk(nested, here, (*inside, element))


def looks_like_identifier(field: str, kind: str) -> bool:
    """Whether a field could name something: by its last word, or because it is a map."""
    if kind in ("bool", "double", "float", "timestamp", "duration", "fieldmask"):
        return False
    if kind.startswith(("int", "uint", "enum:")):
        return False
    last = field.rpartition(".")[2]
    return kind.startswith("map:") or not _WORDS.isdisjoint(re.split(r"[_\d]+", last))


def accounted(route: Route) -> frozenset[str]:
    """The fields that the row says something about, without their ``[]``."""
    said: set[str] = set()
    for ref in route.refs:
        said.update(ref.where.names)
    for answer in route.answers:
        if isinstance(answer, Creates) and answer.body_field:
            said.add(answer.body_field)
        elif isinstance(answer, Deletes):
            said.add(answer.body_field)
        elif isinstance(answer, Renames):
            said.update((answer.old_field, answer.new_field))
    said.update(route.tag_keys, route.admin_fields, route.file_names, route.inner_paths)
    said.update(route.plain, placeholders(route.path))
    return frozenset(name.replace("[]", "") for name in said)


def placeholders(path: str) -> list[str]:
    """The names of the placeholders of a path template."""
    return re.findall(r"\{(\w+)(?::path)?\}", path)
