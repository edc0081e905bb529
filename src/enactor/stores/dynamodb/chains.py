"""Appending to the ledger: an entry's place in its chain, and its number among its intent's entries."""

from __future__ import annotations

from collections.abc import Iterator

from enactor.domain.ledger import GENESIS, chained
from enactor.ports import commands as c
from enactor.stores.dynamodb import codec, keys
from enactor.stores.dynamodb.book import Unit
from enactor.stores.dynamodb.keys import shard_of
from enactor.stores.dynamodb.layers import Layer


def append_ledger(layer: Layer, command: c.AppendLedger, unit: Unit) -> Iterator[None]:
    """Does `AppendLedger`. The head's condition is what makes a chain a chain."""
    yield
    record = command.record
    key = keys.head(record.tenant_id, record.account_id)
    head = layer.get(key)
    sequence = 0
    if record.action_intent_id:
        place = keys.place(record.action_intent_id)
        known = layer.get(place) or {}
        sequence = int(known.get("sequence", 0)) + 1
        layer.put(place, {**known, "sequence": sequence})
    entry = chained(
        record,
        seq=int(head["seq"]) + 1 if head else 1,
        sequence=sequence,
        prev_hash=str(head["hash"]) if head else GENESIS,
    )
    layer.put(key, {"seq": entry.seq, "hash": entry.hash})
    attributes = codec.entry_attributes(entry)
    place_in_chain = f"{entry.seq:012d}#{entry.entry_id}"
    attributes["gsi4pk"] = f"UNPLACED#{shard_of(keys.chain(record.tenant_id, record.account_id), unit.shape.shards)}"
    attributes["gsi4sk"] = entry.entry_id
    if entry.trace_id:
        attributes["gsi1pk"], attributes["gsi1sk"] = f"TRACE#{entry.trace_id}", place_in_chain
    if entry.action_intent_id:
        attributes["gsi2pk"] = f"ACTION_INTENT#{entry.action_intent_id}"
        attributes["gsi2sk"] = f"{sequence:012d}"
    if entry.decision_trace_id and entry.decision_trace_id != entry.trace_id:
        attributes["gsi3pk"], attributes["gsi3sk"] = f"TRACE#{entry.decision_trace_id}", place_in_chain
    layer.put_new(keys.entry(record.tenant_id, record.account_id, entry.seq), attributes)
