"""The writer: a thread that makes one physical commit of whatever commits wait for it.

The event loop hands over what it collected in one of its turns, and is woken once for each batch. A batch's commits
become durable together; a conflict of one leaves no trace in it.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final

from enactor.domain.errors import StoreFailed
from enactor.domain.kill_switch import KillSwitch
from enactor.ports.commands import Conflict
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.errors import failure
from enactor.stores.sqlite.news import News

_LARGEST_BATCH: Final = 1_024


class _Waiting:
    """A commit and whoever waits for it."""

    __slots__ = ("conflict", "done", "unit")

    def __init__(self, unit: Unit, done: asyncio.Future[None]) -> None:
        self.unit = unit
        self.done = done
        self.conflict: Conflict | None = None


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
        self._broken: StoreFailed | None = None
        self.failure: StoreFailed | None = None
        self._thread = threading.Thread(target=self._run, name="enactor-sqlite-writer", daemon=True)
        self._thread.start()

    def found(self) -> tuple[int, dict[str, KillSwitch]]:
        """The end of the ledger and the switches as they were found. To be asked before the first commit."""
        return self._book.shared.position, dict(self._book.shared.switches)

    # -- on the event loop ---------------------------------------------------------------------------------------

    async def commit(self, unit: Unit) -> None:
        """Returns when the commit is durable. Raises `Conflict` or `StoreFailed`."""
        if self.failure is not None:
            raise StoreFailed(self.failure.message)
        waiting = _Waiting(unit, self._loop.create_future())
        if not self._collected:
            self._loop.call_soon(self._hand_over)
        self._collected.append(waiting)
        await waiting.done

    def _hand_over(self) -> None:
        if self._collected:
            self._batches.put(self._collected)
            self._collected = []

    def _deliver(self, batch: list[_Waiting], news: News) -> None:
        self._publish(news)
        for waiting in batch:
            if waiting.done.done():
                continue
            if waiting.conflict is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(waiting.conflict)

    def _fail(self, batch: list[_Waiting], error: StoreFailed) -> None:
        first, self.failure = self.failure is None, error
        for waiting in batch:
            if not waiting.done.done():
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

    # -- on the writer's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        more = True
        while more:
            batch = self._batches.get()
            more = bool(batch)
            # Whatever was handed over while the last batch was being written shares the next one.
            while more and len(batch) < _LARGEST_BATCH and not self._batches.empty():
                following = self._batches.get()
                more = bool(following)
                batch = batch + following
            if batch:
                self._work(batch)
        self._connection.close()

    def _work(self, batch: list[_Waiting]) -> None:
        if self._broken is not None:
            self._tell(self._fail, batch, self._broken)
            return
        try:
            for waiting in batch:
                try:
                    self._book.apply(waiting.unit)
                except Conflict as conflict:
                    waiting.conflict = conflict
            self._book.rows.flush()
            if self._connection.in_transaction:
                self._commit()
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may be told that a commit happened
            # After an error in the middle of a batch or of a commit, memory, file and log may differ, and what a
            # failed fsync has lost cannot be asked for (PostgreSQL's "fsyncgate"). Only opening it again tells.
            self._broken = failure(self._path, error)
            self._tell(self._fail, batch, self._broken)
            return
        self._tell(self._deliver, batch, self._book.take_news())

    def _commit(self) -> None:
        """The physical commit: the one place where anything becomes durable."""
        self._connection.execute("COMMIT")

    def _tell(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return
