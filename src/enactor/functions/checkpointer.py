"""The checkpointer: merges accounts' chains into their tenants' logs, signs what has grown, and tells how late it is.

Any number of them may run at once, and one may end at any point: each step is conditional on the head it began from.
What is published is a ledger entry like any other, so the publisher carries it to the bus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from enactor.domain.errors import Unavailable
from enactor.functions.clients import Bus
from enactor.functions.composition import Parts, no_tools, parts
from enactor.functions.runtime import count, handler

if TYPE_CHECKING:
    from enactor.service.keeper import LedgerKeeper

UNMERGED_SECONDS: Final = "UnmergedSeconds"
"""The metric of the alarm: the age of the oldest entry that is in no log after a round."""

_kept: dict[str, LedgerKeeper] = {}


def keeper_of(made: Parts) -> LedgerKeeper:
    """The keeper of all tenants' logs, without its background work."""
    from enactor.engines.stepfunctions.trigger import ApprovalTrigger
    from enactor.functions.services import core_of, log_options
    from enactor.service.keeper import LedgerKeeper
    from enactor.service.log import TenantLog

    engine = ApprovalTrigger(Bus(made.environment.event_bus), made.store, made.stepper(no_tools()))
    return LedgerKeeper(TenantLog(core_of(made, engine), log_options(made)), made.store, made.clock)


async def checkpoint_all(keeper: LedgerKeeper, prefix: str) -> dict[str, int]:
    """One round, with its metrics.

    Raises:
        Unavailable: merging or signing failed; the log says why. The metrics are written first.
    """
    before = keeper.status()
    after = await keeper.round()
    published, failed = after.checkpoints - before.checkpoints, after.failures - before.failures
    metrics = {"CheckpointsPublished": published, "CheckpointFailures": failed}
    count({**metrics, UNMERGED_SECONDS: round(after.unmerged_seconds)}, prefix)
    if failed:
        raise Unavailable(after.error)
    return {"checkpoints": published, "unmerged_seconds": round(after.unmerged_seconds)}


async def _checkpoint(event: Any, context: Any) -> dict[str, int]:
    made = await parts()
    if "keeper" not in _kept:
        _kept["keeper"] = keeper_of(made)
    return await checkpoint_all(_kept["keeper"], made.environment.prefix)


checkpoint = handler(_checkpoint)
