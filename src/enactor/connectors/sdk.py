"""Writing connectors: a class with tools, or a plain function made into one.

    class Tickets(Connector):
        name = "tickets"

        @tool(write=WriteSemantics.IDEMPOTENT, undo="close")
        async def create(self, args: CreateTicket, call: ToolCall) -> ToolResult: ...

A tool does one thing once. It never repeats a call by itself: it says how the call ended (`ToolResult`, `Refused`,
`NotSent`), and anything else it raises means that nobody knows.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar, get_type_hints, overload

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, create_model

from enactor.connectors.context import Check, ConnectorContext
from enactor.domain.action_type import (
    Compensation,
    CompensationStrategy,
    RiskClass,
    TargetRule,
    WriteMode,
    WriteSemantics,
)
from enactor.domain.errors import ConfigurationError, ErrorClass
from enactor.domain.intent import Guard
from enactor.domain.outcome import ObjectRef

_MARK: Final = "__enactor_tool__"
FUNCTION_CONNECTOR: Final = "function"


class ToolCall(Struct, frozen=True, kw_only=True):
    """What a tool is told besides its arguments.

    Attributes:
        idempotency_key: pass it to the target where the target honours one; it is the same in every repetition.
        timeout_seconds: how long the caller waits for the answer.
        ensure_timely: call it immediately before a request leaves; it raises `NotSent` when it is too late to send.
        expected_version: the version tag of the preview that was approved; None when none was.
    """

    tenant_id: str
    account_id: str
    action_intent_id: str
    run_number: int
    call_no: int
    idempotency_key: str
    trace_id: str
    timeout_seconds: float
    ensure_timely: Callable[[], None]
    expected_version: str | None = None


class ToolResult(Struct, frozen=True, kw_only=True):
    """The tool did it. `partial`: it did less than was asked, and `message` says what is missing."""

    refs: tuple[ObjectRef, ...] = ()
    partial: bool = False
    message: str = ""
    data: dict[str, Any] = {}


class Found(Struct, frozen=True, kw_only=True):
    """A look-up found what our key made."""

    refs: tuple[ObjectRef, ...]


class Absent(Struct, frozen=True, kw_only=True):
    """A look-up searched the target, and our key has made nothing there."""


class CannotTell(Struct, frozen=True, kw_only=True):
    """A look-up could not be made, or its answer is not conclusive."""

    message: str = ""


LookUpAnswer = Found | Absent | CannotTell


class PreviewResult(Struct, frozen=True, kw_only=True):
    """What a call would change, read from the target without changing anything.

    Attributes:
        before: by name, the values that would change, as they are; JSON values.
        after: the same names, as they would be.
        version_tag: changes whenever the object does; a call gets the approved one as `ToolCall.expected_version`.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    version_tag: str


class Refused(Exception):
    """The target answered, and its answer is one that is known to have had no effect.

    Args:
        code: the target's own code, for people.
        message: safe to show.
        retryable: the situation may pass.
        retry_after_seconds: the target's own wish.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        error_class: ErrorClass = ErrorClass.DOWNSTREAM,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.error_class = error_class
        self.retry_after_seconds = retry_after_seconds


class NotSent(Refused):
    """No byte of the request left: DNS, connect, TLS, a pool, or too late. Retryable unless said otherwise."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = True,
        error_class: ErrorClass = ErrorClass.DOWNSTREAM,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(
            code, message, retryable=retryable, error_class=error_class, retry_after_seconds=retry_after_seconds
        )


class UndoArguments(BaseModel):
    """The arguments of a tool that undoes another: what it made, and the key it was made with.

    For tools that change what was there before: the arguments they were called with, and their preview's `before`.
    """

    model_config = ConfigDict(extra="forbid")
    original_key: str
    refs: list[dict[str, Any]]
    original_arguments: dict[str, Any] = {}
    before: dict[str, Any] = {}


class ToolSpec(Struct, frozen=True, kw_only=True):
    """What `@tool` was told; see `tool`."""

    semantics: WriteSemantics
    risk: RiskClass
    undo: str | None
    lookup: str | None
    preview: str | None
    manual_undo: str
    action_type: str | None
    version: str
    summary: str
    effect_key: str | None
    target: TargetRule | None
    scopes: tuple[str, ...]
    guard: Guard
    proposable: bool
    description: str
    arguments: type[BaseModel]
    plain: bool


class Connector:
    """Base of connectors.

    Attributes:
        name: the namespace of its tools: `tickets` makes `tickets.create`.
        configuration_version: names the endpoint and credential reference in force; it is part of what is approved.
        verifies_account: its tools check that the object belongs to the call's account.
    """

    name: ClassVar[str]
    configuration_version: str = "1"
    verifies_account: ClassVar[bool] = True

    def tools(self) -> dict[str, tuple[ToolSpec, Callable[..., Awaitable[ToolResult]]]]:
        """The connector's tools by method name, each with its bound method."""
        found = {}
        for name, member in inspect.getmembers(type(self), inspect.isfunction):
            spec = getattr(member, _MARK, None)
            if isinstance(spec, ToolSpec):
                found[name] = (spec, getattr(self, name))
        return found

    def method(self, name: str) -> Callable[..., Awaitable[Any]]:
        """A method of the connector by name. Raises `ConfigurationError`."""
        method = getattr(self, name, None)
        if method is None:
            raise ConfigurationError(f"The connector '{self.name}' has no method '{name}'.")
        return method  # type: ignore[no-any-return]

    @classmethod
    def configured(cls, context: ConnectorContext) -> Connector:
        """The connector as a server's settings want it. Without an own version of this it takes no settings.

        Raises:
            ConfigurationError: the settings are wrong; the message names them and never a secret.
        """
        return cls()

    async def doctor(self) -> Sequence[Check]:
        """Looks at the target, changing nothing, and says what would keep the tools from working."""
        return ()

    async def close(self) -> None:
        """Lets go of connections."""


class FunctionConnector(Connector):
    """One plain function as a connector: `@tool` on a function makes the tool `function.{its name}`."""

    name = FUNCTION_CONNECTOR

    def __init__(self, function: Callable[..., Any]) -> None:
        spec = getattr(function, _MARK, None)
        if not isinstance(spec, ToolSpec):
            raise ConfigurationError(
                f"The function '{getattr(function, '__name__', function)}' is not marked with @tool."
            )
        self._function = function
        self._spec = spec
        self._takes_call = "call" in inspect.signature(function).parameters
        self._is_async = inspect.iscoroutinefunction(function)
        self._names = tuple(spec.arguments.model_fields)

    def tools(self) -> dict[str, tuple[ToolSpec, Callable[..., Awaitable[ToolResult]]]]:
        """The one tool."""
        return {self._function.__name__: (self._spec, self._call)}

    async def _call(self, args: BaseModel, call: ToolCall) -> ToolResult:
        arguments = {name: getattr(args, name) for name in self._names}
        if self._takes_call:
            arguments["call"] = call
        call.ensure_timely()
        if self._is_async:
            value = await self._function(**arguments)
        else:
            value = await asyncio.to_thread(functools.partial(self._function, **arguments))
        if isinstance(value, ToolResult):
            return value
        return ToolResult(data={"result": value} if value is not None else {})


Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    write: WriteMode | WriteSemantics = WriteMode.UNSAFE,
    risk: RiskClass = RiskClass.MEDIUM,
    undo: str | None = None,
    lookup: str | None = None,
    preview: str | None = None,
    manual_undo: str = "",
    action_type: str | None = None,
    version: str = "1",
    summary: str = "",
    effect_key: str | None = None,
    target: TargetRule | None = None,
    scopes: tuple[str, ...] = (),
    guard: Guard = Guard.NONE,
    proposable: bool = True,
) -> Callable[[Function], Function]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    write: WriteMode | WriteSemantics = WriteMode.UNSAFE,
    risk: RiskClass = RiskClass.MEDIUM,
    undo: str | None = None,
    lookup: str | None = None,
    preview: str | None = None,
    manual_undo: str = "",
    action_type: str | None = None,
    version: str = "1",
    summary: str = "",
    effect_key: str | None = None,
    target: TargetRule | None = None,
    scopes: tuple[str, ...] = (),
    guard: Guard = Guard.NONE,
    proposable: bool = True,
) -> Any:
    """Marks a connector's method, or a plain function, as a tool.

    Args:
        write: what the target promises about a call whose reply was lost; UNSAFE promises nothing.
        risk: how much an approver must look.
        undo: the connector's tool (its method name) that takes the effect back; it takes `UndoArguments`.
        lookup: the connector's method that searches the target by our key:
            `async def find(self, args, call) -> Found | Absent | CannotTell`.
        preview: the connector's method that reads what would change:
            `async def preview(self, args, call) -> PreviewResult`. It raises as tools do, and writes nothing.
        manual_undo: without `undo`: what a person must do to take it back; empty means that it cannot be.
        action_type: the name of its registry entry; `{connector}.{method}` in upper case without it.
        version: of the argument schema; change it when the meaning of arguments changes.
        summary: the sentence an approver reads, a template over the arguments.
        effect_key: see `ActionType.effect_key`.
        target: where in the arguments the entity is that the action is about.
        scopes: OAuth scopes the call needs at the target.
        guard: how the version shown by a preview is protected.
        proposable: it gets a registry entry; tools that only undo others do not need one.
    """
    semantics = (
        write if isinstance(write, WriteSemantics) else WriteSemantics(mode=write, has_lookup=lookup is not None)
    )

    def mark(marked: Callable[..., Any]) -> Callable[..., Any]:
        arguments, plain = _arguments(marked)
        spec = ToolSpec(
            semantics=semantics,
            risk=risk,
            undo=undo,
            lookup=lookup,
            preview=preview,
            manual_undo=manual_undo,
            action_type=action_type,
            version=version,
            summary=summary,
            effect_key=effect_key,
            target=target,
            scopes=scopes,
            guard=guard,
            proposable=proposable,
            description=inspect.getdoc(marked) or "",
            arguments=arguments,
            plain=plain,
        )
        setattr(marked, _MARK, spec)
        return marked

    return mark if function is None else mark(function)


def _arguments(marked: Callable[..., Any]) -> tuple[type[BaseModel], bool]:
    """The argument model of a tool, and whether it was made from a plain function's signature."""
    parameters = list(inspect.signature(marked).parameters.values())
    hints = get_type_hints(marked)
    named = [parameter for parameter in parameters if parameter.name not in ("self", "call")]
    if len(named) == 1:
        model = hints.get(named[0].name)
        if parameters[0].name == "self" and isinstance(model, type) and issubclass(model, BaseModel):
            return model, False
    if parameters and parameters[0].name == "self":
        raise ConfigurationError(
            f"The tool '{marked.__qualname__}' takes (self, args, call), and args is annotated with a pydantic model."
        )
    fields: dict[str, Any] = {}
    for parameter in named:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name not in hints:
            raise ConfigurationError(f"Each parameter of the tool '{marked.__qualname__}' needs a name and a type.")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(marked.__name__, __config__=ConfigDict(extra="forbid"), **fields), True


def compensation_of(connector: Connector, spec: ToolSpec) -> Compensation:
    """How the tool's effect is taken back, with the undoing tool's own semantics pinned."""
    if spec.undo is None:
        if spec.manual_undo:
            return Compensation(strategy=CompensationStrategy.MANUAL, note=spec.manual_undo)
        return Compensation(strategy=CompensationStrategy.NONE, note="The target offers no way to take it back.")
    undoing = connector.tools().get(spec.undo)
    if undoing is None:
        raise ConfigurationError(f"The connector '{connector.name}' has no tool '{spec.undo}' to undo with.")
    return Compensation(
        strategy=CompensationStrategy.AUTOMATIC,
        tool_name=f"{connector.name}.{spec.undo}",
        tool_schema_version=undoing[0].version,
        write_semantics=msgspec.structs.replace(undoing[0].semantics, has_lookup=undoing[0].lookup is not None),
    )
