"""One send per permit, tokens and their refusal, limits, and what never left."""

from __future__ import annotations

import logging
import socket

import pytest

from enactor.conformance.salesforce import Fault
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass
from enactor.domain.permit import Purpose
from enactor.pipeline.model import Earlier
from tests.connectors.salesforce.rig import DEAL, TASK, Rig

EVERY_FAULT = [fault for fault in Fault if fault is not Fault.SLOW]


@pytest.mark.parametrize("fault", EVERY_FAULT)
@pytest.mark.parametrize("tool", ["create", "update", "delete"])
async def test_one_permit_is_one_send(rig: Rig, fault: Fault, tool: str) -> None:
    """Whatever comes back, one call sends one request that changes something, and says nothing false about it."""
    deal = rig.org.create(
        "Opportunity", {"Name": "D", "StageName": "S", "CloseDate": "2026-01-01", "AccountId": rig.north}
    )
    made = await rig.run("crm.create_task", TASK)
    sent, records = len(rig.server.writes), rig.org.records
    calls = {
        "create": ("crm.create_opportunity", DEAL),
        "update": (
            "crm.update_field",
            {"object_type": "Opportunity", "record_id": deal, "field": "StageName", "value": "Won"},
        ),
        "delete": ("crm.delete_created", rig.undoing(made)),
    }
    rig.server.fail(fault)
    reply = await rig.call(*calls[tool], idempotency_key="ef" * 32)
    assert len(rig.server.writes) == sent + 1
    done = {
        "create": any(one.get("Enactor_Key__c") == "ef" * 32 for one in records.values()),
        "update": records[deal]["StageName"] == "Won",
        "delete": records[made.ref.object_id]["IsDeleted"],
    }[tool]
    assert reply.result.value in {"DONE", "REFUSED", "UNKNOWN"}
    assert not (reply.result.value == "REFUSED" and done), "a refusal that had an effect"
    assert not (reply.result.value == "DONE" and not done), "a success without an effect"


async def test_a_call_that_is_too_late_sends_nothing(rig: Rig) -> None:
    """When the permit runs out while the connection is made ready, the request does not leave."""
    checks = iter([True, False])
    reply = await rig.plane.call(rig.request("crm.create_task", TASK), lambda: next(checks))
    assert (reply.result.value, reply.error_code) == ("NOT_SENT", "TOO_LATE_TO_SEND")
    assert rig.server.writes == []


async def test_an_expired_session_is_replaced_once_and_the_pipeline_calls_again(rig: Rig) -> None:
    """A 401 had no effect: the next call, under a permit of its own, gets one new token."""
    await rig.run("crm.create_task", TASK)
    rig.server.expire_sessions()
    ended = await rig.run("crm.create_task", {"subject": "After the session expired"})
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["REFUSED", "DONE"])
    assert rig.server.tokens_given == 2
    assert [one.path.rpartition("/")[2] for one in rig.server.writes] == ["Task"] * 3


async def test_many_expired_calls_share_one_new_token(rig: Rig) -> None:
    """Twelve calls refused at once cost one new token, not twelve."""
    await rig.run("crm.create_task", TASK)
    rig.server.expire_sessions()
    intents = [await rig.approve("crm.create_task", {"subject": f"Task {number}"}) for number in range(12)]
    ended = await rig.in_engine(intents)
    assert {one.status for one in ended} == {RunStatus.SUCCEEDED}
    assert rig.server.tokens_given == 2


async def test_a_read_before_the_write_gets_its_new_token_at_once(rig: Rig) -> None:
    """Reads have no effect and are repeated with a new token, so that the write is sent once and taken."""
    contact = rig.org.create("Contact", {"LastName": "Cruz", "AccountId": rig.north})
    await rig.run("crm.create_task", TASK)
    rig.server.expire_sessions()
    ended = await rig.run("crm.create_task", {**TASK, "contact_id": contact})
    assert (ended.status, ended.calls, rig.server.tokens_given) == (RunStatus.SUCCEEDED, ["DONE"], 2)


async def test_a_new_token_that_is_refused_too_ends_the_run(rig: Rig) -> None:
    """After one fresh token was refused as well nothing is tried any more: somebody has to look at the credentials."""
    await rig.run("crm.create_task", TASK)
    for _ in range(4):
        rig.server.fail(Fault.UNAUTHORIZED)
    ended = await rig.run("crm.create_task", {"subject": "Never"})
    assert (ended.status, ended.calls) == (RunStatus.FAILED, ["REFUSED", "REFUSED"])
    assert (ended.outcome.error_code, ended.outcome.error_class) == ("UNAUTHORIZED", "AUTH")
    assert rig.server.tokens_given == 2


@pytest.mark.parametrize(("fault", "at_least"), [(Fault.RATE_LIMITED, 7_000), (Fault.OUT_OF_REQUESTS, 1_000)])
async def test_a_limit_is_waited_out(rig: Rig, fault: Fault, at_least: int) -> None:
    """429 and 403 REQUEST_LIMIT_EXCEEDED are limits: nothing was done, and the wish for a pause is honoured."""
    reply_to = rig.clock.now_ms()
    rig.server.fail(fault)
    ended = await rig.run("crm.create_task", TASK)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["REFUSED", "DONE"])
    assert rig.clock.now_ms() - reply_to >= at_least
    rig.server.fail(fault)
    assert (await rig.call("crm.create_task", TASK)).error_class is ErrorClass.RATE_LIMIT


async def test_a_storm_of_limits_ends_without_an_effect(rig: Rig) -> None:
    """When every call is refused for a limit the run fails as a rate limit, with one send for each permit."""
    for _ in range(10):
        rig.server.fail(Fault.RATE_LIMITED)
    ended = await rig.run("crm.create_task", TASK, retries=3)
    assert (ended.status, ended.calls) == (RunStatus.FAILED, ["REFUSED"] * 4)
    assert ended.outcome.error_class == "RATE_LIMIT"
    assert (len(rig.server.writes), rig.org.live("Task")) == (4, [])


async def test_a_locked_row_is_tried_again(rig: Rig) -> None:
    """UNABLE_TO_LOCK_ROW was rolled back, and passes."""
    deal = rig.org.create(
        "Opportunity", {"Name": "D", "StageName": "S", "CloseDate": "2026-01-01", "AccountId": rig.north}
    )
    change = {"object_type": "Opportunity", "record_id": deal, "field": "StageName", "value": "Won"}
    rig.org.locked.add(deal)
    intent = await rig.approve("crm.update_field", change)
    waiting = await rig.once(intent)
    assert waiting.run.permits[0].error_code == "UNABLE_TO_LOCK_ROW"
    rig.org.locked.clear()
    rig.clock.advance((waiting.until - rig.clock.now_ms()) / 1000)
    await rig.once(intent, Earlier.SELF, waiting.fence)
    assert (await rig.ended(intent)).calls == ["REFUSED", "DONE"]
    rig.org.readonly.add(deal)
    refused = await rig.run("crm.update_field", {**change, "value": "Lost"})
    assert (refused.status, refused.outcome.error_class) == (RunStatus.FAILED, "AUTH")
    assert refused.outcome.error_code == "INSUFFICIENT_ACCESS_OR_READONLY"


async def test_what_cannot_be_connected_to_was_not_sent(rig: Rig) -> None:
    """With nobody listening nothing leaves, which may always be tried again, and the run fails in the end."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        made = Rig(rig.server, rig.clock, instance_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        ended = await made.run("crm.create_task", TASK, retries=2)
        assert (ended.status, ended.calls) == (RunStatus.FAILED, ["NOT_SENT"] * 3)
        assert ended.outcome.error_code == "CONNECT_FAILED"
        assert (await made.look_up("crm.create_task", TASK)).found is None
        await made.close()


@pytest.mark.parametrize(
    ("changes", "environment", "code"),
    [
        ({"oauth": {"client_id": "unknown"}}, {}, "OAUTH_REFUSED"),
        ({}, {"CRM_SECRET": "wrong-secret-value"}, "OAUTH_REFUSED"),
        ({}, {"CRM_SECRET": ""}, "CONFIGURATION_ERROR"),
    ],
)
async def test_without_a_token_nothing_is_sent(
    rig: Rig, changes: dict, environment: dict[str, str], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused client, or a missing secret, ends the run at once; no secret is in what is said or logged."""
    caplog.set_level(logging.DEBUG)
    made = Rig(rig.server, rig.clock, **changes)
    made.environment.update(environment)
    ended = await made.run("crm.create_task", TASK)
    await made.close()
    assert (ended.status, ended.outcome.error_code) == (RunStatus.FAILED, code)
    assert rig.server.writes == []
    shown = f"{ended.outcome.error_message}{caplog.text}"
    assert "wrong-secret-value" not in shown
    assert rig.server.client_secret not in shown


async def test_no_secret_is_logged_stored_or_shown(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens and secrets are in no log line, however talkative, in no record and in no definition."""
    caplog.set_level(logging.DEBUG)
    rig.server.fail(Fault.ERROR_AFTER)
    ended = await rig.run("crm.create_task", TASK)
    entries = await rig.store.entries_after(0, 500)
    shown = f"{caplog.text}{entries}{ended}{rig.plane.definitions()}{vars(rig.connector)}"
    (token,) = rig.server.sessions
    assert "crm.create_task" in shown
    assert token not in shown
    assert rig.server.client_secret not in shown


async def test_a_slow_read_before_the_write_means_that_nothing_was_sent(rig: Rig) -> None:
    """When reading takes too long the call says NOT_SENT, because nothing that changes anything has left."""
    contact = rig.org.create("Contact", {"LastName": "Cruz", "AccountId": rig.north})
    rig.server.fail(Fault.SLOW, on="/sobjects/Contact")
    reply = await rig.call("crm.create_task", {**TASK, "contact_id": contact}, timeout_seconds=0.05)
    assert (reply.result.value, reply.error_code) == ("NOT_SENT", "READ_TIMEOUT")
    assert rig.server.writes == []


async def test_a_slow_answer_is_unknown(rig: Rig) -> None:
    """A request that left and was not answered in time may have had its effect."""
    rig.server.fail(Fault.SLOW)
    reply = await rig.call("crm.create_task", TASK, timeout_seconds=0.2)
    assert (reply.result.value, reply.error_class) == ("UNKNOWN", ErrorClass.TIMEOUT)
    assert (await rig.look_up("crm.create_task", TASK)).found is True


async def test_undo_deletes_what_was_created_once(rig: Rig) -> None:
    """Undo puts the record into the recycle bin; undoing twice changes nothing and is fine."""
    ended = await rig.run("crm.create_opportunity", DEAL)
    arguments = rig.undoing(ended)
    look = {"tool": "crm.delete_created", "arguments": arguments, "purpose": Purpose.COMPENSATION}
    assert (await rig.look_up(**look)).found is False
    assert (await rig.undo(ended, "crm.delete_created")).result.value == "DONE"
    assert rig.org.live("Opportunity") == []
    assert (await rig.look_up(**look)).found is True
    again = await rig.undo(ended, "crm.delete_created")
    assert (again.result.value, again.message) == ("DONE", "It was gone already.")
    assert [one.method for one in rig.server.writes] == ["POST", "DELETE"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"NextStep": "Send the contract"}, "CHANGED_SINCE"),
        ({"Enactor_Key__c": "somebody else's"}, "NOT_OURS"),
        ({"AccountId": "south"}, "ACCOUNT_MISMATCH"),
    ],
)
async def test_undo_leaves_alone_what_is_not_as_it_was_left(rig: Rig, change: dict[str, str], code: str) -> None:
    """A record that was changed, lost our key or moved to another account is not deleted."""
    ended = await rig.run("crm.create_opportunity", DEAL)
    rig.clock.advance(5)
    rig.org.update("Opportunity", ended.ref.object_id, {k: rig.south if v == "south" else v for k, v in change.items()})
    reply = await rig.undo(ended, "crm.delete_created")
    assert (reply.result.value, reply.error_code) == ("REFUSED", code)
    assert len(rig.org.live("Opportunity")) == 1


async def test_undo_needs_the_recorded_version_and_a_record_it_created(rig: Rig) -> None:
    """Without a version, with a made-up id, or for an object that is never created, undo is refused."""
    ended = await rig.run("crm.create_opportunity", DEAL)
    arguments = rig.undoing(ended)
    (ref,) = arguments["refs"]
    for changes, code in (
        ({"version": None}, "CHANGED_SINCE"),
        ({"object_id": "006000000000001AAA"}, "NOT_FOUND"),
        ({"object_type": "Account", "object_id": rig.north}, "NOTHING_TO_UNDO"),
        ({"object_id": "no id"}, "NOTHING_TO_UNDO"),
        ({"system": "internal"}, "NOTHING_TO_UNDO"),
    ):
        reply = await rig.call("crm.delete_created", {**arguments, "refs": [{**ref, **changes}]})
        assert (reply.result.value, reply.error_code) == ("REFUSED", code)
    assert len(rig.org.live("Opportunity")) == 1


async def test_refresh_tokens_work_as_well(rig: Rig) -> None:
    """An organization whose client has the refresh-token grant is served the same."""
    made = Rig(rig.server, rig.clock, oauth={"grant": "refresh_token", "refresh_token": "env:CRM_REFRESH"})
    assert (await made.run("crm.create_task", TASK)).status is RunStatus.SUCCEEDED
    await made.close()
