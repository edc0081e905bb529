"""Creating the tables where no template does, and the one item that says how a store is laid out."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from enactor.domain.errors import StoreFailed
from enactor.stores.dynamodb import keys, tables
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.errors import ConditionFailed
from enactor.stores.dynamodb.wire import Item, spelled_item

SCHEMA_VERSION: Final = 1


def create_tables(client: Any, prefix: str) -> list[str]:
    """Creates the tables that are missing, and waits until they are there. Blocks.

    Args:
        client: botocore's, for DynamoDB.
        prefix: of the tables' names.

    Returns:
        The names of those that were created.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        existing = {name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]}
        created = []
        for table in tables.TABLES:
            name = f"{prefix}-{table.name}"
            if name not in existing:
                client.create_table(**tables.creation(prefix, table))
                created.append(name)
        for name in created:
            client.get_waiter("table_exists").wait(TableName=name)
        for table in tables.TABLES:
            if table.expires and f"{prefix}-{table.name}" in created:
                client.update_time_to_live(
                    TableName=f"{prefix}-{table.name}",
                    TimeToLiveSpecification={"Enabled": True, "AttributeName": tables.TTL_ATTRIBUTE},
                )
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:80]
        raise StoreFailed(f"DynamoDB answers {code}; the tables cannot be created.") from None
    except BotoCoreError as error:
        raise StoreFailed(f"DynamoDB cannot be asked: {type(error).__name__}; the tables cannot be created.") from None
    return created


async def layout(dynamo: Dynamo, wanted: Shape) -> Shape:
    """How the store is laid out: as it was when it was first opened, whatever is wanted now.

    Raises:
        StoreFailed: a newer Enactor made it.
    """
    stored = await dynamo.get(keys.META)
    if stored is None:
        item = {
            "pk": keys.META.pk,
            "sk": keys.META.sk,
            "schema_version": SCHEMA_VERSION,
            "shards": wanted.shards,
            "gates": wanted.gates,
        }
        with contextlib.suppress(ConditionFailed):
            await dynamo.patiently(
                "put_item",
                TableName=dynamo.table(keys.META.table),
                Item=spelled_item(item),
                ConditionExpression="attribute_not_exists(pk)",
            )
        stored = await dynamo.get(keys.META)
    return _shape(stored or {})


def _shape(stored: Item) -> Shape:
    if stored.get("schema_version") != SCHEMA_VERSION:
        raise StoreFailed("The tables were made by another version of Enactor; use that one, or a newer one.")
    return Shape(shards=int(stored["shards"]), gates=int(stored["gates"]))
