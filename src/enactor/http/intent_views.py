"""The wire forms of intents and of what is decided about them (specification, section 1)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from enactor.domain.action_type import Compensation, WriteSemantics
from enactor.domain.approval import Approval
from enactor.domain.intent import ActionIntent, ExecutionPolicy, Preview, Target, Undoes
from enactor.domain.principal import Permission, Principal
from enactor.domain.time import rfc3339


class ToolCallView(Struct, kw_only=True):
    """The frozen call. `argument_bytes` is what the tool receives, byte for byte; `arguments` is the same, read."""

    tool_name: str
    tool_schema_version: str
    arguments: msgspec.Raw
    argument_bytes: str


class ApprovalView(Struct, kw_only=True):
    """A decision. `run_number` is 0 for one about the intent, else the run that was resolved."""

    decision: str
    decided_by: str
    approval_source: str
    decided_at: str
    revision: int
    approval_digest: str
    comment: str
    run_number: int


class IntentView(Struct, kw_only=True):
    """An intent. `preview` is shown to approvers only, and never to who proposed; `approvals` are left out of lists."""

    action_intent_id: str
    revision: int
    version: int
    tenant_id: str
    account_id: str
    action_type: str
    status: str
    summary: str
    parameters: dict[str, Any]
    target: Target | None
    registry_version: int
    tool_call: ToolCallView
    approval_digest: str
    required_approvals: int
    risk_class: str
    write_semantics: WriteSemantics
    compensation: Compensation
    connector_id: str
    proposed_by: str
    contributors: tuple[str, ...]
    rationale: str
    evidence_refs: tuple[str, ...]
    execution_policy: ExecutionPolicy
    expires_at_epoch: int
    expires_at: str
    created_at: str
    updated_at: str
    trace_id: str
    effect_key: str | None
    policy_version: str
    approval_source: str | None
    approved_at: str | None
    decided_reason: str
    shadow: bool
    undoes: Undoes | None = None
    approvals: tuple[ApprovalView, ...] | msgspec.UnsetType = msgspec.UNSET
    preview: Preview | msgspec.UnsetType | None = msgspec.UNSET


def intent_view(intent: ActionIntent, by: Principal, approvals: tuple[Approval, ...] | None = None) -> IntentView:
    """An intent as `by` may see it."""
    call = intent.tool_call
    sees_preview = by.may(Permission.DECIDE) and not by.everyone() & set(intent.contributors)
    return IntentView(
        action_intent_id=intent.action_intent_id,
        revision=intent.revision,
        version=intent.version,
        tenant_id=intent.tenant_id,
        account_id=intent.account_id,
        action_type=intent.action_type,
        status=intent.status.value,
        summary=intent.summary,
        parameters=intent.parameters,
        target=intent.target,
        registry_version=intent.registry_version,
        tool_call=ToolCallView(
            tool_name=call.tool_name,
            tool_schema_version=call.tool_schema_version,
            arguments=msgspec.Raw(call.argument_bytes),
            argument_bytes=call.argument_bytes,
        ),
        approval_digest=intent.approval_digest,
        required_approvals=intent.required_approvals,
        risk_class=intent.risk_class.value,
        write_semantics=intent.write_semantics,
        compensation=intent.compensation,
        connector_id=intent.connector_id,
        proposed_by=str(intent.proposed_by),
        contributors=tuple(map(str, intent.contributors)),
        rationale=intent.rationale,
        evidence_refs=intent.evidence_refs,
        execution_policy=intent.execution_policy,
        expires_at_epoch=intent.expires_at_epoch,
        expires_at=rfc3339(intent.expires_at_epoch * 1000),
        created_at=intent.created_at,
        updated_at=intent.updated_at,
        trace_id=intent.trace_id,
        effect_key=intent.effect_key,
        policy_version=intent.policy_version,
        approval_source=intent.approval_source,
        approved_at=intent.approved_at,
        decided_reason=intent.decided_reason,
        shadow=intent.shadow,
        undoes=intent.undoes,
        approvals=msgspec.UNSET if approvals is None else tuple(map(approval_view, approvals)),
        preview=intent.preview if sees_preview else msgspec.UNSET,
    )


def approval_view(approval: Approval) -> ApprovalView:
    """A decision as it is shown."""
    return ApprovalView(
        decision=approval.decision.value,
        decided_by=str(approval.decided_by),
        approval_source=approval.approval_source.value,
        decided_at=approval.decided_at,
        revision=approval.revision,
        approval_digest=approval.approval_digest,
        comment=approval.comment,
        run_number=approval.run_number,
    )


class IntentPage(Struct, kw_only=True):
    """Intents, newest first."""

    items: tuple[IntentView, ...]
    next_token: str | None = None


class BatchItem(Struct, kw_only=True, omit_defaults=True):
    """What became of one proposal: the status it would have had alone, and the intent or the problem."""

    status: int
    intent: IntentView | None = None
    problem: dict[str, Any] | None = None


class BatchAnswer(Struct, kw_only=True):
    """A result for each proposal, in their order."""

    items: tuple[BatchItem, ...]


class Decision(Struct, kw_only=True):
    """An intent after a decision. `execution_status` is the wire status of its execution."""

    action_intent_id: str
    status: str
    approvals_missing: int
    execution_status: str


class Cancellation(Struct, kw_only=True):
    """`requested_only`: it runs already, and was asked to stop before its next call."""

    action_intent_id: str
    status: str
    requested_only: bool
    execution_status: str
