"""The fields of MLflow's request messages, as data generated from MLflow's own protos.

``tests/catalogue/schema_from_mlflow.py`` writes the JSON file; a test compares it with the
installed MLflow. A type is ``string int32 int64 uint32 uint64 float double bool bytes``,
``enum:Name``, ``@Message``, ``map:<type>`` (string keys), ``timestamp duration struct value
listvalue fieldmask any``, with ``[]`` behind it when repeated. The file is read once, at the
first use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

MLFLOW_VERSION = "3.17.2"
"""The MLflow version that the catalogue and the schema file describe."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The request messages of one MLflow version.

    ``messages``: message -> field -> type; ``enums``: enum -> value name -> number; ``oneofs``:
    message -> groups of fields of which at most one may be set; ``required``: message -> the
    fields that MLflow's protos mark as required (its handlers demand a few more).
    """

    mlflow: str
    messages: Mapping[str, Mapping[str, str]]
    enums: Mapping[str, Mapping[str, int]]
    oneofs: Mapping[str, tuple[tuple[str, ...], ...]]
    required: Mapping[str, frozenset[str]]

    def type_at(self, message: str, path: str) -> str | None:
        """The type of ``metrics[].model_id`` below ``message``; None when there is no such field.

        The ``[]`` of a path must agree with the repetition of the field, the last one included.
        """
        head, _, rest = path.partition(".")
        kind = self.messages.get(message, {}).get(head.removesuffix("[]"))
        if kind is None or kind.endswith("[]") != head.endswith("[]"):
            return None
        if not rest:
            return kind
        element = kind.removesuffix("[]")
        return self.type_at(element[1:], rest) if element.startswith("@") else None


@cache
def schema() -> Schema:
    """The schema of :data:`MLFLOW_VERSION`, parsed once."""
    name = f"mlflow_{MLFLOW_VERSION.replace('.', '_')}.json"
    document = json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return Schema(
        mlflow=document["mlflow"],
        messages=_frozen(document["messages"]),
        enums=_frozen(document["enums"]),
        oneofs=MappingProxyType(
            {k: tuple(tuple(group) for group in v) for k, v in document["oneofs"].items()}
        ),
        required=MappingProxyType({k: frozenset(v) for k, v in document["required"].items()}),
    )


def _frozen(section: dict[str, dict[str, T]]) -> Mapping[str, Mapping[str, T]]:
    return MappingProxyType({name: MappingProxyType(value) for name, value in section.items()})
