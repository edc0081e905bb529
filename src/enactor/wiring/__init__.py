"""The composition root: the only place that names backends."""

from __future__ import annotations

from enactor.wiring.assembly import Assembly, assemble, open_store
from enactor.wiring.facade import Enactor

__all__ = ["Assembly", "Enactor", "assemble", "open_store"]
