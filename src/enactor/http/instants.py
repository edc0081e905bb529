"""Instants in queries."""

from __future__ import annotations

from typing import Any

from fastapi import Query

from enactor.domain.errors import InvalidInput
from enactor.domain.time import epoch_ms, rfc3339


def instant_query(description: str, alias: str | None = None) -> Any:
    """A query parameter that is an instant."""
    return Query(
        alias=alias,
        max_length=64,
        description=f"{description}; RFC 3339 with an offset, for example 2026-11-23T15:42:00Z.",
        json_schema_extra={"format": "date-time"},
    )


def instant(text: str | None, name: str) -> str | None:
    """An instant as records spell it, so that it compares with theirs. Raises `InvalidInput`."""
    if text is None:
        return None
    try:
        milliseconds = epoch_ms(text)
        if milliseconds < 0:
            raise ValueError("before 1970")
        return rfc3339(milliseconds)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"'{name}' is not an instant: write RFC 3339 with an offset, for example 2026-11-23T15:42:00Z "
            "(a '+' in a URL is written %2B)."
        ) from None
