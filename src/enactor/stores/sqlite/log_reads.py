"""Queries over the Merkle logs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf, LogRow
from enactor.domain.merkle import Place
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.point_reads import many, one

_FEED: Final = """
SELECT json_group_array(json_array(position, tenant_id, entry_id, hash, timestamp))
FROM (SELECT position, tenant_id, entry_id, hash, timestamp FROM ledger WHERE position > ? ORDER BY position LIMIT ?)
"""
_FED: Final = msgspec.json.Decoder(list[tuple[int, str, str, str, str]])
_HEAD: Final = "SELECT size, root, position FROM log_heads WHERE tenant_id = ?"
_HEADS: Final = (
    "SELECT tenant_id, size, root, position FROM log_heads WHERE (?1 IS NULL OR tenant_id > ?1) "
    "ORDER BY tenant_id LIMIT ?2"
)
_TILES: Final = """
SELECT t.level, t.tile, t.hashes FROM json_each(?2) AS wanted
    CROSS JOIN log_tiles t ON t.tenant_id = ?1 AND t.level = wanted.value ->> 0 AND t.tile = wanted.value ->> 1
"""
_LEAVES: Final = """
SELECT l.entry_id, l.leaf_index, l.position FROM json_each(?2) AS wanted
    CROSS JOIN log_leaves l ON l.entry_id = wanted.value AND l.tenant_id = ?1
"""
_CHECKPOINTS: Final = "SELECT body FROM log_checkpoints WHERE tenant_id = ?1 AND size < ?2 ORDER BY size DESC LIMIT ?3"
_CHECKPOINT: Final = "SELECT body FROM log_checkpoints WHERE tenant_id = ?1 AND size = ?2"
_KEYS: Final = "SELECT body FROM log_keys WHERE tenant_id = ? ORDER BY valid_from, key"
_BEYOND: Final = 2**62


def feed(connection: sqlite3.Connection, position: int, limit: int) -> tuple[LogRow, ...]:
    """See `Store.log_feed`.

    As one row: for each row a reader's thread would take the interpreter from the event loop, which is busy while there
    is much to feed.
    """
    (fed,) = connection.execute(_FEED, (position, limit)).fetchone()
    return tuple(LogRow(*row) for row in sorted(_FED.decode(fed)))


def head(connection: sqlite3.Connection, tenant_id: str) -> LogHead | None:
    """See `Store.log_head`."""
    row = connection.execute(_HEAD, (tenant_id,)).fetchone()
    return LogHead(tenant_id=tenant_id, size=row[0], root=row[1], position=row[2]) if row else None


def heads(connection: sqlite3.Connection, limit: int, after: str | None) -> tuple[LogHead, ...]:
    """See `Store.log_heads`."""
    return tuple(
        LogHead(tenant_id=tenant_id, size=size, root=root, position=position)
        for tenant_id, size, root, position in connection.execute(_HEADS, (after, limit))
    )


def tiles(connection: sqlite3.Connection, tenant_id: str, places: Sequence[Place]) -> dict[Place, bytes]:
    """See `Store.log_tiles`."""
    wanted = msgspec.json.encode(places).decode()
    return {(level, tile): hashes for level, tile, hashes in connection.execute(_TILES, (tenant_id, wanted))}


def leaves(connection: sqlite3.Connection, tenant_id: str, entry_ids: Sequence[str]) -> dict[str, LogLeaf]:
    """See `Store.log_leaves`."""
    wanted = msgspec.json.encode(entry_ids).decode()
    return {
        entry_id: LogLeaf(entry_id=entry_id, leaf_index=leaf_index, position=position)
        for entry_id, leaf_index, position in connection.execute(_LEAVES, (tenant_id, wanted))
    }


def checkpoint(connection: sqlite3.Connection, tenant_id: str, size: int | None = None) -> LogCheckpoint | None:
    """See `Store.log_checkpoint`."""
    if size is not None:
        return one(connection, _CHECKPOINT, (tenant_id, size), codec.log_checkpoint)
    return one(connection, _CHECKPOINTS, (tenant_id, _BEYOND, 1), codec.log_checkpoint)


def checkpoints(
    connection: sqlite3.Connection, tenant_id: str, limit: int, below: int | None
) -> tuple[LogCheckpoint, ...]:
    """See `Store.log_checkpoints`."""
    return many(connection, _CHECKPOINTS, (tenant_id, _BEYOND if below is None else below, limit), codec.log_checkpoint)


def keys(connection: sqlite3.Connection, tenant_id: str) -> tuple[LogKey, ...]:
    """See `Store.log_keys`."""
    return many(connection, _KEYS, (tenant_id,), codec.log_key)
