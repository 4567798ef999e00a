"""The items of review queues (traces to review), thousands of them, and their statuses.

An item lies in its queue's list, newest first. A membership, by item, says where: so an item is
found without reading the list, and so are the queues of an item. Both are written and removed in
one transaction. Adding items moves the queue's revision on, which keeps the queue from being
deleted, and its questions from being changed, at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.genai.review_queues import ReviewQueueItem, ReviewStatus
from mlflow.genai.review_queues.validation import (
    USER_MAX_LENGTH,
    coerce_item_type,
    coerce_status,
    normalize_item_id,
    normalize_user,
    validate_item_ids_for_attach,
)
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.review_queue import item_of, new_item
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.keys import Key
from dynamodb_store.records import Body, Record
from dynamodb_store.search.page import Token, check_max_results
from dynamodb_store.table import Action, Table
from dynamodb_store.tracking.base import Base
from dynamodb_store.tracking.record_pages import page_of_records

_SLICE = 49
"""Items that one transaction adds or removes: two writes each and the queue, of 100."""


class QueueItems(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def add_items_to_review_queue(
        self, queue_id: str, *, item_ids: list[str], item_type: Any = "trace"
    ) -> list[ReviewQueueItem]:
        kind = coerce_item_type(item_type)
        wanted = validate_item_ids_for_attach(item_ids)
        queue = self._queue_key(queue_id)
        places = self._item_places(queue_id, wanted)
        missing = [one for one in wanted if one not in places]
        now = get_current_time_millis()
        for at in range(0, len(missing), _SLICE):
            bodies = [new_item(queue_id, kind, one, now) for one in missing[at : at + _SLICE]]
            places |= self._add_item_slice(queue, queue_id, bodies)
        partition = keys.review_items(queue_id)
        found = records.get_many(self.table, [(partition, place) for place in places.values()])
        by_id = {record.body["id"]: item_of(record.body) for record in found}
        return [by_id[one] for one in wanted if one in by_id]

    def _add_item_slice(self, queue: Key, queue_id: str, bodies: Sequence[Body]) -> dict[str, str]:
        """Add those that are not there yet; where each of them is."""
        known: dict[str, str] = {}
        for _ in self.table.attempts():
            new = [_queued(queue_id, body) for body in bodies if body["id"] not in known]
            if not new:
                return known
            puts = [put for record in new for put in _enter(self.table, queue_id, record)]
            try:
                self.table.transact([_touch(queue), *puts])
                return known | {record.body["id"]: record.sk for record in new}
            except ConditionFailed as failed:
                if 0 in failed.failed:
                    raise no_queue(queue_id) from failed
            known = self._item_places(queue_id, [body["id"] for body in bodies])
        raise AssertionError  # attempts() never ends by itself

    def remove_items_from_review_queue(self, queue_id: str, *, item_ids: list[str]) -> None:
        wanted = validate_item_ids_for_attach(item_ids)
        self._queue_key(queue_id)
        for at in range(0, len(wanted), _SLICE):
            self._remove_item_slice(queue_id, wanted[at : at + _SLICE])

    def _remove_item_slice(self, queue_id: str, item_ids: Sequence[str]) -> None:
        for _ in self.table.attempts():
            places = self._item_places(queue_id, item_ids)
            if not places:
                return
            actions: list[Action] = []
            for item_id, place in places.items():
                actions += [
                    ("Delete", {"Key": (keys.review_items(queue_id), place)}),
                    _leave(keys.review_membership(item_id, queue_id), place),
                ]
            try:
                self.table.transact(actions)
                return
            except ConditionFailed:
                continue  # removed, or removed and added again, by somebody else

    def list_review_queue_items(
        self,
        queue_id: str,
        *,
        status: Any = None,
        max_results: int | None = None,
        page_token: Token | None = None,
    ) -> PagedList[ReviewQueueItem]:
        if max_results is not None:
            check_max_results(max_results)
        wanted = None if status is None else str(coerce_status(status))
        self._queue_key(queue_id)
        return page_of_records(
            self.table,
            keys.review_items(queue_id),
            max_results or SEARCH_MAX_RESULTS_DEFAULT,
            page_token,
            lambda record: item_of(record.body),
            None if wanted is None else lambda record: record.body["status"] == wanted,
        )

    def set_review_queue_item_status(
        self, queue_id: str, *, item_id: str, status: Any, completed_by: str | None = None
    ) -> ReviewQueueItem:
        new = coerce_status(status)
        item_id = normalize_item_id(item_id)
        reviewer = None if completed_by is None else normalize_user(completed_by)
        _check_reviewer(new, reviewer)
        self._queue_key(queue_id)

        def read() -> Record | None:
            place = self._item_places(queue_id, [item_id]).get(item_id)
            if place is None:
                return None
            return records.get(self.table, keys.review_items(queue_id), place)

        def change(record: Record) -> list[Action] | None:
            # The same status again changes nothing: who set it first keeps it.
            if record.body["status"] == str(new):
                return None
            now = get_current_time_millis()
            pending = new == ReviewStatus.PENDING
            record.body |= {
                "status": str(new),
                "updated": now,
                "completed_by": None if pending else reviewer,
                "completed": None if pending else now,
            }
            return []

        def missing() -> MlflowException:
            return MlflowException(
                f"Item '{item_id}' is not attached to review queue '{queue_id}'.",
                error_code=RESOURCE_DOES_NOT_EXIST,
            )

        return item_of(records.edit_found(self.table, read, missing, change).body)

    def _purge_trace(self, trace_id: str) -> None:
        """A deleted trace is in no queue."""
        for member in list(self.table.query_all(keys.review_memberships(trace_id))):
            queue_id = member["sk"]
            item = (keys.review_items(queue_id), member["place"])
            self.table.batch_write(deletes=[item, (member["pk"], queue_id)])
        super()._purge_trace(trace_id)

    def _queue_key(self, queue_id: str) -> Key:
        """The key of a queue's record. Raises MlflowException when there is none."""
        pointer = self.table.get(keys.review_queue(queue_id))
        if pointer is None:
            raise no_queue(queue_id)
        return (pointer["partition"], pointer["owner"])

    def _queues_of_item(self, item_id: str) -> set[str]:
        return {member["sk"] for member in self.table.query_all(keys.review_memberships(item_id))}

    def _has_items(self, queue_id: str) -> bool:
        return bool(self.table.query(keys.review_items(queue_id), limit=1)[0])

    def _item_places(self, queue_id: str, item_ids: Sequence[str]) -> dict[str, str]:
        """Where in the queue's list each of those is that are in it."""
        members = self.table.batch_get([keys.review_membership(one, queue_id) for one in item_ids])
        places = {member["pk"]: member["place"] for member in members}
        by_id = {one: places.get(keys.review_memberships(one)) for one in item_ids}
        return {one: place for one, place in by_id.items() if place is not None}

    def _remove_all_items(self, queue_id: str) -> None:
        """Before the queue itself goes; what is cut short can be asked for again."""
        gone: list[Key] = []
        for record in records.listed(self.table, keys.review_items(queue_id)):
            member = keys.review_membership(record.body["id"], queue_id)
            gone += [(record.partition, record.sk), member]
        self.table.batch_write(deletes=gone)


def no_queue(queue_id: str) -> MlflowException:
    """MLflow's error for a queue that does not exist."""
    return MlflowException(
        f"Review queue with id '{queue_id}' not found.", error_code=RESOURCE_DOES_NOT_EXIST
    )


def _queued(queue_id: str, body: Body) -> Record:
    place = keys.newest_first(body["created"], body["id"])
    return Record(keys.review_items(queue_id), place, body)


def _enter(table: Table, queue_id: str, record: Record) -> list[Action]:
    """Writes a new item and its membership."""
    pk, sk = keys.review_membership(record.body["id"], queue_id)
    member: Item = {"pk": pk, "sk": sk, "place": record.sk}
    return [
        records.put_new(table, record),
        ("Put", {"Item": member, "ConditionExpression": "attribute_not_exists(pk)"}),
    ]


def _touch(queue: Key) -> Action:
    """Moves a queue's revision on, if there is one."""
    return (
        "Update",
        {
            "Key": queue,
            "UpdateExpression": "ADD rev :one",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":one": 1},
        },
    )


def _leave(member: Key, place: str) -> Action:
    """Ends a membership, unless the item was removed and added again meanwhile."""
    return (
        "Delete",
        {
            "Key": member,
            "ConditionExpression": "place = :place",
            "ExpressionAttributeValues": {":place": place},
        },
    )


def _check_reviewer(status: ReviewStatus, reviewer: str | None) -> None:
    if status == ReviewStatus.PENDING:
        wrong = reviewer is not None
        text = "`completed_by` must not be set when reopening an item to `pending`."
    else:
        wrong = not reviewer
        text = f"`completed_by` is required when setting status to `{status}`."
    if not wrong and reviewer is not None and len(reviewer) > USER_MAX_LENGTH:
        wrong = True
        text = f"`completed_by` must be at most {USER_MAX_LENGTH} characters; got {len(reviewer)}."
    if wrong:
        raise MlflowException(text, error_code=INVALID_PARAMETER_VALUE)
