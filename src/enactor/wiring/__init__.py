"""The composition root: the only place that names backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enactor.wiring.assembly import Assembly, assemble, create_tables, open_ledger, open_store
from enactor.wiring.facade import Enactor

if TYPE_CHECKING:
    from enactor.settings import Settings


def serve(settings: Settings) -> int:
    """Serves until it is told to stop; see `enactor.wiring.serving`. Only here is the web server imported."""
    from enactor.wiring.serving import serve as serve_now

    return serve_now(settings)


__all__ = ["Assembly", "Enactor", "assemble", "create_tables", "open_ledger", "open_store", "serve"]
