"""The part of the port that is about the Merkle logs, and about what erasure leaves in the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.stores.sqlite import log_reads
from enactor.stores.sqlite.pool import Pool
from enactor.stores.sqlite.writer import Writer


class LogReaders:
    """What `SqliteStore` inherits."""

    _pool: Pool
    _writer: Writer
    _position: int

    log_batch: Final = 4_096

    async def log_feed(self, position: int, limit: int) -> tuple[LogRow, ...]:
        if position >= self._position:
            return ()
        return await self._pool.read(log_reads.feed, position, limit)

    async def log_head(self, tenant_id: str) -> LogHead | None:
        return await self._pool.read(log_reads.head, tenant_id)

    async def log_heads(self, limit: int, after: str | None = None) -> tuple[LogHead, ...]:
        return await self._pool.read(log_reads.heads, limit, after)

    async def log_tiles(self, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
        return await self._pool.read(log_reads.tiles, tenant_id, places)

    async def log_leaves(self, tenant_id: str, entry_ids: Sequence[str]) -> dict[str, LogLeaf]:
        return await self._pool.read(log_reads.leaves, tenant_id, entry_ids)

    async def log_checkpoint(self, tenant_id: str, size: int | None = None) -> LogCheckpoint | None:
        return await self._pool.read(log_reads.checkpoint, tenant_id, size)

    async def log_checkpoints(self, tenant_id: str, limit: int, below: int | None = None) -> tuple[LogCheckpoint, ...]:
        return await self._pool.read(log_reads.checkpoints, tenant_id, limit, below)

    async def log_keys(self, tenant_id: str) -> tuple[LogKey, ...]:
        return await self._pool.read(log_reads.keys, tenant_id)

    async def scrub(self) -> None:
        """See `Store.scrub`. Writes the whole database anew, and empties the write-ahead log."""
        await self._writer.scrub()
