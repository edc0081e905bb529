"""Canonical JSON (RFC 8785) and the hashes over it.

`orjson` with sorted keys gives the very bytes of RFC 8785 when every key is ASCII and every value is a string,
boolean, null, list, object or an integer within ±2^53; a walk proves that for each value, and anything else goes
to the `rfc8785` library. A property test holds the two against each other.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
import orjson
import rfc8785

from enactor.domain.errors import InvalidInput

_MAX_SAFE: Final = 2**53 - 1
_MAX_DEPTH: Final = 64
_encode: Final = msgspec.json.Encoder().encode


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        items = (value,)
    if depth > _MAX_DEPTH:
        raise InvalidInput(f"JSON is nested deeper than {_MAX_DEPTH} levels; flatten it.")
    for item in items:
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if -_MAX_SAFE <= item <= _MAX_SAFE:
                continue
            return False
        if (kind is dict or kind is list or kind is tuple) and _is_plain(item, depth + 1):
            continue
        return False
    return True


def _require_shallow(value: Any, depth: int = 0) -> None:
    if isinstance(value, dict | list | tuple):
        if depth > _MAX_DEPTH:
            raise InvalidInput(f"JSON is nested deeper than {_MAX_DEPTH} levels; flatten it.")
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth + 1)


def canonical(value: Any) -> bytes:
    """The RFC 8785 canonical JSON bytes of `value`.

    Args:
        value: anything made of dicts with string keys, lists, tuples, strings, numbers, booleans and None.

    Raises:
        InvalidInput: not JSON, nested too deeply, an integer past ±2^53-1, a NaN or an infinity.
    """
    try:
        if _is_plain(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        _require_shallow(value)
        return rfc8785.dumps(value)
    except (orjson.JSONEncodeError, rfc8785.CanonicalizationError, RecursionError, UnicodeError) as error:
        raise InvalidInput(
            "The value has no canonical JSON form: use strings, finite numbers within ±2^53, booleans, null, "
            "lists and objects with string keys."
        ) from error


def own_json(value: Any) -> bytes:
    """The canonical JSON bytes of what the program itself put together: keys in ASCII, no floats, small integers.

    Without the walk that `canonical` makes over values from outside; the form is the same. Texts may be from outside,
    and a member of an enumeration stands for its value.

    Raises:
        InvalidInput: a text in it is not Unicode.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise _not_unicode() from error


def struct_json(value: Any) -> bytes:
    """The JSON bytes of structs of the program's own.

    They are canonical where the members are declared in the order of RFC 8785 and every `msgspec.Raw` is canonical.

    Raises:
        InvalidInput: a text in it is not Unicode, as with half a surrogate pair.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        raise _not_unicode() from None


def _not_unicode() -> InvalidInput:
    return InvalidInput("A text holds half a surrogate pair, which is not a character; remove it.")


def fragment(value: Any) -> Any:
    """The canonical form of `value`, to be put into what `own_json` takes as it is."""
    return orjson.Fragment(canonical(value))


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256, in hexadecimal, over the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()
