"""The guards around every call of every plane: timeout, concurrency, rate and breaker, per tenant and connector.

A closed door sends nothing and says so; the pipeline makes a durable deferral of that. What the doors know is known to
this process alone and is gone with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from enactor.domain.errors import ConfigurationError, ErrorClass, FailureCode
from enactor.domain.permit import CallResult
from enactor.gateway.breaker import BreakerState
from enactor.gateway.composite import GovernedPlane
from enactor.gateway.doors import Closed, Door, GuardRules
from enactor.ports.clock import Clock
from enactor.ports.tools import CallRequest, ConnectorHealth, LookUpResult, Reading, Reply

_GRACE_SECONDS: Final = 5.0
"""How much later than its timeout a call is broken off that its plane has not ended."""
_READ_WAITS_MS: Final = 1_000
"""How long a reading waits for its turn at a crowded door."""
_DOORS: Final = 10_000


class Guards(Struct, frozen=True, kw_only=True):
    """The rules of every connector: those of its own, or the default ones."""

    default: GuardRules = GuardRules()
    connectors: dict[str, GuardRules] = {}

    def of(self, connector_id: str) -> GuardRules:
        """The rules of a connector."""
        return self.connectors.get(connector_id, self.default)

    def check(self, known: set[str]) -> None:
        """Raises `ConfigurationError` when there are rules for a connector that there is not."""
        if strange := sorted(self.connectors.keys() - known):
            raise ConfigurationError(
                f"guards.connectors names '{strange[0]}', which is no connector; there are: {', '.join(sorted(known))}."
            )


class DoorCounts(Struct, frozen=True, kw_only=True):
    """How a connector's doors do, over all tenants.

    Attributes:
        out: calls and look-ups that have passed and not come back.
        states: how many doors are in each state of their breakers.
        put_off: how many calls and look-ups were turned away since this process began, by `Closed.kind`.
    """

    out: int
    states: dict[BreakerState, int]
    put_off: dict[str, int]


class GuardedPlane:
    """A tool plane with guards around it. It is the only one that the pipeline knows.

    Args:
        inner: what calls are made through.
    """

    def __init__(self, inner: GovernedPlane, guards: Guards, clock: Clock) -> None:
        self._inner = inner
        self._guards = guards
        self._clock = clock
        self._doors: OrderedDict[tuple[str, str], Door] = OrderedDict()
        self._turned_away: Counter[tuple[str, str]] = Counter()
        self.definition = inner.definition
        self.definitions = inner.definitions
        self.action_types = inner.action_types
        self.validate = inner.validate
        self.connector_version = inner.connector_version
        self.undo_arguments = inner.undo_arguments
        self.close = inner.close
        # A timer costs as much as all other guards together, and planes of ours have one already.
        self._keeps_time: bool = getattr(inner, "keeps_time", False)

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once, or says which door is closed; see `ports.tools`."""
        found = self.definition(request.tool_name)
        if found is None:
            return await self._inner.call(request, check)
        connector_id = found.connector_id
        door = self._doors.get((request.tenant_id, connector_id)) or self._door(request.tenant_id, connector_id)
        entered = (
            door.pass_through(self._clock) if door.has_room else await door.enter(self._clock, request.send_not_after)
        )
        if isinstance(entered, Closed):
            self._turned_away[connector_id, entered.kind] += 1
            return _put_off(entered)
        reply: Reply | None = None
        try:
            longest = door.rules.timeout_seconds
            if longest is not None and longest < request.timeout_seconds:
                request = msgspec.structs.replace(request, timeout_seconds=longest)
            if self._keeps_time:
                reply = await self._inner.call(request, check)
            else:
                reply = await self._in_time(request, check)
            return reply
        finally:
            door.leave()
            if reply is not None:
                door.learn(self._clock, reply, probe=entered)
            else:
                door.breaker.said_nothing(probe=entered)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target, unless its door is closed: then it is put off, and not answered."""
        found = self.definition(request.tool_name)
        if found is None:
            return await self._inner.look_up(request)
        door = self._door(request.tenant_id, found.connector_id)
        entered = door.look(self._clock.elapsed_ms())
        if isinstance(entered, Closed):
            self._turned_away[found.connector_id, entered.kind] += 1
            return LookUpResult(
                found=None,
                message=f"The look-up was put off: {entered.reason}.",
                deferred_reason=entered.reason,
                retry_after_seconds=entered.for_ms / 1000,
            )
        told = False
        try:
            async with asyncio.timeout(request.timeout_seconds + _GRACE_SECONDS):
                answer = await self._inner.look_up(request)
            told = answer.found is not None
        except TimeoutError:
            answer = LookUpResult(found=None, message="The look-up took too long.")
        finally:
            door.leave()
            # Reads may work where writes do not: a look-up that is answered opens a door, and forgives no failed call.
            if told and entered:
                door.breaker.succeeded(probe=True)
            else:
                door.breaker.said_nothing(probe=entered)
        return answer

    async def preview(self, request: CallRequest) -> Reading:
        """Reads the target through the same door as calls, or says that it is closed; see `ports.tools`."""
        found = self.definition(request.tool_name)
        if found is None or not found.previews:
            return await self._inner.preview(request)
        door = self._door(request.tenant_id, found.connector_id)
        if door.has_room:
            entered = door.pass_through(self._clock)
        else:
            entered = await door.enter(self._clock, self._clock.elapsed_ms() + _READ_WAITS_MS)
        if isinstance(entered, Closed):
            self._turned_away[found.connector_id, entered.kind] += 1
            return Reading(
                retryable=True,
                error_class=entered.error_class,
                error_code=FailureCode.DOOR_CLOSED.value,
                message=f"Nothing was read: {entered.reason}.",
                retry_after_seconds=entered.for_ms / 1000,
                deferred_reason=entered.reason,
            )
        reading: Reading | None = None
        try:
            async with asyncio.timeout(request.timeout_seconds + _GRACE_SECONDS):
                reading = await self._inner.preview(request)
        except TimeoutError:
            pass
        finally:
            door.leave()
            # What the target refuses it has answered; only an answer says that the target is there.
            if reading is not None and not reading.retryable:
                door.breaker.succeeded(probe=entered)
            else:
                door.breaker.said_nothing(probe=entered)
        return reading or Reading(
            retryable=True,
            error_class=ErrorClass.TIMEOUT,
            error_code=FailureCode.TARGET_UNREADABLE.value,
            message="The target took too long to answer.",
        )

    def counts(self) -> Mapping[str, DoorCounts]:
        """How the doors do, by connector."""
        now = self._clock.elapsed_ms()
        grouped: dict[str, list[Door]] = {connector_id: [] for connector_id, _ in self._turned_away}
        for (_, connector_id), door in self._doors.items():
            grouped.setdefault(connector_id, []).append(door)
        return {
            connector_id: DoorCounts(
                out=sum(door.out for door in doors),
                states={state: sum(door.breaker.state(now) is state for door in doors) for state in BreakerState},
                put_off={kind: count for (named, kind), count in self._turned_away.items() if named == connector_id},
            )
            for connector_id, doors in grouped.items()
        }

    def health(self, tenant_id: str) -> Mapping[str, ConnectorHealth]:
        """How a tenant's calls do, by connector; those of which nothing is known are left out."""
        now = self._clock.elapsed_ms()
        return {
            connector_id: ConnectorHealth(
                state=door.breaker.state(now).name,
                reason="" if door.breaker.passes else door.breaker.reason,
                retry_in_seconds=door.breaker.opens_in(now) / 1000,
                calls_out=door.out,
            )
            for (tenant, connector_id), door in self._doors.items()
            if tenant == tenant_id
        }

    def _door(self, tenant_id: str, connector_id: str) -> Door:
        key = (tenant_id, connector_id)
        door = self._doors.get(key)
        if door is None:
            if len(self._doors) >= _DOORS:
                self._forget()
            door = self._doors[key] = Door(connector_id, self._guards.of(connector_id))
        return door

    def _forget(self) -> None:
        """Lets go of doors that know nothing, the oldest first."""
        now = self._clock.elapsed_ms()
        for key in [key for key, door in self._doors.items() if door.at_rest(now)][: _DOORS // 10]:
            del self._doors[key]

    async def _in_time(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """The call, broken off when its plane does not keep its timeout."""
        asked = False

        def asking() -> bool:
            nonlocal asked
            asked = check()
            return asked

        before_sending = max(0, request.send_not_after - self._clock.elapsed_ms()) / 1000
        deadline = asyncio.timeout(before_sending + request.timeout_seconds + _GRACE_SECONDS)
        try:
            async with deadline:
                return await self._inner.call(request, asking)
        except TimeoutError:
            if not deadline.expired():
                raise
        # No plane sends before it has asked whether it still may.
        return Reply(
            result=CallResult.UNKNOWN if asked else CallResult.NOT_SENT,
            retryable=True,
            error_class=ErrorClass.TIMEOUT,
            error_code=FailureCode.TOOL_TIMEOUT.value if asked else FailureCode.TOOL_UNREACHABLE.value,
            message=f"No answer within {request.timeout_seconds:g} seconds." if asked else "Nothing was sent in time.",
        )


def _put_off(closed: Closed) -> Reply:
    return Reply(
        result=CallResult.NOT_SENT,
        retryable=True,
        error_class=closed.error_class,
        error_code=FailureCode.DOOR_CLOSED.value,
        message=f"Nothing was sent: {closed.reason}.",
        retry_after_seconds=closed.for_ms / 1000,
        deferred_reason=closed.reason,
    )
