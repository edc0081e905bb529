"""What goes wrong around a process that nobody kills: the disk, the database, the clock, deliveries, and races.

The first three befall Enactor's real program, as in every other section. The others need an instant to be hit exactly,
so they run in this process, over real stores and the product's own scripted target, whose clock they move.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act
from enactor.conformance.watched import Watched
from enactor.conformance.world import ANA, World, open_world
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import IllegalTransition
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.domain.permit import CallResult
from enactor.pipeline.model import Earlier
from enactor.stores.memory import MemoryStore
from enactor.stores.sqlite import SqliteStore
from killpoints.combinations import SCRIPTS
from killpoints.harness import Programs, WorldProcess, end
from killpoints.judge import Says, Tally, judge
from killpoints.kinds import KINDS, LOADED_WINDOW_MS, MAX_PAUSE_MS, an_order
from killpoints.matrix import CONVERGE_SECONDS, PATIENCE_SECONDS, RETRIES
from killpoints.oracle import allowed, blinded, broken_off
from killpoints.reports import read_report

STORE_FAILED = 4
"""The exit status of a program whose store gave up."""

DELIVERIES = 1_000
DAY = 86_400
JUMPS = (-DAY, -5, 5, DAY)


@dataclass
class Endured:
    """What came of one adversity: how often it was met, and the tally of the orders that met it."""

    name: str
    times: int
    tally: Tally = field(default_factory=Tally)

    def expect(self, what: str, *, so: bool) -> None:
        """Something that has to be so; it counts as a false statement when it is not."""
        if not so:
            self.tally.false += 1
            self.tally.faults.append(f"{self.name}: {what}")


@dataclass
class Place:
    """Where the program's adversities happen."""

    programs: Programs
    world: WorldProcess
    folder: Path


# -- the program's own -----------------------------------------------------------------------------------------------


async def full_disk(place: Place, times: int = 3) -> Endured:
    """The quota runs out in mid-load: the process says so and ends; with room again everything is carried out, once."""
    found = Endured("the disk is full", times)
    for number in range(times):
        most = 400_000 + number * 100_000
        await _carried_out(place, found, f"disk{number}-", 60, ({"file_bytes": most},), ("keyed", "searched"))
    return found


async def busy_database(place: Place) -> Endured:
    """Another program holds the write lock of its database again and again: SQLITE_BUSY, most of the time."""
    found = Endured("the database is busy", 0)
    stop = asyncio.Event()

    async def hold(database: Path) -> None:
        other = sqlite3.connect(database, isolation_level=None, timeout=30, check_same_thread=False)
        while not stop.is_set():
            with contextlib.suppress(sqlite3.OperationalError):
                await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
                found.times += 1
                await asyncio.sleep(0.15)
                other.execute("ROLLBACK")
            await asyncio.sleep(0.02)
        other.close()

    kinds = ("keyed", "searched", "unsafe")
    await _carried_out(place, found, "busy-", 60, (), kinds, beside=(hold, stop))
    return found


async def jumping_clock(place: Place, times: int = 3) -> Endured:
    """The program's clock jumps backwards and forwards, by seconds and by days, again and again."""
    found = Endured("the clock jumps", 0)
    for seed in range(times):
        more = {"jumps": {"seed": seed, "by": list(JUMPS), "times": 40}, "patience": 5}
        found.times += 40
        await _carried_out(place, found, f"clock{seed}-", 36, (), ("keyed", "searched", "unsafe"), more=more)
    return found


async def _carried_out(
    place: Place,
    found: Endured,
    prefix: str,
    count: int,
    lives: tuple[dict[str, Any], ...],
    kinds: tuple[str, ...],
    *,
    more: dict[str, Any] | None = None,
    beside: tuple[Callable[[Path], Awaitable[None]], asyncio.Event] | None = None,
) -> None:
    """Lives that have to give up, and one that carries everything out; judged.

    Args:
        lives: what each life that gives up has in its plan.
        more: what the last one has.
        beside: something that goes on while the last one runs, given the database, and what ends it.
    """
    # What lands late while a clock jumps is no promise kept: an absence is final after a time by that very clock.
    behaviours = [name for name in SCRIPTS if "late" not in SCRIPTS[name]]
    folder = place.folder / prefix.strip("-")
    folder.mkdir(parents=True)
    chosen = [(kinds[n % len(kinds)], behaviours[n % len(behaviours)]) for n in range(count)]
    orders = [an_order(f"{prefix}{n}.", kind, SCRIPTS[name]) for n, (kind, name) in enumerate(chosen)]
    await place.world.plan(
        {
            order["order"]: {**KINDS[kind], "effect": SCRIPTS[name]}
            for order, (kind, name) in zip(orders, chosen, strict=True)
        }
    )
    plan: dict[str, Any] = {
        "orders": orders,
        "folder": str(folder),
        "world": place.world.url,
        "report": str(folder / "report.json"),
        "patience": PATIENCE_SECONDS,
        "retries": RETRIES,
        "max_pause_ms": MAX_PAUSE_MS,
        "call_window_ms": LOADED_WINDOW_MS,
    }
    for life in lives:
        status = await end(await place.programs.start({**plan, **life}), CONVERGE_SECONDS)
        found.expect(f"it ended with {status}, and should have given up", so=status == STORE_FAILED)
        found.expect("it reported something after it gave up", so=not (folder / "report.json").exists())
    if beside:
        # The database is there before anybody else can hold it.
        await end(await place.programs.start({**plan, "orders": []}), CONVERGE_SECONDS)
        (folder / "report.json").unlink()
    process = await place.programs.start({**plan, **(more or {})})
    aside = asyncio.ensure_future(beside[0](folder / "enactor.db")) if beside else None
    status = await end(process, CONVERGE_SECONDS)
    if beside and aside:
        beside[1].set()
        await aside
    found.expect(f"it ended with {status}", so=status == 0)
    seen, report = await place.world.seen(prefix), read_report(folder / "report.json")
    found.expect("the ledger does not verify", so="the ledger" not in report)
    for order in orders:
        name, kind = order["order"], order["kind"]
        there = seen.get(name, {})
        honest = allowed(kind, there, ()) | (allowed(kind, there, _DIED) if lives else frozenset[Says]())
        if more:
            honest |= _by_a_clock_that_jumps(kind, there)
        honest = broken_off(folder, name, kind, blinded(folder, name, honest, there), there)
        tally = judge(name, report.get(name), there, honest)
        tally.faults = [f"{found.name}, {kind}: {fault}" for fault in tally.faults]
        found.tally.add(tally)


def _by_a_clock_that_jumps(kind: str, seen: dict[str, Any]) -> frozenset[Says]:
    """What may be said as well when a day has passed in between, by the only clock that there is."""
    unclear = any(request["act"] not in ("do", "delay", "busy") for request in seen.get("requests", []))
    if not unclear or kind == "unsafe":
        return frozenset()
    # The key is not retained any more; or a closed door was waited for long enough, and the next look-up of what is in
    # doubt is due when it has been so for twice as long. Found absent then, it is given up.
    absent = kind == "searched" and not seen["effects"]
    return frozenset({Says.UNKNOWN, Says.NOT_DONE} if absent else {Says.UNKNOWN})


_DIED = ("commit(TakePermit) after", "killed")


# -- at exactly this instant -----------------------------------------------------------------------------------------


async def _opened() -> World:
    """A world over the memory store, whose time is moved by hand."""
    clock = ManualClock()
    return await open_world(MemoryStore(clock), clock)


def _counted(found: Endured, world: World, *, wanted: int) -> None:
    made = len(world.target.made)
    found.tally.wanted += wanted
    found.tally.found += made
    found.tally.duplicates += max(0, made - max(wanted, 1))
    found.tally.losses += max(0, wanted - made)


async def a_jump_at_every_commit() -> Endured:
    """The clock jumps before each commit in turn, while a reply is lost: at most one effect, and nothing false."""
    found = Endured("the clock jumps at a commit", 0)
    for kind in ("keyed", "searched", "unsafe"):
        for jump in JUMPS:
            for number in range(1, 6):
                await _jump(found, kind, jump, number)
    return found


async def _jump(found: Endured, kind: str, jump: int, number: int) -> None:
    world = await _opened()
    world.target.script(Act.DO_AND_LOSE_REPLY)
    watched = Watched(world.store)

    async def jumps(at: int) -> None:
        if at == number:
            world.clock.jump(jump)

    watched.between = jumps
    intent = await world.approved(kind, expires_in_seconds=7 * DAY)
    await world.run(intent, driver=world.driver(watched))
    status = await world.status(intent)
    # Turned back before the outcome, a retained key is retained for longer, and a wait lasts longer: never shorter.
    known = status is RunStatus.SUCCEEDED or (status is RunStatus.IN_DOUBT and kind != "searched")
    found.expect(f"{kind}, {jump:+} s before commit {number}: {status}", so=known)
    found.times += 1
    found.tally.unknown += status is RunStatus.IN_DOUBT
    _counted(found, world, wanted=1)
    await world.verify()


async def redelivery() -> Endured:
    """One event delivered before, while and after the run: one start, one call, one outcome, over a real file."""
    found = Endured("an event is delivered again", DELIVERIES)
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock()
        store = await SqliteStore.open(Path(folder) / "enactor.db", clock=clock)
        world = await open_world(store, clock)
        intent = await world.approved("unsafe")
        for _ in range(4):
            await asyncio.gather(*(world.driver().drive(world.request(intent)) for _ in range(DELIVERIES // 4)))
        outcomes = await store.outcomes(intent.tenant_id, intent.action_intent_id)
        found.expect(f"{len(world.target.sent)} calls were sent", so=len(world.target.sent) == 1)
        found.expect(f"{len(outcomes)} outcomes", so=len(outcomes) == 1)
        found.expect("it is not done", so=await world.status(intent) is RunStatus.SUCCEEDED)
        _counted(found, world, wanted=1)
        await store.close()
    return found


async def expiry() -> Endured:
    """An approval at the last millisecond, and at the first one too late, before and after what expires it."""
    found = Endured("an approval races expiry", 0)
    for early_ms in (-1, 0, 1):
        for first in (True, False):
            await _race_with_expiry(found, early_ms, approval_first=first)
    return found


async def _race_with_expiry(found: Endured, early_ms: int, *, approval_first: bool) -> None:
    world = await _opened()
    intent = await world.proposed("keyed", expires_in_seconds=10)
    left = intent.expires_at_epoch * 1000 - world.clock.now_ms()
    world.clock.advance((left - early_ms) / 1000)

    async def approve() -> None:
        with contextlib.suppress(IllegalTransition):
            await world.service.decisions.approve(ANA, intent.action_intent_id, intent.approval_digest)

    both = [approve(), world.service.decisions.expire_due()]
    await asyncio.gather(*(both if approval_first else reversed(both)))
    status = (await world.records(intent)).intent.status
    right = IntentStatus.APPROVED if early_ms > 0 else IntentStatus.EXPIRED
    found.expect(f"{early_ms} ms before its end: {status}", so=status is right)
    if status is IntentStatus.APPROVED:
        world.clock.advance(early_ms / 1000)
        await world.run(intent)
        found.expect("it was executed after its end", so=await world.status(intent) is RunStatus.EXPIRED)
    found.times += 1
    found.expect("something was sent", so=not world.target.sent)
    _counted(found, world, wanted=0)


async def a_switch() -> Endured:
    """A switch is turned in front of every commit of an invocation, and of one whose reply is lost."""
    found = Endured("a switch races an invocation", 0)
    for act in (Act.DO, Act.DO_AND_LOSE_REPLY):
        for at in (1, 2):
            await _race_with_a_switch(found, act, at)
    return found


async def _race_with_a_switch(found: Endured, act: Act, at: int) -> None:
    world = await _opened()
    world.target.script(act)
    watched = Watched(world.store)

    async def stop(number: int) -> None:
        if number == at:
            await world.service.operations.set_switch(ANA, "tenant", enabled=True, reason="stop")

    watched.between = stop
    intent: ActionIntent = await world.approved("unsafe")
    await world.run(intent, driver=world.driver(watched), earlier=Earlier.DEAD)
    lost = act is Act.DO_AND_LOSE_REPLY
    # Before the permit nothing leaves; after it the call is recorded, and the switch's report lists it.
    stopped = at == 1
    right = RunStatus.CANCELLED if stopped else RunStatus.IN_DOUBT if lost else RunStatus.SUCCEEDED
    status = await world.status(intent)
    found.expect(f"turned before commit {at}: {status}", so=status is right)
    results = [permit.result for permit in await world.permits(intent)]
    wanted = [] if stopped else [CallResult.UNKNOWN if lost else CallResult.DONE]
    found.expect(f"its calls are {results}", so=results == wanted)
    report = await world.service.operations.report(ANA, "tenant")
    listed = [len(report.blocked), len(report.executed), len(report.unknown)]
    found.expect(f"the report lists {listed}", so=listed == [stopped, not stopped and not lost, not stopped and lost])
    found.times += 1
    found.tally.unknown += status is RunStatus.IN_DOUBT
    _counted(found, world, wanted=0 if stopped else 1)


OF_THE_PROGRAM: tuple[Callable[[Place], Awaitable[Endured]], ...] = (full_disk, busy_database, jumping_clock)
OF_AN_INSTANT: tuple[Callable[[], Awaitable[Endured]], ...] = (a_jump_at_every_commit, redelivery, expiry, a_switch)
