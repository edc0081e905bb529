"""Time, identifiers and randomness, injected, so that every race and lease is testable without sleeping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from enactor.domain.ids import uuid7


class Clock(Protocol):
    """Two clocks: the world's, which may jump, and one that only counts, suspended time included."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def elapsed_ms(self) -> int:
        """Milliseconds on a clock that never jumps and counts the time the machine was suspended."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock's time."""
        ...


class Randomness(Protocol):
    """Where random bytes and jitter come from."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A random number in [low, high]."""
        ...


_GUARD: Final = 1 << 61
_STEPS: Final = 64


class Ids:
    """UUIDv7s from a clock and a source of randomness; monotonic within a process.

    The first of a millisecond is drawn; those that follow in it are counted on from it in random steps (RFC 9562,
    section 6.2, "monotonic random"). The highest random bit is drawn as zero, so that counting on never reaches the
    variant's bits (the "rollover guard" of the same section).
    """

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._randomness = randomness
        self._at = 0
        self._last = 0
        self._steps: Iterator[int] = iter(())

    def new(self) -> str:
        """A new UUIDv7 as 32 hexadecimal digits, later than every one this object made before."""
        now = self._clock.now_ms()
        if now > self._at:
            self._at, self._last = now, uuid7(now, self._randomness.bytes(10)) & ~_GUARD
        else:
            step = next(self._steps, None)
            if step is None:
                # Many at once: a draw costs as much as everything else about an id.
                self._steps = iter(memoryview(self._randomness.bytes(4 * _STEPS)).cast("I"))
                step = next(self._steps)
            self._last += 1 + step
        return f"{self._last:032x}"
