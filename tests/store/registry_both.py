"""Both registries under one clock: times of writing are compared like everything else."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.entities.model_registry.prompt import Prompt
from mlflow.entities.model_registry.prompt_version import PromptVersion
from mlflow.entities.webhook import Webhook

from tests.store.both import PLAIN, Both, Side


class Clock:
    """What MLflow's helper asks for the time: seconds that pass when a test lets them."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000

    def time(self) -> float:
        return float(self.seconds)


class Registries(Both):
    """Each call happens a second after the one before, and at the same time in both."""

    def __init__(self, sql: Any, dynamo: Any, clock: Clock) -> None:
        super().__init__(sql, dynamo)
        self.clock = clock

    def __getattr__(self, method: str) -> Any:
        call = super().__getattr__(method)

        def later(*args: Any, **kwargs: Any) -> Any:
            self.clock.seconds += 1
            if method != "get_latest_versions":
                return call(*args, **kwargs)
            # SQL's order is that of the first version that ever was in the stage: no promise.
            theirs, ours = (side.call(method, args, kwargs) for side in self.sides)
            assert sorted(ours, key=str) == sorted(theirs, key=str)
            return ours

        return later

    def remember(self, name: str, method: str, *args: Any, id_of: str, **kwargs: Any) -> Any:
        self.clock.seconds += 1
        return super().remember(name, method, *args, id_of=id_of, **kwargs)


def _version(_: Side, version: ModelVersion) -> dict[str, Any]:
    fields = dict(version)
    fields["aliases"] = sorted(fields["aliases"])
    return fields


def _model(side: Side, model: RegisteredModel) -> dict[str, Any]:
    fields = dict(model)
    latest = sorted(model.latest_versions, key=lambda one: int(one.version))
    fields["latest_versions"] = [_version(side, one) for one in latest]
    fields["tags"] = model._tags
    return fields


def _prompt(_: Side, prompt: Prompt) -> dict[str, Any]:
    return {name: getattr(prompt, f"_{name}", None) or getattr(prompt, name) for name in (
        "name", "description", "creation_timestamp", "tags")}  # fmt: skip


def _prompt_version(_: Side, version: PromptVersion) -> dict[str, Any]:
    names = ("name", "version", "template", "commit_message", "creation_timestamp", "tags",
             "aliases", "last_updated_timestamp", "response_format", "model_config")  # fmt: skip
    return {name: getattr(version, name) for name in names}


def _webhook(side: Side, webhook: Webhook) -> dict[str, Any]:
    fields = {name.removeprefix("_"): value for name, value in vars(webhook).items()}
    fields["webhook_id"] = side.by_name(webhook.webhook_id)
    fields["events"] = sorted(str(event) for event in webhook.events)
    return fields


PLAIN[ModelVersion] = _version
PLAIN[RegisteredModel] = _model
PLAIN[Prompt] = _prompt
PLAIN[PromptVersion] = _prompt_version
PLAIN[Webhook] = _webhook
