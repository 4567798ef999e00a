"""The console's page of sessions: one's own, and those of a person, to be ended by an admin."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from tests.unit.browser.conftest import HTML, SAME, Browser, Seen, World

FORM = {**HTML, **SAME, "Content-Type": "application/x-www-form-urlencoded"}
PAGE = "/access/sessions"
ALICE = "user:alice@example.com"


async def send(browser: Browser, headers: Any = None, **fields: str) -> Seen:
    return await browser.ask("POST", PAGE, headers or FORM, data=urlencode(fields))


async def admin(world: World) -> Browser:
    world.provider.who, world.provider.groups = "dave@example.com", ["mlflow-admins"]
    return await world.signed_in()


async def test_an_admin_ends_all_sessions_of_a_person_everywhere(world: World) -> None:
    other = await world.gateway()
    browsers = [await world.signed_in(), await world.signed_in()]
    for one in browsers:
        assert await one.whoami(at=other) == 200
    dave = await admin(world)
    people = (await dave.get("/access/people")).text
    assert 'href="/access/sessions?of=user%3Aalice%40example.com"' in people
    page = await dave.get(PAGE + "?of=" + ALICE)
    assert "End all sessions of alice@example.com" in page.text
    assert [await one.whoami() for one in browsers] == [200, 200]
    ended = await send(dave, do="all", of=ALICE)
    assert ended.status == 303
    assert "Ended." in (await dave.get(ended.location)).text
    assert [await one.whoami() for one in browsers] == [401, 401]
    await world.later(1)
    assert [await one.whoami(at=other) for one in browsers] == [401, 401]
    assert await dave.whoami() == 200
    lines = [json.loads(one) for one in (world.folder / "audit.log").read_text().splitlines()]
    (line,) = [one for one in lines if one["call"] == "sessions/revoke"]
    assert (line["principal"], line["session_of"], line["sessions"]) == (
        "user:dave@example.com", ALICE, 2
    )  # fmt: skip


async def test_one_ends_ones_other_sessions_and_stays(world: World) -> None:
    here, there = await world.signed_in(), await world.signed_in()
    page = (await here.get(PAGE)).text
    assert page.count("(this browser)") == 1
    assert "1 besides this browser." in page
    assert (await send(here, do="others", of=ALICE)).status == 303
    assert (await here.whoami(), await there.whoami()) == (200, 401)
    assert "End my other sessions" not in (await here.get(PAGE)).text


async def test_the_sessions_of_others_are_for_admins(world: World) -> None:
    alice = await world.signed_in()
    world.provider.who, world.provider.groups = "carol@example.com", ["research"]
    carol = await world.signed_in()
    for seen in (
        await carol.get(PAGE + "?of=" + ALICE),
        await send(carol, do="all", of=ALICE),
        await send(carol, do="others", of=ALICE),
    ):
        assert seen.status == 403
        assert seen.headers["Content-Type"].startswith("text/html")
        assert "ask an mlgate admin" in seen.text
    assert await alice.whoami() == 200


async def test_a_form_of_another_shape_or_site_ends_nothing(world: World) -> None:
    alice, dave = await world.signed_in(), await admin(world)
    for fields in (
        {"do": "burn", "of": ALICE},
        {"do": "all"},
        {"do": "all", "of": ALICE, "x": "1"},
        {"do": "others", "of": ALICE},
    ):
        assert (await send(dave, **fields)).status == 400
    for site in ("cross-site", "same-site", "none"):
        seen = await send(dave, {**FORM, "Sec-Fetch-Site": site}, do="all", of=ALICE)
        assert seen.status == 403
    assert await alice.whoami() == 200
