"""For each rule, where it is needed: small bounds within which leaving it out goes wrong, and keeping it does not."""

from __future__ import annotations

from typing import Final

from killpoints.model.rules import Rule
from killpoints.model.state import Bounds

_SMALL: Final = Bounds(deaths=0, switches=0, people=0, replies=("done",))
_LOST: Final = _SMALL._replace(replies=("lost",))

CASES: Final[dict[Rule, tuple[str, Bounds]]] = {
    Rule.ONE_LOCK: ("UNSAFE", _SMALL._replace(ticks=1)),
    Rule.FENCE: ("UNSAFE", _LOST._replace(people=1, ticks=2)),
    Rule.PERMIT_FIRST: ("UNSAFE", _SMALL._replace(deaths=1, ticks=1)),
    Rule.CHECK: ("LOOKUP", _SMALL._replace(ticks=5)),
    Rule.SEMANTICS: ("UNSAFE", _LOST._replace(ticks=2)),
    Rule.RETENTION: ("IDEMPOTENT", _LOST._replace(ticks=5)),
    Rule.FINAL_ABSENCE: ("LOOKUP", _SMALL._replace(replies=("late", "done"), ticks=2)),
    Rule.MAX_PAUSE: ("LOOKUP", _SMALL._replace(ticks=4)),
    Rule.GONE: ("LOOKUP", _SMALL._replace(replies=("late", "done"), ticks=3)),
    Rule.OPEN_IS_UNKNOWN: ("UNSAFE", _SMALL._replace(deaths=1, ticks=2)),
    Rule.HONEST_END: ("IDEMPOTENT", _LOST._replace(switches=1, ticks=2)),
    Rule.SWITCH: ("UNSAFE", _SMALL._replace(switches=1, ticks=1)),
}

WITHOUT_THE_ASSUMPTION: Final = ("LOOKUP", _SMALL._replace(ticks=5))
"""Where a pause longer than `max_pause` between check and send makes two effects, with every rule in force."""
