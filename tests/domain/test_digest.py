"""The approval digest covers everything that decides what happens, and nothing that merely happens."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.builders import ANA, Builder
from enactor.domain.action_type import (
    Compensation,
    CompensationStrategy,
    RiskClass,
    WriteMode,
    WriteSemantics,
)
from enactor.domain.approval import ApprovalSource, Decision, approval_digest, humans_approving
from enactor.domain.intent import (
    ActionIntent,
    ExecutionPolicy,
    FrozenCall,
    Guard,
    IntentStatus,
    Preview,
    SwitchMark,
    Target,
    TargetSource,
    Undoes,
)
from enactor.domain.principal import PrincipalRef

INTENT = Builder().intent(target=Target("invoice", "7"), effect_key="refund:1")
CALL = INTENT.tool_call
SEMANTICS = WriteSemantics(mode=WriteMode.LOOKUP, absence_final_after_seconds=1)
COMPENSATION = Compensation(
    strategy=CompensationStrategy.AUTOMATIC,
    tool_name="internal.delete",
    tool_schema_version="1",
    write_semantics=SEMANTICS,
    note="x",
)

COVERED: dict[str, Any] = {
    "tenant_id": "other",
    "account_id": "other",
    "action_intent_id": "ai_other",
    "revision": 2,
    "proposed_by": PrincipalRef("https://issuer.example", "other"),
    "action_type": "OTHER",
    "target": Target("invoice", "8"),
    "registry_version": 2,
    "tool_call": replace(CALL, tool_name="internal.other"),
    "definition_hash": "0" * 64,
    "write_semantics": SEMANTICS,
    "connector_id": "other",
    "connector_version": "2",
    "compensation": COMPENSATION,
    "execution_policy": ExecutionPolicy(retry_count=4),
    "risk_class": RiskClass.HIGH,
    "required_approvals": 2,
    "policy_version": "policy-2",
    "effect_key": "refund:2",
    "expires_at_epoch": INTENT.expires_at_epoch + 1,
    "preview": Preview({}, {}, "v1", Guard.ATOMIC, "1" * 64),
    "digest_salt": "0" * 32,
    "shadow": True,
    "undoes": Undoes(action_intent_id="ai_other", run_number=1, original_key="0" * 64),
}
NOT_COVERED: dict[str, Any] = {
    "version": 9,
    "parameters": {"title": "shown, and frozen as argument bytes"},
    "contributors": (ANA,),
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
    "trace_id": "0" * 32,
    "approval_digest": "0" * 64,
    "summary": "rendered from what is covered",
    "status": IntentStatus.APPROVED,
    "rationale": "the proposer's word",
    "evidence_refs": ("e1",),
    "approval_source": "HUMAN",
    "approved_at": "2026-01-01T00:00:00.000Z",
    "decided_reason": "because",
    "switch_marks": (SwitchMark("global", 1),),
    "labels": {"a": "b"},
    "erased_at": "2026-01-01T00:00:00.000Z",
}


def test_every_field_is_on_one_of_the_two_lists() -> None:
    """A field that is added to the intent has to be put on a list: covered, or not, and why not."""
    assert set(COVERED) | set(NOT_COVERED) == set(ActionIntent.__struct_fields__)
    assert not set(COVERED) & set(NOT_COVERED)


@pytest.mark.parametrize("field", COVERED)
def test_what_decides_what_happens_changes_the_digest(field: str) -> None:
    """Flipping one field makes another digest, so an approval of the old one is worth nothing."""
    changed = replace(INTENT, **{field: COVERED[field]})
    assert getattr(changed, field) != getattr(INTENT, field)
    assert approval_digest(changed) != approval_digest(INTENT)


@pytest.mark.parametrize("field", NOT_COVERED)
def test_what_merely_happens_does_not(field: str) -> None:
    """The record's own progress leaves the digest alone: an approval survives it."""
    assert approval_digest(replace(INTENT, **{field: NOT_COVERED[field]})) == approval_digest(INTENT)


@pytest.mark.parametrize(
    "call",
    [
        FrozenCall("internal.other", CALL.tool_schema_version, CALL.argument_bytes),
        FrozenCall(CALL.tool_name, "2", CALL.argument_bytes),
        FrozenCall(CALL.tool_name, CALL.tool_schema_version, CALL.argument_bytes.replace("Test", "test")),
    ],
)
def test_each_part_of_the_call_counts(call: FrozenCall) -> None:
    """Tool, schema version and every byte of the arguments."""
    assert approval_digest(replace(INTENT, tool_call=call)) != approval_digest(INTENT)


@pytest.mark.parametrize("field", ["write_semantics", "compensation", "execution_policy", "target"])
def test_each_member_of_a_nested_record_counts(field: str) -> None:
    """Nothing hides inside a nested record."""
    full = replace(INTENT, compensation=COMPENSATION, write_semantics=SEMANTICS)
    value = getattr(full, field)
    others = {
        "mode": WriteMode.UNSAFE,
        "strategy": CompensationStrategy.NONE,
        "source": TargetSource.ARGUMENTS,
        "write_semantics": WriteSemantics(mode=WriteMode.UNSAFE),
    }
    for name in type(value).__struct_fields__:
        member = getattr(value, name)
        other = others.get(name, not member if isinstance(member, bool) else f"{member}0")
        other = member + 1 if isinstance(member, int) and not isinstance(member, bool) else other
        changed = replace(full, **{field: replace(value, **{name: other})})
        assert approval_digest(changed) != approval_digest(full), name


def test_preview_counts_by_its_hash() -> None:
    """The preview that was shown is part of what was approved."""
    first, second = (Preview({}, {}, "v1", Guard.NONE, digit * 64) for digit in "12")
    assert approval_digest(replace(INTENT, preview=first)) != approval_digest(replace(INTENT, preview=second))


def test_the_salt_hides_the_content() -> None:
    """Two intents that say the same have different digests, so a digest cannot be guessed from its content."""
    builder = Builder()
    first = builder.intent()
    assert approval_digest(replace(first, digest_salt=builder.randomness.bytes(16).hex())) != first.approval_digest


def test_it_survives_being_stored() -> None:
    """The record read back from JSON has the same digest."""
    stored = msgspec.json.decode(msgspec.json.encode(INTENT), type=ActionIntent)
    assert stored == INTENT
    assert approval_digest(stored) == INTENT.approval_digest


def test_whose_approval_counts() -> None:
    """Different people, of this very revision and digest; no program, no rejection, nobody twice."""
    build = Builder()
    bea = PrincipalRef("https://issuer.example", "bea")
    approvals = [
        build.approval(INTENT),
        build.approval(INTENT, comment="again"),
        build.approval(INTENT, decided_by=bea, approval_source=ApprovalSource.PROGRAM),
        build.approval(INTENT, decided_by=bea, decision=Decision.REJECTED),
        build.approval(INTENT, decided_by=bea, revision=2),
        build.approval(INTENT, decided_by=bea, approval_digest="0" * 64),
    ]
    assert humans_approving(approvals, INTENT) == {ANA}
