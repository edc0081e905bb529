"""That the emulator is as strict as DynamoDB where moto is not, and that the store's layout is the published one."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from enactor.conformance.aws.stores import PREFIX, opened
from enactor.conformance.builders import ACCOUNT, TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import ended
from enactor.stores.dynamodb import tables

TABLE = f"{PREFIX}-ledger"
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
VALUE = {":x": {"S": "x"}}

# What is asked for → part of the refusal. moto alone does each of these.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "put_item",
        {"Item": KEY, "ConditionExpression": "attribute_not_exists(pk)", "ExpressionAttributeValues": VALUE},
        "unused",
    ),
    ("put_item", {"Item": {**KEY, "gsi4pk": {"N": "1"}, "gsi4sk": {"S": "x"}}}, "Type mismatch for index key"),
    ("put_item", {"Item": {**KEY, "gsi4pk": {"S": ""}, "gsi4sk": {"S": "x"}}}, "empty string"),
    ("put_item", {"Item": {**KEY, "body": {"S": "x" * 410_000}}}, "400 KB"),
    ("put_item", {"Item": {**KEY, "sk": {"S": "x" * 1_025}}}, "longer than 1024"),
    (
        "query",
        {
            "IndexName": "gsi4-index",
            "ConsistentRead": True,
            "KeyConditionExpression": "gsi4pk = :x",
            "ExpressionAttributeValues": VALUE,
        },
        "Consistent reads are not supported",
    ),
]


@pytest.mark.parametrize(("operation", "asked", "said"), REFUSED)
def test_what_dynamodb_refuses_is_refused(dynamo: Any, operation: str, asked: dict[str, Any], said: str) -> None:
    """Unused values, keys of the wrong type, empty or too long, and items that are too large."""
    with pytest.raises(ClientError, match=said):
        getattr(dynamo, operation)(TableName=TABLE, **asked)


@pytest.mark.parametrize(("keys", "said"), [(range(101), "from 1 to 100"), ((1, 1), "multiple operations on one item")])
def test_a_transaction_has_its_limits(dynamo: Any, keys: list[int], said: str) -> None:
    """A hundred items at most, each once."""
    puts = [{"Put": {"TableName": TABLE, "Item": {"pk": {"S": "a"}, "sk": {"S": str(key)}}}} for key in keys]
    with pytest.raises(ClientError, match=said):
        dynamo.transact_write_items(TransactItems=puts)


def test_a_token_is_of_one_request(dynamo: Any) -> None:
    """The same request under its token is done once; another request under it is refused."""
    put = {"TableName": TABLE, "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"}
    for _ in range(2):
        dynamo.transact_write_items(TransactItems=[{"Put": put}], ClientRequestToken="one")
    other = {**put, "Item": {**KEY, "sk": {"S": "c"}}}
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        dynamo.transact_write_items(TransactItems=[{"Put": other}], ClientRequestToken="one")


async def test_records_are_where_scripts_look_for_them(dynamo: Any, clock: ManualClock, build: Builder) -> None:
    """Attempt, outcome, intent, permit, registry entry and the ledger's trace are found by the published names."""
    store = await opened(dynamo, clock)
    intent, attempt = await ended(store, build)
    name = intent.action_intent_id

    def item(table: str, pk: str, sk: str) -> dict[str, Any]:
        answer = dynamo.get_item(TableName=f"cc-native-{table}", Key={"pk": {"S": pk}, "sk": {"S": sk}})
        found: dict[str, Any] = answer["Item"]
        return found

    account = f"TENANT#{TENANT}#ACCOUNT#{ACCOUNT}"
    assert item("action-intents", account, f"ACTION_INTENT#{name}")["status"]["S"] == "APPROVED"
    assert item("execution-attempts", account, f"EXECUTION#{name}")["status"]["S"] == "SUCCEEDED"
    assert item("execution-outcomes", account, f"OUTCOME#{name}")["status"]["S"] == "SUCCEEDED"
    permit = item(
        "external-write-dedupe", f"IDEMPOTENCY_KEY#{attempt.idempotency_key}", f"ACTION_INTENT#{name}#CALL#000001"
    )
    assert permit["result"]["S"] == "DONE"
    traced = dynamo.query(
        TableName=TABLE,
        IndexName="gsi1-index",
        KeyConditionExpression="gsi1pk = :trace",
        ExpressionAttributeValues={":trace": {"S": f"TRACE#{intent.trace_id}"}},
    )
    assert {entry["action_intent_id"]["S"] for entry in traced["Items"]} == {name}
    await store.close()


def test_only_counters_expire() -> None:
    """No lock, permit, record or entry is in a table whose items may expire, and nothing else expires there."""
    assert [table.name for table in tables.TABLES if table.expires] == [tables.TENANTS]
    assert [table.name for table in tables.TABLES] == [
        "action-intents",
        "execution-attempts",
        "execution-outcomes",
        "action-type-registry",
        "external-write-dedupe",
        "ledger",
        "tenants",
    ]
