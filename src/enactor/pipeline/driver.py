"""The driver: runs the list of steps over a store and a tool plane, from one wait to the next.

Engines decide who drives a run, and when; what driving means is the same everywhere. Commands of consecutive steps are
committed together until the outside world is touched (the barrier), and every lost race comes back through Recover.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.action_type import ActionType
from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import ApprovalStale, ErrorClass, FailureCode, IntentNotFound, Unavailable
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.kill_switch import scopes_of
from enactor.domain.permit import CallResult
from enactor.pipeline.fold import folded
from enactor.pipeline.invoke import looked_up
from enactor.pipeline.model import (
    Call,
    Context,
    Continue,
    Duplicate,
    Earlier,
    End,
    LookUp,
    Reads,
    ReadTarget,
    Run,
    Turn,
    Wait,
    with_attempt,
)
from enactor.pipeline.reading import target_read
from enactor.pipeline.recover import late_result, recover
from enactor.pipeline.settle import settled
from enactor.pipeline.steps import STEPS, Step, following, step
from enactor.pipeline.undoing import original_of
from enactor.ports.commands import Command, Conflict, ConflictKind, StartAttempt
from enactor.ports.engine import RunRequest
from enactor.ports.store import Store
from enactor.ports.tools import CallRequest, LookUpResult, Reading, Reply, ToolPlane

_log = logging.getLogger("enactor.pipeline")

_RACES: Final = 25
_CACHED_ENTRIES: Final = 1_024
_BEFORE_MAPPING: Final = step("ValidatePreflight")
_INVOCATION: Final = step("InvokeTool")
_COMPENSATION: Final = step("CompensateAction")


class Progress(StrEnum):
    """How far a drive came."""

    ENDED = "ENDED"
    WAITING = "WAITING"
    NOTHING = "NOTHING"
    STEPPED = "STEPPED"
    """Only where steps are run apart (`stepping.py`): another step is next."""


class Driven(Struct, frozen=True, gc=False):
    """What came of driving a run.

    Attributes:
        until: WAITING: when to come back, epoch milliseconds.
        fence: the fence this driver holds, to be given when it comes back itself; 0 when it holds none.
        status: the run's status as last committed.
        next_step: STEPPED: the name of the step that is next.
    """

    progress: Progress
    run: Run | None = None
    until: int = 0
    fence: int = 0
    next_step: str = ""

    @property
    def status(self) -> RunStatus | None:
        """The run's status as last committed, if it was started."""
        return self.run.attempt.status if self.run is not None and self.run.attempt is not None else None


class _Unrecorded(Exception):
    """A reply whose commit conflicted. It must not be lost: it is settled again, or recorded as a late result."""


class Driver:
    """Drives runs. One object serves any number of runs at the same time."""

    def __init__(self, store: Store, tools: ToolPlane, ctx: Context) -> None:
        self.store = store
        self.tools = tools
        self.ctx = ctx
        self._entries: OrderedDict[tuple[str, str, int], ActionType] = OrderedDict()

    def drive(
        self, request: RunRequest, earlier: Earlier = Earlier.UNKNOWN, held_fence: int = 0
    ) -> Coroutine[Any, Any, Driven]:
        """Drives a run until it ends or has to wait.

        Args:
            request: the run; an intent handed over is tried first, and read again if it is stale.
            earlier: what is known about whoever held the run before.
            held_fence: SELF: the fence this driver held when it last came from here.

        Raises:
            IntentNotFound, ApprovalStale: there is nothing to run, or no approval in force; nothing was changed.
            StoreFailed: the store cannot tell what happened; the process has to stop.
        """
        return self.race(Drive(self, request, earlier, held_fence))

    @staticmethod
    async def race(drive: Drive) -> Driven:
        """Has a drive go again after every race it loses. Raises what `drive` raises."""
        for _ in range(_RACES):
            try:
                return await drive.go()
            except _Unrecorded:
                continue
            except Conflict as conflict:
                if conflict.kind is ConflictKind.STARTED_BY_OTHER_OWNER:
                    return Driven(Progress.NOTHING)
                drive.lost(conflict.kind)
        raise Unavailable("The run lost too many races in a row; the sweeper will come back to it.")

    # -- reading -------------------------------------------------------------------------------------------------

    async def read(self, request: RunRequest) -> tuple[Run, Reads]:
        """The run and what steps may look at, as the store has them now. Raises `IntentNotFound`."""
        records = await self.store.execution(request.tenant_id, request.action_intent_id)
        if records is None:
            raise IntentNotFound("There is no such intent.")
        reads = await self.reads(records.intent, cancel_requested=records.cancel_requested)
        run = Run.of(records, request.run_number)
        if reads.intent.undoes is not None:
            run = msgspec.structs.replace(run, original=await original_of(self.store, reads.intent))
        return run, reads

    async def reads(self, intent: ActionIntent, *, cancel_requested: bool) -> Reads:
        """What steps may look at, for an intent at hand."""
        scopes = scopes_of(intent.tenant_id, intent.action_type, intent.connector_id)
        undo, tool_name = intent.compensation.tool_name, intent.tool_call.tool_name
        return Reads(
            intent=intent,
            entry=await self._entry(intent),
            tool=self.tools.definition(tool_name),
            connector_version=self.tools.connector_version(tool_name, intent.tenant_id, intent.account_id),
            undo_tool=self.tools.definition(undo) if undo else None,
            switches=await self.store.switches(scopes),
            cancel_requested=cancel_requested,
        )

    async def _entry(self, intent: ActionIntent) -> ActionType | None:
        """The pinned registry entry. Versions never change, so what was read once is kept."""
        key = (intent.tenant_id, intent.action_type, intent.registry_version)
        entry = self._entries.get(key)
        if entry is None:
            own = await self.store.action_type(*key)
            entry = own or await self.store.action_type("", intent.action_type, intent.registry_version)
            if entry is None:
                return None
            self._entries[key] = entry
            if len(self._entries) > _CACHED_ENTRIES:
                self._entries.popitem(last=False)
        return entry


class Drive:
    """One drive: what it holds, and a reply that is not durable yet."""

    def __init__(self, driver: Driver, request: RunRequest, earlier: Earlier, held_fence: int) -> None:
        self._driver = driver
        self._ctx = driver.ctx
        self._request = request
        handed = request.intent
        # An undo needs the run that it takes back as well, which is read with it.
        self._handed = handed if request.run_number == 1 and handed is not None and handed.undoes is None else None
        self._earlier = earlier
        self._held_fence = held_fence
        self._over_budget = False
        self._unrecorded: tuple[Call, Reply] | None = None

    def lost(self, kind: ConflictKind) -> None:
        """Takes notice of a lost race: what was handed over or believed is read again."""
        self._handed = None
        self._over_budget = kind is ConflictKind.BUDGET_EXCEEDED
        if kind is ConflictKind.STALE_FENCE and self._earlier is Earlier.DEAD:
            self._earlier = Earlier.UNKNOWN

    async def go(self) -> Driven:
        """Drives from what is known now. Raises `Conflict`, after which it can be asked again."""
        if self._unrecorded is not None:
            return await self._record_reply(*self._unrecorded)
        if self._handed is not None:
            intent = self._handed
            run = Run(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, run_number=1)
            reads = await self._driver.reads(intent, cancel_requested=False)
        else:
            run, reads = await self._driver.read(self._request)
            if run.attempt is None and reads.intent.status is not IntentStatus.APPROVED:
                raise ApprovalStale(f"No approval is in force; the intent is {reads.intent.status}.")
        if reads.intent.shadow:
            return Driven(Progress.NOTHING, run)
        reads = self._with_budget(reads)
        turn = STEPS[0].run(run, reads, self._ctx)
        if not isinstance(turn, Duplicate) or run.attempt is None:
            return await self._follow(turn, STEPS[0], reads)
        turn = recover(run, reads, self._ctx, self._earlier, self._held_fence)
        return await self._follow(turn, _BEFORE_MAPPING, reads)

    def _with_budget(self, reads: Reads) -> Reads:
        return msgspec.structs.replace(reads, budget_exceeded=True) if self._over_budget else reads

    def _stops_before(self, step: Step) -> bool:
        """Whether that step is somebody else's: what is known is made durable, and the drive ends there."""
        return False

    async def _follow(self, turn: Turn, current: Step, reads: Reads) -> Driven:
        """Follows turns to the end or to a wait, holding commands back until something has to be durable."""
        pending: list[Command] = []
        while True:
            match turn:
                case Continue():
                    pending += turn.commands
                    compensating = turn.run.lock.phase is Phase.COMPENSATION
                    current = _COMPENSATION if compensating else following(current.name)
                    if self._stops_before(current):
                        await self._commit(turn.run, pending, ())
                        return Driven(Progress.STEPPED, turn.run, fence=self._held_fence, next_step=current.name)
                    turn = current.run(turn.run, reads, self._ctx)
                case Call():
                    await self._commit(turn.run, pending, turn.commands)
                    reply = await self._call(turn.request)
                    self._unrecorded = (turn, reply)
                    turn = settled(turn, reads, self._ctx, reply)
                case LookUp():
                    await self._commit(turn.run, pending, turn.commands)
                    asked_at = self._ctx.now_ms()
                    answer = await self._driver.tools.look_up(turn.request)
                    turn = looked_up(turn, reads, self._ctx, asked_at, answer)
                case ReadTarget():
                    await self._commit(turn.run, pending, turn.commands)
                    turn = target_read(turn, reads, self._ctx, await self._read_target(turn))
                case Wait():
                    await self._commit(turn.run, pending, turn.commands)
                    return Driven(Progress.WAITING, turn.run, turn.until, self._held_fence)
                case End():
                    if any(isinstance(command, StartAttempt) for command in pending):
                        await self._commit(turn.run, pending, ())
                    await self._commit(turn.run, pending, turn.commands)
                    return Driven(Progress.ENDED, turn.run)
                case Duplicate():
                    return Driven(Progress.NOTHING, turn.run)

    async def _read_target(self, turn: ReadTarget) -> Reading | LookUpResult:
        tools = self._driver.tools
        return await tools.look_up(turn.request) if turn.back else await tools.preview(turn.request)

    async def _call(self, request: CallRequest) -> Reply:
        late = False

        def check() -> bool:
            nonlocal late
            late = self._ctx.clock.elapsed_ms() > request.send_not_after
            return not late

        try:
            reply = await self._driver.tools.call(request, check)
        except Exception as error:  # noqa: BLE001 - a door that breaks its promise has still been gone through
            _log.error("the call of %s broke off with %s", request.tool_name, type(error).__name__)
            reply = None
        if reply is None or reply.result is CallResult.OPEN:
            return Reply(
                result=CallResult.UNKNOWN,
                retryable=True,
                error_class=ErrorClass.UNKNOWN,
                error_code=FailureCode.TOOL_FAILED.value,
                message="The call broke off without saying whether it had an effect.",
            )
        if late and reply.result is CallResult.NOT_SENT and not reply.deferred_reason:
            # A new permit is taken; that the old one ran out is no fault of the target, and costs no retry.
            return msgspec.structs.replace(reply, deferred_reason="the permit ran out before the call left")
        return reply

    async def _commit(self, run: Run, pending: list[Command], commands: Sequence[Command]) -> None:
        """Makes everything held back durable. From then on the run is this drive's own."""
        if not pending and not commands:
            return
        try:
            await self._driver.store.commit(folded([*pending, *commands]))
        except Conflict as conflict:
            if self._unrecorded is None:
                raise
            raise _Unrecorded from conflict
        pending.clear()
        self._unrecorded = None
        self._handed = None
        self._earlier, self._held_fence = Earlier.SELF, run.lock.fence

    async def _record_reply(self, call: Call, reply: Reply) -> Driven:
        """Takes a reply whose commit conflicted: settles it by what is known now, or records it as late."""
        run, reads = await self._driver.read(self._request)
        stored = next((permit for permit in run.permits if permit.call_no == call.permit.call_no), None)
        ours = run.attempt is not None and run.attempt.fence == call.permit.fence
        if ours and stored is not None and stored.result is CallResult.OPEN:
            turn = settled(msgspec.structs.replace(call, run=run), reads, self._ctx, reply)
            return await self._follow(turn, _INVOCATION, reads)
        if run.attempt is not None and run.run_number != run.attempt.run_number:
            run = with_attempt(run, trace_id=call.request.trace_id)
        return await self._follow(late_result(run, reads, self._ctx, call.permit, reply), _INVOCATION, reads)
