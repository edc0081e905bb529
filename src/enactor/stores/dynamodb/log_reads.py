"""Reading the Merkle logs. Heads, tiles, checkpoints and keys are read from the table, strongly consistent."""

from __future__ import annotations

from collections.abc import Sequence

from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.stores.dynamodb import codec, keys, tables
from enactor.stores.dynamodb.client import Dynamo
from enactor.stores.dynamodb.feed import Feed
from enactor.stores.dynamodb.logs import LOG_BATCH


class LogReaders:
    """The readers of the port that are about logs."""

    _dynamo: Dynamo
    _feed: Feed

    @property
    def log_batch(self) -> int:
        return LOG_BATCH

    async def log_feed(self, position: int, limit: int) -> tuple[LogRow, ...]:
        return tuple(
            LogRow(entry.position, entry.tenant_id, entry.entry_id, entry.hash, entry.timestamp)
            for entry in await self._feed.after(position, limit, None)
        )

    async def log_head(self, tenant_id: str) -> LogHead | None:
        item = await self._dynamo.get(keys.log_head(tenant_id))
        return codec.record(LogHead, item) if item is not None else None

    async def log_heads(self, limit: int, after: str | None = None) -> tuple[LogHead, ...]:
        found: list[LogHead] = []
        items = self._dynamo.query(
            tables.LEDGER,
            keys.MERKLE_HEADS,
            condition="#sk > :after",
            values={":after": " " if after is None else keys.log_head(after).sk},
        )
        async for item in items:
            found.append(codec.record(LogHead, item))
            if len(found) == limit:
                break
        return tuple(found)

    async def log_tiles(self, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
        wanted = {place: keys.log_tile(tenant_id, *place) for place in places}
        found = await self._dynamo.get_all(wanted.values())
        return {place: item["hashes"] for place, key in wanted.items() if (item := found[key]) is not None}

    async def log_leaves(self, tenant_id: str, entry_ids: Sequence[str]) -> dict[str, LogLeaf]:
        wanted = {name: keys.log_leaf(tenant_id, name) for name in entry_ids if keys.fits(name)}
        found = await self._dynamo.get_all(wanted.values())
        return {name: codec.record(LogLeaf, item) for name, key in wanted.items() if (item := found[key]) is not None}

    async def log_checkpoint(self, tenant_id: str, size: int | None = None) -> LogCheckpoint | None:
        if size is None:
            newest = await self.log_checkpoints(tenant_id, 1)
            return newest[0] if newest else None
        item = await self._dynamo.get(keys.checkpoint(tenant_id, size))
        return codec.record(LogCheckpoint, item) if item is not None else None

    async def log_checkpoints(self, tenant_id: str, limit: int, below: int | None = None) -> tuple[LogCheckpoint, ...]:
        found: list[LogCheckpoint] = []
        if below is not None and below <= 0:
            return ()
        last = f"SIZE#{below - 1:016d}" if below is not None else "SIZE#~"
        items = self._dynamo.query(
            tables.LEDGER,
            keys.checkpoints(tenant_id),
            condition="#sk BETWEEN :first AND :last",
            values={":first": "SIZE#", ":last": last},
            newest_first=True,
        )
        async for item in items:
            found.append(codec.record(LogCheckpoint, item))
            if len(found) == limit:
                break
        return tuple(found)

    async def log_keys(self, tenant_id: str) -> tuple[LogKey, ...]:
        items = self._dynamo.query(tables.LEDGER, keys.log_keys(tenant_id))
        found = [codec.record(LogKey, item) async for item in items]
        return tuple(sorted(found, key=lambda key: (key.valid_from, key.key)))

    async def scrub(self) -> None:
        """DynamoDB has no files of ours. Backups and point-in-time recovery keep what they have until they expire."""
