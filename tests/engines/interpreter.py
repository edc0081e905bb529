"""A small interpreter of the Amazon States Language: what the generated definition uses, in time that tests move.

It runs the real definition with the real functions' code, so that the engine's suite can cover every race in seconds.
The independent interpreters are in `tests/aws`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from enactor.conformance.target import Killed
from enactor.conformance.world import World
from enactor.domain.time import epoch_ms
from enactor.engines.stepfunctions.contract import StepState, step_state
from enactor.engines.stepfunctions.definition import FUNCTIONS, definition
from enactor.engines.stepfunctions.engine import StepFunctionsEngine, as_input
from enactor.engines.stepfunctions.runner import StepRunner
from enactor.engines.stepfunctions.trigger import ApprovalTrigger, Approved, Starter, detail_of
from enactor.pipeline.driver import Driver
from enactor.pipeline.stepping import Stepper
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.ports.store import Store

Task = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class FailedExecution(Exception):
    """The execution ended in a Fail state, whose `Error` this is."""


def value_at(path: str, document: Any) -> Any:
    """The value at a reference path such as `$.a.b`."""
    for part in path.removeprefix("$").split(".")[1:]:
        document = document[part]
    return document


def filled(template: Any, document: Any) -> Any:
    """`Parameters`: members whose names end in `.$` are paths."""
    if not isinstance(template, dict):
        return template
    return {
        name.removesuffix(".$"): value_at(value, document) if name.endswith(".$") else filled(value, document)
        for name, value in template.items()
    }


class Interpreter:
    """Runs executions of one definition.

    Attributes:
        entered: the states that executions entered, in order.
    """

    def __init__(self, world: World, task: Task) -> None:
        self._world = world
        self._task = task
        self.machine = definition({name: name for name in FUNCTIONS.values()})
        self.entered: list[str] = []
        self.waiting = 0

    async def run(self, document: dict[str, Any]) -> Any:
        """One execution, to its end. Raises `FailedExecution`."""
        name = self.machine["StartAt"]
        while True:
            state = self.machine["States"][name]
            self.entered.append(name)
            match state["Type"]:
                case "Task":
                    name, document = await self._run_task(state, document)
                    if not name:
                        return document
                case "Choice":
                    found = [
                        c["Next"] for c in state["Choices"] if value_at(c["Variable"], document) == c["StringEquals"]
                    ]
                    name = found[0] if found else state["Default"]
                case "Wait":
                    until = epoch_ms(value_at(state["TimestampPath"], document))
                    self.waiting += 1
                    try:
                        await self._world.clock.sleep(max(0, until - self._world.clock.now_ms()) / 1000)
                    finally:
                        self.waiting -= 1
                    name = state["Next"]
                case "Succeed":
                    return document
                case "Fail":
                    raise FailedExecution(state["Error"])

    async def _run_task(self, state: dict[str, Any], document: dict[str, Any]) -> tuple[str, Any]:
        parameters = filled(state["Parameters"], document)
        tries = 0
        while True:
            try:
                payload = await self._task(parameters["FunctionName"], parameters["Payload"])
            except (Exception, Killed) as error:
                # What AWS says of a function whose process ended.
                kind = "Runtime.ExitError" if isinstance(error, Killed) else type(error).__name__
                retry = next((retry for retry in state["Retry"] if kind in retry["ErrorEquals"]), None)
                if retry is not None and tries < retry["MaxAttempts"]:
                    tries += 1
                    await self._world.clock.sleep(0)
                    continue
                caught = [c for c in state["Catch"] if {kind, "States.ALL"} & set(c["ErrorEquals"])]
                if not caught:
                    raise FailedExecution(kind) from error
                return caught[0]["Next"], document
            return state.get("Next", ""), value_at(state["OutputPath"], {"Payload": payload})


class SimulatedAws:
    """The engine with what AWS does around it: bus, queue, starter, state machine, and the sweeper's schedule."""

    def __init__(
        self, world: World, *, driver: Driver | None = None, store_of: Callable[[str], Store] | None = None
    ) -> None:
        """`store_of` gives each function a store of its own, by the function's name."""
        self._world = world
        store_of = store_of or (lambda function: world.store)
        self._stepper = Stepper(driver or world.driver(store_of("api")))
        self._runners = {
            name: StepRunner(Stepper(driver or world.driver(store_of(name)))) for name in FUNCTIONS.values()
        }
        self.interpreter = Interpreter(world, self._invoke)
        self._engine = StepFunctionsEngine(self, store_of("sweeper"), world.clock)
        self._trigger = ApprovalTrigger(self, store_of("api"), self._stepper)
        self._starter = Starter(StepFunctionsEngine(self, store_of("starter"), world.clock), store_of("starter"))
        self._names: set[str] = set()
        self._executions: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._inside = 0
        self._accepting = True
        self.ended: dict[str, str] = {}
        self.invoked: list[str] = []

    async def start_execution(self, name: str, state: StepState) -> bool:
        """A name is used once."""
        if name in self._names or not self._accepting:
            return False
        self._names.add(name)
        task = asyncio.create_task(self._execute(name, as_input(state)))
        self._executions.add(task)
        task.add_done_callback(self._executions.discard)
        return True

    async def _execute(self, name: str, document: dict[str, Any]) -> None:
        try:
            output = await self.interpreter.run(document)
            self.ended[name] = output.get("status", "NOTHING")
        except FailedExecution as error:
            self.ended[name] = str(error)

    async def publish(self, approved: Approved) -> None:
        """The bus, the queue and the starter, without time between."""
        if self._accepting:
            event = {"source": "cc-native", "detail-type": "ACTION_APPROVED", "detail": detail_of(approved)}
            await self._starter.take(json.dumps(event))

    async def _invoke(self, function: str, payload: dict[str, Any]) -> dict[str, Any]:
        assert FUNCTIONS[payload["step"]] == function
        if not self._accepting:
            await asyncio.Event().wait()
        self._inside += 1
        self.invoked.append(payload["step"])
        try:
            given = await self._runners[function].run(payload["step"], step_state(payload))
        finally:
            self._inside -= 1
        found: dict[str, Any] = msgspec.to_builtins(given)
        return found

    # -- the engine port -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins the sweeper's schedule."""
        self._sweeper = asyncio.create_task(self._keep_sweeping())

    async def _keep_sweeping(self) -> None:
        while True:
            await self._engine.sweep()
            await self._world.clock.sleep(60)

    async def submit(self, request: RunRequest) -> None:
        """As the API does."""
        await self._trigger.submit(request)

    async def drain(self, timeout_seconds: float) -> None:
        """Every function that runs comes back, if it has the time; then nothing is left of this AWS."""
        self._accepting = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        turns = 0
        while self._inside and (timeout_seconds >= 1 or turns < 1):
            turns += 1
            await asyncio.sleep(0)
        left = [*self._executions]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def info(self) -> EngineInfo:
        """Waiting executions are not busy."""
        waiting = self.interpreter.waiting
        return EngineInfo(
            kind="stepfunctions",
            queued=0,
            running=len(self._executions) - waiting,
            waiting=waiting,
            accepting=self._accepting,
        )
