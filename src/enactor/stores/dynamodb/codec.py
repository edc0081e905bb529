"""Records as attributes and back.

A record's JSON is the attribute `body`, or `packed` (zlib) when it is long; what conditions and listings need of it
stands beside it. Ledger entries are attributes throughout, because people and scripts read them where they are.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, Final, TypeVar

import msgspec

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.budget import Budget
from enactor.domain.canonical import struct_json
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEntry
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import WritePermit
from enactor.domain.policy import PolicySet
from enactor.ports.commands import InternalObject, RequestKey
from enactor.ports.store import Undelivered
from enactor.stores.dynamodb.wire import Item

Record = TypeVar("Record")

_PACKED_FROM: Final = 4_096
"""Characters: an item's size is what its write and its reads cost."""

ARTIFACT: Final = "artifact"
"""The attribute that refers to a record which was put aside, because an item has at most 400 KB."""

_PUT_ASIDE_FROM: Final = 300_000
"""Bytes, packed; the rest is for what stands beside it."""

_decoders: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (
        ActionIntent,
        ActionOutcome,
        ActionType,
        Approval,
        Budget,
        ExecutionAttempt,
        InternalObject,
        KillSwitch,
        LogCheckpoint,
        LogHead,
        LogKey,
        LogLeaf,
        PolicySet,
        RequestKey,
        Undelivered,
        WritePermit,
    )
}


def text_of(record: object) -> str:
    """The record as JSON. Raises `InvalidInput` when a text in it is not Unicode, as with half a surrogate pair."""
    return struct_json(record).decode()


def body(record: object) -> dict[str, Any]:
    """The attribute that holds the record."""
    return {"body": text_of(record)}


def stored(item: Item) -> Item:
    """An item as it is written: a long record is packed, and one that is still too long only referred to."""
    text = item.get("body")
    if text is None or len(text) < _PACKED_FROM:
        return item
    rest = {name: value for name, value in item.items() if name != "body"}
    content = text.encode()
    packed = zlib.compress(content)
    if len(packed) < _PUT_ASIDE_FROM:
        return {**rest, "packed": packed}
    return {**rest, ARTIFACT: f"artifact/sha256/{hashlib.sha256(content).hexdigest()}"}


def record(kind: type[Record], item: Item) -> Record:
    """The record that an item holds."""
    text = item.get("body")
    return parsed(kind, zlib.decompress(item["packed"]).decode() if text is None else text)


def parsed(kind: type[Record], text: str) -> Record:
    """The record of a JSON text."""
    found: Record = _decoders[kind].decode(text)
    return found


def entry_attributes(entry: LedgerEntry) -> dict[str, Any]:
    """A ledger entry's attributes. Its position comes later, and is not among them."""
    attributes: dict[str, Any] = msgspec.to_builtins(entry)
    del attributes["position"]
    return attributes


def entry(item: Item) -> LedgerEntry:
    """The ledger entry that an item is; position 0 until it has one."""
    found: LedgerEntry = msgspec.convert(dict(item), LedgerEntry)
    return found
