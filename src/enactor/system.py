"""The machine's own clock and randomness, behind `ports.clock`. Only the wiring and tests import this module."""

from __future__ import annotations

import asyncio
import os
import random
import time

_system_random = random.SystemRandom()


class SystemClock:
    """The machine's clocks."""

    # Linux's monotonic clock stands still while the machine is suspended, and a permit's `call_not_after` must not.
    # Elsewhere `time.monotonic` is the best there is: on macOS and Windows it may stop in sleep, which is one more
    # pause between check and send that `max_pause` has to cover.
    _boot_clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def elapsed_ms(self) -> int:
        """Milliseconds on a clock that never jumps and, on Linux, counts the time the machine was suspended."""
        if self._boot_clock is None:
            return time.monotonic_ns() // 1_000_000
        return time.clock_gettime_ns(self._boot_clock) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
        await asyncio.sleep(seconds)


class SystemRandomness:
    """The operating system's cryptographic randomness, drawn in pieces, because each draw is a system call."""

    _PIECE = 4_096

    def __init__(self) -> None:
        self._drawn = b""
        self._used = 0

    def bytes(self, count: int) -> bytes:
        """`count` random bytes. To be called from one thread."""
        if self._used + count > len(self._drawn):
            self._drawn, self._used = os.urandom(max(self._PIECE, count)), 0
        start, self._used = self._used, self._used + count
        return self._drawn[start : self._used]

    def uniform(self, low: float, high: float) -> float:
        """A random number in [low, high]."""
        return _system_random.uniform(low, high)
