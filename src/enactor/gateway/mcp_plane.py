"""The tools of any number of MCP servers as a tool plane. Nothing in it repeats a call."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from mcp_types import Tool
from pydantic import TypeAdapter, ValidationError

from enactor.domain.action_type import default_action_type
from enactor.domain.canonical import canonical
from enactor.domain.errors import ConfigurationError, EnactorError, InvalidParameters
from enactor.domain.mapping import is_secret_reference
from enactor.gateway.mcp_target import McpTarget
from enactor.ports.clock import Clock
from enactor.ports.commands import Conflict
from enactor.ports.tools import NOT_OFFERED, CallRequest, LookUpResult, Reading, Reply, ToolDefinition

_log = logging.getLogger("enactor.gateway")
_TOOLS: Final = TypeAdapter(list[Tool])
_SECRET_STAND_IN: Final = "secret"  # noqa: S105 - what a secret looks like to a tool's schema at proposal
_LONGEST_NAME: Final = 120

OnChange = Callable[[], Awaitable[None]]


class McpToolPlane:
    """The tools of MCP servers.

    Args:
        targets: the servers; two of one name are a `ConfigurationError`.
        clock: for how often they are listed anew.
        listings: a directory that keeps what each server listed last. An approved action outlives a restart that finds
            its server down; no call is made before the server has listed the very same tool.
    """

    keeps_time = True
    """Calls end within their timeout by themselves."""

    def __init__(
        self,
        targets: Iterable[McpTarget],
        clock: Clock,
        *,
        listings: Path | None = None,
    ) -> None:
        self._targets: dict[str, McpTarget] = {}
        for target in targets:
            if target.server.name in self._targets:
                raise ConfigurationError(f"Two MCP servers are named '{target.server.name}'.")
            self._targets[target.server.name] = target
        self._clock = clock
        self._listings = listings
        self._on_change: OnChange | None = None
        self._definitions: dict[str, ToolDefinition] = {}
        self._refreshing: list[asyncio.Task[None]] = []

    @property
    def targets(self) -> Mapping[str, McpTarget]:
        """The servers by name."""
        return MappingProxyType(self._targets)

    def on_change(self, told: OnChange) -> None:
        """Has `told` awaited whenever a server's tools have changed after the start."""
        self._on_change = told

    async def start(self) -> None:
        """Lists every server once, and again from time to time. One that does not answer has the tools it had."""
        for target in self._targets.values():
            if self._listings is not None:
                target.recall(await asyncio.to_thread(_read, self._place(target)))
        await asyncio.gather(*(self._listed(target) for target in self._targets.values()))
        self._take_up()
        self._refreshing = [
            asyncio.create_task(self._keep_fresh(target), name=f"refresh {name}")
            for name, target in self._targets.items()
        ]

    async def refresh(self, name: str) -> None:
        """Lists one server anew now. Raises `Unavailable`; its tools stay what they were."""
        target = self._targets[name]
        changed = await target.refresh()
        await self._changed(target, changed)

    def definition(self, tool_name: str) -> ToolDefinition | None:
        """The tool as it is declared now, or None."""
        target = self._targets.get(tool_name.partition(".")[0])
        known = target.known.get(tool_name) if target is not None else None
        return known.definition if known is not None else None

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Every tool by name."""
        self._take_up()
        return self._definitions

    def action_types(self) -> dict[str, str]:
        """The tools that get a registry entry by themselves, each with the entry's name."""
        wished = {
            name: known.rule.action_type or default_action_type(name)
            for target in self._targets.values()
            for name, known in target.known.items()
            if known.rule.proposable
        }
        names = list(wished.values())
        # Which of two tools came first must not decide what an action type means.
        return {
            tool: name if names.count(name) == 1 and len(name) <= _LONGEST_NAME else _with_hash(name, tool)
            for tool, name in wished.items()
        }

    def connector_version(self, tool_name: str, tenant_id: str, account_id: str) -> str:
        """The version of the server's configuration: every tenant's calls go by the same."""
        definition = self.definition(tool_name)
        return definition.connector_version if definition is not None else ""

    def undo_arguments(self, request: CallRequest) -> dict[str, Any]:
        """The arguments of the tool that takes something back, as its rule's `undo_arguments` say."""
        return self._target(request).undo_arguments(request)

    def validate(self, tool_name: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the schema that the server listed. Raises `InvalidParameters`."""
        target = self._targets.get(tool_name.partition(".")[0])
        known = target.known.get(tool_name) if target is not None else None
        if known is None:
            raise InvalidParameters(f"There is no tool '{tool_name}'.")
        stand_in = {name: _SECRET_STAND_IN if is_secret_reference(v) else v for name, v in arguments.items()}
        canonical(stand_in)
        error = next(iter(known.validator.iter_errors(stand_in)), None)
        if error is not None:
            where = "/".join(str(part) for part in error.instance_path) or "arguments"
            raise InvalidParameters(
                f"Argument '{where}' of {tool_name} does not fit the tool's schema.", parameter=where
            )

    async def call(self, request: CallRequest, check: Callable[[], bool]) -> Reply:
        """Makes the call once; see `ports.tools`."""
        return await self._target(request).call(request, check)

    async def look_up(self, request: CallRequest) -> LookUpResult:
        """Searches the target by the request's key; see `ports.tools`."""
        return await self._target(request).look_up(request)

    async def preview(self, request: CallRequest) -> Reading:
        """None: MCP has no way to say what a call would change."""
        return NOT_OFFERED

    async def close(self) -> None:
        """Ends every connection and process."""
        for task in self._refreshing:
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)
        self._refreshing = []
        await asyncio.gather(*(target.close() for target in self._targets.values()))

    def _target(self, request: CallRequest) -> McpTarget:
        name = request.tool_name.partition(".")[0]
        target = self._targets.get(name)
        if target is None:
            raise ConfigurationError(f"There is no MCP server '{name}'.")
        return target

    def _take_up(self) -> None:
        self._definitions = {
            name: known.definition for target in self._targets.values() for name, known in target.known.items()
        }

    async def _keep_fresh(self, target: McpTarget) -> None:
        while True:
            await self._clock.sleep(target.server.refresh_seconds)
            await self._listed(target)

    async def _listed(self, target: McpTarget) -> None:
        try:
            changed = await target.refresh()
        except EnactorError as error:
            _log.warning("%s", error.message)
            return
        await self._changed(target, changed)

    async def _changed(self, target: McpTarget, changed: bool) -> None:
        if not changed:
            return
        if self._listings is not None:
            content = _TOOLS.dump_json(target.listed, by_alias=True, exclude_none=True)
            await asyncio.to_thread(_write, self._place(target), content)
        if self._on_change is not None and self._refreshing:
            try:
                await self._on_change()
            except (EnactorError, Conflict) as error:
                # The next listing tries again; what was registered stands.
                _log.warning("the tools of %s changed and were not registered: %s", target.server.name, error)

    def _place(self, target: McpTarget) -> Path:
        return (self._listings or Path()) / f"{target.server.name}.json"


def _with_hash(name: str, tool: str) -> str:
    return f"{name[:_LONGEST_NAME]}_{hashlib.sha256(tool.encode()).hexdigest()[:6].upper()}"


def _read(place: Path) -> list[Tool]:
    try:
        return _TOOLS.validate_json(place.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        _log.warning("%s cannot be read: %s", place, type(error).__name__)
        return []


def _write(place: Path, content: bytes) -> None:
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(place)
    except OSError as error:
        _log.warning("%s cannot be written: %s", place, error.strerror)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
