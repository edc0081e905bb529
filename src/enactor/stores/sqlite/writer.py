"""The writer: makes one physical commit of whatever commits wait for it.

The event loop checks and writes what it collected, into SQLite's memory, and a thread makes it durable meanwhile: a
`COMMIT` runs without the interpreter, so the loop goes on. Statements on the thread would take the interpreter from the
loop at every row. The loop is woken once for each batch. A batch's commits become durable together; a conflict of one
leaves no trace in it. A commit that comes alone, to a disk that is quick, is made on the event loop itself: handing it
over and back would take longer than the commit does.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from enactor.domain.errors import StoreFailed
from enactor.domain.kill_switch import KillSwitch
from enactor.ports.commands import Conflict
from enactor.stores.sqlite.book import Book, Unit
from enactor.stores.sqlite.errors import failure, primary_code
from enactor.stores.sqlite.files import BUSY_SECONDS
from enactor.stores.sqlite.news import News

_LARGEST_BATCH: Final = 256
"""No more commits than these are written in one turn of the loop."""
_EARLY: Final = 32
"""So many commits are written at once, so that the thread begins while the loop still collects."""

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
    """Takes commits on the event loop and has a thread make them durable.

    Args:
        connection: nobody else uses it. From here on it waits for no lock by itself.
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
        # What was read so far could wait for other programs. From here on the loop's own statements may not.
        self._patience(0)
        self._loop = asyncio.get_running_loop()
        self._collected: list[_Waiting] = []
        self._handed_over: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._under_way: asyncio.Future[None] | None = None
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
                # It may be made all the same: the others of its batch do not wait for whoever has given up.
                waiting.done = self._loop.create_future()
                waiting.done.cancel()
                self._begin()
                raise
            if waiting.done is None and self._made_alone(waiting):
                return
        elif len(self._collected) >= _EARLY:
            self._begin()
        if waiting.done is None:
            waiting.done = self._loop.create_future()
        await waiting.done

    def _made_alone(self, waiting: _Waiting) -> bool:
        """Makes a commit here and now, if nobody else commits and that is quick; else begins a batch.

        Returns:
            Whether it was made. Raises `Conflict` or `StoreFailed` then.
        """
        alone = len(self._collected) == 1 and waiting.after is None and self._under_way is None
        if not alone or self._took >= _QUICK_SECONDS:
            self._begin()
            return False
        batch, self._collected = self._collected, []
        if not self._opened():
            self._hand_over(batch, self._write_when_free)
            return False
        self._write(batch)
        self._make_durable(batch)
        self._tell(batch)
        if self.failure is not None:
            raise StoreFailed(self.failure.message)
        if waiting.conflict is not None:
            raise waiting.conflict
        return True

    def _begin(self) -> None:
        """Writes what was collected and hands it over, unless a batch is under way: the next one begins at its end."""
        if self._under_way is not None or not self._collected:
            return
        batch, self._collected = self._collected[:_LARGEST_BATCH], self._collected[_LARGEST_BATCH:]
        if self.failure is None and not self._opened():
            self._hand_over(batch, self._write_when_free)
            return
        self._write(batch)
        self._hand_over(batch, self._make_durable)

    def _hand_over(self, batch: list[_Waiting], work: Callable[[list[_Waiting]], None]) -> None:
        for waiting in batch:
            if waiting.done is None:
                waiting.done = self._loop.create_future()
        self._under_way = self._loop.create_future()
        self._handed_over.put(partial(self._work, batch, work))

    def _back(self, batch: list[_Waiting]) -> None:
        """Takes a batch back from the thread."""
        if self._under_way is not None:
            self._under_way.set_result(None)
            self._under_way = None
        self._tell(batch)
        self._begin()

    def _tell(self, batch: list[_Waiting]) -> None:
        """Tells of a batch that is durable, or that the store has failed."""
        if self._broken is not None:
            self._fail(batch, self._broken)
            return
        self._publish(self._book.take_news())
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
        self._begin()
        while self._under_way is not None:
            await asyncio.wait({self._under_way})
        if self._thread.is_alive():
            self._handed_over.put(None)
            await asyncio.to_thread(self._thread.join)
        if self.failure is None:
            self.failure = StoreFailed("The store is closed.")

    # -- on the event loop or on the thread, never on both at once -------------------------------------------------

    def _opened(self) -> bool:
        """Begins a transaction; False when another program has the database and waiting is the thread's business."""
        if self._broken is not None:
            return True
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                return False
            self._broken = failure(self._path, error)
        return True

    def _write(self, batch: list[_Waiting]) -> None:
        """Does a batch in the transaction under way: each commit whole, or not at all where a condition fails."""
        if self._broken is not None:
            return
        try:
            for waiting in batch:
                try:
                    self._book.apply(waiting.unit)
                except Conflict as conflict:
                    waiting.conflict = conflict
            self._book.rows.flush()
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may be told that a commit happened
            self._broken = failure(self._path, error)

    def _make_durable(self, batch: list[_Waiting]) -> None:
        if self._broken is not None:
            return
        try:
            if self._book.rows.take_written():
                self._book.shared.keep_up()
                self._commit()
            else:
                self._connection.execute("ROLLBACK")
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

    def _commit(self) -> None:
        """The physical commit: the one place where anything becomes durable."""
        began = time.perf_counter()
        self._connection.execute("COMMIT")
        self._took = (self._took + time.perf_counter() - began) / 2

    # -- on the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._handed_over.get()) is not None:
            work()
        self._book.rows.close()

    def _work(self, batch: list[_Waiting], work: Callable[[list[_Waiting]], None]) -> None:
        work(batch)
        try:
            self._loop.call_soon_threadsafe(self._back, batch)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return

    def _write_when_free(self, batch: list[_Waiting]) -> None:
        """Does the whole of a batch, once whoever has the database lets go of it."""
        try:
            self._patience(BUSY_SECONDS)
            self._connection.execute("BEGIN IMMEDIATE")
            self._patience(0)
        except sqlite3.Error as error:
            self._broken = failure(self._path, error)
        self._write(batch)
        self._make_durable(batch)

    def _patience(self, seconds: float) -> None:
        """How long statements wait for locks of other programs."""
        self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def _scrub(self) -> None:
        """The content that a change leaves in free space is gone after a VACUUM, and the log's after a TRUNCATE."""
        self._patience(BUSY_SECONDS)
        self._connection.execute("VACUUM")
        busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._patience(0)
        if busy:
            raise StoreFailed(
                f"The log of {self._path} could not be emptied: another program reads the database. "
                "Close it (a backup, a shell) and try again."
            )
