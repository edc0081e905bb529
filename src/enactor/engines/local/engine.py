"""The local engine: drives runs in this process, bounded, fair between tenants, and recovers them after a crash.

It holds nothing that the store does not: the queue, the waits and the fences in memory are a cache of what `due` lists.
The store's file lock is free only when its last owner is dead, so whatever is unfinished at start has no living holder.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from enactor.domain.attempt import RunStatus
from enactor.domain.errors import EnactorError, StoreFailed
from enactor.engines.local.fair import FairQueue
from enactor.pipeline.driver import Driven, Driver, Progress
from enactor.pipeline.model import Earlier
from enactor.ports.clock import Clock
from enactor.ports.engine import EngineInfo, RunRequest
from enactor.ports.store import RunDue, Store

_PAGE: Final = 500
_log = logging.getLogger("enactor.engine")

Listener = Callable[[str, RunStatus], None]


class _Ticket(Struct):
    """A run in this process: what is known about its holder, and whether word of it came while it was driven."""

    request: RunRequest
    earlier: Earlier
    held_fence: int = 0
    running: bool = False
    again: bool = False
    wake_at: int = 0


class LocalEngine:
    """Runs the pipeline in this process.

    Args:
        driver: drives one run.
        store: lists what is unfinished.
        clock: for waits; injected, so that tests move it.
        concurrency: how many runs are driven at the same time.
        sweep_seconds: how often unfinished runs are looked for, and `housekeeping` is called.
        exclusive: the store admits one process, so whoever held an unfinished run before is dead.
        listener: told when a run ended or fell in doubt, after it is durable.
        housekeeping: what else is done at every sweep, such as expiring intents.
    """

    def __init__(
        self,
        driver: Driver,
        store: Store,
        clock: Clock,
        *,
        concurrency: int = 64,
        sweep_seconds: float = 5.0,
        exclusive: bool = True,
        listener: Listener | None = None,
        housekeeping: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        self._driver = driver
        self._store = store
        self._clock = clock
        self._concurrency = concurrency
        self._sweep_seconds = sweep_seconds
        self._recovered_from = Earlier.DEAD if exclusive else Earlier.UNKNOWN
        self._listener = listener
        self._housekeeping = housekeeping
        self._tickets: dict[tuple[str, int], _Ticket] = {}
        self._queue: FairQueue[_Ticket] = FairQueue()
        self._waits: list[tuple[int, str, int]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._timer_changed = asyncio.Event()
        self._accepting = False
        self.failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Queues everything unfinished, then begins to work."""
        self.failed = asyncio.get_running_loop().create_future()
        self._accepting = True
        await self._sweep(everything=True)
        self._background = [asyncio.create_task(self._keep_time()), asyncio.create_task(self._keep_sweeping())]

    async def submit(self, request: RunRequest) -> None:
        """Queues a run, or wakes it if it waits. A run that is being driven is looked at again afterwards."""
        if self._accepting:
            self._take(request, Earlier.UNKNOWN)

    def info(self) -> EngineInfo:
        """How busy it is."""
        running = sum(1 for ticket in self._tickets.values() if ticket.running)
        waiting = sum(1 for ticket in self._tickets.values() if ticket.wake_at)
        return EngineInfo(
            kind="local", queued=len(self._queue), running=running, waiting=waiting, accepting=self._accepting
        )

    async def drain(self, timeout_seconds: float) -> None:
        """Starts nothing new, lets the calls that are out come back and be recorded, and stops.

        What is still out after `timeout_seconds` is left with its permit open, and recovered by the next start.
        """
        self._accepting = False
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # -- queueing ------------------------------------------------------------------------------------------------

    def _take(self, request: RunRequest, earlier: Earlier) -> None:
        key = (request.action_intent_id, request.run_number)
        ticket = self._tickets.get(key)
        if ticket is None:
            ticket = self._tickets[key] = _Ticket(request=request, earlier=earlier)
        elif ticket.running:
            ticket.again = True
            return
        elif ticket.wake_at:
            ticket.wake_at = 0
        else:
            return
        self._enqueue(ticket)

    def _enqueue(self, ticket: _Ticket) -> None:
        self._queue.put(ticket.request.tenant_id, ticket)
        if self._accepting and len(self._workers) < self._concurrency:
            self._workers.add(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        """Drives queued runs until there are none, and counts as a worker no longer than that."""
        try:
            while self._queue and self._accepting:
                ticket = self._queue.get()
                ticket.running, ticket.again = True, False
                try:
                    driven = await self._driver.drive(ticket.request, ticket.earlier, ticket.held_fence)
                except StoreFailed as error:
                    self._fail(error)
                    return
                except EnactorError as error:
                    _log.info("run of %s not started: %s", ticket.request.action_intent_id, error.error_code)
                    driven = Driven(Progress.NOTHING)
                except Exception as error:  # noqa: BLE001 - whatever a run does, the others go on
                    # The run keeps its lock; past its deadline the sweeper finds it, and nothing it did is lost.
                    _log.error("run of %s stopped by %s", ticket.request.action_intent_id, type(error).__name__)
                    driven = Driven(Progress.NOTHING)
                self._after(ticket, driven)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._workers.discard(task)

    def _after(self, ticket: _Ticket, driven: Driven) -> None:
        ticket.running = False
        key = (ticket.request.action_intent_id, ticket.request.run_number)
        status = driven.status
        if self._listener is not None and status is not None and status is not RunStatus.RUNNING:
            self._listener(key[0], status)
        # What waits without running is looked up again when the sweeper finds it due.
        over = driven.progress is not Progress.WAITING or status not in (None, RunStatus.RUNNING)
        if over and not ticket.again:
            del self._tickets[key]
            return
        ticket.request = RunRequest(
            action_intent_id=key[0], tenant_id=ticket.request.tenant_id, run_number=ticket.request.run_number
        )
        ticket.earlier = Earlier.SELF if driven.fence else Earlier.UNKNOWN
        ticket.held_fence = driven.fence
        if ticket.again:
            self._enqueue(ticket)
            return
        ticket.wake_at = driven.until
        heapq.heappush(self._waits, (driven.until, *key))
        self._timer_changed.set()

    def _fail(self, error: StoreFailed) -> None:
        self._accepting = False
        if self.failed is not None and not self.failed.done():
            self.failed.set_exception(error)
            # Whoever waits for it still gets it; nobody has to, for it not to be reported a second time.
            self.failed.exception()

    # -- time ----------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Queues waiting runs when their time has come."""
        while True:
            self._timer_changed.clear()
            now = self._clock.now_ms()
            while self._waits and self._waits[0][0] <= now:
                _, action_intent_id, run_number = heapq.heappop(self._waits)
                ticket = self._tickets.get((action_intent_id, run_number))
                if ticket is not None and 0 < ticket.wake_at <= now:
                    ticket.wake_at = 0
                    self._enqueue(ticket)
            pause = (self._waits[0][0] - now) / 1000 if self._waits else self._sweep_seconds
            await self._first(self._clock.sleep(min(pause, self._sweep_seconds)), self._timer_changed.wait())

    @staticmethod
    async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _keep_sweeping(self) -> None:
        """The sweeper: looks for what the engine has lost sight of, and does the housekeeping."""
        while True:
            await self._clock.sleep(self._sweep_seconds)
            try:
                await self._sweep(everything=False)
                if self._housekeeping is not None:
                    await self._housekeeping()
            except StoreFailed as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - the sweeper outlives every surprise
                _log.error("sweep stopped by %s; the next one tries again", type(error).__name__)

    async def _sweep(self, *, everything: bool) -> None:
        """Queues unfinished runs: at start all of them, later those that nobody here holds and that are overdue."""
        after = ""
        while page := await self._store.due(self._clock.now_ms(), _PAGE, after):
            for run in page:
                if everything or self._overdue(run):
                    request = RunRequest(
                        action_intent_id=run.action_intent_id,
                        tenant_id=run.tenant_id,
                        run_number=max(run.run_number, 1),
                    )
                    self._take_lost(request)
            after = page[-1].action_intent_id

    def _overdue(self, run: RunDue) -> bool:
        return run.status is not RunStatus.RUNNING or run.deadline_at <= self._clock.now_ms()

    def _take_lost(self, request: RunRequest) -> None:
        if (request.action_intent_id, request.run_number) not in self._tickets:
            self._take(request, self._recovered_from)
