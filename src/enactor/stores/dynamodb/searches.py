"""What a commit needs and cannot read by a key: counts of starts, and everything that belongs to an intent."""

from __future__ import annotations

import contextlib

from enactor.stores.dynamodb import keys, tables
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.errors import ConditionFailed
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import NeedErased, NeedOfIntent, NeedStarts, OfIntent
from enactor.stores.dynamodb.wire import spelled


class Searches:
    """Looks for what is not found by its key.

    Args:
        dynamo: the tables.
        shape: into how many parts counters are spread.
    """

    def __init__(self, dynamo: Dynamo, shape: Shape) -> None:
        self._dynamo = dynamo
        self._shape = shape

    async def count_starts(self, need: NeedStarts) -> int:
        """How many runs have started in a window."""
        total = 0
        for shard in range(self._shape.shards):
            seconds = self._dynamo.query(
                tables.TENANTS,
                keys.starts_partition(need.tenant_id, shard),
                condition="#sk BETWEEN :first AND :last",
                values={":first": f"{need.first:012d}", ":last": f"{need.last:012d}"},
                page=1_000,
            )
            async for item in seconds:
                action_type = str(item["sk"]).partition("#")[2]
                if need.action_type in ("*", action_type):
                    total += int(item["started"])
        return total

    async def of_intent(self, need: NeedOfIntent) -> OfIntent:
        """Where the records of an intent are."""
        name = need.action_intent_id
        chain = keys.chain(need.tenant_id, need.account_id)
        outcomes = keys.outcome(need.tenant_id, need.account_id, name)
        entries = await self._keys(tables.LEDGER, keys.place(name).pk, index=2)
        found = await self._dynamo.get_all(entries)
        whole = [key for key in entries if (item := found[key]) is not None and (item["data"] or item["salt"])]
        return OfIntent(
            revisions=tuple(await self._keys(tables.INTENTS, chain, f"REVISION#{name}#")),
            approvals=tuple(await self._keys(tables.INTENTS, keys.place(name).pk, "APPROVAL#")),
            outcomes=tuple(await self._keys(tables.OUTCOMES, outcomes.pk, outcomes.sk)),
            entries=tuple(whole),
            erased=len(entries) - len(whole),
        )

    async def _keys(self, table: str, partition: str, begin: str = "", *, index: int = 0) -> list[Key]:
        items = self._dynamo.query(
            table,
            partition,
            index=index,
            condition="begins_with(#sk, :begin)" if begin else "",
            values={":begin": begin} if begin else {},
        )
        return [Key(table, item["pk"], item["sk"]) async for item in items]

    async def erase_entries(self, need: NeedErased) -> None:
        """Takes data and salt from entries, one by one."""
        for key in need.entries:
            with contextlib.suppress(ConditionFailed):
                await self._dynamo.patiently(
                    "update_item",
                    **self._dynamo.address(key),
                    UpdateExpression="SET #data = :empty, #salt = :empty",
                    ConditionExpression="attribute_exists(pk)",
                    ExpressionAttributeNames={"#data": "data", "#salt": "salt"},
                    ExpressionAttributeValues={":empty": spelled("")},
                )
