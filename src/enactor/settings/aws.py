"""Settings of the AWS target: what the deployed functions are told of what stands around them."""

from __future__ import annotations

from pydantic import Field

from enactor.settings.model import SettingsModel


class AwsSettings(SettingsModel):
    """What the deployed functions work with; the template sets it, and a server of your own needs none of it."""

    state_machine: str | None = Field(default=None, description="The ARN of the state machine that drives runs.")
    event_bus: str | None = Field(default=None, description="The event bus that approvals and outcomes are put on.")
    artifacts: str | None = Field(default=None, description="The bucket that long answers are kept in.")
    prefix: str = Field(default="cc-native", description="The prefix of the resources' names; metrics carry it.")
