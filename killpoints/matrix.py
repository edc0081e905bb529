"""The matrix: Enactor is killed and paused at every fault point, for every promise of a tool and every behaviour.

A dry run of each combination lists the points that it reaches; each of them is then a cell of its own: a process is
killed there and another one comes back, or it is paused there for longer than its permit lasts, a second process tries
to take over, and the first one wakes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killpoints.combinations import Combination, of_the_order, of_the_undo
from killpoints.harness import KitFailed, Process, Programs, WorldProcess, end
from killpoints.judge import Says, Tally, judge
from killpoints.kinds import (
    BRIEF_PAUSE_MS,
    KEY_RETENTION_SECONDS,
    MAX_PAUSE_MS,
    WAITED_WINDOW_MS,
    an_order,
    call_window_ms,
)
from killpoints.oracle import allowed, blinded, broken_off, possible
from killpoints.reports import read_report

CONVERGE_SECONDS = 180.0
"""How long a program may take to settle before the kit gives up on it; nobody waits for it unless it is stuck."""

PATIENCE_SECONDS = 90.0
"""How long a program waits for look-ups to end a doubt that they will end; nobody waits for it either."""

RETRIES = 10
"""More than there can be kills and unclear replies: what is given up must be given up for another reason."""


@dataclass(frozen=True)
class Cut:
    """Where the process is cut: at which occurrence of which point, and with what; and where its successor is killed.

    An empty point is no cut at all.
    """

    point: str = ""
    occurrence: int = 1
    signal: str = "KILL"
    then: tuple[str, int] | None = None

    def __str__(self) -> str:
        if not self.point:
            return "undisturbed"
        again = f", then KILL at {self.then[0]}#{self.then[1]}" if self.then else ""
        return f"{self.signal} at {self.point}#{self.occurrence}{again}"


@dataclass
class Cell:
    """What came of one combination cut at one point."""

    combination: Combination
    cut: Cut
    tally: Tally
    points: list[tuple[str, int]]
    reached: bool


class Matrix:
    """Runs cells, each with a database and an order of its own."""

    def __init__(self, programs: Programs, world: WorldProcess, folder: Path, at_once: int) -> None:
        self._programs = programs
        self._world = world
        self._folder = folder
        self._gate = asyncio.Semaphore(at_once)
        self._numbers = 0
        self._prepared: Path | None = None

    async def prepare(self) -> None:
        """Starts a program that has nothing to do. Its database, with the tools registered, is where cells begin."""
        folder = self._folder / "prepared"
        folder.mkdir(parents=True)
        process = await self._programs.start(self._plan(folder, []))
        if status := await end(process, CONVERGE_SECONDS):
            raise KitFailed(f"a program with nothing to do ended with status {status}")
        (folder / "report.json").unlink()
        self._prepared = folder

    def _plan(self, folder: Path, orders: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "orders": orders,
            "folder": str(folder),
            "world": self._world.url,
            "report": str(folder / "report.json"),
            "patience": PATIENCE_SECONDS,
            "retries": RETRIES,
            "max_pause_ms": MAX_PAUSE_MS,
        }

    async def run(self, combination: Combination, cut: Cut, *, start_up: bool = False) -> Cell:
        """Runs one cell and judges it, as soon as there is room for it.

        Args:
            start_up: without a database, so that the program makes and fills it first.
        """
        async with self._gate:
            return await self._run(combination, cut, start_up=start_up)

    async def _run(self, combination: Combination, cut: Cut, *, start_up: bool) -> Cell:
        self._numbers += 1
        order = f"order-{self._numbers}."
        folder = self._folder / order
        if self._prepared is None or start_up:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(self._prepared, folder)
        await self._world.plan({order: combination.plan()})
        plan = self._plan(folder, [an_order(order, combination.kind, (*combination.effect, *combination.undo))])
        if combination.forgotten:
            plan["max_pause_ms"] = BRIEF_PAUSE_MS
        plan["call_window_ms"] = call_window_ms(combination.kind, paused=cut.signal == "STOP")
        life = _Life(self._programs, plan, folder)
        trouble: list[str] = []
        reached = True
        try:
            if cut.signal == "STOP":
                reached = await self._pause(life, cut, trouble)
            elif cut.point:
                reached = await self._kill(life, cut, combination, order)
            else:
                await life.live(Cut())
        except KitFailed as failure:
            trouble.append(str(failure))
        seen = (await self._world.seen(order)).get(order, {})
        honest: frozenset[Says] = frozenset()
        for journal in possible(life.journal):
            honest |= allowed(
                combination.kind,
                seen,
                journal,
                forgotten=combination.forgotten,
                overslept=cut.signal == "STOP" and cut.point.endswith(" checked"),
                changes=combination.changes,
            )
        honest = broken_off(folder, order, combination.kind, blinded(folder, order, honest, seen), seen)
        report = read_report(folder / "report.json")
        tally = judge(order, report.get(order), seen, honest)
        if "the ledger" in report:
            trouble.append("the ledger does not verify")
        if life.failed:
            trouble.append(f"a process ended with {life.failed}")
        tally.false += len(trouble)
        tally.faults += trouble
        tally.faults = [f"{combination.kind}, {combination.behaviour}, {cut}: {fault}" for fault in tally.faults]
        if tally.clean:
            shutil.rmtree(folder)
        return Cell(combination, cut, tally, life.points(), reached)

    async def _kill(self, life: _Life, cut: Cut, combination: Combination, order: str) -> bool:
        """Kills at a point, and lets others converge; they are killed too, if the cut says so."""
        reached = await life.live(cut) == -signal.SIGKILL
        if not reached:
            return False
        if combination.forgotten:
            # Nobody waits for it: the world is told that so much time has passed, and the next life's clock is ahead.
            passed = KEY_RETENTION_SECONDS + 1
            await self._world.passed({order: passed})
            life.plan["ahead_seconds"] = passed
        if cut.then is not None:
            again = await life.live(Cut(*cut.then))
            reached = again == -signal.SIGKILL
            if not reached:
                return False
        await life.live(Cut())
        return True

    async def _pause(self, life: _Life, cut: Cut, trouble: list[str]) -> bool:
        """Pauses at a point; another process tries to take over; the first wakes after its permit has run out."""
        process = await life.begin(cut)
        event = await process.event()
        if event != "stopped":
            life.ended(event)
            return False
        second = await self._programs.start(life.plan)
        if await end(second, CONVERGE_SECONDS) != IN_USE:
            trouble.append("a second process was let in while the first was paused")
        await asyncio.sleep(WAITED_WINDOW_MS / 1000 + 0.1)
        process.send(signal.SIGCONT)
        life.ended(await end(process, CONVERGE_SECONDS))
        return True


IN_USE = 3
"""The exit status of a program that found the database in another process's hands."""


class _Life:
    """The lives of one cell's process, one after the other, and their journal."""

    def __init__(self, programs: Programs, plan: dict[str, Any], folder: Path) -> None:
        self.plan = plan
        self.failed = ""
        self.journal: list[str] = []
        self._programs = programs
        self._folder = folder
        self._count = 0

    async def begin(self, cut: Cut) -> Process:
        """Starts a life that is to be cut."""
        self._count += 1
        faults = {
            "journal": str(self._folder / f"journal-{self._count}"),
            "point": cut.point,
            "occurrence": cut.occurrence,
            "signal": cut.signal,
        }
        return await self._programs.start(self.plan, {"ENACTOR_FAULTS": json.dumps(faults)})

    async def live(self, cut: Cut) -> int:
        """One life, to its end. Returns its exit status."""
        status = await end(await self.begin(cut), CONVERGE_SECONDS)
        self.ended(status)
        return status

    def ended(self, status: int | str) -> None:
        """Takes note of a life's end and of the points that it reached."""
        journal = self._folder / f"journal-{self._count}"
        lines = journal.read_text().splitlines() if journal.exists() else []
        self.journal += [line for line in lines if not line.startswith("!")]
        if status == -signal.SIGKILL:
            self.journal.append("killed")
        elif status != 0:
            self.failed = f"status {status}"

    def points(self) -> list[tuple[str, int]]:
        """Every point that was reached since the last kill, with its occurrence in that life."""
        last = len(self.journal) - self.journal[::-1].index("killed") if "killed" in self.journal else 0
        counts: Counter[str] = Counter()
        found = []
        for line in self.journal[last:]:
            counts[line] += 1
            found.append((line, counts[line]))
        return found


async def cells_of(
    matrix: Matrix, combination: Combination, signals: Sequence[str], *, start_up: bool = False
) -> list[Cut]:
    """The cuts of a combination: none at all, and each point that a dry run reaches, for each signal."""
    dry = await matrix.run(combination, Cut(), start_up=start_up)
    if start_up:
        points = dry.points
    elif combination.is_undone and any(combination.undo):
        # What comes before the undo is cut where the undo itself goes well.
        points = of_the_undo(dry.points)
    else:
        points = of_the_order(dry.points)
    return [Cut()] + [Cut(point, nth, name) for name in signals for point, nth in points]


def _leaves_another_state(point: str) -> bool:
    """What is durable, or what the world has seen, is not the same as at the point before."""
    around_calls = point.startswith("call") or "Permit" in point
    return around_calls and (point.endswith(" after") or "TakePermit" in point)


async def cuts_in_recovery(matrix: Matrix, combination: Combination, *, sample: bool = False) -> list[Cut]:
    """Kills during recovery: for each state that a first life can leave behind, every point of the second one.

    The points at which the first life dies are those after which something is different, in the store or in the world:
    whoever dies between two of them leaves the same behind.

    Args:
        sample: only for the first life that died when its call had come back.
    """
    dry = await matrix.run(combination, Cut())
    points = of_the_undo(dry.points) if combination.is_undone else of_the_order(dry.points)
    firsts = [p for p in points if _leaves_another_state(p[0])]
    if sample:
        firsts = [p for p in firsts if p[0].startswith("call") and p[0].endswith("after")][:1]
    lives = await asyncio.gather(*(matrix.run(combination, Cut(*first)) for first in firsts))
    return [
        Cut(*first, then=then) for first, once in zip(firsts, lives, strict=True) for then in of_the_order(once.points)
    ]
