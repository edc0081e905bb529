"""What would keep the calendar tool from working: looked at, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enactor.connectors.caldav.calendar import RemoteCalendar
from enactor.connectors.caldav.dav import Found
from enactor.connectors.context import Check
from enactor.connectors.sdk import Refused

_ALL: Final = frozenset({"all", "write"})
_NEEDED: Final = {"bind": "make", "unbind": "delete", "write-content": "write"}


async def examine(calendar: RemoteCalendar) -> list[Check]:
    """Every check of a calendar: it is there, is one, takes events, and is ours to write."""
    url = calendar.settings.url
    try:
        found = await calendar.looked_at()
    except Refused as refused:
        return [Check(False, f"{url}: {refused.message}", "check address, credentials and networks")]
    if found is None:
        return [Check(False, f"{url}: there is no such calendar", "make it, or correct url")]
    return list(_seen(found, url))


def _seen(found: Found, url: str) -> Iterator[Check]:
    if not found.is_calendar:
        yield Check(False, f"{url}: that is no calendar", "name the calendar collection itself, not its owner's home")
        return
    if not found.takes_events:
        yield Check(False, f"{url}: the calendar takes no events", "name one that takes VEVENT")
        return
    privileges = found.privileges
    if privileges is None:
        text = f"{url}: a calendar; the server does not say whether we may write to it"
        yield Check(False, text, "try it with an event", blocks=False)
    elif missing := [] if privileges & _ALL else [verb for name, verb in _NEEDED.items() if name not in privileges]:
        yield Check(False, f"{url}: we may not {', '.join(missing)} events there", "share it with the right to write")
    else:
        yield Check(True, f"{url}: a calendar that we may write to")
