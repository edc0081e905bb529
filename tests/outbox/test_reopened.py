"""A process that ends and another that begins, over the same file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from enactor.domain.ledger import LedgerEvent
from enactor.outbox.dispatcher import Dispatcher
from enactor.stores.sqlite import SqliteStore
from tests.outbox.receiver import OK, Receiver, Reply
from tests.outbox.rig import Rig, eventually, hook, present


async def tried_everything(rig: Rig, dispatcher: Dispatcher) -> None:
    """Returns when the webhook is done with the whole ledger and failed with one event."""
    end = await rig.store.last_position()
    await eventually(lambda: (stats := dispatcher.stats()[0]).position >= end and stats.failed)


async def test_another_process_goes_on_where_the_first_one_was(tmp_path: Path) -> None:
    """Cursor, beginning, attempts and dead letters are in the file: nothing is lost, repeated or counted anew."""
    clock = present()
    file = tmp_path / "enactor.db"
    async with Receiver() as receiver:
        receiver.respond = lambda request: Reply(500) if request.event["type"].endswith("failed") else OK
        store = await SqliteStore.open(file, clock=clock)
        rig = Rig(store, clock)
        await rig.write(2)
        dispatcher = await rig.start(hook(receiver.url), attempts=3)
        good = await rig.write(3)
        bad = await rig.write(event=LedgerEvent.ACTION_FAILED)
        await tried_everything(rig, dispatcher)
        await dispatcher.drain(1)
        good += await rig.write(2)
        await store.close()
        for attempts in (2, 3):
            clock.advance(15)
            store = await SqliteStore.open(file, clock=clock)
            rig = Rig(store, clock)
            dispatcher = await rig.start(hook(receiver.url), attempts=3)
            await tried_everything(rig, dispatcher)
            await dispatcher.drain(1)
            dead = await store.undelivered("webhook:hook-acme", 10, dead=True)
            waiting = await store.undelivered("webhook:hook-acme", 10)
            assert [record.attempts for record in (*waiting, *dead)] == [attempts]
            assert [record.entry_id for record in dead] == (bad if attempts == 3 else [])
            await store.close()
        assert Counter(receiver.ids) == Counter([*good, *bad, *bad, *bad])
