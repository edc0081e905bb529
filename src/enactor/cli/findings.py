"""What `enactor doctor` finds."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    """How a check went. Only a problem makes `doctor` exit with status 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """What one check found, and what to do about it."""

    area: str
    state: State
    text: str
    advice: str = ""
