"""Every key of the table, in one place; ``docs/store.md`` explains each.

A key ends in at most one free text, or has its free texts hashed, so that names with ``#``,
``/`` or any script cannot be mistaken for another key.
"""

from __future__ import annotations

from hashlib import sha256

Key = tuple[str, str]

HEAD = "D"
"""Sort key of a document's head; its pages are ``D#0001`` and so on."""
HEAD_END = "D$"
"""Just after the last page: ``$`` follows ``#``."""

SHARDS = 8
"""Partitions over which the runs of one experiment are listed. 1,500 creations a second cost
3,000 write units (transactions count double), 375 a partition of the 1,000 that it can take."""

_TEXT_BYTES = 900
_INT64 = 2**63


def text(value: str) -> str:
    """Free text as the end of a key: itself after ``=``, or ``~`` and its hash when long."""
    encoded = value.encode()
    return f"={value}" if len(encoded) <= _TEXT_BYTES else f"~{sha256(encoded).hexdigest()}"


def digest(*values: str) -> str:
    """128 bits for one or more texts; the lengths keep ("a", "b") from being ("ab", "")."""
    joined = "".join(f"{len(value)}:{value}" for value in values)
    return sha256(joined.encode()).hexdigest()[:32]


def ascending(number: int) -> str:
    """A signed 64-bit integer whose texts sort as the numbers do."""
    return f"{number + _INT64:016x}"


def number_of(text_of_number: str) -> int:
    """The integer of ``ascending``."""
    return int(text_of_number, 16) - _INT64


def descending(number: int) -> str:
    """A signed 64-bit integer whose texts sort the other way around."""
    return f"{_INT64 - 1 - number:016x}"


def page(number: int) -> str:
    """Sort key of a document's page, from 1."""
    return f"{HEAD}#{number:04d}"


COUNTER: Key = ("C", "experiment")
EXPERIMENTS = "X"
"""Partition of the list of experiments."""


def experiment(experiment_id: str) -> str:
    """Partition of an experiment's document."""
    return f"E#{experiment_id}"


def experiment_name(name: str) -> Key:
    """The item that makes names unique."""
    return (f"N#{text(name)}", HEAD)


def experiment_entry(experiment_id: str, creation_time: int | None) -> Key:
    """An experiment in the list, newest first, then by number: MLflow's default order.

    Those of an imported database that are older than creation times come last.
    """
    order = "g" if creation_time is None else descending(creation_time)
    return (EXPERIMENTS, f"{order}#{int(experiment_id):020d}")


def run(run_id: str) -> str:
    """Partition of a run: its document and its points."""
    return f"R#{run_id}"


def shard_of(run_id: str) -> int:
    """Which shard lists a run."""
    return sha256(run_id.encode()).digest()[0] % SHARDS


def run_shards(experiment_id: str) -> list[str]:
    """The partitions that list an experiment's runs."""
    return [f"L#{experiment_id}#{shard}" for shard in range(SHARDS)]


def run_order(start_time: int | None, run_id: str) -> str:
    """Newest start first, none last, then by id: MLflow's order of runs."""
    return f"{'g' if start_time is None else descending(start_time)}#{run_id}"


def run_entry(experiment_id: str, start_time: int | None, run_id: str) -> Key:
    """A run in its experiment's list."""
    return (f"L#{experiment_id}#{shard_of(run_id)}", run_order(start_time, run_id))


def deleted_shards() -> list[str]:
    """The partitions that list deleted runs for ``mlflow gc``."""
    return [f"Z#{shard}" for shard in range(SHARDS)]


def deleted_run(run_id: str) -> Key:
    """A deleted run."""
    return (f"Z#{shard_of(run_id)}", run_id)


def points_of(metric: str) -> str:
    """What the sort keys of a metric's points begin with."""
    return f"H#{digest(metric)}#"


def points(metric: str, first_timestamp: int, content: str) -> str:
    """Sort key of a chunk of points; ``content`` is their hash, so a repeat overwrites itself."""
    return f"{points_of(metric)}{ascending(first_timestamp)}#{content}"


def tail(metric: str, start: int, number: int) -> str:
    """Sort key of an item in which points gather that are not before ``start``."""
    return f"{points_of(metric)}{ascending(start)}#t{number:x}"


def points_start(sk: str) -> int:
    """The timestamp in the sort key of points: no point of the item, or of a later one, is
    before it."""
    return int(sk.split("#")[2], 16) - _INT64


def points_from(metric: str, timestamp: int) -> str:
    """Not after any sort key of points of this timestamp or a later one."""
    return f"{points_of(metric)}{ascending(timestamp)}"


def points_end(metric: str) -> str:
    """After all sort keys of a metric's points: ``$`` follows ``#``."""
    return f"H#{digest(metric)}$"


def dataset(experiment_id: str, name: str, dataset_digest: str) -> str:
    """Partition of a dataset's document; its long texts are parts of it."""
    return f"S#{experiment_id}#{digest(name, dataset_digest)}"


def dataset_summaries(experiment_id: str) -> str:
    """Partition of an experiment's dataset summaries."""
    return f"Y#{experiment_id}"


def unused_datasets(experiment_id: str) -> str:
    """Partition of datasets that came with an import although no run uses them."""
    return f"Y#{experiment_id}#unused"


IMPORT: Key = ("I", "import")
"""How far an import has come; a server does not start before it is finished."""


# -- registered models, versions, aliases, prompts --

MODELS, PROMPTS = "RL#model", "RL#prompt"
"""Partitions of the lists of registered models and of prompts, by name."""
DELETED_MODELS = "RG"
"""Models whose versions are being removed."""
VERSIONS = "V#"
"""What the sort keys of a model's versions begin with."""


def model(model_id: str) -> str:
    """Partition of a registered model: its record, its versions, its versions by stage."""
    return f"RM#{model_id}"


def model_name(name: str) -> Key:
    """The item that makes names unique and says which model has it."""
    return (f"RN#{text(name)}", HEAD)


def model_order(name: str) -> str:
    """Names in order of code points; beyond 900 bytes only their hash tells them apart."""
    encoded = name.encode()
    if len(encoded) <= _TEXT_BYTES:
        return f"={name}"
    start = encoded[:_TEXT_BYTES].decode(errors="ignore")
    return f"={start}~{sha256(encoded).hexdigest()}"


def version(number: int) -> str:
    """Sort key of a version; text order is the order of numbers."""
    return f"{VERSIONS}{number:010d}"


def in_stage(stage: str, number: int | None = None) -> str:
    """Sort key that lists a version by stage, or what those of a stage begin with."""
    return f"S#{stage}#" if number is None else f"S#{stage}#{number:010d}"


def versions_of_run(run_id: str) -> str:
    """Partition that lists the versions made from a run."""
    return f"RR#{text(run_id)}"


def versions_of_source(source: str) -> str:
    """Partition that lists the versions of a source."""
    return f"RS#{digest(source)}"


def version_entry(model_id: str, number: int) -> str:
    """Sort key of a version in those two."""
    return f"{model_id}#{number}"


# -- webhooks --

WEBHOOKS = "RW"
"""Partition of all webhooks, by id."""
DELETED_WEBHOOKS = "RW#deleted"
"""Webhooks that an imported database had as deleted, for the way back."""


# -- logged models --


def logged_model(model_id: str) -> str:
    """Partition of a logged model: its document and its metrics."""
    return f"LM#{model_id}"


def model_metrics_of(run_id: str) -> str:
    """What the sort keys begin with of the metrics that a run logged to a model."""
    return f"{MODEL_METRICS}{run_id}#"


MODEL_METRICS = "H#"
"""What the sort keys of all metrics of a logged model begin with."""


def logged_model_shards(experiment_id: str) -> list[str]:
    """The partitions that list an experiment's logged models."""
    return [f"LML#{experiment_id}#{shard}" for shard in range(SHARDS)]


def logged_model_order(creation_time: int, model_id: str) -> str:
    """Newest first, then by id: MLflow's order of logged models."""
    return f"{descending(creation_time)}#{model_id}"


def logged_model_entry(experiment_id: str, creation_time: int, model_id: str) -> Key:
    """A logged model in its experiment's list."""
    partition = f"LML#{experiment_id}#{shard_of(model_id)}"
    return (partition, logged_model_order(creation_time, model_id))


def deleted_logged_model_shards() -> list[str]:
    """The partitions that list deleted logged models for ``mlflow gc``."""
    return [f"LMZ#{shard}" for shard in range(SHARDS)]


def deleted_logged_model(model_id: str) -> Key:
    """A deleted logged model."""
    return (f"LMZ#{shard_of(model_id)}", model_id)


# -- evaluation datasets, associations of entities --


def association(kind: str, entity_id: str, *, forward: bool) -> str:
    """Partition of what an entity is linked to: as a source (forward) or as a destination."""
    return f"{'AF' if forward else 'AR'}#{kind}#{text(entity_id)}"


def associated(kind: str, entity_id: str) -> str:
    """Sort key of one link: the other end."""
    return f"{kind}#{text(entity_id)}"


def evaluation_dataset(dataset_id: str) -> str:
    """Partition of an evaluation dataset's document."""
    return f"ED#{dataset_id}"


def evaluation_dataset_shards() -> list[str]:
    """The partitions that list all evaluation datasets."""
    return [f"EDL#{shard}" for shard in range(SHARDS)]


def evaluation_dataset_order(created_time: int, dataset_id: str) -> str:
    """Newest first, then by id downwards: MLflow's order of evaluation datasets."""
    return f"{descending(created_time)}#{dataset_id.translate(_DOWNWARDS)}#{dataset_id}"


def evaluation_dataset_entry(created_time: int, dataset_id: str) -> Key:
    """An evaluation dataset in the list of all."""
    order = evaluation_dataset_order(created_time, dataset_id)
    return (f"EDL#{shard_of(dataset_id)}", order)


_DOWNWARDS = str.maketrans("0123456789abcdef", "fedcba9876543210")


def dataset_record_shards(dataset_id: str) -> list[str]:
    """The partitions that hold a dataset's records, in the order of their creation."""
    return [f"EDR#{dataset_id}#{shard}" for shard in range(SHARDS)]


def dataset_record(dataset_id: str, created_time: int, record_id: str) -> Key:
    """A record: oldest first, then by id, which is MLflow's order of records."""
    order = f"{ascending(created_time)}#{record_id}"
    return (f"EDR#{dataset_id}#{shard_of(record_id)}", order)


def dataset_record_pointer_shards(dataset_id: str) -> list[str]:
    """The partitions that tell when a dataset's records were created."""
    return [f"EDI#{dataset_id}#{shard}" for shard in range(SHARDS)]


def dataset_record_pointer(dataset_id: str, record_id: str) -> Key:
    """What tells when a record was created; makes its inputs unique."""
    return (f"EDI#{dataset_id}#{shard_of(record_id)}", record_id)


DATASET_RECORD_COUNT = "n"
"""Sort key beside the pointers of a shard: how many there are."""


# -- scorers --

SCORING_CONFIGS = "SCC"
"""Partition of the online configurations of all scorers, by the scorer's id."""


def scorers(experiment_id: str) -> str:
    """Partition of an experiment's scorers."""
    return f"SC#{experiment_id}"


def scorer_versions(scorer_id: str) -> str:
    """Partition of a scorer's versions."""
    return f"SCV#{scorer_id}"


def scorer_version(version: int) -> str:
    """Sort key of a version."""
    return f"{version:010d}"


# -- traces, spans, assessments --

MS_A_DAY = 86_400_000
CHUNKS, PARTS = "S#", "T#"
"""What the sort keys of a trace's chunks of spans, and of their parts, begin with. Parts are
written first and read last, so that whoever sees a chunk sees its parts."""


def trace(trace_id: str) -> str:
    """Partition of a trace: its document and its spans."""
    return f"TR#{text(trace_id)}"


def chunk(content: str) -> str:
    """Sort key of spans that came together; ``content`` is their hash: a repeat overwrites."""
    return f"{CHUNKS}{content}"


def chunk_part(content: str, number: int) -> str:
    """Sort key of a part of a chunk that is too large for one item."""
    return f"{PARTS}{content}#{number:05d}"


def trace_shards(experiment_id: str) -> list[str]:
    """The partitions that list an experiment's traces."""
    return [f"TRL#{experiment_id}#{shard}" for shard in range(SHARDS)]


def trace_order(timestamp: int, trace_id: str) -> str:
    """Newest first, then by id: MLflow's order of traces."""
    return f"{descending(timestamp)}#{text(trace_id)}"


def gateway_shards(day: int) -> list[str]:
    """The partitions that list what calls through the AI gateway cost on a day since 1970."""
    return [f"TRG#{day}#{shard}" for shard in range(SHARDS)]


def gateway_entry(timestamp: int, trace_id: str) -> Key:
    """The cost of one trace there, by time, oldest first."""
    day = timestamp // MS_A_DAY
    order = f"{ascending(timestamp)}#{text(trace_id)}"
    return (f"TRG#{day}#{shard_of(trace_id)}", order)


def just_before_time(timestamp: int) -> str:
    """In a list that is newest first: what comes after this are the entries of this time and
    older ones."""
    return f"{descending(timestamp)}"


def trace_entry(experiment_id: str, timestamp: int, trace_id: str) -> Key:
    """A trace in its experiment's list."""
    return (f"TRL#{experiment_id}#{shard_of(trace_id)}", trace_order(timestamp, trace_id))


def span_shards(experiment_id: str) -> list[str]:
    """The partitions that list the spans of an experiment's traces without their contents."""
    return [f"TRS#{experiment_id}#{shard}" for shard in range(SHARDS)]


def span_entry(experiment_id: str, latest: int, trace_id: str) -> Key:
    """The spans of one trace in that list, by the start of the latest one, newest first."""
    return (f"TRS#{experiment_id}#{shard_of(trace_id)}", trace_order(latest, trace_id))


def session_shards(experiment_id: str) -> list[str]:
    """The partitions that list traces with assessments of their whole session."""
    return [f"TRU#{experiment_id}#{shard}" for shard in range(SHARDS)]


def session_entry(experiment_id: str, trace_id: str) -> Key:
    """A trace that has an assessment of its whole session."""
    return (f"TRU#{experiment_id}#{shard_of(trace_id)}", text(trace_id))


def assessed_by(run_id: str) -> str:
    """Partition that lists the traces with assessments made by a run."""
    return f"TRA#{text(run_id)}"


def assessed_entry(run_id: str, trace_id: str) -> Key:
    """A trace with assessments made by a run."""
    return (assessed_by(run_id), text(trace_id))


def linked_to(run_id: str) -> str:
    """Partition that lists the traces linked to a run, whether or not they exist yet."""
    return f"TRR#{text(run_id)}"


def linked_entry(run_id: str, trace_id: str) -> Key:
    """A trace linked to a run."""
    return (linked_to(run_id), text(trace_id))


# -- AI gateway: secrets, endpoints, model definitions, budgets, guardrails --

SECRETS = "AI#secret"
DEFINITIONS = "AI#definition"
ENDPOINTS = "AI#endpoint"
BUDGETS = "AI#budget"
GUARDRAILS = "AI#guardrail"
"""Partitions of records; the sort key is MLflow's id."""


def gateway_name(partition: str, name: str) -> Key:
    """The item that makes a name unique among the records of ``partition``."""
    return (f"{partition}#name#{text(name)}", HEAD)


def definition_uses(definition_id: str) -> Key:
    """How many mappings of endpoints name a model definition; there as long as it is."""
    return ("AI#uses", definition_id)


def scorer_uses(scorer_id: str, version: int) -> Key:
    """How many guardrails run a version of a scorer."""
    return (f"AI#scorer#{scorer_id}", f"{version:010d}")


# -- MCP servers --


MCP_SERVERS = "MS"
"""Partition of the records of MCP servers, by name."""


def mcp_server(name: str) -> str:
    """Sort key of a server's record."""
    return text(name)


def mcp_contents(server_id: str) -> str:
    """Partition of what the versions of a server contain."""
    return f"MSV#{server_id}"


def mcp_content(version: str, content: str) -> str:
    """Sort key of a version's content; ``content`` is its hash."""
    return f"{digest(version)}#{content}"


def mcp_links(trace_id: str) -> str:
    """Partition of the versions of MCP servers that a trace has used."""
    return f"MSL#{text(trace_id)}"


def mcp_link(trace_id: str, name: str, version: str) -> Key:
    """One version that a trace has used."""
    return (mcp_links(trace_id), digest(name, version))


# -- label schemas, review queues, issues --


def newest_first(time: int, name: str) -> str:
    """Sort key of lists that show the newest first, then by ascending name."""
    return f"{descending(time)}#{name}"


def descending_text(value: str) -> str:
    """A text whose keys sort the other way around; ``g`` comes after all hexadecimal digits."""
    return "".join(f"{255 - byte:02x}" for byte in value.encode()) + "g"


def label_schemas(experiment_id: str) -> str:
    """Partition of an experiment's label schemas, newest first."""
    return f"LS#{experiment_id}"


def label_schema(schema_id: str) -> Key:
    """The pointer to a label schema."""
    return (f"LSI#{text(schema_id)}", HEAD)


def label_schema_name(experiment_id: str, name: str) -> Key:
    """The item that makes names of label schemas unique in an experiment."""
    return (f"LSN#{experiment_id}#{text(name)}", HEAD)


def review_queues(experiment_id: str) -> str:
    """Partition of an experiment's review queues, newest first."""
    return f"RQ#{experiment_id}"


def review_queue(queue_id: str) -> Key:
    """The pointer to a review queue."""
    return (f"RQI#{text(queue_id)}", HEAD)


def review_queue_name(experiment_id: str, name: str) -> Key:
    """The item that makes names of review queues unique in an experiment, whatever the case."""
    return (f"RQN#{experiment_id}#{text(name.lower())}", HEAD)


def review_items(queue_id: str) -> str:
    """Partition of a queue's items, newest first."""
    return f"RQE#{queue_id}"


def review_memberships(item_id: str) -> str:
    """Partition that tells which queues an item is in."""
    return f"RQM#{text(item_id)}"


def review_membership(item_id: str, queue_id: str) -> Key:
    """Where in a queue's list an item is."""
    return (review_memberships(item_id), queue_id)


def issues(experiment_id: str) -> str:
    """Partition of an experiment's issues, in MLflow's order."""
    return f"IS#{experiment_id}"


def issue_order(rank: int, created: int, issue_id: str) -> str:
    """Most severe first (``rank`` -1 when unknown), then newest, then by descending id."""
    return f"{8 - rank}#{descending(created)}#{descending_text(issue_id)}"


def issue(issue_id: str) -> Key:
    """The pointer to an issue."""
    return (f"ISI#{text(issue_id)}", HEAD)


EXPERIMENTS_WITH_ISSUES = "ISX"
"""Partition that lists the experiments which ever had an issue."""


def traces_of_issue(issue_id: str) -> str:
    """Partition that lists the traces with an assessment that names the issue."""
    return f"IST#{text(issue_id)}"


def trace_of_issue(issue_id: str, trace_id: str) -> Key:
    """A trace with an assessment that names the issue."""
    return (traces_of_issue(issue_id), text(trace_id))


def issues_of_run(run_id: str) -> str:
    """Partition of the ids of the issues that a run found."""
    return f"ISR#{run_id}"
