"""The sections of the kit: each runs one kind of proof and says what came of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from killpoints.harness import WorldProcess, Zygote
from killpoints.judge import Tally
from killpoints.matrix import (
    FULL_KINDS,
    SCRIPTS,
    UNDO_SCRIPTS,
    Combination,
    Cut,
    Matrix,
    cells_of,
    combinations,
    cuts_in_recovery,
    run_cells,
)
from killpoints.model.cases import CASES, WITHOUT_THE_ASSUMPTION
from killpoints.model.explore import explore
from killpoints.model.rules import Assumption
from killpoints.model.state import TOOLS, Bounds
from killpoints.peers import measure
from killpoints.random_kills import PROMISES, Load, rounds
from killpoints.receipt import HEADER, cells, figures, table

ENACTOR = "killpoints.subjects.enactor_program"
SIGNALS = ("KILL", "STOP")


@dataclass
class Options:
    """How a section is run."""

    quick: bool
    at_once: int
    folder: Path


@dataclass
class Found:
    """What came of a section: whether Enactor kept its promises, a table for people, and the receipt."""

    holds: bool
    text: str
    content: dict[str, Any]
    seconds: float = 0.0


@dataclass
class Section:
    """A section: its title, how it is run, and whether there is a quick sample of it."""

    title: str
    run: Callable[[Options], Awaitable[Found]]
    quick: bool = True


class Progress:
    """A line on a terminal, and silence in a pipe."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._shown = sys.stderr.isatty()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._shown:
            end = "\n" if self._done == self._total else ""
            sys.stderr.write(f"\r{self._what}: {self._done:,} of {self._total:,}{end}")
            sys.stderr.flush()


@asynccontextmanager
async def enactor(options: Options) -> AsyncIterator[tuple[Zygote, WorldProcess]]:
    """Enactor's programs, and a world."""
    async with WorldProcess() as world, Zygote(ENACTOR, options.folder / "log") as programs:
        yield programs, world


@dataclass
class _Kept:
    """Tallies by line of the table and by signal."""

    tallies: dict[tuple[str, ...], Tally] = field(default_factory=dict)
    cells: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        """All of it."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        return total


async def _run(options: Options, matrix: Matrix, todo: list[tuple[Combination, Cut]], what: str) -> _Kept:
    kept, progress = _Kept(), Progress(what, len(todo))
    async for cell in run_cells(matrix, todo, options.at_once):
        progress.step()
        kind = cell.cut.signal if cell.cut.point else "undisturbed"
        kept.cells[kind] += 1
        if not cell.reached:
            kept.missed.append(f"{cell.combination.kind}, {cell.combination.behaviour}, {cell.cut}")
        kept.tallies.setdefault((cell.combination.kind, cell.combination.behaviour), Tally()).add(cell.tally)
    return kept


def _found(kept: _Kept, began: float, more: dict[str, Any] | None = None) -> Found:
    total = kept.total
    lines = [[*key, *cells(tally)] for key, tally in kept.tallies.items()]
    counted = ", ".join(f"{count:,} {name}" for name, count in sorted(kept.cells.items()))
    text = table(("tool", "the world", *HEADER), [*lines, ["all", "", *cells(total)]], words=2)
    text += f"\n\n{sum(kept.cells.values()):,} cells: {counted}."
    if kept.missed:
        text += f" {len(kept.missed)} came to their end before the point was reached."
    if total.faults:
        text += "\n\n" + "\n".join(total.faults[:40])
    content = {
        "cells": dict(kept.cells),
        "points_not_reached": kept.missed,
        "rows": [{"tool": k[0], "world": k[1], **figures(tally)} for k, tally in kept.tallies.items()],
        "all": figures(total),
        **(more or {}),
    }
    return Found(total.clean, text, content, time.monotonic() - began)


def quick_combinations() -> list[tuple[Combination, tuple[str, ...]]]:
    """A sample: a lost reply for each promise that matters, and a taking back whose reply is lost."""
    lost = "commits, drops the reply"
    chosen = [(Combination(kind, lost, tuple(SCRIPTS[lost])), ("KILL",)) for kind in ("searched", "unsafe")]
    keyed = Combination("keyed", lost, tuple(SCRIPTS[lost]))
    undo = "undoes it, drops the reply"
    partial = Combination("partial", f"does half; {undo}", ("partial",), tuple(UNDO_SCRIPTS[undo]))
    return [(keyed, SIGNALS), *chosen, (partial, ("KILL",))]


async def matrix(options: Options) -> Found:
    """Killed and paused at every fault point."""
    began = time.monotonic()
    chosen = quick_combinations() if options.quick else [(c, signals_of(c)) for c in combinations()]
    async with enactor(options) as (programs, world):
        runs = Matrix(programs, world, options.folder)
        gate = asyncio.Semaphore(options.at_once)

        async def cuts(combination: Combination, signals: tuple[str, ...], at: int) -> list[tuple[Combination, Cut]]:
            async with gate:
                # What comes before the first order is the same everywhere: one combination is cut there.
                found = await cells_of(runs, combination, signals, start_up=at == 0 and not options.quick)
            if options.quick:
                found = [cut for cut in found if not cut.point or _in_the_sample(combination, cut)]
            return [(combination, cut) for cut in found]

        lists = await asyncio.gather(*(cuts(c, signals, at) for at, (c, signals) in enumerate(chosen)))
        todo = [cell for cells_found in lists for cell in cells_found]
        kept = await _run(options, runs, todo, "cells")
    points = sorted({cut.point for _, cut in todo if cut.point})
    found = _found(kept, began, {"points": points})
    found.text += f"\n{len(points)} different fault points."
    return found


def _in_the_sample(combination: Combination, cut: Cut) -> bool:
    """Around the calls and the commits that they need; of a taking back, only what belongs to it."""
    if cut.signal == "STOP":
        return cut.point.startswith("call")
    if combination.kind == "partial":
        return "take_back" in cut.point
    return cut.point.startswith(("call", "look-up")) or "Permit" in cut.point


def signals_of(combination: Combination) -> tuple[str, ...]:
    """Both, unless the restart has to wait until keys are forgotten, for which the process has to be dead."""
    return ("KILL",) if combination.forgotten else SIGNALS


async def recovery(options: Options) -> Found:
    """Killed again during recovery."""
    began = time.monotonic()
    behaviours = ("does it", "commits, drops the reply", "loses the request")
    kinds = FULL_KINDS if not options.quick else ("searched",)
    chosen = [Combination(k, b, tuple(SCRIPTS[b])) for k in kinds for b in behaviours[: 1 if options.quick else 3]]
    if not options.quick:
        chosen += [
            Combination(kind, f"does half; {b}", ("partial",), tuple(UNDO_SCRIPTS[b]))
            for kind in ("partial", "partial_unsafe")
            for b in ("undoes it", "undoes it, drops the reply")
        ]
    async with enactor(options) as (programs, world):
        runs = Matrix(programs, world, options.folder)
        gate = asyncio.Semaphore(max(1, options.at_once // 2))

        async def cuts(combination: Combination) -> list[tuple[Combination, Cut]]:
            async with gate:
                return [(combination, cut) for cut in await cuts_in_recovery(runs, combination, sample=options.quick)]

        lists = await asyncio.gather(*(cuts(combination) for combination in chosen))
        todo = [cell for cells_found in lists for cell in cells_found]
        kept = await _run(options, runs, todo, "kills during recovery")
    return _found(kept, began)


async def random_kills(options: Options) -> Found:
    """Killed at random times under load."""
    began = time.monotonic()
    kinds = (*PROMISES, "never_final", "briefly_searched", "burning")
    load = Load(kinds=kinds, orders=18 if options.quick else 60, kills=3 if options.quick else 7, oracle=True)
    count = 1 if options.quick else 72
    async with enactor(options) as (programs, world):
        killed = await rounds(programs, world, options.folder, load, count, 1 if options.quick else 4)
    total = Tally()
    for tally in killed.tallies.values():
        total.add(tally)
    lines = [[kind, *cells(tally)] for kind, tally in killed.tallies.items()]
    text = table(("tool", *HEADER), [*lines, ["all", *cells(total)]])
    text += f"\n\n{killed.kills} kills at random times, in {killed.rounds} rounds of {load.orders} orders."
    text += "".join(f"\n{line}" for line in (*killed.trouble, *total.faults[:40]))
    content = {
        "kills": killed.kills,
        "rounds": killed.rounds,
        "rows": [{"tool": kind, **figures(tally)} for kind, tally in killed.tallies.items()],
        "all": figures(total),
        "trouble": killed.trouble,
    }
    return Found(total.clean and not killed.trouble, text, content, time.monotonic() - began)


async def model(options: Options) -> Found:
    """Every interleaving of a model, with all rules and with each left out."""
    began = time.monotonic()
    lines, rows, holds = [], [], True
    for rule, (semantics, bounds) in CASES.items():
        found = explore(semantics, bounds, rule)
        holds = holds and bool(found.violation)
        lines.append([f"without: {rule}", semantics, found.violation or "NOTHING WRONG", f"{found.states:,}"])
        rows.append({"left_out": str(rule), "semantics": semantics, **asdict(found)})
    semantics, bounds = WITHOUT_THE_ASSUMPTION
    found = explore(semantics, bounds, None, Assumption.PAUSE)
    holds = holds and bool(found.violation)
    lines.append(
        [f"not assumed: {Assumption.PAUSE}", semantics, found.violation or "NOTHING WRONG", f"{found.states:,}"]
    )
    rows.append({"not_assumed": str(Assumption.PAUSE), "semantics": semantics, **asdict(found)})
    for semantics in TOOLS:
        found = explore(semantics, Bounds(), most=5_000 if options.quick else MOST_STATES)
        holds = holds and not found.violation
        lines.append(["with all rules", semantics, found.violation or "nothing wrong", f"{found.states:,}"])
        rows.append({"semantics": semantics, **asdict(found)})
    text = table(("the model", "semantics", "what goes wrong", "states"), lines, words=3)
    return Found(holds, text, {"rows": rows}, time.monotonic() - began)


async def peers(options: Options) -> Found:
    """Enactor beside its peers."""
    began = time.monotonic()
    subjects = await measure(options.folder)
    lines, rows, holds = [], [], True
    for name, version, _, killed in subjects:
        for kind, tally in killed.tallies.items():
            lines.append([name, version, kind, str(killed.kills), *cells(tally)])
            rows.append({"subject": name, "version": version, "promise": kind, **figures(tally)})
        if name == "enactor":
            holds = not killed.trouble and all(tally.clean for tally in killed.tallies.values())
    text = table(("subject", "version", "the world's promise", "kills", *HEADER), lines, words=3)
    text += "\n\n" + "\n".join(f"{name}: {killed.kills} kills. {set_up}" for name, _, set_up, killed in subjects)
    text += "".join(f"\n{line}" for *_, killed in subjects for line in killed.trouble)
    content = {
        "rows": rows,
        "subjects": [
            {"subject": n, "version": v, "set_up": s, "kills": k.kills, "rounds": k.rounds, "trouble": k.trouble}
            for n, v, s, k in subjects
        ],
    }
    return Found(holds, text, content, time.monotonic() - began)


MOST_STATES = 250_000
"""How many states of each semantics the full run looks at, breadth first."""

SECTIONS: dict[str, Section] = {
    "matrix": Section("Killed and paused at every fault point", matrix),
    "recovery": Section("Killed again during recovery", recovery),
    "model": Section("A model of the protocol, every interleaving", model),
    "random": Section("Killed at random times under load", random_kills),
    "peers": Section("Beside its peers", peers, quick=False),
}
