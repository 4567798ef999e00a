"""The AI gateway's secrets: never in the clear in the table, a log, an error or a repr."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store import keys, records
from dynamodb_store.entities.ai_gateway import decrypted
from dynamodb_store.records import Record
from tests.fakes.fake_dynamodb import FakeDynamoDb, client_error, throttle
from tests.store.ai_gateway_world import quick_keys

__all__ = ["quick_keys"]

VALUE = {"api_key": "sk-very-secret-0123456789", "other": "☃-also-secret-abcdef"}
NEW = {"api_key": "sk-another-secret-9876543210"}
SECRETS = [*VALUE.values(), *NEW.values()]


def readable(value: Any) -> bytes:
    """All bytes of an item, with what is compressed or base64 in it opened."""
    if isinstance(value, dict):
        return b"".join(readable(key) + readable(one) for key, one in value.items())
    if isinstance(value, list):
        return b"".join(map(readable, value))
    if isinstance(value, bytes):
        try:
            return value + readable(json.loads(zlib.decompress(value)))
        except (zlib.error, ValueError):
            return value
    if isinstance(value, str):
        try:
            return value.encode() + base64.b64decode(value, validate=True)
        except ValueError:
            return value.encode()
    return str(value).encode()


def hidden_in(content: bytes) -> None:
    for secret in SECRETS:
        for form in (secret.encode(), json.dumps(secret)[1:-1].encode(), secret[4:-4].encode()):
            assert form not in content


def test_raw_items_hold_no_secret_but_what_decrypts_to_it(
    dynamo: Any, fake: FakeDynamoDb, quick_keys: None
) -> None:
    made = dynamo.create_gateway_secret("name", VALUE, "openai", {"region": "eu"}, "me")
    assert made.masked_values["api_key"] == "sk-...6789"
    items = fake.scan(TableName="mlflow")["Items"]
    content = b"".join(map(readable, items))
    assert b"region" in content  # what is compressed was opened
    hidden_in(content)
    dynamo.update_gateway_secret(made.secret_id, NEW)
    hidden_in(b"".join(map(readable, fake.scan(TableName="mlflow")["Items"])))
    record = records.get(dynamo.table, keys.SECRETS, made.secret_id)
    assert record is not None
    assert dynamo._get_decrypted_secret(made.secret_id) == NEW
    with pytest.raises(MlflowException, match="Failed to decrypt"):
        decrypted(Record(keys.SECRETS, "s-other", record.body))  # it is bound to its id
    assert record.body["kek_version"] == 1


def test_another_passphrase_does_not_open_it(
    dynamo: Any, quick_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dynamo.create_gateway_secret("name", VALUE)
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "another")
    with pytest.raises(MlflowException, match="Failed to decrypt") as refused:
        dynamo._get_decrypted_secret(made.secret_id)
    hidden_in(str(refused.value).encode())


def test_logs_errors_and_reprs_hold_no_secret(
    dynamo: Any,
    fake: FakeDynamoDb,
    quick_keys: None,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    made = dynamo.create_gateway_secret("taken", VALUE)
    said += [repr(made), str(made)]
    said.append(repr(records.get(dynamo.table, keys.SECRETS, made.secret_id)))

    def refuse(operation: str, parameters: dict[str, Any]) -> None:
        raise client_error("ValidationException", operation, "an item")

    def attempt(method: str, *args: Any) -> None:
        with pytest.raises(MlflowException) as refused:
            getattr(dynamo, method)(*args)
        said.extend([str(refused.value), repr(refused.value), refused.value.serialize_as_json()])

    attempt("create_gateway_secret", "taken", VALUE)
    attempt("update_gateway_secret", "none", NEW)
    for fault in (refuse, throttle(10_000)):
        fake.faults[:] = [fault]
        attempt("create_gateway_secret", "taken", VALUE)
        attempt("update_gateway_secret", made.secret_id, NEW)
    fake.faults.clear()
    out = capsys.readouterr()
    hidden_in("\n".join([*said, caplog.text, out.out, out.err]).encode())
