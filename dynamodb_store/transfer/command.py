"""What ``mlgate store import`` and ``export`` do with two URIs. Raises MlflowException."""

from __future__ import annotations

from collections.abc import Collection

from mlflow.exceptions import MlflowException

from dynamodb_store.table import open_table
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Outcome, Refused, Say
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri

__all__ = ["MlflowException", "Outcome", "Refused", "export_to", "import_from"]


def import_from(source: str, uri: str, say: Say, leave_out: Collection[str] = ()) -> Outcome:
    """Copy the SQL database ``source`` into the table of ``uri``, which is there and empty."""
    table = open_table(parse_uri(uri))
    try:
        sql = Sql(source)
        try:
            return import_sql(sql, table, say, leave_out)
        finally:
            sql.close()
    finally:
        table.close()


def export_to(uri: str, target: str, say: Say) -> Outcome:
    """Copy the table of ``uri`` into the SQL database ``target``, which is made when it is new."""
    table = open_table(parse_uri(uri))
    try:
        sql = Sql(target, make=True)
        try:
            return export_sql(table, sql, say)
        finally:
            sql.close()
    finally:
        table.close()
