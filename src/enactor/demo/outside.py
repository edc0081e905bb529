"""The acts of a demonstration that reach other systems: doubt that a look-up settles, and an effect taken back."""

from __future__ import annotations

import time
from typing import Any, Final

from enactor.demo.stage import ACCOUNT, Caller, Voice, expect, pause
from enactor.demo.world import World

_SUBJECT: Final = "Call Ana back"
_PATIENCE_SECONDS: Final = 30


class Outside:
    """Acts in a CRM and a calendar."""

    def __init__(self, planner: Caller, approver: Caller, operator: Caller, voice: Voice, world: World) -> None:
        self.planner, self.approver, self.operator = planner, approver, operator
        self.voice = voice
        self.crm, self.calendar = world.crm, world.calendar

    def doubt(self) -> Any:
        """A write whose answer is lost, while the CRM cannot be searched either."""
        self.voice.act("A task in the CRM. The CRM makes it, the answer is lost, and then it cannot be searched.")
        self.crm.fail("DROP_AFTER")
        self.crm.fail("UNAVAILABLE", "Enactor_Key__c")
        intent = self.approved(
            {"action_type": "CREATE_CRM_TASK", "parameters": {"subject": _SUBJECT, "due_date": "2027-01-15"}}
        )
        identity = intent["action_intent_id"]
        self.until(identity, "IN_DOUBT")
        self.voice.held("Enactor does not know, says IN_DOUBT, and sends nothing again")
        view = self.until(identity, "SUCCEEDED")
        found = self.crm.tasks(_SUBJECT)
        expect(len(found) == 1, f"the CRM holds {len(found)} such tasks")
        expect(view["external_object_refs"][0]["object_id"] == found[0]["Id"], "another task was named")
        timeline = self.approver.ask("GET", f"/v1/executions/{identity}/timeline", 200)
        for line in timeline["items"]:
            if line["stage"] == "execution":
                self.voice.say(f"[dim]{line['text']}[/]")
        self.voice.held(f"the CRM was searched by our key: one task, {found[0]['Id']}, and the run SUCCEEDED")
        return view

    def draft(self) -> None:
        """A tentative event."""
        self.voice.act("A meeting in the calendar: a draft, to which nobody is invited.")
        intent = self.approved(
            {
                "action_type": "DRAFT_CALENDAR_EVENT",
                "parameters": {
                    "title": "Review with Ana",
                    "start": "2027-01-15T09:30",
                    "end": "2027-01-15T10:00",
                    "time_zone": "Europe/Vienna",
                },
            }
        )
        view = self.until(intent["action_intent_id"], "SUCCEEDED")
        event = self.calendar.event(view["external_object_refs"][0]["object_url"])
        expect("STATUS:TENTATIVE" in event and "ATTENDEE" not in event, f"the calendar holds {event!r}")
        self.voice.held("the calendar holds it once, STATUS:TENTATIVE, under a UID made from our key")

    def undone(self, view: Any) -> None:
        """The task is taken back."""
        self.voice.act("Olga proposes to undo it; Ana approves that too.")
        identity = view["action_intent_id"]
        undo = self.operator.ask("POST", f"/v1/executions/{identity}/undo", 201, json={"reason": "Ana called already."})
        self.approve(undo)
        self.until(undo["action_intent_id"], "SUCCEEDED")
        expect(not self.crm.tasks(_SUBJECT), "the task is still there")
        view = self.approver.ask("GET", f"/v1/executions/{identity}", 200)
        expect(view["compensation_status"] == "COMPLETED", f"compensation is {view['compensation_status']}")
        self.voice.held("the task is gone from the CRM; the execution shows it: compensation COMPLETED")

    # -- helpers -------------------------------------------------------------------------------------------------

    def approved(self, proposal: dict[str, Any]) -> Any:
        """A proposal of the agent's, approved as the approver sees it."""
        intent = self.planner.ask("POST", "/v1/intents", 201, json={"account_id": ACCOUNT, **proposal})
        seen = self.approver.ask("GET", f"/v1/intents/{intent['action_intent_id']}", 200)
        self.voice.say(f"{seen['summary']}  [dim]{seen['tool_call']['tool_name']}[/]")
        self.approve(seen)
        return seen

    def approve(self, intent: Any) -> None:
        """The approver's word on this very digest."""
        self.approver.ask(
            "POST",
            f"/v1/intents/{intent['action_intent_id']}/approve",
            202,
            json={"approval_digest": intent["approval_digest"]},
        )

    def until(self, identity: str, status: str) -> Any:
        """The execution, once it has that status."""
        until = time.perf_counter() + _PATIENCE_SECONDS
        view: Any = None
        while time.perf_counter() < until:
            view = self.approver.ask("GET", f"/v1/executions/{identity}", 200)
            if view["status"] == status:
                return view
            pause(0.05)
        expect(False, f"the execution is {view['status']} ({view['explanation']}), not {status}")
        return view
