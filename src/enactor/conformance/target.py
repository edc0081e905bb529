"""A target system whose behaviour a test scripts: it counts what was sent, and knows what really happened.

The connector `target` has a tool for each promise of the specification, section 3. What a call does next is the next
act of the script; without a script it does what it was asked. A hold pauses a call at a point until it is released.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import StrEnum
from typing import Final

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from enactor.connectors.sdk import (
    Absent,
    CannotTell,
    Connector,
    Found,
    NotSent,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.outcome import ObjectRef
from enactor.ports.clock import Clock

RETENTION_SECONDS: Final = 3_600
ABSENCE_FINAL_AFTER_SECONDS: Final = 30


class Act(StrEnum):
    """What a call does."""

    DO = "DO"
    DO_PARTLY = "DO_PARTLY"
    DO_AND_LOSE_REPLY = "DO_AND_LOSE_REPLY"
    DO_AND_DIE = "DO_AND_DIE"
    DO_LATER = "DO_LATER"
    DO_ELSEWHERE = "DO_ELSEWHERE"
    LOSE_REQUEST = "LOSE_REQUEST"
    TIME_OUT = "TIME_OUT"
    DIE = "DIE"
    TALK_NONSENSE = "TALK_NONSENSE"
    NOT_SENT = "NOT_SENT"
    NEVER_SENT = "NEVER_SENT"
    REFUSE = "REFUSE"
    REFUSE_FOR_GOOD = "REFUSE_FOR_GOOD"


class Point(StrEnum):
    """Where a call can be paused: before its last check, between check and send, and before its reply."""

    CHECK = "CHECK"
    SEND = "SEND"
    REPLY = "REPLY"
    LOOK_UP = "LOOK_UP"


class Killed(BaseException):
    """The process is gone: nobody handles this."""


class Sent(Struct, frozen=True):
    """A request that left: whose, under which key, for which call, and when (epoch milliseconds)."""

    tenant_id: str
    key: str
    call_no: int
    at: int


class Hold:
    """A pause. `reached` is set when the call is there, `stands` while it is; `release` lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.stands = False
        self._go = asyncio.Event()

    def release(self) -> None:
        """Lets the call go on."""
        self._go.set()

    async def wait(self) -> None:
        """Pauses until released."""
        self.reached.set()
        self.stands = True
        try:
            await self._go.wait()
        finally:
            self.stands = False


class Order(BaseModel):
    """What is ordered."""

    model_config = ConfigDict(extra="forbid")
    item: str = "tea"


_KEYED: Final = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=RETENTION_SECONDS)
_SEARCHED: Final = WriteSemantics(
    mode=WriteMode.LOOKUP, absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS, has_lookup=True
)
_UNSAFE: Final = WriteSemantics(mode=WriteMode.UNSAFE)
_HONOURS_KEYS: Final = frozenset({"keyed", "keyed_searched", "burning", "partial"})


class Target(Connector):
    """The scripted target.

    Attributes:
        sent: every request that left, in order.
        made: every object that was ever made, with the key it was made under.
        taken_back: the objects that a compensation took back.
        blind: look-ups cannot tell.
        most_at_once: how many calls were in the target at the same time, at most; `crowded` is set by the second.
    """

    name = "target"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._script: deque[Act] = deque()
        self._undo_script: deque[Act] = deque()
        self._holds: dict[tuple[Point, int], Hold] = {}
        self._landing: list[tuple[str, bool]] = []
        self.sent: list[Sent] = []
        self.made: list[tuple[str, str]] = []
        self.taken_back: list[str] = []
        self.look_ups = 0
        self.blind = False
        self.most_at_once = 0
        self.crowded = asyncio.Event()
        self._inside = 0
        self._gate: tuple[Point, Hold] | None = None

    # -- what a test does ----------------------------------------------------------------------------------------

    def script(self, *acts: Act) -> None:
        """What the next calls do."""
        self._script.extend(acts)

    def script_undo(self, *acts: Act) -> None:
        """What the next compensating calls do."""
        self._undo_script.extend(acts)

    def hold(self, point: Point, call_no: int = 1) -> Hold:
        """Pauses the call of that number when it comes to `point`."""
        hold = self._holds[point, call_no] = Hold()
        return hold

    def gate(self, point: Point) -> Hold:
        """Pauses every call that comes to `point` from now on."""
        hold = Hold()
        self._gate = (point, hold)
        return hold

    def land(self) -> None:
        """What was done later happens now."""
        for key, honoured in self._landing:
            self._make(key, honoured)
        self._landing.clear()

    def objects(self, key: str | None = None) -> list[str]:
        """The objects made, all or those of one key."""
        return [made for made, made_by in self.made if key in (None, made_by)]

    # -- tools ---------------------------------------------------------------------------------------------------

    @tool(write=_KEYED, risk=RiskClass.LOW, summary="Order {item}", effect_key="order:{item}")
    async def keyed(self, args: Order, call: ToolCall) -> ToolResult:
        """Honours our key for an hour."""
        return await self._order("keyed", call)

    @tool(
        write=WriteSemantics(
            mode=WriteMode.IDEMPOTENT,
            key_retention_seconds=RETENTION_SECONDS,
            absence_final_after_seconds=ABSENCE_FINAL_AFTER_SECONDS,
            has_lookup=True,
        ),
        risk=RiskClass.LOW,
        lookup="find",
    )
    async def keyed_searched(self, args: Order, call: ToolCall) -> ToolResult:
        """Honours our key for an hour, and can be searched by it."""
        return await self._order("keyed_searched", call)

    @tool(write=_SEARCHED, risk=RiskClass.LOW, lookup="find")
    async def searched(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be searched by our key; an absence is final after 30 seconds."""
        return await self._order("searched", call)

    @tool(write=WriteSemantics(mode=WriteMode.LOOKUP, has_lookup=True), risk=RiskClass.LOW, lookup="find")
    async def never_final(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be searched by our key; an absence is never final."""
        return await self._order("never_final", call)

    @tool(write=_UNSAFE, risk=RiskClass.LOW)
    async def unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """Promises nothing."""
        return await self._order("unsafe", call)

    @tool(write=_UNSAFE, risk=RiskClass.HIGH)
    async def grave(self, args: Order, call: ToolCall) -> ToolResult:
        """Promises nothing, and is grave."""
        return await self._order("grave", call)

    @tool(write=_KEYED, risk=RiskClass.MINIMAL)
    async def trivial(self, args: Order, call: ToolCall) -> ToolResult:
        """Needs nobody in particular to approve it."""
        return await self._order("keyed", call)

    @tool(
        write=WriteSemantics(
            mode=WriteMode.IDEMPOTENT, key_retention_seconds=RETENTION_SECONDS, failure_burns_key=True
        ),
        risk=RiskClass.LOW,
    )
    async def burning(self, args: Order, call: ToolCall) -> ToolResult:
        """Honours our key, and burns it with a refusal."""
        return await self._order("burning", call)

    @tool(write=_KEYED, risk=RiskClass.LOW, undo="take_back")
    async def partial(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be taken back by a tool that honours our key."""
        return await self._order("partial", call)

    @tool(write=_UNSAFE, risk=RiskClass.LOW, undo="take_back_unsafely")
    async def partial_unsafe(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be taken back by a tool that promises nothing."""
        return await self._order("partial_unsafe", call)

    @tool(write=_UNSAFE, risk=RiskClass.LOW, undo="take_back_searched")
    async def partial_searched(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be taken back by a tool that can be looked up."""
        return await self._order("partial_searched", call)

    @tool(write=_KEYED, risk=RiskClass.LOW, manual_undo="Call the shop.")
    async def partial_by_hand(self, args: Order, call: ToolCall) -> ToolResult:
        """Can be taken back by a person."""
        return await self._order("keyed", call)

    @tool(write=_KEYED, proposable=False)
    async def take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes back, and honours our key."""
        return await self._take_back(args, call)

    @tool(write=_UNSAFE, proposable=False)
    async def take_back_unsafely(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes back, and promises nothing."""
        return await self._take_back(args, call)

    @tool(write=_SEARCHED, proposable=False, lookup="find_taken_back")
    async def take_back_searched(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Takes back, and can be looked up."""
        return await self._take_back(args, call)

    async def find_taken_back(self, args: UndoArguments, call: ToolCall) -> Found | Absent | CannotTell:
        """Whether all of it was taken back."""
        if self.blind:
            return CannotTell(message="The target does not say.")
        gone = {ref["object_id"] for ref in args.refs} <= set(self.taken_back)
        return Found(refs=()) if gone else Absent()

    async def find(self, args: Order, call: ToolCall) -> Found | Absent | CannotTell:
        """What our key made."""
        self.look_ups += 1
        made = self.objects(call.idempotency_key)
        await self._pause(Point.LOOK_UP, call.call_no)
        if self.blind:
            return CannotTell(message="The target does not say.")
        return Found(refs=(_ref(made[0]),)) if made else Absent()

    # -- what happens --------------------------------------------------------------------------------------------

    async def _order(self, kind: str, call: ToolCall) -> ToolResult:
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        if self._inside > 1:
            self.crowded.set()
        try:
            return await self._answer(kind, call)
        finally:
            self._inside -= 1

    async def _answer(self, kind: str, call: ToolCall) -> ToolResult:
        key, honoured = call.idempotency_key, kind in _HONOURS_KEYS
        act = self._script.popleft() if self._script else Act.DO
        await self._send(act, call)
        match act:
            case Act.DO_LATER:
                self._landing.append((key, honoured))
                raise TimeoutError
            case Act.DO_ELSEWHERE:
                made = f"elsewhere-{len(self.made) + 1}"
                self.made.append((made, key))
            case _:
                made = self._make(key, honoured)
        if act is Act.DO_AND_DIE:
            raise Killed
        await self._pause(Point.REPLY, call.call_no)
        if act is Act.DO_AND_LOSE_REPLY:
            raise ConnectionResetError("the reply was lost")
        if act is Act.TALK_NONSENSE:
            return "done"  # type: ignore[return-value]
        message = "One of two lines." if act is Act.DO_PARTLY else ""
        return ToolResult(refs=(_ref(made),), partial=act is Act.DO_PARTLY, message=message)

    async def _take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        act = self._undo_script.popleft() if self._undo_script else Act.DO
        await self._send(act, call)
        for ref in args.refs:
            if ref["object_id"] not in self.taken_back:
                self.taken_back.append(ref["object_id"])
        await self._pause(Point.REPLY, call.call_no)
        if act is Act.DO_AND_LOSE_REPLY:
            raise ConnectionResetError("the reply was lost")
        return ToolResult(refs=(_ref(f"refund-{call.call_no}"),), partial=act is Act.DO_PARTLY)

    async def _send(self, act: Act, call: ToolCall) -> None:
        """Everything up to where a request has arrived."""
        await self._pause(Point.CHECK, call.call_no)
        call.ensure_timely()
        await self._pause(Point.SEND, call.call_no)
        if act in (Act.NOT_SENT, Act.NEVER_SENT):
            raise NotSent("NO_ROUTE", "The target could not be reached.", retryable=act is Act.NOT_SENT)
        self.sent.append(Sent(call.tenant_id, call.idempotency_key, call.call_no, self._clock.now_ms()))
        match act:
            case Act.REFUSE:
                raise Refused("BUSY", "The target is busy.", retryable=True, retry_after_seconds=7)
            case Act.REFUSE_FOR_GOOD:
                raise Refused("NO_STOCK", "There is none left.")
            case Act.LOSE_REQUEST:
                raise ConnectionResetError("the request was lost")
            case Act.TIME_OUT:
                raise TimeoutError
            case Act.DIE:
                raise Killed
            case _:
                return

    def _make(self, key: str, honoured: bool) -> str:
        known = self.objects(key)
        if honoured and known:
            return known[0]
        made = f"order-{len(self.made) + 1}"
        self.made.append((made, key))
        return made

    async def _pause(self, point: Point, call_no: int) -> None:
        hold = self._holds.pop((point, call_no), None)
        if hold is not None:
            await hold.wait()
        if self._gate is not None and self._gate[0] is point:
            await self._gate[1].wait()


def _ref(object_id: str) -> ObjectRef:
    return ObjectRef(system="target", object_type="order", object_id=object_id, version="1")
