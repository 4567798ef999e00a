"""How far an import has come, kept in the table itself: who goes on, and who may not begin."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE

from dynamodb_store import keys
from dynamodb_store.table import Table


@dataclass
class Mark:
    """What an import wrote down about itself."""

    source: str
    finished: bool = False
    done: dict[str, Any] = field(default_factory=dict)
    """By kind: the cursor to go on after, or True when all of it is written."""

    def save(self, table: Table) -> None:
        """Write it down."""
        pk, sk = keys.IMPORT
        table.put(
            {
                "pk": pk,
                "sk": sk,
                "source": self.source,
                "finished": self.finished,
                "done": json.dumps(self.done),
            }
        )


def read(table: Table) -> Mark | None:
    """What the import into this table wrote down, or None when there was none."""
    item = table.get(keys.IMPORT)
    if item is None:
        return None
    return Mark(item["source"], item["finished"], json.loads(item["done"]))


def refuse_unfinished(table: Table) -> None:
    """Raises MlflowException when an import into the table was cut short."""
    mark = read(table)
    if mark is not None and not mark.finished:
        raise MlflowException(
            f"The import from {mark.source} into {table.uri} is not finished; run the same "
            "`mlgate store import` again, and start the server then.",
            INVALID_STATE,
        )
