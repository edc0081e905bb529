"""Where consumers of the events keep how far they have come, and what they have not taken."""

from __future__ import annotations

import contextlib

from enactor.domain.errors import StoreFailed
from enactor.ports.store import Undelivered
from enactor.stores.dynamodb import codec, keys, tables
from enactor.stores.dynamodb.client import ATTEMPTS, Dynamo
from enactor.stores.dynamodb.errors import ConditionFailed, NotNow, Unanswered
from enactor.stores.dynamodb.wire import spelled, spelled_item


class Consumers:
    """Cursors and undelivered events. Every write here is the same when it is done twice."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def cursor(self, name: str) -> int:
        item = await self._dynamo.get(keys.cursor(name))
        return int(item["position"]) if item is not None else 0

    async def move_cursor(self, name: str, position: int) -> None:
        for attempt in range(ATTEMPTS):
            # The condition refuses to move backwards, and that is the end of it.
            with contextlib.suppress(ConditionFailed):
                try:
                    await self._dynamo.call(
                        "update_item",
                        **self._dynamo.address(keys.cursor(name)),
                        UpdateExpression="SET #position = :position",
                        ConditionExpression="attribute_not_exists(#position) OR #position < :position",
                        ExpressionAttributeNames={"#position": "position"},
                        ExpressionAttributeValues={":position": spelled(position)},
                    )
                except (NotNow, Unanswered):
                    await self._dynamo.patience.pause(attempt)
                    continue
            return
        raise StoreFailed("DynamoDB has no capacity for a consumer's cursor.")

    async def undelivered(self, consumer: str, limit: int, after: int, *, dead: bool) -> tuple[Undelivered, ...]:
        found: list[Undelivered] = []
        items = self._dynamo.query(
            tables.TENANTS,
            keys.consumer(consumer),
            condition="#sk BETWEEN :after AND :end",
            values={":after": f"EVENT#{after + 1:016d}", ":end": "EVENT#~", ":dead": dead},
            matching="#dead = :dead",
            names={"#dead": "dead"},
        )
        async for item in items:
            found.append(codec.record(Undelivered, item))
            if len(found) == limit:
                break
        return tuple(found)

    async def keep(self, record: Undelivered) -> None:
        key = keys.undelivered(record.consumer, record.position)
        item = {"pk": key.pk, "sk": key.sk, "dead": record.dead, **codec.body(record)}
        await self._dynamo.patiently("put_item", TableName=self._dynamo.table(key.table), Item=spelled_item(item))

    async def forget(self, consumer: str, position: int) -> None:
        await self._dynamo.patiently("delete_item", **self._dynamo.address(keys.undelivered(consumer, position)))
