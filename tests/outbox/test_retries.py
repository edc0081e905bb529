"""Failures: what is tried again, when, how long, and whom it holds up (nobody)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter

import pytest

from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.domain.ledger import LedgerEvent
from enactor.outbox.dispatcher import Dispatcher
from enactor.outbox.lane import OutboxStats
from enactor.outbox.pacing import DeliveryPolicy, Gate
from enactor.ports.store import Undelivered
from tests.outbox.receiver import OK, Received, Receiver, Reply
from tests.outbox.rig import CountingStore, Rig, eventually, hook

NAME = "webhook:hook-acme"
FAILING = LedgerEvent.ACTION_FAILED


def poison(request: Received) -> Reply:
    """The answer of a receiver that cannot take one type of event."""
    return Reply(500) if request.event["type"] == "enactor.action_failed" else OK


async def idle(rig: Rig, dispatcher: Dispatcher) -> OutboxStats:
    """The only webhook's numbers, once it has heard of everything and can do nothing before the clock moves."""
    (lane,) = dispatcher._lanes
    end = await rig.store.last_position()
    await eventually(lambda: lane.stats().position + lane.stats().lag >= end)
    quiet = 0
    while quiet < 10:  # turns of the loop, in which a lane with nothing to do goes to sleep
        await asyncio.sleep(0)
        busy = lane._tasks or (lane._progress.readable and lane._may_take) or lane._next_in() == 0
        quiet = 0 if busy else quiet + 1
    return lane.stats()


async def next_attempt(rig: Rig, dispatcher: Dispatcher) -> OutboxStats:
    """Moves the clock on to what the only webhook waits for, and lets it happen."""
    await idle(rig, dispatcher)
    seconds = dispatcher._lanes[0]._next_in()
    assert seconds is not None, "it waits for nothing"
    rig.clock.advance(seconds)
    return await idle(rig, dispatcher)


async def undelivered(rig: Rig, *, dead: bool = False) -> tuple[Undelivered, ...]:
    """What the store keeps of the only webhook."""
    return await rig.store.undelivered(NAME, 1_000, dead=dead)


async def test_a_failed_delivery_is_tried_again(rig: Rig, receiver: Receiver) -> None:
    """A receiver that fails now and then gets the event later, under the same id, and nothing is left behind."""
    answers = [Reply(500), Reply(close=True), OK]
    receiver.respond = lambda _: answers.pop(0)
    dispatcher = await rig.start(hook(receiver.url))
    (written,) = await rig.write()
    await receiver.until(1)
    stats = await idle(rig, dispatcher)
    assert (stats.delivered, stats.failed, stats.waiting, stats.lag) == (0, 1, 1, 0)
    await next_attempt(rig, dispatcher)
    stats = await next_attempt(rig, dispatcher)
    assert (stats.delivered, stats.failed, stats.waiting, stats.parked) == (1, 2, 0, 0)
    assert receiver.ids == [written] * 3
    assert await undelivered(rig) == ()


async def test_what_was_set_aside_is_durable_and_says_why(rig: Rig, receiver: Receiver) -> None:
    """The store knows which event failed, how often, why, and when it comes next, before the cursor passes it."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url))
    (written,) = await rig.write(event=FAILING)
    await receiver.until(1)
    await idle(rig, dispatcher)
    (record,) = await undelivered(rig)
    now = rig.clock.now_ms()
    assert (record.consumer, record.entry_id, record.tenant_id) == (NAME, written, "acme")
    assert (record.attempts, record.error, record.dead) == (1, "The receiver answered 500.", False)
    assert now + 3_750 <= record.retry_at <= now + 6_250
    assert record.position == await rig.store.last_position()


async def test_a_failing_event_holds_up_no_other_one(rig: Rig, receiver: Receiver) -> None:
    """Events behind one that always fails are delivered at once, on the same webhook too, and the cursor goes on."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url))
    written = []
    for _ in range(5):
        await rig.write(event=FAILING)
        written += await rig.write(60)
    await receiver.until(305)
    stats = await idle(rig, dispatcher)
    assert (stats.delivered, stats.waiting, stats.lag) == (300, 5, 0)
    await dispatcher.drain(1)
    assert await rig.store.delivery_cursor(NAME) == await rig.store.last_position()


async def test_a_failing_receiver_holds_up_no_other_one(rig: Rig, receiver: Receiver) -> None:
    """While one receiver hangs and another fails, a third gets everything without the clock moving."""
    hanging = Receiver(lambda _: Reply(hold=asyncio.Event()))
    failing = Receiver(lambda _: Reply(500))
    async with hanging, failing:
        await rig.start(hook(hanging.url, id="a"), hook(failing.url, id="b"), hook(receiver.url, id="c"))
        written = await rig.write(100)
        await receiver.until(100)
        assert sorted(receiver.ids) == sorted(written)
        await eventually(lambda: len(hanging.received) == 8)


async def test_attempts_continue_after_a_restart(rig: Rig, receiver: Receiver) -> None:
    """A restart neither forgets a failed event nor starts counting again, and repeats none of the others."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url))
    (bad,) = await rig.write(event=FAILING)
    await rig.write(3)
    await receiver.until(4)
    await idle(rig, dispatcher)
    await dispatcher.drain(1)
    again = await rig.start(hook(receiver.url))
    assert (await idle(rig, again)).waiting == 1
    await next_attempt(rig, again)
    assert receiver.ids[4:] == [bad]
    assert (await undelivered(rig))[0].attempts == 2


async def test_after_a_crash_a_set_aside_event_is_not_taken_for_a_new_one(rig: Rig, receiver: Receiver) -> None:
    """When the ledger is read again from an old cursor, what was set aside or given up meanwhile keeps its state."""
    receiver.respond = poison
    unsaved = CountingStore(rig.store)
    dispatcher = await rig.start(hook(receiver.url), store=unsaved, attempts=2)
    unsaved.forgotten = "move_delivery_cursor"
    (dead,) = await rig.write(event=FAILING)
    await next_attempt(rig, dispatcher)
    (waiting,) = await rig.write(event=FAILING)
    await idle(rig, dispatcher)
    await rig.crash(dispatcher)
    assert await rig.store.delivery_cursor(NAME) == 0
    (fresh,) = await rig.write()
    again = await rig.start(hook(receiver.url), attempts=2)
    stats = await idle(rig, again)
    assert receiver.ids == [dead, dead, waiting, fresh]
    assert (stats.waiting, stats.lag) == (1, 0)
    assert [record.entry_id for record in await undelivered(rig, dead=True)] == [dead]


async def test_an_event_is_given_up_after_about_a_day(rig: Rig, receiver: Receiver) -> None:
    """Fifteen attempts with growing pauses over about a day, then a dead letter that says why; the rest goes on."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url))
    (bad,) = await rig.write(event=FAILING)
    await idle(rig, dispatcher)
    times = [rig.clock.elapsed_ms()]
    while (await idle(rig, dispatcher)).waiting:
        await next_attempt(rig, dispatcher)
        times.append(rig.clock.elapsed_ms())
    stats = dispatcher.stats()[0]
    assert (stats.failed, stats.parked, stats.waiting, stats.delivered) == (15, 1, 0, 0)
    assert receiver.ids == [bad] * 15
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(1.2 < later / earlier < 3.4 for earlier, later in itertools.pairwise(pauses))
    assert 20 * 3_600_000 < times[-1] - times[0] < 27 * 3_600_000
    (dead,) = await undelivered(rig, dead=True)
    assert (dead.entry_id, dead.attempts, dead.dead, dead.error) == (bad, 15, True, "The receiver answered 500.")
    await dispatcher.drain(1)
    again = await rig.start(hook(receiver.url))
    (good,) = await rig.write()
    await idle(rig, again)
    rig.clock.advance(200_000)
    stats = await idle(rig, again)
    assert (receiver.ids[15:], stats.waiting) == ([good], 0)


async def test_giving_up_is_logged_without_the_url(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead letter is an error in the log, with the webhook's id, the event's and the reason."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url + "/secret-path"), attempts=1)
    (bad,) = await rig.write(event=FAILING)
    await eventually(lambda: dispatcher.stats()[0].parked == 1)
    (record,) = [record for record in caplog.records if record.name == "enactor.outbox"]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"webhook hook-acme: event {bad} given up after 1 attempts: The receiver answered 500."
    )


async def test_a_receiver_that_is_down_is_not_hammered(rig: Rig, receiver: Receiver) -> None:
    """A day of outage with hundreds of events waiting: a few probes an hour, no event given up, all delivered after."""
    receiver.respond = lambda _: Reply(503)
    dispatcher = await rig.start(hook(receiver.url))
    written = await rig.write(400)
    begin = rig.clock.elapsed_ms()
    while rig.clock.elapsed_ms() - begin < 86_400_000:
        stats = await next_attempt(rig, dispatcher)
    assert 100 < len(receiver.received) < 200
    assert (stats.parked, stats.delivered) == (0, 0)
    assert stats.lag > 200
    down = len(receiver.received)
    receiver.respond = lambda _: OK
    while (await next_attempt(rig, dispatcher)).waiting:
        pass
    assert Counter(receiver.ids[down:]) == Counter(written)
    stats = dispatcher.stats()[0]
    assert (stats.delivered, stats.parked, stats.lag) == (400, 0, 0)


async def test_a_receiver_that_recovers_gets_what_was_not_tried_at_once(rig: Rig, receiver: Receiver) -> None:
    """After one delivery gets through there are no more pauses."""
    receiver.respond = lambda _: Reply(503)
    dispatcher = await rig.start(hook(receiver.url))
    await rig.write(300)
    set_aside = (await idle(rig, dispatcher)).waiting
    assert 5 <= set_aside <= 12
    receiver.respond = lambda _: OK
    stats = await next_attempt(rig, dispatcher)
    assert stats.delivered >= 300 - set_aside
    assert stats.lag == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_leaves_the_receiver_alone(rig: Rig, receiver: Receiver, status: int) -> None:
    """Nothing at all is sent to a receiver before the time it asked for, and then everything is."""
    answers = [Reply(status, {"retry-after": "3600"})]
    receiver.respond = lambda _: answers.pop(0) if answers else OK
    dispatcher = await rig.start(hook(receiver.url), concurrency=1)
    written = await rig.write(5)
    await idle(rig, dispatcher)
    rig.clock.advance(3_599)
    await idle(rig, dispatcher)
    assert len(receiver.received) == 1
    rig.clock.advance(1)
    await idle(rig, dispatcher)
    assert Counter(receiver.ids) == Counter([*written, receiver.ids[0]])


async def test_410_ends_one_webhook_and_no_other(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that is gone gets nothing more, visibly; the others go on; after a restart it is asked once again."""
    async with Receiver(lambda _: Reply(410)) as gone:
        targets = (hook(gone.url, id="gone"), hook(receiver.url, id="here"))
        dispatcher = await rig.start(*targets, concurrency=1)
        await rig.write(5)
        await receiver.until(5)
        await eventually(lambda: dispatcher.stats()[0].disabled)
        await rig.write(5)
        await eventually(lambda: dispatcher.stats()[1].delivered == 10)
        assert len(gone.received) == 1
        first, second = dispatcher.stats()
        assert (first.disabled, first.delivered, second.disabled, second.delivered) == (True, 0, False, 10)
        assert first.lag == 10
        told = [record for record in caplog.records if record.name == "enactor.outbox"]
        assert [record.getMessage() for record in told] == [
            "webhook gone: the receiver answered 410 Gone; nothing more is sent to it"
        ]
        await dispatcher.drain(1)
        gone.respond = lambda _: OK
        # One at a time: several under way at once may arrive in another order than they were sent in.
        await rig.start(*targets, concurrency=1)
        await gone.until(11)
        assert gone.ids[1:2] == gone.ids[:1]


async def test_an_event_that_is_not_for_the_webhook_any_more_is_dropped(rig: Rig, receiver: Receiver) -> None:
    """A webhook that was configured for another tenant since does not get what was set aside for the former one."""
    receiver.respond = poison
    dispatcher = await rig.start(hook(receiver.url, id="hook-acme"))
    await rig.write(event=FAILING)
    await receiver.until(1)
    await idle(rig, dispatcher)
    await dispatcher.drain(1)
    again = await rig.start(hook(receiver.url, "globex", id="hook-acme"))
    await idle(rig, again)
    rig.clock.advance(60)
    await eventually(lambda: again.stats()[0].waiting == 0)
    assert len(receiver.received) == 1
    assert await undelivered(rig) == ()


async def test_too_many_failures_stop_the_reading(rig: Rig, receiver: Receiver) -> None:
    """What waits for another attempt is bounded: beyond, the rest stays in the ledger until there is room again."""
    count = itertools.count()
    receiver.respond = lambda _: Reply(500) if next(count) % 2 else OK
    dispatcher = await rig.start(hook(receiver.url), most_waiting=10, concurrency=1)
    written = await rig.write(1_200)
    stats = await idle(rig, dispatcher)
    assert 10 <= stats.waiting < 500
    assert stats.lag > 200
    receiver.respond = lambda _: OK
    while (await next_attempt(rig, dispatcher)).waiting:
        pass
    stats = dispatcher.stats()[0]
    assert (stats.delivered, stats.lag, stats.waiting) == (1_200, 0, 0)
    assert set(receiver.ids) == set(written)


def test_fifteen_attempts_take_about_a_day() -> None:
    """With the default policy the time from the first to the last attempt is about 23 hours, whatever the jitter."""
    policy = DeliveryPolicy()
    for seed in range(50):
        randomness = SeededRandomness(seed)
        total = sum(policy.delay(attempts, randomness) for attempts in range(1, policy.attempts))
        assert 17 * 3600 < total < 28.5 * 3600
    assert policy.delay(10_000, SeededRandomness()) > 0


def gate(**policy: float) -> tuple[Gate, ManualClock]:
    """A gate and its clock."""
    clock = ManualClock()
    return Gate(DeliveryPolicy(**policy), clock, SeededRandomness()), clock  # type: ignore[arg-type]


def test_one_event_that_fails_for_ever_is_no_trouble() -> None:
    """However often one and the same event fails, the receiver is called as before."""
    door, _ = gate()
    for _ in range(100):
        door.failed(7, 0)
    assert (door.in_trouble, door.closed_for(), door.places) == (False, 0, 8)


def test_different_events_that_fail_are_trouble_until_one_gets_through() -> None:
    """Several events in a row: one place, growing pauses up to the longest; a delivery ends all of it."""
    door, clock = gate()
    for position in range(4):
        door.failed(position, 0)
    assert not door.in_trouble
    door.failed(4, 0)
    pauses = []
    for _ in range(12):
        assert (door.in_trouble, door.places) == (True, 1)
        pauses.append(door.closed_for())
        door.failed(5, 0)
        assert door.closed_for() == pauses[-1], "a delivery that was under way lengthens nothing"
        clock.advance(pauses[-1])
        assert door.closed_for() == 0
        door.failed(6, 0)
    assert 3.7 <= pauses[0] <= 6.3
    assert pauses[-1] == 600
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses[:7]))
    door.succeeded()
    assert (door.in_trouble, door.closed_for(), door.places) == (False, 0, 8)


def test_what_a_receiver_asked_for_outlives_a_delivery() -> None:
    """A delivery that was under way when the receiver asked for a pause does not end the pause; a day is the most."""
    door, clock = gate()
    door.failed(1, 100)
    door.succeeded()
    door.failed(2, 10)
    assert door.closed_for() == 100
    clock.advance(100)
    door.failed(3, 10**9)
    assert door.closed_for() == 86_400


def test_a_suspended_machine_has_waited() -> None:
    """Pauses are measured on the clock that does not jump with the world's."""
    door, clock = gate()
    door.failed(1, 100)
    clock.jump(1_000)
    assert door.closed_for() == 100
