"""The dispatcher: follows the ledger once for all webhooks, and keeps each one's lane going.

Nothing leaves before its commit, because what leaves is read back from the ledger, and the ledger is written by the
commit itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from enactor.domain.errors import ConfigurationError
from enactor.outbox.lane import Lane, OutboxStats
from enactor.outbox.pacing import DeliveryPolicy
from enactor.outbox.webhooks import WebhookSender, WebhookTarget
from enactor.ports.clock import Clock, Randomness
from enactor.ports.store import Store

_PAGE: Final = 512
_LISTEN_SECONDS: Final = 30.0
_log = logging.getLogger("enactor.outbox")
_DEFAULT_POLICY: Final = DeliveryPolicy()


class Dispatcher:
    """Delivers events to webhooks, each at least once to each webhook that wants it.

    Args:
        store: whose ledger it follows; cursors and undelivered events are kept there.
        targets: the receivers. Two with the same id are a `ConfigurationError`.
        sender: makes one delivery.
        clock: for waits and timestamps.
        randomness: spreads further attempts.
        policy: how hard it tries.

    Attributes:
        failed: from `start` on; ends with the exception that stopped delivery, `StoreFailed` above all, after which the
            process has to stop. Never ends otherwise.
    """

    def __init__(
        self,
        store: Store,
        targets: Iterable[WebhookTarget],
        sender: WebhookSender,
        *,
        clock: Clock,
        randomness: Randomness,
        policy: DeliveryPolicy = _DEFAULT_POLICY,
    ) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._policy = policy
        self._lanes = tuple(
            Lane(target, store, sender, clock=clock, randomness=randomness, policy=policy) for target in targets
        )
        if len({lane.target.id for lane in self._lanes}) < len(self._lanes):
            raise ConfigurationError("Two webhooks have the same id.")
        self._work: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Goes on from each webhook's cursor. Without webhooks it does nothing."""
        self.failed = asyncio.get_running_loop().create_future()
        if not self._lanes:
            return
        end = await self._store.last_position()
        for lane in self._lanes:
            await lane.open()
        self._begin(self._follow(end))
        self._begin(self._keep_saving())
        for lane in self._lanes:
            self._begin(lane.run())

    async def drain(self, timeout_seconds: float) -> None:
        """Starts no delivery, gives those under way so many seconds, saves every cursor, and closes connections.

        What is still under way then is delivered again after the next start.
        """
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._work.clear()
        try:
            await asyncio.gather(*(lane.drain(timeout_seconds) for lane in self._lanes))
        finally:
            await self._sender.close()

    def stats(self) -> tuple[OutboxStats, ...]:
        """Each webhook's numbers."""
        return tuple(lane.stats() for lane in self._lanes)

    async def _follow(self, position: int) -> None:
        """Reads every new entry once and offers it to all lanes."""
        while True:
            entries = await self._store.entries_after(position, _PAGE)
            if not entries:
                if not await self._store.wait_beyond(position, _LISTEN_SECONDS):
                    await self._clock.sleep(0)  # a store that is being closed answers at once, and must not be pestered
                continue
            for lane in self._lanes:
                lane.offer(position, entries)
            position = entries[-1].position

    async def _keep_saving(self) -> None:
        while True:
            await self._clock.sleep(self._policy.save_seconds)
            for lane in self._lanes:
                await lane.save()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("delivery to webhooks stopped: %s", type(error).__name__)
        if self.failed is not None and not self.failed.done():
            self.failed.set_exception(error)
