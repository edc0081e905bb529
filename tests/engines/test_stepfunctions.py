"""What the Step Functions engine promises besides the port's suite: its counts, its ways, and functions that die."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.engine import EngineConformance, quiet
from enactor.conformance.target import Act, Killed
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed, Unavailable
from enactor.domain.intent import ActionIntent, ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.engines.stepfunctions.contract import Next, StepState, step_state, whole_seconds
from enactor.engines.stepfunctions.definition import CHOICE, FUNCTION_SECONDS, FUNCTIONS, definition
from enactor.engines.stepfunctions.engine import StepFunctionsEngine
from enactor.engines.stepfunctions.errors import DuplicateExecution, NothingToRun, PermanentError, TransientError
from enactor.engines.stepfunctions.runner import StepRunner
from enactor.engines.stepfunctions.trigger import Approved, MalformedEvent, Starter, TooEarly, approved_of, detail_of
from enactor.pipeline.stepping import Stepper
from enactor.pipeline.steps import STEPS
from enactor.ports.commands import Command
from enactor.ports.engine import RunRequest
from enactor.ports.store import Store
from enactor.stores.memory import MemoryStore
from tests.engines.interpreter import SimulatedAws

HAPPY = ["StartExecution", "ValidatePreflight", "MapActionToTool", "InvokeTool", CHOICE, "RecordOutcome"]


@pytest.fixture
async def world() -> World:
    """A world in memory."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock)


class Fated:
    """A store under which one function dies, once: before or after its commit of that number."""

    def __init__(self, store: Store, number: int, *, after: bool) -> None:
        self._store, self._number, self._after = store, number, after
        self.commits = 0

    async def commit(self, commands: Sequence[Command]) -> None:
        """Commits, unless this is where the function dies."""
        self.commits += 1
        if self.commits == self._number and not self._after:
            raise Killed
        await self._store.commit(commands)
        if self.commits == self._number:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def finished(world: World, aws: SimulatedAws, intent: ActionIntent) -> RunStatus:
    """Starts an intent's run, and lets time pass until it has ended."""
    await aws.submit(world.request(intent))
    return await EngineConformance.ended(world, aws, intent)


def runner(world: World) -> StepRunner:
    """What each function is."""
    return StepRunner(Stepper(world.driver()))


def state_of(intent: ActionIntent, **more: Any) -> StepState:
    """An input of the intent's run."""
    return StepState(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, **more)


# -- counts ------------------------------------------------------------------------------------------------------


async def test_a_run_that_is_done_at_once_costs_three_commits_and_seven_transitions(world: World) -> None:
    """Lock, permit, result with outcome; six states entered, and the way into the first one."""
    watched = Watched(world.store)
    aws = SimulatedAws(world, driver=world.driver(watched))
    intent = await world.approved("unsafe")
    assert await finished(world, aws, intent) is RunStatus.SUCCEEDED
    await quiet(aws)
    assert aws.interpreter.entered == HAPPY
    assert len(watched.commits) == 3
    assert len(aws.invoked) == 5
    assert aws.ended == {f"exec-{intent.action_intent_id}": "SUCCEEDED"}


async def test_only_ids_and_a_fence_travel(world: World) -> None:
    """No parameter, argument or reply is in what a state gives on, whatever it was called with."""
    intent = await world.approved("keyed")
    state = state_of(intent)
    for name in [name for name in HAPPY if name != CHOICE]:
        state = await runner(world).run(name, state)
        assert set(msgspec.to_builtins(state)) == {
            *("action_intent_id", "tenant_id", "run_number", "fence", "next", "until", "status")
        }
        assert step_state(msgspec.to_builtins(state)) == state
    assert state.status == "SUCCEEDED"


# -- the definition ----------------------------------------------------------------------------------------------


def test_the_definition_is_the_list_of_steps() -> None:
    """Every step of the list is a state, in order; every way leads to a state; every state can be reached."""
    machine = definition({name: name for name in FUNCTIONS.values()})
    states = machine["States"]
    assert [name for name in states if name in {step.name for step in STEPS}] == [step.name for step in STEPS]
    ways = {machine["StartAt"]}
    for state in states.values():
        ways |= {state.get("Next", ""), state.get("Default", "")} - {""}
        ways |= {way["Next"] for way in (*state.get("Choices", ()), *state.get("Catch", ()))}
    assert ways == set(states)
    assert {choice["Next"] for choice in states[CHOICE]["Choices"]} == {going.value for going in Next}


def test_whatever_breaks_a_call_leads_to_recover() -> None:
    """InvokeTool and CompensateAction have one way out of an error, and it is not the one that records a failure."""
    states = definition({name: name for name in FUNCTIONS.values()})["States"]
    for name in ("InvokeTool", "CompensateAction"):
        assert [(c["ErrorEquals"], c["Next"]) for c in states[name]["Catch"]] == [(["States.ALL"], "Recover")]


def test_deadlines_are_nested() -> None:
    """A function ends before its state gives it up; nothing runs longer than AWS allows (900 s)."""
    states = definition({name: name for name in FUNCTIONS.values()})["States"]
    for name, function in FUNCTIONS.items():
        assert FUNCTION_SECONDS[function] < states[name]["TimeoutSeconds"] <= 900


def test_an_instant_to_wait_for_is_never_early() -> None:
    """Whole seconds, rounded up, as a Wait state reads them."""
    assert whole_seconds(1_700_000_000_001) == "2023-11-14T22:13:21Z"
    assert whole_seconds(1_700_000_000_000) == "2023-11-14T22:13:20Z"


# -- functions that die, and are asked twice ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["keyed", "searched", "unsafe"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_function_that_dies_at_a_write_loses_and_doubles_nothing(
    world: World, kind: str, number: int, after: bool
) -> None:
    """One effect at most, the truth in the record, and a chain that verifies."""
    fated = Fated(world.store, number, after=after)
    aws = SimulatedAws(world, driver=world.driver(cast(Watched, fated)))
    await aws.start()
    intent = await world.approved(kind)
    status = await finished(world, aws, intent)
    await quiet(aws)
    made = len(world.target.made)
    out = (number, after) in {(2, True), (3, False)}
    assert status is (RunStatus.IN_DOUBT if kind == "unsafe" and out else RunStatus.SUCCEEDED)
    assert made == (0 if status is RunStatus.IN_DOUBT and number == 2 else 1)
    assert (await world.events(intent)).count(LedgerEvent.EXECUTION_STARTED) == 1
    assert "RecordFailure" not in aws.invoked or status is RunStatus.IN_DOUBT
    await world.verify()
    await aws.drain(5)


async def test_a_repeat_of_the_call_goes_to_recover(world: World) -> None:
    """The invoker asked twice finds its own open permit: it never calls again by itself."""
    world.target.script(Act.DO_AND_DIE)
    intent = await world.approved("unsafe")
    state = await runner(world).run("StartExecution", state_of(intent))
    with pytest.raises(Killed):
        await runner(world).run("InvokeTool", state)
    again = await runner(world).run("InvokeTool", state)
    assert (again.next, len(world.target.sent)) == (Next.RECOVER, 1)
    waiting = await runner(world).run("Recover", again)
    assert (waiting.next, waiting.until) == (Next.WAIT, whole_seconds((await world.attempt(intent)).deadline_at))


async def test_a_repeat_of_the_start_goes_on_and_fences_the_first_off(world: World) -> None:
    """The same owner's repeat has the lock, under a fence of its own; who had the reply of the first one is out."""
    intent = await world.approved("keyed")
    first = await runner(world).run("StartExecution", state_of(intent))
    second = await runner(world).run("StartExecution", state_of(intent))
    assert second.fence > first.fence
    with pytest.raises(DuplicateExecution):
        await runner(world).run("ValidatePreflight", first)
    assert (await runner(world).run("InvokeTool", first)).next == Next.NOTHING
    assert (await runner(world).run("InvokeTool", second)).next == Next.RECORD_OUTCOME
    assert len(world.target.sent) == 1


async def test_a_late_start_changes_nothing(world: World) -> None:
    """An execution that begins when the run is over is a duplicate, at every state."""
    intent = await world.approved("keyed")
    await world.run(intent)
    before = await world.events(intent)
    for name in ("StartExecution", "ValidatePreflight", "MapActionToTool"):
        with pytest.raises(DuplicateExecution):
            await runner(world).run(name, state_of(intent, fence=1))
    assert (await runner(world).run("InvokeTool", state_of(intent, fence=1))).next == Next.RECORD_OUTCOME
    assert await world.events(intent) == before


async def test_a_refusal_is_recorded_by_record_failure(world: World) -> None:
    """ValidatePreflight says no and writes nothing; RecordFailure decides again, and writes it once."""
    intent = await world.approved("keyed")
    state = await runner(world).run("StartExecution", state_of(intent))
    await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")
    with pytest.raises(PermanentError):
        await runner(world).run("ValidatePreflight", state)
    assert await world.status(intent) is RunStatus.RUNNING
    assert (await runner(world).run("RecordFailure", state)).status == "CANCELLED"
    assert (await runner(world).run("RecordFailure", state)).next == Next.RECORDED
    assert (await world.events(intent)).count(LedgerEvent.EXECUTION_CANCELLED) == 1


async def test_what_is_not_refused_any_more_is_not_recorded_as_a_failure(world: World) -> None:
    """A mapping that was gone and is back: the run goes on through Recover."""
    intent = await world.approved("keyed")
    state = await runner(world).run("StartExecution", state_of(intent))
    world.doors.redefined["target.keyed"] = None
    with pytest.raises(PermanentError):
        await runner(world).run("MapActionToTool", state)
    world.doors.redefined.clear()
    assert (await runner(world).run("RecordFailure", state)).next == Next.RECOVER
    assert (await runner(world).run("Recover", state)).next == Next.VALIDATE_PREFLIGHT


async def test_trouble_with_the_store_is_transient(world: World) -> None:
    """Throttled or unreachable: the state is tried again, and finds what was written before."""

    class Ill:
        def __init__(self, error: Exception) -> None:
            self._error = error

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
            async def fail(*_: object) -> Any:
                raise self._error

            return fail

    intent = await world.approved("keyed")
    for error in (StoreFailed("no answer"), Unavailable("too much")):
        ill = StepRunner(Stepper(world.driver(cast(Watched, Ill(error)))))
        with pytest.raises(TransientError):
            await ill.run("StartExecution", state_of(intent))


# -- waiting -----------------------------------------------------------------------------------------------------


async def test_who_waits_and_may_go_on_is_left_alone(world: World) -> None:
    """Word of a run that waits for its retry changes nothing, and a run whose call is out is not touched."""
    world.target.script(Act.REFUSE, Act.DO_AND_DIE)
    stepper = Stepper(world.driver())
    waiting, out = await world.approved("keyed"), await world.approved("unsafe")
    await world.driver().drive(world.request(waiting))
    with pytest.raises(Killed):
        await world.driver().drive(world.request(out))
    assert not await stepper.stop_waiting(world.request(waiting))
    await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")
    assert not await stepper.stop_waiting(world.request(out))
    assert await stepper.stop_waiting(world.request(waiting))
    assert not await stepper.stop_waiting(world.request(waiting))
    assert await world.status(out) is RunStatus.RUNNING


async def test_nobody_writes_an_end_that_its_holder_does_not_find(world: World) -> None:
    """The execution that wakes up after its run was stopped ends as well, and calls nobody."""
    world.target.script(Act.REFUSE)
    aws = SimulatedAws(world)
    world.service = world.service_with(aws)
    intent = await world.approved("keyed", execution_policy=ExecutionPolicy(retry_count=9))
    await quiet(aws)
    await world.service.decisions.cancel(ANA, intent.action_intent_id)
    world.clock.advance(60)
    await quiet(aws)
    assert aws.ended == {f"exec-{intent.action_intent_id}": "CANCELLED"}
    assert len(world.target.sent) == 1


# -- sweeping ----------------------------------------------------------------------------------------------------


async def test_the_sweeper_leaves_what_is_looked_after(world: World) -> None:
    """Nothing that is young or within its deadline; afterwards each once, under a name of its own."""
    started: list[str] = []

    class Machine:
        async def start_execution(self, name: str, state: StepState) -> bool:
            fresh = name not in started
            started.append(name)
            return fresh

    engine = StepFunctionsEngine(Machine(), world.store, world.clock)
    new, held = await world.approved("keyed"), await world.approved("keyed")
    await runner(world).run("StartExecution", state_of(held))
    assert await engine.sweep() == 0
    world.clock.advance(121)
    assert await engine.sweep() == 1
    world.clock.advance(30)
    assert await engine.sweep() == 1
    assert await engine.sweep() == 0
    assert {name.split("-", 2)[2][:39] for name in started} == {new.action_intent_id, held.action_intent_id}
    assert all(name.startswith("sweep-exec-") and len(name) <= 80 for name in started)


# -- events ------------------------------------------------------------------------------------------------------


def body(intent: ActionIntent, **changes: Any) -> str:
    """A message of the queue."""
    approved = Approved(
        action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, account_id=intent.account_id
    )
    event = {"source": "cc-native", "detail-type": "ACTION_APPROVED", "detail": detail_of(approved)}
    event["detail"]["data"] |= changes.pop("data", {})  # type: ignore[index]
    return json.dumps(event | changes)


async def test_events_come_early_late_twice_and_forged(world: World) -> None:
    """Early or of nobody's: back to the queue. Late: nothing. Twice: one name. Another tenant's word: nothing."""
    started: list[str] = []

    class Machine:
        async def start_execution(self, name: str, state: StepState) -> bool:
            started.append(name)
            return len(started) == 1

    starter = Starter(StepFunctionsEngine(Machine(), world.store, world.clock), world.store)
    early = await world.proposed("keyed")
    with pytest.raises(TooEarly):
        await starter.take(body(early))
    intent = await world.approved("keyed")
    for forged in ({"tenant_id": "other"}, {"account_id": "south"}):
        with pytest.raises(TooEarly):
            await starter.take(body(intent, data=forged))
    assert started == []
    assert await starter.take(body(intent))
    assert await starter.take(body(intent))
    assert started == [f"exec-{intent.action_intent_id}"] * 2
    assert await starter.take(body(intent, data={"run_number": 2}))
    assert started[-1] == f"exec-{intent.action_intent_id}-r2"
    await world.service.decisions.cancel(ANA, early.action_intent_id)
    assert not await starter.take(body(early))


MALFORMED = [
    "",
    "null",
    "[]",
    "{}",
    "[" * 5_000,
    '{"source":"cc-native","detail-type":"ACTION_APPROVED","detail":{"data":null}}',
    '{"source":"cc-native","detail-type":"ACTION_APPROVED","detail":{"data":{"action_intent_id":1}}}',
]


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_event_is_refused(text: str) -> None:
    """Whatever is in the queue, nothing of it is repeated."""
    with pytest.raises(MalformedEvent) as refused:
        approved_of(text)
    assert str(refused.value) == "MALFORMED_EVENT"


async def test_an_event_is_held_against_its_form(world: World) -> None:
    """Ids of another spelling, runs that cannot be, and events of other kinds."""
    intent = await world.proposed("keyed")
    wrong: list[dict[str, Any]] = [
        {"source": "elsewhere"},
        {"detail-type": "ACTION_EXECUTED"},
        {"data": {"action_intent_id": "ai_*"}},
        {"data": {"tenant_id": "_system"}},
        {"data": {"account_id": "a/b"}},
        {"data": {"run_number": 0}},
        {"data": {"run_number": True}},
    ]
    for changes in wrong:
        with pytest.raises(MalformedEvent):
            approved_of(body(intent, **changes))


@pytest.mark.parametrize(
    "event", [None, [], {}, {"action_intent_id": "x", "tenant_id": "t"}, {"action_intent_id": 7, "tenant_id": "t"}]
)
def test_what_is_no_state_is_refused(event: object) -> None:
    """An execution that somebody started by hand with another input."""
    with pytest.raises(NothingToRun):
        step_state(event)


async def test_an_execution_without_an_approval_takes_no_lock(world: World) -> None:
    """Of a pending intent, and of none."""
    pending = await world.proposed("keyed")
    nobody = state_of(msgspec.structs.replace(pending, action_intent_id="ai_00000000-0000-7000-8000-000000000000"))
    for state in (state_of(pending), nobody):
        with pytest.raises(NothingToRun):
            await runner(world).run("StartExecution", state)
    assert (await world.records(pending)).attempt is None


async def test_what_the_bus_does_not_take_the_sweeper_starts(world: World) -> None:
    """An approval whose announcement failed is durable, and runs."""
    aws = SimulatedAws(world)

    async def refuse(approved: Approved) -> None:
        raise Unavailable("throttled")

    aws.publish = refuse  # type: ignore[method-assign]
    world.service = world.service_with(aws)
    intent = await world.approved("keyed")
    await aws.start()
    await quiet(aws)
    assert (await world.records(intent)).attempt is None
    assert await EngineConformance.ended(world, aws, intent) is RunStatus.SUCCEEDED
    await aws.drain(5)


def test_word_of_a_run_keeps_its_number() -> None:
    """A run's request is what its state says."""
    state = StepState(action_intent_id="ai_x", tenant_id="t", run_number=3)
    assert state.request() == RunRequest(action_intent_id="ai_x", tenant_id="t", run_number=3)
