"""Queries for one record, or for all records of one intent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from enactor.domain.action_type import ActionType
from enactor.domain.approval import Approval
from enactor.domain.budget import Budget, window_start
from enactor.domain.intent import ActionIntent
from enactor.domain.outcome import ActionOutcome
from enactor.domain.policy import PolicySet
from enactor.ports.commands import InternalObject, RequestKey
from enactor.ports.store import ExecutionRecords, Undelivered
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.shared import count_starts

Record = TypeVar("Record")

_EXECUTION = """
SELECT i.body, e.body FROM intents i LEFT JOIN executions e USING (action_intent_id)
WHERE i.action_intent_id = ? AND i.tenant_id = ?
"""


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Within it, several statements see the database as it was at one moment."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def one(
    connection: sqlite3.Connection, query: str, key: tuple[object, ...], decode: Callable[[str], Record]
) -> Record | None:
    """The record of the first row, or None."""
    row = connection.execute(query, key).fetchone()
    return decode(row[0]) if row else None


def many(
    connection: sqlite3.Connection, query: str, key: tuple[object, ...], decode: Callable[[str], Record]
) -> tuple[Record, ...]:
    """The records of all rows."""
    return tuple(decode(body) for (body,) in connection.execute(query, key))


def intent(connection: sqlite3.Connection, tenant_id: str, action_intent_id: str) -> ActionIntent | None:
    """See `Store.intent`."""
    query = "SELECT body FROM intents WHERE action_intent_id = ? AND tenant_id = ?"
    return one(connection, query, (action_intent_id, tenant_id), codec.intent)


def revisions(connection: sqlite3.Connection, tenant_id: str, action_intent_id: str) -> tuple[ActionIntent, ...]:
    """See `Store.revisions`."""
    query = (
        "SELECT r.body FROM intents i JOIN earlier_revisions r USING (action_intent_id) "
        "WHERE i.action_intent_id = ?1 AND i.tenant_id = ?2 AND r.revision <> i.revision "
        "UNION ALL SELECT body FROM intents WHERE action_intent_id = ?1 AND tenant_id = ?2"
    )
    found = many(connection, query, (action_intent_id, tenant_id), codec.intent)
    return tuple(sorted(found, key=lambda record: record.revision))


def approvals(connection: sqlite3.Connection, tenant_id: str, action_intent_id: str) -> tuple[Approval, ...]:
    """See `Store.approvals`. A decision about something that is not an intent belongs to no tenant."""
    query = (
        "SELECT body FROM approvals WHERE action_intent_id = ?1 "
        "AND coalesce((SELECT tenant_id FROM intents WHERE action_intent_id = ?1), '') = ?2 ORDER BY number"
    )
    return many(connection, query, (action_intent_id, tenant_id), codec.approval)


def request(connection: sqlite3.Connection, tenant_id: str, principal: str, key: str) -> RequestKey | None:
    """See `Store.request`."""
    query = "SELECT body FROM requests WHERE tenant_id = ? AND principal = ? AND key = ?"
    return one(connection, query, (tenant_id, principal, key), codec.request)


def effect_holder(connection: sqlite3.Connection, tenant_id: str, effect_key: str) -> str | None:
    """See `Store.effect_holder`."""
    query = "SELECT action_intent_id FROM effect_keys WHERE tenant_id = ? AND effect_key = ?"
    return one(connection, query, (tenant_id, effect_key), str)


def execution(connection: sqlite3.Connection, tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
    """See `Store.execution`. One statement, and so one moment."""
    row = connection.execute(_EXECUTION, (action_intent_id, tenant_id)).fetchone()
    if row is None:
        return None
    proposed = codec.intent(row[0])
    if row[1] is None:
        return ExecutionRecords(intent=proposed, attempt=None, permits=(), outcome=None, cancel_requested=False)
    kept = codec.execution(row[1])
    run_number = kept.attempt.run_number if kept.attempt else 1
    return ExecutionRecords(
        intent=proposed,
        attempt=kept.attempt,
        permits=kept.permits,
        outcome=kept.outcome,
        cancel_requested=any(asked.run_number == run_number for asked in kept.cancels),
    )


def outcomes(connection: sqlite3.Connection, tenant_id: str, action_intent_id: str) -> tuple[ActionOutcome, ...]:
    """See `Store.outcomes`."""
    row = connection.execute(_EXECUTION, (action_intent_id, tenant_id)).fetchone()
    return codec.execution(row[1]).outcomes if row and row[1] else ()


def action_type(connection: sqlite3.Connection, tenant_id: str, name: str, version: int | None) -> ActionType | None:
    """See `Store.action_type`."""
    query = (
        "SELECT body FROM action_types WHERE tenant_id = ?1 AND action_type = ?2 "
        "AND (?3 IS NULL OR registry_version = ?3) ORDER BY registry_version DESC LIMIT 1"
    )
    return one(connection, query, (tenant_id, name, version), codec.action_type)


def budgets(connection: sqlite3.Connection, tenant_id: str, now_ms: int) -> tuple[tuple[Budget, int], ...]:
    """See `Store.budgets`."""
    query = "SELECT body FROM budgets WHERE tenant_id = ? ORDER BY action_type"
    with snapshot(connection):
        found = many(connection, query, (tenant_id,), codec.budget)
        return tuple((budget, count_starts(connection, budget, window_start(budget, now_ms))) for budget in found)


def policies(connection: sqlite3.Connection, tenant_id: str) -> PolicySet | None:
    """See `Store.policies`."""
    return one(connection, "SELECT body FROM policies WHERE tenant_id = ?", (tenant_id,), codec.policies)


def object_by_key(connection: sqlite3.Connection, tenant_id: str, creation_key: str) -> InternalObject | None:
    """See `Store.object_by_key`."""
    query = "SELECT body FROM objects WHERE tenant_id = ? AND creation_key = ? AND deleted = 0"
    return one(connection, query, (tenant_id, creation_key), codec.internal_object)


def internal_object(connection: sqlite3.Connection, tenant_id: str, object_id: str) -> InternalObject | None:
    """See `Store.object`."""
    query = "SELECT body FROM objects WHERE tenant_id = ? AND object_id = ? AND deleted = 0"
    return one(connection, query, (tenant_id, object_id), codec.internal_object)


def delivery_cursor(connection: sqlite3.Connection, name: str) -> int:
    """See `Store.delivery_cursor`."""
    return one(connection, "SELECT position FROM delivery_cursors WHERE name = ?", (name,), int) or 0


def undelivered(
    connection: sqlite3.Connection, consumer: str, limit: int, after: int, *, dead: bool
) -> tuple[Undelivered, ...]:
    """See `Store.undelivered`."""
    query = "SELECT body FROM undelivered WHERE consumer = ? AND dead = ? AND position > ? ORDER BY position LIMIT ?"
    return many(connection, query, (consumer, int(dead), after, limit), codec.undelivered)


def counts(connection: sqlite3.Connection) -> tuple[int, int]:
    """The schema's version, and how many entries the ledger has."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return int(version), int(connection.execute("SELECT coalesce(max(position), 0) FROM ledger").fetchone()[0])
