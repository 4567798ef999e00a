"""Which audit lines a search means, and what a spreadsheet gets of them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gateway.audit.event import Trail, event_of
from gateway.audit.search import BadFilter, Filters, Found, filters_from, parse, search
from gateway.audit.table import COLUMNS, cell, event_row, row
from gateway.model import Decision, Kind, Principal, Reason, Resource

NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z


def event(**changes: Any) -> dict[str, Any]:
    trail = Trail("abcdef012345-1", NOON, 0.0, "POST", "/api/2.0/mlflow/runs/create", "10.0.0.9")
    trail.principal = Principal("user:alice@example.com", method="api-token")
    trail.call, trail.status = "runs/create", 403
    where = (Resource(Kind.EXPERIMENT, "5"), Resource(Kind.MODEL, "churn"))
    trail.decision = Decision(False, Reason.NO_GRANT, "runs/create", where)
    return {**event_of(trail, 12.5), **changes}


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({}, True),
        ({"principal": "ALICE"}, True),
        ({"principal": "bob"}, False),
        ({"call": "runs/"}, True),
        ({"call": "traces"}, False),
        ({"resource": "experiment:5"}, True),
        ({"resource": "5"}, True),
        ({"resource": "churn"}, True),
        ({"resource": "model:5"}, False),
        ({"resource": "experiment:"}, False),
        ({"resource": "experiment"}, False),
        ({"result": "deny"}, True),
        ({"result": "allow"}, False),
        ({"status": "403"}, True),
        ({"status": "4XX"}, True),
        ({"status": "5xx"}, False),
        ({"status": "401"}, False),
        ({"request_id": " abcdef012345-1 "}, True),
        ({"request_id": "abcdef012345"}, False),
        ({"reason": "No_Gr"}, True),
        ({"reason": "carol"}, True),
        ({"reason": "admin"}, False),
        ({"from": "2026-11-25T12:00"}, True),
        ({"from": "2026-11-25T12:00:01"}, False),
        ({"from": "2026-11-25T13:00:00+02:00"}, True),
        ({"until": "2026-11-25T11:59"}, False),
        ({"until": "2026-11-25"}, True),
        ({"until": "2026-11-24"}, False),
        ({"status": "4xx", "principal": "alice", "call": "create", "result": "deny"}, True),
        ({"status": "4xx", "principal": "bob"}, False),
    ],
    ids=str,
)
def test_filters(query: dict[str, str], fits: bool) -> None:
    assert filters_from(query).match(event(grant_to="user:carol@example.com")) is fits


def test_a_line_of_nobody_fits_no_name() -> None:
    nobody = event(principal=None, call=None, reason=None, resources=[])
    assert Filters().match(nobody)
    for one in ("principal", "call", "reason", "resource"):
        assert not Filters(**{one: "a"}).match(nobody)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        {"result": "maybe"},
        {"status": "40"},
        {"status": "x"},
        {"status": "٤03"},
        {"from": "yesterday"},
        {"until": "9999-12-31"},
    ],
    ids=str,
)
def test_filters_that_mean_nothing(query: dict[str, str]) -> None:
    with pytest.raises(BadFilter):
        filters_from(query)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'"v"',
        b"\xff",
        json.dumps(event())[:-20].encode(),
        *(
            json.dumps(event(**one)).encode()
            for one in (
                {"v": 2}, {"time": "noon"}, {"time": 1e300}, {"time": -1}, {"time": True},
                {"status": None}, {"ms": None}, {"principal": 5}, {"resources": [5]},
                {"resources": "experiment:5"}, {"path": None}, {"result": 1},
            )
        ),
    ],
)  # fmt: skip
def test_what_is_no_audit_line(text: bytes) -> None:
    assert parse(text) is None


def looked(data: bytes, filters: Filters = Filters(), **more: Any) -> Found:  # noqa: B008
    return search(
        lambda start, size: data[start : start + size], more.pop("end", len(data)), filters,
        **{"most": 100, "block": 64, **more},
    )  # fmt: skip


def written(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def ids(found: Found) -> list[str]:
    return [one["request_id"] for one in found.events]


def test_newest_first_and_on_from_where_a_full_page_stopped() -> None:
    data = written(*(event(request_id=f"r{n}", status=200 + n % 2) for n in range(9)))
    first = looked(data, Filters(status="200"), most=2)
    assert (ids(first), first.full) == (["r8", "r6"], True)
    second = looked(data, Filters(status="200"), most=2, end=first.before)
    assert ids(second) == ["r4", "r2"]
    last = looked(data, Filters(status="200"), most=2, end=second.before)
    assert (ids(last), last.full, last.before) == (["r0"], False, None)


def test_the_bound_of_bytes_is_kept_and_said() -> None:
    data = written(*(event(request_id=f"r{n:02}", time=NOON + n) for n in range(40)))
    bound = 10 * len(written(event(request_id="r00", time=NOON)))
    wanted = Filters(request_id="r00")
    found = looked(data, wanted, most_bytes=bound)
    assert (ids(found), found.full) == ([], False)
    assert found.before is not None
    assert found.bytes <= bound
    assert found.oldest == NOON + 31
    rounds = 0
    while found.before is not None:
        found = looked(data, wanted, most_bytes=bound, end=found.before)
        rounds += 1
    assert (ids(found), rounds) == (["r00"], 4)


def test_broken_lines_are_counted_and_skipped() -> None:
    data = written(event(request_id="r0")) + b"{cut\n\n\xff\xfe\n" + written(event(request_id="r1"))
    found = looked(data + b'{"v":1,"time":179', most=5)
    assert (ids(found), found.broken) == (["r1", "r0"], 3)


def test_a_search_ends_before_its_time_but_not_at_a_long_request() -> None:
    long = event(request_id="long", time=NOON - 7200, ms=7_200_000.0)
    data = written(
        event(request_id="old", time=NOON - 4000),
        event(request_id="far", time=NOON - 3000),
        event(request_id="in", time=NOON - 50),
        long,
        event(request_id="new", time=NOON),
    )
    found = looked(data, Filters(since=NOON - 100))
    assert (ids(found), found.before) == (["new", "in"], None)
    assert found.oldest == NOON - 50


# -- CSV --


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\tplain", "'\tplain"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ('=HYPERLINK("x","y")', '\'=HYPERLINK("x","y")'),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ('say "x", y', 'say "x", y'),
        ("two\r\nlines", "two\r\nlines"),
        ("", ""),
    ],
)
def test_cells_are_no_formulas_and_read_back(text: str, harmless: str) -> None:
    made = row([text, "next"])
    assert list(csv.reader(io.StringIO(made, newline=""))) == [[harmless, "next"]]
    assert cell(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")


def test_a_line_as_a_row() -> None:
    made = event_row(event(path="/=cmd", grant_to="everyone", role=None, reason=None))
    (cells,) = csv.reader(io.StringIO(made, newline=""))
    shown = dict(zip(COLUMNS, cells, strict=True))
    assert shown["time"] == "2026-11-25T12:00:00.000Z"
    assert shown["resources"] == "experiment:5 model:churn"
    assert shown["details"] == "grant_to=everyone role=None"
    assert (shown["reason"], shown["status"], shown["path"]) == ("", "403", "/=cmd")
