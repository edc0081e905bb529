"""JSON values as Cedar values, losing nothing silently.

Cedar has 64-bit integers, texts, Booleans, sets, records and `decimal` (four fractional digits). A JSON value that none
of these can hold - null, a number too large or too fine - becomes an entity of a type that has no meaning, so that the
argument is there (`has` is true) and every attempt to bound it is an evaluation error, which answers no. Leaving it out
would let an agent slip past a rule that begins with `context.arguments has amount`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from enactor.domain.errors import InvalidParameters

UNREPRESENTABLE: Final = "Enactor::Unrepresentable"
"""The entity type that stands for values Cedar cannot hold; the id is the value's path."""

_MIN_LONG: Final = -(2**63)
_MAX_LONG: Final = 2**63 - 1
_FRACTIONAL_DIGITS: Final = 4
_ESCAPES: Final = frozenset({"__entity", "__extn", "__expr"})
"""Keys by which Cedar's JSON format marks its own values: from an agent they must stay plain text."""
_MAX_DEPTH: Final = 64


def cedar_value(value: Any, path: str, *, as_decimals: bool = False, depth: int = 0) -> Any:
    """`value` in Cedar's JSON format for entities and context.

    A number is a `long` when it is a whole one, however it was written (RFC 8785 writes 50.0 as 50), else a `decimal`.

    Args:
        value: parsed JSON.
        path: what the value is called, for the id of what cannot be held.
        as_decimals: whole numbers become `decimal` too, so that a bound in decimals holds for every number.
        depth: how deep inside the arguments `value` lies.

    Raises:
        InvalidParameters: an object has a field by which Cedar marks its own values, or values nest too deeply.
    """
    match value:
        case bool() | str():
            return value
        case int() | float():
            number = _number(value, as_decimals=as_decimals)
            return _unrepresentable(path) if number is None else number
        case dict():
            return cedar_record(value, path, as_decimals=as_decimals, depth=depth)
        case list() | tuple():
            _refuse_depth(depth)
            return [
                cedar_value(item, f"{path}[{index}]", as_decimals=as_decimals, depth=depth + 1)
                for index, item in enumerate(value)
            ]
        case _:
            return _unrepresentable(path)


def cedar_record(fields: dict[str, Any], path: str, *, as_decimals: bool = False, depth: int = 0) -> dict[str, Any]:
    """An object as a record; arguments and errors as for `cedar_value`."""
    _refuse_depth(depth)
    if not _ESCAPES.isdisjoint(fields):
        raise InvalidParameters(f"No policy can read an argument with a field called {' or '.join(sorted(_ESCAPES))}.")
    return {
        name: cedar_value(value, f"{path}.{name}", as_decimals=as_decimals, depth=depth + 1)
        for name, value in fields.items()
    }


def _refuse_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidParameters(f"No policy can read arguments nested deeper than {_MAX_DEPTH} levels.")


def _number(value: int | float, *, as_decimals: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not _MIN_LONG <= value <= _MAX_LONG:
        return None
    # The shortest text that reads back as the same float is the number as JSON has it.
    # Adding nothing takes the sign from zero.
    number = Decimal(repr(value)) + 0
    if not as_decimals and number == number.to_integral_value():
        return int(number)
    scaled = number.scaleb(_FRACTIONAL_DIGITS)
    if scaled != scaled.to_integral_value() or not _MIN_LONG <= scaled <= _MAX_LONG:
        return None
    return {"__extn": {"fn": "decimal", "arg": f"{number:.{_FRACTIONAL_DIGITS}f}"}}


def _unrepresentable(path: str) -> dict[str, Any]:
    return {"__entity": {"type": UNREPRESENTABLE, "id": path}}
