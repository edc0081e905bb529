"""Settings: what can be set, where it comes from, and what is wrong with it."""

from __future__ import annotations

from enactor.settings.guards import GuardSettings, GuardsSettings
from enactor.settings.issuers import ClaimNames, IssuerSettings
from enactor.settings.ledger import LedgerSettings
from enactor.settings.loading import Loaded, load
from enactor.settings.mcp import McpServerSettings, McpSettings, RefSettings, ToolSettings
from enactor.settings.oauth import OAuthSettings
from enactor.settings.schema import EVERY_TENANT, LOOPBACK, LimitSettings, Settings, WebhookSettings
from enactor.settings.values import SecretReference, StoreAddress, store_address, without_password

__all__ = [
    "EVERY_TENANT",
    "LOOPBACK",
    "ClaimNames",
    "GuardSettings",
    "GuardsSettings",
    "IssuerSettings",
    "LedgerSettings",
    "LimitSettings",
    "Loaded",
    "McpServerSettings",
    "McpSettings",
    "OAuthSettings",
    "RefSettings",
    "SecretReference",
    "Settings",
    "StoreAddress",
    "ToolSettings",
    "WebhookSettings",
    "load",
    "store_address",
    "without_password",
]
