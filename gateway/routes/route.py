"""The shape of a catalogue row: one frozen ``Route`` says everything about one endpoint.

A row names the call, where each identifier of the request is and what kind it is, what
happens to the answer, and what a caller may not put into it. Rows live in ``catalogue/``;
this module knows no single endpoint and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, NamedTuple

from gateway.model import Kind


class RefKind(StrEnum):
    """What an identifier in a request is. Each resolves to experiments or models."""

    EXPERIMENT = "experiment"
    EXPERIMENT_NAME = "experiment_name"
    MODEL = "model"
    RUN = "run"
    TRACE = "trace"
    NEW_TRACE = "new_trace"
    """A trace that the call creates; if it exists, the caller must be able to edit it."""
    LOGGED_MODEL = "logged_model"
    DATASET = "dataset"
    """An evaluation dataset: resolves to every experiment that it is linked to."""
    ISSUE = "issue"
    LABEL_SCHEMA = "label_schema"
    REVIEW_QUEUE = "review_queue"
    PROMPT_JOB = "prompt_job"
    ARTIFACT_PATH = "artifact_path"
    """A path below MLflow's proxied artifact root: its first segment is the experiment id."""
    MODEL_SOURCE = "model_source"
    """The ``source`` of a model version: where its artifacts are."""
    MODEL_URI = "model_uri"
    """``models:/name/version``, ``prompts:/name/version`` and the like."""

    __hash__ = str.__hash__


Part = Literal["query", "body", "path", "header"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the request. ``names`` are spellings of one field: at most one value may differ.

    A body name is a path: ``metrics[].model_id``, ``trace.trace_info.trace_id``.
    """

    part: Part
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An identifier that the request carries.

    ``needs`` is the call that the caller's role must list on what it resolves to; None means
    the row's own call. ``required`` identifiers that are absent are a 400 before anything is
    forwarded. ``narrow``: the request is cut down to the identifiers that the caller may use
    instead of being refused (searches that list their experiments).
    """

    kind: RefKind
    where: Where
    many: bool = False
    needs: str | None = None
    required: bool = True
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Creates:
    """The call makes a resource; its id is in the answer (experiments) or the body (models)."""

    kind: Kind
    answer_field: str | None
    body_field: str | None


@dataclass(frozen=True, slots=True)
class Deletes:
    """The call removes a model for good, and its ACL with it."""

    body_field: str


@dataclass(frozen=True, slots=True)
class Renames:
    """The call renames a model, and its ACL moves along."""

    old_field: str
    new_field: str


@dataclass(frozen=True, slots=True)
class Trims:
    """The answer is a list that may show what the caller must not read.

    ``plan`` names a paged search plan of ``gateway.filters`` (``experiments``,
    ``registered-models``, ``model-versions``, ...) or is ``list`` for an answer without pages:
    then rows under ``rows`` stay when every resource named by ``ids``, experiment ids or model
    names as ``kind`` says, is readable.
    """

    plan: str
    rows: str = ""
    ids: str = ""
    kind: Kind = Kind.EXPERIMENT


@dataclass(frozen=True, slots=True)
class Learns:
    """The answer tells where something lives: ``answer_id`` belongs to ``answer_experiment``."""

    kind: RefKind
    answer_id: str
    answer_experiment: str


class TagNeed(NamedTuple):
    """Tags that are more than a label: MLflow acts by them, or shows them as its own record.

    Whoever writes or deletes one needs ``call`` on the same resources too. Keys that begin with
    ``prefix`` are meant, in any spelling that a database may take for it, ``but`` for some.
    """

    prefix: str
    call: str
    but: tuple[str, ...] = ()


Answer = Creates | Deletes | Renames | Trims | Learns

BodyKind = Literal["none", "json", "free", "stream", "otlp", "graphql"]
"""none: never forwarded; json: checked against ``message`` and rebuilt; free: a JSON object,
rebuilt without a field check (admin calls); stream: opaque bytes; otlp: spans are read, then the
bytes pass; graphql: parsed with graphql-core."""

Scope = Literal["resources", "server", "public", "refused"]
"""resources: roles on the refs decide; server: the ``server:`` part of roles.yaml decides;
public: nobody needs to sign in; refused: never forwarded, for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint of MLflow.

    ``path`` is the template below ``prefixes``: ``/2.0/mlflow/traces/{request_id}/info``;
    ``{name:path}`` matches several segments. ``message`` names the request's fields in the
    schema file; ``fields`` gives them in place for endpoints without a proto
    (name -> type, as the schema file spells types).
    """

    method: str
    path: str
    prefixes: tuple[str, ...]
    call: str
    does: Literal["read", "write", "create", "delete"]
    scope: Scope = "resources"
    refs: tuple[Named, ...] = ()
    body: BodyKind = "none"
    message: str | None = None
    fields: Mapping[str, str] | None = None
    query: tuple[str, ...] = ()
    """Query fields of a call that is not a GET (a GET's come from ``message`` or ``fields``)."""
    answers: tuple[Answer, ...] = ()
    tag_keys: tuple[str, ...] = ()
    """Body or path fields that carry tag keys: ``mlgate.*`` is refused there."""
    admin_fields: tuple[str, ...] = ()
    """Body fields that only an admin may fill."""
    admin_names: Mapping[str, str] | None = None
    """Body field -> how its value may begin for admins only, in any spelling that a database may
    take for it: names that MLflow itself gives, and takes over what has one already."""
    admin_texts: Mapping[str, str] | None = None
    """Body field that holds JSON -> a key of it that may be text for admins only: MLflow takes
    the text for a file of its server."""
    scorers: tuple[Named, ...] = ()
    """Body fields that hold a serialized scorer, as the traces that it may load (see
    ``routes/scorers.py``); what makes more of it than a scorer is for admins."""
    forbidden_tags: tuple[str, ...] = ()
    """Tag keys besides ``mlgate.*`` that nobody but an admin may write by this call."""
    tag_needs: tuple[TagNeed, ...] = ()
    """What some of the tags at ``tag_keys`` need besides this call."""
    stamps: Literal["", "owner", "user"] = ""
    """owner: ``mlgate.owner``/``mlgate.group`` tags are added; user: ``mlflow.user`` is set."""
    hides: bool = False
    """Absent and forbidden look the same: 404 RESOURCE_DOES_NOT_EXIST (calls by name)."""
    repeatable: bool = True
    """Safe to send again when MLflow vanished after it got the request."""
    requires_any: tuple[str, ...] = ()
    """At least one of these fields must be present (where MLflow would list everything)."""
    file_names: tuple[str, ...] = ()
    """Body fields that must be one plain file name: no ``/``, no backslash, not ``.`` or ``..``
    (MLflow joins them to an artifact path)."""
    inner_paths: tuple[str, ...] = ()
    """Query or body fields that are a path below the artifact root of what a ref names: no
    absolute path, no ``.`` or ``..`` part in any encoding."""
    fixed: Mapping[str, tuple[str, ...]] | None = None
    """Query fields that must be given, and may have these values only (MLflow would do something
    else entirely for another value)."""
    plain: tuple[str, ...] = ()
    """Fields of the request that look like identifiers and name no resource; each says why in
    the row's comment. The completeness test wants every such field located or listed here."""
    note: str = ""
    """One sentence for the reader of the catalogue; for ``refused`` rows the reason shown."""

    kinds: frozenset[Kind] = field(init=False, repr=False, compare=False)
    """The kinds of resource on which a role decides about this row's own call."""
    narrows: bool = field(init=False, repr=False, compare=False)
    """Whether forbidden identifiers are taken out of the request."""
    takes_json: bool = field(init=False, repr=False, compare=False)
    """Whether the body is JSON of any kind."""
    new_traces: bool = field(init=False, repr=False, compare=False)
    """Whether the call may create traces, which must not move one that exists."""
    trims: Trims | None = field(init=False, repr=False, compare=False)
    """How the answer is trimmed, if it is."""

    def __post_init__(self) -> None:
        # Worked out once: the hot path only reads these.
        derived = {
            "kinds": frozenset(kind_of(r.kind) for r in self.refs if r.needs is None),
            "narrows": any(r.narrow for r in self.refs),
            "takes_json": self.body in ("json", "free", "graphql"),
            "new_traces": self.body == "otlp"
            or any(r.kind is RefKind.NEW_TRACE for r in self.refs),
            "trims": next((a for a in self.answers if isinstance(a, Trims)), None),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def twin(self, method: str) -> Route:
        """The same row for another method (MLflow serves some searches by GET and POST)."""
        return replace(self, method=method)


def kind_of(ref: RefKind) -> Kind:
    """The kind of resource a ref resolves to (a model source resolves to experiments)."""
    return Kind.MODEL if ref in (RefKind.MODEL, RefKind.MODEL_URI) else Kind.EXPERIMENT


class Ref(NamedTuple):
    """One identifier found in a request, and the call that its resources must allow."""

    kind: RefKind
    id: str
    call: str


# --- the words that rows are written with -----------------------------------------------------

BOTH = ("/api", "/ajax-api")
AJAX = ("/ajax-api",)
BARE = ("",)


def query(*names: str) -> Where:
    """A query field (several spellings of one field)."""
    return Where("query", names)


def body(*names: str) -> Where:
    """A field of the JSON body, as a path with ``[]`` for lists."""
    return Where("body", names)


def path(*names: str) -> Where:
    """A placeholder of the path template."""
    return Where("path", names)


def header(*names: str) -> Where:
    """A request header (OTLP names its experiment there)."""
    return Where("header", names)


def _named(kind: RefKind, where: Where, needs: str | None, required: bool) -> Named:
    many = "[]" in where.names[0]
    return Named(kind=kind, where=where, many=many, needs=needs, required=required)


def experiment(where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """An experiment id."""
    return _named(RefKind.EXPERIMENT, where, needs, required)


def experiment_name(where: Where, *, needs: str | None = None) -> Named:
    """An experiment name."""
    return _named(RefKind.EXPERIMENT_NAME, where, needs, True)


def model(where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """A registered model (or prompt) name."""
    return _named(RefKind.MODEL, where, needs, required)


def run(where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """A run id."""
    return _named(RefKind.RUN, where, needs, required)


def trace(where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """A trace id (also called request id)."""
    return _named(RefKind.TRACE, where, needs, required)


def logged_model(where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """A logged model id (``m-…``)."""
    return _named(RefKind.LOGGED_MODEL, where, needs, required)


def ref(kind: RefKind, where: Where, *, needs: str | None = None, required: bool = True) -> Named:
    """Any other kind of identifier."""
    return _named(kind, where, needs, required)


def narrow(named: Named) -> Named:
    """Cut the list in the request down to what the caller may use."""
    return replace(named, narrow=True)


def optional(named: Named) -> Named:
    """The identifier may be absent (or empty); then it names nothing."""
    return replace(named, required=False)
