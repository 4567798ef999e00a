"""``/access/tokens``: my API tokens and those of my team's service accounts."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import quote

from aiohttp import web

from gateway.acl.store import PersonRecord
from gateway.clock import Clock
from gateway.errors import BadRequest, GatewayError
from gateway.settings import Settings
from gateway.web.api.tokens import TokensApi
from gateway.web.console.directory import Directory
from gateway.web.console.shell import console_page, moment, spelled
from gateway.web.own import Endpoint, OwnCall
from gateway.web.pages import see_other

_FIELDS = frozenset({"do", "label", "days", "id", "of"})
_LIVES = (1, 7, 30, 90, 180, 365)


class TokenPages:
    """Lists, makes and revokes; a secret is on one page once, and nowhere else."""

    def __init__(
        self, settings: Settings, tokens: TokensApi, directory: Directory, clock: Clock
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._directory = directory
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "tokens", "tokens/list", self.show),
            Endpoint("POST", "tokens", "tokens/change", self.change, form=True),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The page; ``of``: a service account instead of oneself."""
        return await self._page(call, call.query.get("of") or call.principal.name)

    async def change(self, call: OwnCall) -> web.StreamResponse:
        """Make a token and show it, this once; or revoke one and go back to the page."""
        if not all(isinstance(value, str) for value in call.body.values()):
            raise BadRequest("The form is not the one of this page; load the page again.")
        of = call.body.get("of") or call.principal.name
        try:
            if set(call.body) - _FIELDS or call.body.get("do") not in ("create", "revoke"):
                raise BadRequest("The form is not the one of this page; load the page again.")
            if call.body["do"] == "revoke":
                call.trail.call = "tokens/revoke"
                await self._tokens.end(call, call.body.get("id", ""))
                return see_other(f"/access/tokens?of={quote(of, safe='')}&done=1")
            call.trail.call = "tokens/create"
            body = {"principal": of, "label": call.body.get("label", "").strip()}
            made = dataclasses.replace(call, body={**body, "days": _days(call.body)})
            secret, record = await self._tokens.make(made)
        except GatewayError as refused:
            return await self._page(call, of, refused)
        return await self._page(call, record.principal, secret=secret)

    async def _page(
        self, call: OwnCall, of: str, refused: GatewayError | None = None, secret: str | None = None
    ) -> web.StreamResponse:
        bounds, now = self._settings.tokens, self._clock.now()
        records = await self._tokens.records(call, of)
        rows = [
            {
                "id": one.id,
                "label": one.label or "(no label)",
                "created": moment(one.created),
                "expires": moment(one.expires),
                "expired": one.expires <= now,
                "used": moment(one.last_used),
                "by": spelled(one.created_by) if one.created_by != of else None,
            }
            for one in records
        ]
        lives = {d for d in (*_LIVES, bounds.default_days) if d <= bounds.max_days}
        return console_page(
            call,
            "tokens.html",
            here="tokens",
            refused=refused,
            of=of,
            mine=of == call.principal.name,
            name=spelled(of),
            accounts=[one.name for one in await self._accounts(call)],
            rows=rows,
            lives=sorted(lives),
            default=bounds.default_days,
            secret=secret,
            examples=self._examples(of, secret) if secret is not None else {},
            file=_data_url(self._variables(secret)) if secret is not None else "",
            done="done" in call.query,
        )

    async def _accounts(self, call: OwnCall) -> list[PersonRecord]:
        me = call.principal
        return [
            one
            for one in await self._directory.people()
            if one.name.startswith("service:") and (me.admin or me.groups.intersection(one.groups))
        ]

    def _address(self) -> str:
        return self._settings.public_url.rstrip("/") + self._settings.upstream.static_prefix

    def _variables(self, secret: str) -> str:
        return f"MLFLOW_TRACKING_URI={self._address()}\nMLFLOW_TRACKING_TOKEN={secret}\n"

    def _examples(self, of: str, secret: str) -> dict[str, str]:
        """Two lines each, to be copied."""
        url = self._address()
        return {
            "Shell (for any client)": f"export MLFLOW_TRACKING_URI={url}\n"
            f"export MLFLOW_TRACKING_TOKEN={secret}",
            "Python": f'import os, mlflow; os.environ["MLFLOW_TRACKING_TOKEN"] = "{secret}"\n'
            f'mlflow.set_tracking_uri("{url}")',
            "curl": f"export MLFLOW_TRACKING_TOKEN={secret}\n"
            'curl -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN" '
            f'"{url}/api/2.0/mlflow/experiments/search?max_results=10"',
            "R": f'Sys.setenv(MLFLOW_TRACKING_URI = "{url}", MLFLOW_TRACKING_TOKEN = "{secret}")\n'
            "library(mlflow)",
            "Java": "MlflowClient client = new MlflowClient(new BasicMlflowHostCreds(\n"
            f'    "{url}", {json.dumps(of.partition(":")[2])}, "{secret}"));',
        }


def _days(body: object) -> float | None:
    text = body.get("days", "") if isinstance(body, dict) else ""
    if not text:
        return None
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 6):
        raise BadRequest("The number of days is a whole number.")
    return int(text)


def _data_url(text: str) -> str:
    return "data:text/plain;charset=utf-8," + quote(text, safe="")
