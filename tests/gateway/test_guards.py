"""The guards around calls: what closes a door, for whom, for how long, and what opens it again."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act, Point, Target
from enactor.conformance.tools import ToolPlaneConformance, timely
from enactor.domain.errors import ConfigurationError, ErrorClass
from enactor.domain.permit import CallResult
from enactor.gateway import guards as guards_module
from enactor.gateway.doors import GuardRules, health
from enactor.gateway.guard_metrics import GuardsCollector
from enactor.gateway.guards import GuardedPlane, Guards
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.ports.tools import CallRequest, LookUpResult, Reply


class Guarded:
    """The scripted target behind guards."""

    def __init__(self, **rules: Any) -> None:
        self.clock = ManualClock()
        self.target = Target(self.clock)
        self.inner = InProcessToolPlane([self.target], EnvFileSecrets({}))
        self.plane = GuardedPlane(self.inner, Guards(default=GuardRules(**rules)), self.clock)

    def request(self, tool: str = "keyed", **changes: Any) -> CallRequest:
        """A call that may be sent for another five seconds."""
        return ToolPlaneConformance.request(tool, send_not_after=self.clock.elapsed_ms() + 5_000, **changes)

    async def call(self, *acts: Act, **changes: Any) -> Reply:
        """One call; the target does what it is told, or what was asked."""
        self.target.script(*acts)
        return await self.plane.call(self.request(**changes), timely)

    def started(self, **changes: Any) -> asyncio.Task[Reply]:
        """One call, on its way."""
        return asyncio.create_task(self.plane.call(self.request(**changes), timely))


async def test_failures_in_a_row_close_the_door_and_one_probe_opens_it() -> None:
    """Three failures, then nothing is sent for thirty seconds; then one call is the probe and others wait for it."""
    guarded = Guarded(failures=3)
    for act in (Act.LOSE_REQUEST, Act.NOT_SENT, Act.TIME_OUT):
        assert (await guarded.call(act)).deferred_reason == ""
    reply = await guarded.call()
    assert (reply.result, reply.error_code, reply.retryable) == (CallResult.NOT_SENT, "DOOR_CLOSED", True)
    assert reply.deferred_reason == "target is not called for now: 3 calls in a row failed"
    assert reply.retry_after_seconds == 30
    sent = len(guarded.target.sent)
    guarded.clock.advance(29.9)
    assert (await guarded.call()).deferred_reason
    assert len(guarded.target.sent) == sent
    guarded.clock.advance(0.1)
    hold = guarded.target.hold(Point.REPLY)
    probe = guarded.started()
    await hold.reached.wait()
    beside = await guarded.call()
    assert beside.deferred_reason
    assert 1 <= (beside.retry_after_seconds or 0) < 2
    hold.release()
    assert (await probe).result is CallResult.DONE
    assert (await guarded.call()).result is CallResult.DONE
    assert len(guarded.target.sent) == sent + 2


async def test_a_probe_that_fails_closes_the_door_for_longer() -> None:
    """Thirty seconds, then sixty, and never longer than the longest; a probe that comes back opens it as before."""
    guarded = Guarded(failures=1, longest_open_seconds=100)
    await guarded.call(Act.LOSE_REQUEST)
    for seconds in (30, 60, 100, 100):
        guarded.clock.advance(seconds - 0.001)
        assert (await guarded.call()).deferred_reason
        guarded.clock.advance(0.001)
        assert (await guarded.call(Act.LOSE_REQUEST)).result is CallResult.UNKNOWN
    guarded.clock.advance(100)
    await guarded.call()
    await guarded.call(Act.LOSE_REQUEST)
    guarded.clock.advance(30)
    assert (await guarded.call()).result is CallResult.DONE


@pytest.mark.parametrize("act", [Act.REFUSE_FOR_GOOD, Act.DO])
async def test_what_the_target_answers_is_no_failure(act: Act) -> None:
    """A refusal for good is the target at work: it begins the count anew."""
    guarded = Guarded(failures=2)
    for _ in range(4):
        await guarded.call(Act.LOSE_REQUEST)
        assert (await guarded.call(act)).deferred_reason == ""
    assert len(guarded.target.sent) == 8


def test_what_says_something_about_the_target() -> None:
    """Transport, silence, 429 and 503 speak against it; validation and its own words for it; our faults neither."""
    bad = {"retryable": True, "error_class": ErrorClass.DOWNSTREAM}
    cases: list[tuple[CallResult, dict[str, Any], bool | None]] = [
        (CallResult.DONE, {}, True),
        (CallResult.UNKNOWN, {}, False),
        (CallResult.UNKNOWN, {"answered": True}, True),
        (CallResult.REFUSED, bad, False),
        (CallResult.REFUSED, {**bad, "error_class": ErrorClass.RATE_LIMIT}, False),
        (CallResult.REFUSED, {**bad, "answered": True}, True),
        (CallResult.REFUSED, {"error_class": ErrorClass.VALIDATION}, True),
        (CallResult.REFUSED, {"retryable": True, "error_class": ErrorClass.AUTH}, None),
        (CallResult.NOT_SENT, bad, False),
        (CallResult.NOT_SENT, {**bad, "retryable": False}, None),
        (CallResult.NOT_SENT, {**bad, "error_code": "TOO_LATE_TO_SEND"}, None),
        (CallResult.NOT_SENT, {**bad, "deferred_reason": "another door"}, None),
    ]
    for result, more, expected in cases:
        assert health(Reply(result=result, **more)) is expected, (result, more)


async def test_a_pause_that_was_asked_for_is_kept() -> None:
    """One 429 with Retry-After closes the door for that long, within bounds; then a probe goes first."""
    guarded = Guarded()
    refused = await guarded.call(Act.REFUSE)
    assert (refused.result, refused.retry_after_seconds) == (CallResult.REFUSED, 7)
    reply = await guarded.call()
    assert reply.deferred_reason == "target is not called for now: it asked for a pause"
    assert reply.retry_after_seconds == 7
    guarded.clock.advance(7)
    await guarded.call(Act.REFUSE)
    assert (await guarded.call()).deferred_reason
    assert len(guarded.target.sent) == 2
    short = Guarded(longest_pause_seconds=2)
    await short.call(Act.REFUSE)
    assert (await short.call()).retry_after_seconds == 2


async def test_those_put_off_come_back_one_after_the_other() -> None:
    """Each is told to come a little later than the one before."""
    guarded = Guarded()
    await guarded.call(Act.REFUSE)
    waits = [(await guarded.call()).retry_after_seconds or 0 for _ in range(50)]
    assert waits == sorted(set(waits))
    assert waits[0] == 7
    assert waits[-1] < 9


async def test_so_many_at_once() -> None:
    """A third call waits for one of two to come back; what waits too long is put off, and nobody waits behind it."""
    guarded = Guarded(concurrency=2)
    gate = guarded.target.gate(Point.REPLY)
    out = [guarded.started() for _ in range(4)]
    await guarded.clock.until_asleep(2)
    assert len(guarded.target.sent) == 2
    fifth = await guarded.call()
    assert fifth.deferred_reason == "2 calls to target are out already"
    guarded.clock.advance(2)
    late = await asyncio.gather(*out[2:])
    assert [reply.error_code for reply in late] == ["DOOR_CLOSED"] * 2
    assert len(guarded.target.sent) == 2
    waiting = guarded.started()
    await guarded.clock.until_asleep(1)
    gate.release()
    assert [reply.result for reply in await asyncio.gather(waiting, *out[:2])] == [CallResult.DONE] * 3
    assert guarded.plane.counts()["target"].out == 0


async def test_look_ups_take_room_and_are_never_kept_waiting() -> None:
    """Two look-ups are out where one call may be: a call waits until both have come back."""
    guarded = Guarded(concurrency=1)
    holds = [guarded.target.hold(Point.LOOK_UP, number) for number in (1, 2)]
    looks = [
        asyncio.create_task(guarded.plane.look_up(guarded.request("searched", call_no=number))) for number in (1, 2)
    ]
    for hold in holds:
        await hold.reached.wait()
    waiting = guarded.started()
    await guarded.clock.until_asleep(1)
    holds[0].release()
    await looks[0]
    assert (guarded.target.sent, guarded.plane.counts()["target"].out) == ([], 1)
    holds[1].release()
    assert (await waiting).result is CallResult.DONE
    await looks[1]
    assert guarded.plane.counts()["target"].out == 0


async def test_a_caller_that_goes_away_leaves_its_place() -> None:
    """Cancelled while it waits, or in its call: the place is free, and nothing is known of the target by that."""
    guarded = Guarded(concurrency=1, failures=1)
    gate = guarded.target.gate(Point.REPLY)
    first, waits = guarded.started(), guarded.started()
    await guarded.clock.until_asleep(1)
    waits.cancel()
    first.cancel()
    await asyncio.gather(first, waits, return_exceptions=True)
    gate.release()
    assert (await guarded.call()).result is CallResult.DONE
    assert guarded.plane.counts()["target"].out == 0


async def test_so_many_a_minute() -> None:
    """A burst of two, then one every six seconds; look-ups count and are not held back."""
    guarded = Guarded(calls_per_minute=10, burst=2)
    assert [(await guarded.call()).result for _ in range(2)] == [CallResult.DONE] * 2
    reply = await guarded.call()
    assert (reply.result, reply.error_class) == (CallResult.NOT_SENT, ErrorClass.RATE_LIMIT)
    assert reply.deferred_reason == "target is called 10 times a minute at most"
    assert reply.retry_after_seconds == 6
    assert (await guarded.call()).retry_after_seconds == 12
    assert (await guarded.plane.look_up(guarded.request("searched"))).found is not None
    guarded.clock.advance(6)
    await guarded.plane.look_up(guarded.request("searched"))
    assert (await guarded.call()).deferred_reason
    guarded.clock.advance(6)
    assert (await guarded.call()).result is CallResult.DONE


async def test_tenants_and_connectors_have_doors_of_their_own() -> None:
    """One tenant's trouble is not another's."""
    guarded = Guarded(failures=1)
    await guarded.call(Act.LOSE_REQUEST)
    assert (await guarded.call()).deferred_reason
    assert (await guarded.call(tenant_id="globex")).result is CallResult.DONE


async def test_look_ups_are_put_off_and_not_answered() -> None:
    """While the door is closed a look-up says why and until when; when it may be opened, it is the probe."""
    guarded = Guarded(failures=1)
    await guarded.call(Act.LOSE_REQUEST)
    put_off = await guarded.plane.look_up(guarded.request("searched"))
    assert (put_off.found, put_off.retry_after_seconds) == (None, 30)
    assert put_off.deferred_reason.startswith("target is not called")
    assert guarded.target.look_ups == 0
    guarded.clock.advance(30)
    guarded.target.blind = True
    assert (await guarded.plane.look_up(guarded.request("searched"))).deferred_reason == ""
    guarded.target.blind = False
    assert (await guarded.plane.look_up(guarded.request("searched", idempotency_key="x"))).found is False
    assert (await guarded.call()).result is CallResult.DONE


async def test_reads_that_work_forgive_no_failed_writes() -> None:
    """A target that answers every look-up and no call is found out all the same."""
    guarded = Guarded(failures=3)
    for _ in range(3):
        assert (await guarded.call(Act.LOSE_REQUEST, tool="searched")).deferred_reason == ""
        await guarded.plane.look_up(guarded.request("searched"))
    assert (await guarded.call(tool="searched")).deferred_reason


async def test_a_plane_that_forgets_the_time_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one place that holds for every plane: what had been sent is unknown, what had not is not sent."""
    monkeypatch.setattr(guards_module, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(InProcessToolPlane, "keeps_time", False)
    guarded = Guarded(timeout_seconds=0.01)
    hanging = asyncio.Event()

    async def hang(request: CallRequest, check: Callable[[], bool]) -> Reply:
        if request.tool_name.endswith("unsafe"):
            check()
        await hanging.wait()
        raise AssertionError("nobody lets it go on")

    async def hang_too(request: CallRequest) -> LookUpResult:
        await hanging.wait()
        raise AssertionError("nobody lets it go on")

    monkeypatch.setattr(guarded.inner, "call", hang)
    monkeypatch.setattr(guarded.inner, "look_up", hang_too)
    replies = [
        await guarded.plane.call(msgspec.structs.replace(guarded.request(tool), send_not_after=0), timely)
        for tool in ("unsafe", "keyed")
    ]
    assert [(reply.result, reply.error_class) for reply in replies] == [
        (CallResult.UNKNOWN, ErrorClass.TIMEOUT),
        (CallResult.NOT_SENT, ErrorClass.TIMEOUT),
    ]
    looked = await guarded.plane.look_up(guarded.request("searched", timeout_seconds=0.01))
    assert (looked.found, looked.deferred_reason) == (None, "")


async def test_doors_that_know_nothing_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of tenants take a bounded place, and none that is shut out gets in by that."""
    monkeypatch.setattr(guards_module, "_DOORS", 10)
    guarded = Guarded(failures=1)
    await guarded.call(Act.LOSE_REQUEST, tenant_id="shut-out")
    for number in range(40):
        await guarded.call(tenant_id=f"tenant-{number}")
    assert sum(guarded.plane.counts()["target"].states.values()) <= 10
    assert (await guarded.call(tenant_id="shut-out")).deferred_reason


async def test_metrics_tell_connectors_apart_and_no_tenants() -> None:
    """How many are out, what state doors are in, and what was put off and why."""
    guarded = Guarded(failures=1)
    await guarded.call(Act.LOSE_REQUEST)
    await guarded.call()
    await guarded.call(tenant_id="globex")
    registry = CollectorRegistry()
    registry.register(GuardsCollector(guarded.plane.counts))
    text = generate_latest(registry).decode()
    assert 'enactor_gateway_calls_out{connector="target"} 0.0' in text
    assert 'enactor_gateway_doors{connector="target",state="open"} 1.0' in text
    assert 'enactor_gateway_doors{connector="target",state="closed"} 1.0' in text
    assert 'enactor_gateway_put_off_total{connector="target",reason="open"} 1.0' in text
    assert "acme" not in text


def test_rules_for_a_connector_that_is_not_there() -> None:
    """A misspelled name is an error when the program starts."""
    guards = Guards(connectors={"crm": GuardRules()})
    with pytest.raises(ConfigurationError, match="'crm', which is no connector; there are: internal"):
        guards.check({"internal"})
    guards.check({"crm"})
