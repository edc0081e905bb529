"""Answers as bytes: encoded once, by the encoder that knows the records."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from enactor.http.openapi import JSON

encode: Final = msgspec.json.Encoder().encode


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status_code=status, headers=headers, media_type=JSON)
