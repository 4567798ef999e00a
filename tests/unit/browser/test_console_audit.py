"""The audit search: on the page, as JSON, as a file for a spreadsheet."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Audit
from gateway.web.api.audit import AuditApi
from gateway.web.console.audit import AuditPages
from tests.unit.browser.conftest import World
from tests.unit.browser.desk import OTHER, Desk

PATHS = ("/access/audit", "/access/audit.csv", "/access/api/v1/audit")


def desk_of(to: str) -> Desk:
    api = AuditApi(Audit(to=to))
    return Desk(*api.endpoints(), *AuditPages(api).endpoints())


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def desk(trail: Path) -> Desk:
    return desk_of(str(trail))


def line(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "v": 1, "time": 1_700_000_000.5 + number, "request_id": f"request-{number}",
        "principal": "user:bob@example.com", "signed_in_by": "jwt:corp", "call": "runs/get",
        "method": "GET", "path": "/api/2.0/mlflow/runs/get", "resources": ["experiment:7"],
        "result": "allow", "reason": "role_allows", "status": 200, "ms": 1.5, "peer": "10.0.0.1",
    }  # fmt: skip
    return {**made, **changes}


def write(trail: Path, *lines: dict[str, Any], times: int = 1) -> None:
    """``times``: how often the last one."""
    texts = [json.dumps(one) + "\n" for one in lines]
    trail.write_text("".join([*texts[:-1], texts[-1] * times]))


async def test_a_running_gateway_finds_what_happened_on_it_for_admins(world: World) -> None:
    alice = await world.signed_in()
    for path in PATHS:
        refused = await alice.get(path)
        assert refused.status == 403
        assert "for admins" in refused.text
        assert (await world.browser().get(path)).status == 303 or "api" in path
    text = (await alice.get("/access/why")).text
    assert 'href="/access/audit"' not in text
    assert 'href="/access/resources"' not in text
    world.provider.who, world.provider.groups = "dave@example.com", ["mlflow-admins"]
    dave = await world.signed_in()
    seen = await dave.get("/access/audit?result=deny&principal=ALICE&call=audit")
    assert 'href="/access/audit" aria-current="page"' in seen.text
    assert 'href="/access/resources"' in seen.text
    shown = re.findall(r'<div class="small">GET (\S*)</div>', seen.text)
    assert shown == list(reversed(PATHS))
    assert seen.headers["Cache-Control"] == "no-store"
    assert "unsafe" not in seen.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?! src=)|<style|style=|\son\w+=", seen.text) == []
    # Looking is a line itself, without what was looked for.
    for path in PATHS[1:]:
        await dave.get(path + "?principal=somebody")
    found = json.loads((await dave.get("/access/api/v1/audit?principal=dave&call=audit")).body)
    assert [one["path"] for one in found["lines"]] == [*reversed(PATHS[1:]), PATHS[0]]
    assert "somebody" not in json.dumps(found)


async def test_it_is_for_admins(trail: Path, desk: Desk) -> None:
    write(trail, line(1))
    for path in PATHS:
        refused = await desk.get(path, OTHER)
        assert refused.status == 403
        assert "bob" not in refused.text
        assert (await desk.get(path)).status == 200


async def test_pages_go_back_to_the_beginning(trail: Path, desk: Desk) -> None:
    write(trail, *(line(number) for number in range(120)))
    path, found = "/access/audit?principal=bob", []
    for _ in range(3):
        seen = await desk.get(path)
        found += re.findall(r"request-(\d+)", seen.text)
        path = "".join(seen.links('rel="next" '))
    assert found == [str(number) for number in range(119, -1, -1)]
    assert path == ""
    assert "/access/audit?principal=bob" in seen.links("")
    assert f"Lines in {trail} , newest first. Each gateway has its own file" in seen.words
    assert "No line fits." in (await desk.get("/access/audit?call=x")).words


async def test_the_bound_is_said_and_there_is_a_way_on(trail: Path, desk: Desk) -> None:
    write(trail, line(1, principal="user:erin"), line(2, path="/" + "x" * 500_000), times=34)
    seen = await desk.get("/access/audit?principal=erin")
    assert "Nothing among those looked through." in seen.text
    assert "looks through 16 MB; this one got back to 2023-11-14 22:13:22." in seen.text
    assert ">Look further back</a>" in seen.text
    (further,) = seen.links('rel="next" ')
    assert "request-1," in (await desk.get(further)).text


async def test_broken_lines_are_counted_and_nothing_written_there_is_markup(
    trail: Path, desk: Desk
) -> None:
    nasty = "<script>alert(1)</script>"
    write(trail, line(1, path=nasty, principal=nasty, grant_to=nasty, request_id=nasty))
    with trail.open("a") as file:
        file.write("no json\n{}\n")
    seen = await desk.get("/access/audit?call=runs")
    assert seen.text.count(html.escape(nasty)) == 4
    assert nasty not in seen.text
    assert "2 lines were skipped" in seen.words


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("status=abc", "A status is a number"),
        ("result=maybe", "A result is one of allow, deny, refuse"),
        ("from=yesterday", "A time is written"),
        ("before=-1", "start it again"),
        ("before=" + "9" * 30, "start it again"),
    ],
)
async def test_what_cannot_be_asked_is_a_sentence(
    trail: Path, desk: Desk, query: str, sentence: str
) -> None:
    write(trail, line(1))
    seen = await desk.get("/access/audit?principal=kept&" + query)
    assert seen.status == 400
    (text,) = re.findall(r'role="alert">([^<]*)<', seen.text)
    assert sentence in html.unescape(text)
    assert 'value="kept"' in seen.text
    assert (await desk.get("/access/api/v1/audit?" + query)).status == 400


async def test_a_file_that_was_rotated_meanwhile_is_searched_from_its_end(
    trail: Path, desk: Desk
) -> None:
    write(trail, line(1))
    assert "request-1" in (await desk.get("/access/audit?before=99999999")).text


async def test_the_csv_is_a_download_of_the_same_lines(trail: Path, desk: Desk) -> None:
    write(trail, line(1), line(2, path='=cmd|" /C calc"!A0'), line(3, principal="user:erin"))
    (path,) = (
        one
        for one in (await desk.get("/access/audit?principal=bob")).links("")
        if one.startswith("/access/audit.csv")
    )
    seen = await desk.get(path)
    assert seen.headers["content-type"].startswith("text/csv")
    assert seen.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert seen.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(seen.text, newline="")))
    assert [one["request_id"] for one in rows] == ["request-2", "request-1"]
    assert rows[0]["path"] == '\'=cmd|" /C calc"!A0'


async def test_a_csv_that_is_not_complete_says_so(
    trail: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.api.audit.FILE_LINES", 2)
    write(trail, *(line(number) for number in range(5)))
    seen = await desk.get("/access/audit.csv?principal=bob")
    assert seen.headers["content-disposition"] == 'attachment; filename="audit-part.csv"'
    last = seen.text.splitlines()[-1]
    before = re.fullmatch(r'"?not complete: 2 lines; .* with before=(\d+)"?', last)
    assert before is not None
    rest = await desk.get(f"/access/audit.csv?principal=bob&before={before[1]}")
    assert "request-2," in rest.text
    assert "request-3," not in rest.text


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("stdout", "Audit lines go to stdout of this gateway."),
        ("stderr", "Audit lines go to stderr of this gateway."),
        ("off", "Audit lines are off on this gateway."),
    ],
)
async def test_without_a_file_the_page_says_where_lines_go(to: str, sentence: str) -> None:
    desk = desk_of(to)
    seen = await desk.get("/access/audit")
    assert seen.status == 200
    assert f"{sentence} To search them here, set audit.to to a file" in seen.words
    assert 'name="principal"' not in seen.text
    for path in PATHS[1:]:
        refused = await desk.get(path)
        assert (refused.status, sentence in refused.text) == (404, True)


async def test_a_file_that_cannot_be_read_is_a_sentence(trail: Path, desk: Desk) -> None:
    gone = await desk.get("/access/audit")
    assert gone.status == 503
    assert "The audit file cannot be read: No such file or directory." in gone.text
    os.mkfifo(trail)
    assert (await desk.get("/access/audit")).status == 404


async def test_json_has_the_lines_as_they_are(trail: Path, desk: Desk) -> None:
    write(trail, line(1, grant_to="everyone"), line(2))
    found = (await desk.get("/access/api/v1/audit?reason=everyone")).json
    assert found["lines"] == [line(1, grant_to="everyone")]
    assert (found["before"], found["full"], found["broken"]) == (None, False, 0)
