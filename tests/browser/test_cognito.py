"""Cognito's peculiarities in Chromium: its hosted UI, its groups, its refresh, its logout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewPage, eventually, whoami
from tests.browser.hosted_ui import PASSWORD
from tests.stack import ROOT, Stack, free_port, start_gateway

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

SETTINGS = """
session: {{refresh_seconds: 5}}
identity:
  - type: cognito
    name: staff
    issuer: {issuer}
    client_id: {client}
"""


@dataclass
class Cognito:
    url: str
    issuer: str
    hosted_ui: subprocess.Popen[str]

    def move(self, name: str, *groups: str) -> None:
        assert self.hosted_ui.stdin is not None
        assert self.hosted_ui.stdout is not None
        self.hosted_ui.stdin.write(" ".join((name, *groups)) + "\n")
        self.hosted_ui.stdin.flush()
        assert self.hosted_ui.stdout.readline() == "moved\n"


@pytest.fixture
def cognito(stack: Stack, tmp_path: Path) -> Iterator[Cognito]:
    port, ui = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ui}"
    command = [sys.executable, "-m", "tests.browser.hosted_ui", str(ui)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    hosted_ui = subprocess.Popen(
        [*command, f"{url}/access/callback", f"{url}/access/logout"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), "AWS_ACCESS_KEY_ID": "testing",
             "AWS_SECRET_ACCESS_KEY": "testing"},
    )  # fmt: skip
    assert hosted_ui.stdout is not None
    client = hosted_ui.stdout.readline().strip()
    gateway = start_gateway(
        tmp_path, [stack.mlflow.url], port=port, more=SETTINGS.format(issuer=issuer, client=client)
    )
    try:
        gateway.wait_for("/access/readyz")
        yield Cognito(url, issuer, hosted_ui)
    finally:
        gateway.stop()
        hosted_ui.terminate()
        hosted_ui.communicate(timeout=10)


async def test_sign_in_refresh_and_sign_out_at_the_hosted_ui(
    cognito: Cognito, person: NewPage
) -> None:
    page = await person()
    await page.goto(cognito.url + "/#/experiments")
    await page.wait_for_url(f"{cognito.issuer}/oauth2/authorize**")
    await page.fill("input[name=username]", "alice")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("button")
    await page.wait_for_url(f"{cognito.url}/#/experiments**")
    who = await whoami(page)
    assert (who["principal"], who["groups"]) == ("user:alice", ["data-science"])

    async def moved() -> bool:
        return bool((await whoami(page))["groups"] == ["data-science", "research"])

    cognito.move("alice", "data-science", "research")
    await eventually(moved)

    # Again at once: the hosted UI remembers.
    await page.context.clear_cookies(name=f"mlgate-{cognito.url.rpartition(':')[2]}")
    await page.goto("about:blank")
    await page.goto(cognito.url + "/#/models")
    await page.wait_for_url(f"{cognito.url}/#/models**")
    assert (await whoami(page))["principal"] == "user:alice"

    await page.goto(cognito.url + "/access/logout")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(f"{cognito.url}/access/logout")
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    await page.get_by_role("link", name="Sign in again").click()
    await page.wait_for_url(f"{cognito.issuer}/oauth2/authorize**")
