"""One API as a connector: its configured operations are its tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from enactor.connectors.accounts import AccountTargets
from enactor.connectors.context import Check, ConnectorContext
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.openapi.arguments import arguments_of
from enactor.connectors.openapi.calling import Operations, OperationTool, Server
from enactor.connectors.openapi.document import Document
from enactor.connectors.openapi.fixing import SAMPLE_KEY, check_fixed, with_fixed, without
from enactor.connectors.openapi.operations import RESERVED_HEADERS, Operation, operation_of
from enactor.connectors.openapi.requests import prepared
from enactor.connectors.openapi.settings import ApiSettings, OpenApiSettings, ReadSettings, ServerSettings, ToolSettings
from enactor.connectors.sdk import Connector, Refused, ToolResult, ToolSpec, UndoArguments
from enactor.domain.action_type import RiskClass, WriteMode, WriteSemantics
from enactor.domain.canonical import digest
from enactor.domain.errors import ConfigurationError

Method = Callable[..., Awaitable[Any]]
UNDO: Final = "undo_"
_KIND: Final = "enactor/openapi/v1"


class OpenApiConnector(Connector):
    """The tools of one API.

    Args:
        settings: the API.
        context: the server's side.

    Raises:
        ConfigurationError: the document cannot be read, or the settings and it do not fit together.
    """

    def __init__(self, settings: ApiSettings, context: ConnectorContext) -> None:
        self.name = settings.name  # type: ignore[misc]  # each API is a connector of its own
        self.verifies_account = settings.verifies_account  # type: ignore[misc]
        where = [one.model_dump(mode="json") for one in settings.servers]
        self.configuration_version = digest([_KIND, where])[:32]
        self._settings = settings
        what = f"connector_settings.openapi: the API {settings.name}"
        document = Document.read(settings.document, what)
        self._servers = AccountTargets(_KIND, settings.servers, lambda one: _server(settings, one, context))
        self._tools: dict[str, tuple[ToolSpec, Method]] = {}
        self._methods: dict[str, Method] = {}
        for name, tool in settings.tools.items():
            if name.startswith(UNDO) or f"{UNDO}{name}" in settings.tools:
                raise ConfigurationError(f"{what}: a tool's name does not begin with {UNDO}: {name}.")
            self._add(name, tool, document, f"{what}, tool {name}", context)

    @classmethod
    def configured_many(cls, context: ConnectorContext) -> tuple[Connector, ...]:
        if not context.settings:
            raise ConfigurationError("The connector openapi needs [[connector_settings.openapi.apis]].")
        return tuple(cls(api, context) for api in OpenApiSettings.of(context.settings).apis)

    def version_for(self, tenant_id: str, account_id: str) -> str:
        return self._servers.version(tenant_id, account_id)

    def tools(self) -> dict[str, tuple[ToolSpec, Callable[..., Awaitable[ToolResult]]]]:
        return dict(self._tools)

    def method(self, name: str) -> Method:
        if name in self._methods:
            return self._methods[name]
        return super().method(name)

    async def doctor(self) -> Sequence[Check]:
        """Whether each server answers at all. Nothing of the API is called but its base URL, with GET."""
        found = [Check(True, f"{self.name}: {len(self._settings.tools)} tools of the document")]
        for server in self._servers.each:
            url = server.settings.base_url
            try:
                answer = await server.target.read("GET", url, headers={"Accept": "*/*"})
            except Refused as refused:
                found.append(Check(False, f"{url}: {refused.message}", "check address, credentials and networks"))
            else:
                found.append(Check(True, f"{url}: answers ({answer.status})"))
        return found

    async def aclose(self) -> None:
        for server in self._servers.each:
            await server.target.close()

    def _add(self, name: str, tool: ToolSettings, document: Document, what: str, context: ConnectorContext) -> None:
        operations = self._operations(tool, document, what)
        servers = self._servers.each
        accounts = {name for one in servers for name in (one.settings.accounts or {}).values()} or {"account"}
        schema = without(operations.effect.schema, tool.fixed, what)
        check_fixed(operations.effect.schema, tool.fixed, iter(sorted(accounts)), what)
        if self.verifies_account and not _names_account(tool.fixed) and not _names_account(tool.headers):
            raise ConfigurationError(f'{what}: with verifies_account, "$account" is in its fixed or headers.')
        effect, fixed = operations.effect, tool.fixed
        sample = {"key": SAMPLE_KEY, "account": min(accounts)}

        def check(arguments: Mapping[str, Any]) -> None:
            prepared(effect, with_fixed(arguments, fixed, sample))

        made = OperationTool(tool, operations, self._servers, context.clock)
        definition = {"operations": msgspec.to_builtins(operations), "promises": tool.model_dump(mode="json")}
        semantics = WriteSemantics(
            mode=WriteMode[tool.write],
            has_lookup=tool.lookup is not None,
            key_retention_seconds=tool.key_retention_seconds,
            absence_final_after_seconds=tool.absence_final_after_seconds,
        )
        spec = ToolSpec(
            semantics=semantics,
            arguments=arguments_of(what, schema, check),
            description=effect.description or f"{effect.method} {effect.path}",
            risk=RiskClass[tool.risk],
            undo=f"{UNDO}{name}" if tool.undo is not None else None,
            lookup=f"look_up_{name}" if tool.lookup is not None else None,
            manual_undo=tool.manual_undo,
            action_type=tool.action_type,
            summary=tool.summary or f"{effect.method} {effect.path} of {self.name}",
            effect_key=tool.effect_key,
            definition=definition,
        )
        self._tools[name] = (spec, made.call)
        self._methods[f"look_up_{name}"] = made.look_up
        if tool.undo is None:
            return
        undo = ToolSpec(
            semantics=WriteSemantics(
                mode=WriteMode.LOOKUP,
                has_lookup=True,
                absence_final_after_seconds=tool.undo.absence_final_after_seconds,
            ),
            arguments=UndoArguments,
            description=f"Takes back what {self.name}.{name} made.",
            risk=RiskClass[tool.risk],
            lookup=f"look_up_{UNDO}{name}",
            proposable=False,
            definition=definition,
        )
        self._tools[f"{UNDO}{name}"] = (undo, made.undo)
        self._methods[f"look_up_{UNDO}{name}"] = made.look_up_undo

    def _operations(self, tool: ToolSettings, document: Document, what: str) -> Operations:
        proofs = frozenset(name for one in self._settings.servers for name in one.access.headers)
        _check_headers(tool.headers, proofs, what)
        provided = proofs | {name.lower() for name in tool.headers}
        undo = tool.undo
        return Operations(
            effect=operation_of(document, tool.operation, provided),
            lookup=None if tool.lookup is None else _reading(document, tool.lookup, proofs, f"{what}, look-up"),
            read=None if undo is None else _reading(document, undo.read, proofs, f"{what}, undo.read"),
            undo=None if undo is None else _asking(document, undo, proofs, f"{what}, undo"),
        )


def _server(api: ApiSettings, settings: ServerSettings, context: ConnectorContext) -> Server:
    what = f"The API {api.name} of tenant {settings.tenant}"
    target = HttpTarget.reached_by(what, settings.base_url, settings.access, settings.networks, context)
    return Server(settings, target)


def _reading(document: Document, settings: ReadSettings, proofs: frozenset[str], what: str) -> Operation:
    operation = _asking(document, settings, proofs, what)
    if operation.method != "GET":
        raise ConfigurationError(f"{what}: {settings.operation} does not read; it is a {operation.method}.")
    return operation


def _asking(document: Document, settings: ReadSettings, proofs: frozenset[str], what: str) -> Operation:
    """An operation that the settings give every argument of."""
    _check_headers(settings.headers, proofs, what)
    operation = operation_of(document, settings.operation, proofs | {name.lower() for name in settings.headers})
    given, known = set(settings.arguments), set(operation.schema["properties"])
    if unknown := given - known:
        raise ConfigurationError(f"{what}: {settings.operation} has no argument '{min(unknown)}'.")
    if missing := set(operation.schema.get("required", [])) - given:
        raise ConfigurationError(f"{what}: {settings.operation} needs the argument '{min(missing)}'.")
    return operation


def _check_headers(headers: Mapping[str, str], proofs: frozenset[str], what: str) -> None:
    for name in headers:
        if name.lower() in RESERVED_HEADERS | proofs:
            raise ConfigurationError(f"{what}: the header {name} is not for settings of a tool to set.")


def _names_account(value: Any) -> bool:
    return "$account" in set(_leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, str):
        yield value
