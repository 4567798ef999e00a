"""Random calls of the registry: models, versions, stages, aliases, prompts and webhooks."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersionTag as VersionTag
from mlflow.entities.model_registry import RegisteredModelTag as Tag
from mlflow.entities.webhook import WebhookEvent, WebhookStatus

from tests.store.both import Both
from tests.store.random_calls import Call, Worlds, call, examples, refs, sequences, worlds

__all__ = ["worlds"]

IS_PROMPT = "mlflow.prompt.is_prompt"
ODD = "odd #☃ 'q'"

names = st.sampled_from(["m", "m", "m", "n", ODD, "p"])
versions = st.one_of(st.integers(1, 4), st.sampled_from(["1", "2", 9]))
texts = st.sampled_from([None, "", "text ☃", "long " * 2000])
keys = st.sampled_from(["k", "é/ x", IS_PROMPT])
values = st.sampled_from(["", "v", "true", "V w"])
tags = st.builds(Tag, keys, values)
version_tags = st.builds(VersionTag, keys, values)
stages = st.sampled_from(["None", "Staging", "production", "Archived", "nonsense"])
aliases = st.sampled_from(["a", "A", "b.c"])
runs = st.sampled_from([None, "run1", "run2", ""])
sources = st.sampled_from(["s3://b/1", "s3://b/1", "", "models:/m/1", "models:/n/2"])

model_filters = st.sampled_from(
    [
        None,
        "name = 'm'",
        "name != 'm'",
        "name LIKE '%m%'",
        "name ILIKE 'M%' AND tags.k = 'v'",
        "tags.k != ''",
        f"tags.`{IS_PROMPT}` = 'true'",
        f"tags.`{IS_PROMPT}` != 'true'",
    ]
)
model_orders = st.sampled_from(
    [None, ["name DESC"], ["timestamp ASC"], ["last_updated_timestamp DESC", "name"]]
)
version_filters = st.sampled_from(
    [
        None,
        "name = 'm'",
        "name != 'm'",
        "run_id = 'run1'",
        "run_id IN ('run1', 'run2')",
        "run_id != 'run1' AND name LIKE '%m%'",
        "source_path = 's3://b/1'",
        "source_path = 's3://b/1' AND run_id = 'run2'",
        "version_number > 1",
        "version_number = 1 AND name = 'm'",
        "tags.k = 'v'",
        "tags.k LIKE '%v%' AND name = 'm'",
        f"tags.`{IS_PROMPT}` = 'true'",
        f"tags.`{IS_PROMPT}` = 'true' AND name = 'm'",
    ]
)
version_orders = st.sampled_from(
    [
        None,
        ["version_number ASC", "name"],
        ["name DESC", "version_number DESC"],
        ["creation_timestamp ASC", "name", "version_number"],
        ["last_updated_timestamp DESC", "version_number", "name"],
    ]
)


def copy_version(store: Any, name: str, version: Any, to: str) -> Any:
    return store.copy_model_version(store.get_model_version(name, version), to)


models = [
    call("create_registered_model", names, st.lists(tags, max_size=2), texts),
    call("update_registered_model", names, texts),
    call("rename_registered_model", names, names),
    call("set_registered_model_tag", names, tags),
    call("delete_registered_model_tag", names, keys),
    call("get_registered_model", names),
    call(
        "search_registered_models",
        model_filters,
        paged=True,
        kwargs={"max_results": st.integers(1, 3), "order_by": model_orders},
    ),
]
of_versions = [
    call(
        "create_model_version",
        names,
        sources,
        runs,
        st.lists(version_tags, max_size=2),
        texts,
        texts,
    ),
    call("create_model_version", names, st.just("s3://b/1"), runs),
    call("update_model_version", names, versions, texts),
    call(
        "transition_model_version_stage",
        names,
        versions,
        st.sampled_from(["Staging", "Production"]),
        st.just(True),
    ),
    call("transition_model_version_stage", names, versions, stages, st.just(False)),
    call("set_model_version_tag", names, versions, version_tags),
    call("delete_model_version_tag", names, versions, keys),
    call("set_registered_model_alias", names, aliases, versions),
    call("delete_registered_model_alias", names, aliases),
    call("get_model_version_by_alias", names, st.one_of(aliases, st.just("latest"))),
    call("get_model_version", names, versions),
    call("get_model_version_download_uri", names, versions),
    call("get_latest_versions", names, sort=True),
    call("get_latest_versions", names, st.lists(stages, max_size=2), sort=True),
    call(copy_version, names, versions, names),
    call(
        "search_model_versions",
        version_filters,
        paged=True,
        kwargs={"max_results": st.integers(1, 4), "order_by": version_orders},
    ),
    call("delete_model_version", names, versions),
    call("delete_registered_model", names),
]


def all_of_it(both: Both) -> list[Call]:
    found = [Call("get_registered_model", (name,)) for name in ("m", "n", ODD, "p")]
    found += [
        Call("get_model_version", (name, version)) for name in ("m", "n") for version in range(1, 7)
    ]
    prompts = f"tags.`{IS_PROMPT}` = 'true'"
    return [
        *found,
        Call("search_registered_models"),
        Call("search_registered_models", (prompts,)),
        Call("search_model_versions"),
        Call("search_model_versions", (prompts,)),
    ]


def drive_models(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new(registry=True)
    start = [Call("create_registered_model", (name,)) for name in ("m", "n")]
    start += [Call("create_model_version", ("m", "s3://b/1", "run1"))] * 3
    start += [Call("create_model_version", ("n", "s3://b/1", "run2"))] * 2
    worlds.drive(both, [*start, *calls, *all_of_it(both)])
    worlds.end(both)


model_calls = [*of_versions[:-2], *models, *of_versions]


@examples(2)
@given(calls=sequences(*model_calls, more=0))
def test_models_and_versions(worlds: Worlds, calls: list[Call]) -> None:
    drive_models(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*model_calls, more=20))
def test_models_and_versions_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_models(worlds, calls)


prompt_names = st.sampled_from(["p", "p", "q", "m"])
templates = st.sampled_from(["", "Hello {{name}}", "☃" * 3000, [{"role": "user", "content": "x"}]])
prompt_tags = st.dictionaries(st.sampled_from(["k", "é x"]), st.sampled_from(["", "v"]), max_size=2)
prompt_filters = st.sampled_from(
    [None, "name = 'p'", "name LIKE '%'", "tags.k = 'v'", "experiment_id = '1'"]
)
page_sizes = {"max_results": st.integers(1, 2)}
prompts = [
    call("create_prompt", prompt_names, texts, prompt_tags),
    call("create_prompt_version", prompt_names, templates, texts, prompt_tags),
    call("create_prompt_version", st.just("p"), templates),
    call("get_prompt", prompt_names),
    call("get_prompt_version", prompt_names, st.one_of(versions, aliases)),
    call("set_prompt_tag", prompt_names, st.just("k"), values),
    call("set_prompt_tag", prompt_names, st.just("_mlflow_experiment_ids"), st.just(",1,")),
    call("delete_prompt_tag", prompt_names, st.just("k")),
    call("set_prompt_version_tag", prompt_names, versions, st.just("k"), values),
    call("delete_prompt_version_tag", prompt_names, versions, st.just("k")),
    call("set_prompt_alias", prompt_names, aliases, versions),
    call("delete_prompt_alias", prompt_names, aliases),
    call("get_prompt_version_by_alias", prompt_names, aliases),
    call("search_prompts", prompt_filters, paged=True, kwargs=page_sizes),
    call("search_prompt_versions", prompt_names, paged=True, kwargs=page_sizes),
    call("rename_registered_model", prompt_names, prompt_names),
    call("create_model_version", prompt_names, sources),
    call("set_registered_model_tag", prompt_names, tags),
    call("delete_registered_model_tag", prompt_names, keys),
    call("delete_prompt_version", prompt_names, versions),
    call("delete_prompt", prompt_names),
]


def drive_prompts(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new(registry=True)
    start = [
        Call("create_prompt", ("p",)),
        Call("create_registered_model", ("m",)),
        Call("create_prompt_version", ("p", "one")),
        Call("create_prompt_version", ("p", "two")),
    ]
    end = [Call("search_prompts"), *(Call("get_prompt", (name,)) for name in ("p", "q", "m"))]
    worlds.drive(both, [*start, *calls, *end, *all_of_it(both)])
    worlds.end(both)


prompt_calls = prompts


@examples(2)
@given(calls=sequences(*prompt_calls, more=0))
def test_prompts(worlds: Worlds, calls: list[Call]) -> None:
    drive_prompts(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*prompt_calls, more=20))
def test_prompts_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_prompts(worlds, calls)


@pytest.fixture
def webhooks_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())


events = st.sampled_from(
    ["registered_model.created", "model_version_tag.set", "prompt.created"]
).map(WebhookEvent.from_str)
some_events = st.lists(events, max_size=3)
webhooks = refs("webhook", 4)
urls = st.sampled_from(["https://192.0.2.1/hook", "https://192.0.2.1/2", "", "ftp://x"])
statuses = st.sampled_from([WebhookStatus.ACTIVE, WebhookStatus.DISABLED])
titles = st.sampled_from(["w", "W.1", "", "-bad"])
of_webhooks = [
    call(
        "create_webhook",
        titles,
        urls,
        some_events,
        texts,
        st.sampled_from([None, "", "secret"]),
        makes="webhook",
        id_of="webhook_id",
    ),
    call(
        "create_webhook",
        st.just("w"),
        st.just("https://192.0.2.1/hook"),
        some_events,
        makes="webhook",
        id_of="webhook_id",
    ),
    call("get_webhook", webhooks),
    call(
        "update_webhook",
        webhooks,
        st.one_of(st.none(), titles),
        texts,
        st.one_of(st.none(), urls),
        st.one_of(st.none(), some_events),
        st.sampled_from([None, "", "another"]),
        st.one_of(st.none(), statuses),
    ),
    call("list_webhooks", paged=True, kwargs=page_sizes),
    call("list_webhooks_by_event", events, paged=True, kwargs=page_sizes),
    call("delete_webhook", webhooks),
]


def drive_webhooks(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new(registry=True)
    worlds.drive(both, [*calls, Call("list_webhooks")])
    worlds.end(both)


webhook_calls = [of_webhooks[1], *of_webhooks]


@pytest.mark.usefixtures("webhooks_allowed")
@examples(2)
@given(calls=sequences(*webhook_calls, more=0))
def test_webhooks(worlds: Worlds, calls: list[Call]) -> None:
    drive_webhooks(worlds, calls)


@pytest.mark.heavy
@pytest.mark.usefixtures("webhooks_allowed")
@examples(100)
@given(calls=sequences(*webhook_calls, more=20))
def test_webhooks_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_webhooks(worlds, calls)
