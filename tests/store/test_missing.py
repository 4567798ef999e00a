"""Nothing of MLflow's interface is skipped in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store.tracking.missing import BESIDES_THE_INTERFACE, WORKS_AS_INHERITED, interface
from dynamodb_store.tracking.store import DynamoDbTrackingStore

DOC = Path(__file__).parents[2] / "docs" / "store.md"


def test_each_method_is_built_or_inherited_on_purpose_or_refuses(dynamo: Any) -> None:
    assert len(interface()) > 150
    for name in interface():
        member = getattr(DynamoDbTrackingStore, name)
        ours = member.__module__.startswith("dynamodb_store")
        assert ours or name in WORKS_AS_INHERITED, name


def test_what_is_not_built_says_so_by_its_name(dynamo: Any) -> None:
    with pytest.raises(MlflowException, match=r"does not have create_dataset\(\) yet") as refused:
        dynamo.create_dataset("name")
    assert refused.value.error_code == "NOT_IMPLEMENTED"
    with pytest.raises(MlflowException, match="_load_dataset_records"):
        dynamo._load_dataset_records("id")
    assert set(BESIDES_THE_INTERFACE) <= set(DynamoDbTrackingStore.not_built)


def test_the_document_lists_exactly_what_is_not_built() -> None:
    section = DOC.read_text().split("## Not built yet")[1].split("\n## ")[0]
    listed = re.findall(r"`(\w+)`", section.split("<!-- methods -->")[1])
    assert sorted(listed) == sorted(DynamoDbTrackingStore.not_built)
