"""The sweeper: takes up runs that nobody looks after any more, and expires what was never decided or never started."""

from __future__ import annotations

from typing import Any, Final

from enactor.functions.composition import Parts, parts
from enactor.functions.runtime import count, handler

_EXPIRED_AT_ONCE: Final = 200


async def _sweep(event: Any, context: Any) -> dict[str, int]:
    made = await parts()
    taken_up = await made.engine().sweep()
    expired = await _expire(made)
    count({"RunsTakenUp": taken_up, "IntentsExpired": expired}, made.environment.prefix)
    return {"taken_up": taken_up, "expired": expired}


async def _expire(made: Parts) -> int:
    from enactor.functions.services import core_of
    from enactor.service import Service

    return await Service(core_of(made, made.engine()), made.context).decisions.expire_due(_EXPIRED_AT_ONCE)


sweep = handler(_sweep)
