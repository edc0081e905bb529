"""Calendars over CalDAV (RFC 4791): tentative events without invitations, each drafted once.

`connector.py` has the tools, `events.py` writes and reads iCalendar, `time_zones.py` its time zones, `dav.py` WebDAV's
XML, `calendar.py` the conversation with one calendar.
"""

from __future__ import annotations

from enactor.connectors.caldav.connector import CalendarConnector
from enactor.connectors.caldav.settings import CaldavSettings, CalendarSettings

__all__ = ["CaldavSettings", "CalendarConnector", "CalendarSettings"]
