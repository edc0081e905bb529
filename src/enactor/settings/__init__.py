"""Settings: what can be set, where it comes from, and what is wrong with it."""

from __future__ import annotations

from enactor.settings.issuers import ClaimNames, IssuerSettings

__all__ = ["ClaimNames", "IssuerSettings"]
