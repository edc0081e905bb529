"""Drafting, looking up and taking back, in a real calendar, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import caldav
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given
from enactor.conformance.radicale import Radicale
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, InvalidParameters
from enactor.domain.permit import CallResult
from tests.connectors.caldav.rig import DELETE, DRAFT, MEETING, Rig, call_of
from tests.connectors.rig import KEY, SOUTH


def witness(rig: Rig) -> caldav.Calendar:
    """The calendar as a client sees it that knows nothing of Enactor."""
    client = caldav.DAVClient(rig.radicale.home, username=rig.radicale.user, password=rig.radicale.password)
    return caldav.Calendar(client=client, url=rig.url)


async def test_an_approved_event(rig: Rig) -> None:
    """One PUT; another program finds one tentative event, at its time, with nobody invited."""
    ended = await rig.run(DRAFT, MEETING)
    assert (ended.status, ended.calls, rig.proxy.writes) == (RunStatus.SUCCEEDED, ["DONE"], ["PUT"])
    with witness(rig).client:
        (event,) = witness(rig).events()
        seen = event.icalendar_component
    assert str(seen["summary"]) == MEETING["title"]
    assert str(seen["status"]) == "TENTATIVE"
    assert str(seen["dtstart"].dt) == "2026-06-01 09:30:00+02:00"
    assert str(seen["uid"]) == ended.ref.object_id
    assert not {"ORGANIZER", "ATTENDEE"} & set(seen)
    assert ended.ref.object_url is not None
    assert rig.behind(ended.ref.object_url) == str(event.url)


async def test_a_reply_that_is_lost(rig: Rig) -> None:
    """Nobody knows, so the calendar is searched: found, and the run succeeds with one PUT."""
    rig.proxy.lose_replies_to("PUT")
    ended = await rig.run(DRAFT, MEETING)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["DONE:LOOKUP_FOUND"])
    assert rig.proxy.writes == ["PUT"]
    assert len(await rig.members()) == 1
    undone = await rig.undo(ended, DELETE)
    assert (undone.result, await rig.members()) == (CallResult.DONE, [])


async def test_a_request_that_is_lost(rig: Rig) -> None:
    """Absent until nothing can come any more, then sent again under a new permit: one event."""
    rig.proxy.answer("PUT", Given(hang_up=True))
    ended = await rig.run(DRAFT, MEETING)
    assert (ended.status, ended.calls) == (RunStatus.SUCCEEDED, ["UNKNOWN:LOOKUP_ABSENT", "DONE"])
    assert len(await rig.members()) == 1


async def test_something_is_there_already(rig: Rig) -> None:
    """412 says that, and not that we made it: the look-up finds out. What is no event of ours cannot tell."""
    await rig.call(DRAFT, MEETING)
    again = await rig.call(DRAFT, MEETING)
    assert (again.result, again.refs) == (CallResult.UNKNOWN, ())
    assert (await rig.look_up(DRAFT, MEETING)).found is True
    (url,) = await rig.members()
    text = (await rig.only()).replace("UID:enactor-", "UID:somebody-")
    await rig.radicale.request("DELETE", url)
    await rig.radicale.request("PUT", url, text.encode())
    assert (await rig.call(DRAFT, MEETING)).result is CallResult.UNKNOWN
    assert (await rig.look_up(DRAFT, MEETING)).found is None


async def test_a_server_that_renames(rig: Rig) -> None:
    """The event is found by its UID wherever the server put it; a second one is not made; undo deletes it there."""
    made = await rig.call(DRAFT, MEETING)
    (url,) = await rig.members()
    moved = await rig.radicale.request("MOVE", url, Destination=f"{rig.url}renamed.ics")
    assert moved.status_code == 201
    found = await rig.look_up(DRAFT, MEETING)
    assert found.found is True
    assert found.refs[0].object_id == made.refs[0].object_id
    assert str(found.refs[0].object_url).endswith("/renamed.ics")
    assert (await rig.call(DRAFT, MEETING)).result is CallResult.UNKNOWN  # 409: the UID is there
    assert len(await rig.members()) == 1
    assert (await rig.take_back(made.refs)).result is CallResult.DONE
    assert await rig.members() == []


async def test_changed_at_the_last_moment(rig: Rig) -> None:
    """Between the read and the DELETE somebody changes the event: the server's 412 keeps it."""
    made = await rig.call(DRAFT, MEETING)

    async def meanwhile(asked: Asked) -> None:
        if asked.method == "DELETE":
            await rig.change(str(made.refs[0].object_url))

    rig.proxy.before = meanwhile
    undone = await rig.take_back(made.refs)
    assert (undone.result, undone.error_code) == (CallResult.REFUSED, "CHANGED_SINCE")
    assert "Not so" in await rig.only()


async def test_a_lost_reply_to_a_deletion(rig: Rig) -> None:
    """UNKNOWN; the look-up finds nothing there any more, which is what was wanted."""
    made = await rig.call(DRAFT, MEETING)
    rig.proxy.lose_replies_to("DELETE")
    assert (await rig.take_back(made.refs)).result is CallResult.UNKNOWN
    assert (await rig.look_up(DELETE, rig.undo_arguments(made.refs))).found is True


async def test_deleted_by_somebody(rig: Rig) -> None:
    """There is nothing to take back, so it is done, and nothing is sent. 404 and 412 in that moment mean the same."""
    made = await rig.call(DRAFT, MEETING)
    await rig.radicale.request("DELETE", (await rig.members())[0])
    gone = await rig.take_back(made.refs)
    assert (gone.result, rig.proxy.writes) == (CallResult.DONE, ["PUT"])
    assert "gone already" in gone.message
    for status in (404, 412):
        key = f"{status}" + "0" * 61
        made = await rig.call(DRAFT, MEETING, idempotency_key=key)

        async def first(asked: Asked, status: int = status) -> Given | None:
            if asked.method == "DELETE":
                await rig.radicale.request("DELETE", (await rig.members())[0])
                return Given(status=status)
            return None

        rig.proxy.before = first
        gone = await rig.take_back(made.refs, key)
        rig.proxy.before = None
        assert (gone.result, gone.message) == (CallResult.DONE, "It was gone already."), status


async def test_without_an_etag(rig: Rig) -> None:
    """A server that gives none with the PUT is asked; one that cannot be asked leaves a version that is not known."""
    rig.proxy.after = lambda asked, given: _without_etag(given) if asked.method == "PUT" else given
    made = await rig.call(DRAFT, MEETING)
    assert made.refs[0].version
    assert (await rig.take_back(made.refs)).result is CallResult.DONE
    rig.proxy.answer("GET", Given(status=500))
    other = await rig.call(DRAFT, MEETING, idempotency_key="ef" * 32)
    assert (other.result, other.refs[0].version) == (CallResult.DONE, None)
    undone = await rig.take_back(other.refs, "ef" * 32)
    assert (undone.result, undone.error_code) == (CallResult.REFUSED, "CHANGED_SINCE")


REFUSALS = [
    (Given(status=403), "HTTP_403", ErrorClass.AUTH, False),
    (Given(status=404), "HTTP_404", ErrorClass.VALIDATION, False),
    (Given(status=423), "HTTP_423", ErrorClass.DOWNSTREAM, True),
    (Given(status=429, headers={"retry-after": "7"}), "HTTP_429", ErrorClass.RATE_LIMIT, True),
]
UNCLEAR = [
    *(Given(status=status) for status in (202, 302, 408, 409, 412, 500, 503, 507)),
    Given(status=403, body=b'<error xmlns="DAV:"><no-uid-conflict xmlns="urn:ietf:params:xml:ns:caldav"/></error>'),
    Given(raw=b"nonsense\r\n\r\n"),
    Given(status=201, body=b"x" * 10, cut_after=1),
]


@pytest.mark.parametrize(("given", "code", "error_class", "retryable"), REFUSALS)
async def test_answers_that_refuse(rig: Rig, given: Given, code: str, error_class: ErrorClass, retryable: bool) -> None:
    """Known to have left the calendar as it was."""
    rig.proxy.answer("PUT", given)
    reply = await rig.call(DRAFT, MEETING)
    assert (reply.result, reply.error_code, reply.error_class, reply.retryable) == (
        CallResult.REFUSED,
        code,
        error_class,
        retryable,
    )
    assert reply.retry_after_seconds == (7 if code == "HTTP_429" else None)


async def test_answers_that_leave_it_open(rig: Rig) -> None:
    """Everything else is UNKNOWN, and sent once."""
    for given in UNCLEAR:
        rig.proxy.answer("PUT", given)
        rig.proxy.asked.clear()
        reply = await rig.call(DRAFT, MEETING)
        assert (reply.result, rig.proxy.writes) == (CallResult.UNKNOWN, ["PUT"]), given
    assert await rig.members() == []


FOREIGN = '<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{}</D:multistatus>'
EVENT = (
    "<D:response><D:href>{href}</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop>"
    "<D:getetag>&quot;x&quot;</D:getetag><C:calendar-data>{data}</C:calendar-data></D:prop></D:propstat></D:response>"
)


@pytest.mark.parametrize(
    "href", ["https://elsewhere.example/x.ics", "/ana/other/x.ics", "../x.ics", "", "x.ics?a=b", "a/../../x.ics"]
)
async def test_a_search_that_points_elsewhere(rig: Rig, href: str) -> None:
    """A server that claims our UID for a place outside the calendar is not believed, and nothing there is called."""
    data = (await _written(rig)).decode()
    rig.proxy.answer("REPORT", Given(status=207, body=FOREIGN.format(EVENT.format(href=href, data=data)).encode()))
    assert (await rig.look_up(DRAFT, MEETING)).found is None


async def test_searches_that_leave_it_open(rig: Rig) -> None:
    """A part of the results, no calendar, no XML, an XML bomb, two of one UID: none of that is "absent"."""
    data = (await _written(rig)).decode()
    part = "<D:response><D:href>/</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + FOREIGN.format("")
    two = "".join(EVENT.format(href=name, data=data) for name in ("a.ics", "b.ics"))
    for body in (FOREIGN.format(part), FOREIGN.format(two), bomb, "<html/>", "not XML", "\udc80"):
        rig.proxy.answer("REPORT", Given(status=207, body=body.encode(errors="surrogateescape")))
        assert (await rig.look_up(DRAFT, MEETING)).found is None, body
    for status in (200, 403, 404, 500):
        rig.proxy.answer("REPORT", Given(status=status))
        assert (await rig.look_up(DRAFT, MEETING)).found is None, status
    assert (await rig.look_up(DRAFT, MEETING)).found is False


async def test_bad_arguments_are_refused_when_proposed(rig: Rig) -> None:
    """Not only by their form: a time that does not exist is refused too."""
    with pytest.raises(InvalidParameters, match="does not exist"):
        rig.plane.validate(DRAFT, {**MEETING, "start": "2026-03-29T02:30", "end": "2026-03-29T05:00"})


async def test_an_account_without_a_calendar(rig: Rig) -> None:
    """Refused, and nothing is asked."""
    for changes in ({"account_id": "west"}, {"tenant_id": "globex"}):
        reply = await rig.call(DRAFT, MEETING, **changes)
        assert (reply.result, reply.error_code) == (CallResult.REFUSED, "ACCOUNT_NOT_MAPPED")
    assert rig.proxy.asked == []


async def test_accounts_of_one_calendar(rig: Rig) -> None:
    """What a key made for one account is nothing that another one could take back, though the calendar is the same."""
    made = await rig.call(DRAFT, MEETING)
    undone = await rig.call(DELETE, rig.undo_arguments(made.refs), account_id=SOUTH, idempotency_key="cd" * 32)
    assert (undone.result, undone.error_code) == (CallResult.REFUSED, "ACCOUNT_MISMATCH")
    assert len(await rig.members()) == 1


@pytest.mark.parametrize(
    ("calendar", "wrong"),
    [
        ({"access": {"basic": {"user": "ana", "password": "env:WRONG"}}}, "UNAUTHORIZED"),
        ({"access": {"basic": {"user": "ana", "password": "env:NOT_THERE"}}}, "CONFIGURATION"),
        ({"access": {}}, "UNAUTHORIZED"),
    ],
)
async def test_credentials_that_are_not_taken(
    radicale: Radicale, rig: Rig, clock: ManualClock, calendar: dict[str, Any], wrong: str
) -> None:
    """Refused for good, and by a message that holds no secret."""
    other = Rig(radicale, rig.proxy, rig.url, clock, **calendar)
    reply = await other.call(DRAFT, MEETING)
    assert (reply.result, reply.retryable) == (CallResult.REFUSED, False)
    assert wrong in str(reply.error_code)
    assert "not the password" not in reply.message
    await other.close()


async def test_a_draft_found_past_the_tool_plane(rig: Rig) -> None:
    """`caldav` finds the event by the UID of the key, and what it deletes is absent to us."""
    made = await rig.call(DRAFT, MEETING)
    with witness(rig).client:
        witness(rig).event_by_uid(made.refs[0].object_id).delete()
    assert (await rig.look_up(DRAFT, MEETING)).found is False


async def _written(rig: Rig) -> bytes:
    """An event with the UID that `KEY` makes, which is not in the calendar."""
    from enactor.connectors.caldav.arguments import DraftEvent
    from enactor.connectors.caldav.events import uid_of, written

    call = call_of()
    return written(DraftEvent(**MEETING), uid_of(call.tenant_id, call.account_id, KEY), rig.clock.now_ms())


def _without_etag(given: Given) -> Given:
    headers = {name: value for name, value in given.headers.items() if name != "etag"}
    return Given(status=given.status, headers=headers, body=given.body)
