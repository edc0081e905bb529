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
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killpoints.harness import Process, Programs, WorldProcess, end
from killpoints.judge import Tally, judge
from killpoints.kinds import BRIEF_PAUSE_MS, CALL_WINDOW_MS, KEY_RETENTION_SECONDS, KINDS, MAX_PAUSE_MS
from killpoints.oracle import allowed, blinded, broken_off
from killpoints.reports import read_report

CONVERGE_SECONDS = 60.0
"""How long a program may take to settle before the kit gives up on it; a safeguard, and no part of any verdict."""

PATIENCE_SECONDS = 8.0
"""How long a program waits for look-ups to end a doubt."""

SCRIPTS: dict[str, list[str]] = {
    "does it": [],
    "commits, drops the reply": ["drop"],
    "commits late": ["late"],
    "replies late": ["delay"],
    "500 after commit": ["500-after"],
    "500 before commit": ["500-before"],
    "loses the request": ["lose"],
    "401 after a timeout": ["hang", "revoked"],
    "busy, then drops the reply": ["busy", "drop"],
    "refuses": ["refused"],
}
UNDO_SCRIPTS: dict[str, list[str]] = {
    "undoes it": [],
    "undoes it, drops the reply": ["drop"],
    "undoes it late": ["late"],
    "500 after undoing it": ["500-after"],
    "500 before undoing it": ["500-before"],
    "loses the undo": ["lose"],
    "refuses to undo it": ["refused"],
}
FULL_KINDS = ("keyed", "briefly_searched", "searched", "never_final", "unsafe", "burning")
PARTIAL_KINDS = ("partial", "partial_unsafe")


@dataclass(frozen=True)
class Combination:
    """A promise, and what the world does. `forgotten`: restarts come when the world has forgotten all keys."""

    kind: str
    behaviour: str
    effect: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    forgotten: bool = False

    def plan(self) -> dict[str, Any]:
        """How the world treats an order of this combination."""
        return {**KINDS[self.kind], "effect": list(self.effect), "undo": list(self.undo)}


def combinations() -> list[Combination]:
    """Every combination of the full matrix."""
    effects = [Combination(k, b, tuple(acts)) for k in FULL_KINDS for b, acts in SCRIPTS.items()]
    undos = [
        Combination(k, f"does half; {b}", ("partial",), tuple(acts))
        for k in PARTIAL_KINDS
        for b, acts in UNDO_SCRIPTS.items()
    ]
    forgotten = [
        Combination(k, f"{b}; forgets keys", tuple(SCRIPTS[b]), forgotten=True)
        for k in ("briefly", "briefly_searched")
        for b in ("does it", "commits, drops the reply", "loses the request")
    ]
    return effects + undos + forgotten


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

    def __init__(self, programs: Programs, world: WorldProcess, folder: Path) -> None:
        self._programs = programs
        self._world = world
        self._folder = folder
        self._numbers = 0

    async def run(self, combination: Combination, cut: Cut) -> Cell:
        """Runs one cell and judges it."""
        self._numbers += 1
        order = f"order-{self._numbers}."
        folder = self._folder / order
        folder.mkdir(parents=True)
        await self._world.plan({order: combination.plan()})
        plan = {
            "orders": [{"order": order, "kind": combination.kind}],
            "folder": str(folder),
            "world": self._world.url,
            "report": str(folder / "report.json"),
            "patience": PATIENCE_SECONDS,
            "retries": 3,
            "max_pause_ms": BRIEF_PAUSE_MS if combination.forgotten else MAX_PAUSE_MS,
        }
        life = _Life(self._programs, plan, folder)
        trouble: list[str] = []
        if cut.signal == "STOP":
            reached = await self._pause(life, cut, trouble)
        elif cut.point:
            reached = await self._kill(life, cut, combination)
        else:
            reached = True
            await life.live(Cut())
        seen = (await self._world.seen(order)).get(order, {})
        overslept = cut.signal == "STOP" and cut.point.endswith(" checked")
        honest = allowed(combination.kind, seen, life.journal, forgotten=combination.forgotten, overslept=overslept)
        honest = broken_off(folder, order, blinded(folder, order, honest, seen), seen)
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

    async def _kill(self, life: _Life, cut: Cut, combination: Combination) -> bool:
        """Kills at a point, and lets others converge; they are killed too, if the cut says so."""
        reached = await life.live(cut) == -signal.SIGKILL
        if not reached:
            return False
        if combination.forgotten:
            await asyncio.sleep(KEY_RETENTION_SECONDS + 0.1)
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
        await asyncio.sleep(CALL_WINDOW_MS / 1000 + 0.1)
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


def of_the_order(points: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The points from where the order is proposed, or taken up again, on; what comes before is the same everywhere."""
    begin = next((at for at, (point, _) in enumerate(points) if "RegisterActionType" not in point), len(points))
    return list(points[begin:])


async def cells_of(matrix: Matrix, combination: Combination, signals: Sequence[str], *, start_up: bool) -> list[Cut]:
    """The cuts of a combination: none at all, and each point that a dry run reaches, for each signal."""
    dry = await matrix.run(combination, Cut())
    points = dry.points if start_up else of_the_order(dry.points)
    return [Cut()] + [Cut(point, nth, name) for name in signals for point, nth in points]


async def cuts_in_recovery(matrix: Matrix, combination: Combination, *, sample: bool = False) -> list[Cut]:
    """Kills during recovery: for each point of a first life, every point of the second one.

    Args:
        sample: only for the first life that died when its call had come back.
    """
    dry = await matrix.run(combination, Cut())
    cuts = []
    firsts = [p for p in of_the_order(dry.points) if p[0].startswith(("call", "look-up")) or "Permit" in p[0]]
    if sample:
        firsts = [p for p in firsts if p[0].startswith("call") and p[0].endswith("after")][:1]
    for point, nth in firsts:
        once = await matrix.run(combination, Cut(point, nth))
        cuts += [Cut(point, nth, then=then) for then in of_the_order(once.points)]
    return cuts


async def run_cells(matrix: Matrix, cells: Sequence[tuple[Combination, Cut]], at_once: int) -> AsyncIterator[Cell]:
    """Runs cells, so many at once."""
    queue = iter(cells)
    pending: set[asyncio.Task[Cell]] = set()
    while True:
        while len(pending) < at_once and (following := next(queue, None)) is not None:
            pending.add(asyncio.ensure_future(matrix.run(*following)))
        if not pending:
            return
        finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            yield task.result()
