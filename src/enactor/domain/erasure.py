"""Erasing personal data: what is left of each record about an intent (specification, sections 1 and 10).

What identifies, what decides and what proves stays: ids, accounts, action types, statuses, times, who acted, and the
ledger's commitments. What was said, asked for, read or made goes: parameters and arguments, target, preview, rationale,
comments, effect key, references to the objects in the target system. Digests and keys that were made from them go, or
lose their salt, because a guess could be held against them.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from enactor.domain.approval import Approval
from enactor.domain.attempt import TERMINAL, ExecutionAttempt
from enactor.domain.intent import ActionIntent, FrozenCall, IntentStatus
from enactor.domain.ledger import LedgerEntry
from enactor.domain.outcome import ActionOutcome
from enactor.domain.permit import WritePermit

ERASED_KEY: Final = "erased"
"""Stands where an idempotency key was."""

ERASED_SUMMARY: Final = "(erased)"

_OVER: Final = frozenset({IntentStatus.REJECTED, IntentStatus.EXPIRED, IntentStatus.CANCELLED})


def is_over(intent: ActionIntent, attempt: ExecutionAttempt | None) -> bool:
    """Whether nothing more will be done about an intent, so that its data can go."""
    return intent.status in _OVER if attempt is None else attempt.status in TERMINAL


def erased_intent(intent: ActionIntent, erased_at: str) -> ActionIntent:
    """What is left of an intent, or of one of its revisions."""
    return replace(
        intent,
        version=intent.version + 1,
        parameters={},
        tool_call=FrozenCall(intent.tool_call.tool_name, intent.tool_call.tool_schema_version, "{}"),
        digest_salt="",
        summary=ERASED_SUMMARY,
        target=None,
        preview=None,
        rationale="",
        evidence_refs=(),
        effect_key=None,
        decided_reason="",
        labels={},
        undoes=replace(intent.undoes, original_key=ERASED_KEY, refs=()) if intent.undoes else None,
        erased_at=erased_at,
    )


def erased_approval(approval: Approval) -> Approval:
    """What is left of a decision."""
    return replace(approval, comment="", subject_digest="")


def erased_attempt(attempt: ExecutionAttempt) -> ExecutionAttempt:
    """What is left of a lock."""
    return replace(attempt, idempotency_key=ERASED_KEY, last_error_message="", waiting_for="")


def erased_permit(permit: WritePermit) -> WritePermit:
    """What is left of a permit."""
    return replace(permit, idempotency_key=ERASED_KEY, external_object_refs=())


def erased_outcome(outcome: ActionOutcome) -> ActionOutcome:
    """What is left of an outcome."""
    return replace(
        outcome,
        external_object_refs=(),
        error_message=None,
        raw_response_artifact_ref=None,
        compensation_error=None,
    )


def erased_entry(entry: LedgerEntry) -> LedgerEntry:
    """What is left of a ledger entry: everything that its hash covers."""
    return replace(entry, data="", salt="")
