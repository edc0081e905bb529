"""The oracle: what an honest executor can say of an order, given what the tool promises and what happened.

It decides from the world's record and from the journal of the killed processes, never from what Enactor recorded. It
makes IN_DOUBT a result that can be wrong: where a promise of the tool leaves a way to know, not knowing is a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from killpoints.combinations import UNDO_KINDS
from killpoints.judge import Says

_UNCLEAR = frozenset({"drop", "late", "lose", "hang", "500-after", "500-before"})
"""Acts after which the caller cannot know, from the reply, whether it was done."""

_PERMITTED = ("commit(TakePermit) after", "killed")
_SETTLED = ("commit(TakePermit) after", "commit(SettlePermit) after")

BLIND = "blind-look-ups"
"""Where a program lists the orders of which a look-up broke off: they cannot tell, and leave a doubt for a person."""

BROKEN = "broken-calls"
"""Where a program lists the calls that came to no answer, each a line: the order, and the name of the call."""

_SILENT = frozenset({"drop", "late", "lose", "hang"})
"""Acts that leave a caller without an answer. A call that has none, and met none of them, broke off by itself."""

_FOR_GOOD = frozenset({"refused", "revoked", "burnt"})


def unclear_calls(journal: Sequence[str]) -> tuple[bool, bool]:
    """Whether a process died between a call's durable permit and its durable result: of the first call, of a later one.

    Where half of the effect was done, the first call is that one, and what follows takes it back.

    Args:
        journal: the fault points that were reached, of all lives in turn, with a line `killed` after each that was.
    """
    first = later = opened = False
    settled = 0
    for line in journal:
        if line == "killed":
            first, later = first or (opened and not settled), later or (opened and settled > 0)
            opened = False
        elif line.startswith("commit(") and line.endswith(" after"):
            settled += "SettlePermit" in line and opened
            opened = "TakePermit" in line or (opened and "SettlePermit" not in line)
    return first, later


def possible(journal: Sequence[str]) -> list[list[str]]:
    """What may have been durable: a commit that was under way when the process was killed elsewhere may be, or not.

    The ledger's log is written beside the runs, and shares their commits: killed just after its own, a process may have
    committed what a run had not heard of yet.
    """
    found: list[list[str]] = [[]]
    life: list[str] = []
    for line in [*journal, ""]:
        if line not in ("killed", ""):
            life.append(line)
            continue
        lives = [life]
        if line == "killed" and (under_way := _under_way(life)):
            lives.append([*life, *under_way])
        end = [line] if line else []
        found = [[*before, *each, *end] for before in found for each in lives]
        life = []
    return found


def _under_way(life: Sequence[str]) -> list[str]:
    """The commits that a life had begun and not heard of, as if done; not the one it was killed before."""
    begun: Counter[str] = Counter()
    for line in life[:-1]:
        if line.startswith("commit("):
            commit, side = line.rsplit(" ", 1)
            begun[commit] += 1 if side == "before" else -1
    if life and life[-1].endswith(" after"):
        begun[life[-1].rsplit(" ", 1)[0]] -= 1
    return [f"{commit} after" for commit, count in begun.items() if count > 0]


def allowed(
    kind: str,
    seen: dict[str, Any],
    journal: Sequence[str],
    *,
    forgotten: bool = False,
    overslept: bool = False,
    changes: bool = False,
) -> frozenset[Says]:
    """What may be said of an order.

    Args:
        kind: the tool.
        seen: what the world has seen of the order.
        journal: see `unclear_calls`.
        forgotten: the process was away for longer than the world honours keys.
        overslept: the process was paused in the middle of a call, so that it may have missed the reply or not.
        changes: somebody changed what it is about, after it was read for the first time.
    """
    if kind in UNDO_KINDS:
        return _undone(kind, seen, journal, overslept=overslept)
    if changes and _was_read_once(journal):
        # What was approved is not there any more; nothing may be called.
        return frozenset({Says.NOT_DONE})
    if overslept:
        awake = allowed(kind, seen, journal, forgotten=forgotten)
        return awake | allowed(kind, seen, [*_PERMITTED, *journal]) | allowed(kind, seen, [*_SETTLED, *_PERMITTED])
    requests = seen.get("requests", [])
    acts = [request["act"] for request in requests if request["purpose"] == "effect"]
    undo_acts = [request["act"] for request in requests if request["purpose"] == "undo"]
    stands = any(not effect["undone"] for effect in seen.get("effects", []))
    died, died_undoing = unclear_calls(journal)
    refused = any(act in _FOR_GOOD for act in acts)
    if kind.startswith("partial") and ("partial" in acts or undo_acts):
        return _taken_back(kind, undo_acts, died_undoing)
    unclear = died or died_undoing or any(act in _UNCLEAR for act in acts)
    if not unclear:
        return frozenset({Says.NOT_DONE if refused else Says.DONE})
    match kind:
        case "unsafe":
            return frozenset({Says.UNKNOWN})
        case "never_final":
            return frozenset({Says.DONE if stands else Says.UNKNOWN})
        case "searched" | "briefly_searched":
            return frozenset({Says.NOT_DONE if refused and not stands else Says.DONE})
        case "briefly" if forgotten and _was_calling(journal):
            return frozenset({Says.UNKNOWN})
        case _:
            # The key is honoured: asking again tells, unless nothing is answered any more.
            return frozenset({Says.UNKNOWN if refused else Says.DONE})


def _was_calling(journal: Sequence[str]) -> bool:
    """Whether the first process that was killed had begun to call, and had not come to an end."""
    life = list(journal)[: list(journal).index("killed")] if "killed" in journal else []
    called = any("TakePermit" in line and line.endswith(" after") for line in life)
    return called and not any("RecordOutcome" in line and line.endswith(" after") for line in life)


def _taken_back(kind: str, undo_acts: Sequence[str], died: bool) -> frozenset[Says]:
    """What may be said where half of it was done."""
    unclear = died or any(act in _UNCLEAR for act in undo_acts)
    refused = any(act in _FOR_GOOD for act in undo_acts)
    if kind == "partial_unsafe" and unclear:
        return frozenset({Says.UNKNOWN})
    if refused:
        return frozenset({Says.UNKNOWN if unclear else Says.PARTLY})
    return frozenset({Says.TAKEN_BACK})


def _undone(kind: str, seen: dict[str, Any], journal: Sequence[str], *, overslept: bool) -> frozenset[Says]:
    """What may be said where it is done, whatever happens, and then a person has it taken back."""
    acts = [request["act"] for request in seen.get("requests", []) if request["purpose"] == "undo"]
    created = [at for at, line in enumerate(journal) if "CreateIntent" in line and line.endswith(" after")]
    died = len(created) > 1 and any(unclear_calls(journal[created[1] :]))
    unclear = died or any(act in _UNCLEAR for act in acts)
    refused = any(act in _FOR_GOOD for act in acts)
    if unclear and (refused or kind == "reversible_unsafe"):
        honest = frozenset({Says.UNKNOWN})
    else:
        honest = frozenset({Says.DONE if refused else Says.TAKEN_BACK})
    # Whoever slept in the middle of a call that takes it back may have missed the reply.
    return honest | {Says.UNKNOWN} if overslept and kind == "reversible_unsafe" else honest


def _was_read_once(journal: Sequence[str]) -> bool:
    """Whether what the approved intent shows was read the first time that the target was read at all."""
    created = next((at for at, line in enumerate(journal) if "CreateIntent" in line and line.endswith(" after")), 0)
    return sum(line.startswith("preview ") and line.endswith(" after") for line in journal[:created]) == 1


def broken_off(folder: Path, order: str, kind: str, honest: frozenset[Says], seen: dict[str, Any]) -> frozenset[Says]:
    """What may be said as well where a call of the order broke off although the world did not make it.

    On a busy machine a call can time out that met nothing, or met an answer that came too late for it. Then it may not
    be known, and when no further attempt is left, what was not done is given up, and what was half done stands.
    """
    file = folder / BROKEN
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    silent = {request["call"] for request in seen.get("requests", []) if request["act"] in _SILENT}
    if all(call in silent for each, call in lines if each == order):
        return honest
    effects = seen.get("effects", [])
    standing = [effect for effect in effects if not effect["undone"]]
    if kind in UNDO_KINDS and standing:
        # No attempt was left to take it back, and so it stands.
        return honest | {Says.UNKNOWN, Says.DONE}
    if not standing:
        return honest | {Says.UNKNOWN} | (frozenset() if effects else {Says.NOT_DONE})
    return honest | {Says.UNKNOWN} | ({Says.PARTLY} if standing[0]["partial"] else frozenset())


def blinded(folder: Path, order: str, honest: frozenset[Says], seen: dict[str, Any]) -> frozenset[Says]:
    """What may be said as well where a look-up of the order broke off: that it is not known, or later not done."""
    file = folder / BLIND
    if not file.exists() or order not in file.read_text().split():
        return honest
    stands = any(not effect["undone"] for effect in seen.get("effects", []))
    return honest | {Says.UNKNOWN} | (frozenset() if stands else {Says.NOT_DONE})
