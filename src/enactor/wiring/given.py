"""What a program passes to the Python API. Over HTTP a body's types are checked; here they would be taken on trust, and
a record with a value of another type cannot be read again.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from enactor.domain.errors import InvalidInput
from enactor.domain.principal import Principal

Kind = TypeVar("Kind")


def checked(kind: type[Kind], value: object, what: str) -> Kind:
    """`value`, of a kind that can be recorded. Raises `InvalidInput` for one of another type."""
    try:
        return msgspec.convert(msgspec.to_builtins(value), kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInput(f"{what} does not fit: {error}.") from None


def known(by: object) -> Principal:
    """Whoever acts. Raises `InvalidInput` when that is not somebody whom records can name."""
    if isinstance(by, Principal) and all(type(name) is str for name in (by.iss, by.sub, by.tenant_id)):
        return by
    raise InvalidInput("'by' is a Principal as agent() and person() make it, and its names are texts.")
