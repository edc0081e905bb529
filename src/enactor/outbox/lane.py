"""One receiver's deliveries: what is tried now, how many at once, and what becomes of a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec import Struct

from enactor.domain.ledger import LedgerEntry
from enactor.domain.time import rfc3339
from enactor.outbox.aside import Aside
from enactor.outbox.pacing import DeliveryPolicy, Gate
from enactor.outbox.progress import Progress
from enactor.outbox.webhooks import Answer, Delivery, WebhookSender, WebhookTarget
from enactor.ports.clock import Clock, Randomness
from enactor.ports.store import Store, Undelivered

_log = logging.getLogger("enactor.outbox")


class OutboxStats(Struct, frozen=True, kw_only=True):
    """One webhook's numbers since the start of the process.

    Attributes:
        delivered: events that the receiver took.
        failed: attempts that failed.
        parked: events given up.
        waiting: events that wait for another attempt now.
        position: the ledger's position up to which this webhook is done.
        lag: positions between there and the end of the ledger.
        disabled: whether the receiver answered 410 Gone, after which nothing more is sent.
    """

    webhook_id: str
    delivered: int
    failed: int
    parked: int
    waiting: int
    position: int
    lag: int
    disabled: bool


class Lane:
    """Delivers one webhook's events, each at least once, in no promised order.

    An event whose delivery failed is set aside durably, with its attempts and the time of the next one, and the cursor
    goes on: no event holds up the ones behind it.
    """

    def __init__(
        self,
        target: WebhookTarget,
        store: Store,
        sender: WebhookSender,
        *,
        clock: Clock,
        randomness: Randomness,
        policy: DeliveryPolicy,
    ) -> None:
        self.target = target
        consumer = f"webhook:{target.id}"
        self._consumer = consumer
        self._store = store
        self._sender = sender
        self._clock = clock
        self._randomness = randomness
        self._policy = policy
        self._gate = Gate(policy, clock, randomness)
        self._aside = Aside(consumer, store)
        self._progress = Progress(consumer, target, store, self._aside)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again_next = False
        self._disabled = False
        self._broken: BaseException | None = None
        self._delivered = 0
        self._failed = 0
        self._parked = 0

    async def open(self) -> None:
        """Finds out how far the receiver has come, and what it has not taken."""
        await self._aside.open(await self._progress.open())

    def offer(self, after: int, entries: Sequence[LedgerEntry]) -> None:
        """Hands over what is new in the ledger: all entries beyond `after`, up to the last of `entries`."""
        self._progress.offer(after, entries, take=self._may_take)
        self._changed.set()

    async def run(self) -> None:
        """Delivers until it is cancelled or the receiver is gone. Raises `StoreFailed`."""
        while not self._disabled:
            if self._progress.readable and self._may_take:
                await self._progress.read()
            if not self._start_one():
                await self._until_changed(self._next_in())
            self._collect()
        while self._tasks:
            await asyncio.wait(self._tasks)
            self._collect()

    async def drain(self, timeout_seconds: float) -> None:
        """Gives deliveries that are under way this long to end, and saves how far it is. Raises `StoreFailed`."""
        if self._tasks:
            limit = asyncio.create_task(self._sleep(timeout_seconds))
            ended = asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.wait((limit, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in (limit, *self._tasks):
                task.cancel()
            await asyncio.wait((limit, *self._tasks))
            self._collect()
        await self._progress.save(in_any_case=True)

    async def save(self) -> None:
        """Saves how far it is, if that is worth it. Raises `StoreFailed`."""
        await self._progress.save()

    def stats(self) -> OutboxStats:
        """Its numbers."""
        return OutboxStats(
            webhook_id=self.target.id,
            delivered=self._delivered,
            failed=self._failed,
            parked=self._parked,
            waiting=len(self._aside),
            position=self._progress.settled,
            lag=self._progress.lag,
            disabled=self._disabled,
        )

    # -- choosing ------------------------------------------------------------------------------------------------

    @property
    def _may_take(self) -> bool:
        return len(self._aside) < self._policy.most_waiting

    def _start_one(self) -> bool:
        """Starts a delivery if one may be started; new events and further attempts take turns."""
        if len(self._tasks) >= self._gate.places or self._gate.closed_for():
            return False
        due = self._aside.next_at
        again = due is not None and due <= self._clock.now_ms()
        if again and (self._again_next or not self._progress.waiting):
            self._again_next = False
            self._begin(self._try_again(self._aside.pop()))
            return True
        if self._progress.waiting:
            self._again_next = True
            self._begin(self._try_first(self._progress.pop()))
            return True
        return False

    def _next_in(self) -> float | None:
        """In how many seconds a delivery may be possible that is not now; None when only a change can bring one."""
        due = self._aside.next_at
        if len(self._tasks) >= self._gate.places or (due is None and not self._progress.waiting):
            return None
        wait = 0.0 if due is None or self._progress.waiting else max(0, due - self._clock.now_ms()) / 1000
        return max(wait, self._gate.closed_for())

    async def _until_changed(self, seconds: float | None) -> None:
        """Returns when something happened, or after so many seconds."""
        if seconds is None:
            await self._changed.wait()
        else:
            waits = [asyncio.create_task(self._sleep(seconds)), asyncio.create_task(self._changed_at_all())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        self._changed.clear()

    async def _changed_at_all(self) -> None:
        await self._changed.wait()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def _begin(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(delivery)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._changed.set())

    def _collect(self) -> None:
        """Lets go of deliveries that ended. Raises what the store raised in one of them."""
        ended = [task for task in self._tasks if task.done()]
        self._tasks.difference_update(ended)
        for task in ended:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._broken = self._broken or error
        if self._broken is not None:
            raise self._broken

    # -- delivering ----------------------------------------------------------------------------------------------

    async def _try_first(self, entry: LedgerEntry) -> None:
        delivery = await self._send(entry)
        if delivery.answer is Answer.FAILED:
            await self._set_aside(entry, 1, delivery)
        if delivery.answer is not Answer.GONE:
            await self._progress.settle(entry.position)

    async def _try_again(self, record: Undelivered) -> None:
        found = await self._store.entries_after(record.position - 1, 1)
        if not found or found[0].entry_id != record.entry_id or not self.target.wants(found[0]):
            # The receiver was configured anew since, or the ledger comes from an older backup.
            _log.warning("webhook %s: event %s is not for it any more", self.target.id, record.entry_id)
            await self._aside.forget(record.position)
            return
        delivery = await self._send(found[0])
        if delivery.answer is Answer.DELIVERED:
            await self._aside.forget(record.position)
        elif delivery.answer is Answer.FAILED:
            await self._set_aside(found[0], record.attempts + 1, delivery)

    async def _send(self, entry: LedgerEntry) -> Delivery:
        delivery = await self._sender.send(self.target, entry)
        was_in_trouble = self._gate.in_trouble
        if delivery.answer is Answer.DELIVERED:
            self._delivered += 1
            self._gate.succeeded()
            if was_in_trouble:
                _log.info("webhook %s: the receiver takes events again", self.target.id)
            return delivery
        self._failed += 1
        if delivery.answer is Answer.GONE:
            if not self._disabled:
                _log.error("webhook %s: the receiver answered 410 Gone; nothing more is sent to it", self.target.id)
            self._disabled = True
            return delivery
        self._gate.failed(entry.position, delivery.retry_after)
        if self._gate.in_trouble and not was_in_trouble:
            _log.warning("webhook %s: the receiver takes nothing: %s", self.target.id, delivery.error)
        return delivery

    async def _set_aside(self, entry: LedgerEntry, attempts: int, delivery: Delivery) -> None:
        """Remembers a failed delivery, durably, before the cursor may pass it."""
        now = self._clock.now_ms()
        asked = min(delivery.retry_after, self._policy.longest_retry_after)
        record = Undelivered(
            consumer=self._consumer,
            position=entry.position,
            entry_id=entry.entry_id,
            tenant_id=entry.tenant_id,
            attempts=attempts,
            retry_at=now + round(1000 * max(asked, self._policy.delay(attempts, self._randomness))),
            failed_at=rfc3339(now),
            error=delivery.error,
        )
        if attempts < self._policy.attempts:
            await self._aside.keep(record)
            return
        await self._aside.park(record)
        self._parked += 1
        tried = (self.target.id, entry.entry_id, attempts, delivery.error)
        _log.error("webhook %s: event %s given up after %d attempts: %s", *tried)
