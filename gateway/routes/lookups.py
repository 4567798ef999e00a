"""How to ask MLflow where an identifier belongs: one small table, and how to read its answers.

The gateway asks with the very id that it will forward, and believes only an answer that
echoes it: a database that compares loosely (case, trailing blanks) must not answer for
another spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.model import Kind, Resource
from gateway.routes.route import RefKind


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question to MLflow. ``{id}`` in ``target`` is the escaped identifier.

    ``experiment`` is where the answer names the experiment (``[]``: a list of them); ``echo``
    where it repeats the identifier.
    """

    target: str
    experiment: str
    echo: str | None
    stays: bool = True
    """The mapping never changes, so it may be remembered."""

    def target_for(self, value: str) -> str:
        """The request target that asks about one identifier."""
        return self.target.replace("{id}", quote(value, safe="-._~"))

    def experiments_in(self, answer: Mapping[str, Any], value: str) -> tuple[str, ...]:
        """The experiment ids of an answer; empty when it speaks of something else."""
        if self.echo is not None and dig(answer, self.echo) != value:
            return ()
        found = dig(answer, self.experiment.removesuffix("[]"))
        listed = found if isinstance(found, list) else [found]
        return tuple(str(one) for one in listed if isinstance(one, str | int) and str(one))


LOOKUPS: Mapping[RefKind, Lookup] = {
    RefKind.EXPERIMENT_NAME: Lookup(
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name={id}",
        "experiment.experiment_id",
        "experiment.name",
        stays=False,  # experiments can be renamed
    ),
    RefKind.RUN: Lookup(
        "/api/2.0/mlflow/runs/get?run_id={id}", "run.info.experiment_id", "run.info.run_id"
    ),
    RefKind.TRACE: Lookup(
        "/api/3.0/mlflow/traces/{id}",
        "trace.trace_info.trace_location.mlflow_experiment.experiment_id",
        "trace.trace_info.trace_id",
    ),
    RefKind.LOGGED_MODEL: Lookup(
        "/api/2.0/mlflow/logged-models/{id}", "model.info.experiment_id", "model.info.model_id"
    ),
    RefKind.DATASET: Lookup(
        "/api/3.0/mlflow/datasets/{id}/experiment-ids",
        "experiment_ids[]",
        None,
        stays=False,  # datasets are linked to and unlinked from experiments
    ),
    RefKind.ISSUE: Lookup("/api/3.0/mlflow/issues/{id}", "issue.experiment_id", "issue.issue_id"),
    RefKind.LABEL_SCHEMA: Lookup(
        "/api/3.0/mlflow/label-schemas/get?schema_id={id}",
        "label_schema.experiment_id",
        "label_schema.schema_id",
    ),
    RefKind.REVIEW_QUEUE: Lookup(
        "/api/3.0/mlflow/review-queues/get?queue_id={id}",
        "review_queue.experiment_id",
        "review_queue.queue_id",
    ),
    RefKind.PROMPT_JOB: Lookup(
        "/api/3.0/mlflow/prompt-optimization/jobs/{id}", "job.experiment_id", "job.job_id"
    ),
}

TAGS_OF: Mapping[Kind, Lookup] = {
    Kind.EXPERIMENT: Lookup(
        "/api/2.0/mlflow/experiments/get?experiment_id={id}",
        "experiment.tags",
        "experiment.experiment_id",
    ),
    Kind.MODEL: Lookup(
        "/api/2.0/mlflow/registered-models/get?name={id}",
        "registered_model.tags",
        "registered_model.name",
    ),
}
"""Where the ownership tags of a resource are read (``experiment`` holds the tags' place)."""

ARTIFACT_ROOT: Mapping[RefKind, str] = {
    RefKind.RUN: "run.info.artifact_uri",
    RefKind.LOGGED_MODEL: "model.info.artifact_uri",
}


def dig(value: Any, place: str) -> Any:
    """The value at a dotted place of nested objects, or None."""
    for step in place.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def tags_in(answer: Mapping[str, Any], resource: Resource) -> dict[str, str] | None:
    """The tags of a resource from MLflow's answer; None when it speaks of something else."""
    lookup = TAGS_OF[resource.kind]
    if lookup.echo is None or dig(answer, lookup.echo) != resource.id:
        return None
    return tag_dict(dig(answer, lookup.experiment))


def tag_dict(tags: Any) -> dict[str, str]:
    """MLflow's ``[{"key": …, "value": …}]`` as a dictionary."""
    return {
        tag["key"]: tag.get("value", "")
        for tag in tags or ()
        if isinstance(tag, Mapping) and isinstance(tag.get("key"), str)
    }


# --- where a model version's artifacts are ----------------------------------------------------

PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
# MLflow takes these apart with urlparse, for which a query begins at '?' and a fragment at '#':
# models:/m-1?x/1 is the logged model m-1 there, and so is whatever has no version or alias.
# '%' could be decoded on the way to a file.
_MODEL_ID_URI = re.compile(r"models:/(m-[A-Za-z0-9]+)", re.ASCII)
_MODEL_NAME_URI = re.compile(r"(?:models|prompts):/([^/@?#]+)(?:/[^/@?#]+|@[^/@?#]+)")
_PROMPT_NAME_URI = re.compile(r"prompts:/([^/@?#]+)")
_RUN_URI = re.compile(r"runs:/([A-Za-z0-9][A-Za-z0-9_-]*)/([^?#%\\]+)", re.ASCII)
_PROXIED = re.compile(r"mlflow-artifacts:/(0|[1-9][0-9]*)(/[^/%\\?#;\s][^/%\\?#;]*)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """What a model version's ``source`` points to.

    Exactly one of ``kind``/``id`` (a ref to resolve), ``under`` (an URI that must lie below the
    artifact root of the run or logged model named beside it) or neither (nothing to read).
    """

    kind: RefKind | None = None
    id: str = ""
    under: str = ""


def parse_source(source: str) -> Source:
    """Read a model version's ``source``; what is not understood must lie under its run."""
    if source in PROMPT_SOURCES:
        return Source()
    if found := _MODEL_ID_URI.fullmatch(source):
        return Source(RefKind.LOGGED_MODEL, found[1])
    if source.startswith(("models:", "prompts:")):
        return parse_model_uri(source)
    if (found := _RUN_URI.fullmatch(source)) and not _climbs(found[2]):
        return Source(RefKind.RUN, found[1])
    if (found := _PROXIED.fullmatch(source)) and not _climbs(source):
        return Source(RefKind.EXPERIMENT, found[1])
    return Source(under=source)


def parse_model_uri(uri: str) -> Source:
    """Read ``models:/name/version``, ``models:/name@alias``, ``prompts:/…``, ``models:/m-…``."""
    if found := _MODEL_ID_URI.fullmatch(uri):
        return Source(RefKind.LOGGED_MODEL, found[1])
    if found := _MODEL_NAME_URI.fullmatch(uri) or _PROMPT_NAME_URI.fullmatch(uri):
        return Source(RefKind.MODEL, found[1])
    return Source(under=uri)


def lies_under(uri: str, root: str | None) -> bool:
    """Whether ``uri`` is the artifact root or below it, without any way back up."""
    root = (root or "").rstrip("/")
    if not root or _climbs(uri) or "%" in uri or "?" in uri or "#" in uri:
        return False
    return uri == root or uri.startswith(root + "/")


def _climbs(uri: str) -> bool:
    return any(part in (".", "..") for part in uri.split("/"))
