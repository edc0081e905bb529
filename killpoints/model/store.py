"""The store of the model: what one commit does, and the conditions that refuse it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from enactor.domain.attempt import TERMINAL, ExecutionAttempt, RunStatus
from enactor.domain.permit import CallResult, WritePermit
from enactor.ports.commands import Command, RecordOutcome, SettlePermit, StartAttempt, TakePermit, UpdateAttempt
from killpoints.model.rules import Rule


class Stored(NamedTuple):
    """Everything that is durable. `switch` is a generation; odd ones are on."""

    attempt: ExecutionAttempt | None = None
    permits: tuple[WritePermit, ...] = ()
    outcomes: tuple[tuple[int, int, RunStatus], ...] = ()
    switch: int = 0
    violation: str = ""


class Refused(Exception):
    """A condition did not hold; nothing of the commit happened."""


def commit(stored: Stored, commands: Sequence[Command], rule_out: Rule | None) -> Stored:
    """What is durable after a commit. Raises `Refused`."""
    before = stored.attempt
    attempt = before
    for command in commands:
        match command:
            case StartAttempt():
                _start(before, command, rule_out)
                attempt = command.attempt
            case UpdateAttempt():
                _update(before, command, rule_out)
                attempt = command.attempt
    violation = stored.violation
    if before is not None and attempt is not None and before.run_number == attempt.run_number:
        changed = before.status in TERMINAL and attempt.status is not before.status
        violation = violation or (f"a run that was {before.status} became {attempt.status}" if changed else "")
    permits = {permit.call_no: permit for permit in stored.permits}
    outcomes = stored.outcomes
    for command in commands:
        match command:
            case TakePermit():
                late = _take(stored, attempt, permits, command, rule_out)
                violation = violation or late
                permits[command.permit.call_no] = command.permit
            case SettlePermit():
                _settle(attempt, permits, command, rule_out)
                permits[command.permit.call_no] = command.permit
            case RecordOutcome():
                found = command.outcome
                key = (found.run_number, found.outcome_revision, found.status)
                if any(known[:2] == key[:2] for known in outcomes) and rule_out is not Rule.FENCE:
                    raise Refused("the outcome exists")
                outcomes = (*outcomes, key)
    kept = tuple(permits[number] for number in sorted(permits))
    return Stored(attempt, kept, outcomes, stored.switch, violation)


def _start(before: ExecutionAttempt | None, command: StartAttempt, rule_out: Rule | None) -> None:
    if before is None or rule_out is Rule.ONE_LOCK:
        return
    follows = command.attempt.run_number == before.run_number + 1
    if not (follows and before.status in (RunStatus.FAILED, RunStatus.CANCELLED)):
        raise Refused("there is a lock")


def _update(before: ExecutionAttempt | None, command: UpdateAttempt, rule_out: Rule | None) -> None:
    if before is None or before.run_number != command.attempt.run_number:
        raise Refused("another run has the lock")
    if rule_out is Rule.FENCE:
        return
    if before.fence != command.expected_fence:
        raise Refused("stale fence")
    if before.status is not command.expected_status:
        raise Refused("another status")


def _take(
    stored: Stored,
    attempt: ExecutionAttempt | None,
    permits: dict[int, WritePermit],
    command: TakePermit,
    rule_out: Rule | None,
) -> str:
    """Raises `Refused`, or returns what is wrong with the permit though nothing refused it."""
    permit = command.permit
    if attempt is None:
        raise Refused("no lock")
    if rule_out is not Rule.FENCE and (attempt.fence, attempt.status) != (permit.fence, RunStatus.RUNNING):
        raise Refused("stale fence")
    taken = permit.call_no in permits or any(known.result is CallResult.OPEN for known in permits.values())
    if taken and rule_out is not Rule.ONE_LOCK:
        raise Refused("another permit is open")
    (mark,) = {mark.generation for mark in command.marks if mark.scope.startswith("tenant:") and "/" not in mark.scope}
    stopped = mark != stored.switch or stored.switch % 2 == 1
    if stopped and rule_out is not Rule.SWITCH:
        raise Refused("a switch")
    return "a permit was given after a switch" if stopped else ""


def _settle(
    attempt: ExecutionAttempt | None, permits: dict[int, WritePermit], command: SettlePermit, rule_out: Rule | None
) -> None:
    stored = permits.get(command.permit.call_no)
    if stored is None or (stored.result is not command.expected and rule_out is not Rule.FENCE):
        raise Refused("the permit is settled")
    fenced = command.expected_fence is not None and attempt is not None and attempt.fence != command.expected_fence
    if fenced and rule_out is not Rule.FENCE:
        raise Refused("stale fence")
