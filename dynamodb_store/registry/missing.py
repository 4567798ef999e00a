"""What of the registry store's interface works as inherited; the rest has to be built."""

from __future__ import annotations

from mlflow.store.model_registry.abstract_store import AbstractStore

from dynamodb_store.interface import Interface

WORKS_AS_INHERITED = frozenset(
    {
        # versions are made of versions
        "copy_model_version",
        # prompts are registered models with a tag, and their versions carry the text
        "create_prompt",
        "create_prompt_version",
        "delete_prompt",
        "delete_prompt_alias",
        "delete_prompt_tag",
        "delete_prompt_version",
        "delete_prompt_version_tag",
        "get_prompt",
        "get_prompt_version",
        "get_prompt_version_by_alias",
        "search_prompt_versions",
        "search_prompts",
        "set_prompt_alias",
        "set_prompt_tag",
        "set_prompt_version_tag",
        # tags of traces, logged models and runs, which the tracking store has
        "link_prompt_version_to_model",
        "link_prompt_version_to_run",
        "link_prompts_to_trace",
    }
)

REGISTRY = Interface(AbstractStore, WORKS_AS_INHERITED)
