"""What the contract suite cannot see: URLs, keys, sentences about what is wrong, old cursors."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from gateway.acl import keys, plan
from gateway.acl.create_table import create_table
from gateway.acl.dynamodb import DynamoDbStore
from gateway.acl.dynamodb_errors import unavailable
from gateway.acl.dynamodb_table import make_client
from gateway.acl.dynamodb_url import DynamoDbUrl, parse_dynamodb_url
from gateway.acl.items import StoredAcl
from gateway.acl.open import open_store
from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import Conflict, StoreUnavailable
from gateway.acl.visible import Visible
from gateway.model import Acl, Kind, Resource
from tests.fakes.clock import FakeClock
from tests.fakes.fast_moto import speed_up

speed_up()

EXPERIMENT = Resource(Kind.EXPERIMENT, "17")
TABLE = DynamoDbUrl("mlgate", "us-east-1")


# -- URLs --


@pytest.mark.parametrize(
    "url, path", [("sqlite:///rel/a.db", "rel/a.db"), ("sqlite:////abs/a.db", "/abs/a.db")]
)
def test_a_sqlite_url_names_a_file(url: str, path: str) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert str(store._path) == path


@pytest.mark.parametrize(
    "url, parts",
    [
        ("dynamodb://us-east-1/mlgate", DynamoDbUrl("mlgate", "us-east-1")),
        (
            "dynamodb://http://127.0.0.1:8000/ml-gate.x",
            DynamoDbUrl("ml-gate.x", endpoint="http://127.0.0.1:8000"),
        ),
        (
            "dynamodb://https://ddb.internal/abc",
            DynamoDbUrl("abc", endpoint="https://ddb.internal"),
        ),
    ],
)
def test_a_dynamodb_url_names_region_or_endpoint_and_table(url: str, parts: DynamoDbUrl) -> None:
    assert parse_dynamodb_url(url) == parts
    assert str(parts) == url


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///", "postgres://x/y", "dynamodb://", "dynamodb://us-east-1",
     "dynamodb://us-east-1/", "dynamodb://us-east-1/a/b", "dynamodb://us-east-1/x"],
)  # fmt: skip
def test_any_other_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"write (sqlite|dynamodb)://"):
        open_store(url)


def test_an_endpoint_on_this_machine_needs_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def credentials(endpoint: str) -> object:
        return make_client(DynamoDbUrl("mlgate", endpoint=endpoint))._request_signer._credentials

    assert credentials("http://127.0.0.1:8000") is not None
    assert credentials("http://ddb.example.com:8000") is None
    client = make_client(DynamoDbUrl("mlgate", endpoint="http://127.0.0.1:8000"))
    assert client.meta.region_name == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    client = make_client(DynamoDbUrl("mlgate", endpoint="http://127.0.0.1:8000"))
    assert client.meta.region_name == "eu-west-1"


# -- keys --


@given(st.text(), st.text())
def test_different_texts_have_different_keys(one: str, two: str) -> None:
    assert (keys.free(one) == keys.free(two)) == (one == two)


@given(st.text(min_size=1), st.sampled_from(Kind), st.text(min_size=1), st.sampled_from(Kind))
def test_different_resources_have_different_keys(a: str, ka: Kind, b: str, kb: Kind) -> None:
    one, two = Resource(ka, a), Resource(kb, b)
    assert (keys.acl_pk(one) == keys.acl_pk(two)) == (one == two)
    assert (keys.seen_pk(a, ka) == keys.seen_pk(b, kb)) == (one == two)


@pytest.mark.parametrize("text", ["x" * 900, "x" * 901, "模" * 5000])
def test_keys_stay_within_dynamodbs_limits(text: str) -> None:
    assert len(keys.seen_sk(Resource(Kind.MODEL, text)).encode()) <= 1024
    assert len(keys.grant_sk(text).encode()) <= 1024
    assert len(keys.acl_pk(Resource(Kind.EXPERIMENT, text)).encode()) <= 2048


def test_feed_partitions_cover_the_window_across_a_boundary() -> None:
    edge = float(keys.BUCKET_SECONDS * 3_000_000)
    assert list(keys.feed_pks(edge - 1, edge + 1)) == [keys.feed_pk(edge - 1), keys.feed_pk(edge)]
    assert list(keys.feed_pks(edge + 1, edge + 2)) == [keys.feed_pk(edge + 1)]
    assert keys.feed_sk(edge, "id") > keys.feed_from(edge) > keys.feed_sk(edge - 0.001, "id")


# -- plans --


def test_no_step_is_larger_than_a_transaction() -> None:
    grants = {f"user:{number}": "reader" for number in range(500)}
    before = StoredAcl(Acl(EXPERIMENT, None, grants, 7), 7)
    for steps in (
        plan.replace(EXPERIMENT, None, None, grants, 1),
        plan.replace(EXPERIMENT, before, None, None, 0),
    ):
        assert len(steps) > 1
        sizes = [len(step.actions) + len(step.changes) for step in steps]
        assert max(sizes) <= plan.MOST_ACTIONS
        assert all(step.changes[0].principals for step in steps)


def test_a_small_change_is_one_transaction() -> None:
    before = StoredAcl(Acl(EXPERIMENT, None, {"user:a": "reader"}, 7), 7)
    (step,) = plan.replace(EXPERIMENT, before, None, {"user:b": "editor"}, 0)
    assert set(step.changes[0].principals) == {"user:a", "user:b"}


# -- what is wrong, in a sentence --


async def sentence(store: SqliteStore | DynamoDbStore) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        await store.ping()
    await store.close()
    return str(refused.value)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be opened" in await sentence(SqliteStore(tmp_path / "none" / "a.db"))


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database at all" * 100)
    assert "not a healthy SQLite file" in await sentence(SqliteStore(tmp_path / "a.db"))


async def test_a_file_of_a_newer_mlgate_is_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert "newer mlgate" in await sentence(SqliteStore(tmp_path / "a.db"))


async def test_a_read_only_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await store.ping()
    # Root ignores file modes, so the connection itself is made read-only.
    await store._run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match="read-only"):
        await store.create_acl(EXPERIMENT, None, {})
    await store.close()


async def test_a_locked_file_is_unavailable_and_works_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.acl.sqlite._BUSY_SECONDS", 0.05)
    store = SqliteStore(tmp_path / "a.db")
    await store.ping()
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.create_acl(EXPERIMENT, None, {})
    other.execute("ROLLBACK")
    other.close()
    assert await store.create_acl(EXPERIMENT, None, {})
    await store.close()


async def test_stores_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """Each worker of a first start does; SQLite does not wait by itself there."""
    for number in range(60):
        stores = [SqliteStore(tmp_path / f"{number}.db") for _ in range(6)]
        await asyncio.gather(*(store.ping() for store in stores))
        assert await stores[0].create_acl(EXPERIMENT, None, {})
        for store in stores:
            await store.close()


def client_error(code: str, message: str = "", operation: str = "Query") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    "error, expected",
    [
        (
            client_error("ResourceNotFoundException"),
            "mlgate acl create-table dynamodb://us-east-1/mlgate",
        ),
        (
            client_error(
                "AccessDeniedException",
                "User: arn:x is not authorized to perform: dynamodb:PutItem on resource: y",
                "TransactWriteItems",
            ),
            "dynamodb:PutItem",
        ),
        (client_error("AccessDeniedException"), "dynamodb:Query"),
        (client_error("ExpiredTokenException"), "renew them"),
        (client_error("ThrottlingException"), "throttles"),
        (client_error("SomethingNew"), "SomethingNew"),
        (NoCredentialsError(), "No AWS credentials"),
    ],
)
def test_dynamodb_errors_say_what_to_do(error: ClientError, expected: str) -> None:
    assert expected in str(unavailable(error, "dynamodb://us-east-1/mlgate"))


# -- DynamoDB on moto --


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


async def test_a_missing_table_is_not_made_but_asked_for(aws: None) -> None:
    text = await sentence(DynamoDbStore(TABLE))
    assert "mlgate acl create-table dynamodb://us-east-1/mlgate" in text


def test_creating_the_table_twice_is_fine_and_turns_everything_on(aws: None) -> None:
    assert all(line.endswith((": made", ": on")) for line in create_table(str(TABLE)))
    assert all("already" in line for line in create_table(str(TABLE)))
    client = make_client(TABLE)
    table = client.describe_table(TableName="mlgate")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_a_foreign_table_of_that_name_is_refused(aws: None) -> None:
    make_client(TABLE).create_table(
        TableName="mlgate",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(StoreUnavailable, match="other keys"):
        create_table(str(TABLE))


async def test_a_cursor_older_than_the_feed_is_told_to_start_over(aws: None) -> None:
    create_table(str(TABLE))
    store = DynamoDbStore(TABLE)
    rows, cursor = await store.changes(repr(time.time() - 7000))
    assert [row.kind for row in rows] == ["reset"]
    assert (await store.changes(cursor))[0] == []
    await store.close()


@pytest.mark.parametrize("then", ["set", "remove", "drop"])
async def test_a_write_based_on_what_changed_since_the_read_is_refused(
    aws: None, then: str
) -> None:
    create_table(str(TABLE))
    slow, quick = DynamoDbStore(TABLE), DynamoDbStore(TABLE)
    await slow.create_acl(EXPERIMENT, None, {"user:a": "manager", "user:b": "reader"})
    read = await slow._stored(EXPERIMENT)
    assert read is not None
    version = read.acl.version
    match then:
        case "set":
            await quick.set_grant(EXPERIMENT, "user:c", "reader", expect_version=version)
        case "remove":
            await quick.remove_grant(EXPERIMENT, "user:b", expect_version=version)
        case _:
            await quick.drop_acl(EXPERIMENT)
    now = await quick.get_acl(EXPERIMENT)
    for grants in ({"user:a": "manager", "user:d": "editor"}, None):
        with pytest.raises(Conflict):
            await slow._take(plan.replace(EXPERIMENT, read, None, grants, 0))
    assert await quick.get_acl(EXPERIMENT) == now
    await slow.close()
    await quick.close()


@pytest.mark.parametrize("off", [-60.0, 60.0])
async def test_a_machine_with_a_wrong_clock_is_refused(aws: None, off: float) -> None:
    create_table(str(TABLE))
    began = time.time()
    store = DynamoDbStore(TABLE, FakeClock(began + off))
    with pytest.raises(StoreUnavailable) as refused:
        await store.changes(None)
    said = re.search(r"clock is ([+-]\d+) s off", str(refused.value))
    assert said is not None
    # DynamoDB tells whole seconds, and its clock went on while the store's stood still; what is
    # said is rounded.
    assert off - 1.5 - (time.time() - began) <= int(said[1]) <= off + 1
    with pytest.raises(StoreUnavailable, match="clock"):
        await store.create_acl(EXPERIMENT, None, {})
    await store.close()


# -- what a caller may see --


def test_visible_combines_layers_in_the_order_of_the_keys() -> None:
    seen = Visible(({"1": "a"}, {}, {"1": "b", "2": "c"}))
    assert dict(seen) == {"1": ("a", "b"), "2": ("c",)}
    assert len(seen) == 2
    assert "2" in seen
    assert "3" not in seen
    assert seen.get("3") is None
    assert not Visible(())
