"""Everything that can be set for a server, with its default and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from enactor.domain.errors import ConfigurationError
from enactor.domain.ledger import LedgerEvent
from enactor.settings.aws import AwsSettings
from enactor.settings.guards import GuardsSettings
from enactor.settings.issuers import IssuerSettings, require_web_address
from enactor.settings.ledger import LedgerSettings
from enactor.settings.mcp import McpServerSettings, McpSettings
from enactor.settings.model import SettingsModel
from enactor.settings.values import SecretReference, StoreAddress, store_address

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
EVERY_TENANT: Final = "*"


class LimitSettings(SettingsModel):
    """How much is accepted at once."""

    pending_per_proposer: int = Field(
        default=50, ge=1, le=1_000_000, description="Intents of one proposer that may wait for a decision; then 429."
    )
    pending_per_tenant: int = Field(
        default=500, ge=1, le=10_000_000, description="Intents of one tenant that may wait for a decision; then 429."
    )
    expires_in_seconds: int = Field(
        default=7 * 86_400, ge=1, le=366 * 86_400, description="How long a proposal lives that does not say."
    )
    body_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1_024, le=1024**3, description="Longest request body in bytes; then 413."
    )
    body_depth: int = Field(default=64, ge=4, le=500, description="Deepest nesting of a JSON body; then 413.")


class WebhookSettings(SettingsModel):
    """One receiver of events, signed per Standard Webhooks."""

    url: str = Field(description="Where events are posted, an https URL.")
    secret: SecretReference = Field(
        description="Where the signing secret (`whsec_…`) is: env:NAME, file:/path or aws-sm:name#key."
    )
    tenant: str = Field(min_length=1, description='The tenant whose events it gets; "*" for every tenant\'s.')
    event_types: tuple[LedgerEvent, ...] = Field(
        default=(), description="Which events, for example `ACTION_EXECUTED`; empty means all."
    )

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        return require_web_address(value)


class Settings(SettingsModel):
    """The settings of a server."""

    store: str = Field(
        default="sqlite:///enactor.db",
        description="Store URL: sqlite:///path, postgresql://…, dynamodb://region?prefix=cc-native or memory://.",
    )
    engine: Literal["local", "restate"] = Field(default="local", description="Who runs executions.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8420, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes; this version takes 1.")
    dev: bool = Field(default=False, description="Accept the development issuer's tokens; on loopback only.")
    dev_key_file: Path = Field(
        default=Path("~/.local/state/enactor/dev-issuer.json"),
        description="The development issuer's key; made when it is missing. $XDG_STATE_HOME is honoured.",
    )
    issuers: tuple[IssuerSettings, ...] = Field(
        default=(), description="The OpenID Connect issuers whose tokens are accepted."
    )
    connectors: tuple[str, ...] = Field(
        default=("internal",), description="Connectors that are on, by their names in the group `enactor.connectors`."
    )
    connector_settings: dict[str, dict[str, Any]] = Field(
        default={}, description="Per connector, by the name that turns it on, the settings that it takes itself."
    )
    public_url: str | None = Field(
        default=None, description="The address that clients use, without a path; what requests say when absent."
    )
    mcp: McpSettings = Field(default=McpSettings(), description="The faces that speak MCP.")
    mcp_servers: tuple[McpServerSettings, ...] = Field(
        default=(), description="MCP servers whose tools can be proposed."
    )
    aws: AwsSettings = Field(default=AwsSettings(), description="The deployment on AWS.")
    webhooks: tuple[WebhookSettings, ...] = Field(default=(), description="Receivers of events.")
    secrets: dict[str, dict[str, SecretReference]] = Field(
        default={}, description="Per tenant, the secrets that parameters may name: where each one is."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="How much is accepted at once.")
    guards: GuardsSettings = Field(default=GuardsSettings(), description="What is held against calls to a connector.")
    ledger: LedgerSettings = Field(default=LedgerSettings(), description="How the ledger is signed.")
    concurrency: int = Field(default=64, ge=1, le=10_000, description="Executions in flight at once.")
    drain_seconds: float = Field(
        default=30, ge=0, le=3_600, description="How long SIGTERM waits for executions in flight, in seconds."
    )
    max_pause_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="The longest pause of a process between the check of a permit and the send, in seconds. "
        "A look-up after a takeover waits for it.",
    )
    doubt_look_up_seconds: float = Field(
        default=60,
        ge=1,
        le=86_400,
        description="How long after a run fell in doubt its target is searched again, in seconds; doubles each time.",
    )
    shadow: bool = Field(default=False, description="Evaluate and record every proposal, execute none.")
    restored: bool = Field(
        default=False, description="The store comes from a backup: what may have run since is put in doubt."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged.")

    @field_validator("store")
    @classmethod
    def _store_url(cls, value: str) -> str:
        try:
            store_address(value)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("dev_key_file")
    @classmethod
    def _at_home(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            # A process without a home directory, as in some containers, needs none while it needs no such key.
            return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        return None if value is None else require_web_address(value).rstrip("/")

    @field_validator("mcp_servers")
    @classmethod
    def _distinct_servers(cls, value: tuple[McpServerSettings, ...]) -> tuple[McpServerSettings, ...]:
        names = [server.name for server in value]
        if len(set(names)) != len(names):
            raise ValueError("names a server twice")
        return value

    @field_validator("issuers")
    @classmethod
    def _distinct(cls, value: tuple[IssuerSettings, ...]) -> tuple[IssuerSettings, ...]:
        names = [issuer.issuer for issuer in value]
        if len(set(names)) != len(names):
            raise ValueError("names an issuer twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.dev and self.host not in LOOPBACK:
            raise ValueError(f"dev works on loopback only: set host to 127.0.0.1, not {self.host[:100]}")
        if self.workers > 1 and self.address.scheme in ("sqlite", "memory"):
            raise ValueError(
                f"workers = {self.workers} needs a store that several processes can share (dynamodb://…); "
                f"{self.address.scheme} takes one process"
            )
        return self

    @property
    def address(self) -> StoreAddress:
        """The store URL in its parts."""
        return store_address(self.store)
