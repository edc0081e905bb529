"""How many durable commits a run takes, and what is durable before what."""

import asyncio

import pytest

from enactor.conformance.target import Act, Point
from enactor.conformance.watched import Watched
from enactor.conformance.world import World
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.ports.commands import AppendLedger, Command, RecordOutcome, SettlePermit, StartAttempt, TakePermit

# kind, acts, undo acts → commits. A retry is two: that it will be, durably, and then its permit.
COUNTS = [
    ("keyed", (), (), 2),
    ("keyed", (Act.REFUSE_FOR_GOOD,), (), 2),
    ("unsafe", (Act.DO_AND_LOSE_REPLY,), (), 2),
    ("keyed", (Act.REFUSE,), (), 2 + 2),
    ("keyed", (Act.REFUSE, Act.DO_AND_LOSE_REPLY), (), 2 + 2 + 2),
    ("partial", (Act.DO_PARTLY,), (), 2 + 1),
    ("partial", (Act.DO_PARTLY,), (Act.REFUSE,), 2 + 1 + 2),
    ("partial_by_hand", (Act.DO_PARTLY,), (), 2),
    ("searched", (Act.DO_AND_LOSE_REPLY,), (), 2 + 1),
]


@pytest.mark.parametrize(("kind", "acts", "undo", "commits"), COUNTS)
async def test_two_commits_and_one_for_each_thing_more(
    world: World, kind: str, acts: tuple[Act, ...], undo: tuple[Act, ...], commits: int
) -> None:
    """A run whose first call answers takes two; a further permit, a wait, a look-up, a compensation adds one."""
    world.target.script(*acts)
    world.target.script_undo(*undo)
    watched = Watched(world.store)
    intent = await world.approved(kind)
    await world.run(intent, driver=world.driver(watched), handed=True)
    assert len(watched.commits) == commits


async def test_a_deferral_adds_one(world: World) -> None:
    """Put off once, and then called: one commit more for the wait, one for the further permit."""
    watched = Watched(world.store)
    intent = await world.approved("keyed")
    driver = world.driver(watched)
    world.doors.closed = "too many calls"
    driven = await driver.drive(world.request(intent, handed=True))
    assert len(watched.commits) == 2
    world.doors.closed = ""
    world.clock.advance((driven.until - world.clock.now_ms()) / 1000)
    await world.run(intent, driver=driver)
    assert len(watched.commits) == 2 + 2


def kinds(commands: tuple[Command, ...]) -> set[type]:
    """What kinds of commands there are."""
    return {type(command) for command in commands}


async def test_what_is_in_the_two_commits(world: World) -> None:
    """Before the call: lock and permit. After it: result, outcome, and the ledger of both."""
    watched = Watched(world.store)
    intent = await world.approved("keyed")
    await world.run(intent, driver=world.driver(watched), handed=True)
    first, second = watched.commits
    assert {StartAttempt, TakePermit} <= kinds(first)
    assert {SettlePermit, RecordOutcome} <= kinds(second)
    events = [[c.record.event_type for c in commit if isinstance(c, AppendLedger)] for commit in watched.commits]
    assert events == [
        [LedgerEvent.EXECUTION_STARTED, LedgerEvent.WRITE_PERMITTED],
        [LedgerEvent.TOOL_INVOKED, LedgerEvent.ACTION_EXECUTED],
    ]


async def test_the_permit_is_durable_before_anything_is_sent(world: World) -> None:
    """While the commit of the permit is under way nothing has left; while the call is out the permit is open."""
    watched = Watched(world.store)
    sent_at_commit: list[int] = []

    async def look(number: int) -> None:
        sent_at_commit.append(len(world.target.sent))

    watched.between = look
    intent = await world.approved("keyed")
    hold = world.target.hold(Point.REPLY)
    task = asyncio.create_task(world.run(intent, driver=world.driver(watched), handed=True))
    await hold.reached.wait()
    (permit,) = await world.permits(intent)
    assert permit.result == "OPEN"
    assert sent_at_commit == [0]
    hold.release()
    assert (await task).status is RunStatus.SUCCEEDED
    assert sent_at_commit == [0, 1]


async def test_a_run_that_ends_before_a_call_starts_and_ends(world: World) -> None:
    """Lock first, then the end: two commits, and no permit in either."""
    intent = await world.approved("keyed", expires_in_seconds=10)
    world.clock.advance(10)
    watched = Watched(world.store)
    await world.run(intent, driver=world.driver(watched), handed=True)
    assert len(watched.commits) == 2
    assert TakePermit not in kinds(watched.commits[0]) | kinds(watched.commits[1])
    assert await world.status(intent) is RunStatus.EXPIRED


async def test_a_commit_that_takes_too_long_sends_nothing(world: World) -> None:
    """The permit's time runs while it is being committed: late is NOT_SENT; a new one costs no retry."""
    watched = Watched(world.store)

    async def slow(number: int) -> None:
        if number == 1:
            world.clock.advance(6)

    watched.between = slow
    intent = await world.approved("unsafe", execution_policy=ExecutionPolicy(retry_count=0))
    await world.run(intent, driver=world.driver(watched), handed=True)
    assert [permit.result for permit in await world.permits(intent)] == ["NOT_SENT", "DONE"]
    assert len(world.target.sent) == 1


async def test_suspension_counts(world: World) -> None:
    """The clock of the check counts suspended time: a caller that slept after its commit does not send."""
    intent = await world.approved("unsafe")
    hold = world.target.hold(Point.CHECK)
    task = asyncio.create_task(world.driver().drive(world.request(intent)))
    await hold.reached.wait()
    world.clock.advance(3_600)
    world.clock.jump(-3_600)
    hold.release()
    await task
    (permit,) = await world.permits(intent)
    assert permit.result == "NOT_SENT"
    assert world.target.sent == []


async def test_the_time_of_day_may_jump(world: World) -> None:
    """The check does not look at the time of day: a clock set forward by NTP makes no call late."""
    intent = await world.approved("unsafe")
    hold = world.target.hold(Point.CHECK)
    task = asyncio.create_task(world.driver().drive(world.request(intent)))
    await hold.reached.wait()
    world.clock.jump(3_600)
    hold.release()
    assert (await task).status is RunStatus.SUCCEEDED
