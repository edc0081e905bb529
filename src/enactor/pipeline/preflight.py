"""ValidatePreflight: whether a run may take a permit now. Asked before the first one, and again before every other."""

from __future__ import annotations

from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.intent import is_expired
from enactor.domain.kill_switch import stopped_by
from enactor.domain.permit import CallResult, Purpose, done_by, of_purpose
from enactor.pipeline.model import Context, Continue, Reads, Run, Turn
from enactor.pipeline.record import Ending, finish


class Refusal(Struct, frozen=True):
    """Why no permit may be taken, and how the run ends for it if nothing is in doubt."""

    status: RunStatus
    code: FailureCode
    error_class: ErrorClass
    message: str

    def ending(self) -> Ending:
        """The ending that records it."""
        return Ending(self.status, code=self.code.value, error_class=self.error_class, message=self.message)


def refusal(run: Run, reads: Reads, ctx: Context, purpose: Purpose = Purpose.EFFECT) -> Refusal | None:
    """Why `run` may not take a permit now, or None.

    Expiry is decided once, at the first permit: a run that has called may go on past it. Being put off by a closed
    door is not calling.
    """
    effect = purpose is Purpose.EFFECT
    scope = stopped_by(run.lock.switch_marks, reads.switches, for_compensation=not effect)
    if scope is not None:
        switch = reads.switches[scope]
        state = "is on" if switch.enabled else "was on since this run was authorised"
        return Refusal(
            RunStatus.CANCELLED,
            FailureCode.KILL_SWITCH_ENABLED,
            ErrorClass.VALIDATION,
            f"The kill switch {public_scope(scope)} {state}; nothing was called after it.",
        )
    if not effect:
        return None
    if reads.cancel_requested:
        return Refusal(
            RunStatus.CANCELLED,
            FailureCode.CANCELLED_BY_REQUEST,
            ErrorClass.VALIDATION,
            "The run was cancelled on request before its next call.",
        )
    if is_expired(reads.intent, ctx.now_ms()) and not _has_called(run):
        return Refusal(
            RunStatus.EXPIRED,
            FailureCode.INTENT_EXPIRED,
            ErrorClass.VALIDATION,
            "The intent expired before its first call; propose it again.",
        )
    return None


def _has_called(run: Run) -> bool:
    calls = [p for p in of_purpose(run.permits, Purpose.EFFECT) if p.run_number == run.run_number]
    put_off = run.lock.deferral_count > 0 and all(permit.result is CallResult.NOT_SENT for permit in calls)
    return bool(calls) and not put_off


def public_scope(scope: str) -> str:
    """A storage scope as its tenant knows it."""
    if scope.startswith("tenant:"):
        return scope.partition("/")[2] or "tenant"
    return scope if scope == "global" else f"platform:{scope}"


def effect_is_known(run: Run) -> bool:
    """Whether an earlier call, of whatever run, has done it: then nothing is called, and nothing can be refused."""
    return done_by(run.permits, Purpose.EFFECT) is not None


def validate_preflight(run: Run, reads: Reads, ctx: Context) -> Turn:
    """Ends the run before any call, if it may not go on."""
    if effect_is_known(run):
        return Continue(run=run)
    if run.lock.last_error_code == FailureCode.BUDGET_EXCEEDED:
        ending = Ending(
            RunStatus.FAILED,
            code=FailureCode.BUDGET_EXCEEDED.value,
            error_class=ErrorClass.RATE_LIMIT,
            message="A budget of the tenant has no room for this execution in the current window.",
        )
        return finish(run, reads, ctx, ending)
    reason = refusal(run, reads, ctx)
    return Continue(run=run) if reason is None else finish(run, reads, ctx, reason.ending())
