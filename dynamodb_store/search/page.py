"""Page tokens: MLflow's offset, and where to go on when the order is the one of the table."""

from __future__ import annotations

import base64
import json

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.tracking import SEARCH_MAX_RESULTS_THRESHOLD
from mlflow.utils.search_utils import SearchUtils

Token = str | bytes


def read_token(token: Token | None) -> tuple[int, str | None]:
    """The offset of a token and the sort key that it goes on after. Raises MlflowException."""
    offset: int = SearchUtils.parse_start_offset_from_page_token(token)
    after = json.loads(base64.b64decode(token)).get("after") if token else None
    return offset, after if isinstance(after, str) else None


def make_token(offset: int, after: str | None = None) -> Token:
    """A token that ``read_token`` reads; MLflow's own when there is no ``after``."""
    if after is None:
        plain: bytes = SearchUtils.create_page_token(offset)
        return plain
    return base64.b64encode(json.dumps({"offset": offset, "after": after}).encode())


def check_max_results(max_results: int | None, *, allow_none: bool = False) -> None:
    """Raises MlflowException unless it is between 1 and 50,000 (or None where that is allowed)."""
    if (max_results is None and not allow_none) or (max_results is not None and max_results < 1):
        raise MlflowException(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be "
            f"a positive integer",
            INVALID_PARAMETER_VALUE,
        )
    if max_results is not None and max_results > SEARCH_MAX_RESULTS_THRESHOLD:
        raise MlflowException(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be at "
            f"most {SEARCH_MAX_RESULTS_THRESHOLD}",
            INVALID_PARAMETER_VALUE,
        )
