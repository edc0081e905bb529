"""Settings of an OAuth 2.0 client: how Enactor gets access tokens for a target (RFC 6749)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from enactor.settings.issuers import require_web_address
from enactor.settings.model import SettingsModel
from enactor.settings.values import SecretReference


class OAuthSettings(SettingsModel):
    """One client at one authorization server. Secrets are named by reference and never held."""

    token_url: str = Field(description="The token endpoint, an https URL.")
    client_id: str = Field(min_length=1, max_length=500, description="The client's id there.")
    client_secret: SecretReference | None = Field(
        default=None, description="Where the client's secret is; a public client has none."
    )
    grant: Literal["client_credentials", "refresh_token"] = Field(
        default="client_credentials", description="How tokens are got."
    )
    refresh_token: SecretReference | None = Field(
        default=None, description="Where the refresh token is; for the grant of that name."
    )
    scope: str = Field(default="", max_length=2_000, description="Scopes asked for, separated by spaces.")
    authentication: Literal["client_secret_post", "client_secret_basic", "none"] = Field(
        default="client_secret_post", description="How the client proves itself (RFC 6749, section 2.3.1)."
    )
    lifetime_seconds: int = Field(
        default=900,
        ge=30,
        le=86_400,
        description="How long a token is used when the server does not say how long it is good.",
    )

    @field_validator("token_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        return require_web_address(value)

    @model_validator(mode="after")
    def _complete(self) -> OAuthSettings:
        if (self.grant == "refresh_token") != (self.refresh_token is not None):
            raise ValueError('needs refresh_token exactly with grant = "refresh_token"')
        if (self.authentication == "none") != (self.client_secret is None):
            raise ValueError('needs client_secret, unless authentication = "none"')
        return self
