"""Naive retry as a subject: a plain program that writes down what it has done, and tries again what it has not.

It is what is written when nothing else is at hand: an idempotency key with each request, four tries, a progress file
that is renamed into place. After the last failed try it says what such programs say: that it failed.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from killpoints.reports import read_report, write_report
from killpoints.subjects.client import Refused, Unclear, make, pause

TRIES = 4


def main(plan: dict[str, Any]) -> int:
    """Carries out a plan. Returns the exit status."""
    progress = Path(plan["folder"]) / "progress.json"
    known = read_report(progress)
    lock = Lock()

    def one(order: dict[str, Any]) -> None:
        if order["order"] in known:
            return
        statement = attempt(plan["world"], order["order"], order["timeout"])
        with lock:
            known[order["order"]] = statement
            write_report(progress, known)

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(one, plan["orders"]))
    write_report(Path(plan["report"]), known)
    return 0


def attempt(world: str, order: str, timeout: float) -> dict[str, Any]:
    """Tries an order, and says what came of it."""
    detail = ""
    for number in range(TRIES):
        if number:
            pause(0.04 * 2**number)
        try:
            made = make(world, order, order, timeout)
        except Refused as error:
            detail = str(error)
            if not error.retryable:
                break
        except Unclear as error:
            detail = str(error)
        else:
            return {"says": "done", "refs": [made], "detail": ""}
    return {"says": "not done", "refs": [], "detail": detail}


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
