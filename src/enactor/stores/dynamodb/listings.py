"""Listings: merged from the partitions that a tenant's records are spread over, in one order, page by page.

Each listing reads candidates in its order, from the table or from an index, and then the records themselves; what an
index shows too early or too late is put right by the records.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ActionIntent, IntentStatus, is_expired
from enactor.domain.ledger import LedgerEntry
from enactor.ports.commands import InternalObject
from enactor.ports.store import ExecutionFilter, ExecutionRow, LedgerFilter, RunDue
from enactor.stores.dynamodb import codec, keys, tables
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.feed import Feed
from enactor.stores.dynamodb.merging import merged
from enactor.stores.dynamodb.reads import Reader
from enactor.stores.dynamodb.shown import PENDING
from enactor.stores.dynamodb.wire import Item

_ROWS: Final = 33
"""Rows read together: three items each, and one request reads a hundred items."""

_LIVE: Final = frozenset(
    {IntentStatus.PENDING_APPROVAL.value, PENDING, RunStatus.RUNNING.value, RunStatus.IN_DOUBT.value}
)
_AFTER_EVERYTHING: Final = "\U0010ffff"


class Lister:
    """Listings, in the order and with the filters of the port; pages and tokens are made by the store.

    Args:
        dynamo: the tables.
        shape: into how many parts listings are spread.
        reader: reads the records.
        feed: reads the ledger.
    """

    def __init__(self, dynamo: Dynamo, shape: Shape, reader: Reader, feed: Feed) -> None:
        self._dynamo = dynamo
        self._shape = shape
        self._reader = reader
        self._feed = feed

    # -- executions ----------------------------------------------------------------------------------------------

    async def executions(
        self, tenant_id: str, where: ExecutionFilter, before: str | None, limit: int
    ) -> list[ExecutionRow]:
        """Up to `limit` rows older than the intent id `before`, newest first."""
        found: list[ExecutionRow] = []
        waiting: list[tuple[str, str]] = []
        candidates = merged(self._candidates(tenant_id, where, before or _AFTER_EVERYTHING), newest_first=True)
        size = min(_ROWS, limit)
        async for action_intent_id, account_id in _each_once(candidates):
            if where.account_ids is not None and account_id and account_id not in where.account_ids:
                continue
            waiting.append((account_id, action_intent_id))
            if len(waiting) == size:
                found += await self._matching(tenant_id, where, waiting)
                waiting = []
                if len(found) >= limit:
                    return found[:limit]
        found += await self._matching(tenant_id, where, waiting)
        return found[:limit]

    async def _matching(self, tenant_id: str, where: ExecutionFilter, ids: list[tuple[str, str]]) -> list[ExecutionRow]:
        return [row for row in await self._reader.rows(tenant_id, ids) if _selected(row, where)]

    def _candidates(self, tenant_id: str, where: ExecutionFilter, before: str) -> list[AsyncIterator[tuple[str, str]]]:
        """Streams of (intent id, account id), each newest first, that together hold every row that is wanted."""
        status = where.status
        if where.account_ids is not None and not where.account_ids:
            return []
        if status is None:
            if where.account_ids is not None:
                return [
                    self._of_account(tenant_id, account_id, before) for account_id in sorted(set(where.account_ids))
                ]
            return [self._indexed(tables.INTENTS, 1, f"TENANT#{tenant_id}#{n}", before) for n in self._shards()]
        if status in _LIVE:
            return [self._live(tenant_id, shard, status, before) for shard in self._shards()]
        own = status.removeprefix("INTENT:")
        streams = [
            self._indexed(tables.INTENTS, 2, f"TENANT#{tenant_id}#STATUS#{own}#{n}", before) for n in self._shards()
        ]
        if own == status:
            streams += [
                self._indexed(tables.ATTEMPTS, 2, f"TENANT#{tenant_id}#STATUS#{own}#{n}", before)
                for n in self._shards()
            ]
        return streams

    def _shards(self) -> Iterable[int]:
        return range(self._shape.shards)

    async def _indexed(self, table: str, index: int, partition: str, before: str) -> AsyncIterator[tuple[str, str]]:
        items = self._dynamo.query(
            table, partition, index=index, condition="#sk < :before", values={":before": before}, newest_first=True
        )
        async for item in items:
            yield str(item[f"gsi{index}sk"]), str(item["pk"]).partition("#ACCOUNT#")[2]

    async def _of_account(self, tenant_id: str, account_id: str, before: str) -> AsyncIterator[tuple[str, str]]:
        items = self._dynamo.query(
            tables.INTENTS,
            keys.chain(tenant_id, account_id),
            condition="#sk BETWEEN :from AND :before",
            values={":from": "ACTION_INTENT#", ":before": f"ACTION_INTENT#{before}"},
            newest_first=True,
        )
        async for item in items:
            if item["action_intent_id"] != before:
                yield str(item["action_intent_id"]), account_id

    async def _live(self, tenant_id: str, shard: int, state: str, before: str) -> AsyncIterator[tuple[str, str]]:
        items = self._dynamo.query(
            tables.ATTEMPTS,
            keys.live_partition(tenant_id, shard),
            condition="#sk < :before",
            values={":before": before, ":state": state},
            matching="#state = :state",
            names={"#state": "state"},
            newest_first=True,
        )
        async for item in items:
            yield str(item["action_intent_id"]), str(item["account_id"])

    # -- sweeping ------------------------------------------------------------------------------------------------

    async def _swept(self, after: str, matching: str, values: dict[str, Any], names: dict[str, str]) -> Any:
        streams = [self._shard_swept(shard, after, matching, values, names) for shard in self._shards()]
        async for _, item in merged(streams):
            yield item

    async def _shard_swept(
        self, shard: int, after: str, matching: str, values: dict[str, Any], names: dict[str, str]
    ) -> AsyncIterator[tuple[str, Item]]:
        items = self._dynamo.query(
            tables.ATTEMPTS,
            f"LIVE#{shard}",
            index=1,
            condition="#sk > :after",
            values={":after": after or " ", **values},
            matching=matching,
            names=names,
        )
        async for item in items:
            yield str(item["gsi1sk"]), item

    async def due(self, now_ms: int, limit: int, after: str) -> tuple[RunDue, ...]:
        """See `ports.store.Store.due`. The index may show a run a moment late; the next sweep finds it."""
        found: list[RunDue] = []
        matching = (
            "#state = :running OR (#state = :approved AND #shadow = :false) "
            "OR ((#state = :doubt OR #state = :failed) AND #deadline BETWEEN :one AND :now)"
        )
        values = {
            ":running": "RUNNING",
            ":approved": PENDING,
            ":false": False,
            ":doubt": "IN_DOUBT",
            ":failed": "FAILED",
        }
        names = {"#state": "state", "#shadow": "shadow", "#deadline": "deadline_at"}
        async for item in self._swept(after, matching, {**values, ":one": 1, ":now": now_ms}, names):
            found.append(
                RunDue(
                    action_intent_id=item["action_intent_id"],
                    tenant_id=item["tenant_id"],
                    run_number=item["run_number"],
                    status=None if item["state"] == PENDING else RunStatus(item["state"]),
                    resume_at=item["resume_at"],
                    deadline_at=item["deadline_at"],
                )
            )
            if len(found) == limit:
                break
        return tuple(found)

    async def expired(self, now_ms: int, limit: int, after: str) -> tuple[ActionIntent, ...]:
        """See `ports.store.Store.expired`."""
        found: list[ActionIntent] = []
        matching = "(#state = :pending OR #state = :approved) AND #expires <= :now"
        values = {":pending": "PENDING_APPROVAL", ":approved": PENDING, ":now": now_ms // 1000}
        async for item in self._swept(after, matching, values, {"#state": "state", "#expires": "expires"}):
            rows = await self._reader.rows(item["tenant_id"], [(item["account_id"], item["action_intent_id"])])
            for row in rows:
                waits = row.intent.status in (IntentStatus.PENDING_APPROVAL, IntentStatus.APPROVED)
                if waits and row.attempt is None and is_expired(row.intent, now_ms):
                    found.append(row.intent)
            if len(found) == limit:
                break
        return tuple(found)

    # -- internal objects ----------------------------------------------------------------------------------------

    async def objects(
        self,
        tenant_id: str,
        object_type: str,
        account_ids: tuple[str, ...] | None,
        before: tuple[str, str] | None,
        limit: int,
    ) -> list[InternalObject]:
        """Up to `limit` objects older than (created_at, object_id), newest first."""
        found: list[InternalObject] = []
        items = self._dynamo.query(
            tables.TENANTS,
            f"TENANT#{tenant_id}#OBJECTS#{object_type}",
            condition="#sk < :before",
            values={":before": "#".join(before) if before else _AFTER_EVERYTHING},
            newest_first=True,
        )
        async for item in items:
            made = codec.record(InternalObject, item)
            if account_ids is None or made.account_id in account_ids:
                found.append(made)
                if len(found) == limit:
                    break
        return found

    # -- the ledger ----------------------------------------------------------------------------------------------

    async def ledger(self, tenant_id: str, where: LedgerFilter, after: int, limit: int) -> list[LedgerEntry]:
        """Up to `limit` entries from after a position on."""
        await self._feed.last_position()
        if where.account_ids is not None and not where.account_ids:
            return []
        where = where.normal()
        if where.action_intent_id is not None:
            entries = await self._indexed_entries({2: f"ACTION_INTENT#{where.action_intent_id}"})
        elif where.trace_id is not None:
            entries = await self._indexed_entries({1: f"TRACE#{where.trace_id}", 3: f"TRACE#{where.trace_id}"})
        else:
            return await self._logged(tenant_id, where, after, limit)
        wanted = [it for it in entries if it.tenant_id == tenant_id and it.position > after and _asked(it, where)]
        return wanted[:limit]

    async def _logged(self, tenant_id: str, where: LedgerFilter, after: int, limit: int) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        waiting = []
        async for ref in self._feed.refs(keys.tenant_log(tenant_id), after):
            if where.account_ids is None or ref.account_id in where.account_ids:
                waiting.append(ref)
            if len(waiting) == min(limit, 100):
                found += [entry for entry in await self._feed.entries(waiting) if _asked(entry, where)]
                waiting = []
                if len(found) >= limit:
                    return found[:limit]
        found += [entry for entry in await self._feed.entries(waiting) if _asked(entry, where)]
        return found[:limit]

    async def of_intent(
        self, tenant_id: str | None, action_intent_id: str, after: int, limit: int
    ) -> tuple[LedgerEntry, ...]:
        """An intent's entries from after a position on."""
        await self._feed.last_position()
        entries = await self._indexed_entries({2: f"ACTION_INTENT#{action_intent_id}"})
        return tuple([it for it in entries if it.position > after and tenant_id in (None, it.tenant_id)][:limit])

    async def _indexed_entries(self, partitions: dict[int, str]) -> list[LedgerEntry]:
        """The entries of an intent or a trace, in the order of their positions, as far as they have one. They are
        read from the table: an index may lack their newest attributes.
        """
        found: set[keys.Key] = set()
        for index, partition in partitions.items():
            if keys.fits(partition):
                items = self._dynamo.query(tables.LEDGER, partition, index=index, page=1_000)
                found.update([keys.Key(tables.LEDGER, str(item["pk"]), str(item["sk"])) async for item in items])
        items_found = await self._dynamo.get_all(found)
        entries = [codec.entry(item) for item in items_found.values() if item is not None and "position" in item]
        return sorted(entries, key=lambda entry: entry.position)


def _selected(row: ExecutionRow, where: ExecutionFilter) -> bool:
    intent, attempt = row.intent, row.attempt
    if attempt is not None:
        status = attempt.status.value
    else:
        status = PENDING if intent.status is IntentStatus.APPROVED else intent.status.value
    return (
        (where.account_ids is None or intent.account_id in where.account_ids)
        and where.action_type in (None, intent.action_type)
        and where.proposed_by in (None, str(intent.proposed_by))
        and where.status in (None, status, f"INTENT:{intent.status}")
    )


def _asked(entry: LedgerEntry, where: LedgerFilter) -> bool:
    return (
        (where.account_ids is None or entry.account_id in where.account_ids)
        and where.trace_id in (None, entry.trace_id, entry.decision_trace_id)
        and where.action_intent_id in (None, entry.action_intent_id)
        and where.event_type in (None, entry.event_type)
        and (where.from_time is None or entry.timestamp >= where.from_time)
        and (where.to_time is None or entry.timestamp < where.to_time)
    )


async def _each_once(candidates: AsyncIterator[tuple[str, str]]) -> AsyncIterator[tuple[str, str]]:
    last = ""
    async for candidate in candidates:
        if candidate[0] != last:
            last = candidate[0]
            yield candidate
