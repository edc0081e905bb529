"""The publisher: puts the ledger's events on the bus, in order and at least once. They hold ids, and no parameters.

The ledger is the outbox: what was committed is there, and how far the bus has come is kept beside it. Approvals are
left out, because the API has announced them itself and the sweeper starts those that were lost.
"""

from __future__ import annotations

from typing import Any, Final

from enactor.domain.errors import Unavailable
from enactor.domain.event import cloud_event
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.functions.clients import ENTRIES_AT_ONCE, Bus
from enactor.functions.composition import Parts, parts
from enactor.functions.runtime import count, handler, milliseconds_left

CURSOR: Final = "eventbridge"
_ENOUGH_MS: Final = 20_000
"""Nothing new is begun with less time than this left."""
_PAGE: Final = 50
"""Five puts; how far they came is kept after each page."""


async def publish_from(made: Parts, bus: Bus, context: Any) -> int:
    """Publishes until nothing is left or the time is up. Returns how many events.

    Raises:
        Unavailable: the bus takes no more now; the next time goes on where this one stopped.
    """
    position = await made.store.delivery_cursor(CURSOR)
    published = 0
    while milliseconds_left(context) > _ENOUGH_MS:
        entries = await made.store.entries_after(position, _PAGE)
        if not entries:
            break
        wanted = [entry for entry in entries if entry.event_type is not LedgerEvent.ACTION_APPROVED]
        for at in range(0, len(wanted), ENTRIES_AT_ONCE):
            batch = wanted[at : at + ENTRIES_AT_ONCE]
            refused = await bus.put([(entry.event_type.value, _detail(entry)) for entry in batch])
            if refused:
                # Those behind the first refused one come again: at least once, and in order.
                before = [entry.position for entry in entries if entry.position < batch[refused[0]].position]
                await made.store.move_delivery_cursor(CURSOR, max([position, *before]))
                raise Unavailable("The event bus did not take every event.")
            published += len(batch)
        position = entries[-1].position
        await made.store.move_delivery_cursor(CURSOR, position)
    return published


def _detail(entry: LedgerEntry) -> dict[str, Any]:
    event: dict[str, Any] = cloud_event(entry)
    return event


async def _publish(event: Any, context: Any) -> dict[str, int]:
    made = await parts()
    published = await publish_from(made, Bus(made.environment.event_bus), context)
    count({"EventsPublished": published}, made.environment.prefix)
    return {"published": published}


publish = handler(_publish)
