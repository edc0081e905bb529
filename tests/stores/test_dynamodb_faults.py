"""DynamoDB that throttles, answers with errors, meets other transactions, or is not heard: nothing lost or doubled."""

from typing import Any

import pytest

from enactor.conformance.aws import Emulator, Fault
from enactor.conformance.aws.stores import opened
from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import calling, creation, start, take
from enactor.conformance.world import World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import StoreFailed
from enactor.domain.ledger import ChainVerifier
from enactor.domain.permit import CallResult
from enactor.ports.commands import RequestCancel
from enactor.stores.dynamodb import DynamoStore

# Transactions of one execution, from the proposal to the outcome; `test_an_execution_is_that_many_transactions`.
COMMITS = 4


async def world_of(dynamo: Any) -> World:
    """Everything a test of runs needs, over an empty store."""
    clock = ManualClock()
    return await open_world(await opened(dynamo, clock), clock)


async def executed(world: World) -> list[str]:
    """Proposes, approves and executes; what the ledger then says of it."""
    intent = await world.approved()
    await world.run(intent)
    assert await world.status(intent) is RunStatus.SUCCEEDED
    assert [permit.result for permit in await world.permits(intent)] == [CallResult.DONE]
    assert len(world.target.objects()) == 1
    entries = await world.store.entries_after(0, 1_000)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    assert await world.store.last_position() == len(entries)
    verifier = ChainVerifier()
    verifier.feed_all(entries)
    assert verifier.faults == []
    own = [entry for entry in entries if entry.action_intent_id == intent.action_intent_id]
    assert await world.store.entries_after(0, 100, TENANT, intent.action_intent_id) == tuple(own)
    return [entry.event_type.value for entry in own]


async def test_an_execution_is_that_many_transactions(dynamo: Any, emulator: Emulator) -> None:
    """Without faults: the number of transactions that the tests below let fail one by one."""
    world = await world_of(dynamo)
    intent = await world.approved()
    emulator.count_anew()
    await world.run(intent)
    running = emulator.counts()["calls"]["TransactWriteItems"]
    assert running == 2
    await world.store.close()


@pytest.mark.parametrize("kind", ["throttle", "conflict", "hang_up", "lose_answer"])
async def test_a_commit_that_fails_once_happens_once(dynamo: Any, emulator: Emulator, kind: str) -> None:
    """Whichever transaction it is, and whether or not it was done: executed once, and the ledger is as without it."""
    world = await world_of(dynamo)
    reference = await executed(world)
    await world.store.close()
    for after in range(COMMITS + 1):
        emulator.empty_tables()
        world = await world_of(dynamo)
        emulator.fault(Fault("TransactWriteItems", kind, after=after))
        assert await executed(world) == reference
        assert emulator.counts()["faults_left"] == 0
        await world.store.close()


@pytest.mark.parametrize("kind", ["throttle", "unavailable"])
async def test_one_call_in_three_fails(dynamo: Any, emulator: Emulator, kind: str) -> None:
    """Calls of whatever kind, opening included, fail again and again: nothing is lost, nothing is doubled."""
    world = await world_of(dynamo)
    reference = await executed(world)
    await world.store.close()
    emulator.empty_tables()
    emulator.fault(Fault("", kind, every=3))
    world = await world_of(dynamo)
    assert await executed(world) == reference
    await world.store.close()


async def test_a_token_is_used_again_for_the_same_request(
    dynamo: Any, emulator: Emulator, clock: ManualClock, build: Builder
) -> None:
    """A repetition has the token of the first sending, so that DynamoDB itself knows it; another commit has another.

    The emulator refuses a known token with another request, as DynamoDB does for ten minutes.
    """
    store = await opened(dynamo, clock)
    emulator.fault(Fault("TransactWriteItems", "lose_answer", times=2))
    emulator.fault(Fault("GetItem", "throttle", times=3))
    await store.commit([build.entry()])
    await store.commit([build.entry()])
    assert await store.last_position() == 2
    await store.close()


async def test_what_cannot_be_known_is_not_acknowledged(
    dynamo: Any, emulator: Emulator, clock: ManualClock, build: Builder
) -> None:
    """Answer lost, no ledger entry in the commit, and the record written over since: the store says that it failed."""
    failures: list[bool] = []
    store = await opened(dynamo, clock, on_failure=lambda: failures.append(True))
    other = await opened(dynamo, clock)
    intent, attempt, _ = await calling(store, build)
    cancel = RequestCancel(
        action_intent_id=intent.action_intent_id, run_number=1, requested_by="ana", requested_at=build.now()
    )
    await _lost_and_overwritten(store, other, emulator, cancel)
    assert failures == [True]
    assert attempt.run_number == 1
    await store.close()
    await other.close()


async def _lost_and_overwritten(
    store: DynamoStore, other: DynamoStore, emulator: Emulator, cancel: RequestCancel
) -> None:
    """Loses the answer, and lets the other store write the record before the first one can look for its token."""

    async def meanwhile(seconds: float) -> None:
        # The look for the token was refused once: now the other one comes in between.
        again = RequestCancel(
            action_intent_id=cancel.action_intent_id, run_number=2, requested_by="bea", requested_at="later"
        )
        await other.commit([again])

    patience = store._dynamo.patience
    patience._sleep = meanwhile
    emulator.fault(Fault("TransactWriteItems", "lose_answer"))
    emulator.fault(Fault("GetItem", "throttle"))
    with pytest.raises(StoreFailed, match="cannot tell"):
        await store.commit([cancel])


async def test_without_capacity_a_commit_is_refused_and_nothing_happens(
    dynamo: Any, emulator: Emulator, clock: ManualClock, build: Builder
) -> None:
    """Throttled to the last attempt it says so, and the store goes on as soon as there is capacity."""
    store = await opened(dynamo, clock)
    intent = build.approved()
    emulator.fault(Fault("TransactWriteItems", "throttle", times=12))
    with pytest.raises(StoreFailed, match="did not happen"):
        await store.commit([creation(intent), build.entry(intent)])
    assert await store.intent(TENANT, intent.action_intent_id) is None
    await store.commit([creation(intent), build.entry(intent)])
    attempt = build.attempt(intent)
    await store.commit([start(intent, attempt, now_ms=clock.now_ms()), take(build.permit(attempt), intent)])
    assert await store.last_position() == 1
    await store.close()
