"""A server process with a connector of its settings: from a proposal over HTTP to an event in a real calendar."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from enactor.conformance.radicale import Radicale
from enactor.demo.stage import Caller, Server

MEETING = {"title": "Review", "start": "2026-06-01T09:30", "end": "2026-06-01T10:00", "time_zone": "Europe/Vienna"}


class CalendarServer(Server):
    """A server whose settings name a calendar, and that logs all it can."""

    calendar = ""
    password = ""

    @property
    def environment(self) -> dict[str, str]:
        """With the connector's settings."""
        access = {"basic": {"user": "ana", "password": "env:CALENDAR_PASSWORD"}}
        one = {"tenant": "acme", "accounts": ["north"], "url": self.calendar, "access": access}
        return {
            **super().environment,
            "ENACTOR_CONNECTORS": "internal,caldav",
            "ENACTOR_CONNECTOR_SETTINGS": json.dumps({"caldav": {"calendars": [one]}}),
            "ENACTOR_LOG_LEVEL": "debug",
            "CALENDAR_PASSWORD": self.password,
        }


def test_an_event_over_http(radicale: Radicale, tmp_path: Path) -> None:
    """Refused when proposed at a time that does not exist; proposed, approved, there; nothing of it is in the log."""
    server = CalendarServer(tmp_path)
    server.calendar, server.password = asyncio.run(radicale.make_calendar("e2e")), radicale.password
    server.start()
    try:
        planner = Caller(server, "planner", server.token("planner", "proposer", agent=True))
        ana = Caller(server, "ana", server.token("ana", "approver"))
        body = {"action_type": "DRAFT_CALENDAR_EVENT", "account_id": "north", "parameters": MEETING}
        wrong = {**body, "parameters": {**MEETING, "start": "2026-03-29T02:30", "end": "2026-03-29T05:00"}}
        detail = planner.ask("POST", "/v1/intents", 422, json=wrong)["detail"]
        assert detail.startswith("The arguments of calendar.draft_event: start does not exist in Europe/Vienna")
        made = planner.ask("POST", "/v1/intents", 201, json=body)
        digest = {"approval_digest": made["approval_digest"]}
        identity = made["action_intent_id"]
        ana.ask("POST", f"/v1/intents/{identity}/approve", 202, json=digest)
        kinds = (event["data"]["event_type"] for event in ana.events(f"/v1/executions/{identity}/events"))
        assert next(kind for kind in kinds if kind in ("ACTION_EXECUTED", "ACTION_FAILED")) == "ACTION_EXECUTED"
        ended = ana.ask("GET", f"/v1/executions/{identity}", 200)
        assert ended["status"] == "SUCCEEDED"
        (ref,) = ended["external_object_refs"]
        assert ref["object_url"].startswith(server.calendar)
        event = asyncio.run(radicale.request("GET", ref["object_url"]))
        assert "SUMMARY:Review" in event.text
    finally:
        server.close()
    log = (tmp_path / "server.log").read_text()
    for secret in (radicale.password, "Basic ", ref["object_id"], "Review"):
        assert secret not in log
