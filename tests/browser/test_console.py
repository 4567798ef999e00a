"""The console in Chromium: sharing from one person to another, and a token made in the page."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage, Site, eventually, sign_in, whoami
from tests.browser.tools import axe_core
from tests.e2e.world import API, OWN, name_of, until
from tests.stack import http

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
PAGES = (
    "/access/", "/access/tokens", "/access/services", "/access/sessions", "/access/roles",
    "/access/why",
)  # fmt: skip
"""The pages that everybody has."""


def made(site: Site, name: str) -> str:
    answer = site.call("alice", "POST", f"{API}/experiments/create", {"name": name})
    return str(answer["experiment_id"])


def create(name: str, variables: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Make an experiment with MLflow's own client in a process of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-c", f"import mlflow; mlflow.set_experiment({name!r})"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
        env={**clean, **variables},
    )


async def until_listed(page: Page, url: str, name: str) -> None:
    """Open a page until it lists ``name``: the other gateways know of it a moment later."""

    async def listed() -> bool:
        await page.goto(url)
        return await page.get_by_role("link", name=name, exact=True).is_visible()

    await eventually(listed)


async def test_alice_shares_with_carol_who_sees_it(site: Site, person: NewPage) -> None:
    name = name_of("churn")
    number = made(site, name)
    made(site, name_of("prices"))
    made(site, name_of("demand"))
    path = f"/access/share/experiment/{number}"
    carol, alice = await person(), await person()
    await sign_in(carol, site, "carol", "/access/")
    assert name not in await carol.content()
    await sign_in(alice, site, "alice", path)
    await alice.fill("#principal", "rese")
    await expect(alice.locator("#names option[value='group:research']")).to_have_count(1)
    await alice.fill("#principal", "research")
    await alice.select_option("#role", "editor")
    await alice.focus("#role")
    await alice.keyboard.press("Tab")
    await alice.keyboard.press("Enter")
    await expect(alice.get_by_role("status")).to_contain_text("Saved")
    await alice.screenshot(path=str(site.folder / "console-share.png"))

    await until_listed(carol, site.url + "/access/", name)
    await expect(carol.get_by_text("through group research").first).to_be_visible()
    await carol.screenshot(path=str(site.folder / "console-overview.png"))
    await carol.get_by_role("link", name=name, exact=True).click()
    await carol.wait_for_url(f"{site.url}/#/experiments/{number}**")
    for width in (360, 1280):
        await alice.set_viewport_size({"width": width, "height": 800})
        for page in (*PAGES, path):
            await alice.goto(site.url + page)
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await alice.evaluate(wide) <= 0, (page, width)
            await alice.screenshot(
                path=str(site.folder / f"console-{width}{page[7:14]}.png".replace("/", "_"))
            )


async def test_axe_finds_nothing_serious(site: Site, person: NewPage) -> None:
    number = made(site, name_of("axe"))
    path = f"/access/share/experiment/{number}"
    source = (axe_core() / "axe.min.js").read_text("utf-8")
    page = await person()
    await sign_in(page, site, "dave", "/access/")
    wrong = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        why = "/access/why?call=runs/get&kind=experiment&id=" + number
        of = "?of=user:alice@example.com"
        admins = (
            "/access/people", f"/access/tokens{of}", f"/access/sessions{of}",
            "/access/resources", "/access/audit?result=allow",
        )  # fmt: skip
        for one in (*PAGES, path, why, *admins):
            await page.goto(site.url + one)
            await page.evaluate(source)
            found = await page.evaluate("axe.run()")
            wrong += [
                (one, scheme, v["id"], [n["target"] for n in v["nodes"]])
                for v in found["violations"]
                if v["impact"] in ("serious", "critical")
            ]
            await page.screenshot(
                path=str(site.folder / f"axe-{scheme}{one[7:20]}.png".replace("/", "-"))
            )
    assert wrong == []


async def test_an_admin_finds_what_was_refused_and_whose_it_is(
    site: Site, person: NewPage, tmp_path: Path
) -> None:
    name = name_of("audited")
    number = made(site, name)
    refused = http(
        "GET", f"{site.url}{API}/experiments/get?experiment_id={number}", token=site.tokens["carol"]
    )
    assert refused.status == 403
    page = await person()
    await sign_in(page, site, "dave", "/access/resources")
    await page.fill("#q", name)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row", name=name)).to_contain_text("alice@example.com")
    await page.get_by_role("link", name=f"Share {name}").click()
    await page.wait_for_url(f"**/access/share/experiment/{number}")
    await page.get_by_role("link", name="Audit", exact=True).click()
    await page.fill("#resource", f"experiment:{number}")
    await page.select_option("#result", "deny")
    await page.get_by_text("More filters").click()
    await page.fill("#from", "2020-01-01T00:00:00")
    await page.focus("#until")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/access/audit?**")
    row = page.locator("tbody tr")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("carol@example.com")
    await expect(row).to_contain_text("no_grant")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download as CSV").click()
    file = tmp_path / "audit.csv"
    await (await download.value).save_as(file)
    (found,) = csv.DictReader(file.read_text("utf-8").splitlines())
    assert (found["principal"], found["call"]) == ("user:carol@example.com", "experiments/get")
    for width in (360, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        for path in ("/access/audit?status=4xx", "/access/resources", "/access/people"):
            await page.goto(site.url + path)
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await page.evaluate(wide) <= 0, (path, width)
            await page.screenshot(path=str(site.folder / f"admin-{width}-{path[8:13]}.png"))


async def test_a_token_made_in_the_page_works_with_the_real_client(
    site: Site, person: NewPage, tmp_path: Path
) -> None:
    page = await person()
    await sign_in(page, site, "alice", "/access/tokens")
    await page.fill("#label", "from the page")
    await page.get_by_role("button", name="Make a token").click()
    secret = await page.locator("#secret").inner_text()
    assert secret.startswith("mlg_")
    await page.screenshot(path=str(site.folder / "console-token.png"), full_page=True)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download as a file").click()
    file = tmp_path / "mlflow-token.env"
    await (await download.value).save_as(file)
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert lines == {"MLFLOW_TRACKING_URI": site.url, "MLFLOW_TRACKING_TOKEN": secret}
    name = name_of("page")
    done = await asyncio.to_thread(create, name, lines, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    await until_listed(page, site.url + "/access/", name)
    await page.goto(site.url + "/access/tokens")
    assert secret not in await page.content()
    await page.get_by_role("button", name="Revoke from the page").click()
    await expect(page.get_by_role("status")).to_contain_text("Revoked")


async def test_a_service_account_made_in_the_page_works_with_the_real_client(
    site: Site, person: NewPage, tmp_path: Path
) -> None:
    page, account = await person(), name_of("nightly")
    await sign_in(page, site, "alice", "/access/services")
    await page.fill("#name", account)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "group"
    await page.fill("#label", "the scheduler")
    await page.keyboard.press("Enter")
    secret = await page.locator("#secret").inner_text()
    await page.screenshot(path=str(site.folder / "console-service-new.png"), full_page=True)
    variables = {"MLFLOW_TRACKING_URI": site.url, "MLFLOW_TRACKING_TOKEN": secret}
    name = name_of("by-service")
    done = await asyncio.to_thread(create, name, variables, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    # The team of the account sees what it made, and the account's token.
    await until_listed(page, site.url + "/access/", name)
    bob = await person()
    await sign_in(bob, site, "bob", "/access/services")
    await bob.screenshot(path=str(site.folder / "console-services.png"))
    await bob.get_by_role("link", name=account).click()
    await bob.get_by_role("button", name="Replace the scheduler").click()
    another = await bob.locator("#secret").inner_text()
    await bob.screenshot(path=str(site.folder / "console-token-replaced.png"), full_page=True)
    await bob.get_by_role("button", name="Revoke the old one").click()
    await expect(bob.get_by_role("status")).to_contain_text("Revoked")
    for gateway in site.gateways:
        here = f"{gateway.url}{OWN}/whoami"
        until(lambda here=here: http("GET", here, token=secret).status == 401)
        assert http("GET", here, token=another).status == 200
    await bob.set_viewport_size({"width": 360, "height": 800})
    await bob.goto(site.url + "/access/services")
    await bob.screenshot(path=str(site.folder / "console-360-services.png"), full_page=True)
    carol = await person()
    await sign_in(carol, site, "carol", "/access/services")
    assert account not in await carol.content()


async def test_an_admin_ends_the_sessions_of_a_person_from_the_list_of_people(
    site: Site, person: NewPage
) -> None:
    carol, dave = await person(), await person()
    await sign_in(carol, site, "carol", "/access/")
    await sign_in(dave, site, "dave", "/access/people?q=carol")
    await dave.screenshot(path=str(site.folder / "console-people.png"))
    await dave.get_by_role("link", name="Sessions of user:carol@example.com").focus()
    await dave.keyboard.press("Enter")
    button = dave.get_by_role("button", name="End all sessions of carol@example.com")
    await expect(button).to_be_visible()
    await dave.screenshot(path=str(site.folder / "console-sessions.png"))
    assert (await whoami(carol))["principal"] == "user:carol@example.com"
    await button.focus()
    await dave.keyboard.press("Enter")
    await expect(dave.get_by_role("status")).to_contain_text("Ended.")

    async def is_signed_out() -> bool:
        answer = await carol.evaluate(f"async () => (await fetch('{OWN}/whoami')).status")
        return bool(answer == 401)

    for behind in site.gateways:
        site.balancer.behind = [behind.url]
        await eventually(is_signed_out)
    site.balancer.behind = [gateway.url for gateway in site.gateways]
    # The provider knows her still: signed in again, and told that this page is not for her.
    await carol.goto(site.url + "/access/people")
    await expect(carol.get_by_text("The list of people is for admins")).to_be_visible()
    await carol.screenshot(path=str(site.folder / "console-refused.png"))
