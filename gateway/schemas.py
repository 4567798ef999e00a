"""The JSON Schemas of gateway.yaml and roles.yaml, for editors: written from the loaders' tables.

python -m gateway.schemas config/schema
"""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from gateway.model import Kind
from gateway.roles import CallNames, call_names
from gateway.routes.catalogue import ROUTES
from gateway.settings_keys import IDENTITY, SECTIONS, TOP, Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, Any]


def gateway_schema() -> Json:
    """What gateway.yaml may look like."""
    properties = _properties(TOP)
    for section in SECTIONS:
        properties[section.name] = _mapping(_properties(section))
    properties["identity"] = {
        "type": "array",
        "items": {**_mapping(_properties(IDENTITY)), "required": ["type"]},
    }
    return {"$schema": DIALECT, "title": "mlgate: gateway.yaml", **_mapping(properties)}


def _mapping(properties: Json) -> Json:
    # A section whose keys are all commented out is null to YAML.
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _properties(section: Section) -> Json:
    properties: Json = {}
    for key in section.keys:
        described = {**key.reader.schema(), "description": key.means.replace("`", "")}
        default = section.default(key)
        if isinstance(default, tuple | frozenset):
            default = list(default)
        if isinstance(default, str | int | float | list) and default != "":
            described["default"] = default
        properties[key.name] = described
    return properties


def roles_schema(names: CallNames) -> Json:
    """What roles.yaml may look like; the calls are listed, so that an editor can complete them."""
    role: Json = {"extends": {"type": "string"}}
    for kind in Kind:
        role[kind.value] = {"$ref": f"#/$defs/{kind.value}"}
    default = {
        "type": "object",
        "additionalProperties": False,
        "required": ["creator", "group"],
        "properties": {
            "creator": {"type": "string", "description": "the role of whoever creates one"},
            "group": {"type": "string", "description": "the role of the creator's group, or none"},
        },
    }
    everything = names.server | names.experiment | names.model
    return {
        "$schema": DIALECT,
        "title": "mlgate: roles.yaml",
        "type": "object",
        "additionalProperties": False,
        "required": ["version", "roles", "server", "defaults"],
        "properties": {
            "version": {"const": 1},
            "roles": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,63}$"},
                "additionalProperties": {
                    "type": ["object", "null"],
                    "additionalProperties": False,
                    "properties": role,
                },
            },
            "server": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "everyone": {"$ref": "#/$defs/server"},
                    "admin": _calls(everything),
                },
            },
            "defaults": {
                "type": "object",
                "additionalProperties": False,
                "required": [kind.value for kind in Kind],
                "properties": {kind.value: default for kind in Kind},
            },
        },
        "$defs": {
            **{kind.value: _calls(names.of_kind(kind)) for kind in Kind},
            "server": _calls(names.server),
        },
    }


def _calls(names: frozenset[str]) -> Json:
    pattern = {"type": "string", "pattern": r"^-|\*", "description": "a pattern, or a removal"}
    items = {"anyOf": [{"enum": sorted(names)}, pattern]}
    return {"type": "array", "uniqueItems": True, "items": items}


def files() -> dict[str, str]:
    """File name -> text."""
    schemas = {
        "gateway.schema.json": gateway_schema(),
        "roles.schema.json": roles_schema(call_names(ROUTES)),
    }
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


def settings_table() -> str:
    """The table of docs/settings.md."""
    lines = ["| key | default | what it is |", "| --- | --- | --- |"]
    for section, prefix in [
        (TOP, ""),
        (IDENTITY, "identity[]."),
        *((section, f"{section.name}.") for section in SECTIONS),
    ]:
        for key in section.keys:
            default = _shown(section.default(key))
            lines.append(f"| `{prefix}{key.name}` | {default} | {key.means} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default in (MISSING, None, "", (), frozenset()):
        return ""
    if isinstance(default, tuple):
        return ", ".join(f"`{one}`" for one in default)
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int | float):
        return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return f"`{default}`" if isinstance(default, str) else ""


if __name__ == "__main__":
    for name, text in files().items():
        (Path(sys.argv[1]) / name).write_text(text, "utf-8")
