"""The ledger's entries, their hashes and what a chain can show (specification, sections 1 and 10).

Data is committed to by a salted hash, so it can be erased later without breaking the chain: the chain's own hash
covers everything but `data` and `salt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from enactor.domain.canonical import canonical, own_json, struct_json

GENESIS: Final = "0" * 64
TENANT_CHAIN: Final = "_tenant"
SYSTEM_CHAIN: Final = "_system"


class LedgerEvent(StrEnum):
    """What an entry records."""

    INTENT_PROPOSED = "INTENT_PROPOSED"
    INTENT_EDITED = "INTENT_EDITED"
    INTENT_CANCELLED = "INTENT_CANCELLED"
    TARGET_READ = "TARGET_READ"
    POLICY_EVALUATED = "POLICY_EVALUATED"
    ACTION_APPROVED = "ACTION_APPROVED"
    ACTION_REJECTED = "ACTION_REJECTED"
    EXECUTION_STARTED = "EXECUTION_STARTED"
    WRITE_PERMITTED = "WRITE_PERMITTED"
    TOOL_INVOKED = "TOOL_INVOKED"
    TOOL_RETRY_SCHEDULED = "TOOL_RETRY_SCHEDULED"
    EXECUTION_DEFERRED = "EXECUTION_DEFERRED"
    LOOKUP_PERFORMED = "LOOKUP_PERFORMED"
    LEASE_TAKEN_OVER = "LEASE_TAKEN_OVER"
    LATE_RESULT = "LATE_RESULT"
    ACTION_EXECUTED = "ACTION_EXECUTED"
    ACTION_FAILED = "ACTION_FAILED"
    EXECUTION_CANCELLED = "EXECUTION_CANCELLED"
    EXECUTION_EXPIRED = "EXECUTION_EXPIRED"
    EXECUTION_IN_DOUBT = "EXECUTION_IN_DOUBT"
    IN_DOUBT_RESOLVED = "IN_DOUBT_RESOLVED"
    COMPENSATION_STARTED = "COMPENSATION_STARTED"
    COMPENSATION_COMPLETED = "COMPENSATION_COMPLETED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    KILL_SWITCH_CHANGED = "KILL_SWITCH_CHANGED"
    REPLAY_REQUESTED = "REPLAY_REQUESTED"
    REPLAY_STARTED = "REPLAY_STARTED"
    REPLAY_COMPLETED = "REPLAY_COMPLETED"
    REPLAY_FAILED = "REPLAY_FAILED"
    IDEMPOTENCY_COLLISION_DETECTED = "IDEMPOTENCY_COLLISION_DETECTED"
    REGISTRY_CHANGED = "REGISTRY_CHANGED"
    PERSONAL_DATA_ERASED = "PERSONAL_DATA_ERASED"
    CHECKPOINT_PUBLISHED = "CHECKPOINT_PUBLISHED"
    CHECKPOINT_COSIGNED = "CHECKPOINT_COSIGNED"
    LEDGER_KEYS_CHANGED = "LEDGER_KEYS_CHANGED"


class LedgerRecord(Struct, frozen=True, kw_only=True, gc=False):
    """An entry as a step writes it, before the store gives it its place.

    `data` is the canonical JSON text of the entry's data; `action_intent_id` is empty for events without an intent.
    """

    entry_id: str
    tenant_id: str
    account_id: str
    event_type: LedgerEvent
    timestamp: str
    actor: str
    trace_id: str
    decision_trace_id: str
    action_intent_id: str
    run_number: int
    data: str
    salt: str
    data_commitment: str


class LedgerEntry(LedgerRecord, frozen=True, kw_only=True, gc=False):
    """An entry in its chain.

    Attributes:
        seq: 1, 2, … in the chain of (tenant, account).
        sequence: 1, 2, … among the entries of the same intent; 0 without one. Events carry it.
        position: the store's own order over all chains, growing; outside the hash. Event streams resume by it.
    """

    seq: int
    sequence: int
    prev_hash: str
    hash: str
    position: int = 0


def commitment(salt: str, data: str) -> str:
    """SHA-256 over the salt's 16 bytes and the canonical data, in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(salt) + data.encode()).hexdigest()


def record(
    *,
    entry_id: str,
    salt: bytes,
    tenant_id: str,
    account_id: str,
    event_type: LedgerEvent,
    timestamp: str,
    actor: str,
    trace_id: str,
    decision_trace_id: str,
    action_intent_id: str = "",
    run_number: int = 0,
    data: Mapping[str, Any],
    from_outside: bool = True,
) -> LedgerRecord:
    """An entry with its data in canonical form and committed to.

    Args:
        salt: 16 random bytes.
        from_outside: the data holds values that somebody else wrote; see `canonical.own_json`.
    """
    body = canonical(data) if from_outside else own_json(data)
    return LedgerRecord(
        entry_id=entry_id,
        tenant_id=tenant_id,
        account_id=account_id,
        event_type=event_type,
        timestamp=timestamp,
        actor=actor,
        trace_id=trace_id,
        decision_trace_id=decision_trace_id,
        action_intent_id=action_intent_id,
        run_number=run_number,
        data=body.decode(),
        salt=salt.hex(),
        data_commitment=hashlib.sha256(salt + body).hexdigest(),
    )


class _Hashed(Struct, frozen=True, gc=False):
    """What an entry's hash covers, in the order of RFC 8785."""

    account_id: str
    action_intent_id: str
    actor: str
    data_commitment: str
    decision_trace_id: str
    entry_id: str
    event_type: str
    prev_hash: str
    run_number: int
    seq: int
    sequence: int
    tenant_id: str
    timestamp: str
    trace_id: str


def hashed_bytes(entry: LedgerRecord, seq: int, sequence: int, prev_hash: str) -> bytes:
    """What an entry's hash covers: the RFC 8785 form of everything but data, salt and position."""
    return struct_json(
        _Hashed(
            entry.account_id,
            entry.action_intent_id,
            entry.actor,
            entry.data_commitment,
            entry.decision_trace_id,
            entry.entry_id,
            entry.event_type,
            prev_hash,
            entry.run_number,
            seq,
            sequence,
            entry.tenant_id,
            entry.timestamp,
            entry.trace_id,
        )
    )


def entry_hash(entry: LedgerRecord, seq: int, sequence: int, prev_hash: str) -> str:
    """The chain's hash of an entry: SHA-256 over `hashed_bytes`, in hexadecimal."""
    return hashlib.sha256(hashed_bytes(entry, seq, sequence, prev_hash)).hexdigest()


def chained(entry: LedgerRecord, *, seq: int, sequence: int, prev_hash: str, position: int = 0) -> LedgerEntry:
    """The entry in its place. Called by stores, inside the commit."""
    return LedgerEntry(
        entry_id=entry.entry_id,
        tenant_id=entry.tenant_id,
        account_id=entry.account_id,
        event_type=entry.event_type,
        timestamp=entry.timestamp,
        actor=entry.actor,
        trace_id=entry.trace_id,
        decision_trace_id=entry.decision_trace_id,
        action_intent_id=entry.action_intent_id,
        run_number=entry.run_number,
        data=entry.data,
        salt=entry.salt,
        data_commitment=entry.data_commitment,
        seq=seq,
        sequence=sequence,
        prev_hash=prev_hash,
        hash=entry_hash(entry, seq, sequence, prev_hash),
        position=position,
    )


class ChainFault(Struct, frozen=True, kw_only=True):
    """The first entry at which a chain stops being what was written, and why."""

    tenant_id: str
    account_id: str
    seq: int
    entry_id: str
    fault: str


class ChainVerifier:
    """Checks entries as they stream by, many chains at once, in constant memory per chain.

    Feed the entries of each chain in ascending `seq`; chains may be interleaved. After a chain's first fault the rest
    of that chain is not looked at, because everything after it is in question.

    Args:
        complete: whole chains are fed. Of a selection (False), gaps are expected, and each entry is checked for itself
            and against its neighbour where that one is there.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self.entries = 0
        self.erased = 0
        self._complete = complete
        self.faults: list[ChainFault] = []
        self.heads: dict[tuple[str, str], tuple[int, str]] = {}
        self._broken: set[tuple[str, str]] = set()

    def feed(self, entry: LedgerEntry) -> ChainFault | None:
        """Checks one entry against the head of its chain. Returns the fault it shows, if it is the chain's first."""
        self.entries += 1
        chain = (entry.tenant_id, entry.account_id)
        if chain in self._broken:
            return None
        seq, head = self.heads.get(chain, (0, GENESIS))
        fault = self._fault(entry, seq, head)
        if fault is None:
            self.heads[chain] = (entry.seq, entry.hash)
            return None
        found = ChainFault(
            tenant_id=entry.tenant_id,
            account_id=entry.account_id,
            seq=seq + 1,
            entry_id=entry.entry_id,
            fault=fault,
        )
        self._broken.add(chain)
        self.faults.append(found)
        return found

    def feed_all(self, entries: Iterable[LedgerEntry]) -> None:
        """Checks every entry of `entries`."""
        for entry in entries:
            self.feed(entry)

    def _fault(self, entry: LedgerEntry, seq: int, head: str) -> str | None:
        gap = entry.seq > seq + 1
        if gap and self._complete:
            return f"entry {seq + 1} is missing: entry {entry.seq} follows {seq}"
        if entry.seq <= seq:
            return f"entry {entry.seq} stands after entry {seq}: inserted, repeated or reordered"
        if entry.hash != entry_hash(entry, entry.seq, entry.sequence, entry.prev_hash):
            return "its own hash does not fit its content: altered"
        if entry.prev_hash != head and not gap:
            return "it does not follow the entry before it: that one was altered, replaced or removed"
        if not entry.salt and not entry.data:
            self.erased += 1
        elif commitment(entry.salt, entry.data) != entry.data_commitment:
            return "its data does not fit the commitment: altered"
        return None
