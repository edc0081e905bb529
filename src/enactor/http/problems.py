"""Errors as problem documents (RFC 9457), one stable `type` and one status for each code."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from enactor.domain import errors
from enactor.domain.errors import EnactorError, ErrorClass
from enactor.ports.commands import Conflict, ConflictKind

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:enactor:error:"


class NoSuchRoute(errors.NotFound):
    """The API has no such path."""


class MethodNotAllowed(errors.InvalidInput):
    """The path is there, and takes other methods."""

    error_code = "METHOD_NOT_ALLOWED"


class TooManyStreams(EnactorError):
    """The principal, or everybody together, follows too many event streams."""

    error_class = ErrorClass.RATE_LIMIT
    error_code = "TOO_MANY_STREAMS"
    retryable = True


class ConditionFailed(errors.Conflicting):
    """Somebody else changed it in between; read it again."""


class Problem(Struct, kw_only=True):
    """A problem document (RFC 9457). Some errors add members of their own, `current_digest` for example."""

    type: str
    title: str
    status: int
    detail: str
    error_code: str
    error_class: str
    retryable: bool
    trace_id: str


# By class; a class that is not named here has the status of its nearest base that is.
_STATUS: Final[dict[type[EnactorError], int]] = {
    errors.InvalidInput: 400,
    errors.InvalidParameters: 422,
    errors.UnknownActionType: 422,
    errors.UndoImpossible: 409,
    errors.InvalidPolicy: 422,
    errors.IdempotencyKeyReused: 422,
    errors.PayloadTooLarge: 413,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflicting: 409,
    errors.PreconditionFailed: 412,
    errors.TooManyPending: 429,
    errors.Unavailable: 503,
    errors.StoreFailed: 503,
    MethodNotAllowed: 405,
    TooManyStreams: 429,
}


# Where asking again is worth it by itself; what waits for a person or a budget's window has no such moment.
_RETRY_AFTER_SECONDS: Final[dict[type[EnactorError], int]] = {
    errors.RequestInProgress: 1,
    errors.Unavailable: 1,
    errors.TargetUnreadable: 5,
    errors.TooManyPending: 60,
    TooManyStreams: 5,
}


def status_of(error: EnactorError) -> int:
    """The HTTP status of an error; 500 for one that is nobody's doing."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem_members(error: EnactorError, trace_id: str) -> dict[str, Any]:
    """The members of an error's problem document, its own details among them."""
    code = error.error_code
    title = code.replace("_", " ").capitalize()
    problem = Problem(
        type=f"{_TYPE}{code.lower().replace('_', '-')}",
        title=title,
        status=status_of(error),
        detail=error.message,
        error_code=code,
        error_class=error.error_class.value,
        retryable=error.retryable,
        trace_id=trace_id,
    )
    members = msgspec.structs.asdict(problem)
    more = {name: value for name, value in error.details.items() if value is not None and name not in members}
    return {**members, **more}


def problem_response(error: EnactorError, trace_id: str) -> Response:
    """The response that reports an error."""
    members = problem_members(error, trace_id)
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = challenge(error)
    elif seconds := _RETRY_AFTER_SECONDS.get(type(error)):
        headers["retry-after"] = str(seconds)
    return Response(msgspec.json.encode(members), status_code=members["status"], headers=headers, media_type=MEDIA_TYPE)


def challenge(error: errors.Unauthenticated, *more: str) -> str:
    """The `WWW-Authenticate` of a 401 (RFC 6750, section 3), with further parameters; whoever sent no token made no
    error.
    """
    parts = ['realm="enactor"']
    if not isinstance(error, errors.TokenMissing):
        parts.append('error="invalid_token"')
    return f"Bearer {', '.join([*parts, *more])}"


def unexpected(trace_id: str) -> Response:
    """The response to what should not have happened. It says nothing of what it was."""
    return problem_response(EnactorError("Something went wrong here; the log names it by its trace."), trace_id)


def of_conflict(conflict: Conflict) -> EnactorError:
    """A condition of a commit that did not hold, as an error that can be shown."""
    match conflict.kind:
        case ConflictKind.BUDGET_EXCEEDED:
            return errors.BudgetExceeded("A budget has no room for another execution in its current window.")
        case ConflictKind.EFFECT_KEY_TAKEN:
            return errors.EffectKeyTaken(
                f"Intent {conflict.current} is about to do, or did, the same thing.", action_intent_id=conflict.current
            )
        case ConflictKind.NOT_FOUND:
            return errors.NotFound("There is no such object any more.")
        case ConflictKind.APPROVAL_STALE:
            return errors.ApprovalStale("The intent was changed in between; read it again.")
        case _:
            return ConditionFailed("Somebody else changed it in between; read it again, and try again.")
