"""Server-sent events (WHATWG HTML, section 9.2), as the command line follows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct


class ServerEvent(Struct, frozen=True):
    """One event: its id, by which a stream is resumed, its type and its data."""

    event_id: str
    event_type: str
    data: str

    def body(self) -> dict[str, Any]:
        """The data as a JSON object; empty when it is none."""
        try:
            decoded = json.loads(self.data)
        except ValueError:
            return {}
        return decoded if isinstance(decoded, dict) else {}


def server_events(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """The events in a stream's lines. Comments (keep-alives) are skipped; an event cut off at the end is none."""
    event_id, event_type = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(event_id, event_type or "message", "\n".join(data))
            event_type, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event_type = value
        elif field == "id" and "\0" not in value:
            event_id = value


def text_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a byte stream, ended by LF, CR or CRLF and by nothing else, as the standard says."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A CR at the very end may be half of a CRLF.
        held = b"\r" if rest.endswith(b"\r") else b""
        whole = rest.removesuffix(held) if held else rest
        *complete, rest = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += held
        for line in complete:
            yield line.decode(errors="replace")
