"""Conditions and effects: the Merkle logs."""

from __future__ import annotations

from collections.abc import Iterator

from enactor.domain.log import LogCheckpoint, LogHead
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.sqlite import log_reads, sql
from enactor.stores.sqlite.book import Book, Unit


def append_to_log(book: Book, command: c.AppendToLog, body: str, unit: Unit) -> Iterator[None]:
    """Does `AppendToLog`."""
    head = command.head
    book.rows.flush()
    stored = log_reads.head(book.rows.connection, head.tenant_id) or LogHead(tenant_id=head.tenant_id)
    if stored != command.expected:
        raise Conflict(ConflictKind.LOG_CHANGED, stored)
    yield
    book.rows.add(sql.PUT_LOG_HEAD, (head.tenant_id, head.size, head.root, head.position))
    book.rows.add_all(
        sql.ADD_LOG_LEAF, ((leaf.entry_id, head.tenant_id, leaf.leaf_index, leaf.position) for leaf in command.leaves)
    )
    book.rows.add_all(
        sql.PUT_LOG_TILE, ((head.tenant_id, tile.level, tile.index, tile.hashes) for tile in command.tiles)
    )


def keep_checkpoint(book: Book, command: c.KeepCheckpoint, body: str, unit: Unit) -> Iterator[None]:
    """Does `KeepCheckpoint`."""
    checkpoint = command.checkpoint
    book.rows.flush()
    newest = log_reads.checkpoint(book.rows.connection, checkpoint.tenant_id)
    head = log_reads.head(book.rows.connection, checkpoint.tenant_id)
    if (newest is not None and newest.size >= checkpoint.size) or (head.size if head else 0) < checkpoint.size:
        raise Conflict(ConflictKind.LOG_CHANGED, newest)
    yield
    _put(book, checkpoint, body)


def cosign_checkpoint(book: Book, command: c.CosignCheckpoint, body: str, unit: Unit) -> Iterator[None]:
    """Does `CosignCheckpoint`."""
    checkpoint = command.checkpoint
    book.rows.flush()
    stored = log_reads.checkpoint(book.rows.connection, checkpoint.tenant_id, checkpoint.size)
    if stored is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    if stored.note != command.expected_note:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    _put(book, checkpoint, body)


def put_log_key(book: Book, command: c.PutLogKey, body: str, unit: Unit) -> Iterator[None]:
    """Does `PutLogKey`."""
    yield
    key = command.key
    book.rows.add(sql.PUT_LOG_KEY, (key.tenant_id, key.key, key.valid_from, body))


def _put(book: Book, checkpoint: LogCheckpoint, body: str) -> None:
    book.rows.add(sql.PUT_LOG_CHECKPOINT, (checkpoint.tenant_id, checkpoint.size, body))
