"""What is combined in the matrix: the promise of a tool, and what the world does with an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from killpoints.kinds import KINDS

SCRIPTS: dict[str, list[str]] = {
    "does it": [],
    "commits, drops the reply": ["drop"],
    "commits late": ["late"],
    "replies late": ["delay"],
    "500 after commit": ["500-after"],
    "500 before commit": ["500-before"],
    "loses the request": ["lose"],
    "401 after a timeout": ["hang", "revoked"],
    "busy, then drops the reply": ["busy", "drop"],
    "refuses": ["refused"],
}
UNDO_SCRIPTS: dict[str, list[str]] = {
    "undoes it": [],
    "undoes it, drops the reply": ["drop"],
    "undoes it late": ["late"],
    "500 after undoing it": ["500-after"],
    "500 before undoing it": ["500-before"],
    "loses the undo": ["lose"],
    "refuses to undo it": ["refused"],
}
FULL_KINDS = ("keyed", "briefly_searched", "searched", "never_final", "unsafe", "burning")
PARTIAL_KINDS = ("partial", "partial_unsafe")
UNDO_KINDS = ("reversible", "reversible_unsafe")
_PREVIEWED = ("does it", "commits, drops the reply", "commits late", "500 before commit", "loses the request")
_FORGOTTEN = ("does it", "commits, drops the reply", "loses the request")


@dataclass(frozen=True)
class Combination:
    """A promise, and what the world does.

    Attributes:
        forgotten: restarts come when the world has forgotten all keys.
        changes: somebody else changes the target after it was read for the first time.
    """

    kind: str
    behaviour: str
    effect: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    forgotten: bool = False
    changes: bool = False

    @property
    def is_undone(self) -> bool:
        """A person proposes to take the order's effect back once it is there."""
        return self.kind in UNDO_KINDS

    def plan(self) -> dict[str, Any]:
        """How the world treats an order of this combination."""
        return {**KINDS[self.kind], "effect": list(self.effect), "undo": list(self.undo), "changes": self.changes}


def lost(kind: str) -> Combination:
    """The world does it, and the reply is lost."""
    behaviour = "commits, drops the reply"
    return Combination(kind, behaviour, tuple(SCRIPTS[behaviour]))


def half(kind: str, behaviour: str) -> Combination:
    """Half of it is done, and taken back."""
    return Combination(kind, f"does half; {behaviour}", ("partial",), tuple(UNDO_SCRIPTS[behaviour]))


def undone(kind: str, behaviour: str) -> Combination:
    """It is done, and a person has it taken back."""
    return Combination(kind, f"does it; {behaviour}", undo=tuple(UNDO_SCRIPTS[behaviour]))


def combinations() -> list[Combination]:
    """Every combination of the full matrix."""
    effects = [Combination(k, b, tuple(acts)) for k in FULL_KINDS for b, acts in SCRIPTS.items()]
    halves = [half(kind, behaviour) for kind in PARTIAL_KINDS for behaviour in UNDO_SCRIPTS]
    undos = [undone(kind, behaviour) for kind in UNDO_KINDS for behaviour in UNDO_SCRIPTS]
    previewed = [Combination("previewed", b, tuple(SCRIPTS[b])) for b in _PREVIEWED]
    previewed.append(Combination("previewed", "is changed after it was read", changes=True))
    forgotten = [
        Combination(k, f"{b}; forgets keys", tuple(SCRIPTS[b]), forgotten=True)
        for k in ("briefly", "briefly_searched")
        for b in _FORGOTTEN
    ]
    return effects + halves + undos + previewed + forgotten


def in_recovery() -> list[Combination]:
    """Those whose recovery is killed too, at every one of its points."""
    effects = [Combination(k, b, tuple(SCRIPTS[b])) for k in FULL_KINDS for b in _FORGOTTEN]
    taken = ("undoes it", "undoes it, drops the reply")
    halves = [half(kind, behaviour) for kind in PARTIAL_KINDS for behaviour in taken]
    return effects + halves + [undone(kind, behaviour) for kind in UNDO_KINDS for behaviour in taken]


def of_the_order(points: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The points from where the order is proposed, or taken up again, on; what comes before is the same everywhere."""
    begin = next((at for at, (point, _) in enumerate(points) if "RegisterActionType" not in point), len(points))
    return list(points[begin:])


def of_the_undo(points: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The points from where the undo is proposed on: the look-up that reads back what it takes back."""
    created = [at for at, (point, _) in enumerate(points) if "CreateIntent" in point and point.endswith("before")]
    if len(created) < 2:
        return of_the_order(points)
    reading = [at for at, (point, _) in enumerate(points[: created[1]]) if point.startswith("look-up")]
    return list(points[reading[-2] if len(reading) > 1 else created[1] :])
