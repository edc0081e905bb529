"""Events as iCalendar objects (RFC 5545), and the UID that says which key of ours made one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from enactor.connectors.caldav.arguments import DraftEvent
from enactor.connectors.caldav.time_zones import spelled_out
from enactor.domain.canonical import digest

MEDIA_TYPE: Final = "text/calendar; charset=utf-8"
_PRODUCT: Final = "-//Enactor//Enactor//EN"


def uid_of(tenant_id: str, account_id: str, key: str) -> str:
    """The UID of the event that a key makes for an account.

    Tenant and account are in it, so what a key made for one account is nothing that another account can find.
    """
    return f"enactor-{digest(['enactor/caldav/v1', tenant_id, account_id, key])}"


def written(args: DraftEvent, uid: str, now_ms: int) -> bytes:
    """The calendar object of one tentative event. It has no organizer and no attendees, so nobody is invited.

    Raises:
        ValueError: the arguments name no time; see `DraftEvent.span`.
    """
    from icalendar import Calendar, Event

    span = args.span()
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    event = Event()
    event.add("uid", uid)
    event.add("dtstamp", now)
    event.add("created", now)
    event.add("dtstart", span.start)
    event.add("dtend", span.end)
    event.add("summary", args.title)
    event.add("status", "TENTATIVE")
    if description := _description(args):
        event.add("description", description)
    if args.location:
        event.add("location", args.location)
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    if isinstance(span.start, datetime) and isinstance(span.end, datetime):
        zones = (span.start.tzinfo, span.end.tzinfo)
        zone = next((zone for zone in zones if isinstance(zone, ZoneInfo) and zone.key != "UTC"), None)
        if zone is not None:
            calendar.add_component(spelled_out(zone, span.start, span.end))
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def uid_in(content: bytes | str) -> str | None:
    """The UID of the events in a calendar object; None when it cannot be read, or holds no single UID."""
    from icalendar import Calendar

    try:
        uids = {str(event["uid"]) for event in Calendar.from_ical(content).walk("VEVENT")}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return uids.pop() if len(uids) == 1 else None


def _description(args: DraftEvent) -> str:
    named = f"With: {', '.join(args.attendees)}" if args.attendees else ""
    return "\n\n".join(part for part in (args.description, named) if part)
