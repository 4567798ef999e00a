"""Records of evaluation datasets: merged by their inputs, read page by page, deleted by id.

A record and the pointer that makes its inputs unique are written in one transaction with the count
of their shard, so two callers who give the same inputs make one record, and counts are exact.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from mlflow.entities.dataset_record import DatasetRecord
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.store.tracking import LOAD_DATASET_RECORDS_MAX_RESULTS
from mlflow.utils.mlflow_tags import MLFLOW_USER
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.dataset_record import (
    Given,
    check_json,
    id_in,
    merge,
    new_body,
    pointers,
    record_id,
    record_of,
)
from dynamodb_store.entities.evaluation_dataset import (
    SCHEMA,
    digest_of,
    extend_schema,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from dynamodb_store.table import Action
from dynamodb_store.tracking.evaluation_datasets.datasets import EvaluationDatasets
from dynamodb_store.tracking.listing import merged

_AT_ONCE = 49
"""Records in one transaction: two items each and their shard's count."""
_DELETED_AT_ONCE = 33
"""Three items each: an imported record has a second pointer."""
_WRITE = 25


class _Upsert(NamedTuple):
    dataset_id: str
    now: int
    given: dict[str, list[Given]]
    """What was given, by the record's id."""


class DatasetRecords(EvaluationDatasets):
    """MLflow's server asks for these; not all of them are in its abstract store."""

    def upsert_dataset_records(
        self, dataset_id: str, records: list[dict[str, Any]]
    ) -> dict[str, int]:
        if self._read_dataset(dataset_id) is None:
            if not records:
                return {"inserted": 0, "updated": 0}
            raise MlflowException(f"There is no dataset '{dataset_id}'", BAD_REQUEST)
        job = _Upsert(dataset_id, get_current_time_millis(), {})
        updated_by = None
        for given in records:
            check_json(new_body(dataset_id, given, job.now))
            job.given.setdefault(record_id(dataset_id, given), []).append(given)
            updated_by = (given.get("tags") or {}).get(MLFLOW_USER, updated_by)
        inserted = sum(self._by_shard(list(job.given), partial(self._upsert_slice, job)))

        def refresh(document: Document) -> list[Action]:
            extend_schema(document, records)
            _check_schema(document)
            document.head |= {
                "last_update_time": job.now,
                "last_updated_by": updated_by,
                "digest": digest_of(document.head["name"], job.now),
            }
            if count := self._count_records(dataset_id):
                document.head["profile"] = f'{{"num_records": {count}}}'
            return []

        self._edit_dataset(dataset_id, f"There is no dataset '{dataset_id}'", refresh)
        return {"inserted": inserted, "updated": len(records) - inserted}

    def _upsert_slice(self, job: _Upsert, ids: Sequence[str]) -> int:
        """Insert or merge records of one shard; how many are new. ``ids`` are at most 49."""
        for _ in self.table.attempts():
            known = self._known(job.dataset_id, ids)
            actions: list[Action] = []
            for one in ids:
                actions += self._upsert(job, one, known.get(one))
            new = len(ids) - len(known)
            size = sum(len(action[1]["Item"].get("doc", b"")) for action in actions)
            if size > schema.TRANSACTION_BYTES and len(ids) > 1:
                half = len(ids) // 2
                return self._upsert_slice(job, ids[:half]) + self._upsert_slice(job, ids[half:])
            if new:
                actions.append(_counted(job.dataset_id, ids[0], new))
            try:
                self.table.transact(actions)
            except ConditionFailed:
                continue  # another caller was faster with one of them
            for record in known.values():
                if record.large:
                    self._tidy(record)
            return new
        raise AssertionError  # attempts() never ends by itself

    def _upsert(self, job: _Upsert, one: str, known: Record | None) -> list[Action]:
        given = job.given[one]
        if known is not None:
            changed = Record(known.partition, known.sk, dict(known.body), known.revision)
            for more in given:
                merge(changed.body, more, job.now)
            return [records.put_action(self.table, changed)]
        body = new_body(job.dataset_id, given[0], job.now)
        for more in given[1:]:
            merge(body, more, job.now)
        made = Record(*keys.dataset_record(job.dataset_id, job.now, one), body)
        (item,) = pointers(job.dataset_id, one, body)
        pointer = {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        return [("Put", pointer), records.put_new(self.table, made)]

    def _tidy(self, before: Record) -> None:
        """Remove the parts of a body that has become small; a large one keeps all of them."""
        item = self.table.get((before.partition, before.sk))
        if item is None or "doc" in item:
            records.remove_parts(self.table, before.partition, before.sk)

    def _known(self, dataset_id: str, ids: Sequence[str]) -> dict[str, Record]:
        """Those records that exist, by the id or the hash asked for; at most 100."""
        found = self.table.batch_get([keys.dataset_record_pointer(dataset_id, one) for one in ids])
        asked = {str(item.get("record", item["sk"])): item["sk"] for item in found}
        places = [
            keys.dataset_record(
                dataset_id, item["created_time"], str(item.get("record", item["sk"]))
            )
            for item in found
        ]
        return {asked[id_in(record)]: record for record in records.get_many(self.table, places)}

    def _count_records(self, dataset_id: str) -> int:
        shards = keys.dataset_record_pointer_shards(dataset_id)
        items = self.table.batch_get([(shard, keys.DATASET_RECORD_COUNT) for shard in shards])
        return sum(item["records"] for item in items)

    def _load_dataset_records(
        self,
        dataset_id: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> tuple[list[DatasetRecord], str | None]:
        """A page of records, oldest first; all when ``max_results`` is None."""
        wanted = LOAD_DATASET_RECORDS_MAX_RESULTS if max_results == 0 else max_results
        after, offset = _read_cursor(page_token)
        first = None if wanted is None else wanted + 1
        shards = keys.dataset_record_shards(dataset_id)
        batches = merged(self.table, shards, after=after, first=first)
        items = (item for batch in batches for item in batch)
        page = list(islice(items, offset, None if first is None else offset + first))
        token = None
        if wanted is not None and len(page) > wanted:
            page = page[:wanted]
            token = _cursor(page[-1]["sk"])
        found = (records.of_item(self.table, item) for item in page)
        return [record_of(dataset_id, id_in(one), one.body) for one in found], token

    def delete_dataset_records(self, dataset_id: str, dataset_record_ids: list[str]) -> int:
        ids = list(dict.fromkeys(dataset_record_ids))
        deleted = sum(
            self._by_shard(ids, partial(self._delete_slice, dataset_id), _DELETED_AT_ONCE)
        )
        if deleted and self._read_dataset(dataset_id) is not None:

            def refresh(document: Document) -> list[Action]:
                count = self._count_records(dataset_id)
                # "null" is what MLflow's SQL store writes when the last record goes.
                document.head["profile"] = f'{{"num_records": {count}}}' if count else "null"
                return []

            self._edit_dataset(dataset_id, f"There is no dataset '{dataset_id}'", refresh)
        return deleted

    def _delete_slice(self, dataset_id: str, ids: Sequence[str]) -> int:
        for _ in self.table.attempts():
            known = {
                one: record
                for one, record in self._known(dataset_id, ids).items()
                if id_in(record) == one
            }
            if not known:
                return 0
            actions: list[Action] = [_counted(dataset_id, ids[0], -len(known))]
            for one, record in known.items():
                actions += [
                    *map(_removed, pointers(dataset_id, one, record.body)),
                    ("Delete", {"Key": (record.partition, record.sk)}),
                ]
            try:
                self.table.transact(actions)
            except ConditionFailed:
                continue  # another caller was faster with one of them
            for record in known.values():
                if record.large:
                    records.remove_parts(self.table, record.partition, record.sk)
            return len(known)
        raise AssertionError  # attempts() never ends by itself

    def _remove_records(self, dataset_id: str) -> None:
        shards = [
            *keys.dataset_record_shards(dataset_id),
            *keys.dataset_record_pointer_shards(dataset_id),
        ]
        self.table.parallel(self._clear, shards)

    def _clear(self, partition: str) -> None:
        """Remove all items of a partition with what they keep in parts."""
        while items := self.table.query(partition, limit=40 * _WRITE)[0]:
            for item in items:
                if "parts" in item:
                    records.remove_parts(self.table, item["pk"], item["sk"])
            gone = [(item["pk"], item["sk"]) for item in items]
            for at in range(0, len(gone), _WRITE):  # one call each, as this runs in parallel
                self.table.batch_write(deletes=gone[at : at + _WRITE])

    def _by_shard(
        self, ids: Sequence[str], work: Callable[[Sequence[str]], int], size: int = _AT_ONCE
    ) -> list[int]:
        """``work`` on slices of ids of one shard, all shards at once: they share a count."""
        shards: dict[int, list[str]] = {}
        for one in ids:
            shards.setdefault(keys.shard_of(one), []).append(one)

        def slices(some: Sequence[str]) -> int:
            return sum(work(some[at : at + size]) for at in range(0, len(some), size))

        return self.table.parallel(slices, list(shards.values()))


def _removed(pointer: Item) -> Action:
    """The removal of a pointer that leads to where this one does."""
    delete: Item = {
        "Key": (pointer["pk"], pointer["sk"]),
        "ConditionExpression": "attribute_exists(pk)",
    }
    if "record" in pointer:
        delete["ConditionExpression"] = "attribute_not_exists(pk) OR #record = :record"
        delete["ExpressionAttributeNames"] = {"#record": "record"}
        delete["ExpressionAttributeValues"] = {":record": pointer["record"]}
    return ("Delete", delete)


def _counted(dataset_id: str, one: str, more: int) -> Action:
    partition, _ = keys.dataset_record_pointer(dataset_id, one)
    return (
        "Update",
        {
            "Key": (partition, keys.DATASET_RECORD_COUNT),
            "UpdateExpression": "ADD records :more",
            "ExpressionAttributeValues": {":more": more},
        },
    )


def _check_schema(document: Document) -> None:
    packed = document.get(SCHEMA, SCHEMA)
    if packed is not None and len(packed) > schema.PART_BYTES:
        raise MlflowException.invalid_parameter_value(
            "The dataset's schema has too many fields; it was not extended."
        )


def _cursor(sk: str) -> str:
    """MLflow's page token: when the last record was created, and its id."""
    created, one = sk.split("#")
    return base64.b64encode(f"{keys.number_of(created)}:{one}".encode()).decode()


def _read_cursor(token: str | None) -> tuple[str | None, int]:
    """The sort key to go on after, or an offset, which MLflow takes too."""
    if not token:
        return None, 0
    try:
        created, one = base64.b64decode(token.encode()).decode().split(":", 1)
        return f"{keys.ascending(int(created))}#{one}", 0
    except ValueError:
        if token.isdecimal():
            return None, int(token)
    raise MlflowException.invalid_parameter_value(f"Invalid page token: {token}")
