"""Undo end to end: through the service and the pipeline against the organization, whatever happens to answers."""

from __future__ import annotations

from typing import Any

import pytest

from enactor.conformance.salesforce import Fault
from enactor.conformance.world import Inbox, Permissive
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import UndoConflict
from enactor.domain.intent import ActionIntent, Guard
from enactor.domain.outcome import ActionOutcome, CompensationStatus
from enactor.domain.principal import agent, person
from enactor.pipeline.driver import Progress
from enactor.pipeline.model import Earlier
from enactor.ports.engine import RunRequest
from enactor.service import Core, Limits, Proposal, Service
from tests.connectors.rig import NORTH, TENANT
from tests.connectors.salesforce.rig import TASK, Rig

SOMEBODY = "005000000000001AAA"
PEOPLE = tuple(person(name, tenant_id=TENANT) for name in ("ana", "bea"))
OLGA = person("olga", tenant_id=TENANT)


class Office:
    """People and an agent who work with the organization through the service."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        ctx = rig.driver.ctx
        core = Core(
            store=rig.store,
            tools=rig.plane,
            engine=Inbox(),
            policy=Permissive(),
            clock=rig.clock,
            ids=ctx.ids,
            randomness=ctx.randomness,
            limits=Limits(),
            transforms={},
        )
        self.service = Service(core, ctx)

    async def propose(self, action_type: str, parameters: dict[str, Any]) -> ActionIntent:
        """A proposal of the agent's."""
        await self.service.registry.ensure_defaults(self.rig.plane.action_types())
        proposal = Proposal(action_type=action_type, account_id=NORTH, parameters=parameters)
        return (await self.service.proposals.propose(agent("planner", tenant_id=TENANT), proposal)).intent

    async def done(self, intent: ActionIntent) -> ActionOutcome:
        """What becomes of an intent that everybody needed approves."""
        for one in PEOPLE:
            decided = await self.service.decisions.approve(one, intent.action_intent_id, intent.approval_digest)
            if not decided.approvals_missing:
                break
        request = RunRequest(action_intent_id=intent.action_intent_id, tenant_id=TENANT)
        driven = await self.rig.driver.drive(request)
        while driven.progress is Progress.WAITING and driven.status is RunStatus.RUNNING:
            self.rig.clock.advance((driven.until - self.rig.clock.now_ms()) / 1000)
            driven = await self.rig.driver.drive(request, Earlier.SELF, driven.fence)
        return await self.outcome(intent)

    async def outcome(self, intent: ActionIntent) -> ActionOutcome:
        """The latest revision."""
        records = await self.rig.store.execution(TENANT, intent.action_intent_id)
        assert records is not None
        assert records.outcome is not None
        return records.outcome


@pytest.fixture
def office(rig: Rig) -> Office:
    """The office over the rig's organization."""
    return Office(rig)


LOST = (None, Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.TRUNCATED)
NEVER = (Fault.DROP_BEFORE, Fault.UNAVAILABLE, Fault.CONFLICT)


@pytest.mark.parametrize("fault", [*LOST, *NEVER])
async def test_a_task_is_deleted_again(rig: Rig, office: Office, fault: Fault | None) -> None:
    """Whether the answer to the deletion is lost or the deletion itself: in the end it is gone, and both say so."""
    task = await office.propose("CREATE_CRM_TASK", TASK)
    done = await office.done(task)
    undo = await office.service.undoing.undo(OLGA, task.action_intent_id, "wrong customer")
    if fault is not None:
        rig.server.fail(fault)
    outcome = await office.done(undo)
    assert outcome.status is RunStatus.SUCCEEDED
    assert (await office.outcome(task)).compensation_status is CompensationStatus.COMPLETED
    record = rig.org.records.get(done.external_object_refs[0].object_id)
    assert record is None or record["IsDeleted"]


async def test_a_field_gets_its_earlier_value_back(rig: Rig, office: Office) -> None:
    """The preview shows what was there; the undo's preview shows what will be again, and the tool writes it."""
    deal = rig.org.create("Opportunity", DEAL | {"AccountId": rig.north}, by=SOMEBODY)
    rig.clock.advance(3_600)
    change = {"object_type": "Opportunity", "record_id": deal, "field": "StageName", "value": "Closed Won"}
    update = await office.propose("UPDATE_CRM_FIELD", change)
    assert update.preview is not None
    assert (update.preview.before, update.preview.guard) == ({"StageName": "Prospecting"}, Guard.CHECK_THEN_WRITE)
    assert (await office.done(update)).status is RunStatus.SUCCEEDED
    undo = await office.service.undoing.undo(OLGA, update.action_intent_id, "not signed yet")
    assert "Prospecting" not in undo.tool_call.argument_bytes
    assert (await office.done(undo)).status is RunStatus.SUCCEEDED
    assert rig.org.records[deal]["StageName"] == "Prospecting"
    assert (await office.outcome(update)).compensation_status is CompensationStatus.COMPLETED


async def test_what_somebody_changed_stays(rig: Rig, office: Office) -> None:
    """A record that is not as it was left is refused, at the proposal as after the approval, and not touched."""
    task = await office.propose("CREATE_CRM_TASK", TASK)
    ref = (await office.done(task)).external_object_refs[0]
    undo = await office.service.undoing.undo(OLGA, task.action_intent_id, "wrong customer")
    rig.clock.advance(60)
    rig.org.update("Task", ref.object_id, {"Subject": "Call Ben back"}, by=SOMEBODY)
    writes = len(rig.server.writes)
    assert (await office.done(undo)).error_code == "UNDO_CONFLICT"
    with pytest.raises(UndoConflict):
        await office.service.undoing.undo(OLGA, task.action_intent_id, "still wrong")
    assert len(rig.server.writes) == writes
    assert rig.org.records[ref.object_id]["Subject"] == "Call Ben back"


async def test_settings_of_one_account_are_not_the_others(rig: Rig) -> None:
    """The version that approvals bind is that of the account's own settings."""
    assert rig.plane.connector_version("crm.create_task", TENANT, "north") != rig.plane.connector_version(
        "crm.create_task", TENANT, "south"
    )
    assert rig.plane.connector_version("crm.create_task", "globex", "north") == ""


DEAL: dict[str, Any] = {"Name": "Ten tractors", "StageName": "Prospecting", "CloseDate": "2026-09-30"}
