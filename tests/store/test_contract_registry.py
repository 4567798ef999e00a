"""The same calls on MLflow's SQL registry and on ours give the same answers, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag as VersionTag
from mlflow.entities.model_registry import RegisteredModelTag as Tag

from tests.store.both import Side
from tests.store.registry_both import Clock, Registries

IS_PROMPT = "mlflow.prompt.is_prompt"
RUN = "0123456789abcdef0123456789abcdef"
ODD = "odd #name ☃ with 'quote' 🚀"


@pytest.fixture
def both(sql_registry: Any, our_registry: Any, monkeypatch: pytest.MonkeyPatch) -> Registries:
    clock = Clock()
    monkeypatch.setattr("mlflow.utils.time.time", clock)
    return Registries(sql_registry, our_registry, clock)


def test_models_are_made_read_updated_renamed_and_deleted(both: Registries) -> None:
    both.create_registered_model("one")
    both.create_registered_model("two", [Tag("k", "v"), Tag("k", "last"), Tag("e", "")], "text")
    both.create_registered_model(ODD, [Tag("none", None), Tag("long/key", "☃" * 100_000)], "")
    both.create_registered_model("x" * 1200)
    names = ("one", "two", ODD, "x" * 1200, "x" * 1201, "ONE", "none", "one ")
    for name in names:
        both.get_registered_model(name)
    both.update_registered_model("one", "a description")
    both.update_registered_model("one", None)
    both.update_registered_model("two", "🚀" * 3000)
    both.rename_registered_model("one", "uno")
    both.rename_registered_model("uno", "uno")
    both.rename_registered_model("uno", "two")
    both.rename_registered_model("one", "eins")
    both.create_registered_model("one", description="another")
    both.rename_registered_model("x" * 1200, "y" * 1200)
    for name in (*names, "uno", "y" * 1200):
        both.get_registered_model(name)
        both.get_latest_versions(name)
    both.delete_registered_model("two")
    both.delete_registered_model("two")
    both.get_registered_model("two")
    both.create_registered_model("two")
    both.get_registered_model("two")
    assert len(both.search_registered_models()) == 5


def test_tags_of_models(both: Registries) -> None:
    both.create_registered_model("m")
    for tag in (Tag("k", "v"), Tag("k", "w"), Tag("é x/y", ""), Tag("n", None)):
        both.set_registered_model_tag("m", tag)
    both.get_registered_model("m")
    for key in ("k", "k", "none", "n"):
        both.delete_registered_model_tag("m", key)
    both.get_registered_model("m")
    both.rename_registered_model("m", "n")
    assert both.get_registered_model("n")["tags"] == {"é x/y": ""}


def test_versions_are_made_read_updated_tagged_and_deleted(both: Registries) -> None:
    both.create_registered_model("m", description="d")
    both.create_model_version("m", "s3://bucket/a", RUN)
    both.create_model_version("m", "s3://bucket/b", RUN, [VersionTag("k", "v")], "link", "text")
    both.create_model_version("m", "", "", [VersionTag("k", ""), VersionTag("k", "2")], "", "")
    both.create_model_version("m", "models:/m/1")
    both.create_model_version("m", "models:/m/4", "other")
    for version in (1, "2", 3, "4", 5, 6, 0, -1):
        both.get_model_version("m", version)
        both.get_model_version_download_uri("m", version)
    both.get_registered_model("m")
    both.update_model_version("m", 2, "changed")
    both.update_model_version("m", "3", None)
    both.update_model_version("m", 5)
    for tag in (VersionTag("k", "w"), VersionTag("é/ x", "🚀" * 25_000), VersionTag("e", "")):
        both.set_model_version_tag("m", 2, tag)
        both.set_model_version_tag("m", "5", tag)
    both.get_registered_model("m")
    for key in ("k", "k", "none"):
        both.delete_model_version_tag("m", "5", key)
    both.get_registered_model("m")
    both.rename_registered_model("m", ODD)
    for version in range(1, 6):
        both.get_model_version(ODD, version)
        both.get_model_version("m", version)
    both.delete_model_version(ODD, 5)
    both.delete_model_version(ODD, "5")
    both.get_registered_model(ODD)
    both.create_model_version(ODD, "s3://bucket/c")
    for version in range(1, 8):
        both.get_model_version(ODD, version)
    both.update_model_version(ODD, 5, "deleted")
    both.set_model_version_tag(ODD, 5, VersionTag("a", "b"))
    both.get_registered_model(ODD)
    both.delete_registered_model(ODD)
    both.get_model_version(ODD, 1)
    both.create_registered_model(ODD)
    assert both.create_model_version(ODD, "s")["version"] == 1
    both.get_model_version(ODD, 2)


def test_the_latest_version_of_each_stage(both: Registries) -> None:
    both.create_registered_model("m")
    for _ in range(8):
        both.create_model_version("m", "s3://bucket/a")
    moves = [(8, "Staging"), (3, "staging"), (5, "Production"), (8, "Archived"), (7, "Archived"),
             (3, "None"), (5, "PRODUCTION"), (6, "Staging"), (8, "None")]  # fmt: skip
    for version, stage in moves:
        both.transition_model_version_stage("m", version, stage, False)
        both.get_registered_model("m")
        both.get_latest_versions("m")
    both.set_model_version_tag("m", 7, VersionTag("archived", "yes"))
    both.update_model_version("m", 5, "in production")
    for stages in (["None"], ["staging", "Production"], [], ["Archived", "archived"]):
        both.get_latest_versions("m", stages)
    for version in (8, 7, 6, 5, 4):
        both.delete_model_version("m", version)
        both.get_registered_model("m")
    both.rename_registered_model("m", "n")
    both.get_latest_versions("n")
    for version in (3, 2, 1):
        both.delete_model_version("n", version)
    assert both.get_latest_versions("n") == []
    both.create_model_version("n", "s")
    assert [one["version"] for one in both.get_latest_versions("n")] == [9]


def test_existing_versions_are_archived(both: Registries) -> None:
    both.create_registered_model("m")
    for version in range(1, 17):
        both.create_model_version("m", "s3://bucket/a", tags=[VersionTag("n", str(version))])
    for version in range(1, 16):
        both.transition_model_version_stage("m", version, "Staging", False)
    both.transition_model_version_stage("m", 16, "Archived", False)
    both.transition_model_version_stage("m", 16, "Production", True)
    both.get_registered_model("m")
    # 14 others: more than one transaction; the chosen one is neither the first nor the last.
    both.transition_model_version_stage("m", "7", "Staging", True)
    both.get_registered_model("m")
    both.search_model_versions("name = 'm'", order_by=["version_number ASC"])
    both.transition_model_version_stage("m", 16, "Staging", True)
    both.get_registered_model("m")
    both.transition_model_version_stage("m", 15, "Staging", True)
    both.get_registered_model("m")
    both.transition_model_version_stage("m", 15, "Staging", True)
    both.transition_model_version_stage("m", 99, "Staging", True)
    both.get_latest_versions("m")
    both.search_model_versions("name = 'm'", order_by=["version_number DESC"])


def test_aliases(both: Registries) -> None:
    both.create_registered_model("m")
    for _ in range(3):
        both.create_model_version("m", "s3://bucket/a")
    for alias, version in (("champion", 1), ("Champion", 2), ("a-b_c.d", "3"), ("two", 2),
                           ("champion", 2), ("none", 9)):  # fmt: skip
        both.set_registered_model_alias("m", alias, version)
    for alias in ("champion", "Champion", "a-b_c.d", "missing", "latest", "LATEST"):
        both.get_model_version_by_alias("m", alias)
    both.get_registered_model("m")
    both.get_latest_versions("m")
    both.get_model_version("m", 2)
    both.search_model_versions("name = 'm'")
    both.delete_registered_model_alias("m", "two")
    both.delete_registered_model_alias("m", "two")
    both.delete_model_version("m", 2)
    both.get_model_version_by_alias("m", "champion")
    both.get_registered_model("m")
    both.rename_registered_model("m", "n")
    both.get_model_version_by_alias("n", "a-b_c.d")
    both.delete_model_version("n", 3)
    both.delete_model_version("n", 1)
    both.get_model_version_by_alias("n", "latest")
    assert both.get_registered_model("n")["aliases"] == {}


REFUSED: list[tuple[Any, ...]] = [
    ("create_registered_model", "m"),
    ("create_registered_model", "m", [Tag(IS_PROMPT, "true")]),
    ("create_registered_model", ""),
    ("create_registered_model", "  "),
    ("create_registered_model", None),
    ("create_registered_model", "a/b"),
    ("create_registered_model", "a:b"),
    ("create_registered_model", ".."),
    ("create_registered_model", "new", [Tag("", "v")]),
    ("create_registered_model", "new", [Tag("k" * 251, "v")]),
    ("create_registered_model", "new", [Tag("k", "v" * 100_001)]),
    ("create_registered_model", "new", [Tag("bad\tkey?", "v")]),
    ("update_registered_model", "none", "d"),
    ("update_registered_model", "", "d"),
    ("rename_registered_model", "m", ""),
    ("rename_registered_model", "m", None),
    ("rename_registered_model", "m", "other"),
    ("rename_registered_model", "m", "a/b"),
    ("rename_registered_model", "none", "new"),
    ("rename_registered_model", "none", "other"),
    ("delete_registered_model", "none"),
    ("delete_registered_model", "a/b"),
    ("get_registered_model", "none"),
    ("get_registered_model", None),
    ("get_latest_versions", "none"),
    ("get_latest_versions", "m", ["nonsense"]),
    ("set_registered_model_tag", "none", Tag("k", "v")),
    ("set_registered_model_tag", "m", Tag(None, "v")),
    ("set_registered_model_tag", "m", Tag("k", "v" * 100_001)),
    ("delete_registered_model_tag", "none", "k"),
    ("delete_registered_model_tag", "m", None),
    ("create_model_version", "none", "s"),
    ("create_model_version", "", "s"),
    ("create_model_version", "m", "s", None, [VersionTag("k", None)]),
    ("create_model_version", "m", "s", None, [VersionTag("k", "v" * 100_001)]),
    ("create_model_version", "m", "s", None, [VersionTag("mlflow.prompt.text", "v" * 100_001)]),
    ("create_model_version", "m", "models:/none/1"),
    ("create_model_version", "m", "models:/m/2"),
    ("create_model_version", "m", "models:/m/7"),
    ("create_model_version", "m", "models:/m/Production"),
    ("create_model_version", "m", "models:/"),
    ("get_model_version", "m", 2),
    ("get_model_version", "m", "x"),
    ("get_model_version", "m", ""),
    ("get_model_version", "none", 1),
    ("get_model_version", "a/b", 1),
    ("get_model_version_download_uri", "m", 2),
    ("get_model_version_download_uri", "none", 2),
    ("update_model_version", "m", 2, "d"),
    ("update_model_version", "none", 1, "d"),
    ("transition_model_version_stage", "m", 1, "nonsense", False),
    ("transition_model_version_stage", "m", 1, "None", True),
    ("transition_model_version_stage", "m", 1, "Archived", True),
    ("transition_model_version_stage", "m", 2, "Staging", False),
    ("transition_model_version_stage", "m", 2, "Staging", True),
    ("transition_model_version_stage", "none", 1, "Staging", True),
    ("transition_model_version_stage", "m", "x", "Staging", False),
    ("delete_model_version", "m", 2),
    ("delete_model_version", "m", "x"),
    ("delete_model_version", "none", 1),
    ("set_model_version_tag", "m", 2, VersionTag("k", "v")),
    ("set_model_version_tag", "none", 1, VersionTag("k", "v")),
    ("set_model_version_tag", "m", 1, VersionTag("k", None)),
    ("set_model_version_tag", "m", 1, VersionTag("", "v")),
    ("set_model_version_tag", "m", "x", VersionTag("k", "v")),
    ("delete_model_version_tag", "m", 2, "k"),
    ("delete_model_version_tag", "m", 1, "bad\tkey?"),
    ("delete_model_version_tag", "none", 1, "k"),
    ("set_registered_model_alias", "m", "latest", 1),
    ("set_registered_model_alias", "m", "v1", 1),
    ("set_registered_model_alias", "m", "", 1),
    ("set_registered_model_alias", "m", "a b", 1),
    ("set_registered_model_alias", "m", "a" * 256, 1),
    ("set_registered_model_alias", "m", "a", 2),
    ("set_registered_model_alias", "m", "a", "x"),
    ("set_registered_model_alias", "none", "a", 1),
    ("delete_registered_model_alias", "none", "a"),
    ("delete_registered_model_alias", "m", ""),
    ("get_model_version_by_alias", "none", "a"),
    ("get_model_version_by_alias", "none", "latest"),
    ("get_model_version_by_alias", "m", "a"),
    ("get_model_version_by_alias", "other", "latest"),
    ("get_model_version_by_alias", "m", ""),
    ("search_registered_models", None, 1001),
    ("search_registered_models", "nonsense"),
    ("search_registered_models", "creation_timestamp = 5"),
    ("search_registered_models", "name > 'a'"),
    ("search_registered_models", "name = 5"),
    ("search_registered_models", "tags.a > 'b'"),
    ("search_registered_models", "tags.a IN ('b')"),
    ("search_registered_models", "run_id = 'a'"),
    ("search_registered_models", "params.a = 'b'"),
    ("search_registered_models", "name = 'a' OR name = 'b'"),
    ("search_registered_models", None, 10, ["nonsense"]),
    ("search_registered_models", None, 10, ["creation_timestamp"]),
    ("search_registered_models", None, 10, ["name ASC", "name DESC"]),
    ("search_registered_models", None, 10, ["timestamp", "last_updated_timestamp"]),
    ("search_registered_models", None, 10, ["name SIDEWAYS"]),
    ("search_registered_models", None, 10, [], "no token"),
    ("search_model_versions", None, 0),
    ("search_model_versions", None, 200_001),
    ("search_model_versions", None, None),
    ("search_model_versions", "nonsense"),
    ("search_model_versions", "current_stage = 'Staging'"),
    ("search_model_versions", "name > 'a'"),
    ("search_model_versions", "version_number LIKE '1'"),
    ("search_model_versions", "version_number > 1.5"),
    ("search_model_versions", "version_number > 'x'"),
    ("search_model_versions", "source_path IN ('a')"),
    ("search_model_versions", "run_id = 5"),
    ("search_model_versions", "tags.a < 'b'"),
    ("search_model_versions", "metrics.a = 'b'"),
    ("search_model_versions", None, 10, ["nonsense"]),
    ("search_model_versions", None, 10, ["name", "name"]),
    ("search_model_versions", None, 10, ["run_id"]),
    ("search_model_versions", None, 10, None, "no token"),
]


def test_refusals_have_the_same_error_code_and_change_nothing(both: Registries) -> None:
    both.create_registered_model("m")
    both.create_registered_model("other")
    both.create_model_version("m", "s3://bucket/a")
    both.create_model_version("m", "s3://bucket/a")
    both.delete_model_version("m", 2)
    state = (both.search_registered_models(), both.search_model_versions())
    for method, *args in REFUSED:
        answer = getattr(both, method)(*args)
        assert isinstance(answer, (tuple, list)), (method, args)
        assert answer[0] == "error", (method, args)
    assert (both.search_registered_models(), both.search_model_versions()) == state


MODEL_FILTERS = [
    None,
    "",
    "name = 'alpha'",
    "name = 'ALPHA'",
    "name != 'alpha'",
    "name LIKE 'al%'",
    "name LIKE 'AL%'",
    "name ILIKE 'AL%'",
    "name LIKE '%a_'",
    "name LIKE '%''%'",
    "name IN ('alpha', 'beta', 'none', 'alpha')",
    "name NOT IN ('alpha', 'beta')",
    "name = 'a prompt'",
    "name IN ('a prompt', 'alpha')",
    "name = 'alpha' AND name != 'alpha'",
    "name LIKE '%a%' AND name != 'alpha'",
    "tags.team = 'red'",
    "tags.team != 'red'",
    "tags.team LIKE 'r%'",
    "tags.team ILIKE 'R%'",
    "tags.team = 'red' AND tags.kind = 'x'",
    "tags.team LIKE 'r%' AND tags.team != 'red'",
    "tags.`with space` = ''",
    "tag.none != 'x'",
    "name LIKE '%a%' AND tags.team = 'red'",
    "name = 'alpha' AND tags.team = 'blue'",
    f"tags.`{IS_PROMPT}` = 'true'",
    f"tags.`{IS_PROMPT}` = 'TRUE'",
    f"tags.`{IS_PROMPT}` != 'true'",
    f"tags.`{IS_PROMPT}` = 'false'",
    f"tags.`{IS_PROMPT}` != 'false'",
    f"tags.`{IS_PROMPT}` LIKE 'true'",
    f"tags.`{IS_PROMPT}` = 'true' AND name LIKE 'a%'",
    f"tags.`{IS_PROMPT}` = 'true' AND tags.team = 'red'",
    f"tags.`{IS_PROMPT}` != 'true' AND tags.team = 'red'",
]


MODEL_ORDERS = [
    ["name ASC"],
    ["name DESC"],
    ["last_updated_timestamp ASC"],
    ["timestamp DESC"],
    ["last_updated_timestamp DESC", "name DESC"],
    ["name", "timestamp DESC"],
]


@pytest.fixture
def stocked(both: Registries) -> Registries:
    models = {
        "beta": [Tag("team", "red")],
        "alpha": [Tag("team", "red"), Tag("kind", "x")],
        "Alpha": [Tag("team", "rose"), Tag("with space", "")],
        ODD: [Tag("team", "blue"), Tag("none", None)],
        "a prompt": [Tag(IS_PROMPT, "true"), Tag("team", "red")],
        "b prompt": [Tag(IS_PROMPT, "true")],
        "no prompt": [Tag(IS_PROMPT, "false")],
        "loud prompt": [Tag(IS_PROMPT, "TRUE")],
        "zulu": [],
        "b": [],
    }
    for name, tags in models.items():
        both.create_registered_model(name, tags)
    return both


def test_searches_of_models(stocked: Registries) -> None:
    stocked.create_model_version("zulu", "s", tags=[VersionTag("x", "y" * 9000)])
    stocked.create_model_version("zulu", "s")
    stocked.transition_model_version_stage("zulu", 1, "Staging", False)
    stocked.set_registered_model_alias("zulu", "best", 1)
    for text in MODEL_FILTERS:
        stocked.search_registered_models(text)
    for text in MODEL_FILTERS[::4]:
        stocked.pages("search_registered_models", text, 2)
    for order in MODEL_ORDERS:
        stocked.pages("search_registered_models", None, 3, order)
        stocked.search_registered_models("name LIKE '%a%'", order_by=order)
    # A tag makes a prompt of a model and back.
    stocked.set_registered_model_tag("zulu", Tag(IS_PROMPT, "true"))
    stocked.delete_registered_model_tag("a prompt", IS_PROMPT)
    stocked.set_registered_model_tag("b prompt", Tag(IS_PROMPT, "no"))
    stocked.rename_registered_model("zulu", "anton")
    stocked.delete_registered_model("beta")
    for text in MODEL_FILTERS[-8:]:
        stocked.search_registered_models(text)
    stocked.search_registered_models(None, 0)


VERSION_FILTERS = [
    None,
    "",
    "name = 'alpha'",
    "name = 'none'",
    "name = 'a/b'",
    "name != 'alpha'",
    "name LIKE 'a%'",
    "name ILIKE 'A%'",
    "name IN ('alpha', 'beta', 'none')",
    "name NOT IN ('alpha')",
    f"run_id = '{RUN}'",
    f"run_id != '{RUN}'",
    "run_id = ''",
    "run_id LIKE '0%'",
    f"run_id IN ('{RUN}', 'other', 'none')",
    f"run_id NOT IN ('{RUN}', 'x')",
    f"name = 'beta' AND run_id = '{RUN}'",
    f"name != 'beta' AND run_id IN ('{RUN}', '')",
    "source_path = 's3://bucket/1'",
    "source_path != 's3://bucket/1'",
    "source_path LIKE '%/1'",
    "source_path ILIKE 'S3%'",
    "source_path = 'dummy-source'",
    f"source_path = 's3://bucket/1' AND run_id = '{RUN}'",
    "version_number = 2",
    "version_number >= 2 AND name = 'alpha'",
    "version_number < 3",
    "version_number != 1",
    "version_number = '1'",
    "tags.stage = 'new'",
    "tags.stage != 'new'",
    "tags.stage LIKE 'n%' AND tags.n = '2'",
    "tags.`n` ILIKE '1' AND name = 'alpha'",
    f"tags.`{IS_PROMPT}` = 'true'",
    f"tags.`{IS_PROMPT}` = 'true' AND name = 'p'",
    f"tags.`{IS_PROMPT}` = 'true' AND source_path = 'dummy-source'",
    f"tags.`{IS_PROMPT}` != 'true'",
    f"tags.`{IS_PROMPT}` != 'false'",
    f"tags.`{IS_PROMPT}` = 'false' AND name LIKE '%'",
    "name = 'p'",
    "name = 'mixed'",
]
VERSION_ORDERS = [
    None,
    ["version_number ASC"],
    ["version_number DESC"],
    ["name DESC", "version_number ASC"],
    ["creation_timestamp ASC"],
    ["last_updated_timestamp DESC", "version_number"],
    ["creation_timestamp DESC", "name", "version_number"],
]


def test_searches_of_versions(both: Registries) -> None:
    for name in ("beta", "alpha", ODD, "p", "mixed", "empty"):
        both.create_registered_model(name)
    for number in range(1, 5):
        for name in ("beta", "alpha", ODD)[: 3 if number < 3 else 2]:
            tags = [VersionTag("n", str(number)), VersionTag("stage", "new" if number % 2 else "")]
            run = {1: RUN, 2: "other", 3: "", 4: None}[number]
            both.create_model_version(name, f"s3://bucket/{number}", run, tags)
        both.create_model_version("p", "dummy-source", tags=[VersionTag(IS_PROMPT, "true")])
    both.create_model_version("mixed", "s3://bucket/1", RUN, [VersionTag(IS_PROMPT, "true")])
    both.create_model_version("mixed", "s3://bucket/1", RUN)
    both.delete_model_version("beta", 2)
    both.delete_model_version("p", 4)
    both.update_model_version("alpha", 1, "changed")
    both.rename_registered_model(ODD, "renamed")
    both.update_model_version("renamed", 2, "changed")
    for text in VERSION_FILTERS:
        both.search_model_versions(text)
    for text in (None, "name = 'alpha'", f"tags.`{IS_PROMPT}` = 'true' AND name = 'p'"):
        for order in VERSION_ORDERS:
            both.pages("search_model_versions", text, 2 if text else 5, order)
    # The tag of one version decides whether the others are found.
    both.delete_model_version_tag("mixed", 1, IS_PROMPT)
    both.set_model_version_tag("alpha", 3, VersionTag(IS_PROMPT, "true"))
    both.set_model_version_tag("beta", 3, VersionTag(IS_PROMPT, "True"))
    for text in VERSION_FILTERS[-8:]:
        both.search_model_versions(text)
    both.delete_model_version("alpha", 3)
    both.delete_registered_model("mixed")
    for text in (None, *VERSION_FILTERS[-8:]):
        both.search_model_versions(text)


def test_copies_of_versions(both: Registries) -> None:
    both.create_registered_model("src")
    both.create_model_version("src", "s3://bucket/a", RUN, [VersionTag("k", "v")], "link", "text")
    for side in both.sides:
        side.version = side.store.get_model_version("src", 1)  # type: ignore[attr-defined]
    for name in ("dst", "dst", "src", "a/b"):
        both.clock.seconds += 1
        answers = [_copied(side, name) for side in both.sides]
        assert answers[0] == answers[1]
    both.get_model_version("dst", 2)
    both.get_model_version_download_uri("dst", 2)
    both.search_model_versions()
    both.get_registered_model("dst")


def _copied(side: Side, name: str) -> Any:
    return side.call("copy_model_version", (side.version, name), {})  # type: ignore[attr-defined]
