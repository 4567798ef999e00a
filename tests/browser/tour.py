"""What a tour of MLflow's pages needs: the pages and what they show, and an eye on their calls."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from playwright.async_api import Error, Page, Request, Response

REFUSED = {
    "/ajax-api/2.0/mlflow/users/current": 404,  # of MLflow's basic-auth app, which stays off
    "/ajax-api/3.0/mlflow/assistant/config": 403,  # a shell on MLflow's host
    "/ajax-api/3.0/mlflow/assistant/providers": 403,
}
"""Calls of every page that the gateway refuses to everyone, on any store."""

NOISE = ("Failed to load resource", "ResizeObserver loop")
"""Console lines that repeat a failing call, which is seen by itself, or that browsers print."""

QUIET = """
if (location.protocol === 'http:') {
  localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
  localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
}
"""
"""As after a person has closed the panel of MLflow's assistant."""


@dataclass
class Watch:
    """Collects failing calls and errors of scripts; knows when nothing is under way."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)
    _waiting: set[Request] = field(default_factory=set)
    _last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        on = self.page.on
        on("request", self._began)
        on("response", self._answered)
        on("requestfailed", lambda request: self._waiting.discard(request))
        on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        on("console", self._said)

    def _began(self, request: Request) -> None:
        if request.resource_type in ("fetch", "xhr"):  # a worker's script has no answer to see
            self._waiting.add(request)
            self._last = time.monotonic()

    def _answered(self, response: Response) -> None:
        self._waiting.discard(response.request)
        self._last = time.monotonic()
        path = response.url.removeprefix(self.base)
        if response.status >= 400 and REFUSED.get(path) != response.status:
            asked = response.request
            self.wrong.append(f"{response.status} {asked.method} {path} {asked.post_data or ''}")

    def _said(self, message: Any) -> None:
        if message.type == "error" and not any(part in message.text for part in NOISE):
            self.wrong.append(f"console: {message.text[:300]}")

    async def quiet(self, seconds: float = 60.0) -> None:
        """Wait until every call has its answer and none began for most of a second."""
        deadline = time.monotonic() + seconds
        while self._waiting or time.monotonic() - self._last < 0.7:
            if time.monotonic() > deadline:
                waiting = ", ".join(request.url for request in self._waiting)
                raise AssertionError(f"no answer in {seconds} s: {waiting}")
            await asyncio.sleep(0.1)  # polling a browser, with a deadline


def pages(made: dict[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By name: the address of a page, and texts that it shows."""
    training = f"/#/experiments/{made['training']}"
    assistant = f"/#/experiments/{made['assistant']}"
    runs, parent = made["runs"], f"{training}/runs/{made['parent']}"
    first = f"{training}/runs/{runs[0]}"
    model, prompt, prefix = made["model"], made["prompt"], made["prefix"]
    compared = f"runs={_json(runs[:3])}&experiments={_json([made['training']])}"
    versions = {str(number + 1): run for number, run in enumerate(made["model_runs"])}
    logged = f"{training}/models/{made['logged_model']}"
    curve = "metric=%22loss%22&plot_metric_keys=%5B%22loss%22%5D&plot_layout={}&x_axis=step"
    curve += "&y_axis_scale=linear&line_smoothness=1&show_point=false"
    curve += "&deselected_curves=%5B%5D&last_linear_y_axis_range=%5B%5D"
    both = _json([made["training"], made["assistant"]])
    return {
        "home": ("/#/", (f"{prefix}-training",)),
        "experiments": ("/#/experiments", (f"{prefix}-training", f"{prefix}-assistant")),
        "runs": (f"{training}/runs", ("run-29", "winter", "matching runs")),
        "charts": (f"{training}/runs?compareRunsMode=CHART", ("loss", "matching runs")),
        "compared experiments": (f"/#/compare-experiments/s?experiments={both}", ("run-29",)),
        "compare": (f"/#/compare-runs?{compared}", ("Comparing 3 Runs", "run-02", "val/accuracy")),
        "metric": (f"/#/metric?{compared}&{curve}", ("Completed Runs",)),
        "run": (first, ("run-00", "val/accuracy", "ü # / space", "winter (")),
        "parent": (parent, ("Best of two.", "search-1")),
        "run metrics": (f"{first}/model-metrics", ("accuracy", "loss")),
        "run traces": (f"{first}/traces", ()),
        "text": (f"{parent}/artifacts/notes/notes.txt", ("what was learnt",)),
        "picture": (f"{parent}/artifacts/square.png", ("square.png", "Path:")),
        "table": (f"{parent}/artifacts/table.json", ("because",)),
        "logged models": (f"{training}/models", ("autologged-1",)),
        "logged model": (logged, (made["logged_model"][:8], "training_accuracy_score")),
        "logged model files": (f"{logged}/artifacts", ("MLmodel",)),
        "models": ("/#/models", (model,)),
        "model": (f"/#/models/{model}", ("and why", "champion", "Version 2")),
        "version": (f"/#/models/{model}/versions/1", ("champion", "checked")),
        "compared versions": (
            f"/#/compare-model-versions?name={_json(model)}&runs={_json(versions)}",
            ("Comparing 2 Versions",)),
        "prompts": ("/#/prompts", (prompt,)),
        "prompt": (f"/#/prompts/{prompt}", ("Be short.", "production", "as a chat")),
        "prompts of an experiment": (f"{assistant}/prompts", (prompt,)),
        "usage": (f"{assistant}/overview/usage", ("Overall error rate: 8.3%", "Token Usage")),
        "quality": (f"{assistant}/overview/quality", ("correct", "relevance", "is_short")),
        "tool calls": (f"{assistant}/overview/tool-calls", ("90.00%", "10.00% overall error rate")),
        "traces": (f"{assistant}/traces", ("session-4", "billing", "24 of 24")),
        "trace": (f"{assistant}/traces/{made['traces'][1]}", ("expected", "121 tokens")),
        "failed trace": (f"{assistant}/traces/{made['traces'][6]}", ("the tool broke",)),
        "sessions": (f"{assistant}/chat-sessions", ("View Sessions in Traces tab",)),
        "session": (f"{assistant}/chat-sessions/session-1", ("answer 4", "answer 5")),
        "datasets": (f"{assistant}/datasets", (f"{prefix}-golden",)),
        "dataset": (f"{assistant}/datasets/{made['dataset']}", (f"{prefix}-golden", "because")),
        "evaluation runs": (f"{assistant}/evaluation-runs", ("is_short",)),
        "judges": (f"{assistant}/judges", ("manners",)),
        "reviews": (f"{assistant}/review-queue", ("first look",)),
        "settings": ("/#/settings/general", ("General",)),
    }  # fmt: skip


async def look(page: Page, watch: Watch, path: str, texts: tuple[str, ...]) -> list[str]:
    """Open one page; what is wrong with it, as sentences."""
    watch.wrong.clear()
    await page.goto("about:blank")  # so that the next one is loaded, not only its hash changed
    await page.goto(watch.base + path)
    await watch.quiet()
    missing = [text for text in texts if not await _shown(page, text)]
    await watch.quiet()
    return [*watch.wrong, *(f"does not show {text!r}" for text in missing)]


async def _shown(page: Page, text: str, seconds: float = 25.0) -> bool:
    with suppress(Error):
        await page.get_by_text(text).first.wait_for(state="attached", timeout=seconds * 1000)
        return True
    return False


def _json(value: Any) -> str:
    return quote(json.dumps(value, separators=(",", ":")), safe="")
