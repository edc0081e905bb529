"""A circuit breaker: calls in a row that fail close the door, and one probe opens it again.

It keeps no time of its own. Everything is told the reading of a clock that never jumps, in milliseconds.
"""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    """They do: the circuit is closed, as an electrician says it."""
    OPEN = "open"
    """None does."""
    HALF_OPEN = "half_open"
    """One does, as a probe."""


class Breaker:
    """The breaker of one tenant's calls to one connector.

    Args:
        failures: so many in a row open it; 0 never does.
        open_ms: for how long at first; twice as long after each probe that fails.
        longest_open_ms: and never longer than this.
    """

    def __init__(self, failures: int, open_ms: int, longest_open_ms: int) -> None:
        self._threshold = failures
        self._open_ms = open_ms
        self._longest_open_ms = longest_open_ms
        self._in_a_row = 0
        self._openings = 0
        self._opened = False
        self._until = 0
        self._probing = False
        self.reason = ""
        """Why it is open."""

    @property
    def at_rest(self) -> bool:
        """Whether it knows nothing that would be lost with it."""
        return not self._opened and self._in_a_row == 0

    @property
    def passes(self) -> bool:
        """Whether calls pass freely."""
        return not self._opened

    @property
    def probing(self) -> bool:
        """Whether a probe is out, of which nobody knows yet what comes back."""
        return self._probing

    def state(self, now: int) -> BreakerState:
        """Whether calls pass now."""
        if not self._opened:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def opens_in(self, now: int) -> int:
        """In how many milliseconds a probe may pass; 0 when it may now."""
        return max(0, self._until - now) if self._opened else 0

    def enter(self, now: int) -> bool:
        """A call passes. Returns whether it is the probe."""
        if self.state(now) is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return False

    def succeeded(self, *, probe: bool) -> None:
        """A call that had passed showed that the target works. Only a probe's word counts while it is open."""
        if probe:
            self._opened = self._probing = False
            self._openings = 0
            self.reason = ""
        if not self._opened:
            self._in_a_row = 0

    def failed(self, now: int, *, probe: bool) -> None:
        """A call that had passed showed that the target does not work."""
        if probe:
            self._open(now, self.reason)
        elif not self._opened and self._threshold:
            self._in_a_row += 1
            if self._in_a_row >= self._threshold:
                row = f"{self._in_a_row} calls in a row" if self._in_a_row > 1 else "a call"
                self._open(now, f"{row} failed")

    def said_nothing(self, *, probe: bool) -> None:
        """A call that had passed showed neither; another may be the probe."""
        if probe:
            self._probing = False

    def pause(self, now: int, for_ms: int, reason: str) -> None:
        """The target asked for a pause. It is open that long, and then takes a probe first."""
        until = now + for_ms
        if not self._opened or until > self._until:
            self._until, self.reason = until, reason
        self._opened, self._probing = True, False

    def _open(self, now: int, reason: str) -> None:
        length = min(self._open_ms << min(self._openings, 20), self._longest_open_ms)
        self._openings += 1
        self._opened, self._probing = True, False
        self._until, self.reason = now + length, reason
