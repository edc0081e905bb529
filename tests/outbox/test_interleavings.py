"""Everything at once: failures, crashes, a store that takes its time. Nothing may be lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.outbox.receiver import OK, Received, Receiver, Reply
from tests.outbox.rig import Rig, hook

STORES = ["memory", "sqlite"]


class SlowStore:
    """A store in front of another whose every call takes a few turns of the loop, before and after."""

    def __init__(self, store: Any, chance: random.Random) -> None:
        self._store = store
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def slowly(*arguments: Any, **named: Any) -> Any:
            for _ in range(self._chance.randrange(4)):
                await asyncio.sleep(0)
            result = await method(*arguments, **named)
            for _ in range(self._chance.randrange(4)):
                await asyncio.sleep(0)
            return result

        return slowly


class Moody:
    """A receiver that takes an event, refuses it, or hangs up, as chance has it; `taken` is what it acknowledged."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.well = False
        self.taken: set[str] = set()

    def __call__(self, request: Received) -> Reply:
        """The answer to a delivery."""
        mood = 1.0 if self.well else self._chance.random()
        if mood < 0.2:
            return Reply(500)
        if mood < 0.3:
            return Reply(close=True)
        if mood < 0.32:
            return Reply(429, {"retry-after": "2"})
        self.taken.add(request.id)
        return OK


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_whatever_happens(rig: Rig, seed: int) -> None:
    """Events written while receivers misbehave and the process crashes are each acknowledged by all who want them."""
    chance = random.Random(seed)
    acme, all_tenants = Moody(chance), Moody(chance)
    async with Receiver(acme) as first, Receiver(all_tenants) as second:
        targets = (hook(first.url), hook(second.url, ""))
        store = SlowStore(rig.store, chance)
        settings = {"attempts": 1_000, "concurrency": 4, "longest_pause": 10.0}
        dispatcher = await rig.start(*targets, store=store, **settings)
        ours: list[str] = []
        theirs: list[str] = []
        for turn in range(60):
            ours += await rig.write(chance.randrange(4))
            theirs += await rig.write(chance.randrange(4), tenant_id="globex")
            for _ in range(chance.randrange(200)):
                await asyncio.sleep(0)
            rig.clock.advance(chance.random() * 3)
            if turn % 15 == 14:
                await rig.crash(dispatcher)
                ours += await rig.write(2)
                dispatcher = await rig.start(*targets, store=store, **settings)
        acme.well = all_tenants.well = True
        end = await rig.store.last_position()
        while any(stats.waiting or stats.position < end for stats in dispatcher.stats()):
            rig.clock.advance(1)
            for _ in range(50):
                await asyncio.sleep(0)
        assert acme.taken == set(ours)
        assert all_tenants.taken == {*ours, *theirs}
        assert dispatcher.failed is not None
        assert not dispatcher.failed.done()
