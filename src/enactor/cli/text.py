"""Text from elsewhere, made fit for a terminal."""

from __future__ import annotations

import json
import sys

from enactor.domain.text import visible


def one_line(text: object) -> str:
    """The whole of `text` on one line, with everything that could act on a terminal spelled out."""
    whole = str(text)
    return visible(whole, len(whole)).replace("\n", "\\n")


def lines(text: object) -> str:
    """As `one_line`, its line feeds left in."""
    whole = str(text)
    return visible(whole, len(whole))


def quoted_json(value: object) -> str:
    """A value as indented JSON in which every character shows: what agents wrote, as approvers read it."""
    return lines(json.dumps(value, indent=2, ensure_ascii=False))


def on_terminal() -> bool:
    """Whether a person reads the output. A pipe gets neither colours nor boxes."""
    return sys.stdout.isatty()
