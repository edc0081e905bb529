"""Connections that read, each on a thread of its own, so that the disk never holds up the event loop or the writer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import msgspec

from enactor.domain.errors import RecordDamaged, StoreFailed
from enactor.stores.sqlite.errors import failure
from enactor.stores.sqlite.files import connect_reader

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_THREADS: Final = 3


class Pool:
    """Runs queries off the event loop.

    Args:
        path: the database.
        threads: how many queries run at once.
        connect: makes the connection of each thread.

    Attributes:
        refusal: once it is set, nothing is read any more, and this says why.
    """

    def __init__(
        self, path: Path, *, threads: int = _THREADS, connect: Callable[[Path], sqlite3.Connection] = connect_reader
    ) -> None:
        self._path = path
        self._connect = connect
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(threads, "enactor-sqlite-reader")
        self.refusal: StoreFailed | None = None

    async def read(
        self,
        query: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """What `query` answers, given a connection and the arguments. It sees every commit acknowledged by now.

        Raises:
            StoreFailed: the database cannot be read.
            RecordDamaged: one of the records cannot.
        """
        if self.refusal is not None:
            raise StoreFailed(self.refusal.message)

        def ask() -> Result:
            try:
                return query(self._connection(), *args, **kwargs)
            except sqlite3.Error as error:
                raise failure(str(self._path), error) from None
            except msgspec.DecodeError:
                raise RecordDamaged(
                    f"A record in the database {self._path} cannot be read: it is damaged, or was changed by somebody "
                    "else. Restore the database from a backup and start with --restored."
                ) from None

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect(self._path)
            self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Lets every query end, and closes the connections. Blocks until then."""
        if self.refusal is None:
            self.refusal = StoreFailed("The store is closed.")
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
