"""Budgets: how many executions a tenant may start in a window of time."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

ANY_ACTION_TYPE: Final = "*"


class Budget(Struct, frozen=True, kw_only=True):
    """At most `max_executions` runs of `action_type` (or `*`, of any) start in each window of `window_seconds`."""

    tenant_id: str
    action_type: str
    window_seconds: int
    max_executions: int
    set_by: str
    set_at: str


def window_start(budget: Budget, now_ms: int) -> int:
    """When the current fixed window began, in seconds since the epoch."""
    seconds = now_ms // 1000
    return seconds - seconds % budget.window_seconds
