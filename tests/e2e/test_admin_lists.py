"""What admins list and search: every resource, and the audit lines."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.e2e.world import API, OWN, get_experiment, name_of, ok, refused, until
from tests.stack import Stack

pytestmark = pytest.mark.e2e


def test_admins_find_everything_by_its_name(stack: Stack) -> None:
    name = name_of("listed")
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    body = {"name": f"{name} ä'%"}
    number = ok(stack.call("alice", "POST", f"{API}/experiments/create", body))["experiment_id"]
    for model in ({"name": f"{name}-model"}, {"name": f"{name}-prompt", "tags": tags}):
        ok(stack.call("alice", "POST", f"{API}/registered-models/create", model))
    path = f"{OWN}/resources?kind="
    text = quote(f"{name.upper()} Ä'%")
    (found,) = ok(stack.call("dave", "GET", f"{path}experiment&q={text}"))["resources"]
    assert (found["id"], found["owner"], found["grants"]) == (number, "user:alice", 2)
    assert found["managers"] == ["user:alice"]
    models = ok(stack.call("dave", "GET", f"{path}model&q={name}"))["resources"]
    assert [one["id"] for one in models] == [f"{name}-model", f"{name}-prompt"]
    after, listed = "", []
    while after is not None:
        page = ok(stack.call("dave", "GET", f"{path}experiment&after={quote(after)}"))
        listed += [one["id"] for one in page["resources"]]
        after = page["after"]
    assert number in listed
    assert len(listed) == len(set(listed))
    for who in ("alice", "carol"):
        refused(stack.call(who, "GET", f"{path}experiment&q={text}"))


def test_admins_find_out_why_somebody_was_refused(stack: Stack) -> None:
    made = stack.call("alice", "POST", f"{API}/experiments/create", {"name": name_of("secret")})
    number = ok(made)["experiment_id"]
    refused(get_experiment(stack, "carol", number))
    path = f"{OWN}/audit?resource=experiment:{number}&result=deny"
    (line,) = until(lambda: ok(stack.call("dave", "GET", path))["lines"])
    assert (line["principal"], line["reason"]) == ("user:carol", "no_grant")
    refused(stack.call("alice", "GET", path))
