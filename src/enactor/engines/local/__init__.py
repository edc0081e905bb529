"""The local engine: drives runs in this process."""

from __future__ import annotations

from enactor.engines.local.engine import Listener, LocalEngine

__all__ = ["Listener", "LocalEngine"]
