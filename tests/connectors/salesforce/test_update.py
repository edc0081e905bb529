"""Changing a field in Salesforce: the version check, what a look-up can establish, and changing it back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from enactor.conformance.salesforce import Fault
from enactor.domain.attempt import RunStatus
from enactor.domain.permit import Purpose
from tests.connectors.salesforce.rig import NORTH, SOUTH, Ended, Rig

UPDATE = "crm.update_field"
SOMEBODY = "005000000000042AAA"


@pytest.fixture
def deal(rig: Rig) -> str:
    """An opportunity of north, made by somebody else a while ago."""
    values = {"Name": "Ten tractors", "StageName": "Prospecting", "CloseDate": "2026-09-30", "AccountId": rig.north}
    made = rig.org.create("Opportunity", values, by=SOMEBODY)
    rig.clock.advance(3_600)
    return made


def won(deal: str, **changes: Any) -> dict[str, Any]:
    """The approved change."""
    return {"object_type": "Opportunity", "record_id": deal, "field": "StageName", "value": "Closed Won", **changes}


async def test_a_field_is_changed_and_nothing_else(rig: Rig, deal: str) -> None:
    """One PATCH on the record's id with the one field, and the version it was left at."""
    before = dict(rig.org.records[deal])
    ended = await rig.run(UPDATE, won(deal), preview=True)
    after = rig.org.records[deal]
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE"])
    assert after["StageName"] == "Closed Won"
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"StageName", "LastModifiedDate", "LastModifiedById", "SystemModstamp"}
    (sent,) = rig.server.writes
    assert (sent.method, sent.path.rpartition("/")[2], sent.body) == ("PATCH", deal, b'{"StageName":"Closed Won"}')
    assert ended.ref.version is not None
    assert ended.ref.version.startswith(after["SystemModstamp"])


async def test_the_preview_reads_and_writes_nothing(rig: Rig, deal: str) -> None:
    """A preview says what is and what would be, and its version changes with the record."""
    shown = await rig.preview(UPDATE, won(deal))
    assert (shown.before, shown.after) == ({"StageName": "Prospecting"}, {"StageName": "Closed Won"})
    assert rig.server.writes == []
    rig.org.update("Opportunity", deal, {"StageName": "Qualification"})
    assert (await rig.preview(UPDATE, won(deal))).version_tag != shown.version_tag


async def test_a_record_changed_since_the_preview_is_left_alone(rig: Rig, deal: str) -> None:
    """What somebody changed after the approver looked is not overwritten: nothing is called for, nor would it be."""
    intent = await rig.approve(UPDATE, won(deal), preview=True)
    rig.clock.advance(5)
    rig.org.update("Opportunity", deal, {"NextStep": "Wait for the board"}, by=SOMEBODY)
    ended = await rig.drive(intent)
    assert (ended.status, ended.calls, ended.outcome.error_code) == (RunStatus.FAILED, [], "STALE_PREVIEW")
    assert intent.preview is not None
    reply = await rig.call(UPDATE, won(deal), expected_version=intent.preview.version_tag)
    assert (reply.result.value, reply.error_code) == ("REFUSED", "CHANGED_SINCE_PREVIEW")
    assert rig.server.writes == []


async def test_two_changes_within_one_second_are_told_apart(rig: Rig, deal: str) -> None:
    """Salesforce's time of change has whole seconds; the value is in the version too."""
    rig.org.update("Opportunity", deal, {"StageName": "Qualification"}, by=SOMEBODY)
    intent = await rig.approve(UPDATE, won(deal), preview=True)
    rig.org.update("Opportunity", deal, {"StageName": "Prospecting"}, by=SOMEBODY)
    ended = await rig.drive(intent)
    assert (ended.status, ended.outcome.error_code) == (RunStatus.FAILED, "STALE_PREVIEW")


async def test_a_value_that_is_there_already_is_not_written(rig: Rig, deal: str) -> None:
    """A field that has the approved value stays untouched, and the run succeeds."""
    ended = await rig.run(UPDATE, won(deal, value=" Prospecting "), preview=True)
    assert (ended.status, rig.server.writes) == (RunStatus.SUCCEEDED, [])


LOST = (Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.TRUNCATED, Fault.NONSENSE, Fault.TIMEOUT, Fault.UNHEARD_OF)


@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_is_settled_by_value_and_author(rig: Rig, deal: str, fault: Fault) -> None:
    """The approved value at a later version, last changed by our own user: it took place, and is not sent again."""
    rig.server.fail(fault)
    ended = await rig.run(UPDATE, won(deal), preview=True)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE:LOOKUP_FOUND"])
    assert len(rig.server.writes) == 1


NEVER_DONE = (
    Fault.DROP_BEFORE,
    Fault.ERROR_BEFORE,
    Fault.UNAVAILABLE,
    Fault.CONFLICT,
    Fault.PRECONDITION,
    Fault.REDIRECT,
)


@pytest.mark.parametrize("fault", NEVER_DONE)
async def test_an_unchanged_version_proves_that_nothing_happened(rig: Rig, deal: str, fault: Fault) -> None:
    """While the record is at the approved version no write took place; once that is final, it is sent again."""
    rig.server.fail(fault)
    ended = await rig.run(UPDATE, won(deal), preview=True)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["UNKNOWN:LOOKUP_ABSENT", "DONE"])
    assert rig.org.records[deal]["StageName"] == "Closed Won"


async def lost_then(rig: Rig, deal: str, values: dict[str, Any], *, preview: bool = True) -> Ended:
    """An update whose answer is lost, after which somebody else changes the record before it is looked up."""
    intent = await rig.approve(UPDATE, won(deal), preview=preview)
    rig.server.fail(Fault.SLOW)
    driving = asyncio.create_task(rig.once(intent))
    await rig.server.slow.wait()
    rig.clock.advance(2)
    if values:
        rig.org.update("Opportunity", deal, values, by=SOMEBODY)
    rig.server.hang_up()
    await driving
    return await rig.ended(intent)


@pytest.mark.parametrize("values", [{"StageName": "Closed Lost"}, {"NextStep": "Send the contract"}])
async def test_a_later_change_by_somebody_hides_ours(rig: Rig, deal: str, values: dict[str, Any]) -> None:
    """When somebody changed the record after us, nobody can tell from it whether we did: in doubt, for a person."""
    ended = await lost_then(rig, deal, values)
    assert (ended.status, ended.calls) == (RunStatus.IN_DOUBT, ["UNKNOWN"])
    assert len(rig.server.writes) == 1


async def test_without_an_approved_version_a_look_up_cannot_tell(rig: Rig, deal: str) -> None:
    """The value alone proves nothing: it may have been there before."""
    ended = await lost_then(rig, deal, {}, preview=False)
    assert (ended.status, ended.calls) == (RunStatus.IN_DOUBT, ["UNKNOWN"])


REFUSED = [
    ({"field": "Nonexistent__c"}, "INVALID_FIELD"),
    ({"field": "AccountId", "value": "001000000000001AAA"}, "FIELD_NOT_UPDATABLE"),
    ({"field": "Enactor_Key__c"}, "FIELD_NOT_UPDATABLE"),
    ({"field": "Id"}, "FIELD_NOT_UPDATABLE"),
    ({"field": "CreatedDate"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ({"field": "CloseDate", "value": "soon"}, "JSON_PARSER_ERROR"),
    ({"field": "StageName", "value": None}, "REQUIRED_FIELD_MISSING"),
    ({"field": "Name", "value": "x" * 121}, "STRING_TOO_LONG"),
    ({"record_id": "006000000000001AAA"}, "NOT_FOUND"),
    ({"record_id": "001000000000001AAA"}, "MALFORMED_ID"),
    ({"object_type": "Invoice__c"}, "ACCOUNT_NOT_VERIFIABLE"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
async def test_what_cannot_be_written_is_refused(rig: Rig, deal: str, changes: dict[str, Any], code: str) -> None:
    """A refusal leaves the record as it was, ends FAILED, and names the reason without repeating the value."""
    before = dict(rig.org.records[deal])
    ended = await rig.run(UPDATE, won(deal, **changes))
    assert (ended.status, ended.calls, ended.outcome.error_code) == (RunStatus.FAILED, ["REFUSED"], code)
    assert rig.org.records[deal] == before
    assert "xxxx" not in (ended.outcome.error_message or "")


async def test_another_accounts_record_is_refused(rig: Rig, deal: str) -> None:
    """South's call reaches nothing of north's, neither to read nor to write."""
    ended = await rig.run(UPDATE, won(deal), account=SOUTH)
    assert (ended.status, ended.outcome.error_code) == (RunStatus.FAILED, "ACCOUNT_MISMATCH")
    assert rig.server.writes == []
    assert (await rig.look_up(UPDATE, won(deal), account_id=SOUTH, expected_version="x")).found is None
    reply = await rig.call(UPDATE, won(rig.south, object_type="Account", field="Description"), account_id=NORTH)
    assert reply.error_code == "ACCOUNT_MISMATCH"


async def test_the_account_itself_can_be_changed(rig: Rig) -> None:
    """An Account belongs to itself."""
    change = {"object_type": "Account", "record_id": rig.north, "field": "Description", "value": "Grows oats"}
    assert (await rig.run(UPDATE, change, preview=True)).status is RunStatus.SUCCEEDED
    assert rig.org.records[rig.north]["Description"] == "Grows oats"


async def undo(rig: Rig, ended: Ended, deal: str) -> Any:
    """Changes it back as undo does, knowing what was approved and what the preview showed."""
    more = {"original_arguments": won(deal), "before": {"StageName": "Prospecting"}}
    return await rig.undo(ended, "crm.restore_field", **more)


async def test_undo_gives_the_earlier_value_back_once(rig: Rig, deal: str) -> None:
    """Undo restores the value, and undoing twice changes nothing."""
    ended = await rig.run(UPDATE, won(deal), preview=True)
    rig.clock.advance(60)
    assert (await undo(rig, ended, deal)).result.value == "DONE"
    assert rig.org.records[deal]["StageName"] == "Prospecting"
    assert (await undo(rig, ended, deal)).result.value == "DONE"
    assert len(rig.server.writes) == 2


@pytest.mark.parametrize("values", [{"StageName": "Closed Lost"}, {"NextStep": "Send the contract"}])
async def test_undo_leaves_alone_what_somebody_changed(rig: Rig, deal: str, values: dict[str, Any]) -> None:
    """A record that is not as the update left it is for a person to change back."""
    ended = await rig.run(UPDATE, won(deal), preview=True)
    rig.clock.advance(60)
    rig.org.update("Opportunity", deal, values, by=SOMEBODY)
    reply = await undo(rig, ended, deal)
    assert (reply.result.value, reply.error_code, len(rig.server.writes)) == ("REFUSED", "CHANGED_SINCE", 1)


async def test_undo_needs_to_know_what_was_before(rig: Rig, deal: str) -> None:
    """Without the preview's value, or the version that was left, undo is refused."""
    ended = await rig.run(UPDATE, won(deal), preview=True)
    assert (await rig.undo(ended, "crm.restore_field")).error_code == "EARLIER_VALUE_UNKNOWN"
    arguments = rig.undoing(ended, original_arguments=won(deal), before={"StageName": "Prospecting"})
    arguments["refs"][0]["version"] = None
    assert (await rig.call("crm.restore_field", arguments)).error_code == "CHANGED_SINCE"
    assert (await rig.call("crm.restore_field", {**arguments, "refs": []})).error_code == "NOTHING_TO_UNDO"


async def test_the_look_up_of_an_undo_knows_what_can_be_known(rig: Rig, deal: str) -> None:
    """Not yet, done by us, or hidden by somebody's later change."""
    ended = await rig.run(UPDATE, won(deal), preview=True)
    arguments = rig.undoing(ended, original_arguments=won(deal), before={"StageName": "Prospecting"})
    look = {"tool": "crm.restore_field", "arguments": arguments, "purpose": Purpose.COMPENSATION}
    assert (await rig.look_up(**look)).found is False
    rig.clock.advance(60)
    await undo(rig, ended, deal)
    assert (await rig.look_up(**look)).found is True
    rig.org.update("Opportunity", deal, {"NextStep": "Start again"}, by=SOMEBODY)
    assert (await rig.look_up(**look)).found is None
