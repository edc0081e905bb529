"""What every group of settings has in common: immutable, and without room for a misspelled key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsModel(BaseModel):
    """A group of settings. An unknown key is refused, and a value is never echoed by an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)
