"""One process to a database: an operating system's lock on a file beside it.

The lock goes when its process does, however that dies. Holding it therefore proves that every earlier owner is dead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enactor.domain.errors import StoreFailed


class FileLock:
    """Takes the lock of a database, at once or not at all.

    Args:
        database: the database's path.

    Raises:
        StoreFailed: another process has it.
        OSError: the lock's file cannot be written.
    """

    def __init__(self, database: Path) -> None:
        # Beside the real file, so that a symbolic link has no lock of its own.
        real = database.resolve()
        self.path = real.with_name(f"{real.name}.lock")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(self._descriptor):
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreFailed(
                f"The database {database} is in use by {who}. Stop that one, or give this one a database of its own."
            )
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets go. The file stays: removing it would race with the next owner."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        # A byte far behind the process id, so that others can read who has it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
