"""Kills at random times under load: of any subject, without a word to it of where it is cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from killpoints.combinations import SCRIPTS
from killpoints.harness import KitFailed, Process, Programs, WorldProcess, end
from killpoints.judge import Says, Tally, judge
from killpoints.kinds import KINDS, LOADED_WINDOW_MS, MAX_PAUSE_MS, an_order
from killpoints.matrix import CONVERGE_SECONDS, PATIENCE_SECONDS, RETRIES
from killpoints.oracle import allowed, blinded, broken_off
from killpoints.reports import read_report

PROMISES = ("keyed", "searched", "unsafe")
"""The promises that every subject is tried with: keys honoured, searchable by key, neither."""

_DIED = ("commit(TakePermit) after", "killed")


@dataclass
class Load:
    """How much is asked of a subject, and how often it is killed.

    Attributes:
        kinds: the promises among which the orders are divided.
        orders: how many orders a round has.
        kills: how many kills a round has at most.
        span: a kill comes at a random time up to so many seconds after a start.
        in_waves: each life gets some more of the orders, and its kill comes a random time after a random number of its
            requests has reached the world, instead of after its start: so that a subject that is quick, or slow to
            start, is killed as often and as much in the middle of its work as any other.
        oracle: whether a doubt is held against what could have been known; only where the subject claims to know.
        behaviours: what the world does; all of them but those that never end well.
    """

    kinds: tuple[str, ...] = PROMISES
    orders: int = 60
    kills: int = 7
    span: tuple[float, float] = (0.02, 0.8)
    in_waves: bool = False
    oracle: bool = False
    behaviours: tuple[str, ...] = tuple(SCRIPTS)


@dataclass
class Killed:
    """What came of the rounds, by kind, and how many kills hit a process that was at work."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    kills: int = 0
    rounds: int = 0
    trouble: list[str] = field(default_factory=list)

    def add(self, other: Killed) -> None:
        """Adds the rounds of another one."""
        for kind, tally in other.tallies.items():
            self.tallies.setdefault(kind, Tally()).add(tally)
        self.kills += other.kills
        self.rounds += other.rounds
        self.trouble += other.trouble

    @property
    def total(self) -> Tally:
        """Of all kinds."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        return total


async def a_round(programs: Programs, world: WorldProcess, folder: Path, load: Load, seed: int) -> Killed:
    """Submits orders, kills the subject again and again, lets the last one converge, and judges."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable choice, and no secret
    folder.mkdir(parents=True)
    orders = []
    plans: dict[str, Any] = {}
    for number in range(load.orders):
        kind = load.kinds[number % len(load.kinds)]
        behaviour = chance.choice(load.behaviours)
        order = f"{folder.name}-{number}."
        orders.append(an_order(order, kind, SCRIPTS[behaviour]))
        plans[order] = {**KINDS[kind], "effect": SCRIPTS[behaviour]}
    await world.plan(plans)
    plan = {
        "orders": orders,
        "folder": str(folder),
        "world": world.url,
        "report": str(folder / "report.json"),
        "patience": PATIENCE_SECONDS,
        "retries": RETRIES,
        "max_pause_ms": MAX_PAUSE_MS,
        "call_window_ms": LOADED_WINDOW_MS,
    }
    killed = Killed(rounds=1)
    status = 0
    try:
        cut = _in_waves if load.in_waves else _at_times
        killed.kills = await cut(programs, world, plan, load, chance)
        status = await end(await programs.start(plan), CONVERGE_SECONDS)
    except KitFailed as failure:
        killed.trouble.append(f"{folder.name}: {failure}")
    if status:
        killed.trouble.append(f"{folder.name}: ended with status {status}")
    seen = await world.seen(f"{folder.name}-")
    report = read_report(folder / "report.json")
    for each in orders:
        name, kind = each["order"], each["kind"]
        there = seen.get(name, {})
        honest: frozenset[Says] | None = None
        if load.oracle:
            # Of a kill at a random time nobody knows which of the orders it cut.
            honest = allowed(kind, there, ()) | allowed(kind, there, _DIED if killed.kills else ())
            honest = broken_off(folder, name, kind, blinded(folder, name, honest, there), there)
        tally = judge(name, report.get(name), there, honest)
        tally.faults = [f"{kind}, seed {seed}: {fault}" for fault in tally.faults]
        killed.tallies.setdefault(kind, Tally()).add(tally)
    if "the ledger" in report:
        killed.trouble.append(f"{folder.name}: the ledger does not verify")
    if not killed.trouble and killed.total.clean:
        shutil.rmtree(folder)
    return killed


async def _at_times(
    programs: Programs, world: WorldProcess, plan: dict[str, Any], load: Load, chance: random.Random
) -> int:
    """Kills lives at random times after their start, until one has come to its end before. Returns how many."""
    for kills in range(load.kills):
        process = await programs.start(plan)
        if not await _killed(process, asyncio.sleep(chance.uniform(*load.span))):
            return kills
    return load.kills


async def _in_waves(
    programs: Programs, world: WorldProcess, plan: dict[str, Any], load: Load, chance: random.Random
) -> int:
    """Gives each life some more orders, and kills it in the middle of them. Returns how many were killed."""
    kills, orders = 0, plan["orders"]
    size = len(orders) // (load.kills + 1)
    prefix = f"{Path(plan['folder']).name}-"
    for wave in range(1, load.kills + 1):
        after = await world.arrived(prefix, 0) + chance.randint(1, size)
        delay = chance.uniform(0.0, 0.02)

        async def due(after: int = after, delay: float = delay) -> None:
            await world.arrived(prefix, after)
            await asyncio.sleep(delay)

        process = await programs.start({**plan, "orders": orders[: wave * size]})
        kills += await _killed(process, due())
    return kills


async def _killed(process: Process, due: Any) -> bool:
    """Kills a process when it is due; False when it came to its end before."""
    ending, waiting = asyncio.ensure_future(process.event()), asyncio.ensure_future(due)
    done, _ = await asyncio.wait({ending, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=CONVERGE_SECONDS)
    if ending not in done:
        process.send(signal.SIGKILL)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    return await ending == -signal.SIGKILL


async def rounds(
    programs: Programs,
    world: WorldProcess,
    folder: Path,
    load: Load,
    *,
    kills: int,
    at_once: int,
    seed: int = 1,
    before: Killed | None = None,
    each: Callable[[Killed], bool] = lambda _: True,
) -> Killed:
    """Rounds, some at once, until so many kills have hit.

    Args:
        before: earlier rounds, which are gone on with.
        each: told of what there is after each round; says whether another one may begin.
    """
    total = before or Killed()
    begun = total.rounds
    under_way, going = 0, True

    async def row() -> None:
        nonlocal begun, under_way, going
        while going and (total.kills + under_way * load.kills < kills or not begun):
            begun, under_way = begun + 1, under_way + 1
            ended = await a_round(programs, world, folder / f"r{seed}x{begun}", load, seed * 1_000 + begun)
            under_way -= 1
            total.add(ended)
            going = each(total)

    await asyncio.gather(*(row() for _ in range(at_once)))
    return total
