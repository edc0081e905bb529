"""Settings of the Salesforce connector: which organization serves which tenant's accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from enactor.connectors.salesforce.records import ACCOUNT, record_id
from enactor.domain.errors import ConfigurationError
from enactor.settings import OAuthSettings
from enactor.settings.issuers import require_web_address
from enactor.settings.model import SettingsModel

API_NAME: Final = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
_DEFAULT_KEY_FIELD: Final = "Enactor_Key__c"


class KeyFields(SettingsModel):
    """The unique external-id fields that hold our keys. Task's is defined on Activity."""

    task: str = Field(default=_DEFAULT_KEY_FIELD, pattern=API_NAME, description="Of Task, defined on Activity.")
    opportunity: str = Field(default=_DEFAULT_KEY_FIELD, pattern=API_NAME, description="Of Opportunity.")


class OrganizationSettings(SettingsModel):
    """One Salesforce organization, as one tenant uses it for some of its accounts."""

    tenant: str = Field(min_length=1, description="The tenant whose actions go there.")
    accounts: dict[str, str] = Field(
        min_length=1, description="By the tenant's account id, the id of the Salesforce Account that it stands for."
    )
    instance_url: str = Field(description="The organization's own address, such as https://acme.my.salesforce.com.")
    api_version: str = Field(default="62.0", pattern=r"^[1-9][0-9]\.0$", description="Version of the REST API.")
    oauth: OAuthSettings = Field(description="How access tokens are got.")
    key_fields: KeyFields = Field(default=KeyFields(), description="The fields that hold our keys.")
    account_fields: dict[str, str] = Field(
        default={},
        description="For further objects, the field that names the Account, such as Invoice__c = Account__c.",
    )

    @field_validator("instance_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        address = urlsplit(require_web_address(value))
        if address.path not in ("", "/") or address.query or address.fragment or "@" in address.netloc:
            raise ValueError("must be scheme and host alone, such as https://acme.my.salesforce.com")
        return f"{address.scheme}://{address.netloc}"

    @field_validator("accounts")
    @classmethod
    def _account_ids(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            return {ours: record_id(theirs, ACCOUNT) for ours, theirs in value.items()}
        except ValueError:
            raise ValueError("must name Salesforce Accounts by their ids, which begin with 001") from None


class SalesforceSettings(SettingsModel):
    """The table `[connector_settings.salesforce]`."""

    organizations: tuple[OrganizationSettings, ...] = Field(
        min_length=1, description="The organizations, each for one tenant."
    )

    @model_validator(mode="after")
    def _distinct(self) -> SalesforceSettings:
        served = [(one.tenant, account) for one in self.organizations for account in one.accounts]
        if len(set(served)) != len(served):
            raise ValueError("names an account of a tenant twice; one organization serves it")
        return self

    @staticmethod
    def of(table: Mapping[str, Any]) -> SalesforceSettings:
        """The settings in a table. Raises `ConfigurationError`, which never repeats a value."""
        try:
            return SalesforceSettings.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in ("connector_settings", "salesforce", *first["loc"]))
            raise ConfigurationError(f"{where}: {first['msg']}") from None
