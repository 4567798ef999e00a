"""Prints MLflow's own GraphQL schema: ``python tests/unit/graphql/print_schema.py > FILE``.

FILE is ``gateway/routes/schema/graphql_3_17_2.graphql``; ``test_schema_drift.py`` compares them.
"""

from __future__ import annotations

from mlflow.server.graphql.graphql_schema_extensions import schema

HEADER = "# MLflow's GraphQL schema; written by tests/unit/graphql/print_schema.py\n"


def printed() -> str:
    return HEADER + str(schema).rstrip() + "\n"


if __name__ == "__main__":
    print(printed(), end="")
