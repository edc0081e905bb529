"""The door between one tenant and one connector: how many calls are out, how often, and whether the target works."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from enactor.domain.errors import ErrorClass
from enactor.domain.permit import CallResult
from enactor.gateway.breaker import Breaker
from enactor.ports.clock import Clock
from enactor.ports.tools import Reply

if TYPE_CHECKING:
    from pyrate_limiter import Rate

TOO_LATE: Final = "TOO_LATE_TO_SEND"

_MINUTE_MS: Final = 60_000
_PROBE_MS: Final = 1_000
"""How long those are put off who come while a probe is out."""
_PACE_MS: Final = 20
"""What keeps those apart who were put off while a door was closed."""
_LONGEST_SPREAD_MS: Final = 60_000
_TROUBLE: Final = frozenset({ErrorClass.RATE_LIMIT, ErrorClass.DOWNSTREAM, ErrorClass.TIMEOUT})


class GuardRules(Struct, frozen=True, kw_only=True):
    """What is held against each tenant's calls to a connector. Durations are in seconds.

    Attributes:
        concurrency: calls out at once; None leaves that to the engine.
        wait_seconds: how long a call waits for another to come back before it is put off.
        calls_per_minute: None for any number.
        burst: of these, how many may come at once; as many as in a minute when None.
        timeout_seconds: no call waits longer for its reply, whatever the intent's own policy says.
        failures: calls in a row that fail before none is made any more; 0 for never.
        open_seconds: for how long; doubles after each probe that fails.
        longest_open_seconds: and never longer.
        longest_pause_seconds: the longest pause that a target can ask for (`Retry-After`).
    """

    concurrency: int | None = None
    wait_seconds: float = 2.0
    calls_per_minute: int | None = None
    burst: int | None = None
    timeout_seconds: float | None = None
    failures: int = 5
    open_seconds: float = 30.0
    longest_open_seconds: float = 300.0
    longest_pause_seconds: float = 3_600.0


class Closed(Struct, frozen=True, kw_only=True):
    """Why a call does not pass now, and when it is worth to come back."""

    kind: str
    reason: str
    for_ms: int
    error_class: ErrorClass = ErrorClass.DOWNSTREAM


class Door:
    """One door.

    Args:
        connector_id: named in reasons.
    """

    def __init__(self, connector_id: str, rules: GuardRules) -> None:
        self.breaker = Breaker(
            rules.failures, round(rules.open_seconds * 1000), round(rules.longest_open_seconds * 1000)
        )
        self.out = 0
        """Calls that have passed and not come back."""
        self.rules = rules
        self._connector_id = connector_id
        self._queue: deque[asyncio.Future[None]] = deque()
        self._rate = _RateLimit(rules) if rules.calls_per_minute is not None else None
        self._put_off = 0

    def at_rest(self, now: int) -> bool:
        """Whether it knows nothing that would be lost with it."""
        return self.out == 0 and self.breaker.at_rest and (self._rate is None or self._rate.at_rest(now))

    @property
    def has_room(self) -> bool:
        """Whether another call may be out."""
        return self.rules.concurrency is None or self.out < self.rules.concurrency

    def pass_through(self, clock: Clock) -> bool | Closed:
        """A call passes for which there is room, or is told why not. Returns whether it is the breaker's probe."""
        self.out += 1
        return self._judged(clock)

    async def enter(self, clock: Clock, send_not_after: int) -> bool | Closed:
        """The same where there is no room yet: it waits a moment for another call to come back.

        It waits never for more than half of the time that its permit leaves it.
        """
        now = clock.elapsed_ms()
        # Whoever would be turned away by the breaker need not wait for a place first.
        if (closed := self._opened(now)) is not None:
            return closed
        if not await self._place(clock, (send_not_after - now) / 2000):
            busy = f"{self.rules.concurrency} calls to {self._connector_id} are out already"
            return self._closed("busy", busy, _PROBE_MS)
        return self._judged(clock)

    def _judged(self, clock: Clock) -> bool | Closed:
        """What breaker and rate say to a call that has a place; without their leave it gives the place up."""
        if self.breaker.passes and self._rate is None and not self._put_off:
            return False
        now = clock.elapsed_ms()
        closed = self._opened(now)
        if closed is None and self._rate is not None and (short := self._rate.take(now)):
            rate = f"{self._connector_id} is called {self.rules.calls_per_minute} times a minute at most"
            closed = self._closed("rate", rate, short, ErrorClass.RATE_LIMIT, pace_ms=self._rate.pace_ms)
        if closed is not None:
            self.leave()
            return closed
        self._put_off = max(0, self._put_off - 1)
        return self.breaker.enter(now)

    def look(self, now: int) -> bool | Closed:
        """A look-up passes, or is told why not. It counts, and is held back by nothing but a breaker that is open."""
        if (closed := self._opened(now)) is not None:
            return closed
        if self._rate is not None:
            self._rate.take(now)
        self.out += 1
        return self.breaker.enter(now)

    def leave(self) -> None:
        """What passed has come back; whoever waits longest gets its place, unless look-ups have taken it."""
        self.out -= 1
        while self._queue and self.has_room:
            waiting = self._queue.popleft()
            if not waiting.done():
                self.out += 1
                waiting.set_result(None)

    def learn(self, clock: Clock, reply: Reply, *, probe: bool) -> None:
        """Takes notice of what a call's reply says about the target."""
        works = health(reply)
        if works is None:
            self.breaker.said_nothing(probe=probe)
        elif works:
            self.breaker.succeeded(probe=probe)
            if probe:
                self._put_off = 0
        else:
            now = clock.elapsed_ms()
            self.breaker.failed(now, probe=probe)
            if reply.retry_after_seconds and reply.result is not CallResult.NOT_SENT:
                pause = min(reply.retry_after_seconds, self.rules.longest_pause_seconds)
                self.breaker.pause(now, round(pause * 1000), "it asked for a pause")

    def _opened(self, now: int) -> Closed | None:
        breaker = self.breaker
        if breaker.passes or (not (left := breaker.opens_in(now)) and not breaker.probing):
            return None
        reason = f"{self._connector_id} is not called for now: {breaker.reason}"
        return self._closed("open", reason, left or _PROBE_MS)

    def _closed(
        self,
        kind: str,
        reason: str,
        for_ms: int,
        error_class: ErrorClass = ErrorClass.DOWNSTREAM,
        *,
        pace_ms: int = _PACE_MS,
    ) -> Closed:
        # They would otherwise all come back at the same moment, and all but a few in vain.
        spread = min(self._put_off * pace_ms, _LONGEST_SPREAD_MS)
        self._put_off += 1
        return Closed(kind=kind, reason=reason, for_ms=for_ms + spread, error_class=error_class)

    async def _place(self, clock: Clock, seconds: float) -> bool:
        """Waits in line for a place. No more wait than may be out, so that one door holds up no other's workers."""
        limit = self.rules.concurrency or 0
        seconds = min(seconds, self.rules.wait_seconds)
        if seconds <= 0 or sum(not waiting.done() for waiting in self._queue) >= limit:
            return False
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        patience = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait({mine, patience}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if mine.done():
                self.leave()
            raise
        finally:
            patience.cancel()
            mine.cancel()
        return not mine.cancelled()


def health(reply: Reply) -> bool | None:
    """What a reply says about the target: that it works, that it does not, or neither."""
    match reply.result:
        case CallResult.DONE:
            return True
        case CallResult.UNKNOWN:
            return reply.answered
        case CallResult.REFUSED if reply.error_class is ErrorClass.AUTH:
            return None
        case CallResult.REFUSED:
            return reply.answered or not (reply.retryable and reply.error_class in _TROUBLE)
        case _:
            at_fault = reply.retryable and not reply.deferred_reason and reply.error_code != TOO_LATE
            return False if at_fault and reply.error_class in _TROUBLE else None


class _RateLimit:
    """So many calls a minute: GCRA by `pyrate-limiter`, whose limiter has threads and a clock; this has neither."""

    def __init__(self, rules: GuardRules) -> None:
        # It looks for every database that it can work with, which takes a while.
        from pyrate_limiter import GCRA, Rate

        per_minute = rules.calls_per_minute or 1
        self._algorithm = GCRA()
        self._rates: list[Rate] = [Rate(per_minute, _MINUTE_MS, burst=rules.burst or per_minute)]
        self._state = self._algorithm.initial(self._rates)
        self.pace_ms = _MINUTE_MS // per_minute

    def take(self, now: int) -> int:
        """Counts a call. Returns 0 when it may pass, else in how many milliseconds one may; it does not count then."""
        self._state, decision = self._algorithm.step(self._rates, self._state, now, 1)
        return 0 if decision.allowed else max(1, decision.retry_after_ms or 0)

    def at_rest(self, now: int) -> bool:
        """Whether as many calls may come as if none ever had."""
        return self._algorithm.consumed(self._rates, self._state, now) == 0
