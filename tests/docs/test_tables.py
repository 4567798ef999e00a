"""Tables of the documentation that repeat what the code says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway import errors
from gateway.audit.event import VERSION, Trail, event_of
from gateway.metrics import Metrics
from gateway.model import ALLOWING, Decision, Kind, Principal, Reason, Resource
from tests.docs.pages import ROOT, table, text_of

SCHEMA: dict[str, Any] = yaml.safe_load(
    (ROOT / "gateway" / "audit" / "schema" / f"v{VERSION}.yaml").read_text("utf-8")
)
TYPES = {"string": str, "number": float, "integer": int, "array": list, "null": type(None)}


def leaves(kind: type[errors.GatewayError]) -> list[type[errors.GatewayError]]:
    # Of the tree only: other modules have kinds of their own for what is no refusal.
    below = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


def fits(value: object, described: dict[str, Any]) -> bool:
    if "const" in described:
        return value == described["const"]
    if "enum" in described:
        return value in described["enum"]
    names = described["type"]
    kinds = [TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    return isinstance(value, tuple(kinds))


# --- audit --------------------------------------------------------------------------------------


def events() -> list[dict[str, Any]]:
    bare = Trail("12345678-1", 1.5, 0.5, status=404, error="endpoint_not_found")
    full = Trail("12345678-2", 1.5, 0.5, "GET", "/api", "127.0.0.1", "runs/get", "read")
    full.principal = Principal("user:alice", method="api-token")
    where = (Resource(Kind.EXPERIMENT, "5"),)
    full.decision = Decision(True, Reason.ROLE_ALLOWS, "runs/get", where)
    full.status = 200
    return [event_of(bare, 1.0), event_of(full, 1.0)]


@pytest.mark.parametrize("event", events(), ids=["refused", "allowed"])
def test_an_event_fits_the_schema(event: dict[str, Any]) -> None:
    assert list(event) == SCHEMA["required"]
    for name, value in event.items():
        assert fits(value, SCHEMA["properties"][name]), name


def test_fields_that_only_some_events_have_are_in_the_schema() -> None:
    sources = "".join(p.read_text("utf-8") for p in (ROOT / "gateway").rglob("*.py"))
    noted = set(re.findall(r'trail\.notes\["(\w+)"\]', sources))
    for entries in re.findall(r"trail\.notes\.update\(\{(.*?)\}\)", sources, re.DOTALL):
        noted |= set(re.findall(r'"(\w+)":', entries))
    optional = set(SCHEMA["properties"]) - set(SCHEMA["required"])
    assert noted - {"quiet"} == optional


def test_the_table_of_audit_fields_is_that_of_the_schema() -> None:
    described = [[name, one["description"]] for name, one in SCHEMA["properties"].items()]
    assert table(text_of("docs/audit.md"), "fields") == described


def test_every_reason_is_explained() -> None:
    shown = [row[:2] for row in table(text_of("docs/audit.md"), "reasons")]
    assert shown == [[r.value, "allow" if r in ALLOWING else "deny"] for r in Reason]


# --- metrics ------------------------------------------------------------------------------------


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    families = text_string_to_metric_families(Metrics().text().decode())
    made = []
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = sorted({k for s in family.samples for k in s.labels if k != "le"})
        made.append((name, family.type, labels, family.documentation))
    shown = [
        (name, kind, re.findall(r"`(\w+)`", labels) or re.findall(r"^(\w+)`", labels), says)
        for name, kind, labels, says in table(text_of("docs/metrics.md"), "metrics")
    ]
    assert shown == made


def test_alerts_use_metrics_that_exist() -> None:
    made = Metrics().text().decode()
    for name in re.findall(r"mlgate_\w+", text_of("docs/metrics.md") + text_of("docs/audit.md")):
        assert name in made, name


# --- errors -------------------------------------------------------------------------------------


def test_the_table_of_errors_is_that_of_the_tree() -> None:
    shown = [(int(row[0]), row[1]) for row in table(text_of("docs/errors.md"), "errors")]
    assert shown == [(one.status, one.error_code) for one in leaves(errors.GatewayError)]


def test_retry_after_is_as_written() -> None:
    assert f"503 carries `Retry-After: {errors.Unavailable.retry_after}`" in text_of(
        "docs/errors.md"
    )
    assert errors.TooLarge.retry_after is None
