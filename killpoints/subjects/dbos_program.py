"""DBOS as a subject: a workflow for each order, whose id is the order's, with one step that is tried four times.

Set up as its documentation has it: `SetWorkflowID` makes a submission idempotent, the step's `retries_allowed` repeats
what raises, launching recovers what a dead process left. The workflow's id travels as the idempotency key. A definite
refusal is the step's value, and nothing to repeat. A workflow that ended in ERROR says, in the kit's words, "not done":
that is what its caller is told.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from killpoints.reports import write_report
from killpoints.subjects.client import Refused, make

TRIES = 4


@DBOS.step(retries_allowed=True, max_attempts=TRIES, interval_seconds=0.04, backoff_rate=2)
def call(world: str, order: str, timeout: float) -> str:
    """Asks the world once for an order's effect."""
    try:
        return make(world, order, order, timeout)
    except Refused as error:
        if error.retryable:
            raise
        return ""


@DBOS.workflow()
def fulfil(world: str, order: str, timeout: float) -> str:
    """The whole order: its one step."""
    return call(world, order, timeout)


def says(made: str) -> dict[str, Any]:
    """What a workflow's result says."""
    return {"says": "done" if made else "not done", "refs": [made] if made else [], "detail": ""}


def main(plan: dict[str, Any]) -> int:
    """Carries out a plan. Returns the exit status."""
    file = Path(plan["folder"]) / "dbos.sqlite"
    # The same version and executor in every life: what is recovered is what this very program left.
    config: DBOSConfig = {
        "name": "killpoints",
        "system_database_url": f"sqlite:///{file}",
        "log_level": "CRITICAL",
        "application_version": "1",
    }
    DBOS(config=config)
    DBOS.launch()
    handles = {}
    for order in plan["orders"]:
        name = order["order"]
        with SetWorkflowID(name):
            handles[name] = DBOS.start_workflow(fulfil, plan["world"], name, order["timeout"])
    report = {}
    for name, handle in handles.items():
        try:
            report[name] = says(handle.get_result())
        except Exception as error:  # noqa: BLE001 - whatever it ended with is what its caller is told
            report[name] = {"says": "not done", "refs": [], "detail": type(error).__name__}
    write_report(Path(plan["report"]), report)
    DBOS.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
