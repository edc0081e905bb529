"""Runs combinations, each to a line of the receipt, so that a run that was broken off can be taken up again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from killpoints.combinations import Combination
from killpoints.judge import Tally
from killpoints.matrix import Cell, Cut, Matrix
from killpoints.options import Found, Options
from killpoints.receipt import HEADER, cells, figures, table, tally_of

Cuts = Callable[[Combination], Awaitable[Sequence[tuple[Cut, bool]]]]
"""The cuts of a combination, each with whether the cell begins without a database."""

_COMBINATIONS_AT_ONCE = 6


async def run_rows(
    options: Options, section: str, matrix: Matrix, combinations: Sequence[Combination], cuts: Cuts
) -> Found:
    """Runs what is not in the receipt yet, as long as there is time, and writes each combination down as it ends."""
    began = time.monotonic()
    before = options.before(section)
    rows: dict[tuple[str, str], dict[str, Any]] = {(row["tool"], row["world"]): row for row in before.get("rows", [])}
    todo = [each for each in combinations if (each.kind, each.behaviour) not in rows]
    # Some wait a lot and some not at all; mixed, both cores are busy all the time.
    random.Random(1).shuffle(todo)  # noqa: S311 - an order, and no secret
    places = asyncio.Semaphore(_COMBINATIONS_AT_ONCE)
    progress = options.progress(section, len(todo))

    def so_far() -> Found:
        order = [(each.kind, each.behaviour) for each in combinations]
        known = [rows[key] for key in order if key in rows]
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        return _found(known, complete=len(known) == len(order), seconds=seconds)

    async def one(combination: Combination) -> None:
        async with places:
            if options.out_of_time:
                return
            chosen = await cuts(combination)
            ended = await asyncio.gather(*(matrix.run(combination, cut, start_up=fresh) for cut, fresh in chosen))
        rows[combination.kind, combination.behaviour] = _row(combination, ended)
        options.keep(section, so_far())
        progress()

    await asyncio.gather(*map(one, todo))
    return so_far()


def _row(combination: Combination, ended: Sequence[Cell]) -> dict[str, Any]:
    tally = Tally()
    for cell in ended:
        tally.add(cell.tally)
    return {
        "tool": combination.kind,
        "world": combination.behaviour,
        **figures(tally),
        "cells": dict(Counter(cell.cut.signal if cell.cut.point else "undisturbed" for cell in ended)),
        "points": sorted({cell.cut.point for cell in ended if cell.cut.point}),
        "points_not_reached": [str(cell.cut) for cell in ended if not cell.reached],
    }


def _found(rows: Sequence[dict[str, Any]], *, complete: bool, seconds: float) -> Found:
    total, counted = Tally(), Counter[str]()
    for row in rows:
        total.add(tally_of(row))
        counted.update(row["cells"])
    missed = [f"{row['tool']}, {row['world']}, {cut}" for row in rows for cut in row["points_not_reached"]]
    points = sorted({point for row in rows for point in row["points"]})
    lines = [[row["tool"], row["world"], *cells(tally_of(row))] for row in rows]
    text = table(("tool", "the world", *HEADER), [*lines, ["all", "", *cells(total)]], words=2)
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items()))
    text += f"\n\n{sum(counted.values()):,} cells: {kinds}. {len(points)} different fault points."
    if missed:
        text += f" {len(missed)} came to their end before the point was reached."
    if not complete:
        text += " There is more to run: --resume."
    if total.faults:
        text += "\n\n" + "\n".join(total.faults[:40])
    content = {
        "cells": dict(counted),
        "points": points,
        "points_not_reached": missed,
        "rows": list(rows),
        "all": figures(total),
    }
    return Found(total.clean, text, content, seconds, complete)
