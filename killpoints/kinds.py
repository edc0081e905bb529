"""The kinds of tools that are put to the proof: what the world promises for each, and keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from killpoints.world import LATE_SECONDS

TIMEOUT_SECONDS = 1
"""How long a caller waits for a reply, of an order for which the world may never give one."""

PATIENT_TIMEOUT_SECONDS = 30
"""The same where the world always answers or hangs up: longer than any load delays that, and nobody waits for it."""

MAX_PAUSE_MS = 60_000
"""The longest pause between a caller's check and its send that is assumed possible: far more than the kit makes."""

BRIEF_PAUSE_MS = 3_000
"""The same where keys are soon forgotten and nobody is paused: a key is not relied on when a pause could outlast it."""

CALL_WINDOW_MS = 30_000
"""How long after its permit a call may be sent: longer than any load delays it, where nobody waits for its end."""

WAITED_WINDOW_MS = 1_000
"""The same where somebody does: a process is paused for longer, or an absence is final only after it.

A call that load keeps back is only permitted anew, far more often than that can happen to one order.
"""

LOADED_WINDOW_MS = 5_000
"""The same where a process has many orders at once, some of which wait for its end."""

ABSENCE_FINAL_AFTER_SECONDS = 2
"""How long after the last possible send nothing lands any more; the world's late effects land earlier."""

KEY_RETENTION_SECONDS = 60
"""For how long the world honours a key, where it does so only for a while. It is told to let the time pass."""

assert TIMEOUT_SECONDS < LATE_SECONDS < ABSENCE_FINAL_AFTER_SECONDS
assert CALL_WINDOW_MS + BRIEF_PAUSE_MS < KEY_RETENTION_SECONDS * 1_000

_DAY = 86_400

KINDS: dict[str, dict[str, Any]] = {
    "keyed": {"keys": _DAY},
    "briefly": {"keys": KEY_RETENTION_SECONDS},
    "briefly_searched": {"keys": KEY_RETENTION_SECONDS, "look_up": True},
    "searched": {"look_up": True},
    "never_final": {"look_up": True},
    "unsafe": {},
    "burning": {"keys": _DAY, "burns": True},
    "partial": {"keys": _DAY, "undo_keys": True},
    "partial_unsafe": {"keys": _DAY},
    "reversible": {"look_up": True, "undo_keys": True},
    "reversible_unsafe": {"look_up": True},
    "previewed": {"keys": _DAY},
}
"""By kind, how the world treats it."""


def call_window_ms(kind: str, *, paused: bool) -> int:
    """How long after its permit the call of a process with one order may be sent."""
    return WAITED_WINDOW_MS if paused or KINDS[kind].get("look_up") else CALL_WINDOW_MS


_NO_REPLY = frozenset({"late", "hang"})


def an_order(order: str, kind: str, acts: Iterable[str]) -> dict[str, Any]:
    """An order as a plan has it.

    Args:
        acts: what the world is going to do with it; a caller is impatient only where it has to be.
    """
    impatient = not _NO_REPLY.isdisjoint(acts)
    return {"order": order, "kind": kind, "timeout": TIMEOUT_SECONDS if impatient else PATIENT_TIMEOUT_SECONDS}
