"""CompensateAction: undoes a partial effect with the pinned tool, through the same door, under its own key."""

from __future__ import annotations

from enactor.domain.attempt import Phase
from enactor.pipeline.invoke import invoke_tool
from enactor.pipeline.model import Context, Duplicate, Reads, Run, Turn


def compensate_action(run: Run, reads: Reads, ctx: Context) -> Turn:
    """Calls the compensating tool, if the run has a partial effect to take back.

    An effect that is UNKNOWN never comes here: only a tool's own word that it did part of it does.
    """
    if run.lock.phase is not Phase.COMPENSATION:
        return Duplicate(run=run, reason="nothing to take back")
    return invoke_tool(run, reads, ctx)
