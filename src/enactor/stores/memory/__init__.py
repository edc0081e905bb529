"""The store that forgets: the reference implementation of the port, for tests and for trying things out."""

from __future__ import annotations

from enactor.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
