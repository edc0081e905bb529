"""Each tool plane against the port's suite, and what the in-process one promises besides."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, SecretStr

from enactor.conformance.clocks import ManualClock
from enactor.conformance.target import Target
from enactor.conformance.tools import MakePlane, ToolPlaneConformance, timely
from enactor.connectors.sdk import (
    Connector,
    FunctionConnector,
    PreviewResult,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.errors import ConfigurationError
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult
from enactor.gateway.doors import GuardRules
from enactor.gateway.guards import GuardedPlane, Guards
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import EnvFileSecrets
from enactor.ports.tools import Reply, ToolPlane


class TestInProcessToolPlane(ToolPlaneConformance):
    """Connectors in this process."""

    @pytest.fixture
    def make_plane(self) -> MakePlane:
        """A plane over the target."""

        def make(target: Target) -> ToolPlane:
            return InProcessToolPlane([target], EnvFileSecrets({}))

        return make


class TestGuardedPlane(ToolPlaneConformance):
    """The same with guards around them."""

    @pytest.fixture
    def make_plane(self, clock: ManualClock) -> MakePlane:
        """A plane over the target."""

        def make(target: Target) -> ToolPlane:
            rules = GuardRules(concurrency=8, calls_per_minute=600, timeout_seconds=90)
            return GuardedPlane(InProcessToolPlane([target], EnvFileSecrets({})), Guards(default=rules), clock)

        return make


class Words(BaseModel):
    """Some text."""

    text: str = ""
    password: SecretStr = SecretStr("")


class Odd(Connector):
    """A connector whose tools answer oddly."""

    name = "odd"

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.heard: list[Words] = []

    @tool(write=WriteMode.UNSAFE)
    async def say(self, args: Words, call: ToolCall) -> ToolResult:
        """Says it."""
        self.heard.append(args)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer  # type: ignore[no-any-return]


ODD = [
    ToolResult(refs=("not a ref",)),  # type: ignore[arg-type]
    ToolResult(refs=None),  # type: ignore[arg-type]
    ToolResult(refs=(ObjectRef(system="s", object_type="t", object_id=7),)),  # type: ignore[arg-type]
    None,
    {"refs": []},
    SystemExit(3),
    asyncio.CancelledError(),
]


@pytest.mark.parametrize("answer", ODD, ids=str)
async def test_an_answer_that_is_none(answer: Any) -> None:
    """Whatever a tool returns or raises, the reply is one that can be recorded; what cannot be read is UNKNOWN."""
    plane = InProcessToolPlane([Odd(answer)], EnvFileSecrets({}))
    request = ToolPlaneConformance.request(tool_name="odd.say", argument_bytes="{}")
    assert (await plane.call(request, timely)).result is CallResult.UNKNOWN


async def test_text_that_is_no_unicode_can_be_recorded() -> None:
    """Half a surrogate pair in an answer does not lose the answer."""
    for answer in (
        ToolResult(refs=(ObjectRef(system="s", object_type="t", object_id="\ud800"),), message="\ud800"),
        Refused("\udfff", "\ud800" * 5_000),
    ):
        plane = InProcessToolPlane([Odd(answer)], EnvFileSecrets({}))
        request = ToolPlaneConformance.request(tool_name="odd.say", argument_bytes="{}")
        reply = await plane.call(request, timely)
        assert reply.result in (CallResult.DONE, CallResult.REFUSED)
        str(reply).encode()
        assert len(reply.message) <= 2_000


async def test_secrets_are_read_last_and_go_nowhere_else() -> None:
    """The tool gets the secret's value; the request, and so everything recorded, holds its name."""
    connector = Odd(ToolResult())
    secrets = EnvFileSecrets({"acme": {"TOKEN": "env:TOKEN"}}, {"TOKEN": "hunter2"})
    plane = InProcessToolPlane([connector], secrets)
    request = ToolPlaneConformance.request(
        tool_name="odd.say", argument_bytes='{"password":{"$secret":"TOKEN"},"text":"x"}'
    )
    reply = await plane.call(request, timely)
    assert connector.heard[0].password.get_secret_value() == "hunter2"
    assert "hunter2" not in str(reply) + str(request)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (ToolResult(partial="yes", message=5), CallResult.DONE),  # type: ignore[arg-type]
        (Refused("X", "m", retryable="no", error_class="AUTH"), CallResult.REFUSED),  # type: ignore[arg-type]
        (Refused(5, None, error_class=7, retry_after_seconds="soon"), CallResult.REFUSED),  # type: ignore[arg-type]
        (Refused("X", "m", retry_after_seconds=float("nan")), CallResult.REFUSED),
        (Refused("X", "m", retry_after_seconds=-1), CallResult.REFUSED),
    ],
    ids=str,
)
async def test_what_a_reply_says_can_be_read_again(answer: Any, result: CallResult) -> None:
    """A connector's values of other types are taken for what they mean, or for nothing; the reply is kept."""
    plane = InProcessToolPlane([Odd(answer)], EnvFileSecrets({}))
    reply = await plane.call(ToolPlaneConformance.request(tool_name="odd.say", argument_bytes="{}"), timely)
    assert reply.result is result
    assert msgspec.convert(msgspec.to_builtins(reply), Reply) == reply
    assert (reply.retry_after_seconds or 0) >= 0


async def test_what_a_preview_says_can_be_read_again() -> None:
    """A version tag that is a number is no preview: nobody is asked to approve what could not be shown again."""

    class Counted(Connector):
        name = "counted"

        @tool(write=WriteMode.UNSAFE, preview="look")
        async def order(self, args: Words, call: ToolCall) -> ToolResult:
            """Orders."""
            return ToolResult()

        async def look(self, args: Words, call: ToolCall) -> PreviewResult:
            """Looks."""
            return PreviewResult(before={}, after={}, version_tag=3)  # type: ignore[arg-type]

    plane = InProcessToolPlane([Counted()], EnvFileSecrets({}))
    request = ToolPlaneConformance.request(tool_name="counted.order", argument_bytes="{}")
    assert (await plane.preview(request)).error_code == "TARGET_UNREADABLE"


def test_what_a_tool_declares_can_be_read_again() -> None:
    """A version that is a number would be approved, recorded, and then not be readable: it is refused at the start."""

    class Numbered(Connector):
        name = "numbered"

        @tool(write=WriteMode.UNSAFE, version=2)  # type: ignore[call-overload]
        async def order(self, args: Words, call: ToolCall) -> ToolResult:
            """Orders."""
            return ToolResult()

    with pytest.raises(ConfigurationError, match="tool_schema_version"):
        InProcessToolPlane([Numbered()], EnvFileSecrets({}))


def test_two_tools_of_one_name() -> None:
    """That would leave open which one was approved."""
    with pytest.raises(ConfigurationError):
        InProcessToolPlane([Odd(None), Odd(None)], EnvFileSecrets({}))


def test_a_look_up_tool_without_a_look_up() -> None:
    """A promise that cannot be kept is refused when the program starts."""

    class Broken(Connector):
        name = "broken"

        @tool(write=WriteMode.LOOKUP)
        async def order(self, args: Words, call: ToolCall) -> ToolResult:
            """Orders."""
            return ToolResult()

    with pytest.raises(ConfigurationError):
        InProcessToolPlane([Broken()], EnvFileSecrets({}))


async def test_a_tool_may_be_called_close() -> None:
    """The name is the obvious one for taking back what was opened; letting go of connections has another."""

    class Tickets(Connector):
        name = "tickets"
        let_go = 0

        @tool(write=WriteMode.IDEMPOTENT, undo="close")
        async def create(self, args: Words, call: ToolCall) -> ToolResult:
            """Opens a ticket."""
            return ToolResult()

        @tool(write=WriteMode.IDEMPOTENT)
        async def close(self, args: Words, call: ToolCall) -> ToolResult:
            """Closes a ticket."""
            return ToolResult()

        async def aclose(self) -> None:
            """Counts."""
            self.let_go += 1

    connector = Tickets()
    plane = InProcessToolPlane([connector], EnvFileSecrets({}))
    assert set(plane.definitions()) == {"tickets.create", "tickets.close"}
    await plane.close()
    assert connector.let_go == 1


def test_a_tool_with_a_name_of_every_connector() -> None:
    """It would be called where the connector is meant; the class is refused."""
    with pytest.raises(ConfigurationError, match="'doctor' of Ill"):

        class Ill(Connector):
            name = "ill"

            @tool(write=WriteMode.IDEMPOTENT)
            async def doctor(self, args: Words, call: ToolCall) -> ToolResult:  # type: ignore[override]
                """Sends for one."""
                return ToolResult()


def test_whether_an_undoing_tool_can_be_searched() -> None:
    """What is pinned of it is what its own declaration says, whatever the semantics it was given say."""

    class Searchable(Connector):
        name = "searchable"

        @tool(write=WriteMode.UNSAFE, undo="take_back")
        async def order(self, args: Words, call: ToolCall) -> ToolResult:
            """Orders."""
            return ToolResult()

        @tool(write=WriteSemantics(mode=WriteMode.IDEMPOTENT), lookup="find", proposable=False)
        async def take_back(self, args: UndoArguments, call: ToolCall) -> ToolResult:
            """Takes back."""
            return ToolResult()

        async def find(self, args: UndoArguments, call: ToolCall) -> Any:
            """Finds."""

    definition = InProcessToolPlane([Searchable()], EnvFileSecrets({})).definition("searchable.order")
    assert definition is not None
    assert definition.compensation.write_semantics is not None
    assert definition.compensation.write_semantics.has_lookup


async def test_a_plain_function_is_a_tool() -> None:
    """Its signature is its argument model, and what it returns is not an object of the target."""
    said: list[str] = []

    @tool
    def greet(name: str, times: int = 1) -> str:
        """Greets."""
        said.append(name * times)
        return "hello"

    plane = InProcessToolPlane([FunctionConnector(greet)], EnvFileSecrets({}))
    request = ToolPlaneConformance.request(tool_name="function.greet", argument_bytes='{"name":"ana","times":2}')
    reply = await plane.call(request, timely)
    assert (reply.result, reply.refs, said) == (CallResult.DONE, (), ["anaana"])
    late = await plane.call(request, iter([True, False]).__next__)
    assert (late.result, said) == (CallResult.NOT_SENT, ["anaana"])


async def test_a_plain_function_that_waits_for_a_thread_is_not_called_late() -> None:
    """Until a thread is free the permit may have run out: it is asked for again on the thread."""
    said: list[str] = []

    @tool
    def greet(name: str) -> None:
        """Greets."""
        said.append(name)

    loop, free, busy = asyncio.get_running_loop(), threading.Event(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    holding = loop.run_in_executor(None, lambda: (busy.set(), free.wait()))
    busy.wait()
    in_time = True
    plane = InProcessToolPlane([FunctionConnector(greet)], EnvFileSecrets({}))
    request = ToolPlaneConformance.request(tool_name="function.greet", argument_bytes='{"name":"ana"}')
    calling = asyncio.create_task(plane.call(request, lambda: in_time))
    await asyncio.sleep(0)
    in_time = False
    free.set()
    assert (await calling).result is CallResult.NOT_SENT
    assert said == []
    await holding


def test_what_a_tool_cannot_be_told() -> None:
    """A misspelled option or value is an error where it is written, not a default that nobody wanted."""
    with pytest.raises(ConfigurationError, match="one of MINIMAL, LOW, MEDIUM, HIGH, not NONE"):
        tool(risk="NONE")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="retries"):

        @tool(retries=3)  # type: ignore[call-overload]
        def greet(name: str) -> str:
            """Greets."""
            return name
