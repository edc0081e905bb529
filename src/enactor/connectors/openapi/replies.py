"""What an API's answers mean, by what is configured of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from enactor.connectors.http_call import Answer, Unclear, retry_after_seconds
from enactor.connectors.openapi.settings import GoneSettings, LookUpSettings, ToolSettings
from enactor.connectors.sdk import Absent, CannotTell, Found, LookUpAnswer, NotSent, Refused
from enactor.domain.errors import ErrorClass
from enactor.domain.outcome import ObjectRef
from enactor.gateway.pointing import AnswerIncomplete, RefRule, extract_refs, pointed_at

GONE: Final = frozenset({404, 410})
_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
_CLASSES: Final = {401: ErrorClass.AUTH, 403: ErrorClass.AUTH, 429: ErrorClass.RATE_LIMIT, 423: ErrorClass.DOWNSTREAM}
_PASSING: Final = frozenset({423, 425, 429})


def document_in(answer: Answer) -> Any:
    """The JSON in an answer. Raises `ValueError` when there is none."""
    return orjson.loads(answer.body)


def rules_of(refs: Sequence[Any]) -> tuple[RefRule, ...]:
    """Rules for the objects that an answer names, from their settings."""
    return tuple(RefRule(**ref.model_dump()) for ref in refs)


def done(answer: Answer, rules: tuple[RefRule, ...], what: str) -> tuple[ObjectRef, ...]:
    """What an answer of success names. Raises `Unclear` when it does not name what it has to."""
    if not rules:
        return ()
    try:
        return extract_refs(rules, document_in(answer))
    except (ValueError, AnswerIncomplete):
        raise Unclear(f"{what} says that it did it, and not to what") from None


def refusal(answer: Answer, effect_free: Sequence[int], tool: ToolSettings | None, what: str, now_ms: int) -> Refused:
    """What an answer refuses, if its status is listed as one that had no effect. Raises `Unclear` if not."""
    if answer.status not in effect_free:
        raise Unclear(f"{what} answered {answer.status}")
    code = _code(answer, tool.error_code if tool is not None else None)
    return Refused(
        code or f"HTTP_{answer.status}",
        f"{what} answered {answer.status}{f' ({code})' if code else ''}.",
        retryable=answer.status in _PASSING,
        error_class=_CLASSES.get(answer.status, ErrorClass.VALIDATION),
        retry_after_seconds=retry_after_seconds(answer.headers, now_ms),
    )


def read(answer: Answer, what: str) -> Any:
    """What a read answered. Raises `NotSent` when that is nothing to go by."""
    if answer.status != 200:
        raise NotSent("READ_FAILED", f"{what} could not be read: it answered {answer.status}.")
    try:
        return document_in(answer)
    except ValueError:
        raise NotSent("READ_FAILED", f"{what} answered what cannot be read.") from None


def looked_up(
    answer: Answer, look: LookUpSettings, rules: tuple[RefRule, ...], key: str, account: str, what: str
) -> LookUpAnswer:
    """What a search by our key found: one thing that carries the key, nothing, or what does not settle it."""
    if answer.status in look.absent_statuses:
        return Absent()
    try:
        found = pointed_at(read(answer, what), look.found)
    except KeyError:
        return CannotTell(message=f"{what} answered a search without a result.")
    if found is None or found is False or found == []:
        return Absent()
    items = found if isinstance(found, list) else [found]
    ours = [item for item in items if _at(item, look.key) == key]
    if len(ours) != 1:
        # A search that answers with other people's objects has not searched for the key.
        return CannotTell(message=f"{what} answered a search with {len(ours)} of our objects among {len(items)}.")
    if look.account is not None and str(_at(ours[0], look.account)) != account:
        return CannotTell(message=f"{what} found our key at another account.")
    try:
        return Found(refs=extract_refs(rules, ours[0]))
    except AnswerIncomplete as error:
        return CannotTell(message=str(error))


def is_gone(thing: Any, gone: GoneSettings | None) -> bool:
    """Whether an object that is kept says that it is not in force any more."""
    return gone is not None and any(_same(_at(thing, gone.pointer), value) for value in gone.values)


def text_at(thing: Any, pointer: str) -> str | None:
    """Text or a number, as text; None when there is neither."""
    value = _at(thing, pointer)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _at(thing: Any, pointer: str) -> Any:
    try:
        return pointed_at(thing, pointer)
    except KeyError:
        return None


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _code(answer: Answer, pointer: str | None) -> str:
    """The vendor's code. Messages may repeat what was sent, and are not shown."""
    if pointer is None:
        return ""
    try:
        text = text_at(document_in(answer), pointer)
    except ValueError:
        return ""
    return text if text is not None and _CODE.fullmatch(text) else ""
