"""How long experiments keep the spans of their traces here, as the server is configured."""

from __future__ import annotations

import logging
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.tracing.trace_archival_config import get_trace_archival_server_config

from dynamodb_store.entities.archival import retention_of

_logger = logging.getLogger(__name__)


class Retention(NamedTuple):
    """What holds for all experiments, and which of them may say that they keep traces longer."""

    general: str
    longer: frozenset[str]

    def of(self, experiment_id: str, tags: dict[str, str]) -> str:
        """What holds for one experiment with these tags."""
        return retention_of(experiment_id, tags, self.general, self.longer)


def configured() -> Retention | None:
    """What MLflow's server was started with; None without archival, or when it is not valid."""
    try:
        config = get_trace_archival_server_config()
    except MlflowException:
        # As MLflow's SQL store: experiments can be read whatever the file says.
        _logger.warning("The configuration of trace archival is not valid.", exc_info=True)
        return None
    if config is None or not config.enabled:
        return None
    return Retention(config.retention, frozenset(config.long_retention_allowlist))
