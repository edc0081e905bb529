"""What a containment report says of a run (specification, section 8): plain functions of what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import CallResult, WritePermit, in_doubt
from enactor.domain.time import rfc3339


class Containment(StrEnum):
    """What became of a run in a switch's scope."""

    EXECUTED = "executed"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class ContainedRun(Struct, frozen=True, kw_only=True):
    """One run in the scope. `open_until` (RFC 3339) is when an open permit's call can no longer be sent."""

    action_intent_id: str
    run_number: int
    account_id: str
    action_type: str
    containment: Containment
    status: str
    open_until: str | None = None

    @property
    def position(self) -> tuple[str, int]:
        """Its place in a report."""
        return self.action_intent_id, self.run_number


def containment_of(status: RunStatus | None, permits: Sequence[WritePermit]) -> Containment:
    """What became of a run, given its own permits; `status` is None before it started."""
    if status is RunStatus.IN_DOUBT or any(in_doubt(permit) for permit in permits):
        return Containment.UNKNOWN
    if status is RunStatus.SUCCEEDED or any(permit.result is CallResult.DONE for permit in permits):
        return Containment.EXECUTED
    return Containment.BLOCKED


def open_until(permits: Iterable[WritePermit]) -> int:
    """Until when a call of these may be sent, epoch milliseconds; 0 when none is open."""
    return max((permit.call_not_after for permit in permits if permit.result is CallResult.OPEN), default=0)


def current_permits(attempt: ExecutionAttempt | None, permits: Iterable[WritePermit]) -> tuple[WritePermit, ...]:
    """The current run's own. What a restore forgot, call 0, is a doubt about it too."""
    current = attempt.run_number if attempt else 1
    return tuple(permit for permit in permits if permit.run_number in (0, current))


def contained_runs(
    action_intent_id: str,
    account_id: str,
    action_type: str,
    attempt: ExecutionAttempt | None,
    permits: Sequence[WritePermit],
    outcomes: Iterable[ActionOutcome],
    since: str,
) -> list[ContainedRun]:
    """The runs of an intent, in their order: the current one, and each before it that ended at or after `since`.

    Args:
        attempt: the current run; None before the first one started.
        outcomes: of every run, in the order of their revisions.
        since: RFC 3339 as `enactor.domain.time.normal` writes it.
    """
    number = attempt.run_number if attempt else 1
    before = {
        outcome.run_number: outcome
        for outcome in outcomes
        if outcome.run_number < number and outcome.completed_at >= since
    }

    def contained(run_number: int, status: RunStatus | None, own: Sequence[WritePermit]) -> ContainedRun:
        until = open_until(own)
        return ContainedRun(
            action_intent_id=action_intent_id,
            run_number=run_number,
            account_id=account_id,
            action_type=action_type,
            containment=containment_of(status, own),
            status=status.value if status else "PENDING",
            open_until=rfc3339(until) if until else None,
        )

    return [
        *(
            contained(run_number, outcome.status, [permit for permit in permits if permit.run_number == run_number])
            for run_number, outcome in sorted(before.items())
        ),
        contained(number, attempt.status if attempt else None, current_permits(attempt, permits)),
    ]
