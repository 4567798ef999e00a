"""Writes ``gateway/routes/schema/mlflow_<version>.json`` from the installed MLflow's protos.

Run as a script to regenerate; the drift test calls :func:`generate` and compares. A message is
named by its full proto name without the leading ``mlflow.``, which keeps apart what shares a
short name (``ListArtifacts`` and ``artifacts.ListArtifacts``). Only what a request message of a
REST endpoint reaches is written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mlflow.protos import databricks_pb2
from mlflow.protos.mlflow_artifacts_pb2 import MlflowArtifactsService
from mlflow.protos.model_registry_pb2 import ModelRegistryService
from mlflow.protos.service_pb2 import MlflowService
from mlflow.protos.webhooks_pb2 import WebhookService
from mlflow.version import VERSION

SERVICES = (MlflowService, ModelRegistryService, MlflowArtifactsService, WebhookService)
"""The proto services of ``mlflow.server.handlers.get_endpoints``."""

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "gateway" / "routes" / "schema"

_SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_SFIXED32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_SFIXED64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED64: "uint64",
}

_WELL_KNOWN = {
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "value",
    "google.protobuf.ListValue": "listvalue",
    "google.protobuf.FieldMask": "fieldmask",
    "google.protobuf.Any": "any",
}


def short(full_name: str) -> str:
    """The schema's name for a proto type."""
    return full_name.removeprefix("mlflow.")


def endpoints() -> list[tuple[str, str, str]]:
    """(HTTP method, path below ``/api`` or ``/ajax-api``, message) of every proto endpoint."""
    found = []
    for service in SERVICES:
        for method in service.DESCRIPTOR.methods:
            for end in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                # MLflow joins version and path without a slash: one path is malformed (2.0mlflow).
                path = f"/{end.since.major}.0{end.path}"
                found.append((end.method, path, short(method.input_type.full_name)))
    return found


def generate() -> dict[str, Any]:
    """The schema document of the installed MLflow."""
    messages: dict[str, dict[str, str]] = {}
    enums: dict[str, dict[str, int]] = {}
    oneofs: dict[str, list[list[str]]] = {}
    required: dict[str, list[str]] = {}

    def element(field: FieldDescriptor) -> str:
        if field.type == FieldDescriptor.TYPE_ENUM:
            name = short(field.enum_type.full_name)
            enums[name] = {v.name: v.number for v in field.enum_type.values}
            return f"enum:{name}"
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            target = field.message_type
            if target.full_name in _WELL_KNOWN:
                return _WELL_KNOWN[target.full_name]
            if target.full_name.startswith("google.protobuf."):
                raise ValueError(f"unexpected well-known type {target.full_name}")
            visit(target)
            return f"@{short(target.full_name)}"
        return _SCALARS[field.type]

    def spell(field: FieldDescriptor) -> str:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            if entry.fields_by_name["key"].type != FieldDescriptor.TYPE_STRING:
                raise ValueError(f"{field.full_name}: only string map keys are known")
            return f"map:{element(entry.fields_by_name['value'])}"
        return element(field) + ("[]" if field.is_repeated else "")

    def visit(message: Descriptor) -> None:
        name = short(message.full_name)
        if name in messages:
            return
        messages[name] = {}
        messages[name].update({field.name: spell(field) for field in message.fields})
        groups = [
            [f.name for f in group.fields]
            for group in message.oneofs
            # A proto3 `optional` field is a oneof of one whose name starts with "_".
            if not (len(group.fields) == 1 and group.name == f"_{group.fields[0].name}")
        ]
        if groups:
            oneofs[name] = groups
        needed = [
            f.name
            for f in message.fields
            if f.is_required or f.GetOptions().Extensions[databricks_pb2.validate_required]
        ]
        if needed:
            required[name] = needed

    for service in SERVICES:
        for method in service.DESCRIPTOR.methods:
            visit(method.input_type)
    return {
        "mlflow": VERSION,
        "messages": dict(sorted(messages.items())),
        "enums": dict(sorted(enums.items())),
        "oneofs": dict(sorted(oneofs.items())),
        "required": dict(sorted(required.items())),
    }


def render(document: dict[str, Any]) -> str:
    """The document as the file has it: one message or enum a line, so that diffs read well."""
    parts = [f'{{\n"mlflow": {json.dumps(document["mlflow"])}']
    for section in ("messages", "enums", "oneofs", "required"):
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in document[section].items())
        parts.append(f'"{section}": {{\n{rows}\n}}')
    return ",\n".join(parts) + "\n}\n"


def target() -> Path:
    """Where the file of the installed version belongs."""
    return SCHEMA_DIR / f"mlflow_{VERSION.replace('.', '_')}.json"


if __name__ == "__main__":
    target().write_text(render(generate()), encoding="utf-8")
    sys.stdout.write(f"wrote {target().name}\n")
