"""What steps take and give. One `Run` is both the output of a step and the input of the next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.attempt import ExecutionAttempt
from enactor.domain.intent import ActionIntent
from enactor.domain.kill_switch import KillSwitch
from enactor.domain.ledger import LedgerEvent, record
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import WritePermit
from enactor.domain.time import rfc3339
from enactor.ports.clock import Clock, Ids, Randomness
from enactor.ports.commands import AppendLedger, Command
from enactor.ports.store import ExecutionRecords
from enactor.ports.tools import CallRequest, ToolDefinition

SYSTEM_ACTOR = "enactor"


class Original(Struct, frozen=True, kw_only=True):
    """The run that an undo takes back: its intent, and the latest revision of its outcome."""

    intent: ActionIntent
    outcome: ActionOutcome


class Run(Struct, frozen=True, kw_only=True, gc=False):
    """Where a run stands. Everything in it can be read back from the store.

    Attributes:
        attempt: the lock; None until StartExecution has taken it.
        permits: every permit of the intent, over all its runs and both purposes.
        outcome_revision: the latest outcome revision of this run; 0 before there is one.
        absent_at: when a look-up since the last call found nothing (epoch milliseconds); never stored.
        cannot_tell: a look-up since the last call could not tell; never stored.
        target_read: the target was read since the last call, and is as it was approved; never stored.
        original: the run that an undo takes back.
    """

    action_intent_id: str
    tenant_id: str
    run_number: int
    attempt: ExecutionAttempt | None = None
    permits: tuple[WritePermit, ...] = ()
    outcome_revision: int = 0
    absent_at: int | None = None
    cannot_tell: bool = False
    target_read: bool = False
    original: Original | None = None

    @property
    def lock(self) -> ExecutionAttempt:
        """The attempt, once StartExecution has taken it."""
        if self.attempt is None:
            raise RuntimeError("StartExecution comes first")
        return self.attempt

    @staticmethod
    def of(records: ExecutionRecords, run_number: int) -> Run:
        """The run as the store knows it."""
        outcome = records.outcome
        return Run(
            action_intent_id=records.intent.action_intent_id,
            tenant_id=records.intent.tenant_id,
            run_number=run_number,
            attempt=records.attempt,
            permits=records.permits,
            outcome_revision=outcome.outcome_revision if outcome and outcome.run_number == run_number else 0,
        )


class Reads(Struct, frozen=True, kw_only=True, gc=False):
    """What a step may look at: read before it, held against the store again by the conditions of its commands.

    Attributes:
        entry: the pinned registry entry, or None when it is gone.
        tool: the tool as declared now, or None when it is gone.
        undo_tool: the compensating tool as declared now.
        connector_version: of the configuration that serves the intent's tenant and account now.
        switches: the kill switches that apply and were ever set, by scope.
        budget_exceeded: a start was refused because a budget has no room.
        cancel_requested: somebody asked to cancel this run.
    """

    intent: ActionIntent
    entry: ActionType | None
    tool: ToolDefinition | None
    undo_tool: ToolDefinition | None = None
    switches: dict[str, KillSwitch] = {}
    budget_exceeded: bool = False
    cancel_requested: bool = False
    connector_version: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """Durations of the protocol, in milliseconds, and its limits.

    Attributes:
        max_pause_ms: the longest pause between a caller's check and its send that is assumed possible.
        call_window_ms: how long after its permit a call may be sent.
        grace_ms: how long past its deadline a run is left to its holder.
        backoff_ms: the first wait before a retry; doubles each time, up to `backoff_cap_ms`.
        max_deferrals: how often closed doors may put one run off.
        look_up_patience_ms: how long after its calls a run waits for a door that puts its look-ups off, before it is in
            doubt.
        doubt_look_up_ms: how long after it fell in doubt a run is looked up again; doubles each time.
    """

    max_pause_ms: int = 60_000
    call_window_ms: int = 5_000
    grace_ms: int = 30_000
    backoff_ms: int = 2_000
    backoff_cap_ms: int = 300_000
    max_deferrals: int = 200
    look_up_patience_ms: int = 600_000
    doubt_look_up_ms: int = 60_000


class Context:
    """The injected world of a step: time, ids, randomness and settings."""

    def __init__(self, clock: Clock, ids: Ids, randomness: Randomness, settings: Settings) -> None:
        self.clock = clock
        self.ids = ids
        self.randomness = randomness
        self.settings = settings
        self.now_ms = clock.now_ms

    def now(self) -> str:
        """Now, as RFC 3339."""
        return rfc3339(self.now_ms())

    def entry(self, run: Run, intent: ActionIntent, event: LedgerEvent, data: dict[str, Any]) -> AppendLedger:
        """A ledger entry about a run."""
        return AppendLedger(
            record=record(
                entry_id=self.ids.new(),
                salt=self.randomness.bytes(16),
                tenant_id=intent.tenant_id,
                account_id=intent.account_id,
                event_type=event,
                timestamp=rfc3339(self.now_ms()),
                actor=SYSTEM_ACTOR,
                trace_id=run.attempt.trace_id if run.attempt else intent.trace_id,
                decision_trace_id=intent.trace_id,
                action_intent_id=intent.action_intent_id,
                run_number=run.run_number,
                data=data,
                from_outside=False,
            )
        )


class Continue(Struct, frozen=True, kw_only=True, gc=False):
    """Go on with the next step; nothing has to be durable yet."""

    run: Run
    commands: tuple[Command, ...] = ()


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """Commit, then make this one call, then settle it. `permit` is open in `run`."""

    run: Run
    commands: tuple[Command, ...]
    request: CallRequest
    permit: WritePermit


class LookUp(Struct, frozen=True, kw_only=True, gc=False):
    """Commit, then search the target by our key, then go on with what was found."""

    run: Run
    commands: tuple[Command, ...]
    request: CallRequest


class ReadTarget(Struct, frozen=True, kw_only=True):
    """Commit, then read the target, changing nothing; then go on with what was read.

    `back`: read back by our key what an earlier run made (a look-up), in place of asking for the tool's preview.
    """

    run: Run
    commands: tuple[Command, ...]
    request: CallRequest
    back: bool = False


class Wait(Struct, frozen=True, kw_only=True, gc=False):
    """Commit, then come back through Recover at `until` (epoch milliseconds), or earlier."""

    run: Run
    commands: tuple[Command, ...]
    until: int
    reason: str


class End(Struct, frozen=True, kw_only=True, gc=False):
    """Commit; the run has ended, or is in doubt."""

    run: Run
    commands: tuple[Command, ...]


class Duplicate(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing to do: somebody else has the run, or it is over. A duplicate changes nothing."""

    run: Run
    reason: str


Turn = Continue | Call | LookUp | ReadTarget | Wait | End | Duplicate


class Earlier(StrEnum):
    """What is known about whoever held a run before it comes back."""

    SELF = "SELF"
    """The very holder comes back after a wait or a call of its own."""
    DEAD = "DEAD"
    """Proven dead: embedded, its file lock is free."""
    UNKNOWN = "UNKNOWN"
    """May be alive, or paused."""


def with_attempt(run: Run, **changes: Any) -> Run:
    """`run` with its attempt changed."""
    return msgspec.structs.replace(run, attempt=msgspec.structs.replace(run.lock, **changes))


def with_permit(run: Run, permit: WritePermit) -> Run:
    """`run` with one permit added or replaced. A new call makes earlier look-ups worthless."""
    others = [known for known in run.permits if known.call_no != permit.call_no]
    permits = tuple(sorted([*others, permit], key=attrgetter("call_no"))) if others else (permit,)
    return msgspec.structs.replace(run, permits=permits, absent_at=None, cannot_tell=False, target_read=False)


def calls_of_this_run(permits: Sequence[WritePermit], run: Run) -> int:
    """How many of the permits are of the run's own number."""
    return len([permit for permit in permits if permit.run_number == run.run_number])


def call_numbers(permits: Sequence[WritePermit]) -> int:
    """The number of the next call."""
    return max([permit.call_no for permit in permits]) + 1 if permits else 1
