"""Printing: tables and fields for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from enactor.cli.text import lines, on_terminal, one_line, own

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GOOD: Final = frozenset({"SUCCEEDED", "APPROVED", "ok", "passed", "permit"})
BAD: Final = frozenset({"FAILED", "REJECTED", "EXPIRED", "CANCELLED", "problem", "failed", "forbid"})
OPEN: Final = frozenset({"IN_DOUBT", "PENDING_APPROVAL", "PENDING", "RUNNING", "warning", "unknown"})

_SENTENCE: Final = 20
"""The narrowest column that a sentence is readable in."""


def print_json(value: Any) -> None:
    """Prints a value as JSON, in ASCII so that nothing in it can act on a terminal."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Prints a value as one line of JSON, at once: for output that goes on."""
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Prints a sentence of ours."""
    sys.stdout.write(own(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Prints what is not the command's result on standard error."""
    sys.stderr.write(own(text) + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str, *, quoted: bool = True) -> None:
    """A table on a terminal; in a pipe one line a row, cells separated by tabs, the names of the columns first.

    Args:
        nothing: what a person reads instead of an empty table.
        quoted: what stands in it was written by others; False for our own words, whose addresses stay as they are.
    """
    fit = one_line if quoted else own
    if not on_terminal():
        for row in ([column.upper() for column in columns], *rows):
            sys.stdout.write("\t".join(fit(_cell(cell)).replace("\n", "\\n") for cell in row) + "\n")
        return
    if not rows:
        say(nothing)
        return
    from rich.text import Text

    shown = [[Text(fit(_cell(cell)), style=style_of(cell)) for cell in row] for row in rows]
    heads = [Text(column, style="bold") for column in columns]
    if _narrowest([heads, *shown]) <= console().width:
        _print_grid(heads, shown)
        return
    for cells in (heads, *shown):
        _print_flowing(cells)


def _narrowest(table: Sequence[Sequence[Text]]) -> int:
    """How narrow a table may be without breaking an id, a status or an instant; sentences may be broken."""
    widths: list[int] = []
    for column in zip(*table, strict=True):
        whole = (cell.cell_len if " " not in cell.plain else min(cell.cell_len, _SENTENCE) for cell in column)
        widths.append(max(whole))
    return sum(widths) + 3 * len(widths) - 1


def _print_grid(heads: Sequence[Text], rows: Sequence[Sequence[Text]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _print_flowing(cells: Sequence[Text]) -> None:
    """A row too wide for a table: cell after cell, on as many lines as it takes, with every id whole, to be copied."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    lines_of_row: list[list[Text]] = [[]]
    used = 0
    for cell in cells:
        if not cell.plain:
            continue
        if lines_of_row[-1] and used + 2 + cell.cell_len > out.width:
            lines_of_row.append([])
            used = 2
        used += cell.cell_len + 2
        lines_of_row[-1].append(cell)
    for number, line in enumerate(lines_of_row):
        out.print(Padding(Text("  ").join(line), (0, 0, 0, 2 if number else 0)))


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Labelled values, one a line; those that are None or empty are left out."""
    given = [(label, value) for label, value in fields if value not in (None, "", (), [])]
    if not on_terminal():
        for label, value in given:
            sys.stdout.write(f"{label}: {one_line(_cell(value))}\n")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in given:
        grid.add_row(Text(label), Text(lines(_cell(value)), style=style_of(value)))
    console().print(grid)


def print_block(title: str, text: str) -> None:
    """A titled block of text that is already fit to be shown, framed on a terminal."""
    if not on_terminal():
        sys.stdout.write(f"{title}:\n" + "".join(f"  {line}\n" for line in text.split("\n")))
        return
    from rich.panel import Panel
    from rich.text import Text

    console().print(Panel(Text(text), title=Text(title), title_align="left", border_style="dim"))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Progress of work of unknown length on a terminal's standard error; silent in a pipe. Called with the count."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda count: progress.update(task, completed=count)


@contextmanager
def measuring(what: str, total: int, done: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error for work of a known size; silent in a pipe. Called with a count to show.

    Args:
        total: the size of the work.
        done: how much of it is done; asked at each call.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, completed=done(), description=f"{what}: {count:,}")


def console() -> Console:
    """The terminal, without any interpretation of what is printed."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def style_of(value: object) -> str:
    """The colour of a status."""
    word = str(value)
    return "green" if word in GOOD else "red" if word in BAD else "yellow" if word in OPEN else ""


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return value
