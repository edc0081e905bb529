"""Several tool planes as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from enactor.domain.errors import ConfigurationError, ErrorClass, InvalidParameters
from enactor.domain.permit import CallResult
from enactor.ports.tools import NOT_OFFERED, CallRequest, LookUpResult, Reading, Reply, ToolDefinition, ToolPlane


class GovernedPlane(ToolPlane, Protocol):
    """A tool plane that knows which of its tools get a registry entry by themselves."""

    def action_types(self) -> dict[str, str]:
        """The tools that get a registry entry by themselves, each with the entry's name."""
        ...


class CompositeToolPlane:
    """The tools of several planes. A tool is called through the plane that offers it.

    Args:
        planes: whose tools it offers; connectors and tools of the same name in two of them are refused.

    Raises:
        ConfigurationError: two planes offer a tool of the same name.
    """

    def __init__(self, planes: Iterable[GovernedPlane]) -> None:
        self._planes = tuple(planes)
        self.keeps_time = all(getattr(plane, "keeps_time", False) for plane in self._planes)
        """Whether the calls of each of them end within their timeout by themselves."""
        self.check()

    def check(self) -> None:
        """Raises `ConfigurationError` when two planes offer a tool, or use a connector's name, of the same name."""
        connectors: dict[str, int] = {}
        for index, plane in enumerate(self._planes):
            for name, definition in plane.definitions().items():
                if connectors.setdefault(definition.connector_id, index) != index:
                    raise ConfigurationError(f"Two connectors are named '{definition.connector_id}' ({name}).")

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """The tool as it is declared now, or None."""
        for plane in self._planes:
            if (found := plane.definition(tool_name)) is not None:
                return found
        return None

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Every tool by name."""
        return {name: tool for plane in reversed(self._planes) for name, tool in plane.definitions().items()}

    def action_types(self) -> dict[str, str]:
        """The tools that get a registry entry by themselves, each with the entry's name.

        Raises:
            ConfigurationError: two tools want the same one.
        """
        names: dict[str, str] = {}
        owners: dict[str, str] = {}
        for plane in self._planes:
            for tool, name in plane.action_types().items():
                if owners.setdefault(name, tool) != tool:
                    raise ConfigurationError(f"The tools {owners[name]} and {tool} both want to be {name}.")
                names.setdefault(tool, name)
        return names

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """The version of the configuration that serves a tenant's account; empty for a tool that is not there."""
        plane = self._of(tool_name)
        return plane.connector_version(tool_name, tenant_id, account_id) if plane is not None else ""

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """The arguments of the tool that takes something back, from the plane that offers it."""
        plane = self._of(request.tool_name)
        if plane is None:
            raise ConfigurationError(f"The tool {request.tool_name} is not available.")
        return plane.undo_arguments(request)

    def validate(self, tool_name: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the tool's model. Raises `InvalidParameters`."""
        plane = self._of(tool_name)
        if plane is None:
            raise InvalidParameters(f"There is no tool '{tool_name}'.")
        plane.validate(tool_name, arguments)

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once, through the plane that offers the tool."""
        plane = self._of(request.tool_name)
        if plane is None:
            return Reply(
                result=CallResult.NOT_SENT,
                error_class=ErrorClass.VALIDATION,
                error_code="TOOL_NOT_FOUND",
                message=f"The tool {request.tool_name} is not available.",
            )
        return await plane.call(request, check)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target, through the plane that offers the tool."""
        plane = self._of(request.tool_name)
        if plane is None:
            return LookUpResult(found=None, message="The tool is not available.")
        return await plane.look_up(request)

    async def preview(self, request: CallRequest) -> Reading:
        """Reads what a call would change, through the plane that offers the tool."""
        plane = self._of(request.tool_name)
        return NOT_OFFERED if plane is None else await plane.preview(request)

    async def close(self) -> None:
        """Closes every plane."""
        await asyncio.gather(*(plane.close() for plane in self._planes))

    def _of(self, tool_name: str) -> GovernedPlane | None:
        return next((plane for plane in self._planes if plane.definition(tool_name) is not None), None)
