"""What a function is put together from, made once for the life of its process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.errors import ConfigurationError
from enactor.domain.permit import CallResult
from enactor.engines.stepfunctions.engine import StepFunctionsEngine
from enactor.functions.clients import StateMachine
from enactor.functions.environment import Environment, environment
from enactor.pipeline.driver import Driver
from enactor.pipeline.model import Context, Settings
from enactor.pipeline.stepping import Stepper
from enactor.ports.clock import Clock, Ids
from enactor.ports.store import Store
from enactor.ports.tools import NOT_OFFERED, CallRequest, LookUpResult, Reading, Reply, ToolDefinition, ToolPlane
from enactor.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from enactor.gateway.composite import GovernedPlane

_MARGIN_MS: Final = 15_000
"""What is kept of a function's time for recording what came of the call."""


class Parts(Struct, frozen=True, kw_only=True):
    """The store and what belongs to it."""

    environment: Environment
    store: Store
    clock: Clock
    context: Context

    def stepper(self, tools: ToolPlane) -> Stepper:
        """Runs steps over a tool plane."""
        return Stepper(Driver(self.store, tools, self.context))

    def engine(self) -> StepFunctionsEngine:
        """Starts executions. Raises `ConfigurationError`."""
        if not self.environment.state_machine:
            raise ConfigurationError("ENACTOR_AWS__STATE_MACHINE must be the state machine's ARN.")
        return StepFunctionsEngine(StateMachine(self.environment.state_machine), self.store, self.clock)


_kept: dict[str, Any] = {}


async def parts() -> Parts:
    """The parts of this process. Raises `ConfigurationError`, `StoreFailed`."""
    if "parts" not in _kept:
        from enactor.stores.dynamodb import DynamoStore

        given = environment()
        clock, randomness = SystemClock(), SystemRandomness()
        store = await DynamoStore.open(
            given.region, prefix=given.prefix, clock=clock, randomness=randomness, endpoint=given.endpoint
        )
        settings = Settings(max_pause_ms=given.max_pause_ms, doubt_look_up_ms=given.doubt_look_up_ms)
        context = Context(clock, Ids(clock, randomness), randomness, settings)
        _kept["parts"] = Parts(environment=given, store=store, clock=clock, context=context)
    made: Parts = _kept["parts"]
    return made


class NoTools:
    """The tool plane of functions that call nothing and decide nothing by what a tool is."""

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """None: nobody asks."""
        return None

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """None."""
        return {}

    def validate(self, tool_name: str, arguments: Mapping[str, Any]) -> None:
        """Refuses."""
        raise ConfigurationError("This function has no tools.")

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Refuses: nothing left."""
        return Reply(result=CallResult.NOT_SENT, error_code="NO_TOOLS", message="This function has no tools.")

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """None: nobody asks."""
        return ""

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Cannot tell."""
        return LookUpResult(found=None)

    async def preview(self, request: CallRequest) -> Reading:
        """Offers none."""
        return NOT_OFFERED

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """Refuses."""
        raise ConfigurationError("This function has no tools.")

    async def close(self) -> None:
        """Nothing to let go of."""


class Timely:
    """A tool plane that gives a call no more time than its function has left to make it and to record it.

    A reply that comes later is UNKNOWN either way; this way the function is there to write that down.
    """

    def __init__(self, tools: ToolPlane, milliseconds_left: Callable[[], int]) -> None:
        self._tools = tools
        self._left = milliseconds_left
        self.definition = tools.definition
        self.definitions = tools.definitions
        self.connector_version = tools.connector_version
        self.validate = tools.validate
        self.undo_arguments = tools.undo_arguments
        self.close = tools.close

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call, or puts it off when there is no time."""
        seconds = (self._left() - _MARGIN_MS) / 1000
        if seconds < 1:
            return Reply(
                result=CallResult.NOT_SENT, retryable=True, deferred_reason="the function had no time left for a call"
            )
        return await self._tools.call(_within(request, seconds), check)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Looks up, or cannot tell when there is no time."""
        seconds = (self._left() - _MARGIN_MS) / 1000
        return LookUpResult(found=None) if seconds < 1 else await self._tools.look_up(_within(request, seconds))

    async def preview(self, request: CallRequest) -> Reading:
        """Reads the target, or puts it off when there is no time."""
        seconds = (self._left() - _MARGIN_MS) / 1000
        if seconds < 1:
            return Reading(retryable=True, deferred_reason="the function had no time left to read the target")
        return await self._tools.preview(_within(request, seconds))


def _within(request: CallRequest, seconds: float) -> CallRequest:
    return msgspec.structs.replace(request, timeout_seconds=min(request.timeout_seconds, seconds))


async def tools() -> GovernedPlane:
    """The tool plane of this process: connectors and MCP servers as the settings say.

    Raises:
        ConfigurationError: the settings are wrong.
        Unavailable: a server does not say what tools it has. To go on without them would end runs that may go on.
    """
    if "tools" not in _kept:
        from enactor.functions.planes import open_plane

        _kept["tools"] = await open_plane(await parts())
    made: GovernedPlane = _kept["tools"]
    return made


@functools.cache
def no_tools() -> NoTools:
    """One is enough."""
    return NoTools()
