"""What SQLite's errors mean to people: one line that says what to do. No driver's error leaves the store."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from enactor.domain.errors import StoreFailed

_ADVICE: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "has no room left on its disk. Free some and start again; what was acknowledged is kept.",
    sqlite3.SQLITE_IOERR: "could not be read or written (I/O error). Check the disk and start again; "
    "what was acknowledged is kept.",
    sqlite3.SQLITE_CORRUPT: "is damaged. Restore it from a backup and start with --restored.",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database, or is damaged. Name another file, or restore it from a backup.",
    sqlite3.SQLITE_READONLY: "is read-only. Give this user write permission to the file and its directory.",
    sqlite3.SQLITE_PERM: "may not be opened. Give this user write permission to the file and its directory.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Check that its directory exists and that this user may write there.",
    sqlite3.SQLITE_BUSY: "is locked by another program. Close it (a backup, a shell) and start again.",
    sqlite3.SQLITE_LOCKED: "is locked by another program. Close it (a backup, a shell) and start again.",
    sqlite3.SQLITE_NOMEM: "cannot be used for want of memory. Free some and start again.",
}

_OS_ADVICE: Final[dict[int, str]] = {
    errno.ENOENT: "Make its directory first, or name another file.",
    errno.EACCES: "Give this user permission for the file and its directory.",
    errno.EPERM: "Give this user permission for the file and its directory.",
    errno.EROFS: "Put it where this machine can write.",
    errno.ENOSPC: "Free some room on its disk and start again; what was acknowledged is kept.",
    errno.EISDIR: "Name a file, not a directory.",
}


def failure(path: str, error: BaseException) -> StoreFailed:
    """What to tell people of an error from SQLite, the operating system, or our own code.

    Args:
        path: the database file, as the settings name it.
    """
    if isinstance(error, StoreFailed):
        return error
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        advice = _ADVICE.get(code)
        if advice is not None:
            return StoreFailed(f"The database {path} {advice}")
        name = getattr(error, "sqlite_errorname", "") or type(error).__name__
        return StoreFailed(f"The database {path} failed ({name}). Start again; what was acknowledged is kept.")
    if isinstance(error, OSError):
        why = error.strerror or type(error).__name__
        advice = _OS_ADVICE.get(error.errno or 0, "Check the path and the disk, or name another file.")
        return StoreFailed(f"The database {path} cannot be opened: {why}. {advice}")
    return StoreFailed(f"The store of {path} met an error of its own ({type(error).__name__}) and stopped.")


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error; 0 when it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
