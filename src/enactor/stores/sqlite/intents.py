"""Conditions and effects: intents, decisions and `Idempotency-Key`s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.sqlite import codec, sql
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.state import Facts

_HOLDS_KEY: Final = frozenset({"PENDING_APPROVAL", "APPROVED"})
_PENDING: Final = "PENDING_APPROVAL"


def create_intent(book: Book, command: c.CreateIntent, body: str, unit: Unit) -> Iterator[None]:
    """Does `CreateIntent`."""
    intent = command.intent
    state = book.states.get_new(intent.action_intent_id)
    if state.facts is not None:
        raise Conflict(ConflictKind.VERSION_CHANGED, book.intent(intent.action_intent_id))
    facts = Facts.of(intent)
    if facts.status in _HOLDS_KEY:
        book.require_effect_key(intent.action_intent_id, facts)
    if facts.status == _PENDING and (
        book.shared.pending(facts.tenant_id, facts.proposed_by) >= command.max_pending_of_proposer
        or book.shared.pending(facts.tenant_id) >= command.max_pending_of_tenant
    ):
        raise Conflict(ConflictKind.TOO_MANY_PENDING)
    yield
    book.rows.add(
        sql.ADD_INTENT,
        (
            intent.action_intent_id,
            facts.tenant_id,
            intent.account_id,
            intent.action_type,
            intent.connector_id,
            facts.proposed_by,
            facts.status,
            facts.revision,
            body,
        ),
    )
    if facts.status in _HOLDS_KEY:
        book.claim(intent.action_intent_id, facts)
        book.shared.changed(intent.action_intent_id, state)
    if facts.status == _PENDING:
        book.shared.count_pending(facts.tenant_id, facts.proposed_by, 1)
    state.facts = facts
    book.news.intents.append(intent)


def update_intent(book: Book, command: c.UpdateIntent, body: str, unit: Unit) -> Iterator[None]:
    """Does `UpdateIntent`."""
    intent = command.intent
    state = book.states.get(intent.action_intent_id)
    stored = state.facts
    if stored is None or stored.tenant_id != intent.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    if stored.version != command.expected_version:
        raise Conflict(ConflictKind.VERSION_CHANGED, book.intent(intent.action_intent_id))
    if command.unstarted and state.attempt is not None:
        raise Conflict(ConflictKind.ALREADY_STARTED, state.attempt)
    facts = Facts.of(intent)
    holds = facts.status in _HOLDS_KEY
    claims = holds and facts.effect_key != stored.effect_key
    if claims:
        book.require_effect_key(intent.action_intent_id, facts)
    for mark in intent.switch_marks if command.check_marks else ():
        switch = book.shared.switches.get(mark.scope)
        if (switch.generation if switch else 0) != mark.generation:
            raise Conflict(ConflictKind.SWITCH_CHANGED, switch)
    yield
    if facts.revision != stored.revision:
        # The row that is about to be replaced is copied as it is in the database, so it has to be there.
        book.rows.flush()
        book.rows.add(sql.KEEP_REVISION, (intent.action_intent_id,))
    book.rows.add(
        sql.CHANGE_INTENT,
        (
            intent.action_intent_id,
            facts.status,
            facts.revision,
            body,
        ),
    )
    if claims or not holds:
        book.release(intent.action_intent_id, stored)
    if claims:
        book.claim(intent.action_intent_id, facts)
    state.restated = True
    book.shared.changed(intent.action_intent_id, state)
    for known, change in ((stored, -1), (facts, 1)):
        if known.status == _PENDING:
            book.shared.count_pending(known.tenant_id, known.proposed_by, change)
    state.facts = facts
    book.news.intents.append(intent)


def append_approval(book: Book, command: c.AppendApproval, body: str, unit: Unit) -> Iterator[None]:
    """Does `AppendApproval`."""
    approval = command.approval
    decisions = book.states.decisions(approval.action_intent_id)
    key = (approval.revision, approval.run_number, approval.decided_by)
    if key in decisions:
        stored = book.stored(
            "SELECT body FROM approvals WHERE action_intent_id = ? AND number = ?",
            (approval.action_intent_id, decisions[key]),
        )
        raise Conflict(ConflictKind.ALREADY_DECIDED, codec.approval(stored))
    yield
    number = decisions[key] = len(decisions) + 1
    book.rows.add(sql.ADD_APPROVAL, (approval.action_intent_id, number, body))


def reserve_request(book: Book, command: c.ReserveRequest, body: str, unit: Unit) -> Iterator[None]:
    """Does `ReserveRequest`."""
    request = command.request
    known = book.shared.request(request.tenant_id, request.principal, request.key)
    if known is not None:
        raise Conflict(ConflictKind.REQUEST_KEY_USED, known)
    yield
    book.shared.add_request(request, body)
