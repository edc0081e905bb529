"""Settings of MCP servers whose tools can be called, and of the faces that speak MCP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from enactor.settings.issuers import require_web_address
from enactor.settings.model import SettingsModel
from enactor.settings.oauth import OAuthSettings
from enactor.settings.values import SecretReference

Pointer = Annotated[str, Field(pattern=r"^(/.*)?$", max_length=500)]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class RefSettings(SettingsModel):
    """Where a tool's answer names an object. Every pointer is a JSON Pointer (RFC 6901) into its structured content."""

    system: str = Field(min_length=1, max_length=128, description="The system that the object is in.")
    object_type: str = Field(min_length=1, max_length=128, description="What kind of object it is.")
    id: Pointer = Field(description="Points at its id.")
    url: Pointer | None = Field(default=None, description="Points at its URL.")
    version: Pointer | None = Field(default=None, description="Points at the version it was left at.")
    each: Pointer | None = Field(default=None, description="Points at a list; the others are relative to its items.")
    required: bool = Field(default=True, description="An answer without it does not say what was done.")


class LookUpSettings(SettingsModel):
    """How the server is searched by our idempotency key."""

    tool: str = Field(min_length=1, description="The server's tool that searches.")
    arguments: dict[str, Any] = Field(description="Its arguments; `$key` and `$arguments/…` stand for the call's.")
    found: Pointer = Field(description="Points at what was found; null, false or an empty list mean nothing.")
    refs: tuple[RefSettings, ...] = Field(default=(), description="The objects, relative to each thing found.")


class ToolSettings(SettingsModel):
    """What a tool promises. What its server says of it makes it no safer."""

    write: Literal["IDEMPOTENT", "LOOKUP", "UNSAFE"] = Field(
        default="UNSAFE", description="What the target promises about a call whose reply was lost."
    )
    key_argument: str | None = Field(default=None, description="The argument that takes our idempotency key.")
    key_retention_seconds: int = Field(default=86_400, ge=0, description="IDEMPOTENT: how long it remembers the key.")
    absence_final_after_seconds: int | None = Field(
        default=None, ge=0, description="LOOKUP: how long after a send an absence is final; never, when absent."
    )
    lookup: LookUpSettings | None = Field(default=None, description="How the server is searched by our key.")
    risk: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] = Field(default="HIGH", description="How much approvers look.")
    summary: str = Field(default="", max_length=500, description="The sentence approvers read, over the arguments.")
    effect_key: str | None = Field(default=None, max_length=500, description="Two intents of one key exclude another.")
    refs: tuple[RefSettings, ...] = Field(default=(), description="Where its answer names what it made.")
    undo: str | None = Field(default=None, description="The server's tool that takes the effect back.")
    undo_arguments: dict[str, Any] | None = Field(
        default=None, description="For a tool that undoes: its arguments; `$ref/object_id`, `$original_key`."
    )
    manual_undo: str = Field(default="", max_length=2_000, description="What a person must do to take it back.")
    effect_free_codes: tuple[int, ...] = Field(default=(), description="JSON-RPC errors that prove no effect.")
    effect_free_statuses: tuple[int, ...] = Field(default=(401,), description="HTTP statuses that prove no effect.")
    action_type: str | None = Field(default=None, description="The name of its action type.")
    proposable: bool = Field(default=True, description="Whether it gets an action type.")


class McpServerSettings(SettingsModel):
    """One MCP server. Its tools become action types, UNSAFE and HIGH unless `tools` says otherwise."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="The namespace of its tools.")
    url: str | None = Field(default=None, description="Where it is, over streamable HTTP; an https URL.")
    command: tuple[str, ...] = Field(default=(), description="Or the command of a process that speaks over stdio.")
    directory: str | None = Field(default=None, description="The process's working directory.")
    headers: dict[Header, SecretReference] = Field(
        default={}, description="HTTP headers, each with the reference of its whole value."
    )
    oauth: OAuthSettings | None = Field(
        default=None, description="The OAuth client for tenants without one of their own, and for listing its tools."
    )
    tenant_oauth: dict[str, OAuthSettings] = Field(default={}, description="OAuth clients, by tenant.")
    environment: dict[str, SecretReference] = Field(default={}, description="The process's variables, by reference.")
    target: str | None = Field(default=None, description="Only tools listed as `{target}___{tool}`.")
    only: tuple[str, ...] | None = Field(default=None, description="Only these tools.")
    default: ToolSettings = Field(default=ToolSettings(), description="What holds for tools that are not in `tools`.")
    tools: dict[str, ToolSettings] = Field(default={}, description="What each tool promises, by its name.")
    hosts: tuple[str, ...] | None = Field(default=None, description="Hosts it may be reached at; the url's alone.")
    networks: tuple[str, ...] = Field(default=(), description="Private networks it may be in, for example 10.0.0.0/8.")
    connect_seconds: float = Field(default=10, gt=0, le=300, description="For connecting and listing.")
    refresh_seconds: float = Field(default=60, ge=1, le=86_400, description="How often its tools are listed again.")
    artifact_bytes: int = Field(default=65_536, ge=0, description="A longer answer is put aside as an artifact.")
    largest_bytes: int = Field(default=33_554_432, ge=1_024, description="A longer answer is not read to its end.")
    keep_answers: bool = Field(default=False, description="Put every answer aside.")

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        return None if value is None else require_web_address(value)

    @model_validator(mode="after")
    def _one_way(self) -> McpServerSettings:
        if (self.url is None) == (not self.command):
            raise ValueError("needs a url or a command, and not both")
        if self.url is None and (self.oauth is not None or self.tenant_oauth):
            raise ValueError("has a command: oauth does nothing")
        if (self.oauth is not None or self.tenant_oauth) and "authorization" in map(str.lower, self.headers):
            raise ValueError("has oauth, and an Authorization header too")
        return self


class McpSettings(SettingsModel):
    """The faces that speak MCP."""

    agents: bool = Field(default=True, description="Serve `/mcp`, through which agents propose.")
    gateway: bool = Field(default=False, description="Serve `/gateway/mcp`, to execution tokens only.")
    gateway_key: SecretReference | None = Field(
        default=None,
        description="The secret that execution tokens are signed with; several processes share one. Made when absent.",
    )
    behind_gateway: tuple[str, ...] = Field(
        default=(), description="Connectors that are called through `gateway_url`, with an execution token each time."
    )
    gateway_url: str | None = Field(
        default=None, description="A `/gateway/mcp`: this server's own, or that of another one over the same store."
    )
    gateway_networks: tuple[str, ...] = Field(
        default=(), description="Private networks that gateway_url may be in, for example 10.0.0.0/8."
    )
    artifacts: Path = Field(default=Path("enactor-artifacts"), description="Where long answers and listings are kept.")

    @field_validator("gateway_url")
    @classmethod
    def _gateway_address(cls, value: str | None) -> str | None:
        return None if value is None else require_web_address(value)

    @model_validator(mode="after")
    def _complete(self) -> McpSettings:
        if self.behind_gateway and (self.gateway_url is None or self.gateway_key is None):
            raise ValueError("behind_gateway needs gateway_url and gateway_key")
        return self
