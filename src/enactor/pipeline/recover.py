"""Recover: the one way of coming back, whatever was in between: a restart, a takeover, an engine's retry, a timeout."""

from __future__ import annotations

import msgspec

from enactor.domain.attempt import TERMINAL, Phase, RunStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult, Purpose, SettledBy, WritePermit, collides, in_doubt, of_purpose
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
    if lock.run_number != run.run_number or lock.status in TERMINAL:
        return Duplicate(run=run, reason="the run is over")
    if lock.status is RunStatus.IN_DOUBT:
        if not reads.intent.write_semantics.has_lookup:
            return Duplicate(run=run, reason="the run is in doubt, and a person has to resolve it")
        return invoke_tool(run, reads, ctx)
    if earlier is Earlier.SELF:
        if lock.fence != held_fence:
            return Duplicate(run=run, reason="somebody else has taken the run over")
        if not any(permit.result is CallResult.OPEN for permit in run.permits):
            return _go_on(run, reads, ctx, ())
    elif earlier is Earlier.UNKNOWN and ctx.now_ms() < lock.deadline_at:
        return Wait(run=run, commands=(), until=lock.deadline_at, reason="somebody else has the run")
    return _take_over(run, reads, ctx, earlier)


def _take_over(run: Run, reads: Reads, ctx: Context, earlier: Earlier) -> Turn:
    lock = run.lock
    run = with_attempt(
        run, fence=lock.fence + 1, updated_at=ctx.now(), deadline_at=ctx.now_ms() + ctx.settings.grace_ms
    )
    commands: list[Command] = [UpdateAttempt(attempt=run.lock, expected_fence=lock.fence)]
    for permit in run.permits:
        if permit.result is CallResult.OPEN:
            unknown = msgspec.structs.replace(
                permit,
                result=CallResult.UNKNOWN,
                taken_over=earlier is not Earlier.SELF,
                caller_dead=earlier is Earlier.DEAD,
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
                "earlier_caller": earlier.value,
                "unknown_calls": [permit.call_no for permit in run.permits if in_doubt(permit)],
            },
        )
    )
    return _go_on(run, reads, ctx, tuple(commands))


def _go_on(run: Run, reads: Reads, ctx: Context, commands: tuple[Command, ...]) -> Turn:
    effect = of_purpose(run.permits, Purpose.EFFECT)
    known = any(permit.result is CallResult.DONE for permit in effect)
    if known or run.lock.phase is Phase.COMPENSATION:
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
    stored = next((known for known in run.permits if known.call_no == permit.call_no), permit)
    reported = msgspec.structs.replace(permit, external_object_refs=reply.refs)
    denied = stored.settled_by in (SettledBy.RESOLVED, SettledBy.LOOKUP_ABSENT)
    done = reply.result is CallResult.DONE
    known = next((p.external_object_refs for p in run.permits if p.result is CallResult.DONE), ())
    incident = done and (denied or run.lock.status in TERMINAL - {RunStatus.SUCCEEDED})
    commands: list[Command] = [
        ctx.entry(
            run,
            reads.intent,
            LedgerEvent.LATE_RESULT,
            {
                "call_no": permit.call_no,
                "fence": permit.fence,
                "result": reply.result.value,
                "external_object_refs": [list(ref.identity) for ref in reply.refs],
                "incident": incident,
            },
        )
    ]
    if done and collides(known, reply.refs):
        commands.append(collision(run, reads.intent, ctx, reported, known))
    if reply.result is not CallResult.UNKNOWN and stored.result is CallResult.UNKNOWN and (done or not denied):
        settled = msgspec.structs.replace(
            stored,
            result=reply.result,
            external_object_refs=reply.refs,
            retryable=reply.retryable,
            error_code=reply.error_code,
            settled_by=SettledBy.LATE_RESULT,
        )
        commands.append(SettlePermit(permit=settled, expected=CallResult.UNKNOWN))
        run = with_permit(run, settled)
    if run.lock.status is RunStatus.IN_DOUBT and run.lock.run_number == permit.run_number:
        still_unknown = any(in_doubt(known) for known in run.permits)
        if not still_unknown or any(known.result is CallResult.DONE for known in run.permits):
            return invoke_tool(run, reads, ctx, tuple(commands))
    return End(run=run, commands=tuple(commands))
