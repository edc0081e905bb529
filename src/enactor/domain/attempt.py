"""ExecutionAttempt: the lock, one per intent. Its owner is a run's name; its fence grows with every takeover."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from enactor.domain.intent import SwitchMark


class RunStatus(StrEnum):
    """`IN_DOUBT` is not terminal: it ends by a late result, a look-up or a resolve."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    IN_DOUBT = "IN_DOUBT"


TERMINAL: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})


class Phase(StrEnum):
    """Which of its two purposes a running run is at."""

    EFFECT = "EFFECT"
    COMPENSATION = "COMPENSATION"


class ExecutionAttempt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The lock and the progress of the current run.

    Attributes:
        fence: commands of an earlier fence are refused.
        attempt_count: calls permitted in this run.
        deferral_count: times a closed door put the run off.
        generation: of the idempotency key.
        resume_at: epoch milliseconds before which the run waits; 0 when it does not.
        deadline_at: epoch milliseconds past which the sweeper looks after the run.
        failed_reads: times the target could not be read before the first call.
        switch_marks: see `ActionIntent.switch_marks`; a replay takes new ones.
        waiting_for: why it waits, for people; empty when it does not.
    """

    action_intent_id: str
    tenant_id: str
    account_id: str
    action_type: str
    connector_id: str
    run_number: int
    owner: str
    fence: int
    status: RunStatus
    idempotency_key: str
    started_at: str
    updated_at: str
    trace_id: str
    attempt_count: int = 0
    last_attempt_id: str = ""
    last_error_class: str | None = None
    last_error_code: str | None = None
    last_error_message: str = ""
    generation: int = 0
    phase: Phase = Phase.EFFECT
    deferral_count: int = 0
    resume_at: int = 0
    deadline_at: int = 0
    waiting_for: str = ""
    failed_reads: int = 0
    switch_marks: tuple[SwitchMark, ...] = ()
