"""The events that a receiver has not taken yet: set aside durably, so that the cursor can go on past them."""

from __future__ import annotations

import heapq
from typing import Final

import msgspec

from enactor.ports.store import Store, Undelivered

_PAGE: Final = 256


class Aside:
    """What one consumer of the events has not taken.

    Memory holds the events that wait for another attempt; dead letters are in the store alone.
    """

    def __init__(self, consumer: str, store: Store) -> None:
        self._consumer = consumer
        self._store = store
        self._waiting: dict[int, Undelivered] = {}
        self._times: list[tuple[int, int]] = []
        self._dead: set[int] = set()

    async def open(self, cursor: int) -> None:
        """Reads what an earlier process set aside.

        Args:
            cursor: how far the consumer has come; dead letters beyond it are remembered, so that they are not taken for
                new events when the ledger is read again from there.
        """
        position = 0
        while page := await self._store.undelivered(self._consumer, _PAGE, after=position):
            for record in page:
                self._wait(record)
            position = page[-1].position
        position = cursor
        while page := await self._store.undelivered(self._consumer, _PAGE, after=position, dead=True):
            self._dead.update(record.position for record in page)
            position = page[-1].position

    def __contains__(self, position: object) -> bool:
        return position in self._waiting or position in self._dead

    def __len__(self) -> int:
        """How many events wait for another attempt, those under way included."""
        return len(self._waiting)

    @property
    def next_at(self) -> int | None:
        """When the next attempt is due, epoch milliseconds; None when none is waiting that is not under way."""
        return self._times[0][0] if self._times else None

    def pop(self) -> Undelivered:
        """The event that has been due longest; it is under way until it is kept, parked or forgotten."""
        return self._waiting[heapq.heappop(self._times)[1]]

    async def keep(self, record: Undelivered) -> None:
        """Sets an event aside for another attempt; durable on return."""
        await self._store.keep_undelivered(record)
        self._wait(record)

    async def park(self, record: Undelivered) -> None:
        """Gives an event up: a dead letter, kept until somebody looks at it; durable on return."""
        await self._store.keep_undelivered(msgspec.structs.replace(record, dead=True))
        self._waiting.pop(record.position, None)

    async def forget(self, position: int) -> None:
        """The event was delivered after all, or is not wanted any more."""
        await self._store.forget_undelivered(self._consumer, position)
        del self._waiting[position]

    def _wait(self, record: Undelivered) -> None:
        self._waiting[record.position] = record
        heapq.heappush(self._times, (record.retry_at, record.position))
