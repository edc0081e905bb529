"""Recover: the one way of coming back, whatever was in between: a restart, a takeover, an engine's retry, a timeout."""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import TERMINAL, Phase, RunStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult, Purpose, SettledBy, WritePermit, collides, done_by, in_doubt, of_purpose
from enactor.pipeline import partial
from enactor.pipeline.invoke import invoke_tool
from enactor.pipeline.model import (
    Context,
    Continue,
    Duplicate,
    Earlier,
    End,
    Reads,
    Run,
    Turn,
    Wait,
    with_attempt,
    with_permit,
)
from enactor.pipeline.preflight import effect_is_known
from enactor.pipeline.record import collision
from enactor.ports.commands import Command, SettlePermit, UpdateAttempt
from enactor.ports.tools import Reply


def recover(run: Run, reads: Reads, ctx: Context, earlier: Earlier, held_fence: int = 0) -> Turn:
    """What to do with a run that somebody comes back to.

    Args:
        run: as the store knows it now.
        earlier: what is known about its earlier holder.
        held_fence: SELF: the fence the holder had; a greater one now means that somebody else took over.

    Returns:
        Continue when the run goes on at MapActionToTool, or what has to happen instead.
    """
    lock = run.lock
    if lock.run_number == run.run_number and compensation_in_doubt(run):
        return _look_for_compensation(run, reads, ctx)
    if lock.run_number != run.run_number or lock.status in TERMINAL:
        return Duplicate(run=run, reason="the run is over")
    if lock.status is RunStatus.IN_DOUBT:
        return _look_again(run, reads, ctx)
    if earlier is Earlier.SELF:
        if lock.fence != held_fence:
            return Duplicate(run=run, reason="somebody else has taken the run over")
        if not any(permit.result is CallResult.OPEN for permit in run.permits):
            return _go_on(run, reads, ctx, ())
    elif earlier is Earlier.UNKNOWN and ctx.now_ms() < lock.deadline_at:
        return Wait(run=run, commands=(), until=lock.deadline_at, reason="somebody else has the run")
    return _take_over(run, reads, ctx, earlier)


def _look_again(run: Run, reads: Reads, ctx: Context) -> Turn:
    effect = of_purpose(run.permits, Purpose.EFFECT)
    settled = done_by(effect, Purpose.EFFECT) is not None or not any(in_doubt(permit) for permit in effect)
    if not settled and not reads.intent.write_semantics.has_lookup:
        return Duplicate(run=run, reason="the run is in doubt, and a person has to resolve it")
    if not settled and ctx.now_ms() < run.lock.deadline_at:
        return Duplicate(run=run, reason="the run is in doubt, and its next look-up is not due")
    return invoke_tool(run, reads, ctx)


def compensation_in_doubt(run: Run) -> bool:
    """Whether the run is over, and it is not known whether its partial effect was taken back."""
    calls = of_purpose(run.permits, Purpose.COMPENSATION)
    return run.lock.status is RunStatus.FAILED and any(in_doubt(permit) for permit in calls)


def _look_for_compensation(run: Run, reads: Reads, ctx: Context) -> Turn:
    """The run stays FAILED whatever is found; what is learned is another revision of its outcome."""
    semantics = reads.intent.compensation.write_semantics
    if semantics is None or not semantics.has_lookup:
        return Duplicate(run=run, reason="its compensation is in doubt, and a person has to resolve it")
    if ctx.now_ms() < run.lock.deadline_at:
        return Duplicate(run=run, reason="its compensation is in doubt, and its next look-up is not due")
    return invoke_tool(run, reads, ctx)


def _take_over(run: Run, reads: Reads, ctx: Context, earlier: Earlier) -> Turn:
    lock = run.lock
    resumed_at = max(ctx.now_ms(), lock.resume_at)
    run = with_attempt(run, fence=lock.fence + 1, updated_at=ctx.now(), deadline_at=resumed_at + ctx.settings.grace_ms)
    commands: list[Command] = [UpdateAttempt(attempt=run.lock, expected_fence=lock.fence)]
    for permit in run.permits:
        if permit.result is CallResult.OPEN:
            unknown = msgspec.structs.replace(
                permit,
                result=CallResult.UNKNOWN,
                taken_over=earlier is not Earlier.SELF,
                caller_dead=earlier is Earlier.DEAD,
                # Whoever died, or comes back to a call of its own, has sent nothing since.
                gone_by=0 if earlier is Earlier.UNKNOWN else ctx.now_ms(),
            )
            commands.append(SettlePermit(permit=unknown, expected_fence=run.lock.fence))
            run = with_permit(run, unknown)
    commands.append(
        ctx.entry(
            run,
            reads.intent,
            LedgerEvent.LEASE_TAKEN_OVER,
            {
                "fence": run.lock.fence,
                "earlier_caller": earlier,
                "unknown_calls": [permit.call_no for permit in run.permits if in_doubt(permit)],
            },
        )
    )
    return _go_on(run, reads, ctx, tuple(commands))


def _go_on(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
    if effect_is_known(run) or run.lock.phase is Phase.COMPENSATION:
        return invoke_tool(run, reads, ctx, commands)
    return Continue(run=run, commands=commands)


def late_result(run: Run, reads: Reads, ctx: Context, permit: WritePermit, reply: Reply) -> Turn:
    """Takes the reply of a caller that was fenced off meanwhile.

    It settles a run in doubt. Where people or a look-up have since said that nothing happened and the reply says
    otherwise, it is an incident: recorded, never papered over.

    Args:
        run: as the store knows it now.
        permit: the permit as the late caller held it.
    """
    stored = next((kept for kept in run.permits if kept.call_no == permit.call_no), permit)
    known = done_by(run.permits, permit.purpose)
    done = reply.result is CallResult.DONE
    refs = known.external_object_refs if known is not None else ()
    collided = done and collides(refs, reply.refs)
    confirmed = bool(refs and reply.refs) and not collided
    commands: list[Command] = [
        ctx.entry(
            run,
            reads.intent,
            LedgerEvent.LATE_RESULT,
            {
                "call_no": permit.call_no,
                "fence": permit.fence,
                "purpose": permit.purpose,
                "result": reply.result,
                "external_object_refs": [list(ref.identity) for ref in reply.refs],
                "incident": collided or (done and not confirmed and _was_denied(run, stored, known)),
            },
        )
    ]
    if collided:
        reported = msgspec.structs.replace(permit, external_object_refs=reply.refs)
        commands.append(collision(run, reads.intent, ctx, reported, refs))
    # What was denied becomes known; what was established otherwise is never overwritten.
    news = in_doubt(stored) or (done and known is None)
    if stored.result is CallResult.UNKNOWN and reply.result is not CallResult.UNKNOWN and news and not collided:
        settled = msgspec.structs.replace(
            stored,
            result=reply.result,
            external_object_refs=reply.refs,
            partial=reply.partial,
            retryable=reply.retryable,
            error_code=reply.error_code,
            settled_by=SettledBy.LATE_RESULT,
        )
        commands.append(SettlePermit(permit=settled, expected=CallResult.UNKNOWN))
        run = with_permit(run, settled)
        if run.lock.run_number == permit.run_number:
            return _settled_late(run, reads, ctx, permit.purpose, tuple(commands))
    return End(run=run, commands=tuple(commands))


def _was_denied(run: Run, stored: WritePermit, known: WritePermit | None) -> bool:
    """Whether the records say that a call which has now turned out to be DONE had no effect."""
    if stored.settled_by is SettledBy.LOOKUP_ABSENT:
        return True
    denied = stored.settled_by is SettledBy.RESOLVED or run.lock.status in TERMINAL - {RunStatus.SUCCEEDED}
    return denied and known is None and stored.purpose is Purpose.EFFECT


def _settled_late(run: Run, reads: Reads, ctx: Context, purpose: Purpose, commands: tuple[Command, ...]) -> Turn:
    if purpose is Purpose.COMPENSATION:
        over = run.lock.status is RunStatus.FAILED
        return partial.learned(run, reads, ctx, commands) if over else End(run=run, commands=commands)
    in_question = any(in_doubt(permit) for permit in of_purpose(run.permits, purpose))
    if run.lock.status is RunStatus.IN_DOUBT and (effect_is_known(run) or not in_question):
        return invoke_tool(run, reads, ctx, commands)
    return End(run=run, commands=commands)
