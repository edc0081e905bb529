"""Time that stands still until a test moves it, and randomness that is the same in every run."""

from __future__ import annotations

import asyncio
import heapq
import random
from typing import Final

DEFAULT_START_MS: Final = 1_780_000_000_000
"""2026-05-28T20:26:40Z: where a manual clock starts unless told otherwise."""


class ManualClock:
    """A `Clock` that only a test moves. Everything sleeps on it until `advance` passes its time.

    Args:
        start_ms: what `now_ms` says at first, milliseconds since the epoch.
        elapsed_ms: what `elapsed_ms` says at first; different from `start_ms`, so that nobody can confuse the two.
    """

    def __init__(self, start_ms: int = DEFAULT_START_MS, elapsed_ms: int = 1_000_000) -> None:
        self._now_ms = start_ms
        self._elapsed_ms = elapsed_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._slept = 0
        self._fell_asleep = asyncio.Event()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, as the test set them."""
        return self._now_ms

    def elapsed_ms(self) -> int:
        """Milliseconds on the clock that never jumps."""
        return self._elapsed_ms

    async def sleep(self, seconds: float) -> None:
        """Returns when `advance` has moved the clock on by `seconds`; at once, after one turn of the loop, for 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._sleepers, (self._elapsed_ms + round(seconds * 1000), self._slept, woken))
        self._fell_asleep.set()
        await woken

    def advance(self, seconds: float) -> None:
        """Moves both clocks on, as a machine that runs or is suspended does, and wakes whoever is due, in order."""
        milliseconds = round(seconds * 1000)
        self._now_ms += milliseconds
        self._elapsed_ms += milliseconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_ms:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def jump(self, seconds: float) -> None:
        """Moves the world's clock alone, forwards or backwards, as an administrator or NTP may."""
        self._now_ms += round(seconds * 1000)

    @property
    def asleep(self) -> int:
        """How many callers are sleeping now; a cancelled one does not count."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    @property
    def next_wake_seconds(self) -> float | None:
        """In how many seconds the first sleeper is due; None when nobody sleeps."""
        due = [at for at, _, woken in self._sleepers if not woken.done()]
        return (min(due) - self._elapsed_ms) / 1000 if due else None

    async def until_asleep(self, count: int = 1) -> None:
        """Returns when at least `count` callers are sleeping, so that a test advances neither too early nor late."""
        while self.asleep < count:
            self._fell_asleep.clear()
            await self._fell_asleep.wait()


class SeededRandomness:
    """A `Randomness` that gives the same bytes and jitter in every run of a test."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - predictable on purpose, and only in tests

    def bytes(self, count: int) -> bytes:
        """`count` pseudo-random bytes."""
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        """A pseudo-random number in [low, high]."""
        return self._random.uniform(low, high)
