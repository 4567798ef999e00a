"""MLflow's own UI, unmodified, through the gateway: what a data scientist opens in a day's work."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage, Site, eventually, sign_in
from tests.browser.tour import Watch
from tests.e2e.world import API, name_of
from tests.stack import http

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

WORK = """
import json, sys, mlflow, numpy
name, model = sys.argv[1:3]
mlflow.set_experiment(name)
ids = []
for number in range(2):
    with mlflow.start_run(run_name=f"run-{number}") as run:
        mlflow.log_params({"depth": number, "rate": 0.1})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1 + number), step=step)
        mlflow.log_text("what was learnt", "notes.txt")
        picture = numpy.zeros((48, 64, 3), dtype=numpy.uint8)
        picture[12:36, 16:48] = [200, 80, 20]
        mlflow.log_image(picture, "pictures/box.png")
        ids.append(run.info.run_id)
with mlflow.start_span(name="question") as span:
    span.set_inputs({"q": "why"})
    span.set_outputs({"a": "because"})
client = mlflow.MlflowClient()
client.create_registered_model(model)
client.create_model_version(model, f"runs:/{ids[0]}/model", ids[0])
mlflow.genai.register_prompt(name=model + "-prompt", template="Say {{what}}")
mlflow.flush_trace_async_logging()
print(json.dumps([mlflow.get_experiment_by_name(name).experiment_id, *ids]))
"""

DOWNLOAD = "[data-component-id$='components_artifactview.tsx_337']"
"""MLflow's button beside a preview; it has no text."""

IGNORED = (
    "/users/current",  # of MLflow's own basic-auth app, which stays off
    "/assistant/",  # a shell on MLflow's host: refused for everyone
    "/demo/",
    "/gateway/",
    "/mcp-servers",
    "/jobs",
    "/favicon",
)
"""Calls of MLflow's page that the gateway refuses to people who are no admins."""


@dataclass
class Work:
    """What was logged with the real client, as alice."""

    experiment: str
    name: str
    runs: tuple[str, str]
    model: str


@pytest.fixture(scope="module")
def work(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Work:
    name, model = name_of("day"), name_of("churn")
    folder: Path = tmp_path_factory.mktemp("work")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, name, model],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=240,
        env={
            **clean,
            "MLFLOW_TRACKING_URI": site.url,
            "MLFLOW_TRACKING_TOKEN": site.tokens["alice"],
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    last = [line for line in done.stdout.splitlines() if line.startswith("[")][-1]
    experiment, one, two = last.strip('[]"').replace('"', "").split(", ")
    return Work(experiment, name, (one, two), model)


def watch(page: Page) -> list[str]:
    """Collects what the page asked for and was refused, and errors of its scripts."""
    wrong: list[str] = []

    def seen(response: object) -> None:
        status, url = response.status, response.url  # type: ignore[attr-defined]
        if status >= 400 and not any(part in url for part in IGNORED):
            wrong.append(f"{status} {url}")

    page.on("response", seen)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    return wrong


async def test_a_days_work(site: Site, person: NewPage, work: Work) -> None:
    page = await person()
    await sign_in(page, site, "alice")
    wrong = watch(page)
    one, two = work.runs
    runs = quote(f'["{one}","{two}"]', safe="")
    compared = quote(f'["{work.experiment}"]', safe="")
    tour = {
        "experiments": ("/#/experiments", work.name),
        "runs": (f"/#/experiments/{work.experiment}/runs", "run-1"),
        "charts": (f"/#/experiments/{work.experiment}/runs?compareRunsMode=CHART", "loss"),
        "run": (f"/#/experiments/{work.experiment}/runs/{one}", "depth"),
        "metrics": (f"/#/experiments/{work.experiment}/runs/{one}/model-metrics", "loss"),
        "artifacts": (f"/#/experiments/{work.experiment}/runs/{one}/artifacts", "notes.txt"),
        "compare": (f"/#/compare-runs?runs={runs}&experiments={compared}", "rate"),
        "traces": (f"/#/experiments/{work.experiment}/traces?startTime=ALL", "question"),
        "models": ("/#/models", work.model),
        "model": (f"/#/models/{work.model}", "Version 1"),
        "prompts": ("/#/prompts", f"{work.model}-prompt"),
        "settings": ("/#/settings/general", "General"),
    }
    missing = []
    for name, (path, text) in tour.items():
        await page.goto(site.url + path)
        try:
            await expect(page.get_by_text(text).first).to_be_visible()
        except AssertionError:
            missing.append(name)
        await page.screenshot(path=str(site.folder / f"ui-{name}.png"))
    assert missing == []
    await page.goto(f"{site.url}/#/experiments/{work.experiment}/runs/{one}/artifacts")
    await page.get_by_text("notes.txt").first.click()
    await expect(page.get_by_text("what was learnt")).to_be_visible()
    assert wrong == []


async def test_artifacts_are_shown_and_downloaded(
    site: Site, person: NewPage, work: Work, tmp_path: Path
) -> None:
    page = await person()
    await sign_in(page, site, "alice")
    wrong = watch(page)
    run = work.runs[0]
    folder = f"{site.url}/#/experiments/{work.experiment}/runs/{run}/artifacts"
    kept = site.folder  # screenshots, to be looked at
    for name, shown in (("notes.txt", "what was learnt"), ("pictures/box.png", None)):
        await page.goto("about:blank")
        await page.goto(f"{folder}/{name}")
        if shown is not None:
            await expect(page.get_by_text(shown)).to_be_visible()
        else:
            sizes = "[...document.images].map(one => [one.naturalWidth, one.naturalHeight])"

            async def drawn(ask: str = sizes) -> bool:
                return [64, 48] in await page.evaluate(ask)

            await eventually(drawn)
        await page.screenshot(path=str(kept / f"ui-artifact-{Path(name).stem}.png"))
        async with page.expect_download() as download:
            await page.locator(DOWNLOAD).click()
        file = tmp_path / Path(name).name
        await (await download.value).save_as(file)
        path = f"/get-artifact?run_uuid={run}&path={quote(name, safe='')}"
        straight = http("GET", site.mlflow.url + path)
        assert straight.status == 200
        assert file.read_bytes() == straight.body
    assert (tmp_path / "notes.txt").read_text() == "what was learnt"
    assert wrong == []


async def test_deleting_and_restoring_in_the_ui(site: Site, person: NewPage, work: Work) -> None:
    page = await person()
    await sign_in(page, site, "alice", f"/#/experiments/{work.experiment}/runs")
    wrong = watch(page)
    calls = [
        ("runs/delete", {"run_id": work.runs[1]}, "runs/get?run_id=" + work.runs[1], "deleted"),
        ("runs/restore", {"run_id": work.runs[1]}, "runs/get?run_id=" + work.runs[1], "active"),
    ]
    for call, body, read, stage in calls:
        # As MLflow's page sends it: same origin, JSON, the ajax twin of the path.
        status = await page.evaluate(
            """async ([path, body]) => (await fetch(path, {method: 'POST',
                headers: {'Content-Type': 'application/json'},
                body: JSON.stringify(body)})).status""",
            [f"/ajax-api/2.0/mlflow/{call}", body],
        )
        assert status == 200
        answer = http("GET", f"{site.url}{API}/{read}", token=site.tokens["alice"]).json()
        assert answer["run"]["info"]["lifecycle_stage"] == stage
    assert wrong == []


async def test_what_is_not_shared_is_not_there(site: Site, person: NewPage, work: Work) -> None:
    page = await person()
    await sign_in(page, site, "carol", "/#/experiments")
    await expect(page.get_by_role("button", name="Menu of carol@example.com")).to_be_visible()
    watch = Watch(page, site.url)
    async with page.expect_response(lambda one: "/registered-models/search" in one.url):
        await page.goto(f"{site.url}/#/models")
    await watch.quiet()
    assert work.model not in await page.content()
    assert work.name not in await page.content()
