"""Reading a target before anything is written: a connector's preview, as the tool plane answers it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from enactor.connectors.sdk import NotSent, PreviewResult, Refused, ToolCall
from enactor.domain.canonical import canonical
from enactor.domain.errors import EnactorError, ErrorClass, FailureCode
from enactor.gateway.containing import class_of, seconds_of
from enactor.gateway.deadlines import Deadlines
from enactor.ports.tools import Reading

_log = logging.getLogger("enactor.gateway")
_LARGEST: Final = 65_536
_HIDDEN: Final = "(secret)"


async def read_preview(
    deadlines: Deadlines,
    preview: Callable[..., Awaitable[Any]],
    arguments: BaseModel,
    call: ToolCall,
    secrets: Collection[str],
) -> Reading:
    """What a connector's preview method reads, or why it could not.

    Args:
        call: what the method is told; its `timeout_seconds` is how long it may take.
        secrets: values that went into the arguments in place of references, and must come out nowhere.
    """
    try:
        found = await deadlines.within(call.timeout_seconds, preview, arguments, call)
    except Refused as error:
        return Reading(
            retryable=bool(error.retryable) or isinstance(error, NotSent),
            error_class=class_of(error),
            error_code=str(error.code)[:100],
            message=str(error.message)[:2_000],
            retry_after_seconds=seconds_of(error),
        )
    except TimeoutError:
        message = f"The target did not answer within {call.timeout_seconds:g} seconds."
        return _unreadable(message, ErrorClass.TIMEOUT, retryable=True)
    except Exception as error:  # noqa: BLE001 - whatever it was, nothing was written, and it can be read again
        _log.warning("a preview raised %s", type(error).__name__)
        return _unreadable("The target could not be read.", ErrorClass.DOWNSTREAM, retryable=True)
    if not isinstance(found, PreviewResult) or not _is_of_its_types(found):
        return _unreadable("The connector's preview is not a PreviewResult.", ErrorClass.UNKNOWN, retryable=False)
    try:
        text = canonical([found.before, found.after, found.version_tag])
    except EnactorError:
        return _unreadable("What the target says cannot be recorded.", ErrorClass.UNKNOWN, retryable=False)
    if len(text) > _LARGEST:
        message = f"What would change is more than {_LARGEST // 1024} KiB; nobody could approve it by looking at it."
        return _unreadable(message, ErrorClass.VALIDATION, retryable=False)
    # As it will be stored, so that what is read again later can be held against it.
    before, after, version_tag = _without(msgspec.json.decode(text), secrets)
    return Reading(before=before, after=after, version_tag=version_tag)


def _is_of_its_types(found: PreviewResult) -> bool:
    shown: tuple[Any, ...] = (found.before, found.after, found.version_tag)
    return all(isinstance(value, kind) for value, kind in zip(shown, (dict, dict, str), strict=True))


def _unreadable(message: str, error_class: ErrorClass, *, retryable: bool) -> Reading:
    return Reading(
        retryable=retryable,
        error_class=error_class,
        error_code=FailureCode.TARGET_UNREADABLE.value,
        message=message,
    )


def _without(value: Any, secrets: Collection[str]) -> Any:
    """`value` with every secret in its texts replaced."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _HIDDEN) if secret else value
        return value
    if isinstance(value, list):
        return [_without(item, secrets) for item in value]
    if isinstance(value, dict):
        return {name: _without(item, secrets) for name, item in value.items()}
    return value
