"""Settings of the ledger's logs: their name, the keys that sign them, and who may sign them too."""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field, field_validator

from enactor.domain.errors import InvalidInput
from enactor.domain.note import Algorithm, parse_key
from enactor.settings.model import SettingsModel
from enactor.settings.values import SecretReference

_ORIGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~/-]{0,199}")


class LedgerSettings(SettingsModel):
    """How the ledger is signed."""

    origin: str = Field(
        default="enactor.local",
        description="What the names of the logs begin with, a domain of yours for example; the tenant follows.",
    )
    signing_keys: tuple[SecretReference, ...] = Field(
        default=(),
        description="Where the keys are that sign checkpoints, Ed25519 in PEM; all sign, the newest stands first. "
        "Without one a key beside a SQLite database is made and used.",
    )
    witnesses: tuple[str, ...] = Field(
        default=(), description="Verifier keys of witnesses whose cosignatures are accepted: `name+id+base64`."
    )
    checkpoint_seconds: float = Field(
        default=60, ge=1, le=86_400, description="How often a log that has grown is signed."
    )
    merge_seconds: float = Field(
        default=2, ge=0.05, le=30, description="How long entries are collected before they are merged into their log."
    )

    @field_validator("origin")
    @classmethod
    def _name(cls, value: str) -> str:
        if _ORIGIN.fullmatch(value) is None or value.endswith("/"):
            raise ValueError("must be a name such as enactor.example.com, without a scheme, white space or '+'")
        return value

    @field_validator("witnesses")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                algorithm = parse_key(text).algorithm
            except InvalidInput as error:
                raise ValueError(error.message) from None
            if algorithm is not Algorithm.WITNESS:
                raise ValueError("names a key that is not a witness's (its algorithm is not 0x04)")
        return value
