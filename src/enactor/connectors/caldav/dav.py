"""WebDAV's XML (RFC 4918), as far as a calendar is searched and looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree import ElementTree as ET

from msgspec import Struct

_DAV: Final = "DAV:"
_CALDAV: Final = "urn:ietf:params:xml:ns:caldav"
_NAME: Final = re.compile(r"[a-z][a-z-]{0,60}")
_STATUS: Final = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})")

WHAT_IT_IS: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><D:displayname/>'
    b"<D:current-user-privilege-set/><C:supported-calendar-component-set/></D:prop></D:propfind>"
)
"""The body of a PROPFIND that asks what a resource is and what we may do with it."""


class Found(Struct, frozen=True):
    """One `response` of a multistatus.

    Attributes:
        href: as the server wrote it.
        status: of the whole resource; 200 when only its properties have one each.
        properties: those that are there, by `{namespace}name`.
    """

    href: str
    status: int
    properties: Mapping[str, ET.Element]

    def text(self, namespace: str, name: str) -> str:
        """The text of a property, or nothing."""
        element = self.properties.get(f"{{{namespace}}}{name}")
        return "" if element is None else (element.text or "").strip()

    @property
    def etag(self) -> str | None:
        """The resource's entity tag."""
        return self.text(_DAV, "getetag") or None

    @property
    def calendar_data(self) -> str:
        """The calendar object, in iCalendar."""
        return self.text(_CALDAV, "calendar-data")

    @property
    def name(self) -> str:
        """What people call it."""
        return self.text(_DAV, "displayname")

    @property
    def is_calendar(self) -> bool:
        """It is a collection of calendar objects (RFC 4791, section 4.2)."""
        kind = self.properties.get(f"{{{_DAV}}}resourcetype")
        return kind is not None and kind.find(f"{{{_CALDAV}}}calendar") is not None

    @property
    def takes_events(self) -> bool:
        """Events can be in it. A server that does not say takes every kind (RFC 4791, section 5.2.3)."""
        kinds = self.properties.get(f"{{{_CALDAV}}}supported-calendar-component-set")
        return kinds is None or any(kind.get("name", "").upper() == "VEVENT" for kind in kinds)

    @property
    def privileges(self) -> frozenset[str] | None:
        """What we may do with it (RFC 3744, section 5.4), or None when the server does not say."""
        granted = self.properties.get(f"{{{_DAV}}}current-user-privilege-set")
        if granted is None:
            return None
        return frozenset(one.tag.partition("}")[2] for privilege in granted for one in privilege)


def search_for(uid: str) -> bytes:
    """The body of a REPORT that finds the events whose UID contains `uid` (RFC 4791, section 7.8.6)."""
    ET.register_namespace("D", _DAV)
    ET.register_namespace("C", _CALDAV)
    query = ET.Element(f"{{{_CALDAV}}}calendar-query")
    wanted = ET.SubElement(query, f"{{{_DAV}}}prop")
    ET.SubElement(wanted, f"{{{_DAV}}}getetag")
    ET.SubElement(wanted, f"{{{_CALDAV}}}calendar-data")
    calendar = ET.SubElement(
        ET.SubElement(query, f"{{{_CALDAV}}}filter"), f"{{{_CALDAV}}}comp-filter", {"name": "VCALENDAR"}
    )
    event = ET.SubElement(calendar, f"{{{_CALDAV}}}comp-filter", {"name": "VEVENT"})
    field = ET.SubElement(event, f"{{{_CALDAV}}}prop-filter", {"name": "UID"})
    ET.SubElement(field, f"{{{_CALDAV}}}text-match", {"collation": "i;octet"}).text = uid
    return bytes(ET.tostring(query, encoding="utf-8", xml_declaration=True))


def multistatus(body: bytes) -> tuple[Found, ...]:
    """What a 207 answer says. Raises `ValueError` when it is none that can be read."""
    root = _parsed(body)
    if root.tag != f"{{{_DAV}}}multistatus":
        raise ValueError("that is no multistatus")
    return tuple(_responses(root))


def conditions_in(body: bytes) -> frozenset[str]:
    """The preconditions that an error answer names (RFC 4918, section 16), without their namespaces."""
    try:
        root = _parsed(body)
    except ValueError:
        return frozenset()
    if root.tag != f"{{{_DAV}}}error":
        return frozenset()
    return frozenset(name for one in root if _NAME.fullmatch(name := one.tag.partition("}")[2]))


def _responses(root: ET.Element) -> Iterator[Found]:
    for response in root.iterfind(f"{{{_DAV}}}response"):
        href = (response.findtext(f"{{{_DAV}}}href") or "").strip()
        status = response.findtext(f"{{{_DAV}}}status")
        properties = {
            element.tag: element
            for part in response.iterfind(f"{{{_DAV}}}propstat")
            if _code(part.findtext(f"{{{_DAV}}}status")) == 200
            for element in part.iterfind(f"{{{_DAV}}}prop/*")
        }
        yield Found(href, 200 if status is None else _code(status), properties)


def _code(line: str | None) -> int:
    found = _STATUS.match((line or "").strip())
    return int(found[1]) if found else 0


def _parsed(body: bytes) -> ET.Element:
    """The document's root. A document type, and with it every entity, is refused before anything is parsed."""
    text = body.decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type has no place in an answer")
    try:
        return ET.fromstring(text)  # noqa: S314 - no document type, no entities
    except ET.ParseError:
        raise ValueError("that is no XML") from None
