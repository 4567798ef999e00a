"""MLflow's own UI with its data in DynamoDB Local, as ``mlgate up`` starts it: a tour of it.

Everything that the pages show was logged with the real client (``day_of_work.py``). A page passes
when it shows what was logged, and no call of it failed but those that the gateway refuses to all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.browser.tools import fetch_chromium, launch
from tests.browser.tour import QUIET, Watch, look, pages
from tests.dynamodb_local import jars_folder
from tests.e2e.test_up import Up, running_up
from tests.stack import ROOT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
SCRIPT = Path(__file__).parent / "day_of_work.py"


@dataclass
class Logged:
    """A running ``mlgate up``, and what alice logged."""

    up: Up
    made: dict[str, Any]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    fetch_chromium()
    folder = tmp_path_factory.mktemp("up")
    place = folder / "data" / "dynamodb-local"
    place.mkdir(parents=True)
    (place / "jars").symlink_to(jars_folder())  # as after the first fetch
    option = ("--store", "dynamodb-local")
    with running_up(folder / "data", folder / "up.log", None, *option) as up:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "day"],
            capture_output=True, text=True, check=False, cwd=folder, timeout=400,
            env={
                **clean,
                "PYTHONPATH": str(ROOT),
                "MLFLOW_TRACKING_URI": up.process.url,
                "MLFLOW_TRACKING_TOKEN": up.token("alice"),
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (last,) = [line for line in done.stdout.splitlines() if line.startswith('{"prefix"')]
        yield Logged(up, json.loads(last))


async def _signed_in(page: Page, up: Up) -> None:
    await page.add_init_script(QUIET)
    await page.goto(up.process.url + "/")
    await page.fill("#username", "alice")
    await page.fill("#password", up.password("alice"))
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{up.process.url}/**")


async def test_every_page_shows_what_was_logged(logged: Logged, tmp_path: Path) -> None:
    wrong: dict[str, list[str]] = {}
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await _signed_in(page, logged.up)
        watch = Watch(page, logged.up.process.url)
        for name, (path, texts) in pages(logged.made).items():
            found = await look(page, watch, path, texts)
            await page.screenshot(path=tmp_path / f"{name}.png")
            if found:
                wrong[name] = found
        await browser.close()
    assert wrong == {}, f"screenshots in {tmp_path}"


async def test_a_run_is_deleted_and_restored_with_the_buttons(logged: Logged) -> None:
    training = logged.made["training"]
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(30_000)
        await _signed_in(page, logged.up)
        watch = Watch(page, logged.up.process.url)
        runs = f"{logged.up.process.url}/#/experiments/{training}/runs"
        for state, button in (("ACTIVE", "Delete"), ("DELETED", "Restore")):
            await page.goto("about:blank")
            await page.goto(f"{runs}?lifecycleFilter={state.title()}")
            row = page.locator(".ag-row").filter(has_text="run-29")
            await row.locator("input[type=checkbox]").first.click()
            await page.get_by_role("button", name=button, exact=True).first.click()
            confirm = page.get_by_role("dialog").get_by_role(
                "button", name=re.compile(rf"^{button}")
            )
            await confirm.last.click()
            await expect(page.get_by_text("run-29")).to_have_count(0, timeout=30_000)
            await watch.quiet()
            assert _state(logged) == ("deleted" if button == "Delete" else "active")
        assert watch.wrong == []
        await browser.close()


def _state(logged: Logged) -> Any:
    """The stage of the last run, asked for by the client's way."""
    run = logged.made["runs"][-1]
    found = logged.up.post(
        "alice",
        "runs/search",
        {
            "experiment_ids": [logged.made["training"]],
            "run_view_type": "ALL",
            "filter": f"attributes.run_id = '{run}'",
        },
    )
    return found["runs"][0]["info"]["lifecycle_stage"]
