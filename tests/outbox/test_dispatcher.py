"""Following the ledger: who gets what, how often, and what a restart does."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from enactor.domain.errors import ConfigurationError, StoreFailed
from enactor.domain.ids import intent_id
from enactor.domain.ledger import LedgerEvent
from enactor.outbox.dispatcher import Dispatcher
from enactor.ports.commands import Command, Conflict, ConflictKind, DeleteObject
from tests.outbox.receiver import OK, Received, Receiver, Reply
from tests.outbox.rig import SECRET, CountingStore, Rig, eventually, hook

STORES = ["memory", "sqlite"]


async def settled(rig: Rig, dispatcher: Dispatcher) -> None:
    """Returns when every webhook is done with everything in the ledger, or has set it aside."""
    end = await rig.store.last_position()
    await eventually(lambda: all(stats.position >= end for stats in dispatcher.stats()))
    assert all(stats.lag == 0 for stats in dispatcher.stats())


async def test_every_committed_entry_reaches_the_webhook(rig: Rig, receiver: Receiver) -> None:
    """Each event of the tenant arrives, signed, exactly once when nothing fails."""
    dispatcher = await rig.start(hook(receiver.url))
    written = await rig.write(20)
    await receiver.until(20)
    await settled(rig, dispatcher)
    assert Counter(receiver.ids) == Counter(written)
    for request in receiver.received:
        request.verify(SECRET)
    (stats,) = dispatcher.stats()
    assert (stats.webhook_id, stats.delivered, stats.failed, stats.parked, stats.waiting) == ("hook-acme", 20, 0, 0, 0)
    assert not stats.disabled


async def test_the_sequence_grows_within_an_execution(rig: Rig, receiver: Receiver) -> None:
    """A receiver can put one execution's events in order whatever order they came in."""
    await rig.start(hook(receiver.url))
    for _ in range(3):
        intent = intent_id(rig.ids.new())
        for event in (LedgerEvent.INTENT_PROPOSED, LedgerEvent.EXECUTION_STARTED, LedgerEvent.ACTION_EXECUTED):
            await rig.write(intent=intent, event=event)
    by_intent: dict[str, list[tuple[str, str]]] = {}
    for request in await receiver.until(9):
        found = by_intent.setdefault(request.event["subject"], [])
        found.append((request.event["sequence"], request.event["type"]))
    assert [sorted(found) for found in by_intent.values()] == [
        [
            ("0000000001", "enactor.intent_proposed"),
            ("0000000002", "enactor.execution_started"),
            ("0000000003", "enactor.action_executed"),
        ]
    ] * 3


async def test_tenants_get_their_own_events_only(rig: Rig) -> None:
    """A tenant's webhook gets nothing of another tenant's or of the platform's; the platform's gets everything."""
    async with Receiver() as acme, Receiver() as globex, Receiver() as platform:
        dispatcher = await rig.start(hook(acme.url), hook(globex.url, "globex"), hook(platform.url, ""))
        ours = await rig.write(30)
        theirs = await rig.write(30, tenant_id="globex")
        platforms = await rig.write(5, tenant_id="", event=LedgerEvent.REGISTRY_CHANGED, intent="")
        ours += await rig.write(30)
        await settled(rig, dispatcher)
        assert sorted(acme.ids) == sorted(ours)
        assert sorted(globex.ids) == sorted(theirs)
        assert sorted(platform.ids) == sorted([*ours, *theirs, *platforms])
        assert {request.event["data"]["tenant_id"] for request in acme.received} == {"acme"}


async def test_a_webhook_gets_the_types_it_asked_for(rig: Rig, receiver: Receiver) -> None:
    """Other types pass it by, and do not hold its cursor back."""
    dispatcher = await rig.start(hook(receiver.url, events=[LedgerEvent.ACTION_FAILED]))
    await rig.write(10)
    wanted = await rig.write(3, event=LedgerEvent.ACTION_FAILED)
    await rig.write(10)
    await settled(rig, dispatcher)
    assert sorted(receiver.ids) == sorted(wanted)


async def test_nothing_leaves_before_its_commit(rig: Rig) -> None:
    """When an event arrives its entry is in the ledger, and what was not committed never leaves."""
    found: list[bool] = []

    async def look(request: Received) -> Reply:
        entries = await rig.store.entries_after(0, 1_000)
        found.append(request.id in {entry.entry_id for entry in entries})
        return OK

    async with Receiver(look) as receiver:
        await rig.start(hook(receiver.url))
        written = []
        for _ in range(20):
            failing: list[Command] = [
                rig.entry(),
                DeleteObject(tenant_id="acme", object_id="none", expected_version=1),
            ]
            with pytest.raises(Conflict) as conflict:
                await rig.store.commit(failing)
            assert conflict.value.kind is ConflictKind.NOT_FOUND
            written += await rig.write()
        await eventually(lambda: len(found) == 20)
        assert all(found)
        assert sorted(receiver.ids) == sorted(written)


async def test_a_restart_goes_on_from_the_cursor(rig: Rig, receiver: Receiver) -> None:
    """After a drain nothing is delivered again, and what was written while nobody delivered is not missed."""
    dispatcher = await rig.start(hook(receiver.url))
    written = await rig.write(5)
    await receiver.until(5)
    await dispatcher.drain(10)
    written += await rig.write(5)
    again = await rig.start(hook(receiver.url))
    written += await rig.write(5)
    await receiver.until(15)
    await settled(rig, again)
    assert sorted(receiver.ids) == sorted(written)


async def test_after_a_crash_the_same_event_comes_again(rig: Rig, receiver: Receiver) -> None:
    """Delivered and not yet saved means delivered again, under the same id, so that it can be recognised."""
    dispatcher = await rig.start(hook(receiver.url))
    written = await rig.write(3)
    await receiver.until(3)
    await eventually(lambda: dispatcher.stats()[0].delivered == 3)
    await rig.crash(dispatcher)
    await rig.start(hook(receiver.url))
    await receiver.until(6)
    assert Counter(receiver.ids) == Counter(dict.fromkeys(written, 2))
    bodies = {request.id: request.event for request in receiver.received}
    assert all(request.event == bodies[request.id] for request in receiver.received)


async def test_a_crash_repeats_only_what_was_not_saved(rig: Rig, receiver: Receiver) -> None:
    """Progress is saved every second while there is any, so a crash repeats a second's deliveries at most."""
    dispatcher = await rig.start(hook(receiver.url))
    await rig.write(10)
    await receiver.until(10)
    await settled(rig, dispatcher)
    rig.clock.advance(1.1)
    end = await rig.store.last_position()
    while await rig.store.delivery_cursor("webhook:hook-acme") < end:  # noqa: ASYNC110 - a cursor tells nobody
        await asyncio.sleep(0)
    later = await rig.write(2)
    await receiver.until(12)
    await eventually(lambda: dispatcher.stats()[0].delivered == 12)
    await rig.crash(dispatcher)
    await rig.start(hook(receiver.url))
    await receiver.until(14)
    assert sorted(receiver.ids[12:]) == sorted(later)


async def test_a_drain_lets_deliveries_end(rig: Rig, receiver: Receiver) -> None:
    """What is under way may end, nothing new is started, and what ended is not delivered again."""
    hold = asyncio.Event()
    receiver.respond = lambda _: Reply(hold=hold)
    dispatcher = await rig.start(hook(receiver.url), concurrency=3)
    written = await rig.write(5)
    await receiver.until(3)
    draining = asyncio.create_task(dispatcher.drain(10))
    await eventually(lambda: not dispatcher._work)
    hold.set()
    await draining
    assert sorted(receiver.ids) == written[:3]
    receiver.respond = lambda _: OK
    await rig.start(hook(receiver.url))
    await receiver.until(5)
    assert sorted(receiver.ids) == sorted(written)


async def test_a_drain_does_not_wait_for_ever(rig: Rig, receiver: Receiver) -> None:
    """After its time a drain gives up what is under way; that is delivered again after the next start."""
    receiver.respond = lambda _: Reply(hold=asyncio.Event())
    dispatcher = await rig.start(hook(receiver.url))
    written = await rig.write(2)
    await receiver.until(2)
    draining = asyncio.create_task(dispatcher.drain(5))
    await eventually(lambda: not dispatcher._work and rig.clock.next_wake_seconds == 5)
    rig.clock.advance(5)
    await draining
    receiver.respond = lambda _: OK
    await rig.start(hook(receiver.url))
    await receiver.until(4)
    assert Counter(receiver.ids) == Counter(dict.fromkeys(written, 2))


async def test_draining_twice_or_before_the_start_is_fine(rig: Rig, receiver: Receiver) -> None:
    """A drain may come at any time."""
    dispatcher = await rig.start(hook(receiver.url))
    await dispatcher.drain(1)
    await dispatcher.drain(1)
    await Dispatcher(rig.store, (), rig.sender(), clock=rig.clock, randomness=rig.randomness).drain(1)


async def test_a_new_webhook_begins_with_what_happens_now(rig: Rig, receiver: Receiver) -> None:
    """History is not poured over a receiver that was configured today."""
    await rig.write(10)
    await rig.start(hook(receiver.url))
    written = await rig.write(2)
    await receiver.until(2)
    assert sorted(receiver.ids) == sorted(written)


async def test_a_new_webhook_may_ask_for_history(rig: Rig, receiver: Receiver) -> None:
    """With `replay_history` it gets everything from the first entry on."""
    written = await rig.write(300)
    dispatcher = await rig.start(hook(receiver.url, replay_history=True))
    written += await rig.write(2)
    await receiver.until(302)
    await settled(rig, dispatcher)
    assert Counter(receiver.ids) == Counter(written)


@pytest.mark.parametrize("before", [0, 7])
async def test_a_crash_right_after_the_first_start_loses_nothing(rig: Rig, receiver: Receiver, before: int) -> None:
    """A new webhook's beginning is durable before anything is delivered, in an empty ledger too."""
    await rig.write(before)
    async with Receiver(lambda _: Reply(hold=asyncio.Event())) as hanging:
        dispatcher = await rig.start(hook(hanging.url))
        written = await rig.write(3)
        await hanging.until(3)
        await rig.crash(dispatcher)
    await rig.start(hook(receiver.url))
    await receiver.until(3)
    assert sorted(receiver.ids) == sorted(written)


async def test_thousands_of_events_arrive_with_few_saves(rig: Rig, receiver: Receiver) -> None:
    """Two thousand events written at once arrive once each, through few connections; the cursor moved a few times."""
    moves = CountingStore(rig.store)
    dispatcher = await rig.start(hook(receiver.url), store=moves)
    written = await rig.write(2_000)
    await receiver.until(2_000)
    await settled(rig, dispatcher)
    assert Counter(receiver.ids) == Counter(written)
    # How many connections are open at once hangs on the machine; that they are used again does not.
    assert receiver.connections <= 100
    assert moves.calls["move_delivery_cursor"] <= 1 + 2_000 // 500
    await dispatcher.drain(10)
    assert await rig.store.delivery_cursor("webhook:hook-acme") == await rig.store.last_position()


async def test_events_for_others_cost_a_webhook_nothing(rig: Rig, receiver: Receiver) -> None:
    """The ledger is read once for all webhooks, and a webhook that wants none of it reads and saves nothing."""
    counting = CountingStore(rig.store)
    quiet = [hook(receiver.url, f"quiet-{number}") for number in range(20)]
    dispatcher = await rig.start(*quiet, store=counting)
    counting.calls.clear()
    for _ in range(50):
        await rig.write(4)
        await settled(rig, dispatcher)
    rig.clock.advance(1.1)
    await rig.write()
    await settled(rig, dispatcher)
    assert counting.calls["entries_after"] <= 2 * 51 + 2
    assert counting.calls["move_delivery_cursor"] == 0
    assert receiver.received == []


async def test_without_webhooks_nothing_is_read(rig: Rig) -> None:
    """Nobody pays for an outbox that nobody uses."""
    counting = CountingStore(rig.store)
    dispatcher = await rig.start(store=counting)
    await rig.write(5)
    assert dispatcher.stats() == ()
    await dispatcher.drain(1)
    assert not counting.calls


async def test_ids_are_distinct(rig: Rig) -> None:
    """Two webhooks with one id would share a cursor: refused."""
    with pytest.raises(ConfigurationError):
        await rig.start(hook("https://a.example"), hook("https://b.example"))


@pytest.mark.parametrize("method", ["entries_after", "wait_beyond", "move_delivery_cursor", "keep_undelivered"])
async def test_a_store_that_fails_is_told(rig: Rig, receiver: Receiver, method: str) -> None:
    """When the store cannot be trusted any more delivery stops, and whoever runs the process hears of it."""
    receiver.respond = lambda request: Reply(500 if request.event["type"].endswith("failed") else 204)
    broken = CountingStore(rig.store)
    dispatcher = await rig.start(hook(receiver.url), store=broken)
    broken.broken = method
    await rig.write()
    await rig.write(event=LedgerEvent.ACTION_FAILED)
    assert dispatcher.failed is not None
    while not dispatcher.failed.done():
        await asyncio.sleep(0)
        rig.clock.advance(0.1)
    assert isinstance(dispatcher.failed.exception(), StoreFailed)
    broken.broken = ""
