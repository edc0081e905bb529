"""Conditions and effects: erasing what is stored about an intent.

What else the batch does to the intent has to be in the database first, because whole records are read and written
again here. It is rare, so it may be slow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from enactor.domain import erasure
from enactor.domain.intent import ActionIntent
from enactor.domain.permit import CallResult, WritePermit
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.ports.store import LedgerFilter
from enactor.stores.sqlite import codec, ledger_reads, point_reads
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.state import Facts, IntentState

_ALL: Final = 1 << 30
_DROP_REQUESTS: Final = (
    "DELETE FROM requests WHERE tenant_id = ? AND principal = ? AND json_extract(body, '$.action_intent_id') = ?"
)
_MADE: Final = "SELECT object_id, body FROM objects WHERE tenant_id = ? AND creation_key = ?"
_PUT_MADE: Final = (
    "UPDATE objects SET deleted = 1, creation_key = ?3, body = ?4 WHERE tenant_id = ?1 AND object_id = ?2"
)


def erase_intent(book: Book, command: c.EraseIntent, body: str, unit: Unit) -> Iterator[None]:
    """Does `EraseIntent`."""
    name = command.action_intent_id
    state = book.states.get(name)
    facts = state.facts
    if facts is None or facts.tenant_id != command.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    intent = book.intent(name)
    permits = {**state.permits, **unit.settled}
    if not erasure.is_over(intent, state.attempt) or any(it.result is CallResult.OPEN for it in permits.values()):
        raise Conflict(ConflictKind.STATUS_CHANGED, state.attempt)
    yield
    book.release(name, facts)
    book.rows.flush()
    connection = book.rows.connection
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    _erase_objects(connection, intent)
    _erase_intent(connection, intent, command.erased_at)
    _erase_entries(connection, intent)
    left = erasure.erased_intent(intent, command.erased_at)
    state.facts = Facts.of(left)
    _erase_execution(state)
    book.shared.changed(name, state)
    book.news.intents.append(left)


def _erase_intent(connection: sqlite3.Connection, intent: ActionIntent, erased_at: str) -> None:
    """The intent, its revisions, decisions and request keys."""
    name = intent.action_intent_id
    left = codec.text_of(erasure.erased_intent(intent, erased_at))
    connection.execute("UPDATE intents SET body = ?2 WHERE action_intent_id = ?1", (name, left))
    query = "SELECT body FROM earlier_revisions WHERE action_intent_id = ?"
    for earlier in point_reads.many(connection, query, (name,), codec.intent):
        connection.execute(
            "UPDATE earlier_revisions SET body = ?3 WHERE action_intent_id = ?1 AND revision = ?2",
            (name, earlier.revision, codec.text_of(erasure.erased_intent(earlier, erased_at))),
        )
    for number, said in connection.execute("SELECT number, body FROM approvals WHERE action_intent_id = ?", (name,)):
        connection.execute(
            "UPDATE approvals SET body = ?3 WHERE action_intent_id = ?1 AND number = ?2",
            (name, number, codec.text_of(erasure.erased_approval(codec.approval(said)))),
        )
    for who in {str(intent.proposed_by), *map(str, intent.contributors)}:
        connection.execute(_DROP_REQUESTS, (intent.tenant_id, who, name))


def _erase_execution(state: IntentState) -> None:
    """The lock, the permits and the outcomes, in memory; the batch's next flush writes their row."""
    if state.written is None:
        return
    kept = state.written
    if state.attempt is not None:
        state.attempt = erasure.erased_attempt(state.attempt)
        kept.attempt = codec.text_of(state.attempt)
    state.permits = {at: erasure.erased_permit(permit) for at, permit in state.permits.items()}
    kept.permits = {at: codec.text_of(permit) for at, permit in state.permits.items()}
    kept.outcomes = {
        at: codec.text_of(erasure.erased_outcome(codec.outcome(body))) for at, body in kept.outcomes.items()
    }


def _erase_objects(connection: sqlite3.Connection, intent: ActionIntent) -> None:
    """The internal objects that the intent's keys made; before the keys themselves."""
    records = point_reads.execution(connection, intent.tenant_id, intent.action_intent_id)
    permits: tuple[WritePermit, ...] = records.permits if records is not None else ()
    keys = {permit.idempotency_key for permit in permits}
    if records is not None and records.attempt is not None:
        keys.add(records.attempt.idempotency_key)
    for key in sorted(keys):
        for object_id, stored in connection.execute(_MADE, (intent.tenant_id, key)).fetchall():
            gone = f"{erasure.ERASED_KEY}:{object_id}"
            left = codec.text_of(replace(codec.internal_object(stored), body={}, creation_key=gone))
            connection.execute(_PUT_MADE, (intent.tenant_id, object_id, gone, left))


def _erase_entries(connection: sqlite3.Connection, intent: ActionIntent) -> None:
    """Data and salt of the ledger's entries so far."""
    where = LedgerFilter(action_intent_id=intent.action_intent_id)
    entries = ledger_reads.entries(connection, intent.tenant_id, where, _ALL, 0)
    positions = [(entry.position,) for entry in entries]
    connection.executemany("UPDATE ledger SET data = '', salt = '' WHERE position = ?", positions)
