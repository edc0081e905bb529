"""Queries for many records: listings of executions, what is due, the containment report's runs, registry, objects."""

# ruff: noqa: S608 - statements are joined from constants of this module alone; every value is bound.

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from enactor.domain.action_type import ActionType
from enactor.domain.attempt import RunStatus
from enactor.domain.containment import ContainedRun, contained_runs
from enactor.domain.intent import ActionIntent
from enactor.domain.paging import Position
from enactor.ports.commands import InternalObject
from enactor.ports.store import ExecutionFilter, ExecutionRow, RunDue
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.point_reads import many

# -- executions ------------------------------------------------------------------------------------------------------
# ?1 tenant, ?2 before this id, ?3 accounts as a JSON array, ?4 action type, ?5 proposer, ?6 status, ?7 limit.

_WANTED: Final = """
    i.tenant_id = ?1 AND i.action_intent_id < ?2 AND (?3 IS NULL OR i.account_id IN (SELECT value FROM json_each(?3)))
    AND (?4 IS NULL OR i.action_type = ?4) AND (?5 IS NULL OR i.proposed_by = ?5)
"""
_ALL: Final = "SELECT i.action_intent_id AS id FROM intents i INDEXED BY intents_by_tenant WHERE" + _WANTED
_OWN_STATUS: Final = _ALL + "AND i.status = ?6"
_STATUS: Final = "CASE WHEN coalesce(e.status, '') = '' THEN i.status ELSE e.status END"
_UNFINISHED: Final = (
    "SELECT i.action_intent_id AS id FROM unfinished i LEFT JOIN executions e USING (action_intent_id) WHERE"
    + _WANTED
    + f"AND {_STATUS} = ?6"
)
_CLOSED: Final = (
    "SELECT i.action_intent_id AS id FROM intents i INDEXED BY intents_closed WHERE"
    + _WANTED
    + "AND i.status = ?6 AND i.status <> 'PENDING_APPROVAL' AND i.status <> 'APPROVED'"
)
_NEVER_RUN: Final = _CLOSED + (
    " AND NOT EXISTS (SELECT 1 FROM executions WHERE action_intent_id = i.action_intent_id AND status <> '')"
)
_WITHOUT_EFFECT: Final = (
    "SELECT e.action_intent_id AS id FROM executions e INDEXED BY executions_without_effect"
    " CROSS JOIN intents i USING (action_intent_id)"
    " WHERE e.status <> '' AND e.status <> 'RUNNING' AND e.status <> 'SUCCEEDED' AND e.status <> 'IN_DOUBT'"
    " AND e.status = ?6 AND e.tenant_id = ?1 AND e.action_intent_id < ?2 AND" + _WANTED
)
_SUCCEEDED: Final = (
    _ALL + "AND (SELECT status FROM executions WHERE action_intent_id = i.action_intent_id) = 'SUCCEEDED'"
)
_ENDED_OR_CLOSED: Final = f"SELECT id FROM ({_WITHOUT_EFFECT}) UNION ALL SELECT id FROM ({_NEVER_RUN})"

_SOURCES: Final[dict[str | None, tuple[str, str]]] = {
    None: (_ALL, ""),
    "PENDING_APPROVAL": (_UNFINISHED, "PENDING_APPROVAL"),
    "PENDING": (_UNFINISHED, "PENDING"),
    "RUNNING": (_UNFINISHED, "RUNNING"),
    "IN_DOUBT": (_UNFINISHED, "IN_DOUBT"),
    "SUCCEEDED": (_SUCCEEDED, "SUCCEEDED"),
    "FAILED": (_WITHOUT_EFFECT, "FAILED"),
    "CANCELLED": (_ENDED_OR_CLOSED, "CANCELLED"),
    "EXPIRED": (_ENDED_OR_CLOSED, "EXPIRED"),
    "REJECTED": (_NEVER_RUN, "REJECTED"),
    "INTENT:PENDING_APPROVAL": (_UNFINISHED, "PENDING_APPROVAL"),
    "INTENT:APPROVED": (_OWN_STATUS, "APPROVED"),
    "INTENT:REJECTED": (_CLOSED, "REJECTED"),
    "INTENT:CANCELLED": (_CLOSED, "CANCELLED"),
    "INTENT:EXPIRED": (_CLOSED, "EXPIRED"),
}
"""Where to look for each status, so that no listing reads everything that ever ran to find a few."""


def _rows_of(source: str) -> str:
    return (
        f"SELECT i.body, e.body FROM (SELECT id FROM ({source}) ORDER BY id DESC LIMIT ?7) s "
        "CROSS JOIN intents i ON i.action_intent_id = s.id "
        "LEFT JOIN executions e ON e.action_intent_id = s.id ORDER BY s.id DESC"
    )


_LISTINGS: Final = {status: (_rows_of(source), own) for status, (source, own) in _SOURCES.items()}


def executions(
    connection: sqlite3.Connection, tenant_id: str, where: ExecutionFilter, limit: int, before: str
) -> list[ExecutionRow]:
    """Up to `limit` rows before an intent id, newest first."""
    if where.status not in _LISTINGS:
        return []
    query, status = _LISTINGS[where.status]
    accounts = None if where.account_ids is None else msgspec.json.encode(where.account_ids).decode()
    key = (tenant_id, before, accounts, where.action_type, where.proposed_by, status, limit)
    rows = []
    for intent, body in connection.execute(query, key):
        ran = codec.execution(body) if body else None
        attempt, outcome = (ran.attempt, ran.outcome) if ran and ran.attempt else (None, None)
        rows.append(ExecutionRow(intent=codec.intent(intent), attempt=attempt, outcome=outcome))
    return rows


# -- due, expired ----------------------------------------------------------------------------------------------------

_DUE: Final = f"""
SELECT i.action_intent_id, i.tenant_id, {_STATUS}, coalesce(e.run_number, 0), coalesce(e.resume_at, 0),
    coalesce(e.deadline_at, 0)
FROM unfinished i LEFT JOIN executions e USING (action_intent_id)
WHERE i.action_intent_id > ? AND i.shadow = 0
AND ({_STATUS} IN ('PENDING', 'RUNNING')
    OR e.status IN ('IN_DOUBT', 'FAILED') AND e.deadline_at > 0 AND e.deadline_at <= ?)
ORDER BY i.action_intent_id LIMIT ?
"""
_EXPIRED: Final = """
SELECT p.body FROM unfinished i CROSS JOIN intents p USING (action_intent_id)
LEFT JOIN executions e ON e.action_intent_id = i.action_intent_id
WHERE i.action_intent_id > ? AND coalesce(e.status, '') = '' AND i.expires_at_epoch <= ?
ORDER BY i.action_intent_id LIMIT ?
"""


def due(connection: sqlite3.Connection, now_ms: int, limit: int, after: str) -> tuple[RunDue, ...]:
    """See `Store.due`."""
    return tuple(
        RunDue(
            action_intent_id=action_intent_id,
            tenant_id=tenant_id,
            run_number=max(run_number, 1),
            status=None if status == "PENDING" else RunStatus(status),
            resume_at=resume_at,
            deadline_at=deadline_at,
        )
        for action_intent_id, tenant_id, status, run_number, resume_at, deadline_at in connection.execute(
            _DUE, (after, now_ms, limit)
        )
    )


def expired(connection: sqlite3.Connection, now_ms: int, limit: int, after: str) -> tuple[ActionIntent, ...]:
    """See `Store.expired`."""
    return many(connection, _EXPIRED, (after, now_ms // 1000, limit), codec.intent)


# -- containment -----------------------------------------------------------------------------------------------------

_IN_SCOPE: Final = """
SELECT id, i.account_id, i.action_type, (SELECT body FROM executions WHERE action_intent_id = id) FROM (
    SELECT action_intent_id AS id FROM unfinished
        WHERE action_intent_id >= ?2 AND tenant_id = ?1 AND status <> 'PENDING_APPROVAL' AND shadow = 0
        AND NOT EXISTS (SELECT 1 FROM executions e
            WHERE e.action_intent_id = unfinished.action_intent_id AND e.status = 'FAILED')
    UNION ALL SELECT action_intent_id FROM executions INDEXED BY executions_ended
        WHERE action_intent_id >= ?2 AND tenant_id = ?1 AND updated_at >= ?3
        AND status <> '' AND status <> 'RUNNING' AND status <> 'IN_DOUBT'
    ORDER BY 1) CROSS JOIN intents i ON i.action_intent_id = id
WHERE (?4 IS NULL OR i.connector_id = ?4) AND (?5 IS NULL OR i.action_type = ?5) ORDER BY id LIMIT ?6
"""


def runs_in_scope(
    connection: sqlite3.Connection, tenant_id: str, scope: str, since: str, limit: int, after: Position
) -> list[ContainedRun]:
    """Up to `limit` runs after a run's position, as they all are at one moment."""
    selected = _selected(tenant_id, scope)
    if selected is None:
        return []
    # Each intent has a run to list, but for the one that `after` names.
    rows = connection.execute(_IN_SCOPE, (tenant_id, after[0], since, *selected, limit + 1))
    found: list[ContainedRun] = []
    for action_intent_id, account_id, action_type, body in rows:
        ran = codec.execution(body) if body else codec.NEVER_RAN
        runs = contained_runs(action_intent_id, account_id, action_type, ran.attempt, ran.permits, ran.outcomes, since)
        found += [run for run in runs if run.position > after]
    return found[:limit]


def _selected(tenant_id: str, scope: str) -> tuple[str | None, str | None] | None:
    """The connector and the action type that a storage scope names for a tenant; None when it names no run of it."""
    own = f"tenant:{tenant_id}"
    if scope in ("global", own):
        return None, None
    part = scope.removeprefix(f"{own}/")
    for prefix, position in (("connector:", 0), ("action-type:", 1)):
        if part.startswith(prefix):
            name = part.removeprefix(prefix)
            return (name, None) if position == 0 else (None, name)
    return None


# -- registry, internal objects --------------------------------------------------------------------------------------

_ACTION_TYPES: Final = """
SELECT body FROM action_types e
WHERE tenant_id IN ('', ?) AND (action_type, tenant_id) > (?, ?) AND registry_version = (
    SELECT max(registry_version) FROM action_types WHERE tenant_id = e.tenant_id AND action_type = e.action_type)
ORDER BY action_type, tenant_id LIMIT ?
"""
_OBJECTS: Final = """
SELECT body FROM objects INDEXED BY objects_by_age
WHERE tenant_id = ?1 AND object_type = ?2 AND deleted = 0 AND (created_at, object_id) < (?3, ?4)
AND (?5 IS NULL OR account_id IN (SELECT value FROM json_each(?5)))
ORDER BY created_at DESC, object_id DESC LIMIT ?6
"""


def action_types(connection: sqlite3.Connection, tenant_id: str, limit: int, after: Position) -> tuple[ActionType, ...]:
    """Up to `limit` entries after a name and tenant."""
    return many(connection, _ACTION_TYPES, (tenant_id, *after, limit), codec.action_type)


def objects(
    connection: sqlite3.Connection,
    tenant_id: str,
    object_type: str,
    account_ids: tuple[str, ...] | None,
    limit: int,
    before: Position,
) -> tuple[InternalObject, ...]:
    """Up to `limit` objects before an instant and id, newest first."""
    accounts = None if account_ids is None else msgspec.json.encode(account_ids).decode()
    key = (tenant_id, object_type, *before, accounts, limit)
    return many(connection, _OBJECTS, key, codec.internal_object)
