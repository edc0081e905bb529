"""Text made fit for a terminal: what others wrote with its links defused, our own with them."""

from __future__ import annotations

import json
import sys

from enactor.domain.text import visible


def lines(text: object) -> str:
    """The whole of what somebody else wrote, with everything that could act on a terminal spelled out."""
    whole = str(text)
    return visible(whole, len(whole))


def one_line(text: object) -> str:
    """As `lines`, on one line."""
    return lines(text).replace("\n", "\\n")


def own(text: object) -> str:
    """Our own words: control characters are spelled out all the same, addresses stay as they are."""
    return "://".join(lines(part) for part in str(text).split("://"))


def quoted_json(value: object) -> str:
    """A value as indented JSON in which every character shows: what agents wrote, as approvers read it."""
    return lines(json.dumps(value, indent=2, ensure_ascii=False))


def on_terminal() -> bool:
    """Whether a person reads the output. A pipe gets neither colours nor boxes."""
    return sys.stdout.isatty()
