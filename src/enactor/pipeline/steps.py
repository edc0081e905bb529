"""The pipeline. This list is the product: every engine runs it, and nothing runs outside it.

    proposal ──► approval ──► StartExecution ──► ValidatePreflight ──► MapActionToTool ──► InvokeTool ──► record

Each step is a plain function of a `Run` and of `Reads`. It does no I/O: it returns commands, and what to do next
(`Turn`). An engine commits the commands of consecutive steps together until a turn touches the outside world; then
everything known is made durable first (the barrier), and the result is made durable before anybody is told.

A run whose first call gives the final answer needs two commits: one before the call, one after it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from msgspec import Struct

from enactor.pipeline.compensate import compensate_action
from enactor.pipeline.invoke import invoke_tool
from enactor.pipeline.map import map_action_to_tool
from enactor.pipeline.model import Context, Reads, Run, Turn
from enactor.pipeline.preflight import validate_preflight
from enactor.pipeline.start import start_execution

StepFunction = Callable[[Run, Reads, Context], Turn]


class Step(Struct, frozen=True):
    """One step: its name on every engine, what it does, and with which codes it may end a run early."""

    name: str
    does: str
    run: StepFunction
    ends_with: tuple[str, ...] = ()


STEPS: Final[tuple[Step, ...]] = (
    Step(
        "StartExecution",
        "takes the one lock of the intent, if the approval is in force for this very digest",
        start_execution,
        ("INTENT_NOT_FOUND", "APPROVAL_STALE"),
    ),
    Step(
        "ValidatePreflight",
        "refuses what expired, what a kill switch stops and what a budget has no room for",
        validate_preflight,
        ("INTENT_EXPIRED", "KILL_SWITCH_ENABLED", "CANCELLED_BY_REQUEST", "BUDGET_EXCEEDED"),
    ),
    Step(
        "MapActionToTool",
        "takes the frozen call, and refuses it if anything but what was approved would be called",
        map_action_to_tool,
        ("APPROVAL_DIGEST_MISMATCH", "TOOL_MAPPING_NOT_FOUND"),
    ),
    Step(
        "InvokeTool",
        "takes a permit and calls once; repeats only where the tool's write semantics make it safe",
        invoke_tool,
        ("STALE_PREVIEW", "UNDO_CONFLICT", "TARGET_UNREADABLE"),
    ),
    Step(
        "CompensateAction",
        "takes a partial effect back, by the pinned strategy, through the same door",
        compensate_action,
        ("COMPENSATION_FAILED",),
    ),
)
"""In order. `record.py` writes outcomes (RecordOutcome, RecordFailure); `recover.py` is every way of coming back."""


_FOLLOWING: Final = {step.name: after for step, after in pairwise(STEPS)}


def step(name: str) -> Step:
    """The step of that name."""
    return next(step for step in STEPS if step.name == name)


def following(name: str) -> Step:
    """The step after the one of that name."""
    return _FOLLOWING[name]
