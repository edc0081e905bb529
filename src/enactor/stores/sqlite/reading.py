"""The ledger of a database that is only read: an auditor's copy, or the file of a server that runs."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from enactor.domain.errors import StoreFailed
from enactor.ports.store import StoreInfo
from enactor.stores.sqlite import point_reads
from enactor.stores.sqlite.errors import failure, primary_code
from enactor.stores.sqlite.files import connect_frozen, connect_reading, log_of, require_sqlite
from enactor.stores.sqlite.log_store import LedgerReaders
from enactor.stores.sqlite.migrate import migrations, require_ours
from enactor.stores.sqlite.pool import Pool


class SqliteLedger(LedgerReaders):
    """A `LedgerReader` of one file, as it was at one moment; made by `open`. It takes no lock and writes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frozen: os.stat_result | None = None
        self._pool = Pool(path, threads=1, connect=self._connect)

    @classmethod
    async def open(cls, path: str | Path) -> SqliteLedger:
        """Opens a database to read it. While it is open, a server on the file keeps its log and lets it grow.

        Raises:
            StoreFailed: it is not there, not readable, damaged, of another version or no database of ours; the message
                says what to do.
        """
        require_sqlite()
        ledger = cls(Path(path))
        try:
            info = await ledger.info()
        except BaseException:
            await ledger.close()
            raise
        ledger._position = info.ledger_entries
        return ledger

    async def close(self) -> None:
        """Closes the file. Raises `StoreFailed` if it was written to meanwhile though nobody had it open at first."""
        self._pool.close()
        if self._frozen is not None and (_is_written(self._path) or _changed(self._path.stat(), self._frozen)):
            raise StoreFailed(f"The database {self._path} was written to while it was being read. Check it again.")

    async def info(self) -> StoreInfo:
        """What the database is."""
        version, entries = await self._pool.read(point_reads.counts)
        return StoreInfo(kind="sqlite", location=str(self._path), schema_version=version, ledger_entries=entries)

    def _connect(self, path: Path) -> sqlite3.Connection:
        try:
            connection = self._opened(path)
            try:
                # From here on everything is read as it is at this moment.
                connection.execute("BEGIN")
                steps = migrations()
                present = require_ours(connection, str(path), steps)
                if present == 0:
                    raise StoreFailed(f"The database {path} is empty: it never had a ledger. Name another file.")
                if present < len(steps):
                    raise StoreFailed(
                        f"The database {path} is of an older version (schema {present}). Bring it, or a copy of it, "
                        "up to date with `enactor migrate`."
                    )
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise failure(str(path), error) from None
        return connection

    def _opened(self, path: Path) -> sqlite3.Connection:
        # It says why it cannot be read, which SQLite does not.
        path.open("rb").close()
        if not _is_written(path):
            self._frozen = path.stat()
            return connect_frozen(path)
        try:
            return connect_reading(path)
        except sqlite3.OperationalError as error:
            if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            raise StoreFailed(
                f"The newest of the database {path} is in {log_of(path).name}, which SQLite reads only where it may "
                "make a -shm file. Copy both files to a directory of your own, and check them there."
            ) from None


def _is_written(path: Path) -> bool:
    """Whether somebody has the database open, or has left a part of it in its log."""
    log = log_of(path)
    if not log.exists():
        return False
    return log.stat().st_size > 0 or log.with_name(f"{path.resolve().name}-shm").exists()


def _changed(now: os.stat_result, before: os.stat_result) -> bool:
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns)
