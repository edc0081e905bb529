"""Who follows events now, how many may, and the word that they have to stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from enactor.domain.principal import Principal

PER_PRINCIPAL: Final = 10
ALTOGETHER: Final = 1_000
HEARTBEAT_SECONDS: Final = 15.0


class Streams:
    """The event streams of one server.

    Args:
        per_principal: how many one principal may follow at once.
        altogether: how many there may be.
        heartbeat_seconds: the longest silence on a stream; then a comment is sent.
    """

    def __init__(
        self,
        per_principal: int = PER_PRINCIPAL,
        altogether: int = ALTOGETHER,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._per_principal = per_principal
        self._altogether = altogether
        self.heartbeat_seconds = heartbeat_seconds
        self._followed: Counter[tuple[str, str, str]] = Counter()
        self.draining = asyncio.Event()

    @property
    def followed(self) -> int:
        """How many streams there are now."""
        return self._followed.total()

    def enter(self, by: Principal) -> bool:
        """Takes a place for one more stream. False when there is none, or the server stops."""
        who = _who(by)
        full = self._followed[who] >= self._per_principal or self.followed >= self._altogether
        if full or self.draining.is_set():
            return False
        self._followed[who] += 1
        return True

    def leave(self, by: Principal) -> None:
        """Gives a place back."""
        who = _who(by)
        self._followed[who] -= 1
        if self._followed[who] <= 0:
            del self._followed[who]

    def drain(self) -> None:
        """Ends every stream, and lets none begin. Called when the server is told to stop: it waits for its requests."""
        self.draining.set()


def _who(by: Principal) -> tuple[str, str, str]:
    return (by.tenant_id, by.iss, by.sub)
