"""Settings of the OpenID Connect issuers whose tokens are accepted (specification, section 9)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from enactor.domain.principal import DEV_ISSUER
from enactor.settings.model import SettingsModel

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signature algorithms (RFC 7518, RFC 8037) that can be allowed: asymmetric ones, so that no issuer key is ours too."""

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def require_web_address(value: str) -> str:
    """`value`, if it is an https URL, or an http one on loopback. Raises `ValueError` that says so."""
    address = urlsplit(value)
    if address.scheme == "https" and address.hostname:
        return value
    if address.scheme == "http" and address.hostname in _LOOPBACK:
        return value
    raise ValueError("must be an https:// URL (http:// is accepted on loopback only)")


class ClaimNames(SettingsModel):
    """Which claims carry what. A name is looked up as it is first, then as a dotted path into nested objects."""

    tenant: str = Field(default="tenant_id", description="Claim with the tenant's id.", min_length=1)
    accounts: str = Field(default="account_ids", description="Claim with the list of account ids.", min_length=1)
    roles: str = Field(default="roles", description="Claim with the list of roles.", min_length=1)


class IssuerSettings(SettingsModel):
    """One issuer. Its keys come from `jwks`, else from `jwks_uri`, else from its discovery document."""

    issuer: str = Field(description="The `iss` of its tokens, an https URL.")
    jwks_uri: str | None = Field(default=None, description="Where its keys are; found by discovery when absent.")
    jwks: dict[str, Any] | None = Field(
        default=None, description="The key set itself (public keys only), as a table or as `file:/path`."
    )
    audiences: tuple[str, ...] = Field(default=(), description="Values of `aud` that are meant for this API.")
    mcp_audiences: tuple[str, ...] = Field(
        default=(), description="Values of `aud` that are meant for `/mcp`, and then only these; else as for the API."
    )
    client_ids: tuple[str, ...] = Field(
        default=(), description="For issuers that set no audience: the `client_id` or `azp` that a token must carry."
    )
    tenants: tuple[str, ...] = Field(
        default=(), description="Tenants it may vouch for. With exactly one, a token may leave the claim out."
    )
    platform: bool = Field(default=False, description="Whether it may vouch for platform administrators.")
    claims: ClaimNames = Field(
        default=ClaimNames(), description="Names of the claims that carry tenant, accounts and roles."
    )
    agent_clients: tuple[str, ...] = Field(
        default=(), description="OAuth clients that are agents: nobody who comes through them counts as a person."
    )
    algorithms: tuple[str, ...] = Field(
        default=("RS256", "ES256", "EdDSA"), description="Signature algorithms that it uses."
    )

    @field_validator("issuer", "jwks_uri")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value == DEV_ISSUER:
            raise ValueError("is the development issuer's name; it exists only under `serve --dev`")
        return None if value is None else require_web_address(value)

    @field_validator("jwks", mode="before")
    @classmethod
    def _key_set(cls, value: object) -> object:
        if isinstance(value, str):
            if not value.startswith("file:"):
                raise ValueError("must be a table, or file:/path of a JSON Web Key Set")
            try:
                value = json.loads(Path(value.removeprefix("file:")).read_text(encoding="utf-8"))
            except OSError as error:
                raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
            except ValueError:
                raise ValueError("names a file that holds no JSON") from None
        if value is None:
            return None
        keys = value.get("keys") if isinstance(value, dict) else None
        if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
            raise ValueError('must be a JSON Web Key Set (RFC 7517): an object with a list "keys"')
        if any(_PRIVATE_MEMBERS & key.keys() for key in keys):
            raise ValueError("holds a private or symmetric key; list public keys only")
        return value

    @field_validator("algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = sorted(set(value) - ALGORITHMS)
        if wrong or not value:
            raise ValueError(f"must be some of: {', '.join(sorted(ALGORITHMS))}")
        return value

    @model_validator(mode="after")
    def _meant_for_us(self) -> IssuerSettings:
        if not self.audiences and not self.client_ids:
            raise ValueError("needs audiences or client_ids, so that tokens meant for others are refused")
        if self.jwks is not None and self.jwks_uri is not None:
            raise ValueError("takes jwks or jwks_uri, not both")
        if not self.tenants and not self.platform:
            raise ValueError("needs the tenants it may vouch for (or platform = true)")
        return self
