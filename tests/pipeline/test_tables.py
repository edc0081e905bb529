"""Both tables of the specification's section 3, through the real driver: each way a call can end, for each promise."""

import pytest

from enactor.conformance.target import Act
from enactor.conformance.world import World
from enactor.domain.attempt import RunStatus
from enactor.domain.intent import ExecutionPolicy
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult, SettledBy

pytestmark = pytest.mark.parametrize("world", ["memory"], indirect=True)

RESULTS = {
    Act.DO: CallResult.DONE,
    Act.DO_AND_LOSE_REPLY: CallResult.UNKNOWN,
    Act.LOSE_REQUEST: CallResult.UNKNOWN,
    Act.TIME_OUT: CallResult.UNKNOWN,
    Act.TALK_NONSENSE: CallResult.UNKNOWN,
    Act.NOT_SENT: CallResult.NOT_SENT,
    Act.NEVER_SENT: CallResult.NOT_SENT,
    Act.REFUSE: CallResult.REFUSED,
    Act.REFUSE_FOR_GOOD: CallResult.REFUSED,
}


@pytest.mark.parametrize("act", RESULTS)
async def test_each_way_a_call_can_end(world: World, act: Act) -> None:
    """The permit ends as exactly what is known of the call, durably, and the ledger says the same."""
    world.target.script(act)
    intent = await world.approved("unsafe", execution_policy=ExecutionPolicy(retry_count=0))
    await world.run(intent)
    (permit,) = await world.permits(intent)
    assert permit.result is RESULTS[act]
    invoked = [e for e in await world.entries(intent) if e.event_type is LedgerEvent.TOOL_INVOKED]
    assert len(invoked) == 1
    assert f'"result":"{RESULTS[act]}"' in invoked[0].data
    await world.verify()


S, F, D = RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT
U = CallResult.UNKNOWN

# kind, acts of the calls → status, calls sent, objects made, look-ups
ROWS = [
    # After a clean result another call is always allowed, whatever the promise.
    *[(kind, (act,), S, 2 if act is Act.REFUSE else 1, 1, 0)
      for kind in ("keyed", "searched", "never_final", "unsafe", "burning")
      for act in (Act.NOT_SENT, Act.REFUSE)],
    *[(kind, (Act.REFUSE_FOR_GOOD,), F, 1, 0, 0) for kind in ("keyed", "searched", "unsafe", "burning")],
    *[(kind, (Act.NEVER_SENT,), F, 0, 0, 0) for kind in ("keyed", "searched", "unsafe", "burning")],
    ("unsafe", (Act.REFUSE,) * 4, F, 4, 0, 0),
    ("unsafe", (Act.NOT_SENT,) * 4, F, 0, 0, 0),
    # IDEMPOTENT: again, under the same key.
    ("keyed", (Act.DO_AND_LOSE_REPLY,), S, 2, 1, 0),
    ("keyed", (Act.LOSE_REQUEST,), S, 2, 1, 0),
    ("keyed", (Act.TIME_OUT, Act.DO_AND_LOSE_REPLY, Act.TALK_NONSENSE), S, 4, 1, 0),
    ("keyed", (Act.TALK_NONSENSE,), S, 2, 1, 0),
    ("keyed", (Act.LOSE_REQUEST, Act.REFUSE_FOR_GOOD), D, 2, 0, 0),
    ("keyed", (Act.DO_AND_LOSE_REPLY, Act.NEVER_SENT), D, 1, 1, 0),
    ("keyed", (Act.DO_AND_LOSE_REPLY,) * 4, D, 4, 1, 0),
    ("keyed", (Act.LOSE_REQUEST,) * 4, D, 4, 0, 0),
    # IDEMPOTENT with a look-up: before it says that it does not know, it looks.
    ("keyed_searched", (Act.DO_AND_LOSE_REPLY,), S, 2, 1, 0),
    ("keyed_searched", (Act.DO_AND_LOSE_REPLY,) * 4, S, 4, 1, 1),
    ("keyed_searched", (Act.LOSE_REQUEST,) * 4, F, 4, 0, 2),
    ("keyed_searched", (Act.DO_AND_LOSE_REPLY, Act.REFUSE_FOR_GOOD), S, 2, 1, 1),
    # LOOKUP: found settles; absent and final allows another call.
    ("searched", (Act.DO_AND_LOSE_REPLY,), S, 1, 1, 1),
    ("searched", (Act.TALK_NONSENSE,), S, 1, 1, 1),
    ("searched", (Act.LOSE_REQUEST,), S, 2, 1, 2),
    ("searched", (Act.TIME_OUT, Act.DO_AND_LOSE_REPLY), S, 2, 1, 3),
    ("searched", (Act.LOSE_REQUEST,) * 4, F, 4, 0, 8),
    ("never_final", (Act.DO_AND_LOSE_REPLY,), S, 1, 1, 1),
    ("never_final", (Act.LOSE_REQUEST,), D, 1, 0, 1),
    # UNSAFE: in doubt at once, whatever really happened.
    ("unsafe", (Act.DO_AND_LOSE_REPLY,), D, 1, 1, 0),
    ("unsafe", (Act.LOSE_REQUEST,), D, 1, 0, 0),
    ("unsafe", (Act.TIME_OUT,), D, 1, 0, 0),
    ("unsafe", (Act.TALK_NONSENSE,), D, 1, 1, 0),
    ("unsafe", (Act.NOT_SENT, Act.REFUSE, Act.TIME_OUT), D, 2, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "acts", "status", "sent", "made", "look_ups"), ROWS)
async def test_each_row(
    world: World, kind: str, acts: tuple[Act, ...], status: RunStatus, sent: int, made: int, look_ups: int
) -> None:
    """What a promise allows is done, no more and no less, and the record says what is known."""
    world.target.script(*acts)
    intent = await world.approved(kind)
    await world.run(intent)
    target = world.target
    assert (await world.status(intent), len(target.sent), len(target.made), target.look_ups) == (
        status,
        sent,
        made,
        look_ups,
    )
    outcome = await world.outcome(intent)
    assert outcome.status is status
    assert [ref.object_id for ref in outcome.external_object_refs] == (target.objects() if status is S else [])
    assert outcome.attempt_count == len(await world.permits(intent))
    unsettled = [p for p in await world.permits(intent) if p.result is U and p.settled_by is None]
    assert bool(unsettled) is (status is D)
    await world.verify()


async def test_a_blind_look_up_is_in_doubt(world: World) -> None:
    """A look-up that cannot tell ends in doubt: nothing is called on the strength of a guess."""
    world.target.blind = True
    world.target.script(Act.LOSE_REQUEST)
    intent = await world.approved("searched")
    await world.run(intent)
    assert await world.status(intent) is D
    assert len(world.target.sent) == 1


async def test_a_key_is_used_while_it_is_retained_and_no_longer(world: World) -> None:
    """An hour after the first call the target has forgotten our key, and calling again would be another effect."""
    intent = await world.approved("keyed")
    world.target.script(Act.DO_AND_LOSE_REPLY)
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    world.clock.advance(3_600)
    await world.run(intent, driver=driver)
    assert driven.status is RunStatus.RUNNING
    assert await world.status(intent) is D
    assert len(world.target.sent) == 1


async def test_after_retention_a_searchable_target_is_searched(world: World) -> None:
    """Where the key is forgotten and the target can be searched, it is looked up before anything else."""
    intent = await world.approved("keyed_searched")
    world.target.script(Act.DO_AND_LOSE_REPLY)
    driver = world.driver()
    await driver.drive(world.request(intent))
    world.clock.advance(3_600)
    await world.run(intent, driver=driver)
    assert await world.status(intent) is S
    assert (len(world.target.sent), world.target.look_ups) == (1, 1)


async def test_an_effect_that_lands_later_is_found(world: World) -> None:
    """Absent at first, and there when an absence would have been final: it is settled, not made twice."""
    world.target.script(Act.DO_LATER)
    intent = await world.approved("searched")
    driver = world.driver()
    driven = await driver.drive(world.request(intent))
    assert driven.status is RunStatus.RUNNING
    world.target.land()
    await world.run(intent, driver=driver)
    assert await world.status(intent) is S
    assert len(world.target.made) == 1


async def test_what_settled_a_doubt_is_recorded(world: World) -> None:
    """By the same key, or by a look-up: the permit says which, and keeps that the call's own result was unknown."""
    world.target.script(Act.LOSE_REQUEST)
    keyed = await world.approved("keyed")
    await world.run(keyed)
    first, second = await world.permits(keyed)
    assert (first.result, first.settled_by) == (U, SettledBy.SAME_KEY_DONE)
    assert (second.result, second.settled_by) == (CallResult.DONE, None)

    world.target.script(Act.LOSE_REQUEST)
    searched = await world.approved("searched")
    await world.run(searched)
    first, second = await world.permits(searched)
    assert (first.result, first.settled_by) == (U, SettledBy.LOOKUP_ABSENT)

    world.target.script(Act.DO_AND_LOSE_REPLY)
    found = await world.approved("searched")
    await world.run(found)
    (only,) = await world.permits(found)
    assert (only.result, only.settled_by) == (CallResult.DONE, SettledBy.LOOKUP_FOUND)


async def test_a_key_is_given_up_only_where_failures_burn_it(world: World) -> None:
    """A refusal burns the key of such a tool; a doubt keeps it, because it may have been honoured."""
    burning = await world.approved("burning")
    world.target.script(Act.REFUSE, Act.LOSE_REQUEST, Act.REFUSE)
    await world.run(burning)
    first, second, third, fourth = [sent.key for sent in world.target.sent]
    assert first != second == third == fourth
    assert await world.status(burning) is S
    keyed = await world.approved("keyed")
    world.target.script(Act.REFUSE, Act.LOSE_REQUEST)
    await world.run(keyed)
    assert len({sent.key for sent in world.target.sent[4:]}) == 1


async def test_one_send_for_each_permit(world: World) -> None:
    """Nothing below the gateway repeats a call: what was sent are the permits' calls, each once, in time."""
    world.target.script(Act.LOSE_REQUEST, Act.REFUSE, Act.TIME_OUT)
    intent = await world.approved("keyed")
    await world.run(intent)
    permits = await world.permits(intent)
    assert [sent.call_no for sent in world.target.sent] == [permit.call_no for permit in permits] == [1, 2, 3, 4]
    assert all(permit.taken_at <= sent.at <= permit.call_not_after
               for permit, sent in zip(permits, world.target.sent, strict=True))  # fmt: skip
