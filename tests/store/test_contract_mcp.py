"""The registry of MCP servers: MLflow's SQL store and ours answer the same."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from mlflow.entities.mcp_access_endpoint import MCPAccessEndpoint
from mlflow.entities.mcp_server import MCPRemoteTransportType, MCPServer, MCPStatus, MCPTool
from mlflow.entities.mcp_server_version import ConnectOptionSettings, MCPServerVersion
from mlflow.exceptions import MlflowException

from tests.store.both import PLAIN, Both, Ref, Side

A, B = "com.example/aa", "com.example/bb"
ODD = "naïve / # ☃ = ~"
ICONS = [{"src": "https://x/i.png", "theme": "dark", "sizes": ["1x1"]}]
RANDOM = re.compile("ae-[0-9a-f]{32}")


def _plain(side: Side, entity: Any) -> dict[str, Any]:
    """All fields; of the times only whether there was a change; endpoints by their address."""
    values = {field.name: getattr(entity, field.name) for field in fields(entity)}
    created, updated = values.pop("creation_timestamp"), values.pop("last_updated_timestamp")
    plain = {name: _without_ids(side.plain(value)) for name, value in values.items()}
    for name, key in (("aliases", str), ("access_endpoints", lambda one: one["url"])):
        if isinstance(plain.get(name), list):
            plain[name] = sorted(plain[name], key=key)
    return plain | {"changed": updated != created}


def _without_ids(value: Any) -> Any:
    return RANDOM.sub("<id>", value) if isinstance(value, str) else value


PLAIN[MCPServer] = _plain
PLAIN[MCPServerVersion] = _plain
PLAIN[MCPAccessEndpoint] = _plain
PLAIN[MCPTool] = lambda side, tool: tool.to_dict()
PLAIN[ConnectOptionSettings] = lambda side, value: value.hidden


@pytest.fixture
def both(sql: Any, ours: Any, ticking: None) -> Both:
    return Both(sql, ours)


def version(both: Both, number: str, name: str = A, **given: Any) -> Any:
    return both.create_mcp_server_version({"name": name, "version": number}, **given)


def endpoint(both: Both, as_name: str, server: str = A, **given: Any) -> Ref:
    made = both.remember
    given = {"server_name": server, "url": f"https://{as_name}"} | given
    return made(as_name, "create_mcp_access_endpoint", id_of="id", **given)


def test_servers(both: Both) -> None:
    both.create_mcp_server(B, "about b", ICONS, "me")
    both.create_mcp_server(A)
    both.create_mcp_server(A)
    long = "c.d/" + "x" * 250
    both.create_mcp_server(long, "", [])
    for name in (A, B, long, "none.x/y", ""):
        both.get_mcp_server(name)
    both.set_mcp_server_tag(A, ODD, ODD)
    both.set_mcp_server_tag(A, ODD, "")
    both.set_mcp_server_tag(A, "k", "v" * 5000)
    both.set_mcp_server_tag("none.x/y", "k", "v")
    both.get_mcp_server(A)
    both.delete_mcp_server_tag(A, "k")
    both.delete_mcp_server_tag(A, "k")
    both.delete_mcp_server_tag("none.x/y", "k")
    both.update_mcp_server(A)
    both.update_mcp_server(A, description="d", display_name=ODD, icons=ICONS, last_updated_by="u")
    both.update_mcp_server(A, description=None, icons=None)
    both.update_mcp_server("none.x/y", description="d")
    both.search_mcp_servers()
    both.delete_mcp_server(long)
    both.delete_mcp_server(long)
    both.create_mcp_server(long)
    both.get_mcp_server(long)


def test_versions_and_the_latest(both: Both) -> None:
    tool = MCPTool("t", "title", ODD, {"type": "object"}, icons=[{"src": "https://t/i.png"}])
    both.get_latest_mcp_server_version(A)
    extra = {"description": "from the version", "icons": ICONS, "_meta": {ODD: [1.5, None, "☃"]}}
    both.create_mcp_server_version(
        {"name": A, "version": "1.0.0", **extra},
        source="https://source",
        tools=[tool],
        created_by="me",
        connect_options={"o": ConnectOptionSettings(hidden=True)},
    )
    version(both, "1.0.0")
    both.get_mcp_server(A)
    for number in ("1.10.0", "1.9.0", "2.0.0-alpha.2", "2.0.0-alpha.10", "2.0.0-b", "1.9.0+x"):
        version(both, number, tools=[])
        both.get_latest_mcp_server_version(A)
    version(both, "0.1.0", status=MCPStatus.ACTIVE)
    both.get_latest_mcp_server_version(A)
    both.get_mcp_server_version_by_alias(A, "latest")
    both.get_mcp_server_version(A, "1.0.0")
    both.get_mcp_server_version(A, "1.0")
    both.update_mcp_server_version(A, "1.0.0")
    both.update_mcp_server_version(A, "1.0.0", MCPStatus.ACTIVE, tools=None, last_updated_by="u")
    both.update_mcp_server_version(A, "1.0.0", tools=[tool, tool], connect_options=None)
    both.update_mcp_server_version(A, "1.0.0", connect_options={"p": ConnectOptionSettings()})
    both.update_mcp_server_version(A, "1.0.0", tools=[])
    both.set_mcp_server_version_tag(A, "1.0.0", ODD, "1")
    both.set_mcp_server_version_tag(A, "1.0.0", ODD, "")
    both.get_mcp_server_version(A, "1.0.0")
    both.delete_mcp_server_version_tag(A, "1.0.0", ODD)
    both.delete_mcp_server_version_tag(A, "1.0.0", ODD)
    both.get_mcp_server(A)
    both.delete_mcp_server_version(A, "2.0.0-b")
    both.delete_mcp_server_version(A, "2.0.0-b")
    version(both, "2.0.0-b")
    both.get_mcp_server_version(A, "2.0.0-b")
    both.search_mcp_server_versions(A)
    both.update_mcp_server(A, description="own", icons=[{"src": "https://o/i.png"}])
    both.update_mcp_server(A, icons=[])


def test_aliases_and_endpoints(both: Both) -> None:
    for number in ("1.0.0", "2.0.0", "3.0.0"):
        version(both, number)
    both.set_mcp_server_alias(A, ODD, "1.0.0")
    both.set_mcp_server_alias(A, "b", "1.0.0")
    both.set_mcp_server_alias(A, "b", "2.0.0")
    both.get_mcp_server_version_by_alias(A, ODD)
    both.get_mcp_server_version_by_alias(A, "B")
    pinned = endpoint(both, "pinned", server_version="1.0.0", created_by="me")
    aliased = endpoint(both, "aliased", server_alias="b")
    latest = endpoint(both, "latest", server_alias="latest")
    sse = MCPRemoteTransportType.SSE
    endpoint(both, "odd", server_alias=ODD, transport_type=sse)
    for one in (pinned, aliased, latest, Ref("none")):
        both.get_mcp_access_endpoint(A, one)
        both.get_mcp_access_endpoint(B, one)
    both.get_mcp_server(A)
    both.set_mcp_server_alias(A, "b", "3.0.0")
    both.get_mcp_access_endpoint(A, aliased)
    update = both.update_mcp_access_endpoint
    update(A, pinned)
    update(A, pinned, server_alias="b", url="https://new pinned", last_updated_by="u")
    update(A, pinned, server_version="2.0.0", server_alias=None, transport_type=sse)
    update(A, pinned, server_version=None, transport_type=None)
    update(A, pinned, server_version="2.0.0", server_alias="b")
    update(A, pinned, server_version="9.0.0")
    update(A, pinned, server_alias="none")
    update(A, pinned, url=None)
    update(A, pinned, url=" ")
    update(B, pinned, url="u")
    update(A, Ref("none"), url="u")
    both.delete_mcp_server_alias(A, ODD)
    both.delete_mcp_server_alias(A, ODD)
    assert len(both.search_mcp_access_endpoints(A, order_by=["created_at"])) == 3
    both.delete_mcp_access_endpoint(B, latest)
    both.delete_mcp_server_version(A, "3.0.0")
    both.get_mcp_server(A)
    both.update_mcp_server_version(A, "2.0.0", MCPStatus.DELETED)
    both.get_mcp_server(A)
    both.get_mcp_access_endpoint(A, pinned)
    update(A, pinned, url="https://p")
    update(A, pinned, server_version="1.0.0")
    both.set_mcp_server_alias(A, "c", "1.0.0")
    both.update_mcp_server_version(A, "1.0.0", MCPStatus.DELETED)
    both.get_mcp_server_version_by_alias(A, "c")
    endpoint_refusals = (
        {"server_alias": "c"},
        {"server_alias": "latest"},
        {"server_version": "1.0.0"},
    )
    for given in endpoint_refusals:
        both.create_mcp_access_endpoint(A, "u", **given)
    both.get_mcp_server(A)
    assert both.search_mcp_access_endpoints() == []
    both.delete_mcp_access_endpoint(A, pinned)
    both.delete_mcp_access_endpoint(A, pinned)
    both.set_mcp_server_alias(A, "c", "1.0.0")
    both.delete_mcp_server(A)
    both.search_mcp_server_versions(A)
    both.get_mcp_access_endpoint(A, aliased)


REFUSED: list[tuple[Any, ...]] = [
    *[("create_mcp_server", name) for name in ("", "a", "a/", "/b", "a b/c", "a.b/tags", "a/b/c")],
    ("create_mcp_server", "c.d/ee", None, [{"src": 3}]),
    ("create_mcp_server", "c.d/ee", None, [{"src": "https://x", "source": "version"}]),
    ("create_mcp_server_version", {}),
    ("create_mcp_server_version", {"name": A}),
    ("create_mcp_server_version", {"name": A, "version": "1"}),
    ("create_mcp_server_version", {"name": "no", "version": "1.0.0"}),
    ("create_mcp_server_version", {"name": A, "version": "9.0.0", "icons": "x"}),
    ("create_mcp_server_version", {"name": A, "version": "9.0.0"}, None, MCPStatus.DEPRECATED),
    ("get_mcp_server_version", B, "1.0.0"),
    ("get_mcp_server_version", A, ""),
    ("get_mcp_server_version_by_alias", B, "x"),
    ("get_mcp_server_version_by_alias", B, "latest"),
    ("get_latest_mcp_server_version", B),
    ("update_mcp_server_version", A, "1.0.0", None),
    ("update_mcp_server_version", A, "9.0.0", None),
    ("update_mcp_server_version", A, "1.0.0", MCPStatus.DELETED),
    ("update_mcp_server_version", A, "1.0.0", MCPStatus.ACTIVE),
    ("update_mcp_server_version", B, "1.0.0"),
    ("delete_mcp_server_version", A, "1.0.0"),
    ("delete_mcp_server_version", A, "9.0.0"),
    ("delete_mcp_server_version", B, "1.0.0"),
    ("delete_mcp_server", A),
    ("delete_mcp_server", B),
    ("set_mcp_server_alias", A, "latest", "1.0.0"),
    ("set_mcp_server_alias", A, "a", "9.0.0"),
    ("set_mcp_server_alias", B, "a", "1.0.0"),
    ("delete_mcp_server_alias", B, "a"),
    ("set_mcp_server_version_tag", A, "9.0.0", "k", "v"),
    ("delete_mcp_server_version_tag", B, "1.0.0", "k"),
    ("create_mcp_access_endpoint", A, "u"),
    ("create_mcp_access_endpoint", A, " ", {"server_alias": "latest"}),
    ("create_mcp_access_endpoint", A, "u", {"server_alias": "x", "server_version": "1.0.0"}),
    ("create_mcp_access_endpoint", A, "u", {"server_alias": "x"}),
    ("create_mcp_access_endpoint", A, "u", {"server_version": "9.0.0"}),
    ("create_mcp_access_endpoint", B, "u", {"server_version": "1.0.0"}),
    ("search_mcp_servers", "", 0),
    ("search_mcp_servers", "", 1001),
    ("search_mcp_servers", "", 5, [], "no token"),
    ("search_mcp_servers", "", 5, ["status"]),
    ("search_mcp_servers", "", 5, ["name", "name DESC"]),
    ("search_mcp_servers", "", 5, ["name UP"]),
    ("search_mcp_servers", "description = 'x'"),
    ("search_mcp_servers", "created_at = 'x'"),
    ("search_mcp_servers", "has_access_endpoints != 'true'"),
    ("search_mcp_servers", "has_access_endpoints = 'maybe'"),
    ("search_mcp_servers", "display_name IN ('x')"),
    ("search_mcp_servers", "name RLIKE 'x'"),
    ("search_mcp_servers", "display_name IS NULL"),
    ("search_mcp_servers", "params.x = '1'"),
    ("search_mcp_server_versions", A, "", 0),
    ("search_mcp_server_versions", A, "tags.x = '1'"),
    ("search_mcp_server_versions", A, "version LIKE '1%'"),
    ("search_mcp_server_versions", A, "version > 'one'"),
    ("search_mcp_server_versions", A, "", 5, ["status"]),
    ("search_mcp_access_endpoints", None, None, None, "url = 'x'"),
    ("search_mcp_access_endpoints", None, None, None, "tags.x = '1'"),
    ("search_mcp_access_endpoints", None, None, None, "", 5, ["url"]),
]


def test_refusals(both: Both) -> None:
    version(both, "1.0.0", status=MCPStatus.ACTIVE)
    for method, *args in REFUSED:
        kwargs = args.pop() if method.startswith("create_mcp_acc") and len(args) == 3 else {}
        assert getattr(both, method)(*args, **kwargs)[0] == "error", (method, args)


def test_searches(both: Both) -> None:
    for number, name in enumerate(("z.y/mm", A, "z.y/kk", "z.Y/KK", B)):
        both.create_mcp_server(name)
        both.update_mcp_server(name, display_name=None if number == 1 else f"{ODD} {number % 2}")
        both.set_mcp_server_tag(name, "team", "Red" if number % 2 else "blue")
        both.set_mcp_server_tag(name, f"n{number}", "")
    for number in ("1.0.0", "1.0.0+b", "1.0.1-rc.1", "0.9.0", "10.0.0"):
        version(both, number)
    both.update_mcp_server_version(A, "1.0.0", MCPStatus.ACTIVE)
    version(both, "1.0.0", B, status=MCPStatus.ACTIVE)
    version(both, "1.0.0", "z.y/mm")
    both.set_mcp_server_alias(A, "s", "1.0.0")
    for name, given in (
        ("one", {"server_alias": "s"}),
        ("two", {"server_alias": "latest"}),
        ("three", {"server_version": "0.9.0", "transport_type": MCPRemoteTransportType.SSE}),
        ("four", {"server": B, "server_alias": "latest"}),
    ):
        endpoint(both, name, **given)
    start = 1_699_999_999_999  # before the first tick
    for wanted in (
        "name = 'com.example/aa'",
        "name != 'com.example/aa'",
        "name LIKE 'z.y/%'",
        "name ILIKE 'Z.Y/KK'",
        "name IN ('com.example/aa', 'z.y/kk')",
        "name NOT IN ('com.example/aa', 'z.y/kk')",
        f"display_name = '{ODD} 1'",
        "display_name != 'x'",
        "display_name LIKE '%_1'",
        "status = 'active'",
        "status != 'active'",
        "status IN ('draft', 'active')",
        "status NOT IN ('draft')",
        "has_access_endpoints = 'true'",
        "has_access_endpoints = 'FALSE'",
        f"created_at > {start}",
        f"last_updated_at <= {start}.5",
        "tags.team = 'Red'",
        "tags.team != 'Red' AND tags.n0 = ''",
        "tags.team ILIKE 'r%' AND tags.team LIKE 'R%'",
        "tags.none != 'x'",
        "name > 'd' AND name < 'z.z'",
    ):
        both.search_mcp_servers(wanted)
    for order in (["name DESC"], ["created_at DESC"], ["last_updated_at", "name"]):
        pages = both.pages("search_mcp_servers", max_results=2, order_by=order)
        assert [len(page) for page in pages] == [2, 2, 1]
    both.pages("search_mcp_servers", "tags.team = 'blue'", max_results=1)
    for wanted in (
        "version = '1.0.0'",
        "version != '1.0.0'",
        "version > '1.0.0'",
        "version >= '1.0.0'",
        "version < '1.0.1'",
        "version <= '1.0.1-rc.1'",
        "status = 'active'",
        "status IN ('draft')",
        "name = 'com.example/bb'",
        f"created_at > {start} AND last_updated_at > {start}",
    ):
        both.search_mcp_server_versions(A, wanted)
    for order in (
        ["`version` ASC"],
        ["`version` DESC"],
        ["created_at DESC"],
        ["last_updated_at DESC"],
    ):
        both.pages("search_mcp_server_versions", A, max_results=2, order_by=order)
    both.pages("search_mcp_server_versions", A, max_results=3)
    both.search_mcp_server_versions("none")
    names = ["`server_name` ASC", "created_at DESC"]
    for given in (
        {},
        {"server_name": A},
        {"server_name": "none"},
        {"server_version": "0.9.0"},
        {"server_alias": "s"},
        {"server_alias": "latest"},
        {"server_alias": "latest", "server_name": B},
        {"server_alias": "s", "server_version": "0.9.0"},
        {"filter_string": "status = 'active'"},
        {"filter_string": "status != 'active'"},
        {"filter_string": "transport_type = 'sse'"},
        {"filter_string": "server_name IN ('com.example/aa')"},
        {"filter_string": f"server_name LIKE '%aa' AND created_at > {start}"},
    ):
        both.search_mcp_access_endpoints(order_by=names, **given)
    both.pages("search_mcp_access_endpoints", max_results=3, order_by=names)


def test_links_to_traces(both: Both) -> None:
    # MLflow declares these and none of its stores has them: ours alone.
    from tests.store.test_contract_reviews import trace

    both.create_experiment("one")
    made = [version(both, number) for number in ("1.0.0", "2.0.0")]
    assert [one["version"] for one in made] == ["1.0.0", "2.0.0"]
    ours = both.sides[1].store
    ours.start_trace(trace("t"))
    versions = list(ours.search_mcp_server_versions(A))
    assert ours.get_mcp_server_versions_for_trace("t") == []
    ours.link_mcp_server_versions_to_trace("t", [*versions, versions[0]])
    ours.link_mcp_server_versions_to_trace("t", versions[:1])
    assert ours.get_mcp_server_versions_for_trace("t") == versions
    ours.delete_mcp_server_version(A, "2.0.0")
    assert ours.get_mcp_server_versions_for_trace("t") == versions[:1]
    for call in (
        lambda: ours.link_mcp_server_versions_to_trace("none", versions[:1]),
        lambda: ours.link_mcp_server_versions_to_trace("t", versions[1:]),
        lambda: ours.get_mcp_server_versions_for_trace("none"),
    ):
        with pytest.raises(MlflowException) as refused:
            call()
        assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    ours.delete_traces("1", trace_ids=["t"])
    ours.start_trace(trace("t"))
    assert ours.get_mcp_server_versions_for_trace("t") == []
