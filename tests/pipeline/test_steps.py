"""The list of steps, walked with real outputs: what one step gives is what the next one takes."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from enactor.conformance.target import Act
from enactor.conformance.world import ANA, World
from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.attempt import Phase, RunStatus
from enactor.domain.errors import FailureCode
from enactor.domain.permit import CallResult
from enactor.pipeline.fold import folded
from enactor.pipeline.model import Call, Continue, Duplicate, End, Run
from enactor.pipeline.settle import settled
from enactor.pipeline.steps import STEPS, following, step
from enactor.ports.commands import MAX_COMMANDS, SettlePermit, StartAttempt, TakePermit, UpdateAttempt
from enactor.ports.store import ExecutionRecords
from enactor.ports.tools import Reply

pytestmark = pytest.mark.parametrize("world", ["memory"], indirect=True)


def again(value: Any) -> Any:
    """A record as it is when it has been through JSON, as engines on other machines hand it on."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def test_the_order_of_the_steps(world: World) -> None:
    """The list is the specification's, and every engine runs this one."""
    assert [item.name for item in STEPS] == [
        "StartExecution",
        "ValidatePreflight",
        "MapActionToTool",
        "InvokeTool",
        "CompensateAction",
    ]
    assert step("InvokeTool").run is following("MapActionToTool").run
    assert all(item.does for item in STEPS)
    codes = {code for item in STEPS for code in item.ends_with}
    assert codes <= {code.value for code in FailureCode}


async def test_the_chain_with_real_outputs(world: World) -> None:
    """One model is output and input: each step takes what the one before gave, even after a round trip as JSON."""
    intent = await world.approved("partial")
    driver = world.driver()
    reads = await driver.reads(intent, cancel_requested=False)
    run = Run(action_intent_id=intent.action_intent_id, tenant_id=intent.tenant_id, run_number=1)
    commands: list[Any] = []
    for item in STEPS[:3]:
        turn = item.run(run, reads, world.ctx)
        assert isinstance(turn, Continue), item.name
        commands += turn.commands
        run = again(turn.run)
        assert run == turn.run
    call = STEPS[3].run(run, reads, world.ctx)
    assert isinstance(call, Call)
    await world.store.commit(folded([*commands, *call.commands]))
    records = await world.records(intent)
    assert Run.of(records, 1) == call.run, "what a step says it has done is what the store knows then"

    reply = again(await driver.tools.call(again(call.request), lambda: True))
    partly = replace(reply, partial=True)
    turn = settled(replace(call, run=again(call.run)), reads, world.ctx, partly)
    assert isinstance(turn, Continue)
    assert turn.run.lock.phase is Phase.COMPENSATION
    undo = STEPS[4].run(again(turn.run), reads, world.ctx)
    assert isinstance(undo, Call)
    await world.store.commit(folded([*turn.commands, *undo.commands]))
    assert Run.of(await world.records(intent), 1) == undo.run
    end = settled(undo, reads, world.ctx, await driver.tools.call(undo.request, lambda: True))
    assert isinstance(end, End)
    await world.store.commit(folded(end.commands))
    stored = Run.of(await world.records(intent), 1)
    assert stored == end.run
    assert stored.lock.status is RunStatus.FAILED
    assert world.target.taken_back == world.target.objects()


async def test_steps_do_nothing_by_themselves(world: World) -> None:
    """A step that is run and not committed leaves no trace: it may be run any number of times."""
    intent = await world.approved("keyed")
    driver = world.driver()
    position = await world.store.last_position()
    run, reads = await driver.read(world.request(intent))
    for _ in range(3):
        assert isinstance(STEPS[0].run(run, reads, world.ctx), Continue)
    assert await world.store.last_position() == position
    assert (await world.records(intent)).attempt is None
    assert world.target.sent == []


async def test_nothing_to_take_back(world: World) -> None:
    """CompensateAction of a run that did nothing in part changes nothing."""
    intent = await world.approved("keyed")
    await world.run(intent)
    driver = world.driver()
    run, reads = await driver.read(world.request(intent))
    assert isinstance(step("CompensateAction").run(run, reads, world.ctx), Duplicate)


async def test_each_record_is_written_once_in_a_commit(world: World) -> None:
    """Commands of several steps are folded: first condition, last content; at most fifty, one for each record."""
    intent = await world.approved("keyed_searched", execution_policy=None)
    world.target.script(*[Act.LOSE_REQUEST] * 3)
    sizes: list[int] = []
    commit = world.store.commit

    async def counted(commands: Any) -> None:
        sizes.append(len(commands))
        written = [c.permit.call_no for c in commands if isinstance(c, SettlePermit | TakePermit)]
        attempts = [c for c in commands if isinstance(c, StartAttempt | UpdateAttempt)]
        assert len(set(written)) == len(written)
        assert len(attempts) <= 1
        await commit(commands)

    world.store.commit = counted  # type: ignore[method-assign]
    await world.run(intent)
    assert max(sizes) < MAX_COMMANDS


def definition_changes() -> list[Any]:
    """What may be different from what was approved when the run comes to be executed."""
    semantics = WriteSemantics(mode=WriteMode.UNSAFE)
    return [
        pytest.param({"definition_hash": "0" * 64}, FailureCode.APPROVAL_DIGEST_MISMATCH, id="definition"),
        pytest.param({"connector_version": "2"}, FailureCode.APPROVAL_DIGEST_MISMATCH, id="configuration"),
        pytest.param({"connector_id": "other"}, FailureCode.APPROVAL_DIGEST_MISMATCH, id="connector"),
        pytest.param(
            {"write_semantics": semantics, "definition_hash": "1" * 64},
            FailureCode.APPROVAL_DIGEST_MISMATCH,
            id="semantics",
        ),
        pytest.param(None, FailureCode.TOOL_MAPPING_NOT_FOUND, id="gone"),
    ]


@pytest.mark.parametrize(("changes", "code"), definition_changes())
async def test_only_what_was_approved_is_called(
    world: World, changes: dict[str, Any] | None, code: FailureCode
) -> None:
    """A tool or a connector's configuration that is not the approved one is not called."""
    intent = await world.approved("keyed")
    definition = world.plane.definition("target.keyed")
    assert definition is not None
    world.doors.redefined["target.keyed"] = None if changes is None else replace(definition, **changes)
    await world.run(intent)
    outcome = await world.outcome(intent)
    assert (outcome.status, outcome.error_code) == (RunStatus.FAILED, code.value)
    assert world.target.sent == []


async def test_a_change_in_the_middle_of_a_doubt(world: World) -> None:
    """The tool changed between call and retry: nothing more is called, and the doubt is not called a failure."""
    world.target.script(Act.DO_AND_LOSE_REPLY)
    intent = await world.approved("keyed")
    driver = world.driver()
    await driver.drive(world.request(intent))
    definition = world.plane.definition("target.keyed")
    assert definition is not None
    world.doors.redefined["target.keyed"] = replace(definition, definition_hash="0" * 64)
    await world.run(intent, driver=driver)
    assert await world.status(intent) is RunStatus.IN_DOUBT
    assert len(world.target.sent) == 1


async def test_a_record_that_was_changed_behind_our_back(world: World) -> None:
    """The digest is computed anew from the record: arguments that are not the approved ones are never sent."""
    intent = await world.approved("keyed")
    driver = world.driver()
    call = replace(intent.tool_call, argument_bytes='{"item":"everything"}')
    read = world.store.execution

    async def tampered(tenant_id: str, action_intent_id: str) -> ExecutionRecords | None:
        records = await read(tenant_id, action_intent_id)
        return records and replace(records, intent=replace(records.intent, tool_call=call))

    world.store.execution = tampered  # type: ignore[method-assign]
    driven = await driver.drive(world.request(intent))
    assert driven.run is not None
    assert driven.run.lock.last_error_code == "APPROVAL_DIGEST_MISMATCH"
    assert world.target.sent == []


async def test_shadow_intents_are_never_executed(world: World) -> None:
    """Evaluated and recorded, whatever anybody asks for."""
    world.limits = replace(world.limits, shadow=True)
    world.service = world.service_with(world.inbox)
    intent = await world.approved("keyed")
    assert intent.shadow
    await world.run(intent)
    await world.service.decisions.execute(ANA, intent.action_intent_id)
    assert world.inbox.requests == []
    assert (await world.records(intent)).attempt is None
    assert world.target.sent == []
    assert await world.store.due(world.clock.now_ms(), 10) == ()


async def test_a_door_that_breaks_its_promise(world: World) -> None:
    """A tool plane that raises, or answers OPEN, has still been gone through: the result is UNKNOWN, at once."""
    for broken in (RuntimeError("boom"), Reply(result=CallResult.OPEN)):

        async def call(*_: Any, broken: Any = broken) -> Reply:
            if isinstance(broken, Exception):
                raise broken
            return broken

        world.doors.call = call  # type: ignore[method-assign]
        intent = await world.approved("unsafe")
        await world.run(intent)
        assert await world.status(intent) is RunStatus.IN_DOUBT
        assert "boom" not in str(await world.entries(intent))
