"""The judge: holds what a subject says of each order against what the world has seen. It knows nothing of subjects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Says(StrEnum):
    """What a subject can say of an order.

    `PARTLY` says that something stands which is less than was asked; `NOTHING` that the order is nowhere, or that the
    subject never came to an end with it.
    """

    DONE = "done"
    NOT_DONE = "not done"
    TAKEN_BACK = "taken back"
    PARTLY = "partly"
    UNKNOWN = "unknown"
    NOTHING = "nothing"


_CLAIMS = {Says.DONE: 1, Says.NOT_DONE: 0, Says.TAKEN_BACK: 0, Says.PARTLY: 1}
"""How many effects stand, if it is true."""


@dataclass
class Tally:
    """What came of a number of orders.

    Attributes:
        wanted: effects that were wanted: approved orders.
        found: effects that stand.
        duplicates: effects too many, and takings back too many.
        losses: orders without an effect of which the subject says that it is done, or says nothing.
        unknown: orders of which the subject says that it does not know.
        needless: of these, the ones where it could have known (only where the kit can tell).
        false: orders of which what the subject says is not so.
        ways: how many orders ended in which way.
        faults: one line for each duplicate, loss, false and needless statement.
    """

    wanted: int = 0
    found: int = 0
    duplicates: int = 0
    losses: int = 0
    unknown: int = 0
    needless: int = 0
    false: int = 0
    ways: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Adds another tally to this one."""
        for name, value in asdict(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        for way, count in other.ways.items():
            self.ways[way] = self.ways.get(way, 0) + count
        self.faults += other.faults

    @property
    def clean(self) -> bool:
        """Nothing twice, nothing lost, nothing false, and no doubt without need."""
        return not (self.duplicates or self.losses or self.false or self.needless)


def judge(
    order: str, statement: dict[str, Any] | None, seen: dict[str, Any] | None, allowed: Iterable[Says] | None = None
) -> Tally:
    """One order's tally.

    Args:
        statement: the subject's: `says`, `refs`, `detail`.
        seen: the world's.
        allowed: what an honest subject can say here, where the kit can tell.
    """
    effects = (seen or {}).get("effects", [])
    statement = statement or {"says": "nothing", "refs": [], "detail": ""}
    says = Says(statement["says"])
    standing = [effect for effect in effects if not effect["undone"]]
    tally = Tally(wanted=1, found=len(standing), ways={says.value: 1})
    tally.duplicates = max(0, len(effects) - 1) + sum(max(0, effect["undone"] - 1) for effect in effects)
    tally.losses = int(not effects and says in (Says.DONE, Says.NOTHING))
    tally.unknown = int(says is Says.UNKNOWN)
    claim = _CLAIMS.get(says)
    wrong = claim is not None and claim != min(1, len(standing))
    if says is Says.DONE and statement["refs"]:
        wrong = wrong or not set(statement["refs"]) <= {effect["id"] for effect in standing}
    tally.false = int(wrong)
    if allowed is not None:
        possible = set(allowed)
        if says is Says.UNKNOWN:
            tally.needless = int(says not in possible)
        elif says is Says.NOTHING:
            tally.losses = 1
        elif says not in possible:
            # True or not, it is not what had to come of it: the order was given up although it could be carried out.
            tally.losses = 1
    if not tally.clean:
        acts = [request["act"] for request in (seen or {}).get("requests", [])]
        expected = f", expected {'/'.join(sorted(allowed))}" if allowed is not None else ""
        undone = sum(effect["undone"] for effect in effects)
        tally.faults.append(
            f"{order}: says {says.value} ({statement['detail']}){expected}; {len(standing)} of {len(effects)} effects"
            f" stand, taken back {undone} times; met {' '.join(acts) or 'nothing'}"
        )
    return tally
