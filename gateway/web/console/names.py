"""What MLflow calls an experiment. Ids are what grants are about; people know names."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from gateway.errors import Unavailable
from gateway.model import Kind, Resource
from gateway.resolve import Ask
from gateway.routes.lookups import TAGS_OF, dig

_UNSAFE = re.compile(r"[^A-Za-z0-9 .@/-]", re.ASCII)
_MOST_PAGES = 10
_PAGE = 1000
_PROMPTS = " AND tags.`mlflow.prompt.is_prompt` = 'true'"
_UNREAD = "MLflow does not answer; the names cannot be shown right now."


class Names:
    """Asks MLflow for names, for what is on one page only."""

    def __init__(self, ask: Ask, prefix: str) -> None:
        """``ask`` sends a GET to MLflow; ``prefix``: its static prefix."""
        self._ask = ask
        self._prefix = prefix

    async def of(self, resources: Iterable[Resource]) -> Mapping[Resource, str]:
        """The names of those that MLflow knows; deleted ones say so."""
        asked = list(resources)
        found = await asyncio.gather(*(self.name(one) for one in asked))
        return {one: name for one, name in zip(asked, found, strict=True) if name is not None}

    async def name(self, resource: Resource) -> str | None:
        """The name of one; a model's is its id. None: MLflow has no such thing, or is down."""
        if resource.kind is Kind.MODEL:
            return resource.id
        try:
            answer = await self._get(TAGS_OF[resource.kind].target_for(resource.id))
        except Unavailable:
            return None
        name = dig(answer, "experiment.name")
        if not isinstance(name, str):
            return None
        deleted = dig(answer, "experiment.lifecycle_stage") == "deleted"
        return f"{name} (deleted)" if deleted else name

    async def experiments_like(self, text: str) -> frozenset[str]:
        """The ids of the experiments whose name contains ``text``, in any case.

        What might mean something in MLflow's filter language becomes the wildcard for one
        character, so nothing that a person types can end the quoted text; the comparison is made
        again here. Bounded: a server with more hits shows the first of them.
        """
        found = self._like("experiments/search", "experiments", text)
        return frozenset([str(one.get("experiment_id")) async for one in found])

    async def models_like(self, text: str) -> frozenset[str]:
        """The same of registered models and prompts, which MLflow lists apart."""
        models = self._like("registered-models/search", "registered_models", text)
        names = [str(one["name"]) async for one in models]
        prompts = self._like("registered-models/search", "registered_models", text, _PROMPTS)
        return frozenset([*names, *[str(one["name"]) async for one in prompts]])

    async def _like(
        self, search: str, rows: str, text: str, more: str = ""
    ) -> AsyncIterator[Mapping[str, Any]]:
        pattern = _UNSAFE.sub("_", text)
        fields = {"max_results": str(_PAGE), "filter": f"name ILIKE '%{pattern}%'{more}"}
        for _ in range(_MOST_PAGES):
            answer = await self._get(f"/api/2.0/mlflow/{search}?{urlencode(fields)}")
            for one in answer.get(rows) or ():
                if text.casefold() in str(one.get("name", "")).casefold():
                    yield one
            token = answer.get("next_page_token")
            if not token:
                break
            fields["page_token"] = str(token)

    async def _get(self, target: str) -> Mapping[str, Any]:
        status, body = await self._ask(self._prefix + target)
        if status in (400, 404):
            return {}
        try:
            answer = json.loads(body)
        except ValueError as problem:
            raise Unavailable(_UNREAD) from problem
        if status != 200 or not isinstance(answer, dict):
            raise Unavailable(_UNREAD, detail=f"a name: MLflow answered {status}")
        return answer
