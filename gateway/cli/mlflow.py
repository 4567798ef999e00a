"""MLflow as the command line asks it: by identifier, and every experiment and model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

from gateway.cli.common import Http, Stop, mlflow_at, resource_from
from gateway.model import Kind, Resource
from gateway.routes.lookups import LOOKUPS, TAGS_OF, tag_dict, tags_in
from gateway.routes.route import RefKind
from gateway.settings import Settings

PAGE = 1000
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"
_BY_NAME = "by-name:"


class Mlflow:
    """One MLflow server. Raises Stop when it cannot be reached or refuses."""

    def __init__(self, http: Http, prefix: str) -> None:
        self._http = http
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator[Mlflow]:
        """The first upstream that the settings name."""
        async with mlflow_at(settings.upstream) as http:
            yield cls(http, settings.upstream.static_prefix)

    async def tags(self, resource: Resource) -> dict[str, str] | None:
        """The tags of a resource, or None when MLflow has no such thing."""
        answer = await self._get(TAGS_OF[resource.kind].target_for(resource.id))
        return None if answer is None else tags_in(answer, resource)

    async def resources_of(self, text: str) -> tuple[Resource, ...]:
        """What ``experiment:5``, ``experiment:by-name:x``, ``model:x``, ``run:ID`` … names."""
        kind, _, value = text.partition(":")
        if kind == Kind.EXPERIMENT and value.startswith(_BY_NAME):
            kind, value = RefKind.EXPERIMENT_NAME.value, value.removeprefix(_BY_NAME)
        looked_up = {ref.value: ref for ref in LOOKUPS}
        if kind not in looked_up:
            return (resource_from(text),)
        lookup = LOOKUPS[looked_up[kind]]
        answer = await self._get(lookup.target_for(value))
        found = lookup.experiments_in(answer, value) if answer is not None else ()
        if not found:
            raise Stop(f"MLflow has no {kind.replace('_', ' ')} '{value}'")
        return tuple(Resource(Kind.EXPERIMENT, one) for one in found)

    async def all(self, kind: Kind) -> AsyncIterator[tuple[Resource, dict[str, str]]]:
        """Every resource of a kind (deleted experiments and prompts too) with its tags."""
        if kind is Kind.EXPERIMENT:
            query = {"max_results": PAGE, "view_type": "ALL"}
            async for row in self.pages("experiments/search", "experiments", query):
                yield Resource(kind, str(row["experiment_id"])), tag_dict(row.get("tags"))
            return
        for search in ({}, {"filter": _PROMPTS}):
            query = {"max_results": PAGE, **search}
            async for row in self.pages("registered-models/search", "registered_models", query):
                yield Resource(kind, str(row["name"])), tag_dict(row.get("tags"))

    async def first_user(self, resource: Resource) -> str | None:
        """Who logged the first run of an experiment, or the run of a model's first version."""
        if resource.kind is Kind.EXPERIMENT:
            body = {
                "experiment_ids": [resource.id],
                "max_results": 1,
                "order_by": ["attributes.start_time ASC"],
                "run_view_type": "ALL",
            }
            answer = await self._post("runs/search", body)
            runs = answer.get("runs") or []
            return _user_of(runs[0]) if runs else None
        # MLflow's filters know no way to escape a quote, only the other kind.
        quoted = next((q for q in "'\"" if q not in resource.id), None)
        if quoted is None:
            return None
        query = {"filter": f"name = {quoted}{resource.id}{quoted}", "max_results": PAGE}
        versions = [v async for v in self.pages("model-versions/search", "model_versions", query)]
        versions.sort(key=lambda version: int(version.get("version", 0)))
        for version in versions:
            if version.get("user_id"):
                return str(version["user_id"])
            if run_id := version.get("run_id"):
                target = f"/api/2.0/mlflow/runs/get?run_id={quote(str(run_id), safe='')}"
                answer = await self._get(target) or {}
                if user := _user_of(answer.get("run", {})):
                    return user
        return None

    async def pages(
        self, call: str, rows: str, query: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """The rows of a paged GET search."""
        token = ""
        while True:
            asked = {**query, "page_token": token} if token else dict(query)
            answer = await self._get(f"/api/2.0/mlflow/{call}?{urlencode(asked, quote_via=quote)}")
            for row in (answer or {}).get(rows) or ():
                yield row
            token = (answer or {}).get("next_page_token") or ""
            if not token:
                return

    async def _get(self, target: str) -> dict[str, Any] | None:
        status, answer = await self._http.call("GET", self._prefix + target)
        if status == 404:
            return None
        return self._checked(status, answer, target)

    async def _post(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        target = f"/api/2.0/mlflow/{call}"
        status, answer = await self._http.call("POST", self._prefix + target, body)
        return self._checked(status, answer, target)

    def _checked(self, status: int, answer: dict[str, Any], target: str) -> dict[str, Any]:
        if status == 200:
            return answer
        path = target.partition("?")[0]
        why = str(answer.get("message") or "is it an MLflow server?")[:300]
        raise Stop(f"{self._http.base}{path} answered {status}: {why}")


def _user_of(run: Mapping[str, Any]) -> str | None:
    tags = tag_dict((run.get("data") or {}).get("tags"))
    return tags.get("mlflow.user") or (run.get("info") or {}).get("user_id") or None
