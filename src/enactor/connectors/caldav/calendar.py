"""The conversation with one calendar: events are found by their UID, made once, and deleted as they were left."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin

from msgspec import Struct

from enactor.connectors.caldav import dav
from enactor.connectors.caldav.events import MEDIA_TYPE, uid_in
from enactor.connectors.caldav.settings import CalendarSettings
from enactor.connectors.http_call import Answer, Unclear
from enactor.connectors.http_target import HttpTarget, refusal
from enactor.connectors.sdk import ChangedSince, NotSent, Refused, ToolCall
from enactor.domain.errors import ErrorClass
from enactor.ports.clock import Clock

_XML: Final = {"Content-Type": "application/xml; charset=utf-8"}
_GONE: Final = frozenset({404, 410})

_INVALID = (ErrorClass.VALIDATION, False, "it does not take the event")
EFFECT_FREE: Final = {
    400: _INVALID,
    403: (ErrorClass.AUTH, False, "we may not do that there"),
    404: (ErrorClass.VALIDATION, False, "there is no such calendar, or we do not see it"),
    405: _INVALID,
    410: (ErrorClass.VALIDATION, False, "there is no such calendar any more"),
    411: _INVALID,
    413: (ErrorClass.VALIDATION, False, "the event is too large"),
    414: _INVALID,
    415: _INVALID,
    422: _INVALID,
    423: (ErrorClass.DOWNSTREAM, True, "it is locked"),
    429: (ErrorClass.RATE_LIMIT, True, "too many requests"),
}
"""The statuses after which a calendar is as it was. 409 and 412 are not among them: they can mean that our event is
there already, from an earlier request of which nobody knows how it ended."""

_UID_IS_THERE: Final = "no-uid-conflict"


class CalendarObject(Struct, frozen=True):
    """An event in the calendar: its UID, where it is, and the version that it has there."""

    uid: str
    url: str
    etag: str | None


class RemoteCalendar:
    """One calendar collection.

    Args:
        settings: where it is, and whose events it takes.
        target: the server it is on.
        clock: for `Retry-After`.
    """

    def __init__(self, settings: CalendarSettings, target: HttpTarget, clock: Clock) -> None:
        self.settings = settings
        self.target = target
        self._clock = clock

    async def create(self, uid: str, content: bytes, call: ToolCall) -> CalendarObject:
        """Makes an event, unless something is at its place already.

        Raises:
            NotSent: the request did not leave.
            Refused: the calendar is as it was.
            Unclear: it may have been made, now or by an earlier call.
        """
        url = self._url_of(uid)
        headers = {"Content-Type": MEDIA_TYPE, "If-None-Match": "*"}
        answer = await self.target.write("PUT", url, call, headers=headers, content=content)
        if answer.status not in (200, 201, 204):
            raise self._refusal(answer)
        etag = answer.headers.get("etag") or None
        if etag is not None:
            return CalendarObject(uid, url, etag)
        # RFC 4791, section 5.3.4: without a tag the server may have stored something else than what was sent.
        try:
            async with self.target.after_sending(call):
                found = await self.find(uid)
        except (Refused, TimeoutError):
            return CalendarObject(uid, url, None)
        if found is None:
            raise Unclear(f"{self.target.what} said that it made the event, and does not have it")
        return found

    async def find(self, uid: str) -> CalendarObject | None:
        """The event of a UID: at the place where we put it, or wherever the server moved it. None when there is none.

        Raises:
            NotSent: no answer came that can be read.
            Refused: reading is refused, or what is there leaves it open.
        """
        url = self._url_of(uid)
        answer = await self.target.read("GET", url, headers={"Accept": "text/calendar"})
        if answer.status in _GONE:
            return await self._searched(uid)
        if answer.status != 200:
            raise self._unreadable(answer)
        if uid_in(answer.body) != uid:
            raise Refused("READ_FAILED", f"{self.target.what} has something else where our event would be.")
        return CalendarObject(uid, url, answer.headers.get("etag") or None)

    async def delete(self, there: CalendarObject, call: ToolCall) -> bool:
        """Deletes an event that is as `there` says. Returns False when it was gone already.

        Raises:
            NotSent: the request did not leave.
            Refused: the event is still there, and not as it was left, or may not be deleted.
            Unclear: it may have been deleted.
        """
        headers = {"If-Match": there.etag or '""'}
        answer = await self.target.write("DELETE", there.url, call, headers=headers)
        if answer.status in (200, 204):
            return True
        if answer.status in _GONE:
            return False
        if answer.status != 412:
            raise self._refusal(answer)
        # RFC 9110, section 13.1.1: a server may also say so when there is nothing any more.
        try:
            async with self.target.after_sending(call):
                left = await self.find(there.uid)
        except (Refused, TimeoutError):
            raise Unclear(f"{self.target.what} answered 412, and the event cannot be read") from None
        if left is None:
            return False
        raise changed_since()

    async def looked_at(self) -> dav.Found | None:
        """What the collection is and what we may do with it; None when there is none. Raises as `find` does."""
        headers = {**_XML, "Depth": "0"}
        answer = await self.target.read("PROPFIND", self.settings.url, headers=headers, content=dav.WHAT_IT_IS)
        if answer.status in _GONE:
            return None
        found = self._multistatus(answer)
        return next((one for one in found if one.status == 200), None)

    async def close(self) -> None:
        """Lets go of connections."""
        await self.target.close()

    def _url_of(self, uid: str) -> str:
        return f"{self.settings.url}{uid}.ics"

    async def _searched(self, uid: str) -> CalendarObject | None:
        headers = {**_XML, "Depth": "1"}
        answer = await self.target.read("REPORT", self.settings.url, headers=headers, content=dav.search_for(uid))
        candidates = []
        for one in self._multistatus(answer):
            if one.status != 200 or not one.calendar_data:
                raise Refused("READ_FAILED", f"{self.target.what} answered a search in part only.")
            if uid_in(one.calendar_data) == uid:
                candidates.append(CalendarObject(uid, self._inside(one.href), one.etag))
        if len(candidates) > 1:
            raise Refused("READ_FAILED", f"{self.target.what} has more than one event of the same UID.")
        return candidates[0] if candidates else None

    def _inside(self, href: str) -> str:
        """The address of a member of the collection. Raises `Refused` for one anywhere else."""
        url = urljoin(self.settings.url, href)
        name = url.removeprefix(self.settings.url)
        if name == url or not name or "/" in name or "?" in name or "#" in name or name in (".", ".."):
            raise Refused("READ_FAILED", f"{self.target.what} names a place outside the calendar.")
        return url

    def _multistatus(self, answer: Answer) -> tuple[dav.Found, ...]:
        if answer.status != 207:
            raise self._unreadable(answer)
        try:
            return dav.multistatus(answer.body)
        except ValueError as error:
            raise NotSent("READ_FAILED", f"{self.target.what} answered what cannot be read: {error}.") from None

    def _refusal(self, answer: Answer) -> Refused:
        conditions = dav.conditions_in(answer.body)
        if _UID_IS_THERE in conditions:
            raise Unclear(f"{self.target.what} says that the event is there already")
        refused = refusal(answer, self.target.what, self._clock.now_ms(), EFFECT_FREE)
        if conditions:
            refused.message = f"{refused.message[:-1]} ({', '.join(sorted(conditions))})."
        return refused

    def _unreadable(self, answer: Answer) -> Refused:
        try:
            return refusal(answer, self.target.what, self._clock.now_ms(), EFFECT_FREE)
        except Unclear as error:
            return NotSent("READ_FAILED", f"{self.target.what} could not be read: {error}.")


def changed_since() -> Refused:
    """Somebody changed the event, and a person has to see what becomes of it."""
    return ChangedSince("Somebody changed the event since; take it back by hand.")
