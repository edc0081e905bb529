"""A plain function as a connector."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import BaseModel

from enactor.connectors.sdk.calls import ToolCall, ToolResult
from enactor.connectors.sdk.connector import Connector
from enactor.connectors.sdk.tools import ToolSpec, spec_of
from enactor.domain.errors import ConfigurationError

FUNCTION_CONNECTOR: Final = "function"


class FunctionConnector(Connector):
    """One plain function as a connector: `@tool` on a function makes the tool `function.{its name}`."""

    name = FUNCTION_CONNECTOR

    def __init__(self, function: Callable[..., Any]) -> None:
        spec = spec_of(function)
        if spec is None:
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
        if self._is_async:
            call.ensure_timely()
            value = await self._function(**arguments)
        else:
            value = await asyncio.to_thread(self._timely, call, arguments)
        if isinstance(value, ToolResult):
            return value
        return ToolResult(data={"result": value} if value is not None else {})

    def _timely(self, call: ToolCall, arguments: dict[str, Any]) -> Any:
        # Asked on the thread: until there is a free one the permit may have run out.
        call.ensure_timely()
        return self._function(**arguments)
