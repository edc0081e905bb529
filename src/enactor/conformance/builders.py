"""Records as tests need them: complete, plausible, and different only in what a test says."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.domain.action_type import (
    ActionType,
    Compensation,
    CompensationStrategy,
    ParameterMapping,
    RiskClass,
    WriteMode,
    WriteSemantics,
)
from enactor.domain.approval import Approval, ApprovalSource, Decision, approval_digest
from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.budget import ANY_ACTION_TYPE, Budget
from enactor.domain.canonical import canonical, sha256_hex
from enactor.domain.idempotency import idempotency_key
from enactor.domain.ids import intent_id, run_name
from enactor.domain.intent import ActionIntent, ExecutionPolicy, FrozenCall, IntentStatus, SwitchMark
from enactor.domain.kill_switch import KillSwitch, scopes_of
from enactor.domain.ledger import LedgerEvent, record
from enactor.domain.outcome import ActionOutcome, ObjectRef, tool_run_ref
from enactor.domain.permit import CallResult, Purpose, WritePermit
from enactor.domain.policy import PolicyMode, PolicySet
from enactor.domain.principal import PrincipalRef
from enactor.domain.time import rfc3339
from enactor.ports.clock import Clock, Ids, Randomness
from enactor.ports.commands import AppendLedger, InternalObject, RequestKey
from enactor.ports.store import Undelivered

TENANT = "acme"
ACCOUNT = "north"
AGENT = PrincipalRef("https://issuer.example", "agent-7")
ANA = PrincipalRef("https://issuer.example", "ana")
SEMANTICS = WriteSemantics(mode=WriteMode.IDEMPOTENT)
UNDONE_BY_HAND = Compensation(strategy=CompensationStrategy.MANUAL, note="Delete the note by hand.")


class Builder:
    """Makes records at a clock's time, with ids of its own.

    Every method takes the attributes that matter as keywords and fills in the rest.

    Args:
        clock: what the records' instants come from.
        randomness: what ids and salts come from; seeded, so that a run can be repeated.
    """

    def __init__(self, clock: Clock | None = None, randomness: Randomness | None = None) -> None:
        self.clock: Clock = clock if clock is not None else ManualClock()
        self.randomness: Randomness = randomness if randomness is not None else SeededRandomness()
        self.ids = Ids(self.clock, self.randomness)

    def now(self) -> str:
        """Now, RFC 3339."""
        return rfc3339(self.clock.now_ms())

    def intent(self, **changes: Any) -> ActionIntent:
        """An intent that waits for approval; its digest covers what was changed."""
        now = self.now()
        fields: dict[str, Any] = {
            "action_intent_id": intent_id(self.ids.new()),
            "revision": 1,
            "version": 1,
            "tenant_id": TENANT,
            "account_id": ACCOUNT,
            "action_type": "CREATE_INTERNAL_NOTE",
            "parameters": {"title": "Test note", "body": "As approved."},
            "registry_version": 1,
            "risk_class": RiskClass.LOW,
            "write_semantics": SEMANTICS,
            "compensation": UNDONE_BY_HAND,
            "connector_id": "internal",
            "connector_version": "1",
            "definition_hash": sha256_hex(b"definition"),
            "proposed_by": AGENT,
            "execution_policy": ExecutionPolicy(),
            "expires_at_epoch": self.clock.now_ms() // 1000 + 86_400,
            "created_at": now,
            "updated_at": now,
            "trace_id": self.ids.new(),
            "digest_salt": self.randomness.bytes(16).hex(),
            "approval_digest": "",
            "required_approvals": 1,
            "policy_version": "policy-1",
            "summary": "Create the internal note “Test note”",
            **changes,
        }
        fields.setdefault(
            "tool_call", FrozenCall("internal.create_note", "1", canonical(fields["parameters"]).decode())
        )
        fields.setdefault("contributors", (fields["proposed_by"],))
        intent = ActionIntent(**fields)
        if not intent.approval_digest:
            intent = replace(intent, approval_digest=approval_digest(intent))
        return intent

    def approved(self, **changes: Any) -> ActionIntent:
        """An approved intent, with the marks of switches that were never set."""
        intent = self.intent(
            **{"status": IntentStatus.APPROVED, "approval_source": "HUMAN", "approved_at": self.now(), **changes}
        )
        if "switch_marks" in changes:
            return intent
        scopes = scopes_of(intent.tenant_id, intent.action_type, intent.connector_id)
        return replace(intent, switch_marks=tuple(SwitchMark(scope, 0) for scope in scopes))

    def attempt(self, intent: ActionIntent, **changes: Any) -> ExecutionAttempt:
        """The lock of the intent's first run, RUNNING."""
        now = self.now()
        run_number = changes.get("run_number", 1)
        fields: dict[str, Any] = {
            "action_intent_id": intent.action_intent_id,
            "tenant_id": intent.tenant_id,
            "account_id": intent.account_id,
            "action_type": intent.action_type,
            "connector_id": intent.connector_id,
            "run_number": run_number,
            "owner": run_name(intent.action_intent_id, run_number),
            "fence": 1,
            "status": RunStatus.RUNNING,
            "idempotency_key": key_of(intent),
            "started_at": now,
            "updated_at": now,
            "trace_id": self.ids.new(),
            "deadline_at": self.clock.now_ms() + 120_000,
            "switch_marks": intent.switch_marks,
            **changes,
        }
        return ExecutionAttempt(**fields)

    def permit(self, attempt: ExecutionAttempt, **changes: Any) -> WritePermit:
        """An open permit for the first call of the attempt."""
        now_ms = self.clock.now_ms()
        fields: dict[str, Any] = {
            "idempotency_key": attempt.idempotency_key,
            "action_intent_id": attempt.action_intent_id,
            "tenant_id": attempt.tenant_id,
            "purpose": Purpose.EFFECT,
            "run_number": attempt.run_number,
            "call_no": 1,
            "fence": attempt.fence,
            "call_not_after": now_ms + 10_000,
            "reply_not_after": now_ms + 70_000,
            "taken_at": now_ms,
            **changes,
        }
        return WritePermit(**fields)

    def outcome(self, intent: ActionIntent, attempt: ExecutionAttempt, **changes: Any) -> ActionOutcome:
        """The first revision of the attempt's outcome: SUCCEEDED."""
        fields: dict[str, Any] = {
            "action_intent_id": intent.action_intent_id,
            "run_number": attempt.run_number,
            "outcome_revision": 1,
            "status": RunStatus.SUCCEEDED,
            "tenant_id": intent.tenant_id,
            "account_id": intent.account_id,
            "action_type": intent.action_type,
            "trace_id": attempt.trace_id,
            "attempt_count": 1,
            "tool_name": intent.tool_call.tool_name,
            "tool_schema_version": intent.tool_call.tool_schema_version,
            "registry_version": intent.registry_version,
            "tool_run_ref": tool_run_ref(attempt.trace_id, 1, intent.tool_call.tool_name),
            "started_at": attempt.started_at,
            "completed_at": self.now(),
            "approval_source": intent.approval_source,
            "external_object_refs": (note_ref(),),
            **changes,
        }
        return ActionOutcome(**fields)

    def approval(self, intent: ActionIntent, **changes: Any) -> Approval:
        """Ana's approval of the intent's revision."""
        fields: dict[str, Any] = {
            "action_intent_id": intent.action_intent_id,
            "revision": intent.revision,
            "approval_digest": intent.approval_digest,
            "decision": Decision.APPROVED,
            "decided_by": ANA,
            "approval_source": ApprovalSource.HUMAN,
            "decided_at": self.now(),
            **changes,
        }
        return Approval(**fields)

    def entry(
        self, intent: ActionIntent | None = None, event_type: LedgerEvent = LedgerEvent.TOOL_INVOKED, **changes: Any
    ) -> AppendLedger:
        """A ledger entry of the intent, or of the tenant's own chain."""
        fields: dict[str, Any] = {
            "entry_id": self.ids.new(),
            "salt": self.randomness.bytes(16),
            "tenant_id": intent.tenant_id if intent else TENANT,
            "account_id": intent.account_id if intent else "_tenant",
            "event_type": event_type,
            "timestamp": self.now(),
            "actor": "enactor",
            "trace_id": intent.trace_id if intent else self.ids.new(),
            "decision_trace_id": intent.trace_id if intent else "",
            "action_intent_id": intent.action_intent_id if intent else "",
            "run_number": 0,
            "data": {"status": "RUNNING", "attempt_count": 1},
            **changes,
        }
        return AppendLedger(record=record(**fields))

    def request(self, intent: ActionIntent, key: str = "order-1", **changes: Any) -> RequestKey:
        """The `Idempotency-Key` under which the intent was proposed."""
        fields: dict[str, Any] = {
            "tenant_id": intent.tenant_id,
            "principal": str(intent.proposed_by),
            "key": key,
            "body_hash": sha256_hex(b"body"),
            "action_intent_id": intent.action_intent_id,
            "created_at": intent.created_at,
            **changes,
        }
        return RequestKey(**fields)

    def action_type(self, name: str = "CREATE_INTERNAL_NOTE", version: int = 1, **changes: Any) -> ActionType:
        """A version of a platform entry."""
        fields: dict[str, Any] = {
            "action_type": name,
            "registry_version": version,
            "tool_name": "internal.create_note",
            "tool_schema_version": "1",
            "connector_id": "internal",
            "parameter_schema": {"type": "object", "properties": {"title": {"type": "string"}}},
            "parameter_mapping": (ParameterMapping(param="title", tool_param="title", required=True),),
            "risk_class": RiskClass.LOW,
            "write_semantics": SEMANTICS,
            "compensation": UNDONE_BY_HAND,
            "summary": "Create the internal note “{title}”",
            "definition_hash": sha256_hex(b"definition"),
            "created_at": self.now(),
            **changes,
        }
        return ActionType(**fields)

    def switch(self, scope: str, generation: int = 1, *, enabled: bool = True, **changes: Any) -> KillSwitch:
        """A switch; its tenant is read from the scope."""
        owner = scope.removeprefix("tenant:").split("/")[0] if scope.startswith("tenant:") else ""
        fields: dict[str, Any] = {
            "scope": scope,
            "tenant_id": owner,
            "generation": generation,
            "enabled": enabled,
            "reason": "Something is wrong.",
            "set_by": str(ANA),
            "set_at": self.now(),
            **changes,
        }
        return KillSwitch(**fields)

    def budget(self, max_executions: int, action_type: str = ANY_ACTION_TYPE, **changes: Any) -> Budget:
        """A budget for each hour."""
        fields: dict[str, Any] = {
            "tenant_id": TENANT,
            "action_type": action_type,
            "window_seconds": 3_600,
            "max_executions": max_executions,
            "set_by": str(ANA),
            "set_at": self.now(),
            **changes,
        }
        return Budget(**fields)

    def policies(self, version: int = 1, tenant_id: str = TENANT, text: str = "") -> PolicySet:
        """A tenant's policies."""
        return PolicySet(
            tenant_id=tenant_id,
            version=version,
            text=text,
            mode=PolicyMode.ENFORCE,
            set_by=str(ANA),
            set_at=self.now(),
        )

    def undelivered(self, position: int, consumer: str = "webhooks", **changes: Any) -> Undelivered:
        """An event that a consumer has not taken at its first attempt."""
        fields: dict[str, Any] = {
            "consumer": consumer,
            "position": position,
            "entry_id": self.ids.new(),
            "tenant_id": TENANT,
            "attempts": 1,
            "retry_at": self.clock.now_ms() + 5_000,
            "failed_at": self.now(),
            "error": "The receiver answered 503.",
            **changes,
        }
        return Undelivered(**fields)

    def object(self, creation_key: str, **changes: Any) -> InternalObject:
        """An internal note that a key made."""
        fields: dict[str, Any] = {
            "object_id": f"note_{creation_key}",
            "tenant_id": TENANT,
            "account_id": ACCOUNT,
            "object_type": "note",
            "creation_key": creation_key,
            "version": 1,
            "created_at": self.now(),
            "body": {"title": "Test note"},
            **changes,
        }
        return InternalObject(**fields)


def key_of(intent: ActionIntent) -> str:
    """The key of the intent's effect."""
    return idempotency_key(
        tenant_id=intent.tenant_id,
        action_intent_id=intent.action_intent_id,
        revision=intent.revision,
        purpose=Purpose.EFFECT.value,
        generation=0,
        tool_name=intent.tool_call.tool_name,
        argument_bytes=intent.tool_call.argument_bytes,
    )


def note_ref(object_id: str = "note_1") -> ObjectRef:
    """A reference to an internal note."""
    return ObjectRef(system="internal", object_type="note", object_id=object_id, version="1")


def settled(permit: WritePermit, result: CallResult = CallResult.DONE, **changes: Any) -> WritePermit:
    """The permit with its result; DONE carries the reference of a note."""
    refs = (note_ref(),) if result is CallResult.DONE else ()
    return replace(permit, **{"result": result, "external_object_refs": refs, **changes})
