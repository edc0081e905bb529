"""Instants. Inside, an instant is an integer: milliseconds since the Unix epoch, UTC. On the wire it is RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=8)
def _second(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def rfc3339(epoch_ms: int) -> str:
    """The instant as RFC 3339 in UTC with milliseconds, for example `2026-11-23T15:42:00.123Z`. Sorts by time."""
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def epoch_ms(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 instant.

    Raises:
        ValueError: not an RFC 3339 instant with an offset.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset, for example 2026-11-23T15:42:00Z")
    return round(instant.timestamp() * 1000)


def normal(text: str) -> str:
    """An RFC 3339 instant in the spelling of `rfc3339`, so that instants compare as text.

    Raises:
        ValueError: not an RFC 3339 instant with an offset.
    """
    return rfc3339(epoch_ms(text))
