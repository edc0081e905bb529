"""How the local server goes wrong when it is asked to."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """How the next request that changes something (or the next one on a path) goes wrong."""

    DROP_BEFORE = "DROP_BEFORE"
    """Nothing is done, and the connection is reset."""
    DROP_AFTER = "DROP_AFTER"
    """It is done, and the connection is reset without an answer."""
    ERROR_BEFORE = "ERROR_BEFORE"
    """Nothing is done; 500."""
    ERROR_AFTER = "ERROR_AFTER"
    """It is done; 500."""
    UNAVAILABLE = "UNAVAILABLE"
    """Nothing is done; 503 SERVER_UNAVAILABLE."""
    MALFORMED = "MALFORMED"
    """It is done; the answer is half a JSON document."""
    TRUNCATED = "TRUNCATED"
    """It is done; the answer ends before its announced length."""
    NONSENSE = "NONSENSE"
    """It is done; the answer is not HTTP."""
    HUGE = "HUGE"
    """It is done; the answer is eight megabytes long."""
    FOREIGN = "FOREIGN"
    """It is done; the answer names another record than the one it is about, with instructions in its text."""
    SLOW = "SLOW"
    """It is done; the answer comes when the test releases it."""
    RATE_LIMITED = "RATE_LIMITED"
    """Nothing is done; 429 with Retry-After."""
    OUT_OF_REQUESTS = "OUT_OF_REQUESTS"
    """Nothing is done; 403 REQUEST_LIMIT_EXCEEDED."""
    REDIRECT = "REDIRECT"
    """Nothing is done; 307 to the same place."""
    TIMEOUT = "TIMEOUT"
    """It is done; 408."""
    CONFLICT = "CONFLICT"
    """Nothing is done; 409."""
    PRECONDITION = "PRECONDITION"
    """Nothing is done; 412."""
    UNHEARD_OF = "UNHEARD_OF"
    """It is done; 400 with a code that nobody lists."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """Nothing is done; 401 INVALID_SESSION_ID, though the token is good."""


INSTEAD: Final[dict[Fault, tuple[int, dict[str, str], str, str]]] = {
    Fault.ERROR_BEFORE: (500, {}, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
    Fault.UNAVAILABLE: (503, {}, "SERVER_UNAVAILABLE", "Service Unavailable"),
    Fault.RATE_LIMITED: (429, {"retry-after": "7"}, "TOO_MANY_REQUESTS", "Too many requests"),
    Fault.OUT_OF_REQUESTS: (403, {}, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    Fault.CONFLICT: (409, {}, "CONFLICT", "The request conflicts with another"),
    Fault.PRECONDITION: (412, {}, "PRECONDITION_FAILED", "Precondition failed"),
    Fault.UNAUTHORIZED: (401, {}, "INVALID_SESSION_ID", "Session expired or invalid"),
}
AFTERWARDS: Final[dict[Fault, tuple[int, str, str]]] = {
    Fault.ERROR_AFTER: (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
    Fault.TIMEOUT: (408, "REQUEST_TIMEOUT", "Request timeout"),
    Fault.UNHEARD_OF: (400, "SOMETHING_NEW_HAPPENED", "Nobody knows what this means"),
}
