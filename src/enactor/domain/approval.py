"""ApprovalV1 and the digest it binds (specification, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from enactor.domain.action_type import Compensation, WriteSemantics
from enactor.domain.canonical import canonical, sha256_hex, struct_json
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.principal import PrincipalRef


class Decision(StrEnum):
    """What somebody decided about an intent, or about an in-doubt run of it."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    RESOLVED_EXECUTED = "RESOLVED_EXECUTED"
    RESOLVED_NOT_EXECUTED = "RESOLVED_NOT_EXECUTED"


class ApprovalSource(StrEnum):
    """`HUMAN` needs an interactive login through a non-agent client; `PROGRAM` fills no human quorum."""

    HUMAN = "HUMAN"
    POLICY = "POLICY"
    PROGRAM = "PROGRAM"


class Approval(Struct, frozen=True, kw_only=True):
    """One decision, append-only. `run_number` is 0 for decisions about the intent, else the run that is resolved.

    `subject_digest` of a resolve is the hash of the refs it asserts, so that two people must assert the same.
    """

    action_intent_id: str
    revision: int
    approval_digest: str
    decision: Decision
    decided_by: PrincipalRef
    approval_source: ApprovalSource
    decided_at: str
    comment: str = ""
    run_number: int = 0
    subject_digest: str = ""


class _Bound(Struct, frozen=True, gc=False):
    """What a digest binds, in the order of RFC 8785. A member that is UNSET is none."""

    account_id: str
    action_intent_id: str
    action_type: str
    argument_bytes: str
    compensation: Raw
    connector_id: str
    connector_version: str
    definition_hash: str
    effect_key: str | None
    execution_policy: Raw
    expires_at_epoch: int
    policy_version: str
    preview: str | None
    proposed_by: tuple[str, str]
    registry_version: int
    required_approvals: int
    revision: int
    risk_class: str
    shadow: bool
    target: tuple[str, str, str] | None
    tenant_id: str
    tool_name: str
    tool_schema_version: str
    undoes: Raw | UnsetType
    write_semantics: Raw


@lru_cache(maxsize=4_096)
def _canonical(value: WriteSemantics | Compensation | ExecutionPolicy) -> Raw:
    """A frozen struct in its canonical form. The same few are in every digest, so they are kept."""
    return Raw(canonical(msgspec.to_builtins(value)))


def approval_digest(intent: ActionIntent) -> str:
    """The digest that an approval binds: everything that decides what happens, under a random salt.

    Args:
        intent: any revision; its own `approval_digest` and its changing state (status, version) are not covered.
    """
    preview, target, call = intent.preview, intent.target, intent.tool_call
    bound = _Bound(
        account_id=intent.account_id,
        action_intent_id=intent.action_intent_id,
        action_type=intent.action_type,
        argument_bytes=call.argument_bytes,
        compensation=_canonical(intent.compensation),
        connector_id=intent.connector_id,
        connector_version=intent.connector_version,
        definition_hash=intent.definition_hash,
        effect_key=intent.effect_key,
        execution_policy=_canonical(intent.execution_policy),
        expires_at_epoch=intent.expires_at_epoch,
        policy_version=intent.policy_version,
        preview=preview.hash if preview else None,
        proposed_by=(intent.proposed_by.iss, intent.proposed_by.sub),
        registry_version=intent.registry_version,
        required_approvals=intent.required_approvals,
        revision=intent.revision,
        risk_class=intent.risk_class,
        shadow=intent.shadow,
        target=(target.entity_type, target.entity_id, target.source) if target else None,
        tenant_id=intent.tenant_id,
        tool_name=call.tool_name,
        tool_schema_version=call.tool_schema_version,
        # A member of its own only where there is one: what was approved before there were undos stays approved.
        undoes=Raw(canonical(msgspec.to_builtins(intent.undoes))) if intent.undoes is not None else UNSET,
        write_semantics=_canonical(intent.write_semantics),
    )
    return sha256_hex(struct_json(["enactor/approval/v1", intent.digest_salt, bound]))


def humans_approving(approvals: Sequence[Approval], intent: ActionIntent) -> frozenset[PrincipalRef]:
    """The different people whose approval of this very revision and digest is in force."""
    return frozenset(
        approval.decided_by
        for approval in approvals
        if approval.decision is Decision.APPROVED
        and approval.approval_source is ApprovalSource.HUMAN
        and approval.revision == intent.revision
        and approval.approval_digest == intent.approval_digest
    )
