"""What would be called: the frozen call of the effect, or the pinned one that takes it back."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.attempt import ExecutionAttempt, Phase
from enactor.domain.canonical import canonical
from enactor.domain.idempotency import idempotency_key
from enactor.domain.intent import earlier_values
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import Purpose, WritePermit, done_by
from enactor.pipeline.model import Context, Reads, Run, call_numbers
from enactor.ports.tools import CallRequest


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """A call that may be made any number of times or never: tool, arguments, key and what its target promises."""

    purpose: Purpose
    tool_name: str
    tool_schema_version: str
    argument_bytes: str
    semantics: WriteSemantics
    idempotency_key: str
    original: tuple[ObjectRef, ...] = ()
    original_key: str = ""


def effect_refs(run: Run) -> tuple[ObjectRef, ...]:
    """What the effect's calls are known to have made."""
    done = done_by(run.permits, Purpose.EFFECT)
    return done.external_object_refs if done is not None else ()


def plan_of(run: Run, reads: Reads) -> Plan:
    """The plan of the phase the run is in."""
    intent, lock = reads.intent, run.lock
    if lock.phase is Phase.EFFECT:
        return Plan(
            purpose=Purpose.EFFECT,
            tool_name=intent.tool_call.tool_name,
            tool_schema_version=intent.tool_call.tool_schema_version,
            argument_bytes=intent.tool_call.argument_bytes,
            semantics=intent.write_semantics,
            idempotency_key=lock.idempotency_key,
            original=intent.undoes.refs if intent.undoes else (),
            original_key=intent.undoes.original_key if intent.undoes else "",
        )
    refs = effect_refs(run)
    arguments = canonical({"original_key": lock.idempotency_key, "refs": msgspec.to_builtins(refs)}).decode()
    tool_name = intent.compensation.tool_name or ""
    return Plan(
        purpose=Purpose.COMPENSATION,
        tool_name=tool_name,
        tool_schema_version=intent.compensation.tool_schema_version or "",
        argument_bytes=arguments,
        semantics=intent.compensation.write_semantics or WriteSemantics(mode=WriteMode.UNSAFE),
        idempotency_key=idempotency_key(
            tenant_id=intent.tenant_id,
            action_intent_id=intent.action_intent_id,
            revision=intent.revision,
            purpose=Purpose.COMPENSATION.value,
            generation=0,
            tool_name=tool_name,
            argument_bytes=arguments,
        ),
        original=refs,
        original_key=lock.idempotency_key,
    )


def new_permit(plan: Plan, run: Run, lock: ExecutionAttempt, reads: Reads, ctx: Context) -> WritePermit:
    """An open permit for the next call of `plan`."""
    now, settings = ctx.now_ms(), ctx.settings
    not_after = now + settings.call_window_ms
    return WritePermit(
        idempotency_key=plan.idempotency_key,
        action_intent_id=run.action_intent_id,
        tenant_id=run.tenant_id,
        purpose=plan.purpose,
        run_number=run.run_number,
        call_no=call_numbers(run.permits),
        fence=lock.fence,
        call_not_after=not_after,
        reply_not_after=not_after + reads.intent.execution_policy.timeout_seconds * 1000,
        taken_at=now,
    )


def request_for(plan: Plan, run: Run, reads: Reads, call_no: int, send_not_after: int) -> CallRequest:
    """The call, or the look-up, of `plan` as the tool plane takes it."""
    intent = reads.intent
    return CallRequest(
        tenant_id=intent.tenant_id,
        account_id=intent.account_id,
        action_intent_id=intent.action_intent_id,
        run_number=run.run_number,
        call_no=call_no,
        purpose=plan.purpose,
        tool_name=plan.tool_name,
        tool_schema_version=plan.tool_schema_version,
        argument_bytes=plan.argument_bytes,
        idempotency_key=plan.idempotency_key,
        trace_id=run.lock.trace_id,
        send_not_after=send_not_after,
        timeout_seconds=intent.execution_policy.timeout_seconds,
        original=plan.original,
        original_key=plan.original_key,
        original_arguments=intent.tool_call.argument_bytes if plan.purpose is Purpose.COMPENSATION else "",
        before=earlier_values(intent, compensating=plan.purpose is Purpose.COMPENSATION),
        expected_version=intent.preview.version_tag if intent.preview and not plan.original_key else None,
        definition_hash=intent.definition_hash if plan.purpose is Purpose.EFFECT else "",
    )
