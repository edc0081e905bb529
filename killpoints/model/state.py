"""The states of the model, and what they are made of."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from enactor.conformance.clocks import ManualClock
from enactor.conformance.world import open_world
from enactor.domain.approval import approval_digest
from enactor.domain.errors import ErrorClass, FailureCode
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult
from enactor.pipeline.model import Context, Run, Settings, Turn
from enactor.ports.commands import AppendLedger, Command
from enactor.ports.tools import Reply, ToolDefinition
from enactor.stores.memory import MemoryStore
from killpoints.model.store import Stored

TICK: Final = 1_000
"""Milliseconds in one tick of the model's clock."""

SETTINGS: Final = Settings(
    call_window_ms=TICK, max_pause_ms=2 * TICK, grace_ms=0, backoff_ms=0, doubt_look_up_ms=TICK, max_deferrals=1
)
RETENTION: Final = 5
FINAL_AFTER: Final = 2
TOOLS: Final = {"IDEMPOTENT": "keyed", "LOOKUP": "searched", "UNSAFE": "unsafe"}


class Bounds(NamedTuple):
    """How much may happen: ticks of the clock, calls that leave, deaths, turns of a switch, and what people do."""

    ticks: int = 7
    sends: int = 2
    deaths: int = 1
    switches: int = 1
    people: int = 1
    replies: tuple[str, ...] = ("done", "lost", "gone", "late")


class Outside(NamedTuple):
    """The world: what was made, when the key was first seen, and what will land by when."""

    made: int = 0
    key_since: int = -1
    landing: tuple[int, ...] = ()
    sends: int = 0


class Worker(NamedTuple):
    """What a worker holds in memory, and where it stands; all of it is lost when its process dies.

    Places: idle, commit, check, send, reply, look.
    """

    place: str = "idle"
    fence: int = 0
    run: Run | None = None
    commands: tuple[Command, ...] = ()
    turn: Turn | None = None
    reply: Reply | None = None
    since: int = 0


class State(NamedTuple):
    """Everything."""

    now: int = 0
    stored: Stored = Stored()
    outside: Outside = Outside()
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    dead: bool = False
    deaths: int = 0
    people: int = 0


class Quiet:
    """Randomness and ids that are always the same, so that equal states are equal."""

    def bytes(self, count: int) -> bytes:
        """Nothing but zeros."""
        return bytes(count)

    def uniform(self, low: float, high: float) -> float:
        """The lower bound."""
        return low

    def new(self) -> str:
        """The same as ever."""
        return "0"


class ModelClock:
    """A clock that is what the state says."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the model began."""
        return self.ms

    elapsed_ms = now_ms

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps in the model: time is a move."""
        raise NotImplementedError


class ModelContext(Context):
    """A context whose ledger entries cost nothing: the model's store keeps none."""

    def entry(self, *args: Any) -> AppendLedger:
        """The one entry that there is."""
        return NO_ENTRY


NO_ENTRY: Any = object()


@cache
def subject(tool: str) -> tuple[ActionIntent, ToolDefinition, Any]:
    """A real approved intent for one of the conformance target's tools, with its definition and registry entry."""

    async def made() -> tuple[ActionIntent, ToolDefinition, Any]:
        world = await open_world(store := MemoryStore(clock := ManualClock()), clock)
        policy = ExecutionPolicy(retry_count=2, timeout_seconds=1)
        intent = await world.approved(tool, execution_policy=policy)
        definition = world.plane.definition(intent.tool_call.tool_name)
        assert definition is not None
        return intent, definition, await store.action_type("", intent.action_type, intent.registry_version)

    intent, definition, entry = asyncio.run(made())
    changes: dict[str, Any] = {"key_retention_seconds": RETENTION}
    if intent.write_semantics.has_lookup:
        changes["absence_final_after_seconds"] = FINAL_AFTER
    semantics = msgspec.structs.replace(intent.write_semantics, **changes)
    intent = msgspec.structs.replace(intent, write_semantics=semantics, expires_at_epoch=1_000_000)
    # The durations are the model's, and so the approval is of them.
    return msgspec.structs.replace(intent, approval_digest=approval_digest(intent)), definition, entry


REF: Final = ObjectRef(system="world", object_type="effect", object_id="e1")
DONE: Final = Reply(result=CallResult.DONE, refs=(REF,))
REFUSED: Final = Reply(result=CallResult.REFUSED, retryable=True, error_code="BUSY")
TOO_LATE: Final = Reply(
    result=CallResult.NOT_SENT, retryable=True, error_code="TOO_LATE_TO_SEND", deferred_reason="the permit ran out"
)
UNKNOWN: Final = Reply(
    result=CallResult.UNKNOWN,
    retryable=True,
    error_class=ErrorClass.TIMEOUT,
    error_code=FailureCode.TOOL_TIMEOUT.value,
)
