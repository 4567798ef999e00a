"""What there is to know about each paged search: where its rows are and MLflow's limits.

The numbers are MLflow's: ``SEARCH_MAX_RESULTS_THRESHOLD`` in ``mlflow/store/tracking`` and
``mlflow/store/model_registry`` (a test compares them), the defaults of absent ``max_results``
are those of the request protos.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import BadRequest
from gateway.model import Kind, Resource

_DECIMAL = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One paged search.

    ``rows`` is the answer's list, ``id`` the field of a row that names its resource.
    ``default`` is the page size when ``max_results`` is absent (None: MLflow refuses that),
    ``most`` the largest that MLflow takes, ``per_call`` the most rows that the gateway asks of
    MLflow in one call: rows are small, but thousands of them fill a process's memory.
    """

    name: str
    rows: str
    id: str
    kind: Kind
    default: int | None
    most: int
    per_call: int

    def page_size(self, fields: Mapping[str, object]) -> int:
        """The rows that the caller wants on a page; BadRequest as MLflow refuses them."""
        value = fields.get("max_results")
        if value is None:
            value = self.default if self.default is not None else 0
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequest(
                f"Invalid value {value!r} for parameter 'max_results' supplied. "
                "It must be a positive integer."
            )
        if value > self.most:
            raise BadRequest(
                f"Invalid value {value} for parameter 'max_results' supplied. "
                f"It must be at most {self.most}."
            )
        return value

    def resource(self, row: Mapping[str, object]) -> Resource | None:
        """The resource that a row shows; None if it names none, and then nobody sees it."""
        found = row.get(self.id)
        return Resource(self.kind, found) if isinstance(found, str) and found else None


PLANS: Mapping[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            name="experiments",
            rows="experiments",
            id="experiment_id",
            kind=Kind.EXPERIMENT,
            default=None,
            most=50_000,
            per_call=5_000,
        ),
        # Prompts are registered models too. The latest_versions of a row are of the same model.
        Plan(
            name="registered-models",
            rows="registered_models",
            id="name",
            kind=Kind.MODEL,
            default=100,
            most=1_000,
            per_call=1_000,
        ),
        Plan(
            name="model-versions",
            rows="model_versions",
            id="name",
            kind=Kind.MODEL,
            default=200_000,
            most=200_000,
            per_call=5_000,
        ),
    )
}
