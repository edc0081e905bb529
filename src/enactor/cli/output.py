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

GOOD: Final = frozenset({"SUCCEEDED", "APPROVED", "ok", "passed", "permit"})
BAD: Final = frozenset({"FAILED", "REJECTED", "EXPIRED", "CANCELLED", "problem", "failed", "forbid"})
OPEN: Final = frozenset({"IN_DOUBT", "PENDING_APPROVAL", "PENDING", "RUNNING", "warning", "unknown"})


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
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(fit(_cell(cell)), style=style_of(cell)) for cell in row))
    console().print(table)


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
