"""Fault points for the kill-point kit: a store and a tool plane that tell of every commit, call and look-up.

Off unless `ENACTOR_FAULTS` is set, which only the kit does: then the process writes the points that it reaches to a
journal, and stops or kills itself at the one that it was told of. With it a process can harm nobody but itself.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from enactor.domain.errors import ConfigurationError
from enactor.gateway.composite import GovernedPlane
from enactor.ports.commands import AppendLedger, Command
from enactor.ports.faults import Faults
from enactor.ports.store import Store
from enactor.ports.tools import CallRequest, LookUpResult, Reading, Reply

VARIABLE: Final = "ENACTOR_FAULTS"
_SIGNALS: Final = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP} if os.name == "posix" else {}
_OTHER_WRITES: Final = frozenset({"move_delivery_cursor", "keep_undelivered", "forget_undelivered"})
_log = logging.getLogger("enactor.faults")


class FaultPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `ENACTOR_FAULTS` holds, as JSON.

    Attributes:
        journal: the file to which each point is appended as it is reached, a line each.
        point: the point at which to act; empty to act at none.
        occurrence: at which time that it is reached, from 1.
        signal: KILL or STOP, which the process sends itself there.
    """

    journal: str
    point: str = ""
    occurrence: int = 1
    signal: str = "KILL"


class ProcessFaults:
    """Notes every point in the plan's journal, and acts at the plan's own."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._seen: Counter[str] = Counter()
        # Written without a buffer: what was written before a SIGKILL is in the file.
        self._journal = os.open(Path(plan.journal), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    async def reached(self, point: str) -> None:
        """The same as `passed`: here the whole process stops or nothing does."""
        self.passed(point)

    def passed(self, point: str) -> None:
        """Notes the point, and acts if it is the plan's."""
        self._seen[point] += 1
        os.write(self._journal, f"{point}\n".encode())
        if point == self._plan.point and self._seen[point] == self._plan.occurrence:
            os.write(self._journal, f"! {self._plan.signal}\n".encode())
            os.kill(os.getpid(), _SIGNALS[self._plan.signal])


class FaultyStore:
    """Passes everything on to `store`, and tells of both sides of every write."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def commit(self, commands: Sequence[Command]) -> None:
        """Commits, and tells of both sides of it."""
        point = f"commit({commit_name(commands)})"
        await self._faults.reached(f"{point} before")
        await self._store.commit(commands)
        await self._faults.reached(f"{point} after")

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        return self._watched(name, member) if name in _OTHER_WRITES else member

    def _watched(self, name: str, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*args: Any, **options: Any) -> Any:
            await self._faults.reached(f"{name} before")
            result = await write(*args, **options)
            await self._faults.reached(f"{name} after")
            return result

        return watched


class FaultyPlane:
    """Passes everything on to `plane`, and tells of both sides of every call and look-up.

    A call has a third point, `checked`: the last check has been passed, and nothing has left yet.
    """

    def __init__(self, plane: GovernedPlane, faults: Faults) -> None:
        self._plane = plane
        self._faults = faults

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call, and tells of both sides of it and of its checks."""
        point = f"call {request.tool_name}"

        def watched_check() -> bool:
            timely = check()
            if timely:
                self._faults.passed(f"{point} checked")
            return timely

        await self._faults.reached(f"{point} before")
        reply = await self._plane.call(request, watched_check)
        await self._faults.reached(f"{point} after")
        return reply

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Looks up, and tells of both sides of it."""
        await self._faults.reached(f"look-up {request.tool_name} before")
        answer = await self._plane.look_up(request)
        await self._faults.reached(f"look-up {request.tool_name} after")
        return answer

    async def preview(self, request: CallRequest) -> Reading:
        """Reads the target, and tells of both sides of it."""
        await self._faults.reached(f"preview {request.tool_name} before")
        reading = await self._plane.preview(request)
        await self._faults.reached(f"preview {request.tool_name} after")
        return reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


def commit_name(commands: Sequence[Command]) -> str:
    """What a commit does, for people: its commands' kinds, without the ledger entries that every one has."""
    kinds = {type(command).__name__ for command in commands if not isinstance(command, AppendLedger)}
    return "+".join(sorted(kinds)) or AppendLedger.__name__


def fault_plan(environment: Mapping[str, str]) -> FaultPlan | None:
    """The plan that the environment holds, or None. Raises `ConfigurationError` when it cannot be read."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    try:
        plan = msgspec.json.decode(text, type=FaultPlan)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{VARIABLE} is for the kill-point kit alone, and is no plan: {error}.") from None
    if plan.point and plan.signal not in _SIGNALS:
        raise ConfigurationError(f"{VARIABLE} names the signal {plan.signal}; it can be KILL or STOP, on POSIX only.")
    return plan


def watched_store(store: Store, environment: Mapping[str, str]) -> Store:
    """`store` itself or, where the kit asks for it, in a wrapper that tells of every write."""
    faults = _faults_of(environment)
    return store if faults is None else cast(Store, FaultyStore(store, faults))


def watched_plane(plane: GovernedPlane, environment: Mapping[str, str]) -> GovernedPlane:
    """`plane` itself or, where the kit asks for it, in a wrapper that tells of every call and look-up."""
    faults = _faults_of(environment)
    return plane if faults is None else cast(GovernedPlane, FaultyPlane(plane, faults))


def _faults_of(environment: Mapping[str, str]) -> Faults | None:
    plan = fault_plan(environment)
    return None if plan is None else _process_faults(plan)


@cache
def _process_faults(plan: FaultPlan) -> Faults:
    _log.warning("%s is set: this process notes its fault points, and may stop itself at one", VARIABLE)
    return ProcessFaults(plan)
