"""The embedded store: one SQLite file, one process, one writer with group commit."""

from __future__ import annotations

from enactor.stores.sqlite.reading import SqliteLedger
from enactor.stores.sqlite.store import SqliteStore

__all__ = ["SqliteLedger", "SqliteStore"]
