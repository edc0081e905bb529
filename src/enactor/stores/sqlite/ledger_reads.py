"""Queries over the ledger."""

# ruff: noqa: S608 - statements are joined from constants of this module alone; every value is bound.

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.ports.store import LedgerFilter

# ?1 tenant or NULL, ?2 after this position, ?3 accounts as a JSON array, ?4 intent, ?5 trace, ?6 event type, ?7 from,
# ?8 to, ?9 limit.
_COLUMNS: Final = """
SELECT position, tenant_id, account_id, seq, action_intent_id, sequence, run_number, event_type, timestamp, actor,
    trace_id, decision_trace_id, entry_id, data, salt, data_commitment, prev_hash, hash FROM ledger
"""
_WANTED: Final = """
    AND position > ?2 AND (?1 IS NULL OR tenant_id = ?1)
    AND (?3 IS NULL OR account_id IN (SELECT value FROM json_each(?3)))
    AND (?4 IS NULL OR action_intent_id = ?4) AND (?5 IS NULL OR ?5 IN (trace_id, decision_trace_id))
    AND (?6 IS NULL OR event_type = ?6) AND (?7 IS NULL OR timestamp >= ?7) AND (?8 IS NULL OR timestamp < ?8)
    ORDER BY position LIMIT ?9
"""
_EVERYWHERE: Final = _COLUMNS + "NOT INDEXED WHERE true" + _WANTED
_OF_TENANT: Final = _COLUMNS + "INDEXED BY ledger_by_tenant WHERE tenant_id = ?1" + _WANTED
_OF_INTENT: Final = (
    _COLUMNS + "INDEXED BY ledger_by_intent WHERE action_intent_id = ?4 AND action_intent_id <> ''" + _WANTED
)
_OF_TRACE: Final = (
    _COLUMNS
    + """WHERE position IN (
        SELECT l.position FROM traces t
            CROSS JOIN ledger l INDEXED BY ledger_by_intent USING (action_intent_id)
            WHERE t.trace_id = ?5 AND l.action_intent_id <> ''
        UNION ALL SELECT position FROM ledger INDEXED BY ledger_without_intent
            WHERE action_intent_id = '' AND ?5 IN (trace_id, decision_trace_id))"""
    + _WANTED
)


def entries(
    connection: sqlite3.Connection, tenant_id: str | None, where: LedgerFilter, limit: int, after: int
) -> tuple[LedgerEntry, ...]:
    """Up to `limit` entries after a position, in order.

    Args:
        tenant_id: whose; None for everybody's.
        where: instants in the spelling of `time.rfc3339`.
    """
    if where.action_intent_id:
        query = _OF_INTENT
    elif where.trace_id is not None:
        query = _OF_TRACE
    else:
        query = _EVERYWHERE if tenant_id is None else _OF_TENANT
    key = (
        tenant_id,
        after,
        None if where.account_ids is None else msgspec.json.encode(where.account_ids).decode(),
        where.action_intent_id,
        where.trace_id,
        where.event_type.value if where.event_type else None,
        where.from_time,
        where.to_time,
        limit,
    )
    return tuple(
        LedgerEntry(
            entry_id=entry_id,
            tenant_id=tenant,
            account_id=account_id,
            event_type=_event(event_type),
            timestamp=timestamp,
            actor=actor,
            trace_id=trace_id,
            decision_trace_id=decision_trace_id,
            action_intent_id=action_intent_id,
            run_number=run_number,
            data=data,
            salt=salt,
            data_commitment=data_commitment,
            seq=seq,
            sequence=sequence,
            prev_hash=prev_hash,
            hash=own_hash,
            position=position,
        )
        for (
            position,
            tenant,
            account_id,
            seq,
            action_intent_id,
            sequence,
            run_number,
            event_type,
            timestamp,
            actor,
            trace_id,
            decision_trace_id,
            entry_id,
            data,
            salt,
            data_commitment,
            prev_hash,
            own_hash,
        ) in connection.execute(query, key)
    )


def _event(text: str) -> LedgerEvent:
    """The event type, also when it is none that there is: what somebody altered has to be readable to be shown."""
    try:
        return LedgerEvent(text)
    except ValueError:
        altered = str.__new__(LedgerEvent, text)
        altered._name_ = altered._value_ = text
        return altered
