"""Review queues: who reviews what with which questions, by experiment.

A queue lies in its experiment's list (newest first, MLflow's order); a pointer finds it by its id
and an item keeps its name unique whatever the case. Its items are in ``queue_items``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.genai.review_queues import ReviewQueue, ReviewQueueType
from mlflow.genai.review_queues.validation import (
    ValidatedQueue,
    normalize_schema_ids,
    normalize_user,
    normalize_users,
    validate_custom_queue_name,
    validate_queue_for_create,
    validate_queue_owner,
)
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.review_queue import queue_body, queue_of
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from dynamodb_store.search.page import Token, check_max_results
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import canonical_id
from dynamodb_store.tracking.record_pages import page_of_records
from dynamodb_store.tracking.reviews.label_schemas import ACTIVE
from dynamodb_store.tracking.reviews.queue_items import QueueItems, no_queue


class ReviewQueues(QueueItems):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_review_queue(
        self,
        experiment_id: str,
        *,
        name: str,
        queue_type: Any,
        created_by: str | None = None,
        users: list[str] | None = None,
        schema_ids: list[str] | None = None,
    ) -> ReviewQueue:
        valid = validate_queue_for_create(
            name=name, queue_type=queue_type, users=users, schema_ids=schema_ids
        )
        canonical = canonical_id(experiment_id)
        self._experiment(canonical, ACTIVE)
        self._check_schemas(canonical, valid.schema_ids)
        return self._put_review_queue(canonical, valid, created_by)

    def _put_review_queue(
        self, experiment_id: str, valid: ValidatedQueue, created_by: str | None
    ) -> ReviewQueue:
        now = get_current_time_millis()
        queue = ReviewQueue(
            queue_id=f"rq-{uuid.uuid4().hex}",
            experiment_id=experiment_id,
            name=valid.name,
            queue_type=valid.queue_type,
            created_by=created_by,
            creation_time_ms=now,
            last_update_time_ms=now,
            users=valid.users,
            schema_ids=valid.schema_ids,
        )
        place = keys.newest_first(now, queue.queue_id)
        record = Record(keys.review_queues(experiment_id), place, queue_body(queue))
        pointer = records.take_pointer(keys.review_queue(queue.queue_id), record)
        unique = keys.review_queue_name(experiment_id, valid.name)
        try:
            records.create(self.table, record, [unique], [pointer])
        except ConditionFailed as failed:
            raise _name_taken(valid.name) from failed
        return queue_of(record.body)

    def _check_schemas(self, experiment_id: str, schema_ids: Sequence[str]) -> None:
        """Raises MlflowException unless all are label schemas of the experiment."""
        pointers = self.table.batch_get([keys.label_schema(one) for one in schema_ids])
        here = keys.label_schemas(experiment_id)
        found = {item["pk"] for item in pointers if item["partition"] == here}
        if missing := [one for one in schema_ids if keys.label_schema(one)[0] not in found]:
            raise MlflowException(
                f"Label schema id(s) {missing} not found for experiment '{experiment_id}'.",
                error_code=INVALID_PARAMETER_VALUE,
            )

    def get_or_create_user_queue(self, experiment_id: str, *, user: str) -> ReviewQueue:
        name = normalize_user(user)
        validate_queue_for_create(name=name, queue_type="user", users=None, schema_ids=None)
        # Mostly it is there: look first, and again when somebody else was faster to make it.
        found = self._queue_named(experiment_id, name)
        if found is None:
            try:
                return self.create_review_queue(
                    experiment_id, name=name, queue_type="user", created_by=name
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._queue_named(experiment_id, name)
        if found is None:
            raise _no_queue_named(name, experiment_id)
        if found.queue_type != ReviewQueueType.USER:
            raise MlflowException(
                f"A non-user queue named '{name}' already exists; cannot get-or-create "
                f"a user queue with that name.",
                error_code=RESOURCE_ALREADY_EXISTS,
            )
        return found

    def get_review_queue(self, queue_id: str) -> ReviewQueue:
        record = records.find(self.table, keys.review_queue(queue_id))
        if record is None:
            raise no_queue(queue_id)
        return queue_of(record.body)

    def get_review_queue_by_name(self, experiment_id: str, *, name: str) -> ReviewQueue:
        found = self._queue_named(experiment_id, name)
        if found is None:
            raise _no_queue_named(name, experiment_id)
        return found

    def _queue_named(self, experiment_id: str, name: str) -> ReviewQueue | None:
        canonical = canonical_id(experiment_id)
        _, owner = self.table.at_once(
            [
                lambda: self._experiment(canonical, ACTIVE),
                lambda: records.owner_of(self.table, keys.review_queue_name(canonical, name)),
            ],
        )
        record = owner and records.get(self.table, keys.review_queues(canonical), str(owner))
        # Between the two reads it may have been renamed.
        if not isinstance(record, Record) or record.body["name"].lower() != name.lower():
            return None
        return queue_of(record.body)

    def list_review_queues(
        self,
        experiment_id: str,
        *,
        user: str | None = None,
        item_id: str | None = None,
        max_results: int | None = None,
        page_token: Token | None = None,
    ) -> PagedList[ReviewQueue]:
        if max_results is not None:
            check_max_results(max_results)
        canonical = canonical_id(experiment_id)
        self._experiment(canonical, ACTIVE)
        reviewer = None if user is None else normalize_user(user)
        members = None if item_id is None else self._queues_of_item(item_id)

        def wanted(record: Record) -> bool:
            return (reviewer is None or reviewer in record.body["users"]) and (
                members is None or record.body["id"] in members
            )

        return page_of_records(
            self.table,
            keys.review_queues(canonical),
            max_results or SEARCH_MAX_RESULTS_DEFAULT,
            page_token,
            lambda record: queue_of(record.body),
            None if reviewer is None and members is None else wanted,
        )

    def update_review_queue(
        self,
        queue_id: str,
        *,
        users: list[str] | None = None,
        schema_ids: list[str] | None = None,
        name: str | None = None,
        new_owner: str | None = None,
    ) -> ReviewQueue:
        def change(record: Record) -> list[Action] | None:
            body = record.body
            if body["type"] == ReviewQueueType.USER:
                raise MlflowException(
                    "A user queue's name, assigned user, schemas, and owner are fixed "
                    "and cannot be updated.",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            if users is None and schema_ids is None and name is None and new_owner is None:
                return None
            if new_owner is not None:
                body["created_by"] = validate_queue_owner(new_owner)
            also = [] if name is None else _rename(record, validate_custom_queue_name(name))
            if users is not None:
                body["users"] = sorted(normalize_users(users))
            if schema_ids is not None:
                body["schema_ids"] = self._new_questions(
                    body["experiment_id"], queue_id, schema_ids
                )
            body["updated"] = get_current_time_millis()
            return also

        try:
            changed = records.edit_found(
                self.table,
                lambda: records.find(self.table, keys.review_queue(queue_id)),
                lambda: no_queue(queue_id),
                change,
            )
        except ConditionFailed as failed:
            raise _name_taken(str(name)) from failed
        return queue_of(changed.body)

    def _new_questions(self, experiment_id: str, queue_id: str, schema_ids: list[str]) -> list[str]:
        """Questions may change while there are no items; items added meanwhile change the revision
        of the queue (``queue_items``), so that a change of questions reads again."""
        if self._has_items(queue_id):
            raise MlflowException(
                "A review queue's questions are locked once items are assigned to it. "
                "Remove the items before changing its questions.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        normalized = normalize_schema_ids(schema_ids)
        self._check_schemas(experiment_id, normalized)
        return sorted(normalized)

    def delete_review_queue(self, queue_id: str) -> None:
        def also(record: Record) -> list[Action]:
            self._remove_all_items(queue_id)
            return [records.free_name(key) for key in _names(record)]

        records.delete_found(
            self.table,
            lambda: records.find(self.table, keys.review_queue(queue_id)),
            None,
            also,
        )

    def _purge_experiment(self, experiment_id: str) -> None:
        for record in list(records.listed(self.table, keys.review_queues(experiment_id))):
            self.delete_review_queue(record.body["id"])
        super()._purge_experiment(experiment_id)


def _names(record: Record) -> list[keys.Key]:
    body = record.body
    name = keys.review_queue_name(body["experiment_id"], body["name"])
    return [name, keys.review_queue(body["id"])]


def _rename(record: Record, name: str) -> list[Action]:
    """Another case of the same name is no other name."""
    experiment_id, old = record.body["experiment_id"], record.body["name"]
    record.body["name"] = name
    if name.lower() == old.lower():
        return []
    return [
        records.take_name(keys.review_queue_name(experiment_id, name), record.sk),
        records.free_name(keys.review_queue_name(experiment_id, old)),
    ]


def _no_queue_named(name: str, experiment_id: str) -> MlflowException:
    return MlflowException(
        f"Review queue with name '{name}' not found for experiment '{experiment_id}'.",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )


def _name_taken(name: str) -> MlflowException:
    return MlflowException(
        f"Review queue with name '{name}' already exists (names are case-insensitive).",
        error_code=RESOURCE_ALREADY_EXISTS,
    )
