"""Webhooks: records in one partition; a few, rarely written, so that lists are sorted here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookStatus, WebhookTestResult
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _validate_webhook_events,
    _validate_webhook_name,
    _validate_webhook_url,
)

from dynamodb_store import keys, records
from dynamodb_store.entities.webhook import encrypted, events_of, webhook_of
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Body, Record
from dynamodb_store.registry.base import Base
from dynamodb_store.table import Action

_DEFAULT, _MOST = 100, 1000
_LONGEST_ID = 256


class Webhooks(Base):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def create_webhook(
        self,
        name: str,
        url: str,
        events: list[WebhookEvent],
        description: str | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
    ) -> Webhook:
        _validate_webhook_name(name)
        _validate_webhook_url(url)
        now = get_current_time_millis()
        body: Body = {
            "name": name,
            "url": url,
            "events": _checked(events),
            "description": description,
            "secret": encrypted(secret),
            "status": (status or WebhookStatus.ACTIVE).value,
            "created": now,
            "updated": now,
        }
        webhook_id = str(uuid.uuid4())
        records.create(self.table, Record(keys.WEBHOOKS, webhook_id, body))
        return webhook_of(webhook_id, body)

    def get_webhook(self, webhook_id: str) -> Webhook:
        return webhook_of(webhook_id, self._webhook(webhook_id).body)

    def list_webhooks(
        self, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[Webhook]:
        return self._listed_webhooks(max_results, page_token, lambda body: True)

    def list_webhooks_by_event(
        self,
        event: WebhookEvent,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Webhook]:
        (wanted,) = events_of([event])
        return self._listed_webhooks(max_results, page_token, lambda body: wanted in body["events"])

    def update_webhook(
        self,
        webhook_id: str,
        name: str | None = None,
        description: str | None = None,
        url: str | None = None,
        events: list[WebhookEvent] | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
    ) -> Webhook:
        def change(record: Record) -> list[Action]:
            given: dict[str, Any] = {
                "name": _valid(_validate_webhook_name, name),
                "url": _valid(_validate_webhook_url, url),
                "events": None if events is None else _checked(events),
                "description": description,
                "secret": encrypted(secret),
                "status": status.value if status else None,
                "updated": get_current_time_millis(),
            }
            record.body |= {field: value for field, value in given.items() if value is not None}
            return []

        found = records.edit_found(
            self.table, lambda: self._webhook(webhook_id), lambda: _no_webhook(webhook_id), change
        )
        return webhook_of(webhook_id, found.body)

    def delete_webhook(self, webhook_id: str) -> None:
        for _ in self.table.attempts():
            try:
                records.delete(self.table, self._webhook(webhook_id))
                return
            except ConditionFailed:
                continue

    def test_webhook(self, webhook_id: str, event: WebhookEvent | None = None) -> WebhookTestResult:
        from mlflow.webhooks.delivery import test_webhook  # starts threads

        return test_webhook(self.get_webhook(webhook_id), event)

    def _webhook(self, webhook_id: str) -> Record:
        possible = 0 < len(webhook_id.encode()) <= _LONGEST_ID
        found = records.get(self.table, keys.WEBHOOKS, webhook_id) if possible else None
        if found is None:
            raise _no_webhook(webhook_id)
        return found

    def _listed_webhooks(
        self, max_results: int | None, page_token: str | None, test: Callable[[Body], bool]
    ) -> PagedList[Webhook]:
        most = max_results or _DEFAULT
        if not 1 <= most <= _MOST:
            raise MlflowException.invalid_parameter_value(
                f"max_results must be between 1 and {_MOST}."
            )
        offset = SearchUtils.parse_start_offset_from_page_token(page_token)
        found = [one for one in records.listed(self.table, keys.WEBHOOKS) if test(one.body)]
        found.sort(key=lambda one: (-one.body["created"], one.sk))
        page = [webhook_of(one.sk, one.body) for one in found[offset : offset + most]]
        more = len(found) > offset + most
        return PagedList(page, SearchUtils.create_page_token(offset + most) if more else None)


def _checked(events: list[WebhookEvent]) -> list[list[str]]:
    _validate_webhook_events(events)
    if len(set(events)) < len(events):
        raise MlflowException("A webhook has each event once.", BAD_REQUEST)
    return events_of(events)


def _valid(validate: Callable[[str], None], value: str | None) -> str | None:
    if value is not None:
        validate(value)
    return value


def _no_webhook(webhook_id: str) -> MlflowException:
    return MlflowException(f"Webhook with ID {webhook_id} not found.", RESOURCE_DOES_NOT_EXIST)
