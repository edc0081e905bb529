"""Rows that a batch is about to write, collected table by table, and written with one call for each statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, Final

from enactor.stores.sqlite import sql

Row = tuple[Any, ...]


class Rows:
    """The rows of the batch under way.

    What reads the database in the middle of a batch calls `flush` first, and then sees what the batch has done so far.

    Args:
        connection: the writer's.
        more: asked at each flush for rows that are kept elsewhere until then.
    """

    def __init__(self, connection: sqlite3.Connection, more: Callable[[Rows], None]) -> None:
        self.connection: Final = connection
        self._cursor = connection.cursor()
        self._more = more
        self._written = False
        self._pending: dict[str, list[Row]] = {statement: [] for statement in sql.ORDER}

    def add(self, statement: str, row: Row) -> None:
        """Adds a row for one of the statements of `sql`."""
        self._pending[statement].append(row)

    def of(self, statement: str) -> list[Row]:
        """The rows for one of the statements, to add to."""
        return self._pending[statement]

    def add_all(self, statement: str, rows: Iterable[Row]) -> None:
        """Adds many rows for one statement."""
        self._pending[statement].extend(rows)

    def flush(self) -> None:
        """Executes what was added, in the transaction under way."""
        self._more(self)
        for statement, rows in self._pending.items():
            if rows:
                self._written = True
                if len(rows) == 1:
                    self._cursor.execute(statement, rows[0])
                else:
                    self._cursor.executemany(statement, rows)
                rows.clear()

    def take_written(self) -> bool:
        """Whether anything was executed since this was last asked."""
        written, self._written = self._written, False
        return written

    def close(self) -> None:
        """Closes the connection, and before it the cursor: a statement left open would keep the file locked."""
        self._cursor.close()
        self.connection.close()
