"""The CalDAV connector over one calendar of a real server, by way of a proxy that a test can make lose replies."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from enactor.conformance.clocks import ManualClock
from enactor.conformance.radicale import Radicale
from enactor.connectors.caldav import CalendarConnector
from enactor.connectors.sdk import ToolCall
from enactor.domain.outcome import ObjectRef
from enactor.ports.tools import Reply
from tests.connectors.proxy import Proxy
from tests.connectors.rig import KEY, NORTH, SOUTH, TENANT, ConnectorRig, context_of

MEETING: dict[str, Any] = {
    "title": "Quarterly review, Tractors; and more",
    "start": "2026-06-01T09:30",
    "end": "2026-06-01T10:15",
    "time_zone": "Europe/Vienna",
    "description": "Bring:\n- figures; all of them\n- tea",
    "location": "Room 4",
    "attendees": ["Ana Prieto", "Ben Okri"],
}
DRAFT = "calendar.draft_event"
DELETE = "calendar.delete_draft"


class Rig(ConnectorRig):
    """Drafts events of tenant acme's accounts north and south, which share one calendar."""

    def __init__(self, radicale: Radicale, proxy: Proxy, url: str, clock: ManualClock, **calendar: Any) -> None:
        self.radicale, self.proxy, self.url = radicale, proxy, url
        self.environment = {"CALENDAR": radicale.password, "WRONG": "not the password"}
        context = context_of(clock, self.settings(**calendar), self.environment)
        super().__init__(CalendarConnector.configured(context), clock)

    def settings(self, **calendar: Any) -> dict[str, Any]:
        """The connector's table, as it would be in enactor.toml."""
        one = {
            "tenant": TENANT,
            "accounts": [NORTH, SOUTH],
            "url": self.proxy.url(self.url),
            "access": {"basic": {"user": self.radicale.user, "password": "env:CALENDAR"}},
            **calendar,
        }
        return {"calendars": [one]}

    def undo_arguments(self, refs: tuple[ObjectRef, ...], key: str = KEY) -> dict[str, Any]:
        """The arguments of the tool that takes back what a key made."""
        return {"original_key": key, "refs": msgspec.to_builtins(refs)}

    async def take_back(self, refs: tuple[ObjectRef, ...], key: str = KEY) -> Reply:
        """Takes back what a key made, under a key of its own."""
        return await self.call(DELETE, self.undo_arguments(refs, key), idempotency_key="cd" * 32)

    async def members(self) -> list[str]:
        """The addresses of everything in the calendar."""
        answer = await self.radicale.request("PROPFIND", self.url, Depth="1")
        names = [part.partition("</")[0] for part in answer.text.split("href>")[1::2]]
        origin = str(httpx.URL(self.url).copy_with(raw_path=b""))
        return [f"{origin}{name}" for name in names if name.endswith(".ics")]

    async def only(self) -> str:
        """The one event in the calendar, as iCalendar."""
        (url,) = await self.members()
        return (await self.radicale.request("GET", url)).text

    async def change(self, url: str) -> None:
        """Somebody gives an event another title, in their own program."""
        there = await self.radicale.request("GET", self.behind(url))
        changed = there.text.replace("SUMMARY:", "SUMMARY:Not so ")
        answer = await self.radicale.request("PUT", self.behind(url), changed.encode(), If_Match=there.headers["etag"])
        assert answer.status_code in (201, 204)

    def behind(self, url: str) -> str:
        """The server's own URL of one that goes by way of the proxy."""
        return url.replace(self.proxy.origin, self.radicale.home.partition("/ana/")[0])


def call_of(account: str = NORTH, key: str = KEY) -> ToolCall:
    """What the tool plane tells a tool."""
    return ToolCall(
        tenant_id=TENANT,
        account_id=account,
        action_intent_id="ai_test",
        run_number=1,
        call_no=1,
        idempotency_key=key,
        trace_id="0" * 32,
        timeout_seconds=30,
        ensure_timely=lambda: None,
    )
