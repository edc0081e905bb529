"""Kills at random times under load: of any subject, without a word to it of where it is cut."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from killpoints.harness import KitFailed, Programs, WorldProcess, end
from killpoints.judge import Says, Tally, judge
from killpoints.kinds import KINDS, MAX_PAUSE_MS
from killpoints.matrix import CONVERGE_SECONDS, PATIENCE_SECONDS, SCRIPTS
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
        kills: how many kills a round has.
        span: a kill comes at a random time up to so many seconds after a start.
        oracle: whether a doubt is held against what could have been known; only where the subject claims to know.
        behaviours: what the world does; all of them but those that never end well.
    """

    kinds: tuple[str, ...] = PROMISES
    orders: int = 60
    kills: int = 7
    span: tuple[float, float] = (0.02, 0.8)
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
        orders.append({"order": order, "kind": kind})
        plans[order] = {**KINDS[kind], "effect": SCRIPTS[behaviour]}
    await world.plan(plans)
    plan = {
        "orders": orders,
        "folder": str(folder),
        "world": world.url,
        "report": str(folder / "report.json"),
        "patience": PATIENCE_SECONDS,
        # More than there can be kills and unclear replies: what is given up must be given up for another reason.
        "retries": 10,
        "max_pause_ms": MAX_PAUSE_MS,
    }
    killed = Killed(rounds=1)
    while killed.kills < load.kills:
        if not await _cut(programs, plan, chance.uniform(*load.span)):
            break
        killed.kills += 1
    status = 0
    try:
        status = await end(await programs.start(plan), CONVERGE_SECONDS * 2)
    except KitFailed as failure:
        killed.trouble.append(f"{folder.name}: {failure}")
    if status:
        killed.trouble.append(f"{folder.name}: ended with status {status}")
    seen = await world.seen(f"{folder.name}-")
    report = read_report(folder / "report.json")
    for order in orders:
        name, kind = order["order"], order["kind"]
        there = seen.get(name, {})
        honest: frozenset[Says] | None = None
        if load.oracle:
            # Of a kill at a random time nobody knows which of the orders it cut.
            honest = allowed(kind, there, ()) | allowed(kind, there, _DIED if killed.kills else ())
            honest = broken_off(folder, name, blinded(folder, name, honest, there), there)
        tally = judge(name, report.get(name), there, honest)
        tally.faults = [f"{kind}, seed {seed}: {fault}" for fault in tally.faults]
        killed.tallies.setdefault(kind, Tally()).add(tally)
    if not killed.trouble and all(tally.clean for tally in killed.tallies.values()):
        shutil.rmtree(folder)
    return killed


async def _cut(programs: Programs, plan: dict[str, Any], seconds: float) -> bool:
    """Starts the subject and kills it after some time; False when it had finished before."""
    process = await programs.start(plan)
    ending = asyncio.ensure_future(process.event())
    done, _ = await asyncio.wait({ending}, timeout=seconds)
    if not done:
        process.send(signal.SIGKILL)
    return await ending == -signal.SIGKILL


async def rounds(
    programs: Programs, world: WorldProcess, folder: Path, load: Load, count: int, at_once: int, seed: int = 1
) -> Killed:
    """So many rounds, some at once."""
    gate = asyncio.Semaphore(at_once)
    total = Killed()

    async def one(number: int) -> None:
        async with gate:
            total.add(await a_round(programs, world, folder / f"r{seed}x{number}", load, seed * 1_000 + number))

    await asyncio.gather(*(one(number) for number in range(count)))
    return total
