"""The error tree. Each error says what class of failure it is, whether the situation may pass, and what to do.

`retryable` says whether the *situation* may pass; whether a call may be *repeated* is decided by
`enactor.domain.permit` alone (specification, section 5). Messages are safe to show to any caller of the
same tenant: no secret, no stack trace, nothing of another tenant.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorClass(StrEnum):
    """What kind of failure it was; the values of `error_class` on the wire."""

    AUTH = "AUTH"
    RATE_LIMIT = "RATE_LIMIT"
    VALIDATION = "VALIDATION"
    DOWNSTREAM = "DOWNSTREAM"
    TIMEOUT = "TIMEOUT"
    UNKNOWN = "UNKNOWN"


class EnactorError(Exception):
    """Root of every error Enactor raises on purpose. `str(error)` is the message that may be shown.

    Args:
        message: one sentence, safe to show, that says what to do.
        **details: further members for the problem document (RFC 9457 extension members).
    """

    error_class: ClassVar[ErrorClass] = ErrorClass.UNKNOWN
    error_code: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(EnactorError):
    """The request itself is wrong; sending it again unchanged cannot work."""

    error_class = ErrorClass.VALIDATION
    error_code = "INVALID_INPUT"


class InvalidParameters(InvalidInput):
    """The parameters do not fit the action type's schema, mapping or the tool's argument model."""

    error_code = "INVALID_PARAMETERS"


class UnknownActionType(InvalidInput):
    """No such action type, or it is deprecated; it cannot be proposed."""

    error_code = "UNKNOWN_ACTION_TYPE"


class InvalidPageToken(InvalidInput):
    """The page token was not made by this listing for this tenant."""

    error_code = "INVALID_PAGE_TOKEN"


class InvalidPolicy(InvalidInput):
    """The policy text does not parse or does not validate against the schema."""

    error_code = "INVALID_POLICY"


class IdempotencyKeyReused(InvalidInput):
    """The same Idempotency-Key came with another body."""

    error_code = "IDEMPOTENCY_KEY_REUSED"


class Unauthenticated(EnactorError):
    """No valid token. Get one from a configured issuer for this audience."""

    error_class = ErrorClass.AUTH
    error_code = "UNAUTHENTICATED"


class TokenMissing(Unauthenticated):
    """No bearer token was sent at all."""


class Forbidden(EnactorError):
    """The principal is known and may not do this."""

    error_class = ErrorClass.AUTH
    error_code = "FORBIDDEN"


class SelfDecision(Forbidden):
    """Nobody who proposed or edited the current revision, or stands in its `act` chain, may decide it."""

    error_code = "SELF_DECISION_FORBIDDEN"


class PolicyDenied(Forbidden):
    """A policy forbids it, or none permits it."""

    error_code = "POLICY_DENIED"


class NotFound(EnactorError):
    """No such object for this tenant. Another tenant's object answers the same."""

    error_class = ErrorClass.VALIDATION
    error_code = "NOT_FOUND"


class IntentNotFound(NotFound):
    """No such intent for this tenant."""

    error_code = "INTENT_NOT_FOUND"


class Conflicting(EnactorError):
    """The object is not in a state in which this can be done."""

    error_class = ErrorClass.VALIDATION
    error_code = "CONFLICT"


class ApprovalStale(Conflicting):
    """The digest is not the current one: read the intent again and decide on what it says now."""

    error_code = "APPROVAL_STALE"


class PreconditionFailed(Conflicting):
    """The `If-Match` digest is not the current one, or there is none."""

    error_code = "PRECONDITION_FAILED"


class NotApproved(Conflicting):
    """Execution was asked for without an approval in force."""

    error_code = "APPROVAL_REQUIRED"


class IllegalTransition(Conflicting):
    """The intent or run has gone past the state that this needs."""

    error_code = "ILLEGAL_TRANSITION"


class DataErased(IllegalTransition):
    """The intent's personal data was erased, and what it would take to do this with it."""

    error_code = "DATA_ERASED"


class EffectKeyTaken(Conflicting):
    """Another intent is about to do, or did, the same thing."""

    error_code = "EFFECT_KEY_TAKEN"


class UndoImpossible(Conflicting):
    """The effect cannot be taken back by Enactor; the message says why, and what a person can do."""

    error_code = "UNDO_IMPOSSIBLE"


class UndoConflict(Conflicting):
    """What is to be taken back is not there as it was left: somebody changed it since. Nothing was changed."""

    error_code = "UNDO_CONFLICT"


class PreviewRefused(InvalidParameters):
    """The target was read for the preview, and what the action is about is not there, or not as it must be."""

    error_code = "PREVIEW_REFUSED"


class BudgetExceeded(Conflicting):
    """A budget has no room for another execution in its window."""

    error_class = ErrorClass.RATE_LIMIT
    error_code = "BUDGET_EXCEEDED"
    retryable = True


class RequestInProgress(Conflicting):
    """A request with the same Idempotency-Key is still being worked on."""

    error_code = "REQUEST_IN_PROGRESS"
    retryable = True


class TooManyPending(EnactorError):
    """The proposer or the tenant has too many intents waiting for a decision."""

    error_class = ErrorClass.RATE_LIMIT
    error_code = "TOO_MANY_PENDING"
    retryable = True


class PayloadTooLarge(InvalidInput):
    """The body is larger or nested deeper than the service accepts."""

    error_code = "PAYLOAD_TOO_LARGE"


class Unavailable(EnactorError):
    """The service cannot do this now; nothing was changed."""

    error_class = ErrorClass.DOWNSTREAM
    error_code = "UNAVAILABLE"
    retryable = True


class TargetUnreadable(Unavailable):
    """The target could not be read for the preview; nothing was stored. Try again."""

    error_code = "TARGET_UNREADABLE"


class RecordDamaged(EnactorError):
    """One record of the store cannot be read. Others can; what is to be done about it is in the message."""

    error_code = "RECORD_DAMAGED"


class StoreFailed(EnactorError):
    """The store cannot be trusted or used: an I/O error, a corrupt, locked, read-only or newer database."""

    error_class = ErrorClass.DOWNSTREAM
    error_code = "STORE_FAILED"


class ConfigurationError(EnactorError):
    """A setting is missing or wrong. The message names the setting and what to write."""

    error_class = ErrorClass.VALIDATION
    error_code = "CONFIGURATION_ERROR"


class FailureCode(StrEnum):
    """`error_code` of an outcome that the pipeline itself decides (specification, section 2)."""

    INTENT_NOT_FOUND = "INTENT_NOT_FOUND"
    APPROVAL_STALE = "APPROVAL_STALE"
    INTENT_EXPIRED = "INTENT_EXPIRED"
    KILL_SWITCH_ENABLED = "KILL_SWITCH_ENABLED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    APPROVAL_DIGEST_MISMATCH = "APPROVAL_DIGEST_MISMATCH"
    TOOL_MAPPING_NOT_FOUND = "TOOL_MAPPING_NOT_FOUND"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    PARTIAL_EFFECT = "PARTIAL_EFFECT"
    CANCELLED_BY_REQUEST = "CANCELLED_BY_REQUEST"
    DEFERRALS_EXHAUSTED = "DEFERRALS_EXHAUSTED"
    STALE_PREVIEW = "STALE_PREVIEW"
    TARGET_UNREADABLE = "TARGET_UNREADABLE"
    UNDO_CONFLICT = "UNDO_CONFLICT"
    EFFECT_UNKNOWN = "EFFECT_UNKNOWN"
    RESTORED_FROM_BACKUP = "RESTORED_FROM_BACKUP"
    RESOLVED_NOT_EXECUTED = "RESOLVED_NOT_EXECUTED"
    TOOL_TIMEOUT = "TOOL_TIMEOUT"
    TOOL_REFUSED = "TOOL_REFUSED"
    TOOL_UNREACHABLE = "TOOL_UNREACHABLE"
    TOOL_FAILED = "TOOL_FAILED"
    DOOR_CLOSED = "DOOR_CLOSED"
