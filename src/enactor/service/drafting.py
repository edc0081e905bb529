"""From a proposal to an intent: its form, and everything in it but the frozen call."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from enactor.domain.action_type import ActionType, RiskClass
from enactor.domain.errors import InvalidInput, UnknownActionType
from enactor.domain.ids import intent_id, is_name
from enactor.domain.intent import ActionIntent, ExecutionPolicy, FrozenCall, Target, TargetSource
from enactor.domain.policy import REQUIRED_APPROVALS
from enactor.domain.principal import Principal
from enactor.domain.time import rfc3339
from enactor.service.core import Core

_MAX_TEXT: Final = 4_000
_MAX_REFS: Final = 100
_MAX_REF: Final = 500


class Proposal(Struct, frozen=True, kw_only=True):
    """What a proposer asks for; the wire form of `POST /v1/intents`. Durations are seconds."""

    action_type: str
    account_id: str
    parameters: dict[str, Any]
    target: Target | None = None
    expires_in_seconds: int | None = None
    rationale: str = ""
    evidence_refs: tuple[str, ...] = ()
    execution_policy: ExecutionPolicy | None = None


def draft(core: Core, by: Principal, proposal: Proposal, entry: ActionType, trace_id: str | None) -> ActionIntent:
    """An intent of a proposal, before its call is frozen. Raises `UnknownActionType` when the tool is not there."""
    now_ms = core.clock.now_ms()
    now = rfc3339(now_ms)
    lives = min(proposal.expires_in_seconds or core.limits.expires_in_seconds, entry.caps.expires_in_seconds)
    wished = proposal.execution_policy or ExecutionPolicy()
    definition = core.tools.definition(entry.tool_name)
    if definition is None:
        raise UnknownActionType(f"The tool of {entry.action_type} is not available.")
    return ActionIntent(
        action_intent_id=intent_id(core.ids.new()),
        revision=1,
        version=1,
        tenant_id=by.tenant_id,
        account_id=proposal.account_id,
        action_type=entry.action_type,
        parameters={},
        registry_version=entry.registry_version,
        tool_call=FrozenCall(entry.tool_name, entry.tool_schema_version, "{}"),
        risk_class=entry.risk_class,
        write_semantics=entry.write_semantics,
        compensation=entry.compensation,
        connector_id=entry.connector_id,
        connector_version=core.tools.connector_version(entry.tool_name, by.tenant_id, proposal.account_id),
        definition_hash=definition.definition_hash,
        proposed_by=by.ref,
        contributors=tuple(sorted(by.everyone())),
        execution_policy=ExecutionPolicy(
            retry_count=min(wished.retry_count, entry.caps.retry_count),
            timeout_seconds=min(wished.timeout_seconds, entry.caps.timeout_seconds),
        ),
        expires_at_epoch=now_ms // 1000 + lives,
        created_at=now,
        updated_at=now,
        trace_id=trace_id or core.ids.new(),
        digest_salt=core.randomness.bytes(16).hex(),
        approval_digest="",
        required_approvals=required_approvals(entry.risk_class),
        policy_version="",
        summary="",
        target=_word_of(proposal.target),
        rationale=proposal.rationale,
        evidence_refs=proposal.evidence_refs,
    )


def check_form(proposal: Proposal) -> None:
    """Raises `InvalidInput` for a proposal whose own members, parameters aside, cannot be meant."""
    if not is_name(proposal.account_id):
        raise InvalidInput("An account_id is 1 to 64 letters, digits, '.', '_' or '-', and does not begin with '_'.")
    if len(proposal.rationale) > _MAX_TEXT:
        raise InvalidInput(f"A rationale has at most {_MAX_TEXT} characters.")
    if len(proposal.evidence_refs) > _MAX_REFS or any(len(ref) > _MAX_REF for ref in proposal.evidence_refs):
        raise InvalidInput(f"There are at most {_MAX_REFS} evidence_refs of at most {_MAX_REF} characters.")
    if proposal.expires_in_seconds is not None and proposal.expires_in_seconds < 1:
        raise InvalidInput("expires_in_seconds is at least 1.")
    policy = proposal.execution_policy
    if policy is not None and (policy.retry_count < 0 or policy.timeout_seconds < 1):
        raise InvalidInput("execution_policy has a retry_count of at least 0 and a timeout_seconds of at least 1.")
    target = proposal.target
    if target is not None and not (0 < len(target.entity_type) <= _MAX_REF and 0 < len(target.entity_id) <= _MAX_REF):
        raise InvalidInput(f"A target has an entity_type and an entity_id of 1 to {_MAX_REF} characters.")


def required_approvals(risk_class: RiskClass) -> int:
    """How many different people must approve; 0 means that any single approval is enough."""
    return REQUIRED_APPROVALS[risk_class]


def _word_of(target: Target | None) -> Target | None:
    """The target as the proposer's word, whatever the proposal says its source is."""
    return None if target is None else Target(target.entity_type, target.entity_id, TargetSource.PROPOSER)
