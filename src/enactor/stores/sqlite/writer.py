"""The writer: makes one physical commit of whatever commits wait for it, on a thread of its own.

The event loop hands over what it collected in one of its turns, and is woken once for each batch. A batch's commits
become durable together; a conflict of one leaves no trace in it. A commit that comes alone, to a disk that is quick, is
made on the event loop itself: handing it over and back would take longer than the commit does.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from enactor.domain.errors import StoreFailed
from enactor.domain.kill_switch import KillSwitch
from enactor.ports.commands import Conflict
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.errors import failure
from enactor.stores.sqlite.news import News

_LARGEST_BATCH: Final = 1_024
_EARLY: Final = 32
"""So many commits are handed over at once, so that the thread begins while the loop still collects."""

_QUICK_SECONDS: Final = 0.002
"""A physical commit that takes longer than this never holds up the event loop."""


class _Waiting:
    """A commit and whoever waits for it; `after` is done outside the transaction, once the batch is durable.

    `done` is None as long as the commit may yet be made by its own task, which then waits for nobody.
    """

    __slots__ = ("after", "conflict", "done", "unit")

    def __init__(self, unit: Unit, after: Callable[[], None] | None) -> None:
        self.unit = unit
        self.done: asyncio.Future[None] | None = None
        self.after = after
        self.conflict: Conflict | StoreFailed | None = None


class Writer:
    """Takes commits on the event loop and makes them durable on a thread of its own.

    Args:
        connection: nobody else uses it.
        path: the database's path, for messages.
        publish: called on the event loop with what a batch changed, once it is durable and before its commits return.
        on_failure: called on the event loop, once, when the database can no longer be trusted.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        publish: Callable[[News], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._publish = publish
        self._on_failure = on_failure
        self._book = Book(connection)
        self._loop = asyncio.get_running_loop()
        self._collected: list[_Waiting] = []
        self._batches: queue.SimpleQueue[list[_Waiting]] = queue.SimpleQueue()
        self._under_way = 0
        self._took = 0.0
        self._broken: StoreFailed | None = None
        self.failure: StoreFailed | None = None
        self._thread = threading.Thread(target=self._run, name="enactor-sqlite-writer", daemon=True)
        self._thread.start()

    def found(self) -> tuple[int, dict[str, KillSwitch]]:
        """The end of the ledger and the switches as they were found. To be asked before the first commit."""
        return self._book.shared.position, dict(self._book.shared.switches)

    # -- on the event loop ---------------------------------------------------------------------------------------

    async def scrub(self) -> None:
        """Writes the database anew without what is left of old content, and empties the log. Raises `StoreFailed`."""
        await self.commit(Unit(), self._scrub)

    async def commit(self, unit: Unit, after: Callable[[], None] | None = None) -> None:
        """Returns when the commit is durable. Raises `Conflict` or `StoreFailed`."""
        if self.failure is not None:
            raise StoreFailed(self.failure.message)
        waiting = _Waiting(unit, after)
        self._collected.append(waiting)
        if len(self._collected) == 1:
            try:
                # Whoever commits in the same turn of the loop comes in between.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._hand_over()
                if waiting.done is not None:
                    waiting.done.cancel()
                raise
            if waiting.done is None and self._made_alone(waiting):
                return
        elif len(self._collected) >= _EARLY:
            self._hand_over()
        else:
            waiting.done = self._loop.create_future()
        if waiting.done is None:
            raise RuntimeError("a commit is handed over or made")
        await waiting.done

    def _made_alone(self, waiting: _Waiting) -> bool:
        """Makes a commit here and now, if nobody else commits and that is quick; else hands over what was collected.

        Returns:
            Whether it was made. Raises `Conflict` or `StoreFailed` then.
        """
        alone = self._collected == [waiting] and waiting.after is None
        if not alone or self._under_way or self._took >= _QUICK_SECONDS:
            self._hand_over()
            return False
        batch, self._collected = self._collected, []
        self._work(batch)()
        if self.failure is not None:
            raise StoreFailed(self.failure.message)
        if waiting.conflict is not None:
            raise waiting.conflict
        return True

    def _hand_over(self) -> None:
        batch, self._collected = self._collected, []
        for waiting in batch:
            if waiting.done is None:
                waiting.done = self._loop.create_future()
        if batch:
            self._under_way += 1
            self._batches.put(batch)

    def _back(self, handed_over: int, tell: Callable[[], None]) -> None:
        self._under_way -= handed_over
        tell()

    def _deliver(self, batch: list[_Waiting], news: News) -> None:
        self._publish(news)
        for waiting in batch:
            if waiting.done is None or waiting.done.done():
                continue
            if waiting.conflict is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(waiting.conflict)

    def _fail(self, batch: list[_Waiting], error: StoreFailed) -> None:
        first, self.failure = self.failure is None, error
        for waiting in batch:
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_exception(StoreFailed(error.message))
        if first:
            self._on_failure()

    async def close(self) -> None:
        """Finishes what was handed in, ends the thread and closes the connection."""
        if self._thread.is_alive():
            self._hand_over()
            self._batches.put([])
            await asyncio.to_thread(self._thread.join)
        if self.failure is None:
            self.failure = StoreFailed("The store is closed.")

    # -- on the writer's thread, or on the event loop while the thread has nothing to do ---------------------------

    def _run(self) -> None:
        more = True
        while more:
            batch, handed_over = self._batches.get(), 1
            more = bool(batch)
            # Whatever was handed over while the last batch was being written shares the next one.
            while more and len(batch) < _LARGEST_BATCH and not self._batches.empty():
                following = self._batches.get()
                more = bool(following)
                batch, handed_over = batch + following, handed_over + more
            if batch:
                self._tell(self._back, handed_over, self._work(batch))
        self._book.rows.close()

    def _work(self, batch: list[_Waiting]) -> Callable[[], None]:
        """Does a batch. Returns what has to be called on the event loop to tell of it."""
        if self._broken is not None:
            return partial(self._fail, batch, self._broken)
        try:
            for waiting in batch:
                try:
                    self._book.apply(waiting.unit)
                except Conflict as conflict:
                    waiting.conflict = conflict
            self._book.rows.flush()
            if self._connection.in_transaction:
                self._book.shared.keep_up()
                self._commit()
            for waiting in batch:
                if waiting.after is not None:
                    try:
                        waiting.after()
                    except StoreFailed as error:
                        waiting.conflict = error
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may be told that a commit happened
            # After an error in the middle of a batch or of a commit, memory, file and log may differ, and what a
            # failed fsync has lost cannot be asked for (PostgreSQL's "fsyncgate"). Only opening it again tells.
            self._broken = failure(self._path, error)
            return partial(self._fail, batch, self._broken)
        return partial(self._deliver, batch, self._book.take_news())

    def _commit(self) -> None:
        """The physical commit: the one place where anything becomes durable."""
        began = time.perf_counter()
        self._connection.execute("COMMIT")
        self._took = (self._took + time.perf_counter() - began) / 2

    def _scrub(self) -> None:
        """The content that a change leaves in free space is gone after a VACUUM, and the log's after a TRUNCATE."""
        self._connection.execute("VACUUM")
        busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreFailed(
                f"The log of {self._path} could not be emptied: another program reads the database. "
                "Close it (a backup, a shell) and try again."
            )

    def _tell(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return
