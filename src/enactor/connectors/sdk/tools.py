"""`@tool`: what a method or a function declares when it becomes a tool."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypedDict, TypeVar, Unpack, get_type_hints, overload

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, create_model

from enactor.domain.action_type import RiskClass, TargetRule, WriteMode, WriteSemantics
from enactor.domain.errors import ConfigurationError
from enactor.domain.intent import Guard

_MARK: Final = "__enactor_tool__"


class ToolSpec(Struct, frozen=True, kw_only=True):
    """What a tool declares; see `ToolOptions`. The defaults of `@tool` are the ones below.

    Attributes:
        arguments: the model of its arguments.
        description: what it does, for whoever chooses among tools.
        plain: its arguments are those of a plain function.
        definition: more that decides what a call does and is nowhere else, for the hash of what is approved; JSON.
    """

    semantics: WriteSemantics
    arguments: type[BaseModel]
    description: str = ""
    plain: bool = False
    risk: RiskClass = RiskClass.MEDIUM
    undo: str | None = None
    lookup: str | None = None
    preview: str | None = None
    manual_undo: str = ""
    action_type: str | None = None
    version: str = "1"
    summary: str = ""
    effect_key: str | None = None
    target: TargetRule | None = None
    scopes: tuple[str, ...] = ()
    guard: Guard = Guard.NONE
    proposable: bool = True
    definition: dict[str, Any] = {}


class ToolOptions(TypedDict, total=False):
    """What `@tool` can be told. Each has the default that `ToolSpec` gives it.

    Attributes:
        write: what the target promises about a call whose reply was lost; UNSAFE, the default, promises nothing.
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

    write: WriteMode | WriteSemantics
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


Function = TypeVar("Function", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=StrEnum)


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Function], Function]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Marks a connector's method, or a plain function, as a tool. `ToolOptions` says what it can be told.

    Raises:
        ConfigurationError: the marked method or function cannot be a tool; the message says why.
        TypeError: there is no such option.
    """
    write = options.pop("write", WriteMode.UNSAFE)
    kinds: dict[str, type[StrEnum]] = {"risk": RiskClass, "guard": Guard}
    if not isinstance(write, WriteSemantics):
        write = _one_of(WriteMode, "write", write)
    options.update({name: _one_of(kind, name, options[name]) for name, kind in kinds.items() if name in options})
    if isinstance(write, WriteMode):
        write = WriteSemantics(mode=write, has_lookup=options.get("lookup") is not None)

    def mark(marked: Callable[..., Any]) -> Callable[..., Any]:
        arguments, plain = _arguments(marked)
        description = inspect.getdoc(marked) or ""
        spec = ToolSpec(semantics=write, arguments=arguments, description=description, plain=plain, **options)
        setattr(marked, _MARK, spec)
        return marked

    return mark if function is None else mark(function)


def _one_of(kind: type[Kind], option: str, value: str) -> Kind:
    """A value of `kind`, or the one of that name."""
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(kind)
        raise ConfigurationError(f"@tool({option}=…) is one of {names}, not {str(value)[:100]}.") from None


def spec_of(function: Callable[..., Any]) -> ToolSpec | None:
    """What `@tool` was told of a method or function; None when it is not marked."""
    spec = getattr(function, _MARK, None)
    return spec if isinstance(spec, ToolSpec) else None


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
