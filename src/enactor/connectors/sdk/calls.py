"""What passes between the pipeline and a tool: the call, its result, look-ups, previews, and what is undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from enactor.domain.outcome import ObjectRef


class ToolCall(Struct, frozen=True, kw_only=True):
    """What a tool is told besides its arguments.

    Attributes:
        idempotency_key: pass it to the target where the target honours one; it is the same in every repetition.
        timeout_seconds: how long the caller waits for the answer.
        ensure_timely: call it immediately before a request leaves; it raises `NotSent` when it is too late to send.
        expected_version: the version tag of the preview that was approved; None when none was.
    """

    tenant_id: str
    account_id: str
    action_intent_id: str
    run_number: int
    call_no: int
    idempotency_key: str
    trace_id: str
    timeout_seconds: float
    ensure_timely: Callable[[], None]
    expected_version: str | None = None


class ToolResult(Struct, frozen=True, kw_only=True):
    """The tool did it. `partial`: it did less than was asked, and `message` says what is missing."""

    refs: tuple[ObjectRef, ...] = ()
    partial: bool = False
    message: str = ""
    data: dict[str, Any] = {}


class Found(Struct, frozen=True, kw_only=True):
    """A look-up found what our key made."""

    refs: tuple[ObjectRef, ...]


class Absent(Struct, frozen=True, kw_only=True):
    """A look-up searched the target, and our key has made nothing there."""


class CannotTell(Struct, frozen=True, kw_only=True):
    """A look-up could not be made, or its answer is not conclusive."""

    message: str = ""


LookUpAnswer = Found | Absent | CannotTell


class PreviewResult(Struct, frozen=True, kw_only=True):
    """What a call would change, read from the target without changing anything.

    Attributes:
        before: by name, the values that would change, as they are; JSON values.
        after: the same names, as they would be.
        version_tag: changes whenever the object does; a call gets the approved one as `ToolCall.expected_version`.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    version_tag: str


class UndoArguments(BaseModel):
    """The arguments of a tool that undoes another: what it made, and the key it was made with.

    The tool takes back only what it finds carrying that key at the version it was left at, where the target tells; it
    raises `ChangedSince` otherwise, and finds nothing wrong with what is gone already.

    For tools that change what was there before: the arguments they were called with, and their preview's `before`.
    The latter is filled in last, from what was approved: the proposer of an undo must not read it.
    """

    model_config = ConfigDict(extra="forbid")
    original_key: str
    refs: list[dict[str, Any]]
    original_arguments: dict[str, Any] = {}
    before: dict[str, Any] = {}
