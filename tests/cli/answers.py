"""Answers of the API, as tests have the server give them."""

from typing import Any

INTENT_ID = "ai_0198c0de00007000800000000000abcd"
DIGEST = "d" * 64


def intent(**changes: Any) -> dict[str, Any]:
    """An intent that waits for approval."""
    return {
        "action_intent_id": INTENT_ID,
        "status": "PENDING_APPROVAL",
        "tenant_id": "acme",
        "account_id": "acc-1",
        "action_type": "CREATE_INTERNAL_NOTE",
        "approval_digest": DIGEST,
        "revision": 1,
        "risk_class": "LOW",
        "required_approvals": 1,
        "summary": "Write the note 'Call back'",
        "tool_call": {
            "tool_name": "internal.create_note",
            "tool_schema_version": "1",
            "argument_bytes": '{"title":"Call back"}',
        },
        "target": {"entity_type": "Contact", "entity_id": "003", "source": "PROPOSER"},
        "proposed_by": "dev:planner",
        "execution_policy": {"retry_count": 3, "timeout_seconds": 60},
        "write_semantics": {"mode": "IDEMPOTENT"},
        "compensation": {"strategy": "AUTOMATIC", "tool_name": "internal.delete_note"},
        "expires_at_epoch": 1_795_452_516,
        "rationale": "The customer asked.",
        **changes,
    }


def execution(status: str = "SUCCEEDED", **changes: Any) -> dict[str, Any]:
    """An execution."""
    return {
        "action_intent_id": INTENT_ID,
        "account_id": "acc-1",
        "action_type": "CREATE_INTERNAL_NOTE",
        "run_number": 1,
        "status": status,
        "explanation": "Executed exactly as approved.",
        "started_at": "2026-11-23T15:42:00.123Z",
        "completed_at": "2026-11-23T15:42:00.223Z",
        "created_at": "2026-11-23T15:41:00.000Z",
        "external_object_refs": [{"system": "internal", "object_type": "note", "object_id": "n_1", "object_url": None}],
        "error_class": None,
        "error_code": None,
        "error_message": None,
        "attempt_count": 1,
        "compensation_status": "NONE",
        "trace_id": "t" * 32,
        "summary": "Write the note 'Call back'",
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    """A containment report."""
    run = {"action_intent_id": INTENT_ID, "run_number": 1, "account_id": "acc-1", "action_type": "CREATE_INTERNAL_NOTE"}
    return {
        "scope": "tenant",
        "enabled": True,
        "generation": 1,
        "set_at": "2026-11-23T15:42:00.123Z",
        "since": "2026-11-23T14:42:00.123Z",
        "executed": [{**run, "containment": "executed", "status": "SUCCEEDED"}],
        "blocked": [],
        "unknown": [{**run, "containment": "unknown", "status": "RUNNING", "open_until": "2026-11-23T15:43:00.000Z"}],
        "next_token": None,
        **changes,
    }
