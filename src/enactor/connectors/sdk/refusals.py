"""What a tool raises when it knows that a call had no effect."""

from __future__ import annotations

from enactor.domain.errors import ErrorClass


class Refused(Exception):
    """The target answered, and its answer is one that is known to have had no effect.

    Args:
        code: the target's own code, for people.
        message: safe to show.
        retryable: the situation may pass.
        retry_after_seconds: the target's own wish.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        error_class: ErrorClass = ErrorClass.DOWNSTREAM,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.error_class = error_class
        self.retry_after_seconds = retry_after_seconds


class ChangedSince(Refused):
    """What is to be taken back is not as it was left, or does not carry our key: a person has to look at it."""

    def __init__(self, message: str, *, error_class: ErrorClass = ErrorClass.VALIDATION) -> None:
        super().__init__("CHANGED_SINCE", message, error_class=error_class)


class NotSent(Refused):
    """No byte of the request left: DNS, connect, TLS, a pool, or too late. Retryable unless said otherwise."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = True,
        error_class: ErrorClass = ErrorClass.DOWNSTREAM,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(
            code, message, retryable=retryable, error_class=error_class, retry_after_seconds=retry_after_seconds
        )
