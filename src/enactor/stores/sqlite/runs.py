"""Conditions and effects: locks, permits and outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.kill_switch import stopped_by
from enactor.domain.permit import CallResult, Purpose, WritePermit
from enactor.ports import commands as c
from enactor.ports.commands import Conflict, ConflictKind
from enactor.stores.sqlite import codec
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.state import IntentState

_GIVES_KEY_BACK: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})
_MAY_RUN_AGAIN: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


def start_attempt(book: Book, command: c.StartAttempt, body: str, unit: Unit) -> Iterator[None]:
    """Does `StartAttempt`."""
    attempt = command.attempt
    state = book.states.get(attempt.action_intent_id)
    stored, facts = state.attempt, state.facts
    if stored is not None and not (attempt.run_number == stored.run_number + 1 and stored.status in _MAY_RUN_AGAIN):
        same = stored.owner == attempt.owner
        raise Conflict(ConflictKind.STARTED_BY_SAME_OWNER if same else ConflictKind.STARTED_BY_OTHER_OWNER, stored)
    if facts is None or facts.tenant_id != attempt.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    if (
        facts.status != "APPROVED"
        or facts.version != command.intent_version
        or facts.revision != command.revision
        or facts.approval_digest != command.approval_digest
    ):
        raise Conflict(ConflictKind.APPROVAL_STALE, book.intent(attempt.action_intent_id))
    if stored is None and attempt.run_number != 1:
        raise Conflict(ConflictKind.STATUS_CHANGED)
    if command.charge_budget:
        for budget in book.shared.budgets_of(attempt.tenant_id, attempt.action_type):
            if book.shared.used(budget, command.now_ms) >= budget.max_executions:
                raise Conflict(ConflictKind.BUDGET_EXCEEDED, budget)
    if stored is not None:
        book.require_effect_key(attempt.action_intent_id, facts)
    yield
    if command.charge_budget:
        second = book.shared.charge(attempt.tenant_id, attempt.action_type, command.now_ms)
        # A new row carries its charge with it, until it is counted with many others.
        if state.number or state.charged_second:
            book.shared.count_start(attempt.tenant_id, second, attempt.action_type)
        else:
            state.charged_second = second
    if stored is not None:
        book.claim(attempt.action_intent_id, facts)
    _hold_attempt(book, state, attempt, body)


def update_attempt(book: Book, command: c.UpdateAttempt, body: str, unit: Unit) -> Iterator[None]:
    """Does `UpdateAttempt`."""
    attempt = command.attempt
    state = book.states.get(attempt.action_intent_id)
    stored = state.attempt
    if stored is None or stored.tenant_id != attempt.tenant_id:
        raise Conflict(ConflictKind.NOT_FOUND)
    if stored.fence != command.expected_fence or stored.run_number != attempt.run_number:
        raise Conflict(ConflictKind.STALE_FENCE, stored)
    if stored.status is not command.expected_status:
        raise Conflict(ConflictKind.STATUS_CHANGED, stored)
    yield
    _hold_attempt(book, state, attempt, body)


def take_permit(book: Book, command: c.TakePermit, body: str, unit: Unit) -> Iterator[None]:
    """Does `TakePermit`."""
    permit = command.permit
    state = book.states.get(permit.action_intent_id)
    attempt = unit.attempts.get(permit.action_intent_id, state.attempt)
    if attempt is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    if attempt.fence != permit.fence or attempt.run_number != permit.run_number:
        raise Conflict(ConflictKind.STALE_FENCE, attempt)
    if attempt.status is not RunStatus.RUNNING:
        raise Conflict(ConflictKind.STATUS_CHANGED, attempt)
    for known in ({**state.permits, **unit.settled}).values() if state.permits else ():
        if known.call_no == permit.call_no or known.result is CallResult.OPEN:
            raise Conflict(ConflictKind.PERMIT_TAKEN, known)
    compensates = permit.purpose is Purpose.COMPENSATION
    if book.shared.switches:
        scope = stopped_by(command.marks, book.shared.switches, for_compensation=compensates)
        if scope is not None:
            raise Conflict(ConflictKind.SWITCH_CHANGED, book.shared.switches[scope])
    if not compensates and state.written and permit.run_number in state.written.cancels:
        raise Conflict(ConflictKind.CANCEL_REQUESTED)
    yield
    _hold_permit(book, state, permit, body)


def settle_permit(book: Book, command: c.SettlePermit, body: str, unit: Unit) -> Iterator[None]:
    """Does `SettlePermit`."""
    permit = command.permit
    state = book.states.get(permit.action_intent_id)
    stored = state.permits.get(permit.call_no)
    if stored is None:
        raise Conflict(ConflictKind.NOT_FOUND)
    if command.expected_fence is not None:
        attempt = unit.attempts.get(permit.action_intent_id, state.attempt)
        if attempt is None:
            raise Conflict(ConflictKind.NOT_FOUND)
        if attempt.fence != command.expected_fence:
            raise Conflict(ConflictKind.STALE_FENCE, attempt)
    if stored.result is not command.expected:
        raise Conflict(ConflictKind.PERMIT_SETTLED, stored)
    yield
    _hold_permit(book, state, permit, body)


def doubt_after_restore(book: Book, command: c.DoubtAfterRestore, body: str, unit: Unit) -> Iterator[None]:
    """Does `DoubtAfterRestore`."""
    permit = command.permit
    state = book.states.get(permit.action_intent_id)
    yield
    _hold_permit(book, state, permit, body)


def request_cancel(book: Book, command: c.RequestCancel, body: str, unit: Unit) -> Iterator[None]:
    """Does `RequestCancel`."""
    state = book.states.get(command.action_intent_id)
    yield
    state.bodies.cancels[command.run_number] = body
    book.shared.changed(command.action_intent_id, state)


def record_outcome(book: Book, command: c.RecordOutcome, body: str, unit: Unit) -> Iterator[None]:
    """Does `RecordOutcome`."""
    outcome = command.outcome
    state = book.states.get(outcome.action_intent_id)
    key = (outcome.run_number, outcome.outcome_revision)
    stored = state.written.outcomes.get(key) if state.written else None
    if stored is not None:
        raise Conflict(ConflictKind.OUTCOME_EXISTS, codec.outcome(stored))
    yield
    state.bodies.outcomes[key] = body
    book.shared.changed(outcome.action_intent_id, state)


def release_effect_key(book: Book, command: c.ReleaseEffectKey, body: str, unit: Unit) -> Iterator[None]:
    """Does `ReleaseEffectKey`."""
    facts = book.states.get(command.action_intent_id).facts
    yield
    if facts is not None and facts.tenant_id == command.tenant_id:
        book.release(command.action_intent_id, facts)


def _hold_permit(book: Book, state: IntentState, permit: WritePermit, body: str) -> None:
    state.permits[permit.call_no] = permit
    state.bodies.permits[permit.call_no] = body
    book.shared.changed(permit.action_intent_id, state)


def _hold_attempt(book: Book, state: IntentState, attempt: ExecutionAttempt, body: str) -> None:
    state.attempt = attempt
    state.bodies.attempt = body
    book.shared.changed(attempt.action_intent_id, state)
    if attempt.status in _GIVES_KEY_BACK and state.facts is not None:
        book.release(attempt.action_intent_id, state.facts)
