"""The suite of connectors: what every tool that can be called again promises, against a target that can be counted.

    class TestTickets(ConnectorConformance):
        @pytest.fixture
        async def subject(self) -> AsyncIterator[Subject]:
            board = Board()
            yield TicketSubject(Tickets(board), board)

A `Subject` says which tool to call with what, and looks at the target past the connector: how many objects are there,
how many writes arrived, and an object changed by somebody else.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from enactor.connectors.sdk import Connector, PreviewResult, ToolCall
from enactor.domain.action_type import CompensationStrategy, WriteMode
from enactor.domain.canonical import canonical, sha256_hex
from enactor.domain.errors import InvalidParameters
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, Purpose
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.ports.tools import CallRequest, LookUpResult, Reply, ToolDefinition

KEY = sha256_hex(b"a key")
OTHER_KEY = sha256_hex(b"another key")
UNDO_KEY = sha256_hex(b"the key of an undo")
ELSEWHERE = "a-tenant-that-has-nothing-here"


def timely() -> bool:
    """A caller that is in time."""
    return True


class Subject(ABC):
    """One tool of a connector, and its target as somebody sees it who does not use the connector.

    Attributes:
        tool: the tool's name, such as `tickets.create`.
        arguments: what it is called with; every call of it makes one object.
        bad_arguments: what must be refused when it is proposed.
        tenant_id: a tenant that the connector serves.
        account_id: an account of it.
        other_account: another account of it, which must not reach the first one's objects.

    Args:
        connector: the connector, ready to be called.
    """

    tool: ClassVar[str]
    arguments: ClassVar[Mapping[str, Any]]
    bad_arguments: ClassVar[Sequence[Mapping[str, Any]]]
    tenant_id: ClassVar[str] = "acme"
    account_id: ClassVar[str] = "north"
    other_account: ClassVar[str] = "south"

    def __init__(self, connector: Connector) -> None:
        self.connector = connector

    @abstractmethod
    async def objects(self) -> int:
        """How many objects are at the target."""

    @abstractmethod
    async def writes(self) -> int:
        """How many requests that change something have arrived at the target."""

    @abstractmethod
    async def change(self, ref: ObjectRef) -> None:
        """Changes an object as somebody else would."""


class Plane:
    """The connector behind the real tool plane, called as the pipeline calls it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._plane = InProcessToolPlane([subject.connector], EnvFileSecrets({}, {}))

    def definition(self, tool: str | None = None) -> ToolDefinition:
        """The declaration of the tool under test, or of another one of the connector."""
        found = self._plane.definition(tool or self.subject.tool)
        assert found is not None, f"the connector has no tool {tool or self.subject.tool}"
        return found

    def request(self, **changes: Any) -> CallRequest:
        """One permitted call of the tool."""
        arguments = changes.pop("arguments", self.subject.arguments)
        fields: dict[str, Any] = {
            "tenant_id": self.subject.tenant_id,
            "account_id": self.subject.account_id,
            "action_intent_id": "ai_conformance",
            "run_number": 1,
            "call_no": 1,
            "purpose": Purpose.EFFECT,
            "tool_name": self.subject.tool,
            "tool_schema_version": self.definition().tool_schema_version,
            "argument_bytes": canonical(arguments).decode(),
            "idempotency_key": KEY,
            "trace_id": "0" * 32,
            "send_not_after": 2**62,
            "timeout_seconds": 30.0,
        }
        return CallRequest(**{**fields, **changes})

    async def call(self, **changes: Any) -> Reply:
        """Makes a call."""
        return await self._plane.call(self.request(**changes), timely)

    async def call_checked(self, *answers: bool) -> tuple[Reply, int]:
        """Makes a call whose checks are answered so, and says how many were asked."""
        asked = 0

        def check() -> bool:
            nonlocal asked
            asked += 1
            return answers[min(asked, len(answers)) - 1]

        return await self._plane.call(self.request(), check), asked

    async def look_up(self, **changes: Any) -> LookUpResult:
        """Looks up what a call did."""
        return await self._plane.look_up(self.request(**changes))

    async def made(self) -> Reply:
        """What the tool made, which is the one object there is."""
        reply = await self.call()
        assert reply.result is CallResult.DONE, reply
        return reply

    def undoing(self, reply: Reply, key: str = KEY, **changes: Any) -> dict[str, Any]:
        """The changes of a request that make it take back what a reply names."""
        arguments = {
            "original_key": key,
            "refs": msgspec.to_builtins(reply.refs),
            "original_arguments": dict(self.subject.arguments),
        }
        return {
            "tool_name": self.definition().compensation.tool_name,
            "purpose": Purpose.COMPENSATION,
            "arguments": arguments,
            "idempotency_key": UNDO_KEY,
            "original": reply.refs,
            "original_key": key,
            **changes,
        }

    def validate(self, arguments: Mapping[str, Any]) -> None:
        """Checks arguments as a proposal does."""
        self._plane.validate(self.subject.tool, arguments)


class ConnectorConformance:
    """What a tool promises that is `IDEMPOTENT` or `LOOKUP`, can be looked up, and can be taken back."""

    @pytest.fixture
    def plane(self, subject: Subject) -> Plane:
        """The connector behind the tool plane. `subject` is the fixture that the subclass gives."""
        return Plane(subject)

    # -- what is declared ------------------------------------------------------------------------------------------

    def test_what_it_declares(self, plane: Plane) -> None:
        """A promise that can be kept, the sentence that an approver reads, and a way back with a promise of its own."""
        definition = plane.definition()
        assert definition.write_semantics.mode is not WriteMode.UNSAFE
        assert definition.write_semantics.has_lookup
        assert definition.description
        assert definition.summary
        assert definition.input_schema.get("additionalProperties") is False
        assert definition.compensation.strategy is CompensationStrategy.AUTOMATIC
        undoing = plane.definition(definition.compensation.tool_name)
        assert definition.compensation.write_semantics == undoing.write_semantics
        assert not undoing.governed

    def test_bad_arguments_are_refused_when_proposed(self, plane: Plane) -> None:
        """By an error that says which; the good ones are taken, and one that nobody knows is not."""
        plane.validate(plane.subject.arguments)
        for bad in (*plane.subject.bad_arguments, {**plane.subject.arguments, "unheard_of": 1}, {}):
            with pytest.raises(InvalidParameters):
                plane.validate(bad)

    # -- one effect ------------------------------------------------------------------------------------------------

    async def test_one_permit_is_one_send(self, plane: Plane) -> None:
        """One call makes one object with one request; before that request it asks whether it is still in time."""
        reply, asked = await plane.call_checked(True)
        assert (reply.result, len(reply.refs) > 0) == (CallResult.DONE, True)
        assert (await plane.subject.objects(), await plane.subject.writes()) == (1, 1)
        assert asked >= 2, "the tool does not call ensure_timely before it sends"

    async def test_a_late_caller_sends_nothing(self, plane: Plane) -> None:
        """Too late at the last moment: nothing has arrived, and the reply says so."""
        reply, _ = await plane.call_checked(True, False)
        assert reply.result is CallResult.NOT_SENT
        assert (await plane.subject.objects(), await plane.subject.writes()) == (0, 0)

    async def test_the_same_key_twice_is_one_object(self, plane: Plane) -> None:
        """One after the other. The second call names the same object, or leaves it to the look-up, and never lies."""
        first = await plane.made()
        again = await plane.call(call_no=2)
        assert await plane.subject.objects() == 1
        assert again.result in (CallResult.DONE, CallResult.UNKNOWN)
        if again.result is CallResult.DONE:
            assert _identities(again) == _identities(first)
        assert _identities(await plane.look_up()) == _identities(first)

    async def test_the_same_key_at_the_same_time_is_one_object(self, plane: Plane) -> None:
        """As after a takeover, when the earlier caller turns out to be alive."""
        replies = await asyncio.gather(plane.call(), plane.call(call_no=2))
        assert await plane.subject.objects() == 1
        assert CallResult.DONE in [reply.result for reply in replies]
        assert {reply.result for reply in replies} <= {CallResult.DONE, CallResult.UNKNOWN}

    async def test_another_key_is_another_object(self, plane: Plane) -> None:
        """The same arguments under two keys are two effects."""
        first = await plane.made()
        second = await plane.call(idempotency_key=OTHER_KEY)
        assert second.result is CallResult.DONE
        assert _identities(first) != _identities(second)
        assert await plane.subject.objects() == 2

    # -- looking up ------------------------------------------------------------------------------------------------

    async def test_the_look_up_agrees(self, plane: Plane) -> None:
        """Absent before, found afterwards with the same refs, for that key alone; and it changes nothing."""
        assert (await plane.look_up()).found is False
        made = await plane.made()
        found = await plane.look_up()
        assert (found.found, _identities(found)) == (True, _identities(made))
        assert (await plane.look_up(idempotency_key=OTHER_KEY)).found is False
        assert (await plane.subject.objects(), await plane.subject.writes()) == (1, 1)

    # -- taking back -----------------------------------------------------------------------------------------------

    async def test_undoing_twice_is_undoing_once(self, plane: Plane) -> None:
        """The object is gone after the first, and the second changes nothing and says so; the look-up agrees."""
        made = await plane.made()
        undoing = plane.undoing(made)
        assert (await plane.look_up(**undoing)).found is False
        first = await plane.call(**undoing)
        assert (first.result, await plane.subject.objects()) == (CallResult.DONE, 0)
        assert (await plane.look_up(**undoing)).found is True
        second = await plane.call(**{**undoing, "call_no": 2})
        assert (second.result, await plane.subject.objects()) == (CallResult.DONE, 0)

    async def test_what_somebody_changed_is_not_taken_back(self, plane: Plane) -> None:
        """A person's work is not thrown away: refused, and the object stays."""
        made = await plane.made()
        await plane.subject.change(made.refs[0])
        reply = await plane.call(**plane.undoing(made))
        assert (reply.result, reply.retryable) == (CallResult.REFUSED, False)
        assert await plane.subject.objects() == 1

    async def test_only_our_own_object_is_taken_back(self, plane: Plane) -> None:
        """An object that does not carry the key of what is to be undone stays where it is."""
        made = await plane.made()
        reply = await plane.call(**plane.undoing(made, key=OTHER_KEY))
        assert reply.result is not CallResult.UNKNOWN
        assert await plane.subject.objects() == 1

    # -- whose it is -----------------------------------------------------------------------------------------------

    async def test_another_tenant_reaches_nothing(self, plane: Plane) -> None:
        """Neither finds nor takes back what is another tenant's, with the very same key."""
        made = await plane.made()
        assert (await plane.look_up(tenant_id=ELSEWHERE)).found is not True
        reply = await plane.call(**plane.undoing(made, tenant_id=ELSEWHERE))
        assert reply.result is not CallResult.UNKNOWN
        assert (reply.refs, await plane.subject.objects()) == ((), 1)

    async def test_another_account_reaches_nothing(self, plane: Plane) -> None:
        """The same within a tenant, between its accounts: refused."""
        made = await plane.made()
        reply = await plane.call(**plane.undoing(made, account_id=plane.subject.other_account))
        assert (reply.result, reply.retryable) == (CallResult.REFUSED, False)
        assert await plane.subject.objects() == 1


class PreviewConformance:
    """What a tool promises besides that offers a preview. Give it the same `subject`."""

    async def test_a_preview_shows_and_changes_nothing(self, subject: Subject) -> None:
        """The same names before and after; the same version twice; and nothing has arrived at the target."""
        first, again = await _previewed(subject), await _previewed(subject)
        assert first.before.keys() == first.after.keys()
        assert first.before != first.after
        assert first.version_tag
        assert first == again
        assert (await subject.objects(), await subject.writes()) == (0, 0)

    async def test_an_approved_version_that_is_no_more(self, subject: Subject) -> None:
        """A call with another version than the target's is refused, and has written nothing."""
        reply = await Plane(subject).call(expected_version="an earlier version")
        assert reply.result is CallResult.REFUSED
        assert (await subject.objects(), await subject.writes()) == (0, 0)

    async def test_the_approved_version(self, subject: Subject) -> None:
        """A call with the version that was shown is made."""
        shown = await _previewed(subject)
        reply = await Plane(subject).call(expected_version=shown.version_tag)
        assert (reply.result, await subject.objects()) == (CallResult.DONE, 1)


async def _previewed(subject: Subject) -> PreviewResult:
    spec, _ = subject.connector.tools()[subject.tool.partition(".")[2]]
    assert spec.preview is not None, "the tool offers no preview"
    arguments = spec.arguments.model_validate(dict(subject.arguments))
    call = ToolCall(
        tenant_id=subject.tenant_id,
        account_id=subject.account_id,
        action_intent_id="ai_conformance",
        run_number=1,
        call_no=1,
        idempotency_key=KEY,
        trace_id="0" * 32,
        timeout_seconds=30,
        ensure_timely=lambda: None,
    )
    shown = await subject.connector.method(spec.preview)(arguments, call)
    assert isinstance(shown, PreviewResult)
    return shown


def _identities(answer: Reply | LookUpResult) -> list[tuple[str, ...]]:
    return [ref.identity for ref in answer.refs]
