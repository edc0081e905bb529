"""The part of the port that reads the ledger and its Merkle logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enactor.domain.ledger import LedgerEntry
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.domain.paging import Position, page_of, page_position, page_token, require_limit
from enactor.ports.store import LedgerFilter, Page
from enactor.stores.sqlite import ledger_reads, log_reads
from enactor.stores.sqlite.pool import Pool


class LedgerReaders:
    """What the stores of a SQLite file inherit."""

    _pool: Pool
    _position: int

    log_batch: Final = 4_096

    async def ledger(
        self, tenant_id: str, where: LedgerFilter, limit: int, page_token: str | None
    ) -> Page[LedgerEntry]:
        where = where.normal()
        listing = Listing("ledger", tenant_id, where, (int,), limit, page_token)
        after = int(listing.after[0]) if listing.after else 0
        found = await self._pool.read(ledger_reads.entries, tenant_id, where, limit + 1, after)
        return Page(*page_of(found, limit, listing.token, lambda entry: (entry.position,)))

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


class Listing:
    """One page of a listing: where it begins, and the token of where it ends."""

    def __init__(
        self, name: str, tenant_id: str, where: object, kinds: tuple[type, ...], limit: int, token: str | None
    ) -> None:
        require_limit(limit)
        self._bound = (name, tenant_id, where)
        self.after: Position | None = page_position(token, *self._bound, kinds) if token is not None else None

    def token(self, at: Position) -> str:
        """The token for what follows `at`."""
        return page_token(*self._bound, at)
