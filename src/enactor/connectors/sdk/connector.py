"""Connectors: what groups tools under a name, is made from settings, and is looked at by `enactor doctor`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import msgspec

from enactor.connectors.context import Check, ConnectorContext
from enactor.connectors.sdk.calls import ToolResult
from enactor.connectors.sdk.tools import ToolSpec, spec_of
from enactor.domain.action_type import Compensation, CompensationStrategy
from enactor.domain.errors import ConfigurationError


class Connector:
    """Base of connectors.

    Attributes:
        name: the namespace of its tools: `tickets` makes `tickets.create`.
        configuration_version: names the endpoint and credential reference in force; it is part of what is approved.
            See `version_for` where tenants or accounts have their own.
        verifies_account: its tools check that the object belongs to the call's account.
    """

    name: ClassVar[str]
    configuration_version: str = "1"
    verifies_account: ClassVar[bool] = True

    def tools(self) -> dict[str, tuple[ToolSpec, Callable[..., Awaitable[ToolResult]]]]:
        """The connector's tools by method name, each with its bound method."""
        found = {}
        for name, member in inspect.getmembers(type(self), inspect.isfunction):
            if (spec := spec_of(member)) is not None:
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

    def version_for(self, tenant_id: str, account_id: str) -> str:
        """The version of the configuration that serves a tenant's account; approvals bind this one.

        A connector that keeps settings for each tenant answers with a version of those alone: a change of one tenant's
        settings must not make what others approved stale.
        """
        return self.configuration_version

    @classmethod
    def configured_many(cls, context: ConnectorContext) -> tuple[Connector, ...]:
        """As `configured`, for one whose settings make several connectors of it, each with a name of its own."""
        return (cls.configured(context),)

    async def doctor(self) -> Sequence[Check]:
        """Looks at the target, changing nothing, and says what would keep the tools from working."""
        return ()

    async def aclose(self) -> None:
        """Lets go of connections. Its name leaves `close` to tools."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Refuses a tool whose name the connector itself answers to. Raises `ConfigurationError`."""
        super().__init_subclass__(**keywords)
        for name, member in vars(cls).items():
            if hasattr(Connector, name) and inspect.isfunction(member) and spec_of(member) is not None:
                raise ConfigurationError(
                    f"The tool '{name}' of {cls.__name__} has a name that connectors need themselves; choose another."
                )


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
