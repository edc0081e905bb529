"""The containment report's runs: from the table itself, strongly consistent, and none missed that moves meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

from enactor.domain.containment import ContainedRun, Containment, contained_runs
from enactor.domain.intent import IntentStatus
from enactor.domain.kill_switch import scopes_of
from enactor.domain.time import rfc3339
from enactor.stores.dynamodb import keys, tables
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.merging import merged
from enactor.stores.dynamodb.reads import Reader
from enactor.stores.dynamodb.wire import Item


class Report:
    """Reads what a switch's report lists.

    Args:
        dynamo: the tables.
        shape: into how many parts a tenant's runs are spread.
        reader: reads the records.
    """

    def __init__(self, dynamo: Dynamo, shape: Shape, reader: Reader) -> None:
        self._dynamo = dynamo
        self._shape = shape
        self._reader = reader

    async def runs(
        self, tenant_id: str, scope: str, since: str, after: tuple[str, int], limit: int
    ) -> list[ContainedRun]:
        """Up to `limit` runs in a scope, in order of intent id and number, after `after`; strongly consistent."""
        ended = await self._ended(tenant_id, scope, since, after[0])
        live = await self._first_live(tenant_id, scope, after[0], limit + 1)
        # What ended, or was replayed, while the others were read is not to be missed between the two.
        items = {**ended, **live, **await self._ended(tenant_id, scope, since, after[0])}
        found: list[ContainedRun] = []
        for _, item in sorted(items.items()):
            runs = [*await self._earlier_runs(tenant_id, item, since), _contained(item)]
            found += [run for run in runs if run.position > after]
            if len(found) >= limit:
                break
        return found[:limit]

    async def _first_live(self, tenant_id: str, scope: str, first: str, limit: int) -> dict[str, Item]:
        found: dict[str, Item] = {}
        shards = [self._live_from(tenant_id, shard, first) for shard in range(self._shape.shards)]
        async for action_intent_id, item in merged(shards):
            if _in_scope(item, tenant_id, scope):
                found[action_intent_id] = item
                if len(found) == limit:
                    break
        return found

    async def _earlier_runs(self, tenant_id: str, item: Item, since: str) -> list[ContainedRun]:
        """The runs before the one that an item tells of."""
        if item["run_number"] == 1:
            return []
        action_intent_id = str(item["action_intent_id"])
        records = await self._reader.execution(tenant_id, action_intent_id)
        if records is None:
            return []
        outcomes = await self._reader.outcomes(tenant_id, action_intent_id)
        intent = records.intent
        runs = contained_runs(
            action_intent_id, intent.account_id, intent.action_type, records.attempt, records.permits, outcomes, since
        )
        return [run for run in runs if run.run_number < item["run_number"]]

    async def _live_from(self, tenant_id: str, shard: int, first: str) -> AsyncIterator[tuple[str, Item]]:
        items = self._dynamo.query(
            tables.ATTEMPTS,
            keys.live_partition(tenant_id, shard),
            condition="#sk >= :first",
            values={":first": first or " ", ":pending": IntentStatus.PENDING_APPROVAL.value, ":shadow": False},
            matching="#state <> :pending AND #shadow = :shadow",
            names={"#state": "state", "#shadow": "shadow"},
        )
        async for item in items:
            yield str(item["action_intent_id"]), item

    async def _ended(self, tenant_id: str, scope: str, since: str, first: str) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for shard in range(self._shape.shards):
            items = self._dynamo.query(
                tables.ATTEMPTS,
                keys.ended_partition(tenant_id, shard),
                condition="#sk >= :since",
                values={":since": since},
                page=1_000,
            )
            async for item in items:
                if item["action_intent_id"] >= first and _in_scope(item, tenant_id, scope):
                    found[str(item["action_intent_id"])] = item
        return found


def _in_scope(item: Item, tenant_id: str, scope: str) -> bool:
    return scope in scopes_of(tenant_id, str(item["action_type"]), str(item["connector_id"]))


def _contained(item: Item) -> ContainedRun:
    open_until = int(item["open_until"])
    return ContainedRun(
        action_intent_id=str(item["action_intent_id"]),
        run_number=int(item["run_number"]),
        account_id=str(item["account_id"]),
        action_type=str(item["action_type"]),
        containment=Containment(item["containment"]),
        status=str(item["state"]),
        open_until=rfc3339(open_until) if open_until else None,
    )
