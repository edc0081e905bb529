"""ApprovalV1 and the digest it binds (specification, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from enactor.domain.action_type import Compensation, WriteSemantics
from enactor.domain.canonical import fragment, own_json, sha256_hex
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


@lru_cache(maxsize=4_096)
def _canonical(value: WriteSemantics | Compensation | ExecutionPolicy) -> Any:
    """A frozen struct in its canonical form. The same few are in every digest, so they are kept."""
    return fragment(msgspec.to_builtins(value))


def approval_digest(intent: ActionIntent) -> str:
    """The digest that an approval binds: everything that decides what happens, under a random salt.

    Args:
        intent: any revision; its own `approval_digest` and its changing state (status, version) are not covered.
    """
    preview, target = intent.preview, intent.target
    # A member of its own only where there is one: what was approved before there were undos stays approved.
    undoes = {"undoes": fragment(msgspec.to_builtins(intent.undoes))} if intent.undoes is not None else {}
    bound = own_json(
        [
            "enactor/approval/v1",
            intent.digest_salt,
            {
                **undoes,
                "tenant_id": intent.tenant_id,
                "account_id": intent.account_id,
                "action_intent_id": intent.action_intent_id,
                "revision": intent.revision,
                "proposed_by": [intent.proposed_by.iss, intent.proposed_by.sub],
                "action_type": intent.action_type,
                "target": [target.entity_type, target.entity_id, target.source.value] if target else None,
                "registry_version": intent.registry_version,
                "tool_name": intent.tool_call.tool_name,
                "tool_schema_version": intent.tool_call.tool_schema_version,
                "definition_hash": intent.definition_hash,
                "argument_bytes": intent.tool_call.argument_bytes,
                "write_semantics": _canonical(intent.write_semantics),
                "connector_id": intent.connector_id,
                "connector_version": intent.connector_version,
                "compensation": _canonical(intent.compensation),
                "execution_policy": _canonical(intent.execution_policy),
                "risk_class": intent.risk_class,
                "required_approvals": intent.required_approvals,
                "policy_version": intent.policy_version,
                "effect_key": intent.effect_key,
                "expires_at_epoch": intent.expires_at_epoch,
                "preview": preview.hash if preview else None,
                "shadow": intent.shadow,
            },
        ]
    )
    return sha256_hex(bound)


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
