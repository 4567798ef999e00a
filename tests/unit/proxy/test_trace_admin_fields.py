"""Fields of a new trace's assessments through which MLflow would change another trace's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import Kind, Reason, Resource
from tests.fakes.parts import World, person

CAROL = person("carol")


def _trace(**fields: Any) -> dict[str, Any]:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}}
    info = {"trace_id": "tr-1", "trace_location": place, "assessments": [fields]}
    return {"trace": {"trace_info": info}}


@pytest.mark.parametrize("field", ["assessment_id", "overrides"])
async def test_an_assessment_of_a_new_trace_names_no_other(world: World, field: str) -> None:
    await world.acls.create_acl(
        Resource(Kind.EXPERIMENT, "1"), "user:carol", {"user:carol": "manager"}
    )
    for fields, allowed in (({"assessment_name": "v"}, True), ({field: "a-1"}, False)):
        call = world.call("POST", "/api/3.0/mlflow/traces", _trace(**fields))
        decision = await world.authorizer.decision(call, CAROL)
        assert decision.allowed is allowed
        assert allowed or decision.reason is Reason.ADMIN_FIELD
