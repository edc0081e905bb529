"""CTRLRun as a subject: one protected function, whose effect key is the order, over its durable SQLite store.

Set up as its documentation has it: `idempotency_token()` goes to the world as the key; `NotExecuted` is raised where
the world says that it did nothing, and only then is the action tried again; where the world can be searched by key a
`reconcile` hook looks, eagerly and when an ambiguous effect blocks. The lease is short, so that what a dead process
held is ambiguous soon; no reply is waited for for longer than that. What stays ambiguous is "unknown", in CTRLRun's own
sense.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from ctrlrun import (
    AmbiguousEffect,
    Control,
    DuplicateEffect,
    NotExecuted,
    Policy,
    ReconcileOutcome,
    SQLiteStateStore,
    context,
    idempotency_token,
    protect,
)
from ctrlrun.effect import idempotency_token_for

from killpoints.kinds import KINDS, TIMEOUT_SECONDS
from killpoints.reports import write_report
from killpoints.subjects.client import Refused, Unclear, find, make, pause

TRIES = 4
POLICY = """
schema: ctrlrun.policy/v2
actions:
  order.make:
    effect: "order:{order}"
    decision: allow
"""


class Subject:
    """The protected function, and what its effects come to."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._world = plan["world"]
        self._searchable = {each["order"] for each in plan["orders"] if KINDS[each["kind"]].get("look_up")}
        self.store = SQLiteStateStore(Path(plan["folder"]) / "state.db")
        control = Control(Policy.from_yaml(POLICY), self.store)
        lease = timedelta(seconds=TIMEOUT_SECONDS + 1)
        options: dict[str, Any] = {"control": control, "lease": lease}
        self._plain = protect("order.make", **options)(self._make)
        self._searched = protect("order.make", **options, reconcile=self._reconcile, reconcile_eagerly=True)(self._make)

    def _make(self, order: str) -> str:
        try:
            return make(self._world, order, key=idempotency_token())
        except Refused as error:
            raise NotExecuted(str(error)) from error

    def _reconcile(self, effect_key: str) -> ReconcileOutcome:
        record = self.store.get_effect(effect_key)
        order = effect_key.removeprefix("order:")
        if record is None:
            return "unknown"
        try:
            found = find(self._world, order, idempotency_token_for(effect_key, record.attempt))
        except Unclear:
            return "unknown"
        # An absence may not be final yet, and the hook has no way to say "ask me later" but this one.
        return "committed" if found else "unknown"

    def one(self, order: str) -> dict[str, Any]:
        """Carries out one order, as an agent's loop would."""
        call = self._searched if order in self._searchable else self._plain
        refusal, tries = "", 0
        began = time.monotonic()
        while tries < TRIES:
            try:
                with context(agent="killpoints"):
                    return {"says": "done", "refs": [call(order=order)], "detail": ""}
            except DuplicateEffect as error:
                if error.state == "committed":
                    return {"says": "done", "refs": [], "detail": "committed before"}
                # Somebody holds it: a process that is dead, until its lease is over.
                pause(0.1)
            except NotExecuted as error:
                refusal, tries = str(error), tries + 1
                pause(0.04 * 2**tries)
            except (AmbiguousEffect, Unclear) as error:
                # A look-up may yet find it; it is asked again for a while, as a person would.
                if order not in self._searchable or time.monotonic() - began > 6:
                    return {"says": "unknown", "refs": [], "detail": type(error).__name__}
                pause(0.3)
        return {"says": "not done", "refs": [], "detail": refusal}


def main(plan: dict[str, Any]) -> int:
    """Carries out a plan. Returns the exit status."""
    subject = Subject(plan)
    orders = [order["order"] for order in plan["orders"]]
    with ThreadPoolExecutor(16) as executor:
        report = dict(zip(orders, executor.map(subject.one, orders), strict=True))
    write_report(Path(plan["report"]), report)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
