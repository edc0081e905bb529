"""How a section is run, what came of it, and what it leaves in its receipt on the way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killpoints import receipt


@dataclass
class Found:
    """What came of a section.

    Attributes:
        holds: whether Enactor kept its promises.
        text: a table for people.
        content: the receipt.
        seconds: how long it took, in all of its parts.
        complete: whether nothing is left to be run.
    """

    holds: bool
    text: str
    content: dict[str, Any]
    seconds: float = 0.0
    complete: bool = True


@dataclass
class Options:
    """How a section is run.

    Attributes:
        quick: a sample.
        at_once: cells under way at the same time.
        folder: where programs have their files.
        results: where receipts are written; None for nowhere.
        resume: goes on where the receipt ends.
        until: on the monotonic clock, when nothing new is begun any more; None for never.
    """

    quick: bool
    at_once: int
    folder: Path
    results: Path | None = None
    resume: bool = False
    until: float | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether nothing new is begun any more."""
        return self.until is not None and time.monotonic() > self.until

    def before(self, section: str) -> dict[str, Any]:
        """The receipt that is gone on with; empty for a run from the beginning."""
        if not self.resume or self.results is None:
            return {}
        file = self.results / f"{section}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def keep(self, section: str, found: Found) -> None:
        """Writes down what there is."""
        if self.results is not None:
            state = {"holds": found.holds, "complete": found.complete, "seconds": round(found.seconds)}
            receipt.write(self.results, section, {**state, **found.content})

    def progress(self, what: str, total: int) -> Callable[[], None]:
        """Counts up a line on a terminal with each call; is silent in a pipe."""
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if sys.stderr.isatty():
                end = "\n" if done == total else ""
                sys.stderr.write(f"\r{what}: {done:,} of {total:,}{end}")
                sys.stderr.flush()

        return step
