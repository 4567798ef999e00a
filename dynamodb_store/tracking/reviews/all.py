"""The mixins of human review in one."""

from __future__ import annotations

from dynamodb_store.tracking.reviews.issues import Issues
from dynamodb_store.tracking.reviews.label_schemas import LabelSchemas
from dynamodb_store.tracking.reviews.queues import ReviewQueues


class Reviews(ReviewQueues, LabelSchemas, Issues):
    """Label schemas, review queues with their items, issues."""
