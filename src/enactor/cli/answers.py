"""The parts of the API's answers that the command line shows. What else an answer holds is left alone."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from enactor.cli.failures import Failure

Answer = TypeVar("Answer", bound=Struct)


class Call(Struct):
    """The frozen tool call."""

    tool_name: str
    tool_schema_version: str = ""
    argument_bytes: str = "{}"


class Intent(Struct):
    """An intent as approvers and proposers see it."""

    action_intent_id: str
    status: str
    account_id: str
    action_type: str
    approval_digest: str
    tool_call: Call
    summary: str = ""
    revision: int = 1
    risk_class: str = ""
    required_approvals: int | None = None
    proposed_by: str = ""
    rationale: str = ""
    evidence_refs: list[str] = field(default_factory=list)
    target: dict[str, Any] | None = None
    preview: dict[str, Any] | None = None
    execution_policy: dict[str, Any] = field(default_factory=dict)
    write_semantics: dict[str, Any] = field(default_factory=dict)
    compensation: dict[str, Any] = field(default_factory=dict)
    expires_at_epoch: int = 0
    effect_key: str | None = None
    decided_reason: str = ""
    shadow: bool = False
    undoes: dict[str, Any] | None = None
    approvals: list[dict[str, Any]] = field(default_factory=list)


class Execution(Struct):
    """An execution."""

    action_intent_id: str
    status: str
    explanation: str = ""
    account_id: str = ""
    action_type: str = ""
    summary: str = ""
    run_number: int = 1
    started_at: str | None = None
    completed_at: str | None = None
    created_at: str | None = None
    external_object_refs: list[dict[str, Any]] = field(default_factory=list)
    error_class: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    attempt_count: int = 0
    compensation_status: str = "NONE"
    compensation_strategy: str = ""
    compensation_note: str = ""
    compensation_error: str | None = None
    compensated_by: str | None = None
    undoes: str | None = None
    trace_id: str = ""
    shadow: bool = False


class Line(Struct):
    """A line of a timeline."""

    timestamp: str
    stage: str
    text: str
    run_number: int = 0
    folded: int = 1


class Contained(Struct):
    """A run in a kill switch's scope."""

    action_intent_id: str
    status: str
    account_id: str = ""
    action_type: str = ""
    run_number: int = 0
    open_until: str | None = None


class Containment(Struct):
    """A containment report."""

    scope: str
    enabled: bool
    executed: list[Contained] = field(default_factory=list)
    blocked: list[Contained] = field(default_factory=list)
    unknown: list[Contained] = field(default_factory=list)
    since: str | None = None
    next_token: str | None = None


class Page(Struct):
    """Part of a listing."""

    items: list[Any]
    next_token: str | None = None


def understood(answer: object, kind: type[Answer]) -> Answer:
    """An answer as `kind`. Raises `Failure` when the server speaks another version of the API."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise Failure(f"The server's answer is not understood ({error}); is it another version of Enactor?") from None


def items(answer: object) -> list[Any]:
    """The items of a listing, paged or not."""
    return answer if isinstance(answer, list) else understood(answer, Page).items


def reference(ref: dict[str, Any]) -> str:
    """An object reference as one word."""
    return "/".join(str(ref.get(part, "")) for part in ("system", "object_type", "object_id"))
