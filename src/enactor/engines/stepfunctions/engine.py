"""The Step Functions engine: an execution of the state machine drives a run; its name makes it run once.

Nothing is held in this process. What the state machine loses (an execution that AWS ended, one that was never started)
the sweeper finds in the store, and starts again under a name of its own: AWS keeps a used name for 90 days.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

import msgspec

from enactor.domain.attempt import RunStatus
from enactor.domain.ids import run_name
from enactor.domain.time import epoch_ms
from enactor.engines.stepfunctions.contract import StepState
from enactor.ports.clock import Clock
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.ports.store import RunDue, Store

_log = logging.getLogger("enactor.engine")
_PAGE: Final = 500
_LATE_MS: Final = 120_000
"""How long the state machine itself is given before the sweeper steps in."""
_AGAIN_MS: Final = 900_000
"""How long an execution of the sweeper's is given before it starts another one for the same run."""


class Machine(Protocol):
    """The state machine."""

    async def start_execution(self, name: str, state: StepState) -> bool:
        """Starts an execution. False when there is, or was in the last 90 days, one of that name.

        Raises:
            Unavailable: it cannot be started now.
        """
        ...


class StepFunctionsEngine:
    """Starts executions of the state machine.

    Args:
        machine: the state machine.
        store: lists what is unfinished.
    """

    def __init__(self, machine: Machine, store: Store, clock: Clock) -> None:
        self._machine = machine
        self._store = store
        self._clock = clock

    async def start(self) -> None:
        """Nothing: executions go on by themselves, and the sweeper has a schedule of its own."""

    async def submit(self, request: RunRequest) -> None:
        """Starts the run's execution. One of its name that is there already is as good.

        Raises:
            Unavailable: it cannot be started now.
        """
        await self._machine.start_execution(
            run_name(request.action_intent_id, request.run_number), _first_state(request)
        )

    async def drain(self, timeout_seconds: float) -> None:
        """Nothing to wait for: no run depends on this process."""

    def info(self) -> EngineInfo:
        """How busy the state machine is, its own metrics say."""
        return EngineInfo(kind="stepfunctions", queued=0, running=0, waiting=0, accepting=True)

    async def sweep(self) -> int:
        """Starts an execution for every run that nobody looks after any more. Returns for how many.

        Raises:
            Unavailable: the state machine takes no more now; the next sweep goes on.
        """
        started, after = 0, ""
        while page := await self._store.due(self._clock.now_ms(), _PAGE, after):
            for run in page:
                lost_at = await self._lost_at(run)
                if lost_at is not None and await self._take_up(run, lost_at):
                    started += 1
            after = page[-1].action_intent_id
        return started

    async def _lost_at(self, run: RunDue) -> int | None:
        """Since when nobody looks after the run (epoch milliseconds), or None."""
        if run.status is not None:
            since = run.deadline_at
        else:
            intent = await self._store.intent(run.tenant_id, run.action_intent_id)
            if intent is None or not intent.approved_at:
                return None
            since = epoch_ms(intent.approved_at)
        return since if since + _LATE_MS <= self._clock.now_ms() else None

    async def _take_up(self, run: RunDue, lost_at: int) -> bool:
        request = RunRequest(
            action_intent_id=run.action_intent_id, tenant_id=run.tenant_id, run_number=max(run.run_number, 1)
        )
        turn = (self._clock.now_ms() - lost_at) // _AGAIN_MS
        name = f"sweep-{run_name(request.action_intent_id, request.run_number)}-{lost_at}-{turn}"
        started = await self._machine.start_execution(name[:80], _first_state(request))
        if started:
            status = run.status or RunStatus.RUNNING
            _log.warning("took up run %s of intent %s (%s)", request.run_number, run.action_intent_id, status.value)
        return started


def _first_state(request: RunRequest) -> StepState:
    return StepState(
        action_intent_id=request.action_intent_id, tenant_id=request.tenant_id, run_number=request.run_number
    )


def as_input(state: StepState) -> dict[str, Any]:
    """The input of an execution: every member that a state's parameters name."""
    members: dict[str, Any] = msgspec.to_builtins(state)
    return {name: members[name] for name in ("action_intent_id", "tenant_id", "run_number", "fence")}
