"""A trace: one document with its info, tags, metadata and assessments, and an entry in a list.

While a trace is in progress its entry only points to it. Afterwards the entry holds a compressed
copy, renewed with every change, so that a search reads thousands of traces with a few Queries.
Session, token counts and costs are columns of their own, as in MLflow's SQL store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

from mlflow.entities import TraceInfo, TraceLocation, TraceState
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.utils.trace_analytics import (
    COST_COLUMN_BY_KEY,
    PROMOTED_TRACE_METADATA_KEYS,
    TOKEN_COLUMN_BY_KEY,
    compatibility_metadata_from_columns,
)
from mlflow.tracing.constant import CostKey, SpansLocation, TraceMetadataKey, TraceTagKey

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import assessment
from dynamodb_store.entities.assessment import Assessed
from dynamodb_store.entities.run import COPIED, pack
from dynamodb_store.table import Action

TAGS, METADATA, ASSESSMENTS, PROMPTS, TEXTS = "t", "m", "a", "p", "x"
SECTIONS = (TAGS, METADATA, ASSESSMENTS, PROMPTS, TEXTS)

NAME, SESSION = "trace_name", "session_id"
REQUEST, RESPONSE, CLIENT_ID = "request_preview", "response_preview", "client_request_id"
"""Names in the section of texts: what MLflow's SQL store has columns for."""
EMPTIED, PARTLY, WHOLLY = "emptied", "partly", "wholly"
"""In the head once the contents of the spans are in an archive: ``PARTLY`` while some of them have
still to be removed from here."""

_NUMBERS = (*TOKEN_COLUMN_BY_KEY.values(), *COST_COLUMN_BY_KEY.values())


def new_trace(trace_id: str, experiment_id: str, timestamp: int, status: str) -> Document:
    """A document that is not written yet."""
    head: Item = {
        "trace_id": trace_id,
        "experiment_id": experiment_id,
        "timestamp": timestamp,
        "duration": None,
        "status": status,
        "numbers": "{}",
        "span_count": 0,
        "span_kinds": "[]",
        "latest_span": None,
        COPIED: False,
    }
    return Document(keys.trace(trace_id), head, SECTIONS)


def is_stored_here(document: Document) -> bool:
    """Whether the trace's spans are in this store, or are not anywhere yet."""
    location = document.get(TAGS, TraceTagKey.SPANS_LOCATION)
    return location in (None, SpansLocation.TRACKING_STORE.value)


def is_archived(document: Document) -> bool:
    """Whether the trace's spans are in an archive."""
    return bool(document.get(TAGS, TraceTagKey.SPANS_LOCATION) == SpansLocation.ARCHIVE_REPO.value)


def put(document: Document, section: str, name: str, value: str | None) -> None:
    """Set a value, or remove it with None. Raises MlflowException when it is too large."""
    if value is None:
        if document.get(section, name) is not None:
            document.remove(section, name)
        return
    if len(value.encode("utf-8", "surrogatepass")) > schema.LONGEST_VALUE:
        raise MlflowException.invalid_parameter_value(
            f"'{name}' of a trace may have {schema.LONGEST_VALUE // 1024} KB."
        )
    document.set(section, name, value)


def set_columns(document: Document, columns: dict[str, Any]) -> None:
    """Set session, token counts and costs; None empties one."""
    columns = dict(columns)
    if SESSION in columns:
        put(document, TEXTS, SESSION, columns.pop(SESSION))
    numbers = json.loads(document.head["numbers"]) | columns
    kept = {name: number for name, number in numbers.items() if number is not None}
    document.head["numbers"] = json.dumps(kept)


class TraceView:
    """What searches and answers read of a trace's document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.head = document.head

    @property
    def trace_id(self) -> str:
        return str(self.head["trace_id"])

    @property
    def experiment_id(self) -> str:
        return str(self.head["experiment_id"])

    @property
    def timestamp(self) -> int:
        return int(self.head["timestamp"])

    @property
    def duration(self) -> int | None:
        return None if self.head["duration"] is None else int(self.head["duration"])

    @property
    def status(self) -> str:
        return str(self.head["status"])

    def text(self, name: str) -> str | None:
        """One of the texts that are columns in SQL."""
        return _text(self.document.get(TEXTS, name))

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """Token counts and costs; those that are not known are None."""
        known: dict[str, Any] = json.loads(self.head["numbers"])
        return dict.fromkeys(_NUMBERS) | known

    @cached_property
    def derived(self) -> dict[str, str]:
        """Metadata that MLflow makes of columns: session, token usage, cost."""
        columns = SimpleNamespace(**self.numbers, session_id=self.text(SESSION))
        made: dict[str, str] = compatibility_metadata_from_columns(columns)
        return made

    def tag(self, name: str) -> str | None:
        """A tag; the trace's name is one."""
        if name == TraceTagKey.TRACE_NAME:
            return self.text(NAME)
        return _text(self.document.get(TAGS, name))

    def metadata(self, name: str) -> str | None:
        """One value of the metadata."""
        if name in PROMOTED_TRACE_METADATA_KEYS:
            return self.derived.get(name)
        return _text(self.document.get(METADATA, name))

    @cached_property
    def assessments(self) -> list[Assessed]:
        """The assessments by creation."""
        found = [
            assessment.unpack(name, value)
            for name, value in self.document.section(ASSESSMENTS).items()
        ]
        return sorted(found, key=lambda one: (one.created, one.number))

    @property
    def info(self) -> TraceInfo:
        """MLflow's TraceInfo."""
        document = self.document
        tags: dict[str, Any] = dict(document.section(TAGS))
        metadata: dict[str, Any] = dict(document.section(METADATA))
        if (name := self.text(NAME)) is not None:
            tags[TraceTagKey.TRACE_NAME] = name
        return TraceInfo(
            trace_id=self.trace_id,
            trace_location=TraceLocation.from_experiment_id(self.experiment_id),
            request_time=self.timestamp,
            execution_duration=self.duration,
            state=TraceState(self.status),
            tags=tags,
            trace_metadata=metadata | self.derived,
            client_request_id=self.text(CLIENT_ID),
            request_preview=self.text(REQUEST),
            response_preview=self.text(RESPONSE),
            assessments=[assessment.assessment_of(one, self.trace_id) for one in self.assessments],
        )


class Cost(NamedTuple):
    """What a call through the AI gateway cost, for its budgets; ``total`` as JSON."""

    endpoint_id: str
    username: str | None
    total: str


@dataclass(frozen=True)
class Place:
    """Where the lists name a trace."""

    trace_id: str
    experiment_id: str
    timestamp: int
    latest_span: int | None
    session_wide: bool
    source_runs: frozenset[str]
    issues: frozenset[str]
    copied: bool
    cost: Cost | None

    @property
    def entry(self) -> keys.Key:
        """In the experiment's list of traces."""
        return keys.trace_entry(self.experiment_id, self.timestamp, self.trace_id)

    @property
    def spans(self) -> keys.Key | None:
        """In the experiment's list of spans."""
        if self.latest_span is None:
            return None
        return keys.span_entry(self.experiment_id, self.latest_span, self.trace_id)

    @property
    def cost_entry(self) -> Item | None:
        """In the list of what the AI gateway spent on a day."""
        if self.cost is None:
            return None
        pk, sk = keys.gateway_entry(self.timestamp, self.trace_id)
        return {"pk": pk, "sk": sk, "trace": self.trace_id, **self.cost._asdict()}

    @property
    def marks(self) -> set[keys.Key]:
        """Items that only say that the trace has such assessments."""
        found = {keys.assessed_entry(run_id, self.trace_id) for run_id in self.source_runs}
        found |= {keys.trace_of_issue(issue_id, self.trace_id) for issue_id in self.issues}
        if self.session_wide:
            found.add(keys.session_entry(self.experiment_id, self.trace_id))
        return found


def place_of(document: Document) -> Place:
    """The places of a trace as its document says."""
    view = TraceView(document)
    head = document.head
    return Place(
        trace_id=view.trace_id,
        experiment_id=view.experiment_id,
        timestamp=view.timestamp,
        latest_span=head["latest_span"],
        session_wide=any(one.session_wide for one in view.assessments),
        source_runs=frozenset(run for one in view.assessments if (run := one.source_run)),
        issues=frozenset(one.name for one in view.assessments if one.kind == "issue"),
        copied=head[COPIED],
        cost=_cost(view),
    )


def _cost(view: TraceView) -> Cost | None:
    endpoint_id = view.metadata(TraceMetadataKey.GATEWAY_ENDPOINT_ID)
    total = view.numbers[COST_COLUMN_BY_KEY[CostKey.TOTAL_COST]]
    if endpoint_id is None or total is None:
        return None
    return Cost(endpoint_id, view.metadata(TraceMetadataKey.AUTH_USERNAME), json.dumps(total))


def relisted(document: Document, before: Place | None) -> list[Action]:
    """What to write with a changed document so that the lists are right.

    The list of spans is the business of who writes spans.
    """
    copy = _copy(document)
    document.head[COPIED] = copy is not None
    now = place_of(document)
    actions: list[Action] = []
    if before is not None and before.entry != now.entry:
        actions.append(("Delete", {"Key": before.entry}))
    if before is None or before.entry != now.entry or before.copied or now.copied:
        item: Item = {"pk": now.entry[0], "sk": now.entry[1], "trace": now.trace_id}
        if copy is not None:
            item[schema.DIGEST] = copy
        actions.append(("Put", {"Item": item}))
    marked = set() if before is None else before.marks
    for pk, sk in sorted(now.marks - marked):
        actions.append(("Put", {"Item": {"pk": pk, "sk": sk, "trace": now.trace_id}}))
    actions += [("Delete", {"Key": key}) for key in sorted(marked - now.marks)]
    return [*actions, *_cost_relisted(None if before is None else before.cost_entry, now)]


def _cost_relisted(before: Item | None, now: Place) -> list[Action]:
    after = now.cost_entry
    if before == after:
        return []
    actions: list[Action] = []
    if before is not None and (after is None or before["sk"] != after["sk"]):
        actions.append(("Delete", {"Key": (before["pk"], before["sk"])}))
    if after is not None:
        actions.append(("Put", {"Item": after}))
    return actions


def unlisted(place: Place) -> list[Action]:
    """The deletes of all that lists hold of a trace."""
    gone = [place.entry, *sorted(place.marks)]
    if place.spans is not None:
        gone.append(place.spans)
    if (cost := place.cost_entry) is not None:
        gone.append((cost["pk"], cost["sk"]))
    return [("Delete", {"Key": key}) for key in gone]


def _copy(document: Document) -> bytes | None:
    if document.head["status"] == TraceState.IN_PROGRESS.value:
        return None
    if document.size > 4 * schema.DIGEST_BYTES:
        return None
    document.head[COPIED] = True
    packed = pack(document)
    return packed if len(packed) <= schema.DIGEST_BYTES else None


def _text(value: str | bytes | None) -> str | None:
    return value if isinstance(value, str) else None
