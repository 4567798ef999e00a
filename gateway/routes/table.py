"""A catalogue row as words, for ``mlgate routes`` and ``docs/routes.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.routes.route import Creates, Deletes, Learns, Named, Renames, Route, Trims


class Line(NamedTuple):
    """One row of the table."""

    method: str
    path: str
    call: str
    does: str
    decided_by: str
    remarks: str


HEADINGS = Line("Method", "Path", "Call", "Does", "Decided by", "Remarks")


def line(route: Route) -> Line:
    """The words of one row."""
    return Line(
        route.method,
        shown_path(route),
        route.call,
        route.does,
        _decided_by(route),
        "; ".join(_remarks(route)),
    )


def shown_path(route: Route) -> str:
    """The path with its prefixes: ``/{api,ajax-api}/2.0/mlflow/runs/get``."""
    names = [prefix.strip("/") for prefix in route.prefixes]
    if len(names) > 1:
        return "/{" + ",".join(names) + "}" + route.path
    return route.prefixes[0] + route.path


def markdown(families: Mapping[str, Iterable[Route]]) -> str:
    """A table a family, with headings."""
    parts = []
    for name, routes in families.items():
        lines = [HEADINGS, Line(*("---",) * len(HEADINGS)), *map(line, routes)]
        rows = "\n".join("| " + " | ".join(map(_cell, row, _CODE)) + " |" for row in lines)
        parts.append(f"## {name}\n\n{rows}\n")
    return "\n".join(parts)


_CODE = (False, True, True, False, False, False)


def _cell(text: str, code: bool) -> str:
    text = text.replace("|", "\\|")
    return f"`{text}`" if code and text not in (*HEADINGS, "---") else text


def _decided_by(route: Route) -> str:
    if route.scope == "refused":
        return "refused"
    if route.scope == "public":
        return "nobody: public"
    if route.scope == "server":
        return "server"
    return "; ".join(map(_ref, route.refs)) or "server"


def _ref(named: Named) -> str:
    name = named.where.names[0]
    text = f"{named.kind.value.replace('_', ' ')} in {named.where.part} `{name}`"
    also = [f"`{other}`" for other in named.where.names[1:]]
    if also:
        text += f" (or {', '.join(also)})"
    if named.narrow:
        text += ", narrowed"
    elif not named.required:
        text += ", if given"
    if named.needs is not None:
        text += f", needs `{named.needs}`"
    return text


def _remarks(route: Route) -> list[str]:
    said = [_answer(answer) for answer in route.answers if not isinstance(answer, Learns)]
    if route.requires_any:
        said.append("needs one of " + ", ".join(f"`{f}`" for f in route.requires_any))
    for name, values in (route.fixed or {}).items():
        said.append(f"`{name}` must be " + " or ".join(f"`{value}`" for value in values))
    if route.admin_fields:
        said.append("admins only: " + ", ".join(f"`{f}`" for f in route.admin_fields))
    for name, prefix in (route.admin_names or {}).items():
        said.append(f"admins only: `{name}` that begins with `{prefix}`")
    for name, key in (route.admin_texts or {}).items():
        said.append(f"admins only: text as `{key}` in `{name}`")
    for named in route.scorers:
        name = named.where.names[0]
        said.append(
            f"traces that the scorer in `{name}` loads need `{named.needs or route.call}`; what "
            "makes more of it than a scorer is for admins"
        )
    if route.forbidden_tags:
        said.append("admins only: tags " + ", ".join(f"`{key}`" for key in route.forbidden_tags))
    needed: dict[str, list[str]] = {}
    for need in route.tag_needs:
        unless = f" (not `{'`, `'.join(need.but)}`)" if need.but else ""
        needed.setdefault(need.call, []).append(f"`{need.prefix}*`{unless}")
    said += [f"tags {' and '.join(tags)} need `{also}` too" for also, tags in needed.items()]
    if route.stamps == "owner":
        said.append("owner and group are stamped")
    elif route.stamps == "user":
        said.append("the signed-in user is stamped")
    if route.hides:
        said.append("absent and forbidden look the same")
    if route.note:
        said.append(route.note)
    return said


def _answer(answer: Creates | Deletes | Renames | Trims) -> str:
    if isinstance(answer, Creates):
        return f"creates the {answer.kind.value}'s grants"
    if isinstance(answer, Deletes):
        return "removes the grants"
    if isinstance(answer, Renames):
        return "moves the grants"
    return "answer trimmed"
