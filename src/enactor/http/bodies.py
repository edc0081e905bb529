"""Reading a body: JSON that says one thing only, into exactly the type that is asked for."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from enactor.domain.errors import InvalidInput, PayloadTooLarge
from enactor.http.context import deps_of

Body = TypeVar("Body")

_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_NOT_BRACES: Final = bytes(set(range(256)) - set(b"{}"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidInput("An object of the body names a member twice; which one counts?")
    return members


# Made once: `json.loads` would make one for each body.
_READER: Final = json.JSONDecoder(object_pairs_hook=_unique)


async def read_body(request: Request, decoder: msgspec.json.Decoder[Body], *, empty: bytes = b"") -> Body:
    """A request's body.

    Args:
        decoder: of the type that is asked for.
        empty: what stands for an empty body.

    Raises:
        InvalidInput: it is not JSON, an object names a member twice, or it does not fit the type.
        PayloadTooLarge: it is nested too deeply.
    """
    body = await request.body() or empty
    require_json(body, deps_of(request).settings.max_body_depth)
    return decode(body, decoder)


def require_json(body: bytes, deepest: int) -> None:
    """Checks that `body` is JSON in which no object names a member twice (RFC 8259, section 4; RFC 7493).

    Of two members of the same name one reader takes the first and another the last, so what one program has looked at
    would not be what the next one does.

    Raises:
        InvalidInput, PayloadTooLarge: see `read_body`.
    """
    try:
        _READER.decode(body.decode())
    except RecursionError:
        raise _too_deep(deepest) from None
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError:
        # An integer of more digits than Python reads.
        raise InvalidInput("The body holds a number that is too long.") from None
    if nested_deeper(body, deepest):
        raise _too_deep(deepest)


def nested_deeper(body: bytes, deepest: int) -> bool:
    """Whether valid JSON is nested more than `deepest` levels deep."""
    if body.count(b"{") + body.count(b"[") <= deepest:
        return False
    # With escapes gone, every other part between quotes is a string; what is left has brackets that pair up.
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    braces = outside.translate(_BRACES).translate(None, _NOT_BRACES)
    for _ in range(deepest):
        if not braces:
            return False
        braces = braces.replace(b"{}", b"")
    return bool(braces)


def decode(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Body]) -> Body:
    """`body` as the decoder's type. Raises `InvalidInput` that says what does not fit, and where."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The body does not fit: {_shown(error)}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON: {_shown(error)}.") from None


def _too_deep(deepest: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is nested deeper than {deepest} levels; flatten it.")


def _shown(error: Exception) -> str:
    return str(error).rstrip(".")[:300]
