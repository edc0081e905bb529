"""docs/troubleshooting.md explains every code that anybody can get to see, with the status that it comes with."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import enactor
from enactor.domain.errors import EnactorError, FailureCode
from enactor.http.problems import status_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    table = PAGE.partition(f"# {heading}\n")[2].partition("|---")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def codes(cell: str) -> list[str]:
    """The codes in a cell."""
    return re.findall(r"`([A-Z_]+)`", cell)


def everything(kind: type[EnactorError] = EnactorError) -> Iterator[type[EnactorError]]:
    """The error tree of the package."""
    yield kind
    for one in kind.__subclasses__():
        if one.__module__.startswith("enactor."):
            yield from everything(one)


def test_every_refusal_is_explained_with_its_status() -> None:
    """Each error's code is in the table of refusals with the status of its answers, or among those of targets."""
    for module in pkgutil.walk_packages(enactor.__path__, "enactor."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    explained: dict[str, str] = {}
    for cell, statuses, *_ in rows("Refusals"):
        each = statuses.split(", ")
        found = codes(cell)
        explained |= dict(zip(found, each if len(each) > 1 else each * len(found), strict=True))
    elsewhere = {code for cell, *_ in rows("What targets and gateways refuse") for code in codes(cell)}
    wanted: dict[str, set[str]] = {}
    for kind in everything():
        wanted.setdefault(kind.error_code, set()).add(str(status_of(kind("Why."))))
    for code in sorted(wanted.keys() - elsewhere):
        assert explained.get(code) in {*wanted[code], "—"}, code
    assert explained.keys() | elsewhere == wanted.keys()


def test_every_end_of_a_run_is_explained() -> None:
    """Each code that the pipeline itself ends a run with, or makes one wait with, is on the page."""
    explained = {code for cell, *_ in rows("How runs end") for code in codes(cell)}
    waiting = set(codes(PAGE.partition("# A run that waits\n")[2]))
    assert {code.value for code in FailureCode} <= explained | waiting
