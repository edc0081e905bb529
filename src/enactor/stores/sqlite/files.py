"""Opening database files: settings of connections, and every check that can be made before anything is written."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from enactor.domain.errors import StoreFailed

_OLDEST: Final = (3, 37, 0)
BUSY_SECONDS: Final = 60.0
"""How long it is waited for another program to let go of the database."""

_CHECKPOINT_PAGES: Final = 8_000
"""So many pages of the log are put into the database at once: the more, the fewer of them have changed again since."""
_KEPT_WAL_BYTES: Final = 64 * 1024 * 1024


def require_sqlite() -> None:
    """Raises `StoreFailed` when Python's SQLite is older than what the schema needs."""
    if sqlite3.sqlite_version_info < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        raise StoreFailed(
            f"This Python has SQLite {sqlite3.sqlite_version}, and Enactor needs {needed} or newer. Use a newer Python."
        )


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes: autocommit, write-ahead log, every commit on the disk before it returns.

    Raises:
        sqlite3.Error: the file is not a database, is damaged, or cannot be written.
        OSError: it cannot be created.
    """
    if not path.exists():
        # SQLite would let everybody read what it creates; its log takes over the file's own mode.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = _connect(path)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreFailed(
                f"The database {path} lies where SQLite cannot keep a write-ahead log (a network drive?). "
                "Put it on a local disk."
            )
        connection.execute("PRAGMA synchronous = FULL")
        # macOS: fsync alone leaves the data in the drive's cache. Elsewhere these two do nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL_BYTES}")
        # A read-only file opens without complaint; only wanting to write shows it.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads. It sees what was committed when its statement or transaction began."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def connect_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, to a database that somebody may be writing to.

    Raises:
        sqlite3.OperationalError: CANTOPEN or READONLY where SQLite may not make the log's index, and there is none.
    """
    connection = _connect(f"{_uri(path)}?mode=ro", uri=True)
    try:
        # Opening reads nothing yet.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_frozen(path: Path) -> sqlite3.Connection:
    """A connection to a database that is whole without a log and that nobody writes to. SQLite makes no file for it."""
    return _connect(f"{_uri(path)}?mode=ro&immutable=1", uri=True)


def log_of(path: Path) -> Path:
    """Where SQLite keeps a database's write-ahead log: beside the real file, whatever link leads there."""
    real = path.resolve()
    return real.with_name(f"{real.name}-wal")


def _uri(path: Path) -> str:
    return path.resolve().as_uri()


def _connect(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    # Statements go from thread to thread with the connection, never two threads at once.
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256, uri=uri
    )
