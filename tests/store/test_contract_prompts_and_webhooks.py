"""Prompts, links to what uses them, and webhooks: the same answers as MLflow's SQL registry."""

from __future__ import annotations

import json
from typing import Any

import mlflow
import pytest
from cryptography.fernet import Fernet
from mlflow.entities.model_registry.prompt_version import PromptModelConfig
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.both import Ref
from tests.store.registry_both import Clock, Registries

CHAT = [{"role": "user", "content": "Hello {{name}} ☃"}]
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
MODEL_CREATED = WebhookEvent.from_str("registered_model.created")
TAG_SET = WebhookEvent.from_str("model_version_tag.set")
PROMPT_CREATED = WebhookEvent.from_str("prompt.created")
URL = "https://192.0.2.1/hook"


@pytest.fixture
def both(sql_registry: Any, our_registry: Any, monkeypatch: pytest.MonkeyPatch) -> Registries:
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    clock = Clock()
    monkeypatch.setattr("mlflow.utils.time.time", clock)
    return Registries(sql_registry, our_registry, clock)


def test_prompts(both: Registries) -> None:
    both.create_prompt("greeting", "a description", {"team": "red"})
    both.create_prompt("greeting")
    both.create_prompt("other é", None, {"_mlflow_experiment_ids": ",1,12,"})
    both.create_registered_model("model")
    both.create_prompt("model")
    both.create_prompt_version("greeting", "Hello {{name}}", "first", {"a": "b"})
    both.create_prompt_version("greeting", CHAT, None, None, SCHEMA)
    both.create_prompt_version(
        "greeting", "🚀" * 20_000, model_config=PromptModelConfig(model_name="m", temperature=0.5)
    )
    both.create_prompt_version("none", "text")
    both.create_prompt_version("greeting", "☃" * 100_001)
    for name in ("greeting", "other é", "model", "none"):
        both.get_prompt(name)
        both.search_prompt_versions(name)
        for version in (1, "2", "3", 4, "best", "latest"):
            both.get_prompt_version(name, version)
    both.set_prompt_alias("greeting", "best", 2)
    both.get_prompt_version_by_alias("greeting", "best")
    both.get_prompt_version("greeting", "latest")
    both.pages("search_prompt_versions", "greeting", 1)
    both.set_prompt_tag("greeting", "lang", "en")
    both.delete_prompt_tag("greeting", "team")
    both.set_prompt_version_tag("greeting", "1", "tone", "kind")
    both.set_prompt_version_tag("greeting", "x", "tone", "kind")
    both.delete_prompt_version_tag("greeting", 1, "a")
    both.get_prompt("greeting")
    both.get_prompt_version("greeting", 1)
    for text in (None, "name = 'greeting'", "tags.lang = 'en'", "experiment_id = '12'",
                 "experiment_id = '2'", "experiment_id = 'x'", "name LIKE 'o%'"):  # fmt: skip
        both.search_prompts(text)
    both.pages("search_prompts", None, 1)
    both.search_registered_models()
    both.delete_prompt_alias("greeting", "best")
    both.get_prompt_version_by_alias("greeting", "best")
    both.delete_prompt_version("greeting", 3)
    both.search_prompt_versions("greeting")
    both.delete_prompt("greeting")
    both.get_prompt("greeting")
    assert [one["name"] for one in both.search_prompts()] == ["other é"]


def test_a_prompt_is_linked_to_a_run_of_the_same_table(
    dynamo: Any, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(registry.table.uri))
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    registry.create_prompt("p")
    for text in ("one", "two"):
        registry.create_prompt_version("p", text)
    registry.link_prompt_version_to_run("p", "1", run_id)
    registry.link_prompt_version_to_run("p", "2", run_id)
    registry.link_prompt_version_to_run("p", "2", run_id)
    linked = json.loads(dynamo.get_run(run_id).data.tags["mlflow.linkedPrompts"])
    assert linked == [{"name": "p", "version": "1"}, {"name": "p", "version": "2"}]
    with pytest.raises(MlflowException, match="not found"):
        registry.link_prompt_version_to_run("p", "2", "0" * 32)
    with pytest.raises(MlflowException, match="not found"):
        registry.link_prompt_version_to_run("p", "3", run_id)


def test_webhooks(both: Registries) -> None:
    first = both.remember(
        "first", "create_webhook", "first", URL, [MODEL_CREATED, TAG_SET], id_of="webhook_id"
    )
    second = both.remember(
        "second", "create_webhook", "Second.1", URL, [PROMPT_CREATED], "text ☃", "a secret",
        WebhookStatus.DISABLED, id_of="webhook_id",
    )  # fmt: skip
    both.remember("third", "create_webhook", "first", URL, [TAG_SET], "", "", id_of="webhook_id")
    for webhook in (first, second, Ref("none"), ""):
        both.get_webhook(webhook)
    for event in (MODEL_CREATED, TAG_SET, PROMPT_CREATED, WebhookEvent("prompt_tag", "set")):
        both.list_webhooks_by_event(event)
        both.pages("list_webhooks_by_event", event, 1)
    both.list_webhooks()
    both.pages("list_webhooks", 2)
    assert both.update_webhook(second, secret="another")["secret"] == "another"
    both.update_webhook(second, "renamed", "", URL + "/2", [TAG_SET], None, WebhookStatus.ACTIVE)
    both.update_webhook(first)
    both.list_webhooks_by_event(TAG_SET)
    for refused in (
        ("create_webhook", "", URL, [TAG_SET]),
        ("create_webhook", "-a", URL, [TAG_SET]),
        ("create_webhook", "a", "http://192.0.2.1", [TAG_SET]),
        ("create_webhook", "a", "", [TAG_SET]),
        ("create_webhook", "a", URL, []),
        ("create_webhook", "a", URL, ["text"]),
        ("create_webhook", "a", URL, [TAG_SET, TAG_SET]),
        ("update_webhook", first, "-a"),
        ("update_webhook", first, None, None, "ftp://x"),
        ("update_webhook", first, None, None, None, []),
        ("update_webhook", Ref("none"), "-a"),
        ("update_webhook", "", "a"),
        ("get_webhook", "x" * 3000),
        ("list_webhooks", 1001),
        ("list_webhooks", -1),
        ("list_webhooks", 1, "no token"),
        ("list_webhooks_by_event", TAG_SET, 1001),
        ("delete_webhook", Ref("none")),
    ):
        answer = getattr(both, refused[0])(*refused[1:])
        assert answer[0] == "error", refused
    both.delete_webhook(first)
    both.delete_webhook(first)
    both.get_webhook(first)
    both.update_webhook(first, "x")
    assert [one["name"] for one in both.list_webhooks(None)] == ["first", "renamed"]


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")


@pytest.mark.usefixtures("public")
def test_secrets_are_encrypted_with_the_key_of_all_servers(
    registry: Any, fake: FakeDynamoDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    made = registry.create_webhook("w", URL, [TAG_SET], secret="very secret")
    assert registry.get_webhook(made.webhook_id).secret == "very secret"
    (kept,) = registry.table.query_all(keys.WEBHOOKS)
    assert b"very secret" not in kept["doc"]
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    with pytest.raises(MlflowException, match="_ENCRYPTION_KEY to one key") as refused:
        registry.list_webhooks()
    assert refused.value.error_code == "INVALID_STATE"
    registry.update_webhook(made.webhook_id, secret="new")
    assert [one.secret for one in registry.list_webhooks()] == ["new"]
    registry.delete_webhook(made.webhook_id)


@pytest.mark.usefixtures("public")
def test_without_a_key_a_secret_lasts_as_long_as_the_process(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", raising=False)
    made = registry.create_webhook("w", URL, [TAG_SET], secret="very secret")
    assert registry.get_webhook(made.webhook_id).secret == "very secret"


@pytest.mark.usefixtures("public")
def test_a_webhook_is_tried_out(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("mlflow.webhooks.delivery._webhook_session", None)
    made = registry.create_webhook("w", "https://127.0.0.1:9/nobody", [TAG_SET])
    result = registry.test_webhook(made.webhook_id)
    assert result.success is False
    assert result.error_message
