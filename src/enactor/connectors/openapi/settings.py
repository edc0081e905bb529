"""Settings of the OpenAPI connector: which operations of which APIs are tools, and what each of them promises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from enactor.connectors.http_access import HEADER_NAME, AccessSettings
from enactor.domain.errors import ConfigurationError
from enactor.settings import RefSettings
from enactor.settings.issuers import require_web_address
from enactor.settings.mcp import Pointer
from enactor.settings.model import SettingsModel

NAME = r"^[a-z][a-z0-9_]{0,63}$"
Header = Annotated[str, Field(pattern=HEADER_NAME)]
Status = Annotated[int, Field(ge=200, le=599)]
NEVER_EFFECT_FREE = frozenset({408, 409, 412})
"""Statuses that can mean that an earlier request of ours did something (specification, section 3)."""


class ReadSettings(SettingsModel):
    """An operation that reads, and the arguments it is called with."""

    operation: str = Field(min_length=1, description="Its operationId, or `GET /path`.")
    arguments: dict[str, Any] = Field(
        default={}, description="Its arguments; `$key`, `$account`, `$arguments/…`, `$ref/…` stand for the call's."
    )
    headers: dict[Header, str] = Field(default={}, description="Further headers, in the same way.")


class LookUpSettings(ReadSettings):
    """How the target is searched by our key."""

    found: Pointer = Field(description="Points at what was found: an object, or a list; null, false or [] is nothing.")
    key: Pointer = Field(description="Points, in each thing found, at the key it was made with.")
    account: Pointer | None = Field(default=None, description="Points, in each thing found, at whose it is.")
    refs: tuple[RefSettings, ...] = Field(
        default=(), description="The objects in each thing found; as the tool's, when absent."
    )
    absent_statuses: tuple[Status, ...] = Field(
        default=(), description="Statuses that mean that there is nothing; only for an operation that asks for the key."
    )


class GoneSettings(SettingsModel):
    """How an object looks that is not in force any more, where it is kept."""

    pointer: Pointer = Field(description="Points at what says so, such as /status.")
    values: tuple[str | int | bool, ...] = Field(min_length=1, description="What is there then, such as cancelled.")


class UndoReadSettings(ReadSettings):
    """How the object is read back before it is taken back."""

    key: Pointer = Field(description="Points at the key it was made with.")
    version: Pointer = Field(description="Points at its version, as `refs` does.")
    account: Pointer | None = Field(default=None, description="Points at whose it is.")
    gone: GoneSettings | None = Field(default=None, description="How it looks when it was taken back; 404 is gone too.")


class UndoSettings(ReadSettings):
    """The operation that takes an effect back; `$ref/object_id`, `$ref/version`, `$original_key` stand for it."""

    read: UndoReadSettings = Field(description="How the object is read back first.")
    effect_free_statuses: tuple[Status, ...] = Field(default=(401, 429), description="Statuses that prove no effect.")
    absence_final_after_seconds: int | None = Field(
        default=None, ge=0, description="How long after a send it is certain that it did nothing; never, when absent."
    )


class ToolSettings(SettingsModel):
    """One operation as a tool. What its document says of it makes it no safer."""

    operation: str = Field(min_length=1, description="Its operationId, or `POST /path`.")
    fixed: dict[str, Any] = Field(
        default={},
        description="Arguments that nobody proposes, by name or by JSON Pointer; `$key` and `$account` stand for the "
        "call's.",
    )
    headers: dict[Header, str] = Field(default={}, description="Further headers, in the same way.")
    write: Literal["IDEMPOTENT", "LOOKUP", "UNSAFE"] = Field(
        default="UNSAFE", description="What the target promises about a call whose reply was lost."
    )
    key_retention_seconds: int = Field(default=86_400, ge=0, description="IDEMPOTENT: how long it remembers the key.")
    absence_final_after_seconds: int | None = Field(
        default=None, ge=0, description="LOOKUP: how long after a send an absence is final; never, when absent."
    )
    lookup: LookUpSettings | None = Field(default=None, description="How the target is searched by our key.")
    undo: UndoSettings | None = Field(default=None, description="How the effect is taken back.")
    manual_undo: str = Field(default="", max_length=2_000, description="What a person must do to take it back.")
    success_statuses: tuple[Status, ...] = Field(default=(200, 201, 204), description="Statuses that say it was done.")
    effect_free_statuses: tuple[Status, ...] = Field(default=(401, 429), description="Statuses that prove no effect.")
    error_code: Pointer | None = Field(default=None, description="Points at the code in an answer that refuses.")
    refs: tuple[RefSettings, ...] = Field(default=(), description="Where the answer names what it made.")
    risk: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] = Field(default="HIGH", description="How much approvers look.")
    summary: str = Field(default="", max_length=500, description="The sentence approvers read, over the arguments.")
    effect_key: str | None = Field(default=None, max_length=500, description="Two intents of one key exclude another.")
    action_type: str | None = Field(default=None, description="The name of its action type.")

    @model_validator(mode="after")
    def _promises_fit(self) -> ToolSettings:
        if self.write == "LOOKUP" and self.lookup is None:
            raise ValueError("write = LOOKUP needs a lookup")
        if self.write != "UNSAFE" and not (_names_key(self.fixed) or _names_key(self.headers)):
            raise ValueError(f'write = {self.write} needs "$key" in fixed or headers: where the target gets our key')
        if self.undo is not None and self.manual_undo:
            raise ValueError("names undo and manual_undo; one of them is how it is taken back")
        if self.undo is not None and not (len(self.refs) == 1 and self.refs[0].version and self.refs[0].each is None):
            raise ValueError("undo needs refs of one object, with its version: only what nobody changed is taken back")
        undoing = () if self.undo is None else self.undo.effect_free_statuses
        for status in (*self.effect_free_statuses, *undoing):
            if not 400 <= status <= 499 or status in NEVER_EFFECT_FREE:
                raise ValueError(f"the status {status} never says that a call had no effect")
        for status in self.success_statuses:
            if not 200 <= status <= 299:
                raise ValueError(f"the status {status} never says that a call was done")
        return self


class ServerSettings(SettingsModel):
    """Where the API is for one tenant."""

    tenant: str = Field(min_length=1, description="The tenant whose actions go there.")
    accounts: dict[str, str] | None = Field(
        default=None,
        description="By the tenant's account id, what stands for it there (`$account`); every account as itself, "
        "when absent.",
    )
    base_url: str = Field(description="What the document's paths are appended to, an https URL.")
    access: AccessSettings = Field(default=AccessSettings(), description="How requests are authenticated.")
    networks: tuple[str, ...] = Field(default=(), description="Private networks, in CIDR notation, it may be in.")

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str) -> str:
        address = urlsplit(require_web_address(value))
        if address.query or address.fragment or "@" in address.netloc:
            raise ValueError("must be scheme, host and path alone; credentials belong into access")
        return value.rstrip("/")


class ApiSettings(SettingsModel):
    """One API with an OpenAPI document."""

    name: str = Field(pattern=NAME, description="The namespace of its tools.")
    document: Path | dict[str, Any] = Field(description="The OpenAPI document, 3.0 or 3.1: a file, or itself.")
    servers: tuple[ServerSettings, ...] = Field(min_length=1, description="Where it is, by tenant.")
    tools: dict[Annotated[str, Field(pattern=NAME)], ToolSettings] = Field(
        min_length=1, description="Its operations that are tools, by the tool's name."
    )
    verifies_account: bool = Field(
        default=False, description="Every operation reaches what belongs to `$account` alone; approvers are told so."
    )

    @model_validator(mode="after")
    def _distinct(self) -> ApiSettings:
        served = [(one.tenant, account) for one in self.servers for account in one.accounts or ("*",)]
        if len(set(served)) != len(served) or any((tenant, "*") in served for tenant, name in served if name != "*"):
            raise ValueError("serves an account of a tenant twice")
        return self


class OpenApiSettings(SettingsModel):
    """The table `[connector_settings.openapi]`."""

    apis: tuple[ApiSettings, ...] = Field(min_length=1, description="The APIs, each a connector of its own.")

    @model_validator(mode="after")
    def _distinct(self) -> OpenApiSettings:
        names = [api.name for api in self.apis]
        if len(set(names)) != len(names):
            raise ValueError("names an API twice")
        return self

    @staticmethod
    def of(table: Mapping[str, Any]) -> OpenApiSettings:
        """The settings in a table. Raises `ConfigurationError`, which never repeats a value."""
        try:
            return OpenApiSettings.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in ("connector_settings", "openapi", *first["loc"]))
            raise ConfigurationError(f"{where}: {first['msg']}") from None


def _names_key(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_names_key(one) for one in value.values())
    return isinstance(value, str) and value == "$key"
