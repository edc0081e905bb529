"""Receipts: what was measured, on what, as JSON and as tables."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from killpoints.judge import Tally

RESULTS = Path(__file__).resolve().parent / "results"
HEADER = ("wanted", "found", "duplicates", "losses", "did not know", "needlessly", "false")
_MOST_FAULTS = 20


def figures(tally: Tally) -> dict[str, Any]:
    """A tally as the receipt holds it. Of faults it holds the first ones, and how many there are."""
    return {
        "wanted": tally.wanted,
        "found": tally.found,
        "duplicates": tally.duplicates,
        "losses": tally.losses,
        "did_not_know": tally.unknown,
        "did_not_know_needlessly": tally.needless,
        "said_something_false": tally.false,
        "said": dict(sorted(tally.ways.items())),
        "faults": tally.faults[:_MOST_FAULTS],
        "faults_in_all": len(tally.faults),
    }


def tally_of(row: dict[str, Any]) -> Tally:
    """The tally that `figures` has made a row of."""
    return Tally(
        wanted=row["wanted"],
        found=row["found"],
        duplicates=row["duplicates"],
        losses=row["losses"],
        unknown=row["did_not_know"],
        needless=row["did_not_know_needlessly"],
        false=row["said_something_false"],
        ways=dict(row["said"]),
        faults=list(row["faults"]),
    )


def cells(tally: Tally) -> list[str]:
    """A tally as cells of a table, under `HEADER`."""
    numbers = (tally.wanted, tally.found, tally.duplicates, tally.losses, tally.unknown, tally.needless, tally.false)
    return [f"{number:,}" for number in numbers]


def machine() -> dict[str, Any]:
    """What it was measured on."""
    try:
        enactor = version("enactor")
    except PackageNotFoundError:
        enactor = "?"
    return {
        "enactor": enactor,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
    }


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Writes one receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"measured_on": machine(), **content}, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def table(header: Sequence[str], lines: Iterable[Sequence[str]], words: int = 1) -> str:
    """A Markdown table, aligned; all but the first `words` columns are numbers."""
    rows = [list(header), *map(list, lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            text.ljust(w) if at < words else text.rjust(w) for at, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * (w if at < words else w - 1) + ("" if at < words else ":") for at, w in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])
