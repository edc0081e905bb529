"""The wire forms of what is asked: exact types, bounds, and no room for a misspelled member."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from enactor.domain.action_type import (
    CompensationStrategy,
    RiskClass,
    Transform,
    WriteMode,
)
from enactor.domain.intent import ExecutionPolicy, Target
from enactor.domain.outcome import ObjectRef
from enactor.domain.policy import PolicyMode
from enactor.service import Proposal, Registration
from enactor.service.proposals import MAX_BATCH

_YEAR = 366 * 86_400

Name = Annotated[str, Meta(min_length=1, max_length=128)]
ShortText = Annotated[str, Meta(min_length=1, max_length=1_000)]
LongText = Annotated[str, Meta(max_length=4_000)]
Digest = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[int, Meta(ge=1, le=_YEAR)]


class TargetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entity the action is about, in the proposer's word."""

    entity_type: Name
    entity_id: Annotated[str, Meta(min_length=1, max_length=255)]


class ExecutionPolicyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a call may be repeated where repeating is safe, and how long one may take. The registry caps both."""

    retry_count: Annotated[int, Meta(ge=0, le=100)] = 3
    timeout_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60


class ProposalBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proposal. `parameters` are those of the action type's schema."""

    action_type: Name
    account_id: Annotated[str, Meta(min_length=1, max_length=64)]
    parameters: dict[str, Any]
    target: TargetBody | None = None
    expires_in_seconds: Seconds | None = None
    rationale: LongText = ""
    evidence_refs: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=500)], ...], Meta(max_length=50)] = ()
    execution_policy: ExecutionPolicyBody | None = None

    def proposal(self) -> Proposal:
        """What the service takes. A target named here is the proposer's word, whatever it says of itself."""
        target, policy = self.target, self.execution_policy
        return Proposal(
            action_type=self.action_type,
            account_id=self.account_id,
            parameters=self.parameters,
            target=Target(target.entity_type, target.entity_id) if target else None,
            expires_in_seconds=self.expires_in_seconds,
            rationale=self.rationale,
            evidence_refs=self.evidence_refs,
            execution_policy=ExecutionPolicy(policy.retry_count, policy.timeout_seconds) if policy else None,
        )


class BatchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Proposals. One that is wrong does not hinder the others."""

    items: Annotated[tuple[ProposalBody, ...], Meta(min_length=1, max_length=MAX_BATCH)]


RawItems = Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MAX_BATCH)]


class RawBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`BatchBody` with its items unread, so that each can be refused by itself."""

    items: RawItems


class ParametersBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that replace an intent's."""

    parameters: dict[str, Any]


class ApproveBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is approved: exactly what the digest stands for."""

    approval_digest: Digest
    comment: LongText = ""


class RejectBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; the proposer reads it."""

    reason: ShortText


class CancelBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it is recorded."""

    reason: Annotated[str, Meta(max_length=1_000)] = ""


class ExecuteBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which approved intent is to be executed."""

    action_intent_id: Annotated[str, Meta(min_length=1, max_length=64)]


class ResolutionKind(StrEnum):
    """What a person found out."""

    EXECUTED = "EXECUTED"
    NOT_EXECUTED = "NOT_EXECUTED"


class ObjectRefBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object in the target system."""

    system: Name
    object_type: Name
    object_id: Annotated[str, Meta(min_length=1, max_length=255)]
    object_url: Annotated[str, Meta(max_length=2_000)] | None = None
    version: Annotated[str, Meta(max_length=255)] | None = None

    def ref(self) -> ObjectRef:
        """What the service takes."""
        return ObjectRef(
            system=self.system,
            object_type=self.object_type,
            object_id=self.object_id,
            object_url=self.object_url,
            version=self.version,
        )


class ResolveBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a run in doubt, and how it was found out. NOT_EXECUTED has no refs."""

    resolution: ResolutionKind
    comment: Annotated[str, Meta(min_length=1, max_length=4_000)]
    external_object_refs: Annotated[tuple[ObjectRefBody, ...], Meta(max_length=100)] = ()


class ReplayBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is tried again."""

    replay_reason: ShortText


class UndoBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is to be taken back; whoever decides reads it."""

    reason: Annotated[str, Meta(min_length=1, max_length=4_000)]


class SwitchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`compensation`: partial effects may still be taken back while it is on."""

    enabled: bool
    reason: ShortText
    compensation: bool = False


class BudgetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most so many executions start in each window."""

    window_seconds: Seconds
    max_executions: Annotated[int, Meta(ge=0, le=1_000_000_000)]


class PoliciesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tenant's own policies, in Cedar. SHADOW evaluates and records without executing."""

    text: Annotated[str, Meta(max_length=100_000)]
    mode: PolicyMode = PolicyMode.ENFORCE


class ParameterMappingBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one parameter becomes one tool argument."""

    param: Name
    tool_param: Name
    transform: Transform = Transform.PASSTHROUGH
    required: bool = False
    function: Name | None = None


class WriteSemanticsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the target promises about a call whose reply was lost; durations in seconds."""

    mode: WriteMode
    key_retention_seconds: Annotated[int, Meta(ge=0, le=100 * _YEAR)] = 86_400
    absence_final_after_seconds: Annotated[int, Meta(ge=0, le=100 * _YEAR)] | None = None
    has_lookup: bool = False
    failure_burns_key: bool = False


class CompensationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an effect is taken back, or why it cannot be."""

    strategy: CompensationStrategy
    tool_name: Name | None = None
    tool_schema_version: Name | None = None
    write_semantics: WriteSemanticsBody | None = None
    note: Annotated[str, Meta(max_length=2_000)] = ""


class TargetRuleBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the target is found in the mapped arguments."""

    entity_type: Name
    argument: Name


class CapsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds on what a proposal may ask for."""

    retry_count: Annotated[int, Meta(ge=0, le=100)] = 10
    timeout_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    expires_in_seconds: Seconds = 30 * 86_400


class RegistrationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new version of an action type; what is left out comes from the tool. `deprecated` retires the latest one.

    `tool_schema_version` has to be the tool's. `compensation_strategy` alone stands for a `compensation` with nothing
    else in it, and `AUTOMATIC` for the tool's own.
    """

    action_type: Name
    tool_name: Name
    tool_schema_version: Name | None = None
    parameter_schema: dict[str, Any] | None = None
    parameter_mapping: Annotated[tuple[ParameterMappingBody, ...], Meta(max_length=200)] | None = None
    risk_class: RiskClass | None = None
    compensation_strategy: CompensationStrategy | None = None
    compensation: CompensationBody | None = None
    write_semantics: WriteSemanticsBody | None = None
    effect_key: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    summary: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    target: TargetRuleBody | None = None
    required_scopes: Annotated[tuple[Name, ...], Meta(max_length=100)] | None = None
    caps: CapsBody = CapsBody()
    deprecated: bool = False

    def registration(self) -> Registration:
        """What the service takes."""
        return msgspec.convert(msgspec.to_builtins(self), Registration)
