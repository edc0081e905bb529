"""ActionIntentV1: what was proposed, frozen as the call that will be made."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from enactor.domain.action_type import Compensation, RiskClass, WriteSemantics
from enactor.domain.canonical import digest
from enactor.domain.objects import ObjectRef
from enactor.domain.principal import PrincipalRef


class IntentStatus(StrEnum):
    """From `PENDING_APPROVAL` to one of the others; an approved one that never started may expire or be cancelled."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class TargetSource(StrEnum):
    """Whether the target was derived from the arguments or is only the proposer's word."""

    ARGUMENTS = "ARGUMENTS"
    PROPOSER = "PROPOSER"


class Target(Struct, frozen=True):
    """The entity the action is about."""

    entity_type: str
    entity_id: str
    source: TargetSource = TargetSource.PROPOSER


class FrozenCall(Struct, frozen=True, gc=False):
    """The tool call as approved. `argument_bytes` is canonical JSON and is what the tool receives, byte for byte."""

    tool_name: str
    tool_schema_version: str
    argument_bytes: str


class ExecutionPolicy(Struct, frozen=True):
    """How often a call may be repeated where repeating is safe, and how long one call may take (seconds)."""

    retry_count: int = 3
    timeout_seconds: int = 60


class Guard(StrEnum):
    """How a tool protects the version that its preview showed."""

    ATOMIC = "ATOMIC"
    CHECK_THEN_WRITE = "CHECK_THEN_WRITE"
    NONE = "NONE"


class Preview(Struct, frozen=True):
    """What the action would change: for approvers, never for the proposer. `hash` binds it into the digest."""

    before: dict[str, Any]
    after: dict[str, Any]
    version_tag: str
    guard: Guard
    hash: str


def preview_of(before: dict[str, Any], after: dict[str, Any], version_tag: str, guard: Guard) -> Preview:
    """A preview with the hash that binds it."""
    bound = digest(["enactor/preview/v1", before, after, version_tag, guard.value])
    return Preview(before=before, after=after, version_tag=version_tag, guard=guard, hash=bound)


class Undoes(Struct, frozen=True, kw_only=True):
    """Which run an intent takes back.

    Attributes:
        original_key: the idempotency key under which the original's effect was made.
        refs: what the original made or changed, each at the version it was left at; an undo touches nothing else.
    """

    action_intent_id: str
    run_number: int
    original_key: str
    refs: tuple[ObjectRef, ...] = ()


class SwitchMark(Struct, frozen=True, gc=False):
    """The generation a kill switch had when execution was authorised."""

    scope: str
    generation: int


class ActionIntent(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One proposed action and everything that decides what will happen.

    Attributes:
        revision: grows when the parameters are edited; approvals bind one revision.
        version: grows with every change of the record; conditions name it.
        contributors: everybody who proposed or edited the current revision, or stood in their `act` chains;
            none of them may decide it.
        definition_hash: hash of the tool definition at proposal; execution refuses another.
        connector_version: the connector's configuration version (endpoint, credential reference).
        required_approvals: how many different people must approve.
        digest_salt: makes the digest say nothing about its content.
        switch_marks: the generations of the kill switches that apply, as they were when the run was authorised:
            any other generation at a permit means that a switch was on in between.
        shadow: evaluated and recorded only; it is never executed.
        undoes: the run that this intent takes back; None unless it is an undo.
        expires_at_epoch: seconds since the epoch.
        erased_at: when its personal data was erased, RFC 3339; empty while it is there. See `enactor.domain.erasure`.
    """

    action_intent_id: str
    revision: int
    version: int
    tenant_id: str
    account_id: str
    action_type: str
    parameters: dict[str, Any]
    registry_version: int
    tool_call: FrozenCall
    risk_class: RiskClass
    write_semantics: WriteSemantics
    compensation: Compensation
    connector_id: str
    connector_version: str
    definition_hash: str
    proposed_by: PrincipalRef
    contributors: tuple[PrincipalRef, ...]
    execution_policy: ExecutionPolicy
    expires_at_epoch: int
    created_at: str
    updated_at: str
    trace_id: str
    digest_salt: str
    approval_digest: str
    required_approvals: int
    policy_version: str
    summary: str
    status: IntentStatus = IntentStatus.PENDING_APPROVAL
    target: Target | None = None
    preview: Preview | None = None
    rationale: str = ""
    evidence_refs: tuple[str, ...] = ()
    effect_key: str | None = None
    approval_source: str | None = None
    approved_at: str | None = None
    decided_reason: str = ""
    switch_marks: tuple[SwitchMark, ...] = ()
    shadow: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    undoes: Undoes | None = None
    erased_at: str = ""


def earlier_values(intent: ActionIntent, *, compensating: bool) -> dict[str, Any]:
    """The values that a call which takes something back is to bring back, where a preview showed them to an approver.

    Args:
        compensating: the call takes back what the intent itself did; else the intent is an undo of another.
    """
    if intent.preview is None:
        return {}
    if compensating:
        return intent.preview.before
    return intent.preview.after if intent.undoes is not None else {}


def is_expired(intent: ActionIntent, now_ms: int) -> bool:
    """Whether `now_ms` is at or past the intent's expiry."""
    return now_ms >= intent.expires_at_epoch * 1000
