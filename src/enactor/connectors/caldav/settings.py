"""Settings of the CalDAV connector: which calendar takes the events of which tenant's accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from enactor.connectors.http_access import AccessSettings
from enactor.domain.errors import ConfigurationError
from enactor.settings.issuers import require_web_address
from enactor.settings.model import SettingsModel


class CalendarSettings(SettingsModel):
    """One calendar, as one tenant uses it for some of its accounts."""

    tenant: str = Field(min_length=1, description="The tenant whose events go there.")
    accounts: tuple[str, ...] = Field(min_length=1, description="The tenant's accounts whose events go there.")
    url: str = Field(description="The calendar collection's address, such as https://cal.example.com/dav/ana/work/.")
    access: AccessSettings = Field(default=AccessSettings(), description="How requests are authenticated.")
    networks: tuple[str, ...] = Field(
        default=(), description="Private networks, in CIDR notation, in which the server may be."
    )

    @field_validator("url")
    @classmethod
    def _collection(cls, value: str) -> str:
        address = urlsplit(require_web_address(value))
        if address.query or address.fragment or "@" in address.netloc:
            raise ValueError("must be scheme, host and path alone; credentials belong into access")
        # RFC 4918, section 5.2: a collection's address ends with a slash.
        return f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}/"


class CaldavSettings(SettingsModel):
    """The table `[connector_settings.caldav]`."""

    calendars: tuple[CalendarSettings, ...] = Field(min_length=1, description="The calendars, each for one tenant.")

    @model_validator(mode="after")
    def _distinct(self) -> CaldavSettings:
        served = [(one.tenant, account) for one in self.calendars for account in one.accounts]
        if len(set(served)) != len(served):
            raise ValueError("names an account of a tenant twice; one calendar serves it")
        return self

    @staticmethod
    def of(table: Mapping[str, Any]) -> CaldavSettings:
        """The settings in a table. Raises `ConfigurationError`, which never repeats a value."""
        try:
            return CaldavSettings.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in ("connector_settings", "caldav", *first["loc"]))
            raise ConfigurationError(f"{where}: {first['msg']}") from None
