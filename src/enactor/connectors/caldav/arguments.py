"""What the calendar tool takes, and the instants that it means."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?")
_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_LONGEST: Final = timedelta(days=366)
_YEARS: Final = range(1980, 2100)
_WHEN: Final = "2026-06-01T09:30 on the wall of time_zone, 2026-06-01T09:30:00+02:00, or 2026-06-01 for whole days"


def _writable(text: str) -> str:
    """RFC 5545, section 3.1: text holds no control characters but tabs and line breaks."""
    if _UNWRITABLE.search(text):
        raise ValueError("has control characters, which a calendar cannot hold")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or not text.strip():
        raise ValueError("must be one line with something in it")
    return _writable(text)


Line = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_writable)]


class Span(Struct, frozen=True):
    """When an event is: two instants, or two days of which the second is the first one after it.

    Attributes:
        start: an instant with its zone, or a day.
        end: of the same kind, later.
    """

    start: datetime | date
    end: datetime | date


class DraftEvent(BaseModel):
    """A tentative event in the account's calendar. Nobody is invited."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: Line = Field(min_length=1, max_length=255, description="What it is, in one line.")
    start: str = Field(max_length=40, description=f"When it begins: {_WHEN}.")
    end: str | None = Field(
        default=None,
        max_length=40,
        description="When it ends, written like start; for whole days the last one, which is start without it.",
    )
    time_zone: str | None = Field(
        default=None,
        max_length=64,
        description="The IANA name of the time zone, such as Europe/Vienna. Needed for times without an offset.",
    )
    description: Text = Field(default="", max_length=20_000, description="Whatever helps; plain text.")
    location: Text = Field(default="", max_length=500, description="Where it is.")
    attendees: list[Annotated[Line, Field(max_length=200)]] = Field(
        default=[], max_length=50, description="Who should take part. They are named in the text, and not invited."
    )

    @model_validator(mode="after")
    def _a_span(self) -> DraftEvent:
        self.span()
        return self

    def span(self) -> Span:
        """When the event is. Raises `ValueError` where the arguments name no such time; the message is for people."""
        if _DAY.fullmatch(self.start):
            return self._days()
        if self.end is None:
            raise ValueError("end is needed, unless start is a day")
        zone = None if self.time_zone is None else _zone(self.time_zone)
        start, end = _instant(self.start, "start", zone), _instant(self.end, "end", zone)
        # Two times of one zone are compared as they stand on its wall; instants are what counts.
        _check_length(start.timestamp() < end.timestamp(), end - start)
        return Span(start, end)

    def _days(self) -> Span:
        if self.time_zone is not None:
            raise ValueError("whole days are the same in every time zone: leave time_zone out")
        start = _day(self.start, "start")
        last = start if self.end is None else _day(self.end, "end")
        _check_length(start <= last, last - start)
        return Span(start, last + timedelta(days=1))


def _check_length(in_order: bool, length: timedelta) -> None:
    if not in_order:
        raise ValueError("end must be after start")
    if length > _LONGEST:
        raise ValueError("it would last longer than a year")


def _day(text: str, what: str) -> date:
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise ValueError(f"{what} must be a day like start, such as 2026-06-01")
    return day


def _instant(text: str, what: str, zone: ZoneInfo | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise ValueError(f"{what} must be written as {_WHEN}")
    if moment.tzinfo is not None:
        local = moment.astimezone(zone or UTC)
        # The second occurrence of a time that happens twice cannot be written on the wall of its zone.
        return moment.astimezone(UTC) if local.fold else local
    if zone is None:
        raise ValueError(f"{what} has no offset, so time_zone is needed")
    # A time that happens twice is its first occurrence (RFC 5545, section 3.3.5), which is what fold=0 means.
    moment = moment.replace(tzinfo=zone)
    if moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
        raise ValueError(f"{what} does not exist in {zone.key}: the clocks are put forward over it")
    return moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("time_zone is not the name of a time zone, such as Europe/Vienna") from None
