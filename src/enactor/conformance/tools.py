"""The behavioural suite of the tool plane. A plane is supported when its subclass of `ToolPlaneConformance` passes.

A subclass provides the fixture `make_plane`: a callable that offers the scripted target's tools through the plane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Act, Point, Target
from enactor.domain.canonical import canonical
from enactor.domain.errors import InvalidParameters
from enactor.domain.permit import CallResult, Purpose
from enactor.ports.tools import CallRequest, ToolPlane

MakePlane = Callable[[Target], ToolPlane]

# What the call does → its result, whether the situation may pass, and whether a request left.
ENDS = {
    Act.DO: (CallResult.DONE, False, True),
    Act.DO_PARTLY: (CallResult.DONE, False, True),
    Act.NOT_SENT: (CallResult.NOT_SENT, True, False),
    Act.NEVER_SENT: (CallResult.NOT_SENT, False, False),
    Act.REFUSE: (CallResult.REFUSED, True, True),
    Act.REFUSE_FOR_GOOD: (CallResult.REFUSED, False, True),
    Act.DO_AND_LOSE_REPLY: (CallResult.UNKNOWN, True, True),
    Act.LOSE_REQUEST: (CallResult.UNKNOWN, True, True),
    Act.TIME_OUT: (CallResult.UNKNOWN, True, True),
    Act.TALK_NONSENSE: (CallResult.UNKNOWN, False, True),
}


def timely() -> bool:
    """A caller that is in time."""
    return True


class ToolPlaneConformance:
    """Everything that every tool plane promises."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The target's time."""
        return ManualClock()

    @pytest.fixture
    def target(self, clock: ManualClock) -> Target:
        """The scripted target."""
        return Target(clock)

    @pytest.fixture
    def plane(self, target: Target, make_plane: MakePlane) -> ToolPlane:
        """The plane, with the target behind it."""
        return make_plane(target)

    @staticmethod
    def request(tool: str = "keyed", **changes: Any) -> CallRequest:
        """A call of a tool of the target."""
        request = CallRequest(
            tenant_id="acme",
            account_id="north",
            action_intent_id="ai_1",
            run_number=1,
            call_no=1,
            purpose=Purpose.EFFECT,
            tool_name=f"target.{tool}",
            tool_schema_version="1",
            argument_bytes='{"item":"tea"}',
            idempotency_key="key-1",
            trace_id="0" * 32,
            send_not_after=0,
            timeout_seconds=60,
        )
        return replace(request, **changes)

    # -- calls ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("act", ENDS)
    async def test_each_way_a_call_can_end(self, target: Target, plane: ToolPlane, act: Act) -> None:
        """One of four results, never an exception, and exactly one request for it."""
        target.script(act)
        reply = await plane.call(self.request(), timely)
        result, retryable, sent = ENDS[act]
        assert (reply.result, reply.retryable, len(target.sent)) == (result, retryable, sent)
        assert bool(reply.refs) is (result is CallResult.DONE)
        assert reply.partial is (act is Act.DO_PARTLY)
        assert bool(reply.error_code) is (result is not CallResult.DONE)
        assert bool(reply.error_class) is (result is not CallResult.DONE)

    async def test_what_the_target_asks_for_is_passed_on(self, target: Target, plane: ToolPlane) -> None:
        """Its code, its words and its Retry-After."""
        target.script(Act.REFUSE)
        reply = await plane.call(self.request(), timely)
        assert (reply.error_code, reply.message, reply.retry_after_seconds) == ("BUSY", "The target is busy.", 7)

    async def test_what_a_failure_says_is_not_shown(self, target: Target, plane: ToolPlane) -> None:
        """The text of an exception may hold anything; none of it is in the reply."""
        target.script(Act.LOSE_REQUEST)
        reply = await plane.call(self.request(), timely)
        assert "the request was lost" not in str(reply)

    @pytest.mark.parametrize("late_at", [1, 2])
    async def test_a_caller_that_is_late_sends_nothing(self, target: Target, plane: ToolPlane, late_at: int) -> None:
        """Asked at the door, and again by the tool immediately before the request leaves."""
        asked = 0

        def check() -> bool:
            nonlocal asked
            asked += 1
            return asked < late_at

        reply = await plane.call(self.request(), check)
        assert (reply.result, reply.retryable, reply.error_code) == (CallResult.NOT_SENT, True, "TOO_LATE_TO_SEND")
        assert (asked, target.sent) == (late_at, [])

    async def test_a_reply_that_does_not_come(self, target: Target, plane: ToolPlane) -> None:
        """After the call's own timeout nobody knows, and the call is broken off."""
        hold = target.hold(Point.REPLY)
        reply = await plane.call(self.request(timeout_seconds=0.01), timely)
        assert (reply.result, reply.error_class, reply.error_code) == (CallResult.UNKNOWN, "TIMEOUT", "TOOL_TIMEOUT")
        assert not hold.stands

    async def test_a_call_that_is_cancelled_is_not_a_reply(self, target: Target, plane: ToolPlane) -> None:
        """The caller's own cancellation passes through: there is nobody left to take a result."""
        hold = target.hold(Point.SEND)
        call = asyncio.create_task(plane.call(self.request(), timely))
        await hold.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert target.sent == []

    async def test_the_key_goes_with_the_call(self, target: Target, plane: ToolPlane) -> None:
        """The same key makes the same object, another key another one; the target sees whose call it is."""
        refs = [(await plane.call(self.request(idempotency_key=key), timely)).refs for key in ("a", "a", "b")]
        assert refs[0] == refs[1] != refs[2]
        assert [(sent.tenant_id, sent.key) for sent in target.sent] == [("acme", "a"), ("acme", "a"), ("acme", "b")]

    async def test_calls_do_not_stand_in_each_others_way(self, target: Target, plane: ToolPlane) -> None:
        """Two at once are two at once."""
        gate = target.gate(Point.REPLY)
        calls = [asyncio.create_task(plane.call(self.request(), timely)) for _ in range(2)]
        await gate.reached.wait()
        await target.crowded.wait()
        gate.release()
        assert [reply.result for reply in await asyncio.gather(*calls)] == [CallResult.DONE] * 2

    @pytest.mark.parametrize(
        "changes",
        [
            {"tool_name": "target.unheard_of"},
            {"argument_bytes": '{"item":1}'},
            {"argument_bytes": '{"unheard_of":"x"}'},
            {"argument_bytes": '{"item":{"$secret":"NOT_THERE"}}'},
        ],
    )
    async def test_a_call_that_cannot_be_made(self, target: Target, plane: ToolPlane, changes: dict[str, Any]) -> None:
        """No such tool, arguments that no longer fit, a secret that is not there: not sent, and not worth a retry."""
        reply = await plane.call(replace(self.request(), **changes), timely)
        assert (reply.result, reply.retryable) == (CallResult.NOT_SENT, False)
        assert target.sent == []

    # -- look-ups ------------------------------------------------------------------------------------------------

    async def test_a_look_up_finds_what_the_key_made(self, target: Target, plane: ToolPlane) -> None:
        """Found with its refs, absent, or cannot tell; and nothing is sent."""
        made = await plane.call(self.request("searched"), timely)
        found = await plane.look_up(self.request("searched"))
        assert (found.found, found.refs) == (True, made.refs)
        assert (await plane.look_up(self.request("searched", idempotency_key="other"))).found is False
        target.blind = True
        assert (await plane.look_up(self.request("searched"))).found is None
        assert len(target.sent) == 1

    @pytest.mark.parametrize("tool", ["unsafe", "unheard_of"])
    async def test_what_cannot_be_looked_up_cannot_tell(self, plane: ToolPlane, tool: str) -> None:
        """A tool without a look-up, or none at all, is never "absent"."""
        assert (await plane.look_up(self.request(tool))).found is None

    async def test_a_look_up_that_fails_cannot_tell(self, target: Target, plane: ToolPlane) -> None:
        """Too slow, or arguments that no longer fit: trouble is never "absent"."""
        target.hold(Point.LOOK_UP)
        assert (await plane.look_up(self.request("searched", timeout_seconds=0.01))).found is None
        assert (await plane.look_up(self.request("searched", argument_bytes='{"item":1}'))).found is None

    # -- definitions ---------------------------------------------------------------------------------------------

    def test_definitions(self, plane: ToolPlane) -> None:
        """Every tool by name, each as its connector declares it."""
        definitions = plane.definitions()
        assert {"target.keyed", "target.searched", "target.unsafe", "target.take_back"} <= set(definitions)
        for name, definition in definitions.items():
            assert definition.tool_name == name
            assert plane.definition(name) == definition
        assert plane.definition("target.unheard_of") is None
        assert definitions["target.searched"].write_semantics.has_lookup
        assert not definitions["target.unsafe"].write_semantics.has_lookup

    def test_an_undoing_tools_semantics_are_pinned(self, plane: ToolPlane) -> None:
        """What takes an effect back is declared with the promise of its own tool, look-up or not."""
        for name in ("target.partial", "target.partial_unsafe"):
            definition = plane.definition(name)
            assert definition is not None
            undoing = plane.definition(definition.compensation.tool_name or "")
            assert undoing is not None
            assert definition.compensation.write_semantics == undoing.write_semantics
            assert definition.compensation.tool_schema_version == undoing.tool_schema_version

    def test_definition_hashes_are_stable_and_different(
        self, plane: ToolPlane, clock: ManualClock, make_plane: MakePlane
    ) -> None:
        """The same declaration has the same hash in every process; two tools never share one."""
        again = make_plane(Target(clock)).definitions()
        hashes = {name: definition.definition_hash for name, definition in plane.definitions().items()}
        assert hashes == {name: definition.definition_hash for name, definition in again.items()}
        assert len(set(hashes.values())) == len(hashes)

    @pytest.mark.parametrize("arguments", [{"item": 1}, {"unheard_of": "x"}, {"item": None}])
    def test_arguments_are_validated(self, plane: ToolPlane, arguments: dict[str, Any]) -> None:
        """What would not fit when executed is refused when proposed, and the error names the argument."""
        with pytest.raises(InvalidParameters) as refused:
            plane.validate("target.keyed", arguments)
        assert refused.value.details["parameter"] in arguments
        plane.validate("target.keyed", {"item": "tea"})
        assert canonical(arguments)
