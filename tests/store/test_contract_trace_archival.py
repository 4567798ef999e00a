"""Archival of traces: the same calls on MLflow's SQL store and on ours, and the files that come."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import ExperimentTag, TraceState, ViewType
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

from tests.store.both import Both, Ref
from tests.store.spans import info, span
from tests.store.test_contract_traces import feedback, search

ROOT = Ref("root")
NOW = 1_700_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW_TAG, KEEP_TAG = "mlflow.trace.archiveNow", "mlflow.trace.archivalRetention"


@pytest.fixture
def both(sql: Any, ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Each side with an archive of its own, and a clock that stands still."""
    clock = SimpleNamespace(time=lambda: NOW / 1000)
    monkeypatch.setattr("mlflow.utils.time.time", clock)
    both = Both(sql, ours)
    for name, side in zip(("sql", "ours"), both.sides, strict=True):
        side.made["root"] = (tmp_path / name).as_uri()
    return both


def archive(both: Both, retention: str = "30d", **kwargs: Any) -> Any:
    """One pass of both; also the files are the same then."""
    kwargs = {"resolved_trace_archival_location": ROOT, "broader_retention": retention, **kwargs}
    archived = both.archive_traces(**kwargs)
    files(both)
    return archived


def files(both: Both) -> list[str]:
    """The files of both archives, which are the same to the byte."""
    theirs, ours = (_files(Path(side.made["root"].removeprefix("file://"))) for side in both.sides)
    assert ours == theirs
    return sorted(ours)


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def traced(
    both: Both, trace_id: str, age: int, experiment_id: str = "0", spans: int = 2, **fields: Any
) -> None:
    """A trace that began so long ago, with spans."""
    time = NOW - age
    both.start_trace(info(trace_id, time, experiment_id, **fields))
    if spans:
        made = [span(trace_id, 1, start=time, end=time + 50, kind="CHAIN", q="why ☃")]
        made += [span(trace_id, n, 1, start=time + n, kind="LLM") for n in range(2, spans + 1)]
        both.log_spans(experiment_id, made)


def states(both: Both, *trace_ids: str) -> dict[str, str]:
    """Where the spans of these traces are; everything about them is the same on both sides."""
    found = {}
    for trace_id in trace_ids:
        tags = both.get_trace_info(trace_id)["tags"]
        found[trace_id] = tags.get("mlflow.trace.spansLocation", "nowhere")
        if "mlflow.trace.archivalFailure" in tags:
            found[trace_id] = tags["mlflow.trace.archivalFailure"]
    return found


def asks(both: Both, experiment_id: str, key: str, **value: Any) -> None:
    both.set_experiment_tag(experiment_id, ExperimentTag(key, json.dumps(value)))


def test_arguments(both: Both) -> None:
    bad: list[dict[str, Any]] = [
        {"max_traces_per_pass": 0},
        {"max_traces_per_pass": -3},
        {"resolved_trace_archival_location": ""},
        {"resolved_trace_archival_location": None},
        {"resolved_trace_archival_location": 5},
        {"resolved_trace_archival_location": "/no/scheme"},
        {"resolved_trace_archival_location": "mlflow-artifacts:/x"},
        {"retention": ""},
        {"retention": None},
        {"retention": "30"},
        {"retention": "0d"},
        {"retention": "1w"},
        {"retention": 30},
        {"retention": "1" * 32 + "d"},
    ]
    for arguments in bad:
        assert archive(both, **arguments) == ("error", "INVALID_PARAMETER_VALUE"), arguments


def test_by_age(both: Both) -> None:
    for name in ("short", "long", "longer", "broken", "deleted"):
        both.create_experiment(name)
    asks(both, "1", KEEP_TAG, type="duration", value="1h")
    asks(both, "2", KEEP_TAG, type="duration", value="90d")
    asks(both, "3", KEEP_TAG, type="duration", value="60d")
    both.set_experiment_tag("4", ExperimentTag(KEEP_TAG, "not json"))
    ages = {"old": 30 * DAY, "young": 30 * DAY - 1, "new": HOUR, "newest": HOUR - 1}
    every = ["old-0", "young-0", "old-1", "young-1", "new-1", "newest-1", "old-2", "young-2",
             "old-3", "old-4", "young-4", "old-5"]  # fmt: skip
    for trace_id in every:
        name, _, experiment_id = trace_id.partition("-")
        traced(both, trace_id, ages[name], experiment_id)
    traced(both, "out-2", 70 * DAY, "2", spans=1)
    traced(both, "out-3", 70 * DAY, "3", spans=1)
    both.delete_experiment("5")
    traced(both, "running", 40 * DAY, state=TraceState.IN_PROGRESS, spans=0)
    both.log_spans("0", [span("rootless", 2, 1, start=NOW - 40 * DAY)])
    traced(both, "no spans", 40 * DAY, spans=0)
    traced(both, "unspecified", 40 * DAY, state=TraceState.STATE_UNSPECIFIED)
    traced(both, "failed", 40 * DAY, state=TraceState.ERROR)
    elsewhere = {"mlflow.trace.spansLocation": "ARTIFACT_REPO"}
    traced(both, "elsewhere", 40 * DAY, spans=0, tags=elsewhere)
    marked = {"mlflow.trace.archivalFailure": "MALFORMED_TRACE"}
    traced(both, "marked", 40 * DAY, tags=marked)
    assert archive(both, " 30d ", long_retention_allowlist=["3", "77"]) == 10
    assert len(files(both)) == 10
    assert "0/traces/old-0/artifacts/traces.pb" in files(both)
    every += ["out-2", "out-3", "running", "rootless", "no spans", "unspecified", "failed"]
    every += ["elsewhere", "marked"]
    states(both, *every)
    both.batch_get_traces([one for one in every if one not in ("no spans", "elsewhere", "running")])
    for trace_id in ("old-0", "out-2", "young-0", "failed"):
        both.get_trace(trace_id)
    search(both, *"012345")
    assert archive(both, long_retention_allowlist=["3"]) == 0
    assert archive(both) == 1
    assert archive(both, "1m", long_retention_allowlist={"1", "2", "3"}) == 2
    states(both, *every)


def test_what_an_archived_trace_still_does(both: Both) -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    cost = {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}
    whole = info(
        "é☃ tr",
        NOW - 40 * DAY,
        request_preview="why",
        response_preview="because",
        tags={"mlflow.traceName": "a name", "k": "v"},
        trace_metadata={"mlflow.trace.session": "s1", "mlflow.trace.sizeStats": '{"num_spans": 3}'},
    )
    both.start_trace(whole)
    time = NOW - 40 * DAY
    tokens = {"mlflow__chat__tokenUsage": usage, "mlflow__llm__cost": cost, "n": 5}
    both.log_spans(
        "0",
        [
            span("é☃ tr", 1, start=time, end=time + 9, name="root", deep={"a": ["☃"]}),
            span("é☃ tr", 2, 1, start=time + 1, kind="LLM", mlflow__llm__model="gpt", **tokens),
            span("é☃ tr", 3, 1, start=time + 1, kind="TOOL", end=None),
        ],
    )
    traced(both, "other", HOUR)
    both.link_traces_to_run(["é☃ tr"], "run-a")
    filters = [
        "span.name = 'root'",
        "span.type = 'LLM' AND span.status = 'OK'",
        "span.content LIKE '%deep%'",
        "span.attributes.n = '5'",
        "trace.text LIKE '%deep%'",
        "run_id = 'run-a'",
        "tags.k = 'v'",
        "metadata.`mlflow.trace.session` = 's1'",
        "feedback.f = '1'",
        "tags.`mlflow.trace.spansLocation` = 'ARCHIVE_REPO'",
    ]

    def everything() -> None:
        for one in filters:
            search(both, "0", filter_string=one)
        for name, kind in (("span_count", "span_type"), ("total_cost", "span_model_name")):
            both.query_trace_metrics(
                ["0"],
                MetricViewType.SPANS,
                name,
                [MetricAggregation(AggregationType.COUNT if name == "span_count" else _SUM)],
                [kind],
            )
        both.get_trace("é☃ tr")
        both.get_trace("é☃ tr", allow_partial=True)
        both.batch_get_traces(["é☃ tr", "other"])
        both.batch_get_trace_infos(["é☃ tr", "other"])

    everything()
    assert archive(both) == 1
    everything()
    both.log_spans("0", [span("é☃ tr", 9, 1)])
    both.log_spans("0", [span("é☃ tr", 9, 1), span("new", 1)])
    both.get_trace_info("new")
    both.start_trace(info("é☃ tr", 5, tags={"k": "w"}))
    both.set_trace_tag("é☃ tr", "k", "x")
    both.delete_trace_tag("é☃ tr", "nothing")
    made = feedback("é☃ tr", "f", 1)
    made.assessment_id = "a-1"
    both.create_assessment(made)
    everything()
    assert archive(both) == 0
    # A file that is gone leaves the trace without spans.
    for side in both.sides:
        (file,) = Path(side.made["root"].removeprefix("file://")).rglob("traces.pb")
        file.unlink()
    everything()
    both.delete_trace_tag("é☃ tr", "mlflow.trace.archiveLocation")
    both.get_trace("é☃ tr")
    both.batch_get_traces(["é☃ tr"])
    # Told that its spans are here, it has none with contents, and can get new ones.
    both.set_trace_tag("é☃ tr", "mlflow.trace.spansLocation", "TRACKING_STORE")
    both.get_trace("é☃ tr", allow_partial=True)
    assert archive(both) == 0
    asks(both, "0", NOW_TAG)
    assert archive(both) == 1  # the other one
    assert NOW_TAG not in both.get_experiment("0")["tags"]


_SUM = AggregationType.SUM


def test_the_oldest_first_and_not_more_than_asked_for(both: Both) -> None:
    both.create_experiment("one")
    both.create_experiment("asked")
    for number in range(8):  # several of an experiment at the same time
        home = "1" if number % 3 == 2 else "0"
        traced(both, f"tr-{number}", 50 * DAY - number // 4 * MINUTE, home, spans=1)
    for number in range(3):
        traced(both, f"now-{number}", 10 * DAY - number, "2")
    asks(both, "2", NOW_TAG)
    every = [*(f"tr-{number}" for number in range(8)), *(f"now-{number}" for number in range(3))]
    counts = []
    while archived := archive(both, max_traces_per_pass=2):
        counts.append(archived)
        states(both, *every)
        both.get_experiment("2")
    assert counts == [2, 2, 2, 2, 2, 1]
    traced(both, "late", 45 * DAY, "2")
    asks(both, "2", NOW_TAG, older_than="1h")
    traced(both, "later", 60 * DAY, "0")
    assert archive(both, max_traces_per_pass=1) == 1
    assert states(both, "late", "later") == {"late": "ARCHIVE_REPO", "later": "TRACKING_STORE"}


def test_now(both: Both) -> None:
    for name in ("now", "older", "nothing"):
        both.create_experiment(name)
    for experiment_id in "0123":
        traced(both, f"a-{experiment_id}", 5 * DAY, experiment_id)
        traced(both, f"b-{experiment_id}", HOUR, experiment_id)
    for bad in ("x", "[]", '{"older_than": "soon"}', '{"older_than": 5}'):
        both.set_experiment_tag("3", ExperimentTag(NOW_TAG, bad))
    asks(both, "1", NOW_TAG)
    asks(both, "2", NOW_TAG, older_than="2d", more="ignored")
    assert archive(both) == 3
    every = [f"{name}-{one}" for name, one in itertools.product("ab", "0123")]
    states(both, *every)
    for experiment in both.search_experiments(ViewType.ALL):
        assert NOW_TAG not in experiment["tags"]
    # What cannot go yet keeps the request; what never will does not.
    both.start_trace(info("running", NOW - DAY, "1", state=TraceState.IN_PROGRESS))
    asks(both, "1", NOW_TAG)
    assert archive(both) == 0
    assert NOW_TAG in both.get_experiment("1")["tags"]
    both.log_spans("1", [span("running", 1, start=NOW - DAY)])
    assert archive(both) == 1
    assert NOW_TAG not in both.get_experiment("1")["tags"]
    both.start_trace(info("empty", NOW - DAY, "1"))
    asks(both, "1", NOW_TAG, older_than="3h")
    assert archive(both) == 0
    assert NOW_TAG not in both.get_experiment("1")["tags"]
    # A longer age than the retention: both apply.
    traced(both, "c", 3 * DAY, "2")
    asks(both, "2", NOW_TAG, older_than="4d")
    assert archive(both, "2d", max_traces_per_pass=5) == 3
    both.get_experiment("2")
    # Not of a deleted experiment.
    traced(both, "d", 3 * DAY, "3")
    asks(both, "3", NOW_TAG)
    both.delete_experiment("3")
    archive(both)
    both.get_experiment("3")
    states(both, "d")


def test_what_cannot_be_archived(both: Both) -> None:
    traced(both, "good", 40 * DAY)
    time = NOW - 41 * DAY
    odd = [span("bad", 1, start=time), span("bad", 2, 1, start=time, otel_trace="another")]
    both.log_spans("0", odd)
    asks(both, "0", NOW_TAG)
    assert archive(both) == 1
    assert states(both, "good", "bad") == {"good": "ARCHIVE_REPO", "bad": "MALFORMED_TRACE"}
    both.get_trace("bad")
    assert NOW_TAG not in both.get_experiment("0")["tags"]
    assert archive(both) == 0
    both.delete_trace_tag("bad", "mlflow.trace.archivalFailure")
    assert archive(both) == 0
    assert states(both, "bad") == {"bad": "MALFORMED_TRACE"}
    both.delete_trace_tag("bad", "mlflow.trace.archivalFailure")
    fixed = span("bad", 2, 1, start=time)
    both.log_spans("0", [fixed])
    assert archive(both) == 1
    both.get_trace("bad")
    assert files(both) == [f"0/traces/{one}/artifacts/traces.pb" for one in ("bad", "good")]


@pytest.mark.parametrize("location", ["nosuch://archive/x", "file:///dev/null/archive"])
def test_an_archive_that_does_not_work(both: Both, location: str) -> None:
    traced(both, "tr-1", 40 * DAY)
    traced(both, "tr-2", 39 * DAY)
    asks(both, "0", NOW_TAG)
    assert archive(both, resolved_trace_archival_location=location) == 0
    assert set(states(both, "tr-1", "tr-2").values()) == {"TRACKING_STORE"}
    both.get_trace("tr-1")
    assert NOW_TAG in both.get_experiment("0")["tags"]
    assert archive(both) == 2


def test_deleting(both: Both) -> None:
    both.create_experiment("other")
    for number in range(6):
        traced(both, f"tr-{number}", 40 * DAY - number)
    traced(both, "here", HOUR)
    traced(both, "elsewhere", 40 * DAY, "1")
    assert archive(both) == 7
    assert both.delete_traces("0", trace_ids=["tr-0", "here", "none", "elsewhere"]) == 2
    assert len(files(both)) == 6
    both.get_trace("tr-0")
    for side in both.sides:  # somebody removed a file
        root = Path(side.made["root"].removeprefix("file://"))
        (root / "0/traces/tr-1/artifacts/traces.pb").unlink()
    both.set_trace_tag("tr-2", "mlflow.trace.archiveLocation", "nosuch://archive")
    both.delete_trace_tag("tr-3", "mlflow.trace.archiveLocation")
    assert both.delete_traces("0", max_timestamp_millis=NOW, max_traces=3) == 2
    assert states(both, "tr-2", "tr-4") == {"tr-2": "ARCHIVE_REPO", "tr-4": "ARCHIVE_REPO"}
    assert both.delete_traces("0", max_timestamp_millis=NOW) == 2
    assert search(both, "0") == ["tr-2"]
    assert files(both) == [f"{one}/artifacts/traces.pb" for one in _LEFT]
    traced(both, "tr-0", 40 * DAY)  # the name is free again
    assert archive(both) == 1
    both.get_trace("tr-0")
    both.delete_experiment("1")
    both._hard_delete_experiment("1")
    # As MLflow: gc leaves archives alone.
    assert "1/traces/elsewhere/artifacts/traces.pb" in files(both)
    both.get_trace_info("elsewhere")


_LEFT = ("0/traces/tr-2", "0/traces/tr-3", "1/traces/elsewhere")


def test_experiments_say_how_long_they_keep_traces(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.create_experiment("short")
    both.create_experiment("long")
    both.create_experiment("longer")
    asks(both, "1", KEEP_TAG, type="duration", value="12h")
    asks(both, "2", KEEP_TAG, type="duration", value="90d")
    asks(both, "3", KEEP_TAG, type="duration", value="90d")
    rest = "location: 'file:///x', retention: 30d, long_retention_allowlist: [3]"
    configs = [
        None,
        f"trace_archival: {{enabled: true, {rest}}}",
        f"trace_archival: {{enabled: false, {rest}}}",
        "trace_archival: {enabled: true, location: 'file:///x', retention: 2w}",
        "nothing of the kind: 1",
    ]
    seen = []
    for number, config in enumerate(configs):
        path = tmp_path / f"config-{number}.yaml"  # MLflow caches by path
        monkeypatch.setenv("MLFLOW_TRACE_ARCHIVAL_CONFIG", str(path) if config else "")
        path.write_text(config or "")
        found = both.search_experiments(ViewType.ALL, order_by=["experiment_id ASC"])
        seen.append([one["effective_trace_archival_retention"] for one in found])
        assert both.get_experiment_by_name("short") == both.get_experiment("1") == found[1]
    nothing = [None] * 4
    assert seen == [nothing, ["30d", "12h", "30d", "90d"], nothing, nothing, nothing]
    defaults = {"default_trace_archival_location": "x:/y", "default_retention": "1d"}
    for side in both.sides:
        assert side.store.supports_trace_archival is True
        resolved = side.store.resolve_trace_archival_config(**defaults)
        assert (resolved.config.location, resolved.config.retention) == ("x:/y", "1d")


def test_what_neither_store_has(both: Both) -> None:
    for side in both.sides:
        with pytest.raises(NotImplementedError, match="not support `get_online_trace_details`"):
            side.store.get_online_trace_details("tr-1", "table", "request")


def _started(store: Any, trace: Any) -> Any:
    """SQL answers with the tags from before when there was a trace; what counts is what is kept."""
    store.start_trace(trace)
    return store.get_trace_info(trace.trace_id)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.heavy)])
def test_passes_at_random(both: Both, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(2):
        both.create_experiment(f"e{number}")
    every = [f"tr-{number}" for number in range(9)]
    for _ in range(25):
        trace_id = dice.choice(every)
        number = int(trace_id[3:])
        experiment_id = str(number % 3)
        time = NOW - (10 + number // 2) * DAY
        state = dice.choice([TraceState.OK, TraceState.ERROR, TraceState.IN_PROGRESS])
        match dice.randrange(9):
            case 0:
                again = info(trace_id, time, experiment_id, state=state)
                theirs, ours = (side.call(_started, (again,), {}) for side in both.sides)
                assert ours == theirs
            case 1 | 2 | 3:
                one = dice.randrange(1, 4)
                parent = None if one == 1 else 1
                both.log_spans(experiment_id, [span(trace_id, one, parent, start=time + one)])
            case 4:
                both.delete_traces(experiment_id, trace_ids=[trace_id])
            case 5:
                asks(both, experiment_id, NOW_TAG, **dice.choice([{}, {"older_than": "12d"}]))
            case _:
                limit = dice.choice([None, 1, 3])
                archive(both, dice.choice(["11d", "14d", "30d"]), max_traces_per_pass=limit)
        both.search_experiments(ViewType.ALL)
        both.batch_get_trace_infos(every)
    search(both, *"012")
    search(both, *"012", filter_string="span.name = 'span 2'")
    both.batch_get_traces(every)
