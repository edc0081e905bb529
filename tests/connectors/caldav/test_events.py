"""What is written: one tentative event that invites nobody, at the time that was meant."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import vobject
from dateutil.tz import tzical
from icalendar import Calendar, Event
from pydantic import ValidationError

from enactor.connectors.caldav.arguments import DraftEvent
from enactor.connectors.caldav.events import uid_in, uid_of, written
from enactor.connectors.caldav.time_zones import spelled_out
from tests.connectors.caldav.rig import MEETING

VIENNA = ZoneInfo("Europe/Vienna")
NOW_MS = 1_780_000_000_000
DAYS = {"title": "Fair", "start": "2026-06-01"}

TIMES: list[tuple[dict[str, Any], Any, Any]] = [
    ({}, datetime(2026, 6, 1, 9, 30, tzinfo=VIENNA), datetime(2026, 6, 1, 10, 15, tzinfo=VIENNA)),
    (
        {"start": "2026-06-01T09:30Z", "end": "2026-06-01T12:00:30+02:00", "time_zone": None},
        datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
        datetime(2026, 6, 1, 10, 0, 30, tzinfo=UTC),
    ),
    (
        {"start": "2026-06-01T09:30Z", "end": "2026-06-01T10:30Z"},
        datetime(2026, 6, 1, 11, 30, tzinfo=VIENNA),
        datetime(2026, 6, 1, 12, 30, tzinfo=VIENNA),
    ),
    (
        {"time_zone": "UTC"},
        datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
        datetime(2026, 6, 1, 10, 15, tzinfo=UTC),
    ),
    ({"start": "2026-06-01", "end": None, "time_zone": None}, date(2026, 6, 1), date(2026, 6, 2)),
    ({"start": "2026-06-01", "end": "2026-06-03", "time_zone": None}, date(2026, 6, 1), date(2026, 6, 4)),
    # The time that happens twice is its first occurrence; the event is an hour and a half long.
    (
        {"start": "2026-10-25T02:30", "end": "2026-10-25T03:00"},
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(VIENNA),
        datetime(2026, 10, 25, 2, 0, tzinfo=UTC).astimezone(VIENNA),
    ),
    # Its second occurrence can only be written in UTC.
    (
        {"start": "2026-10-25T02:30+01:00", "end": "2026-10-25T04:00"},
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 4, 0, tzinfo=VIENNA),
    ),
]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"title": "two\nlines"}, "title"),
    ({"title": "  "}, "title"),
    ({"title": "bell\x07"}, "title"),
    ({"description": "x\x00"}, "description"),
    ({"location": "a\rATTENDEE:mailto:eve@example.com"}, "location"),
    ({"attendees": ["Ana\nATTENDEE:mailto:eve@example.com"]}, "attendees"),
    ({"start": "tomorrow"}, "start"),
    ({"start": "2026-13-01T09:30"}, "start"),
    ({"start": "2026-06-01T09:30:00.5"}, "start"),
    ({"start": "0001-01-01T00:00Z"}, "start"),
    ({"end": "2026-06-01T09:30"}, "end must be after start"),
    ({"end": "2026-05-01T09:30"}, "end must be after start"),
    ({"end": "2028-06-01T09:30"}, "longer than a year"),
    ({"end": None}, "end is needed"),
    ({"end": "2026-06-02"}, "end must be written"),
    ({"time_zone": None}, "time_zone is needed"),
    ({"time_zone": "Europe/Atlantis"}, "not the name of a time zone"),
    ({"time_zone": "../../etc/passwd"}, "not the name of a time zone"),
    ({"time_zone": "/etc/localtime"}, "not the name of a time zone"),
    ({"start": "2026-03-29T02:30", "end": "2026-03-29T05:00"}, "does not exist in Europe/Vienna"),
    ({"start": "2026-06-01", "end": "2026-06-02"}, "leave time_zone out"),
    ({"start": "2026-06-02", "end": "2026-06-01", "time_zone": None}, "end must be after start"),
    ({"start": "2026-02-30", "end": None, "time_zone": None}, "start must be a day"),
]


def event_of(content: bytes) -> Event:
    """The one event of a calendar object."""
    (event,) = Calendar.from_ical(content).walk("VEVENT")
    return event


@pytest.mark.parametrize(("changes", "start", "end"), TIMES)
def test_times(changes: dict[str, Any], start: Any, end: Any) -> None:
    """On a wall, with an offset, in UTC, whole days: the event begins and ends when it was meant to."""
    event = event_of(written(DraftEvent(**{**MEETING, **changes}), "uid", NOW_MS))
    found = event["dtstart"].dt, event["dtend"].dt
    assert [type(one) for one in found] == [type(start), type(end)]
    if isinstance(start, datetime):
        assert [one.timestamp() for one in found] == [start.timestamp(), end.timestamp()]
        assert [str(one.tzinfo) for one in found] == [str(start.tzinfo), str(end.tzinfo)]
    else:
        assert found == (start, end)


@pytest.mark.parametrize(("changes", "says"), WRONG)
def test_wrong_arguments(changes: dict[str, Any], says: str) -> None:
    """What a calendar cannot hold, or what names no time, is refused; the error says which argument."""
    with pytest.raises(ValidationError) as wrong:
        DraftEvent(**{**MEETING, **changes})
    (error,) = wrong.value.errors()
    assert says in f"{error['loc']} {error['msg']}"


def test_nobody_is_invited() -> None:
    """No organizer, no attendees, no method; names are text. Two other programs read it the same way."""
    content = written(DraftEvent(**MEETING), "some-uid", NOW_MS)
    event = event_of(content)
    assert (str(event["status"]), str(event["uid"])) == ("TENTATIVE", "some-uid")
    assert "With: Ana Prieto, Ben Okri" in event["description"]
    assert not {"ORGANIZER", "ATTENDEE"} & set(event)
    assert b"\nMETHOD" not in content
    other = vobject.readOne(content.decode())
    assert other.vevent.summary.value == event["summary"] == MEETING["title"]
    assert other.vevent.description.value == str(event["description"])
    assert other.vevent.dtstart.value.utctimetuple() == event["dtstart"].dt.utctimetuple()
    assert max(len(line) for line in content.split(b"\r\n")) <= 75


def test_text_stays_text() -> None:
    """A description that looks like iCalendar adds nothing to the event."""
    text = "x\nATTENDEE:mailto:eve@example.com\nEND:VEVENT\nBEGIN:VEVENT"
    event = event_of(written(DraftEvent(**{**DAYS, "description": text}), "uid", NOW_MS))
    assert str(event["description"]) == text
    assert "ATTENDEE" not in event


@pytest.mark.parametrize(
    "name", ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"]
)
def test_time_zones_are_spelled_out(name: str) -> None:
    """A reader that knows no time zones finds the same offsets in the VTIMEZONE, around every change too."""
    zone = ZoneInfo(name)
    start = datetime(2026, 6, 1, 9, tzinfo=zone)
    calendar = Calendar()
    calendar.add("prodid", "x")
    calendar.add("version", "2.0")
    calendar.add_component(spelled_out(zone, start, start + timedelta(hours=1)))
    read = tzical(io.StringIO(calendar.to_ical().decode())).get(name)
    wall = datetime(2025, 6, 1)  # noqa: DTZ001 - on the wall
    for hours in range(0, 2 * 365 * 24, 5):
        at = wall + timedelta(hours=hours)
        assert at.replace(tzinfo=read).utcoffset() == at.replace(tzinfo=zone).utcoffset(), at


def test_uids() -> None:
    """Another tenant, account or key is another UID; what is no calendar object has none."""
    uids = {uid_of(*parts) for parts in (("a", "b", "k"), ("a", "c", "k"), ("ab", "", "k"), ("a", "b", "l"))}
    assert len(uids) == 4
    content = written(DraftEvent(**DAYS), "one", NOW_MS)
    assert uid_in(content) == "one"
    two = content.replace(b"END:VCALENDAR", b"BEGIN:VEVENT\r\nUID:two\r\nEND:VEVENT\r\nEND:VCALENDAR")
    for bad in (b"", b"\xff\xfe", b"BEGIN:VCALENDAR", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", two, b"<html>"):
        assert uid_in(bad) is None
