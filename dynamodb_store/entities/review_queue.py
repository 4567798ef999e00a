"""A review queue and its items as bodies of records."""

from __future__ import annotations

from mlflow.genai.review_queues import (
    ReviewItemType,
    ReviewQueue,
    ReviewQueueItem,
    ReviewQueueType,
    ReviewStatus,
)

from dynamodb_store.records import Body


def queue_body(queue: ReviewQueue) -> Body:
    """The body of a queue's record; users and questions in the order that MLflow answers."""
    return {
        "id": queue.queue_id,
        "experiment_id": queue.experiment_id,
        "name": queue.name,
        "type": str(queue.queue_type),
        "created_by": queue.created_by,
        "created": queue.creation_time_ms,
        "updated": queue.last_update_time_ms,
        "users": sorted(queue.users),
        "schema_ids": sorted(queue.schema_ids),
    }


def queue_of(body: Body) -> ReviewQueue:
    """MLflow's ReviewQueue."""
    return ReviewQueue(
        queue_id=body["id"],
        experiment_id=body["experiment_id"],
        name=body["name"],
        queue_type=ReviewQueueType(body["type"]),
        created_by=body["created_by"],
        creation_time_ms=body["created"],
        last_update_time_ms=body["updated"],
        users=list(body["users"]),
        schema_ids=list(body["schema_ids"]),
    )


def new_item(queue_id: str, kind: ReviewItemType, item_id: str, now: int) -> Body:
    """The body of an item that nobody has reviewed yet."""
    return {
        "queue_id": queue_id,
        "type": str(kind),
        "id": item_id,
        "status": str(ReviewStatus.PENDING),
        "created": now,
        "updated": now,
        "completed_by": None,
        "completed": None,
    }


def item_of(body: Body) -> ReviewQueueItem:
    """MLflow's ReviewQueueItem."""
    return ReviewQueueItem(
        queue_id=body["queue_id"],
        item_type=ReviewItemType(body["type"]),
        item_id=body["id"],
        status=ReviewStatus(body["status"]),
        creation_time_ms=body["created"],
        last_update_time_ms=body["updated"],
        completed_by=body["completed_by"],
        completed_time_ms=body["completed"],
    )
