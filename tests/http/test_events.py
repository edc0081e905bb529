"""Event streams: complete, resumable, the caller's own, bounded, and over when they have to be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from enactor.http.streams import Streams
from tests.http.following import Following
from tests.http.world import ACCOUNT, World, problem, proposal, world_of


@pytest.fixture(params=["memory", "sqlite"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Everything here holds over each store."""
    return str(request.param)


def types(events: list[dict[str, Any]]) -> list[str]:
    """The ledger's names of events."""
    return [event["data"]["event_type"] for event in events]


async def test_an_execution_is_told_from_its_proposal_on(world: World) -> None:
    """The stream of one intent holds every entry about it as a CloudEvent, in order, and no parameter of it."""
    intent = await world.proposed(title="Confidential title")
    identity = intent["action_intent_id"]
    async with Following(world, world.ana.token, f"/v1/executions/{identity}/events") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert stream.headers["cache-control"] == "no-store"
        await world.ana.post(
            f"/v1/intents/{identity}/approve", {"approval_digest": intent["approval_digest"], "comment": "Secret"}
        )
        events = await stream.events_until("ACTION_EXECUTED")
    told = types(events)
    assert told[:3] == ["INTENT_PROPOSED", "POLICY_EVALUATED", "ACTION_APPROVED"]
    assert told[-2:] == ["TOOL_INVOKED", "ACTION_EXECUTED"]
    assert [event["data"]["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [event["_id"] for event in events] == sorted({event["_id"] for event in events})
    for event in events:
        assert (event["specversion"], event["subject"]) == ("1.0", identity)
        assert event["data"]["action_intent_id"] == identity
    assert "Confidential" not in str(events)
    assert "Secret" not in str(events)


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_stream_goes_on_where_it_broke(world: World, by_header: bool) -> None:
    """After Last-Event-ID comes what came after it: nothing twice, nothing missing."""
    intent = await world.executed()
    path = f"/v1/executions/{intent['action_intent_id']}/events"
    async with Following(world, world.ana.token, path) as stream:
        whole = await stream.events_until("ACTION_EXECUTED")
    for position, event in enumerate(whole[:-1]):
        query = "" if by_header else f"last_event_id={event['_id']}"
        headers = {"last-event-id": str(event["_id"])} if by_header else {}
        async with Following(world, world.ana.token, path, query, headers) as stream:
            assert await stream.events_until("ACTION_EXECUTED") == whole[position + 1 :]


async def test_everything_is_told_from_now_on(world: World) -> None:
    """Without Last-Event-ID the stream of all events begins now; with 0 it begins at the beginning."""
    before = await world.executed()
    async with Following(world, world.ana.token, "/v1/events") as stream:
        after = await world.approved()
        events = await stream.events_until("ACTION_EXECUTED")
        assert {event["subject"] for event in events} == {after["action_intent_id"]}
    async with Following(world, world.ana.token, "/v1/events", headers={"last-event-id": "0"}) as stream:
        events = await stream.events_until("ACTION_EXECUTED")
        assert {event["subject"] for event in events} == {before["action_intent_id"]}


async def test_a_burst_is_told_whole(world: World) -> None:
    """More entries at once than a page of the store holds all arrive, once each."""
    async with Following(world, world.ana.token, "/v1/events") as stream:
        items = [proposal(title=f"n{number}") for number in range(300)]
        made = (await world.agent.post("/v1/intents/batch", {"items": items})).json()["items"]
        events = [await stream.event() for _ in range(600)]
    subjects = [event["subject"] for event in events if event["data"]["event_type"] == "INTENT_PROPOSED"]
    assert sorted(subjects) == sorted(item["intent"]["action_intent_id"] for item in made)
    assert len({event["id"] for event in events}) == 600


async def test_streams_show_the_callers_own(world: World) -> None:
    """Another tenant's events, another account's and, for a proposer, another proposer's, do not reach the stream."""
    eve = world.caller("eve", "proposer", tenant="globex")
    other = world.caller("other", "proposer")
    narrow = world.caller("narrow", "approver", accounts=("acc-2",)).token
    planner = world.agent.token
    async with (
        Following(world, world.ana.token, "/v1/events") as all_of_acme,
        Following(world, narrow, "/v1/events") as one_account,
        Following(world, planner, "/v1/events") as own_only,
    ):
        await eve.post("/v1/intents", proposal())
        body = {"enabled": True, "reason": "x"}
        await world.caller("olga", "operator").put("/v1/kill-switches/action-type:NOTHING", body)
        theirs = (await other.post("/v1/intents", proposal())).json()["action_intent_id"]
        elsewhere = (await other.post("/v1/intents", {**proposal(), "account_id": "acc-2"})).json()["action_intent_id"]
        mine = (await world.proposed())["action_intent_id"]
        seen = [(await all_of_acme.event())["subject"] for _ in range(7)]
        assert seen == ["_tenant", theirs, theirs, elsewhere, elsewhere, mine, mine]
        assert [(await one_account.event())["subject"] for _ in range(2)] == [elsewhere, elsewhere]
        assert [(await own_only.event())["subject"] for _ in range(2)] == [mine, mine]


async def test_a_silent_stream_says_that_it_is_there(world: World) -> None:
    """After fifteen seconds without an event a comment is sent, and events come after it as before."""
    asleep = world.clock.asleep
    async with Following(world, world.ana.token, "/v1/events") as stream:
        assert await stream.block() == "retry: 2000"
        for _ in range(3):
            await world.clock.until_asleep(asleep + 1)
            world.clock.advance(15)
            assert (await stream.block() or "").startswith(":")
        await world.proposed()
        assert types([await stream.event()]) == ["INTENT_PROPOSED"]


async def test_a_client_that_leaves_leaves_nothing(world: World) -> None:
    """When the client goes away its stream ends, and its place is free."""
    async with Following(world, world.ana.token, "/v1/events"):
        assert world.deps.streams.followed == 1
    assert world.deps.streams.followed == 0


async def test_streams_end_when_the_server_stops(world: World) -> None:
    """At drain every stream ends properly, and a new one is told to come back."""
    async with (
        Following(world, world.ana.token, "/v1/events") as stream,
        Following(world, world.agent.token, "/v1/events") as another,
    ):
        world.deps.streams.drain()
        await stream.end()
        await another.end()
    problem(await world.ana.get("/v1/events"), 503, "UNAVAILABLE")


async def test_streams_end_with_the_engine(world: World) -> None:
    """A stream notices by itself that the engine takes nothing any more."""
    asleep = world.clock.asleep
    async with Following(world, world.ana.token, "/v1/events") as stream:
        await world.clock.until_asleep(asleep + 1)
        await world.assembly.engine.drain(1)
        world.clock.advance(15)
        await stream.end()


async def test_a_stream_ends_with_its_token(world: World) -> None:
    """No stream outlives the token it was opened with."""
    asleep = world.clock.asleep
    token = world.token("ana", "approver", lifetime_seconds=40)
    async with Following(world, token, "/v1/events") as stream:
        for _ in range(5):
            await world.clock.until_asleep(asleep + 1)
            world.clock.advance(15)
        await stream.end()


async def test_streams_are_bounded(key_file: Path) -> None:
    """A principal follows so many streams and everybody together so many; one that ends makes room."""
    async with world_of(key_file, streams=Streams(per_principal=2, altogether=3)) as world:
        ana, ben, cleo = (world.caller(who, "approver") for who in ("ana", "ben", "cleo"))
        async with Following(world, ana.token, "/v1/events"):
            async with Following(world, ana.token, "/v1/events"):
                response = await ana.get("/v1/events")
                assert problem(response, 429, "TOO_MANY_STREAMS")["retryable"] is True
                assert response.headers["retry-after"]
                async with Following(world, ben.token, "/v1/events") as stream:
                    assert stream.status == 200
                    problem(await cleo.get("/v1/events"), 429, "TOO_MANY_STREAMS")
            async with Following(world, ana.token, "/v1/events") as stream:
                assert stream.status == 200


async def test_many_follow_at_once(world: World) -> None:
    """Ten streams of different callers each tell the same events."""
    callers = [world.caller(f"reader-{number}", "auditor", accounts=(ACCOUNT,)) for number in range(10)]
    streams = [Following(world, caller.token, "/v1/events") for caller in callers]
    for stream in streams:
        await stream.__aenter__()
    await world.approved()
    told = await asyncio.gather(*(stream.events_until("ACTION_EXECUTED") for stream in streams))
    assert all(events == told[0] for events in told)
    for stream in streams:
        await stream.__aexit__(None, None, None)
