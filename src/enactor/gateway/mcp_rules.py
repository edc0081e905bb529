"""What is configured about an MCP server and its tools: what each tool promises, and where its answer names objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from enactor.domain.action_type import RiskClass, TargetRule, WriteMode, WriteSemantics
from enactor.domain.canonical import digest
from enactor.domain.errors import ConfigurationError
from enactor.gateway.pointing import RefRule

SEPARATOR: Final = "___"
"""What some gateways put between the name of a target and the name of its tool."""

_MADE_UP: Final = frozenset({-32700, -32603, -32600, -32000, -32001})
"""JSON-RPC codes that stand for a broken connection or an unreadable answer, and not for a server's word."""


class LookUpRule(Struct, frozen=True, kw_only=True):
    """How the server is searched by our key.

    Attributes:
        tool: the server's tool that searches.
        arguments: its arguments; `$key`, `$arguments/…` and `$original_key` stand for the call's.
        found: points at what was found in its answer: null, false or an empty list mean that there is nothing.
        refs: where the objects are named, relative to each thing that was found.
    """

    tool: str
    arguments: dict[str, Any]
    found: str
    refs: tuple[RefRule, ...] = ()


class ToolRule(Struct, frozen=True, kw_only=True):
    """What is known of a tool beyond what its server says of it. Nothing its server says makes it safer than this.

    Attributes:
        key_argument: the argument our idempotency key goes into; it is taken out of what can be proposed.
        undo: the server's tool that takes the effect back.
        undo_arguments: for a tool that undoes: its arguments; `$ref/object_id` and `$original_key` stand for the
            effect's.
        effect_free_codes: JSON-RPC error codes with which the server says that it did nothing.
        effect_free_statuses: HTTP statuses, among 4xx, with which it does.
        proposable: it gets an action type.
    """

    semantics: WriteSemantics = WriteSemantics(mode=WriteMode.UNSAFE)
    risk: RiskClass = RiskClass.HIGH
    summary: str = ""
    effect_key: str | None = None
    target: TargetRule | None = None
    refs: tuple[RefRule, ...] = ()
    key_argument: str | None = None
    lookup: LookUpRule | None = None
    undo: str | None = None
    undo_arguments: dict[str, Any] | None = None
    manual_undo: str = ""
    effect_free_codes: tuple[int, ...] = ()
    effect_free_statuses: tuple[int, ...] = (401,)
    required_scopes: tuple[str, ...] = ()
    action_type: str | None = None
    proposable: bool = True


class McpServer(Struct, frozen=True, kw_only=True):
    """An MCP server whose tools can be called: over streamable HTTP (`url`), or a process of its own (`command`).

    Attributes:
        headers: names of HTTP headers, each with the reference of the secret that is its value.
        credentials: names what authenticates requests where headers do not; part of the version, and no secret.
        environment: variables of the process, each with a reference; it inherits nothing but PATH and its like.
        target: only tools that the server lists as `{target}___{tool}`.
        only: the tools that are taken; None means all.
        rules: by the tool's name, without a target's prefix.
        default: the rule of every other tool.
        hosts, networks: see `EgressRules`; None means the host of `url` alone.
        connect_seconds: for connecting and listing.
        refresh_seconds: for how long a listing stands.
        artifact_bytes: a longer answer is put aside as an artifact.
        largest_bytes: a longer one is not read to its end.
        keep_answers: put every answer aside.
    """

    name: str
    url: str | None = None
    command: tuple[str, ...] = ()
    directory: str | None = None
    headers: dict[str, str] = {}
    credentials: dict[str, Any] = {}
    environment: dict[str, str] = {}
    target: str | None = None
    only: tuple[str, ...] | None = None
    rules: dict[str, ToolRule] = {}
    default: ToolRule = ToolRule()
    hosts: tuple[str, ...] | None = None
    networks: tuple[str, ...] = ()
    connect_seconds: float = 10.0
    refresh_seconds: float = 60.0
    artifact_bytes: int = 64 * 1024
    largest_bytes: int = 32 * 1024 * 1024
    keep_answers: bool = False

    def rule(self, tool: str) -> ToolRule:
        """The rule of a tool."""
        return self.rules.get(tool, self.default)

    @property
    def version(self) -> str:
        """Names what decides where a call goes and as whom; part of what is approved. No secret is in it."""
        where = [self.url, list(self.command), self.directory, self.headers, self.environment, self.target]
        where += [self.credentials] if self.credentials else []
        return digest(["enactor/mcp-server/v1", *where])[:16]

    def check(self) -> None:
        """Raises `ConfigurationError` when the parts do not fit together."""
        if (self.url is None) == (not self.command):
            raise ConfigurationError(f"The MCP server '{self.name}' needs a url or a command, and not both.")
        if self.url is not None and (self.environment or self.directory):
            raise ConfigurationError(f"The MCP server '{self.name}' has a url: environment and directory do nothing.")
        if self.url is None and self.headers:
            raise ConfigurationError(f"The MCP server '{self.name}' has a command: headers do nothing.")
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", self.name):
            raise ConfigurationError(
                f"An MCP server's name is lower case letters, digits, '_' and '-', 64 at most: '{self.name[:100]}'."
            )
        for tool, rule in self.rules.items():
            for status in rule.effect_free_statuses:
                if not 400 <= status <= 499 or status in (408, 409, 412):
                    raise ConfigurationError(
                        f"{self.name}.{tool}: the status {status} never says that a call had no effect."
                    )
            for code in rule.effect_free_codes:
                if code in _MADE_UP:
                    raise ConfigurationError(
                        f"{self.name}.{tool}: the error {code} never says that a call had no effect."
                    )
            if rule.semantics.mode is WriteMode.LOOKUP and rule.lookup is None:
                raise ConfigurationError(f"{self.name}.{tool} is LOOKUP and names no look-up.")
            if rule.semantics.mode is WriteMode.IDEMPOTENT and rule.key_argument is None:
                raise ConfigurationError(
                    f"{self.name}.{tool} is IDEMPOTENT: name the argument that takes the key (key_argument)."
                )


def plain_names(listed: Sequence[str], target: str | None) -> dict[str, str]:
    """The tools of a listing by plain name, each with the name it is called by.

    A prefix such as `{target}___` is taken off where the rest names one tool only. With `target`, only that target's
    tools are taken.
    """
    if target is not None:
        prefix = f"{target}{SEPARATOR}"
        return {name.removeprefix(prefix): name for name in listed if name.startswith(prefix) and name != prefix}
    plain: dict[str, list[str]] = {}
    for name in listed:
        plain.setdefault(name.partition(SEPARATOR)[2] or name, []).append(name)
    return {short if len(names) == 1 else name: name for short, names in plain.items() for name in names}
