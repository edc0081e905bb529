"""ActionOutcomeV1: what became of a run. Write-once per run; resolve and compensation append revisions."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.objects import ObjectRef

__all__ = ["ActionOutcome", "CompensationStatus", "ObjectRef", "tool_run_ref"]


class CompensationStatus(StrEnum):
    """How the taking back of a partial effect stands."""

    NONE = "NONE"
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    IN_DOUBT = "IN_DOUBT"


class ActionOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One revision of the outcome of one run. `error_message` is safe to show.

    `compensated_by`: the undo that takes the effect back, or has; None when there is none.
    """

    action_intent_id: str
    run_number: int
    outcome_revision: int
    status: RunStatus
    tenant_id: str
    account_id: str
    action_type: str
    trace_id: str
    attempt_count: int
    tool_name: str
    tool_schema_version: str
    registry_version: int
    tool_run_ref: str
    started_at: str
    completed_at: str
    approval_source: str | None
    external_object_refs: tuple[ObjectRef, ...] = ()
    error_code: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    raw_response_artifact_ref: str | None = None
    compensation_status: CompensationStatus = CompensationStatus.NONE
    compensation_error: str | None = None
    compensated_by: str | None = None


def tool_run_ref(trace_id: str, attempt_count: int, tool_name: str) -> str:
    """`toolrun/{trace_id}/{attempt_count}/{tool_name}`."""
    return f"toolrun/{trace_id}/{attempt_count}/{tool_name}"
