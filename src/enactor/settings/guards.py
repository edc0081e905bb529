"""Settings of the guards around calls: what is held against each tenant's calls to a connector."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from enactor.settings.model import SettingsModel


class GuardSettings(SettingsModel):
    """The guards of one connector. Each holds for each tenant by itself, in each process by itself."""

    concurrency: int | None = Field(default=32, ge=1, le=10_000, description="Calls out at once.")
    wait_seconds: float = Field(
        default=2, ge=0, le=60, description="How long a call waits for another to come back before it is put off."
    )
    calls_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="Calls in a minute; any number.")
    burst: int | None = Field(
        default=None, ge=1, le=1_000_000, description="How many of these may come at once; as many as in a minute."
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=86_400, description="The longest wait for a reply, whatever an intent's policy says."
    )
    failures: int = Field(
        default=5, ge=0, le=10_000, description="Calls in a row that fail before none is made for a while; 0 for never."
    )
    open_seconds: float = Field(
        default=30, gt=0, le=86_400, description="For how long none is made; twice as long after each probe that fails."
    )
    longest_open_seconds: float = Field(default=300, gt=0, le=86_400, description="And never longer than this.")
    longest_pause_seconds: float = Field(
        default=3_600, gt=0, le=86_400, description="The longest pause that a target can ask for (`Retry-After`)."
    )


class GuardsSettings(GuardSettings):
    """The guards of every connector, and of some in particular."""

    connectors: dict[str, dict[str, Any]] = Field(
        default={}, description="By connector, what differs from that: `[guards.connectors.NAME]`."
    )

    @field_validator("connectors")
    @classmethod
    def _known(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for own in value.values():
            GuardSettings.model_validate(own)
        return value

    def of(self, connector_id: str) -> GuardSettings:
        """What holds for a connector."""
        default = self.model_dump(exclude={"connectors"})
        return GuardSettings.model_validate(default | self.connectors.get(connector_id, {}))
