"""The memory store's logs: what the commands ask of them and do to them, and the readers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind

if TYPE_CHECKING:
    from enactor.stores.memory.records import Records


class Logs:
    """Every tenant's log, by tenant."""

    def __init__(self) -> None:
        self.heads: dict[str, LogHead] = {}
        self.tiles: dict[tuple[str, Place], bytes] = {}
        self.leaves: dict[tuple[str, str], LogLeaf] = {}
        self.checkpoints: defaultdict[str, dict[int, LogCheckpoint]] = defaultdict(dict)
        self.keys: defaultdict[str, dict[str, LogKey]] = defaultdict(dict)

    def append(self, command: c.AppendToLog) -> Iterator[None]:
        tenant_id = command.head.tenant_id
        stored = self.heads.get(tenant_id) or LogHead(tenant_id=tenant_id)
        if stored != command.expected:
            raise Conflict(ConflictKind.LOG_CHANGED, stored)
        yield
        self.heads[tenant_id] = command.head
        for leaf in command.leaves:
            self.leaves[tenant_id, leaf.entry_id] = leaf
        for tile in command.tiles:
            self.tiles[tenant_id, (tile.level, tile.index)] = tile.hashes

    def keep_checkpoint(self, command: c.KeepCheckpoint) -> Iterator[None]:
        checkpoint = command.checkpoint
        known = self.checkpoints[checkpoint.tenant_id]
        newest = known[max(known)] if known else None
        head = self.heads.get(checkpoint.tenant_id)
        if (newest is not None and newest.size >= checkpoint.size) or (head.size if head else 0) < checkpoint.size:
            raise Conflict(ConflictKind.LOG_CHANGED, newest)
        yield
        known[checkpoint.size] = checkpoint

    def cosign_checkpoint(self, command: c.CosignCheckpoint) -> Iterator[None]:
        checkpoint = command.checkpoint
        known = self.checkpoints[checkpoint.tenant_id]
        stored = known.get(checkpoint.size)
        if stored is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        if stored.note != command.expected_note:
            raise Conflict(ConflictKind.VERSION_CHANGED, stored)
        yield
        known[checkpoint.size] = checkpoint

    def put_key(self, command: c.PutLogKey) -> Iterator[None]:
        yield
        self.keys[command.key.tenant_id][command.key.key] = command.key

    METHODS: Final[dict[type, Callable[..., Iterator[None]]]] = {
        c.AppendToLog: append,
        c.KeepCheckpoint: keep_checkpoint,
        c.CosignCheckpoint: cosign_checkpoint,
        c.PutLogKey: put_key,
    }


class LogReaders:
    """The readers of the port that are about logs."""

    _records: Records

    log_batch: Final = 4_096

    async def log_feed(self, position: int, limit: int) -> tuple[LogRow, ...]:
        return tuple(
            LogRow(entry.position, entry.tenant_id, entry.entry_id, entry.hash, entry.timestamp)
            for entry in self._records.ledger[position : position + limit]
        )

    async def log_head(self, tenant_id: str) -> LogHead | None:
        return self._records.logs.heads.get(tenant_id)

    async def log_heads(self, limit: int, after: str | None = None) -> tuple[LogHead, ...]:
        heads = sorted(self._records.logs.heads.items())
        return tuple(head for tenant_id, head in heads if after is None or tenant_id > after)[:limit]

    async def log_tiles(self, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
        tiles = self._records.logs.tiles
        return {place: tiles[tenant_id, place] for place in places if (tenant_id, place) in tiles}

    async def log_leaves(self, tenant_id: str, entry_ids: Sequence[str]) -> dict[str, LogLeaf]:
        leaves = self._records.logs.leaves
        return {it: leaves[tenant_id, it] for it in entry_ids if (tenant_id, it) in leaves}

    async def log_checkpoint(self, tenant_id: str, size: int | None = None) -> LogCheckpoint | None:
        known = self._records.logs.checkpoints[tenant_id]
        return known.get(size if size is not None else max(known, default=-1))

    async def log_checkpoints(self, tenant_id: str, limit: int, below: int | None = None) -> tuple[LogCheckpoint, ...]:
        known = self._records.logs.checkpoints[tenant_id]
        return tuple(known[size] for size in sorted(known, reverse=True) if below is None or size < below)[:limit]

    async def log_keys(self, tenant_id: str) -> tuple[LogKey, ...]:
        return tuple(sorted(self._records.logs.keys[tenant_id].values(), key=lambda key: (key.valid_from, key.key)))

    async def scrub(self) -> None:
        """Memory keeps nothing of what was replaced, as far as a program can tell."""
