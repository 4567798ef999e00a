"""``/access/tokens``: my API tokens, or those of a service account of my team."""

from __future__ import annotations

import dataclasses
from urllib.parse import quote

from aiohttp import web

from gateway.acl.store import TokenRecord
from gateway.clock import Clock
from gateway.errors import BadRequest, GatewayError, NotFound
from gateway.settings import Settings
from gateway.web.api.tokens import TokensApi
from gateway.web.console.shell import console_page, moment, spelled
from gateway.web.own import Endpoint, OwnCall
from gateway.web.pages import see_other

_FIELDS = frozenset({"do", "label", "days", "id", "of"})
_DOES = ("create", "revoke", "replace")
_LIVES = (1, 7, 30, 90, 180, 365)
_DAY = 86_400.0


class TokenPages:
    """Lists, makes, replaces and revokes; a secret is on one page once, and nowhere else."""

    def __init__(self, settings: Settings, tokens: TokensApi, clock: Clock) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "tokens", "tokens/list", self.show),
            Endpoint("POST", "tokens", "tokens/change", self.change, form=True),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The page; ``of``: a service account instead of oneself."""
        return await self.page(call, call.query.get("of") or call.principal.name)

    async def change(self, call: OwnCall) -> web.StreamResponse:
        """Make a token and show it, this once; or revoke one and go back to the page.

        A token that is replaced goes on until it is revoked: its jobs have to get the new one.
        """
        if not all(isinstance(value, str) for value in call.body.values()):
            raise BadRequest("The form is not the one of this page; load the page again.")
        of = call.body.get("of") or call.principal.name
        old: TokenRecord | None = None
        try:
            if set(call.body) - _FIELDS or call.body.get("do") not in _DOES:
                raise BadRequest("The form is not the one of this page; load the page again.")
            if call.body["do"] == "revoke":
                call.trail.call = "tokens/revoke"
                await self._tokens.end(call, call.body.get("id", ""))
                return see_other(f"/access/tokens?of={quote(of, safe='')}&done=1")
            call.trail.call = "tokens/create"
            label, days = call.body.get("label", "").strip(), days_of(call.body)
            if call.body["do"] == "replace":
                old = await self._one(call, of, call.body.get("id", ""))
                days = min((old.expires - old.created) / _DAY, self._settings.tokens.max_days)
                label = old.label
            body = {"principal": of, "label": label, "days": days}
            secret, record = await self._tokens.make(dataclasses.replace(call, body=body))
        except GatewayError as refused:
            return await self.page(call, of, refused)
        return await self.page(call, record.principal, secret=secret, old=old)

    async def page(
        self,
        call: OwnCall,
        of: str,
        refused: GatewayError | None = None,
        *,
        secret: str | None = None,
        old: TokenRecord | None = None,
    ) -> web.StreamResponse:
        """The tokens of ``of``; with a new one's secret, and the one that it is to replace."""
        now = self._clock.now()
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
        lives, default = self.lives()
        return console_page(
            call,
            "tokens.html",
            here="services" if of.startswith("service:") else "tokens",
            refused=refused,
            of=of,
            mine=of == call.principal.name,
            may_make=of == call.principal.name or of.startswith("service:"),
            name=spelled(of),
            rows=rows,
            lives=lives,
            default=default,
            secret=secret,
            old=old,
            examples=self._examples(secret) if secret is not None else {},
            file=_data_url(self._variables(secret)) if secret is not None else "",
            done="done" in call.query,
        )

    def lives(self) -> tuple[list[float], float]:
        """How many days may be chosen, and which are chosen at first."""
        bounds = self._settings.tokens
        offered = {d for d in (*_LIVES, bounds.default_days) if d <= bounds.max_days}
        return sorted(offered), bounds.default_days

    async def _one(self, call: OwnCall, of: str, token_id: str) -> TokenRecord:
        for record in await self._tokens.records(call, of):
            if record.id == token_id:
                return record
        raise NotFound("You have no token with this id.")

    def _address(self) -> str:
        return self._settings.public_url.rstrip("/") + self._settings.upstream.static_prefix

    def _variables(self, secret: str) -> str:
        return f"MLFLOW_TRACKING_URI={self._address()}\nMLFLOW_TRACKING_TOKEN={secret}\n"

    def _examples(self, secret: str) -> dict[str, str]:
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
            "Java": "MlflowClient client = new MlflowClient(\n"
            f'    new BasicMlflowHostCreds("{url}", "{secret}"));',
        }


def days_of(body: object) -> float | None:
    """The days that a form says; None: it leaves them to the settings. Raises BadRequest."""
    text = body.get("days", "") if isinstance(body, dict) else ""
    if not text:
        return None
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 6):
        raise BadRequest("The number of days is a whole number.")
    return int(text)


def _data_url(text: str) -> str:
    return "data:text/plain;charset=utf-8," + quote(text, safe="")
