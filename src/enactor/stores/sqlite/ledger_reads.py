"""Queries over the ledger."""

# ruff: noqa: S608 - statements are joined from constants of this module alone; every value is bound.

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.ports.store import LedgerFilter
from enactor.stores.sqlite.point_reads import snapshot

# ?1 tenant or NULL, ?2 after this position, ?3 intent, ?4 trace, ?5 event type, ?6 from, ?7 to, ?8 limit,
# ?9 accounts as a JSON array, ?10 one account.
_COLUMNS: Final = """
SELECT position, tenant_id, account_id, seq, action_intent_id, sequence, run_number, event_type, timestamp, actor,
    trace_id, decision_trace_id, entry_id, data, salt, data_commitment, prev_hash, hash FROM ledger
"""
_WANTED: Final = """
    AND ledger.position > ?2 AND (?1 IS NULL OR ledger.tenant_id = ?1)
    AND (?9 IS NULL OR ledger.account_id IN (SELECT value FROM json_each(?9)))
    AND (?3 IS NULL OR action_intent_id = ?3) AND (?4 IS NULL OR ?4 IN (trace_id, decision_trace_id))
    AND (?5 IS NULL OR event_type = ?5) AND (?6 IS NULL OR timestamp >= ?6) AND (?7 IS NULL OR timestamp < ?7)
    ORDER BY ledger.position LIMIT ?8
"""
_EVERYWHERE: Final = _COLUMNS + "NOT INDEXED WHERE true" + _WANTED
_NEWER: Final = "SELECT position FROM ledger WHERE position > (SELECT position FROM strides)"
"""What the indexes do not cover yet: at most a stride."""
_OF_INTENT: Final = (
    _COLUMNS
    + """WHERE position IN (
        SELECT value FROM executions CROSS JOIN json_each(entries) WHERE action_intent_id = ?3
        UNION SELECT value FROM unfinished CROSS JOIN json_each(entries) WHERE action_intent_id = ?3)"""
    + _WANTED
)
_OF_TRACE: Final = (
    _COLUMNS
    + f"""WHERE position IN (
        SELECT value FROM traces CROSS JOIN executions USING (action_intent_id) CROSS JOIN json_each(entries)
            WHERE traces.trace_id = ?4
        UNION SELECT value FROM traces CROSS JOIN unfinished USING (action_intent_id) CROSS JOIN json_each(entries)
            WHERE traces.trace_id = ?4
        UNION ALL SELECT position FROM ledger INDEXED BY ledger_without_intent
            WHERE action_intent_id = '' AND ?4 IN (trace_id, decision_trace_id)
        UNION ALL {_NEWER} AND position > ?2 AND action_intent_id <> '' AND ?4 IN (trace_id, decision_trace_id))"""
    + _WANTED
)
_OF_CHAIN: Final = """SELECT ledger.position FROM ledger_of_chains c CROSS JOIN ledger ON ledger.position = c.position
    WHERE c.tenant_id = ?1 AND c.account_id = ?10 AND c.position > ?2""" + _WANTED.replace(
    "ORDER BY ledger.position", "ORDER BY c.position"
)
_NEWEST: Final = _NEWER + _WANTED
_AT: Final = _COLUMNS + "WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position"
_ACCOUNTS: Final = """
WITH RECURSIVE account (id) AS (
    SELECT min(account_id) FROM ledger_of_chains WHERE tenant_id = ?1
    UNION ALL
    SELECT (SELECT min(account_id) FROM ledger_of_chains WHERE tenant_id = ?1 AND account_id > account.id)
    FROM account WHERE account.id IS NOT NULL)
SELECT id FROM account WHERE id IS NOT NULL
"""


def entries(
    connection: sqlite3.Connection, tenant_id: str | None, where: LedgerFilter, limit: int, after: int
) -> tuple[LedgerEntry, ...]:
    """Up to `limit` entries after a position, in order.

    Args:
        tenant_id: whose; None for everybody's.
        where: instants in the spelling of `time.rfc3339`.
    """
    accounts = None if where.account_ids is None else msgspec.json.encode(where.account_ids).decode()
    wanted = (
        tenant_id,
        after,
        where.action_intent_id,
        where.trace_id,
        where.event_type.value if where.event_type else None,
        where.from_time,
        where.to_time,
        limit,
        accounts,
    )
    if where.action_intent_id:
        return _read(connection, _OF_INTENT, wanted)
    if where.trace_id is not None:
        return _read(connection, _OF_TRACE, wanted)
    if tenant_id is None:
        return _read(connection, _EVERYWHERE, wanted)
    with snapshot(connection):
        # The first of each chain, and of those the first: positions are in the index, so little is read in vain.
        chains = connection.execute(_ACCOUNTS, (tenant_id,)) if where.account_ids is None else zip(where.account_ids)
        positions = {at for (account,) in chains for (at,) in connection.execute(_OF_CHAIN, (*wanted, account))}
        positions.update(at for (at,) in connection.execute(_NEWEST, wanted))
        return _read(connection, _AT, (msgspec.json.encode(sorted(positions)[:limit]).decode(),))


def _read(connection: sqlite3.Connection, query: str, key: tuple[object, ...]) -> tuple[LedgerEntry, ...]:
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
