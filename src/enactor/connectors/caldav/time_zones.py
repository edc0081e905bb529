"""Time zones as iCalendar wants them: spelled out for the time in which an event is (RFC 5545, section 3.6.5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from icalendar import Timezone, TimezoneDaylight, TimezoneStandard

_AROUND: Final = timedelta(days=400)
_BEGINNING: Final = datetime.fromisoformat("1970-01-01")
_STEP: Final = timedelta(hours=12)


def spelled_out(zone: ZoneInfo, start: datetime, end: datetime) -> Timezone:
    """The VTIMEZONE of a zone, right for every instant from a year before `start` to a year after `end`.

    Each onset is written as RFC 5545 has it: on the wall as it was before the change. (`icalendar` can make a VTIMEZONE
    too, but writes the onset of summer time as it is after the change, which is an hour late.)
    """
    from icalendar import Timezone

    first = (start - _AROUND).astimezone(UTC)
    last = (end + _AROUND).astimezone(UTC)
    component = Timezone()
    component.add("tzid", zone.key)
    component.add_component(_observance(zone, first, _BEGINNING, first))
    for change in _changes(zone, first, last):
        before = change - timedelta(seconds=1)
        on_the_wall = (change + _offset(zone, before)).replace(tzinfo=None)
        component.add_component(_observance(zone, change, on_the_wall, before))
    return component


def _observance(zone: ZoneInfo, at: datetime, onset: datetime, before: datetime) -> TimezoneDaylight | TimezoneStandard:
    from icalendar import TimezoneDaylight, TimezoneStandard

    local = at.astimezone(zone)
    part = TimezoneDaylight() if local.dst() else TimezoneStandard()
    part.add("dtstart", onset)
    part.add("tzoffsetfrom", _offset(zone, before))
    part.add("tzoffsetto", _offset(zone, at))
    part.add("tzname", local.tzname() or zone.key)
    return part


def _changes(zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """The instants, in UTC, from which the zone has another offset than the second before."""
    at = first
    while at < last:
        after = at + _STEP
        if _offset(zone, at) != _offset(zone, after):
            yield _bisected(zone, at, after)
        at = after


def _bisected(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    seconds = round((after - before).total_seconds())
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + timedelta(seconds=middle)) == _offset(zone, before):
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
