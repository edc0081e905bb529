"""Calling other people's code: what it raises is its own failure, also where it looks like the end of our own work, and
what it says is of the types that it is to be of.
"""

from __future__ import annotations

import math

from enactor.connectors.sdk import Refused
from enactor.domain.errors import ErrorClass


def class_of(error: Refused) -> ErrorClass:
    """The class that a refusal names, or DOWNSTREAM where it names none."""
    try:
        return ErrorClass(error.error_class)
    except ValueError:
        return ErrorClass.DOWNSTREAM


def seconds_of(error: Refused) -> float | None:
    """How long a refusal asks to wait, in seconds; None where that is no such number."""
    wished: object = error.retry_after_seconds
    return wished if isinstance(wished, int | float) and 0 <= wished < math.inf else None
