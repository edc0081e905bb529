"""Conditions and effects: the Merkle logs, their checkpoints and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enactor.domain.log import LogCheckpoint, LogHead
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit
from enactor.stores.dynamodb.layers import Layer

LOG_BATCH: Final = 80
"""Leaves of one `AppendToLog`: each is an item, to be found by its entry's id; the rest is for head and tiles."""


def append_to_log(layer: Layer, command: c.AppendToLog, unit: Unit) -> Iterator[None]:
    """Does `AppendToLog`. The head's condition guards leaves and tiles."""
    tenant_id = command.head.tenant_id
    key = keys.log_head(tenant_id)
    item = layer.get(key)
    stored = codec.record(LogHead, item) if item is not None else LogHead(tenant_id=tenant_id)
    if stored != command.expected:
        raise Conflict(ConflictKind.LOG_CHANGED, stored)
    yield
    layer.put(key, codec.body(command.head))
    for leaf in command.leaves:
        layer.put(keys.log_leaf(tenant_id, leaf.entry_id), codec.body(leaf))
    for tile in command.tiles:
        layer.put(keys.log_tile(tenant_id, tile.level, tile.index), {"hashes": tile.hashes})


def keep_checkpoint(layer: Layer, command: c.KeepCheckpoint, unit: Unit) -> Iterator[None]:
    """Does `KeepCheckpoint`."""
    checkpoint = command.checkpoint
    tenant_id = checkpoint.tenant_id
    pointer = layer.get(keys.newest_checkpoint(tenant_id))
    size = pointer["size"] if pointer is not None else -1
    head = layer.get(keys.log_head(tenant_id))
    length = codec.record(LogHead, head).size if head is not None else 0
    if size >= checkpoint.size or length < checkpoint.size:
        newest = layer.peek(keys.checkpoint(tenant_id, size)) if pointer is not None else None
        raise Conflict(ConflictKind.LOG_CHANGED, codec.record(LogCheckpoint, newest) if newest else None)
    yield
    layer.put(keys.newest_checkpoint(tenant_id), {"size": checkpoint.size})
    layer.put_new(keys.checkpoint(tenant_id, checkpoint.size), codec.body(checkpoint))


def cosign_checkpoint(layer: Layer, command: c.CosignCheckpoint, unit: Unit) -> Iterator[None]:
    """Does `CosignCheckpoint`."""
    checkpoint = command.checkpoint
    key = keys.checkpoint(checkpoint.tenant_id, checkpoint.size)
    item = layer.get(key)
    if item is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    stored = codec.record(LogCheckpoint, item)
    if stored.note != command.expected_note:
        raise Conflict(ConflictKind.VERSION_CHANGED, stored)
    yield
    layer.put(key, codec.body(checkpoint))


def put_log_key(layer: Layer, command: c.PutLogKey, unit: Unit) -> Iterator[None]:
    """Does `PutLogKey`."""
    yield
    key = keys.log_key(command.key.tenant_id, command.key.key)
    layer.get(key)
    layer.put(key, codec.body(command.key))
