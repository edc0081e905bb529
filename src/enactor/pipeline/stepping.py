"""Running the steps one at a time, for engines that give each step a place of its own and keep no memory in between.

What a step decides, and how a run comes back, is the driver's; only where one drive ends and the next begins differs.
A step that ends the run before any call says so and commits nothing: RecordFailure decides once more, and records.
"""

from __future__ import annotations

from typing import Final

from enactor.domain.attempt import TERMINAL, Phase, RunStatus
from enactor.domain.errors import ApprovalStale
from enactor.domain.intent import IntentStatus
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Drive, Driven, Driver, Progress
from enactor.pipeline.invoke import invoke_tool
from enactor.pipeline.model import Duplicate, Earlier, End, Reads, Run
from enactor.pipeline.preflight import effect_is_known
from enactor.pipeline.recover import recover
from enactor.pipeline.steps import STEPS, Step, following, step
from enactor.ports.engine import RunRequest

RECOVER: Final = "Recover"
RECORD_OUTCOME: Final = "RecordOutcome"
RECORD_FAILURE: Final = "RecordFailure"

_START: Final = STEPS[0]
_PREFLIGHT: Final = step("ValidatePreflight")
_MAPPING: Final = step("MapActionToTool")
_INVOCATION: Final = step("InvokeTool")
_COMPENSATION: Final = step("CompensateAction")
_OUTSIDE: Final = frozenset({_INVOCATION.name, _COMPENSATION.name})


class Stepper:
    """Runs single steps of runs. One object serves any number of runs at the same time."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    async def step(self, name: str, request: RunRequest, held_fence: int = 0) -> Driven:
        """Runs one step, and says what is next.

        Args:
            name: of a step of the list, or Recover, RecordOutcome or RecordFailure.
            held_fence: the fence that the step before gave; 0 when nothing is held.

        Returns:
            STEPPED with the name of the next step, WAITING, ENDED with the run's status as it is recorded, or NOTHING
            when somebody else has the run. Nothing is committed before a STEPPED that names RecordFailure.

        Raises:
            IntentNotFound, ApprovalStale: there is nothing to run, or no approval in force; nothing was changed.
            StoreFailed: the store cannot tell what happened.
        """
        return await self.driver.race(_Single(self.driver, request, held_fence, name))

    async def stop_waiting(self, request: RunRequest) -> bool:
        """Ends a run that waits and would be refused its next permit, now rather than when its wait is over.

        Changes nothing when the run is being driven, may go on, or has a call whose effect is not known. Returns
        whether it ended the run. Raises `Conflict` when its holder came back at the same time: then it sees for itself.
        """
        run, reads = await self.driver.read(request)
        lock = run.attempt
        if lock is None or lock.run_number != request.run_number or lock.status is not RunStatus.RUNNING:
            return False
        if lock.resume_at <= self.driver.ctx.now_ms() or _is_out(run):
            return False
        turn = invoke_tool(run, reads, self.driver.ctx)
        if not isinstance(turn, End):
            return False
        await self.driver.store.commit(turn.commands)
        return True


class _Single(Drive):
    """A drive of one step."""

    def __init__(self, driver: Driver, request: RunRequest, held_fence: int, name: str) -> None:
        super().__init__(driver, request, Earlier.UNKNOWN, held_fence)
        self._name = name

    async def go(self) -> Driven:
        if self._unrecorded is not None:
            return await self._record_reply(*self._unrecorded)
        run, reads = await self._driver.read(self._request)
        if run.attempt is None:
            return await self._begin(run, reads)
        if run.attempt.run_number != run.run_number:
            return Driven(Progress.NOTHING)
        if run.attempt.status in TERMINAL:
            return Driven(Progress.ENDED, run)
        if self._name in (_START.name, RECOVER):
            return await self._come_back(run, reads)
        if run.attempt.status is RunStatus.IN_DOUBT:
            return Driven(Progress.ENDED, run)
        if run.attempt.fence != self._held_fence:
            return Driven(Progress.NOTHING, run)
        if _is_out(run):
            return Driven(Progress.STEPPED, run, fence=self._held_fence, next_step=RECOVER)
        return await self._go_on(run, reads)

    def _stops_before(self, step: Step) -> bool:
        if self._name == RECOVER:
            # What Recover goes on with has been decided once; looking at the mapping again calls nobody.
            return step.name in _OUTSIDE or step is _PREFLIGHT
        return True

    async def _begin(self, run: Run, reads: Reads) -> Driven:
        if self._name != _START.name:
            return Driven(Progress.NOTHING, run)
        if reads.intent.status is not IntentStatus.APPROVED:
            raise ApprovalStale(f"No approval is in force; the intent is {reads.intent.status}.")
        if reads.intent.shadow:
            return Driven(Progress.NOTHING, run)
        return await self._follow(_START.run(run, self._with_budget(reads), self._ctx), _START, reads)

    async def _come_back(self, run: Run, reads: Reads) -> Driven:
        """Takes a run up that has its lock: from the start when nothing was called, or through Recover."""
        turn = _START.run(run, reads, self._ctx)
        if not isinstance(turn, Duplicate):
            return await self._follow(turn, _START, reads)
        if self._name == _START.name:
            return Driven(Progress.STEPPED, run, next_step=RECOVER)
        # The holder may be alive while its call is out; without one, its fence alone says whether it is we.
        same = run.lock.fence == self._held_fence and not _is_out(run)
        turn = recover(run, reads, self._ctx, Earlier.SELF if same else Earlier.UNKNOWN, self._held_fence)
        if isinstance(turn, Duplicate) and run.lock.status is RunStatus.IN_DOUBT:
            due = run.lock.deadline_at
            return Driven(Progress.WAITING, run, due) if due else Driven(Progress.ENDED, run)
        return await self._follow(turn, _PREFLIGHT, reads)

    async def _go_on(self, run: Run, reads: Reads) -> Driven:
        match self._name:
            case _PREFLIGHT.name | _MAPPING.name:
                current = step(self._name)
                turn = current.run(run, reads, self._ctx)
                if isinstance(turn, End):
                    return Driven(Progress.STEPPED, run, fence=self._held_fence, next_step=RECORD_FAILURE)
                return Driven(Progress.STEPPED, run, fence=self._held_fence, next_step=following(current.name).name)
            case _INVOCATION.name | _COMPENSATION.name:
                current = _COMPENSATION if run.lock.phase is Phase.COMPENSATION else _INVOCATION
                return await self._follow(current.run(run, reads, self._ctx), current, reads)
            case name if name == RECORD_FAILURE:
                for current in (_PREFLIGHT, _MAPPING):
                    turn = current.run(run, reads, self._ctx)
                    if isinstance(turn, End):
                        return await self._follow(turn, current, reads)
            case name if name == RECORD_OUTCOME and effect_is_known(run):
                return await self._follow(invoke_tool(run, reads, self._ctx), _INVOCATION, reads)
            case _:
                pass
        return Driven(Progress.STEPPED, run, fence=self._held_fence, next_step=RECOVER)


def _is_out(run: Run) -> bool:
    """Whether a call may be out: its permit is open."""
    return any(permit.result is CallResult.OPEN for permit in run.permits)
