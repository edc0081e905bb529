"""The sections of the kit: each runs one kind of proof and says what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

from killpoints.adversity import OF_AN_INSTANT, OF_THE_PROGRAM, Place
from killpoints.combinations import Combination, combinations, half, in_recovery, lost, undone
from killpoints.harness import WorldProcess, Zygote
from killpoints.judge import Tally
from killpoints.matrix import Cut, Matrix, cells_of, cuts_in_recovery
from killpoints.model.cases import CASES, WITHOUT_THE_ASSUMPTION
from killpoints.model.explore import explore
from killpoints.model.rules import Assumption
from killpoints.model.state import TOOLS, Bounds
from killpoints.options import Found, Options
from killpoints.random_kills import PROMISES, Killed, Load, rounds
from killpoints.receipt import HEADER, cells, figures, table, tally_of
from killpoints.rows import run_rows
from killpoints.subjects.registry import ENACTOR_PROGRAM, SUBJECTS, Subject

SIGNALS = ("KILL", "STOP")
KILLS = 500
"""How many kills at random times have to hit Enactor at work."""

KILLS_OF_EACH = 30
"""How many kills each of the subjects side by side takes."""

BESIDE = Load(orders=48, kills=5, in_waves=True)
"""What each of them is asked to do in a round."""


@dataclass
class Section:
    """A section: its title, how it is run, and whether there is a quick sample of it."""

    title: str
    run: Callable[[Options], Awaitable[Found]]
    quick: bool = True


@asynccontextmanager
async def enactor(options: Options) -> AsyncIterator[tuple[Zygote, WorldProcess]]:
    """Enactor's programs, and a world."""
    async with WorldProcess() as world, Zygote(ENACTOR_PROGRAM, options.folder / "log") as programs:
        yield programs, world


def quick_combinations() -> dict[Combination, tuple[str, ...]]:
    """A sample: a lost reply for each promise that matters, and taking back where that reply is lost."""
    undo = "undoes it, drops the reply"
    return {
        lost("keyed"): SIGNALS,
        lost("searched"): ("KILL",),
        lost("unsafe"): ("KILL",),
        lost("previewed"): ("KILL",),
        half("partial", undo): ("KILL",),
        undone("reversible", undo): ("KILL",),
    }


async def matrix(options: Options) -> Found:
    """Killed and paused at every fault point."""
    sample = quick_combinations()
    chosen = list(sample) if options.quick else combinations()
    async with enactor(options) as (programs, world):
        runs = Matrix(programs, world, options.folder, options.at_once)
        await runs.prepare()

        async def cuts(combination: Combination) -> Sequence[tuple[Cut, bool]]:
            # What comes before the first order is the same everywhere: one combination is cut there.
            start_up = combination == chosen[0] and not options.quick
            signals = sample[combination] if options.quick else signals_of(combination)
            found = await cells_of(runs, combination, signals, start_up=start_up)
            return [
                (cut, start_up)
                for cut in found
                if not options.quick or not cut.point or _in_the_sample(combination, cut)
            ]

        return await run_rows(options, "matrix", runs, chosen, cuts)


def _in_the_sample(combination: Combination, cut: Cut) -> bool:
    """Around the calls and the commits that they need; of taking back and previews, only what belongs to it."""
    if cut.signal == "STOP":
        return cut.point.startswith("call")
    if combination.kind in ("partial", "reversible"):
        return "take_back" in cut.point or (combination.is_undone and "CreateIntent" in cut.point)
    if combination.kind == "previewed":
        return cut.point.startswith("preview")
    return cut.point.startswith(("call", "look-up")) or "Permit" in cut.point


def signals_of(combination: Combination) -> tuple[str, ...]:
    """Both, unless the restart has to wait until keys are forgotten, for which the process has to be dead."""
    return ("KILL",) if combination.forgotten else SIGNALS


async def recovery(options: Options) -> Found:
    """Killed again during recovery."""
    chosen = [Combination("searched", "does it")] if options.quick else in_recovery()
    async with enactor(options) as (programs, world):
        runs = Matrix(programs, world, options.folder, options.at_once)
        await runs.prepare()

        async def cuts(combination: Combination) -> Sequence[tuple[Cut, bool]]:
            return [(cut, False) for cut in await cuts_in_recovery(runs, combination, sample=options.quick)]

        return await run_rows(options, "recovery", runs, chosen, cuts)


async def random_kills(options: Options) -> Found:
    """Killed at random times under load."""
    began, before = time.monotonic(), options.before("random")
    kinds = (*PROMISES, "never_final", "briefly_searched", "burning")
    load = Load(kinds=kinds, orders=18 if options.quick else 60, kills=3 if options.quick else 7, oracle=True)
    kills, progress = 1 if options.quick else KILLS, options.progress("rounds", KILLS // load.kills + 1)

    def so_far(killed: Killed) -> Found:
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        return _random(killed, load, complete=killed.kills >= kills, seconds=seconds)

    def each(killed: Killed) -> bool:
        progress()
        options.keep("random", so_far(killed))
        return not options.out_of_time

    async with enactor(options) as (programs, world):
        at_once = 1 if options.quick else 5
        known = _killed_of(before)
        killed = await rounds(
            programs, world, options.folder, load, kills=kills, at_once=at_once, before=known, each=each
        )
    return so_far(killed)


def _killed_of(before: dict[str, Any]) -> Killed:
    tallies = {row["tool"]: tally_of(row) for row in before.get("rows", [])}
    return Killed(tallies, before.get("kills", 0), before.get("rounds", 0), list(before.get("trouble", [])))


def _random(killed: Killed, load: Load, *, complete: bool, seconds: float) -> Found:
    total = killed.total
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
    return Found(total.clean and not killed.trouble, text, content, seconds, complete)


async def faults(options: Options) -> Found:
    """What goes wrong around a process that nobody kills."""
    began = time.monotonic()
    async with enactor(options) as (programs, world):
        place = Place(programs, world, options.folder)
        endured = [await befalls(place) for befalls in OF_THE_PROGRAM]
    endured += [await happens() for happens in OF_AN_INSTANT]
    total = Tally()
    for each in endured:
        total.add(each.tally)
    lines = [[each.name, f"{each.times:,}", *cells(each.tally)] for each in endured]
    text = table(("what goes wrong", "times", *HEADER), lines)
    text += "".join(f"\n{fault}" for fault in total.faults[:40])
    content = {
        "rows": [{"what": each.name, "times": each.times, **figures(each.tally)} for each in endured],
        "all": figures(total),
    }
    return Found(total.clean, text, content, time.monotonic() - began)


async def model(options: Options) -> Found:
    """Every interleaving of a model, with all rules and with each left out."""
    # The model makes its subject with a service of its own, on a loop of its own.
    return await asyncio.to_thread(_explored, options)


def _explored(options: Options) -> Found:
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


async def aws(options: Options) -> Found:
    """Functions that die at every point, on a simulated AWS."""
    # Imported when it is needed: it brings the AWS SDK and an emulator.
    from killpoints.on_aws import chosen, on_aws

    async with on_aws(options.folder, options.at_once) as simulated:
        runs = cast(Matrix, simulated)

        async def cuts(combination: Combination) -> Sequence[tuple[Cut, bool]]:
            return [(cut, False) for cut in await cells_of(runs, combination, ("KILL",))]

        return await run_rows(options, "aws", runs, chosen(quick=options.quick), cuts)


async def peers(options: Options) -> Found:
    """Enactor beside its peers: the same orders, the same world, as many kills."""
    began, before = time.monotonic(), options.before("peers")
    measured = {each["subject"]: each for each in before.get("subjects", [])}
    progress = options.progress("subjects", len(SUBJECTS) - len(measured))

    def so_far() -> Found:
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        return _side_by_side([measured[each.name] for each in SUBJECTS if each.name in measured], seconds)

    for subject in SUBJECTS:
        if subject.name in measured or options.out_of_time:
            continue
        measured[subject.name] = await _measured(options, subject)
        options.keep("peers", so_far())
        progress()
    return so_far()


async def _measured(options: Options, subject: Subject) -> dict[str, Any]:
    place = options.folder / subject.name.replace(" ", "-")
    place.mkdir()
    load = Load(**{**vars(BESIDE), "oracle": subject.own})
    # A world of its own for each, in which the orders are the same.
    async with WorldProcess() as world, subject.programs(place) as programs:
        killed = await rounds(programs, world, place, load, kills=KILLS_OF_EACH, at_once=3, seed=7)
    return {
        "subject": subject.name,
        "own": subject.own,
        "version": await asyncio.to_thread(subject.version),
        "set_up": subject.set_up,
        "kills": killed.kills,
        "rounds": killed.rounds,
        "trouble": killed.trouble,
        "rows": [{"promise": kind, **figures(tally)} for kind, tally in killed.tallies.items()],
    }


def _side_by_side(measured: Sequence[dict[str, Any]], seconds: float) -> Found:
    lines, rows, total = [], [], Tally()
    for each in measured:
        for row in each["rows"]:
            tally = tally_of(row)
            lines.append([each["subject"], each["version"], row["promise"], str(each["kills"]), *cells(tally)])
            rows.append({"subject": each["subject"], "version": each["version"], **row})
            if each["own"]:
                total.add(tally)
    text = table(("subject", "version", "the world's promise", "kills", *HEADER), lines, words=3)
    text += "\n\n" + "\n".join(f"{each['subject']}: {each['set_up']}" for each in measured)
    text += "".join(f"\n{each['subject']}: {line}" for each in measured for line in each["trouble"])
    text += "".join(f"\n{fault}" for fault in total.faults[:40])
    holds = total.clean and not any(each["trouble"] for each in measured if each["own"])
    complete = len(measured) == len(SUBJECTS)
    return Found(holds, text, {"rows": rows, "subjects": list(measured)}, seconds, complete)


MOST_STATES = 250_000
"""How many states of each semantics the full run looks at, breadth first."""

SECTIONS: dict[str, Section] = {
    "matrix": Section("Killed and paused at every fault point", matrix),
    "recovery": Section("Killed again during recovery", recovery),
    "faults": Section("The disk, the database, the clock, deliveries and races", faults, quick=False),
    "model": Section("A model of the protocol, every interleaving", model),
    "random": Section("Killed at random times under load", random_kills),
    "aws": Section(
        "Enactor on AWS (simulated: DynamoDB emulator, our interpreter): functions that die at every point", aws
    ),
    "peers": Section("Beside its peers", peers, quick=False),
}
