"""What the Salesforce tools take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from enactor.connectors.salesforce.settings import API_NAME

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_ID = r"^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$"


class CreateTask(BaseModel):
    """Something for a person to do about the account."""

    model_config = ConfigDict(extra="forbid", strict=True)
    subject: str = Field(min_length=1, max_length=255, description="What is to be done, in one line.")
    description: str | None = Field(default=None, max_length=32_000, description="Whatever helps to do it.")
    due_date: str | None = Field(default=None, pattern=_DATE, description="By when, as YYYY-MM-DD.")
    priority: Literal["High", "Normal", "Low"] = Field(default="Normal", description="How urgent it is.")
    status: str = Field(default="Not Started", min_length=1, max_length=255, description="A status of the org's list.")
    related_to_id: str | None = Field(
        default=None, pattern=_ID, description="The record it is about; the account itself when absent."
    )
    contact_id: str | None = Field(default=None, pattern=_ID, description="The contact it concerns.")
    owner_id: str | None = Field(default=None, pattern=_ID, description="The user who is to do it.")


class CreateOpportunity(BaseModel):
    """A chance to sell something to the account."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(min_length=1, max_length=120, description="What it is called.")
    stage: str = Field(min_length=1, max_length=255, description="A stage of the org's list, such as Prospecting.")
    close_date: str = Field(pattern=_DATE, description="When it is expected to close, as YYYY-MM-DD.")
    amount: float | None = Field(default=None, ge=0, lt=1e16, description="How much, in the org's currency.")
    description: str | None = Field(default=None, max_length=32_000, description="Whatever is known of it.")
    next_step: str | None = Field(default=None, max_length=255, description="What happens next.")
    owner_id: str | None = Field(default=None, pattern=_ID, description="The user whose opportunity it is.")


class UpdateField(BaseModel):
    """One field of one record that is there already."""

    model_config = ConfigDict(extra="forbid", strict=True)
    object_type: str = Field(pattern=API_NAME, description="The object's API name, such as Opportunity.")
    record_id: str = Field(pattern=_ID, description="The record's id.")
    field: str = Field(pattern=API_NAME, description="The field's API name, such as StageName.")
    value: Annotated[str, Field(max_length=131_072)] | int | float | bool | None = Field(
        description="What it is to be; null empties it."
    )
