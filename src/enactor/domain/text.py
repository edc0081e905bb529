"""Showing what agents wrote: quoted, control and bidirectional characters made visible, no links (section 4)."""

from __future__ import annotations

import unicodedata


def visible(text: str, limit: int = 2_000) -> str:
    """`text` with every control, format, bidirectional and unassigned character spelled out as `\\u{XXXX}`.

    Line feeds stay. Links are defused by a zero-cost change a person can read: `://` becomes `:⁄⁄`.

    Args:
        text: what somebody else wrote.
        limit: characters shown before the rest is cut, visibly.
    """
    shown = "".join(
        character
        if character == "\n" or not unicodedata.category(character).startswith("C")
        else f"\\u{{{ord(character):04X}}}"
        for character in text[:limit]
    ).replace("://", ":\N{FRACTION SLASH}\N{FRACTION SLASH}")
    return shown if len(text) <= limit else f"{shown}… ({len(text) - limit} characters more)"
