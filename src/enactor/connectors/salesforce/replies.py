"""What Salesforce's answers mean for the record that was to be written (specification, section 3).

Salesforce names the reason of a refusal in `errorCode`. Only the codes listed here are known to leave everything as it
was; whatever else comes back is unclear, and the pipeline looks the key up.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from msgspec import Struct

from enactor.connectors.http_call import Answer, Unclear, retry_after_seconds
from enactor.connectors.sdk import Refused
from enactor.domain.errors import ErrorClass
from enactor.domain.text import visible

DUPLICATE: Final = "DUPLICATE_VALUE"
GONE: Final = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
_REFUSING: Final = frozenset({400, 403, 404, 405, 414, 415})
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,79}")

_FORBIDDEN = (ErrorClass.AUTH, False, "The integration user may not do that")
_INVALID = (ErrorClass.VALIDATION, False, "Salesforce does not take what was to be written")
_MISSING = (ErrorClass.VALIDATION, False, "There is no such record, or the integration user does not see it")
_LIMIT = (ErrorClass.RATE_LIMIT, True, "The organization's limit of API requests is reached")
_LOCKED = (ErrorClass.DOWNSTREAM, True, "Somebody else is writing the record just now")
_FULL = (ErrorClass.DOWNSTREAM, False, "The organization has no room for it")

EFFECT_FREE: Final[dict[str, tuple[ErrorClass, bool, str]]] = {
    **dict.fromkeys(
        (
            *("INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "FORBIDDEN", "API_DISABLED_FOR_ORG"),
            *("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "API_CURRENTLY_DISABLED", "FUNCTIONALITY_NOT_ENABLED"),
            *("INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "INVALID_FIELD_FOR_INSERT_UPDATE", "TRANSFER_REQUIRES_READ"),
            *("CANNOT_UPDATE_CONVERTED_LEAD", "OPERATION_NOT_ALLOWED", "DELETE_OPERATION_NOT_ALLOWED"),
        ),
        _FORBIDDEN,
    ),
    **dict.fromkeys(
        (
            *("REQUIRED_FIELD_MISSING", "INVALID_FIELD", "MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY"),
            *("STRING_TOO_LONG", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            *("FIELD_INTEGRITY_EXCEPTION", "FIELD_FILTER_VALIDATION_EXCEPTION", "FILTERED_LOOKUP_INVALID"),
            *("NUMBER_OUTSIDE_VALID_RANGE", "INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_EMAIL_ADDRESS"),
            *(
                "INVALID_ID_FIELD",
                "INVALID_TYPE",
                "JSON_PARSER_ERROR",
                "INVALID_CURRENCY_ISO",
                "INACTIVE_OWNER_OR_USER",
            ),
            *("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "DUPLICATES_DETECTED", "DELETE_FAILED", "DEPENDENCY_EXISTS"),
            *("METHOD_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE", "URI_TOO_LONG", "INVALID_QUERY_FILTER_OPERATOR"),
            *("MALFORMED_QUERY", "UNSUPPORTED_API_VERSION", DUPLICATE),
        ),
        _INVALID,
    ),
    **dict.fromkeys(("NOT_FOUND", "ENTITY_IS_DELETED"), _MISSING),
    **dict.fromkeys(("REQUEST_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS"), _LIMIT),
    "UNABLE_TO_LOCK_ROW": _LOCKED,
    "STORAGE_LIMIT_EXCEEDED": _FULL,
}
"""The codes after which nothing was written: Salesforce rolls the whole request back. Why, and whether it may pass."""


class VendorError(Struct, frozen=True):
    """One element of Salesforce's array of errors. `message` may repeat what was sent, and is not shown."""

    code: str
    message: str
    fields: tuple[str, ...]


def errors_of(answer: Answer) -> tuple[VendorError, ...]:
    """The errors in an answer. Raises `Unclear` when it is not an array of errors in Salesforce's form."""
    try:
        listed: Any = orjson.loads(answer.body)
    except ValueError:
        raise Unclear(f"Salesforce's answer with status {answer.status} cannot be read") from None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise Unclear(f"Salesforce's answer with status {answer.status} is not an array of errors")
    found = []
    for one in listed:
        code, fields = one.get("errorCode"), one.get("fields")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise Unclear(f"Salesforce's answer with status {answer.status} names no reason")
        names = tuple(name for name in fields if isinstance(name, str)) if isinstance(fields, list) else ()
        found.append(VendorError(code, str(one.get("message", "")), names))
    return tuple(found)


def refusal(answer: Answer, now_ms: int) -> Refused:
    """What an answer that is no success refuses, if nothing was written.

    Raises:
        Unclear: it is not known to have left everything as it was: 3xx, 408, 409, 412, 5xx, an answer that cannot be
            read, or a code that is not listed.
    """
    if answer.status == 429:
        error_class, retryable, text = _LIMIT
        wish = retry_after_seconds(answer.headers, now_ms)
        return Refused(
            "TOO_MANY_REQUESTS", f"{text}.", retryable=retryable, error_class=error_class, retry_after_seconds=wish
        )
    if answer.status not in _REFUSING:
        raise Unclear(f"Salesforce answered {answer.status}")
    errors = errors_of(answer)
    unknown = [error.code for error in errors if error.code not in EFFECT_FREE]
    if unknown:
        raise Unclear(f"Salesforce answered {answer.status} with the reason {unknown[0]}")
    error_class, _, text = EFFECT_FREE[errors[0].code]
    return Refused(
        errors[0].code,
        f"{text}: {_reasons(errors)}.",
        retryable=all(EFFECT_FREE[error.code][1] for error in errors),
        error_class=error_class,
        retry_after_seconds=retry_after_seconds(answer.headers, now_ms),
    )


def _reasons(errors: tuple[VendorError, ...]) -> str:
    """Codes and field names. Messages repeat values, except those of the organization's own validation rules."""
    said = []
    for error in errors[:5]:
        names = ", ".join(name for name in error.fields[:10] if _NAME.fullmatch(name))
        rule = f" “{visible(error.message, 300)}”" if error.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION" else ""
        said.append(f"{error.code}{f' ({names})' if names else ''}{rule}")
    return "; ".join(said)


def only(answer: Answer, *codes: str) -> bool:
    """Whether every error in an answer is one of `codes`; False for what cannot be read."""
    try:
        return answer.status in _REFUSING and all(error.code in codes for error in errors_of(answer))
    except Unclear:
        return False
