"""When a delivery is tried again, and when a receiver is left alone for a while."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from enactor.ports.clock import Clock, Randomness

_LONGEST_EXPONENT: Final = 30


class DeliveryPolicy(Struct, frozen=True, kw_only=True):
    """How hard delivery is tried. With the defaults an event is given up after 15 attempts, about 23 hours.

    Attributes:
        concurrency: deliveries to one receiver at the same time.
        attempts: after so many, the event becomes a dead letter.
        first_delay: seconds before the second attempt; doubled before each further one.
        jitter: each delay is spread by this share, up and down.
        patience: after so many different events in a row failed, the receiver itself is taken to be in trouble.
        longest_pause: seconds; a receiver in trouble is tried with one event at a time, at least this often.
        longest_retry_after: seconds; a receiver's `Retry-After` is believed up to here.
        most_waiting: events of one receiver that may wait for another attempt; beyond, nothing new is sent to it.
        save_seconds: how often progress is saved while there is any.
    """

    concurrency: int = 8
    attempts: int = 15
    first_delay: float = 5.0
    jitter: float = 0.25
    patience: int = 5
    longest_pause: float = 600.0
    longest_retry_after: float = 86_400.0
    most_waiting: int = 10_000
    save_seconds: float = 1.0

    def delay(self, attempts: int, randomness: Randomness) -> float:
        """Seconds to wait after so many attempts."""
        exponent = min(attempts - 1, _LONGEST_EXPONENT)
        return float(self.first_delay * 2**exponent * randomness.uniform(1 - self.jitter, 1 + self.jitter))


class Gate:
    """Whether a receiver may be called now.

    One bad event must not hold up the others, and a receiver that is down must not be asked the same thing a thousand
    times: so a receiver is in trouble only when several *different* events failed in a row, and is then probed, one
    event at a time, with growing pauses, until one gets through.
    """

    def __init__(self, policy: DeliveryPolicy, clock: Clock, randomness: Randomness) -> None:
        self._policy = policy
        self._clock = clock
        self._randomness = randomness
        self._failed: set[int] = set()
        self._pauses = 0
        self._probe_at = 0
        self._asked_until = 0

    @property
    def in_trouble(self) -> bool:
        """Whether the receiver fails whatever is sent to it."""
        return len(self._failed) >= self._policy.patience

    @property
    def places(self) -> int:
        """How many deliveries may be under way at the same time."""
        return 1 if self.in_trouble else self._policy.concurrency

    def closed_for(self) -> float:
        """Seconds until the receiver may be called again; 0 when it may be now."""
        return max(0, max(self._probe_at, self._asked_until) - self._clock.elapsed_ms()) / 1000

    def succeeded(self) -> None:
        """Takes notice of a delivery: the receiver is well. What it asked for with `Retry-After` still holds."""
        self._failed.clear()
        self._pauses = 0
        self._probe_at = 0

    def failed(self, position: int, retry_after: float) -> None:
        """Takes notice of a failure.

        Args:
            position: which event it was.
            retry_after: seconds the receiver asked for, 0 for none.
        """
        now = self._clock.elapsed_ms()
        if not self.in_trouble:
            self._failed.add(position)
        # Deliveries that were under way when a pause began say nothing new; only a probe lengthens the next one.
        if self.in_trouble and self._probe_at <= now:
            self._pauses += 1
            pause = min(self._policy.delay(self._pauses, self._randomness), self._policy.longest_pause)
            self._probe_at = now + round(pause * 1000)
        asked = min(retry_after, self._policy.longest_retry_after)
        self._asked_until = max(self._asked_until, now + round(asked * 1000))
