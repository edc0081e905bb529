"""Creating in Salesforce: every ambiguity ends in the state that the specification names."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.salesforce import Fault
from enactor.domain.attempt import RunStatus
from enactor.domain.ledger import LedgerEvent
from enactor.domain.permit import CallResult
from enactor.pipeline.driver import Progress
from enactor.pipeline.model import Earlier
from tests.connectors.salesforce.rig import DEAL, NORTH, SOUTH, TASK, Rig


async def test_a_task_is_created_once_with_our_key(rig: Rig) -> None:
    """A task carries what was approved and our key, and the reference names it at the version it was left at."""
    ended = await rig.run("crm.create_task", TASK)
    (task,) = rig.org.live("Task")
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE"])
    assert (task["Subject"], task["ActivityDate"], task["WhatId"]) == ("Call Ana back", "2026-06-01", rig.north)
    assert task["Enactor_Key__c"] == ended.permits[0].idempotency_key
    assert (ended.ref.object_id, ended.ref.object_type) == (task["Id"], "Task")
    assert ended.ref.version is not None
    assert ended.ref.version.startswith(task["SystemModstamp"])
    assert ended.ref.object_url == f"{rig.server.url}/{task['Id']}"


async def test_an_opportunity_is_created_once_with_our_key(rig: Rig) -> None:
    """An opportunity belongs to the Account that the call's account stands for."""
    ended = await rig.run("crm.create_opportunity", DEAL, account=SOUTH)
    (deal,) = rig.org.live("Opportunity")
    assert ended.status is RunStatus.SUCCEEDED
    assert (deal["Name"], deal["Amount"], deal["AccountId"]) == ("Ten tractors", 250_000.0, rig.south)
    assert deal["Enactor_Key__c"] == ended.permits[0].idempotency_key


DONE_AND_UNKNOWN = (
    *(Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.MALFORMED, Fault.TRUNCATED, Fault.NONSENSE, Fault.HUGE),
    *(Fault.FOREIGN, Fault.TIMEOUT, Fault.UNHEARD_OF),
)
NOT_DONE_AND_UNKNOWN = (
    *(Fault.DROP_BEFORE, Fault.ERROR_BEFORE, Fault.UNAVAILABLE, Fault.REDIRECT, Fault.CONFLICT, Fault.PRECONDITION),
)


@pytest.mark.parametrize("fault", DONE_AND_UNKNOWN)
@pytest.mark.parametrize(("tool", "arguments", "kind"), [("crm.create_task", TASK, "Task")])
async def test_a_lost_answer_is_found_by_look_up(rig: Rig, fault: Fault, tool: str, arguments: dict, kind: str) -> None:
    """When it was done and the answer is lost or unreadable, the look-up settles it, and nothing is sent again."""
    rig.server.fail(fault)
    ended = await rig.run(tool, arguments)
    (made,) = rig.org.live(kind)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE:LOOKUP_FOUND"])
    assert ended.ref.object_id == made["Id"]
    assert len(rig.server.writes) == 1
    assert LedgerEvent.LOOKUP_PERFORMED in ended.events


@pytest.mark.parametrize("fault", NOT_DONE_AND_UNKNOWN)
async def test_a_lost_request_is_sent_again_when_its_absence_is_final(rig: Rig, fault: Fault) -> None:
    """When nobody knows and nothing is found, it is sent again only after no earlier request can take effect."""
    rig.server.fail(fault)
    began = rig.clock.now_ms()
    ended = await rig.run("crm.create_opportunity", DEAL)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["UNKNOWN:LOOKUP_ABSENT", "DONE"])
    assert len(rig.org.live("Opportunity")) == 1
    assert len(rig.server.writes) == 2
    assert rig.clock.now_ms() - began >= 660_000
    looked, again = (
        ended.events.index(LedgerEvent.LOOKUP_PERFORMED),
        ended.events[::-1].index(LedgerEvent.WRITE_PERMITTED),
    )
    assert looked < len(ended.events) - 1 - again


async def test_a_request_that_lands_late_is_not_done_twice(rig: Rig) -> None:
    """A record that appears after the look-up found nothing is found by the next one."""
    rig.server.fail(Fault.DROP_BEFORE)
    intent = await rig.approve("crm.create_task", TASK)
    driven = await rig.once(intent)
    assert (driven.progress, driven.run.permits[0].result) == (Progress.WAITING, CallResult.UNKNOWN)
    key = driven.run.permits[0].idempotency_key
    late = rig.org.create("Task", {"Subject": "Call Ana back", "WhatId": rig.north, "Enactor_Key__c": key})
    rig.clock.advance((driven.until - rig.clock.now_ms()) / 1000)
    await rig.once(intent, Earlier.SELF, driven.fence)
    ended = await rig.ended(intent)
    assert (ended.status, ended.ref.object_id, len(rig.server.writes)) == (RunStatus.SUCCEEDED, late, 1)


async def test_a_deleted_record_was_created_all_the_same(rig: Rig) -> None:
    """What somebody deleted before the look-up is found in the recycle bin, and not created again."""
    rig.server.fail(Fault.DROP_AFTER)
    rig.server.fail(Fault.ERROR_BEFORE, on="Enactor_Key__c/")
    intent = await rig.approve("crm.create_task", TASK)
    ended = await rig.drive(intent)
    assert ended.status is RunStatus.IN_DOUBT
    (task,) = rig.org.live("Task")
    rig.org.delete("Task", task["Id"])
    rig.clock.advance(7_200)
    ended = await rig.drive(intent)
    assert (ended.status, ended.ref.object_id) == (RunStatus.SUCCEEDED, task["Id"])
    assert len(rig.server.writes) == 1


async def test_a_look_up_that_cannot_tell_leaves_the_run_in_doubt(rig: Rig) -> None:
    """Where the key field is gone, an empty answer proves nothing: in doubt, and nothing is sent again."""
    rig.server.fail(Fault.SLOW)
    intent = await rig.approve("crm.create_task", TASK)
    driving = asyncio.create_task(rig.once(intent))
    await rig.server.slow.wait()
    rig.org.objects["Task"].fields.pop("Enactor_Key__c")
    rig.server.hang_up()
    await driving
    ended = await rig.ended(intent)
    assert (ended.status, ended.calls) == (RunStatus.IN_DOUBT, ["UNKNOWN"])
    assert len(rig.server.writes) == 1


async def test_a_duplicate_of_our_key_settles_the_run(rig: Rig) -> None:
    """DUPLICATE_VALUE on our key means that it was created already: that very record is the effect."""
    first = await rig.call("crm.create_task", TASK)
    again = await rig.call("crm.create_task", TASK)
    assert (again.result.value, again.refs[0].identity) == ("DONE", first.refs[0].identity)
    assert len(rig.org.live("Task")) == 1


async def test_a_duplicate_that_cannot_be_seen_is_unknown(rig: Rig) -> None:
    """When a record with our key is said to be there and cannot be read, nobody knows."""
    await rig.call("crm.create_task", TASK)
    rig.server.fail(Fault.ERROR_BEFORE, on="Enactor_Key__c/")
    assert (await rig.call("crm.create_task", TASK)).result.value == "UNKNOWN"


async def test_a_duplicate_of_another_field_is_refused(rig: Rig) -> None:
    """DUPLICATE_VALUE of a field that is not ours is the organization's own rule, and nothing was written."""
    fields = rig.org.objects["Opportunity"].fields
    fields["Name"] = replace(fields["Name"], unique=True)
    rig.org.create("Opportunity", {"Name": "Ten tractors", "StageName": "Won", "CloseDate": "2026-01-01"})
    ended = await rig.run("crm.create_opportunity", DEAL)
    assert (ended.status, ended.calls) == (RunStatus.FAILED, ["REFUSED"])
    assert ended.outcome.error_code == "DUPLICATE_VALUE"


async def test_somebody_elses_record_is_not_taken_for_ours(rig: Rig) -> None:
    """A server that names another record than the one it made is not believed: ours is found by its key."""
    other = rig.org.create("Task", {"Subject": "Pay the intruder", "WhatId": rig.north})
    rig.server.fail(Fault.FOREIGN)
    ended = await rig.run("crm.create_task", TASK)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE:LOOKUP_FOUND"])
    assert ended.ref.object_id != other
    assert rig.org.records[ended.ref.object_id]["Subject"] == "Call Ana back"
    assert "Ignore previous instructions" not in str(ended)


async def test_an_unreadable_read_back_does_not_lose_what_is_known(rig: Rig) -> None:
    """Once Salesforce said that it was created, trouble in reading it back costs the version and nothing else."""
    rig.server.fail(Fault.ERROR_BEFORE, on="/sobjects/Task/00T")
    ended = await rig.run("crm.create_task", TASK)
    assert (ended.status, ended.calls, ended.ref.version) == (RunStatus.SUCCEEDED, ["DONE"], None)


REFUSALS = [
    ("crm.create_task", {**TASK, "due_date": "2026-02-30"}, "INVALID_DATE"),
    ("crm.create_task", {**TASK, "related_to_id": "006000000000001AAA"}, "NOT_FOUND"),
    ("crm.create_task", {**TASK, "related_to_id": "00Q000000000001EAA"}, "WRONG_OBJECT"),
    ("crm.create_task", {**TASK, "contact_id": "003000000000001ZZZ"}, "MALFORMED_ID"),
    ("crm.create_task", {**TASK, "priority": "High", "owner_id": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
]


@pytest.mark.parametrize(("tool", "arguments", "code"), REFUSALS)
async def test_what_cannot_be_is_refused(rig: Rig, tool: str, arguments: dict, code: str) -> None:
    """What Salesforce, or we, refuse with nothing written ends FAILED, with a code that says why."""
    ended = await rig.run(tool, arguments)
    assert (ended.status, ended.calls, ended.outcome.error_code) == (RunStatus.FAILED, ["REFUSED"], code)
    assert rig.org.live("Task") == []


async def test_what_belongs_to_another_account_is_refused(rig: Rig) -> None:
    """A task about another account's opportunity or contact is refused before anything is written."""
    deal = rig.org.create(
        "Opportunity", {"Name": "D", "StageName": "S", "CloseDate": "2026-01-01", "AccountId": rig.south}
    )
    contact = rig.org.create("Contact", {"LastName": "Cruz", "AccountId": rig.south})
    for more in ({"related_to_id": deal}, {"related_to_id": rig.south}, {"contact_id": contact}):
        ended = await rig.run("crm.create_task", {**TASK, **more}, account=NORTH)
        assert (ended.status, ended.outcome.error_code) == (RunStatus.FAILED, "ACCOUNT_MISMATCH")
    assert rig.server.writes == []
    ended = await rig.run("crm.create_task", {**TASK, "related_to_id": deal[:15], "contact_id": contact}, account=SOUTH)
    assert (ended.status, rig.org.live("Task")[0]["WhatId"]) == (RunStatus.SUCCEEDED, deal)


async def test_an_account_without_a_counterpart_is_refused(rig: Rig) -> None:
    """An account, or a tenant, that stands for no Salesforce Account reaches nothing."""
    for where in ({"account_id": "west"}, {"tenant_id": "globex"}):
        reply = await rig.call("crm.create_task", TASK, **where)
        assert (reply.result.value, reply.error_code) == ("REFUSED", "ACCOUNT_NOT_MAPPED")
        assert (await rig.look_up("crm.create_task", TASK, **where)).found is None
    assert rig.server.asked == []


async def test_many_runs_side_by_side(rig: Rig) -> None:
    """The local engine runs twenty at once, some with lost answers: twenty records, and twenty sends."""
    intents = [await rig.approve("crm.create_task", {"subject": f"Task {number}"}) for number in range(20)]
    for fault in (Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.MALFORMED):
        rig.server.fail(fault)
    ended = await rig.in_engine(intents)
    assert {one.status for one in ended} == {RunStatus.SUCCEEDED}
    assert sorted(task["Subject"] for task in rig.org.live("Task")) == sorted(f"Task {number}" for number in range(20))
    assert len(rig.server.writes) == 20
    assert rig.server.tokens_given == 1
