"""A ledger's entries about one intent as a person reads them: one line each, retries folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.domain.text import visible


class TimelineLine(Struct, frozen=True, kw_only=True):
    """One line. `stage` is decision, approval, execution or outcome; `folded` is how many entries it stands for."""

    timestamp: str
    stage: str
    event_type: str
    actor: str
    text: str
    run_number: int
    folded: int = 1


_STAGES: Final[dict[LedgerEvent, str]] = {
    LedgerEvent.INTENT_PROPOSED: "decision",
    LedgerEvent.INTENT_EDITED: "decision",
    LedgerEvent.INTENT_CANCELLED: "decision",
    LedgerEvent.TARGET_READ: "decision",
    LedgerEvent.POLICY_EVALUATED: "decision",
    LedgerEvent.ACTION_APPROVED: "approval",
    LedgerEvent.ACTION_REJECTED: "approval",
    LedgerEvent.ACTION_EXECUTED: "outcome",
    LedgerEvent.ACTION_FAILED: "outcome",
    LedgerEvent.EXECUTION_CANCELLED: "outcome",
    LedgerEvent.EXECUTION_EXPIRED: "outcome",
    LedgerEvent.EXECUTION_IN_DOUBT: "outcome",
    LedgerEvent.IN_DOUBT_RESOLVED: "outcome",
    LedgerEvent.COMPENSATION_COMPLETED: "outcome",
    LedgerEvent.COMPENSATION_FAILED: "outcome",
    LedgerEvent.REPLAY_COMPLETED: "outcome",
    LedgerEvent.REPLAY_FAILED: "outcome",
}
_Writer = Callable[[dict[str, Any], str], str]
_CALLS: Final = frozenset({LedgerEvent.WRITE_PERMITTED, LedgerEvent.TOOL_INVOKED})
_AGAIN: Final = (LedgerEvent.TOOL_RETRY_SCHEDULED, LedgerEvent.EXECUTION_DEFERRED)
"""What comes after a call that is made again, or was put off."""


def timeline(entries: Sequence[LedgerEntry]) -> tuple[TimelineLine, ...]:
    """The lines of `entries`, which are about one intent and in order. A chain of retries, or of deferrals, is one."""
    lines: list[TimelineLine] = []
    index = 0
    while index < len(entries):
        kind, end = _chain(entries, index)
        if kind is LedgerEvent.TOOL_RETRY_SCHEDULED:
            lines.append(_retried(entries[index:end]))
        elif kind is not None:
            lines.append(_put_off(entries[index:end]))
        else:
            lines.append(_line(entries[index]))
        index = end
    return tuple(lines)


def _chain(entries: Sequence[LedgerEntry], start: int) -> tuple[LedgerEvent | None, int]:
    """The kind and the end of a stretch of calls that all ended the same way: to be made again, or put off."""
    kind, end = None, start
    for index in range(start, len(entries)):
        event = entries[index].event_type
        if event in _AGAIN and kind in (None, event):
            kind, end = event, index + 1
        elif event not in _CALLS:
            break
    return kind, max(end, start + 1)


def _retried(entries: Sequence[LedgerEntry]) -> TimelineLine:
    retries = _all(entries, LedgerEvent.TOOL_RETRY_SCHEDULED)
    codes = sorted({str(data.get("error_code") or "unknown") for data in retries})
    return _folded(entries, f"Called and will be called again, {_times(retries)}, after {', '.join(codes)}")


def _put_off(entries: Sequence[LedgerEntry]) -> TimelineLine:
    deferrals = _all(entries, LedgerEvent.EXECUTION_DEFERRED)
    last = deferrals[-1]
    often = "" if len(deferrals) == 1 else f" {_times(deferrals)}, last"
    return _folded(entries, f"Put off{often} until {last.get('until') or 'later'}: {_said(last, 'reason')}")


def _all(entries: Sequence[LedgerEntry], event: LedgerEvent) -> list[dict[str, Any]]:
    return [_data(entry) for entry in entries if entry.event_type is event]


def _times(of: Sequence[object]) -> str:
    return "once" if len(of) == 1 else f"{len(of)} times"


def _folded(entries: Sequence[LedgerEntry], text: str) -> TimelineLine:
    last = entries[-1]
    return TimelineLine(
        timestamp=last.timestamp,
        stage="execution",
        event_type=last.event_type.value,
        actor=last.actor,
        text=text,
        run_number=entries[0].run_number,
        folded=len(entries),
    )


def _data(entry: LedgerEntry) -> dict[str, Any]:
    decoded = msgspec.json.decode(entry.data) if entry.data else {}
    return decoded if isinstance(decoded, dict) else {}


def _line(entry: LedgerEntry) -> TimelineLine:
    return TimelineLine(
        timestamp=entry.timestamp,
        stage=_STAGES.get(entry.event_type, "execution"),
        event_type=entry.event_type.value,
        actor=entry.actor,
        text=_text(entry.event_type, _data(entry), entry.actor) if entry.data else _erased(entry.event_type),
        run_number=entry.run_number,
    )


def _refs(data: dict[str, Any]) -> str:
    refs = data.get("external_object_refs") or []
    return ", ".join("/".join(str(part) for part in ref) for ref in refs)


def _said(data: dict[str, Any], key: str) -> str:
    return visible(str(data.get(key) or ""), 300)


def _ended(word: str) -> _Writer:
    return lambda data, _: f"{word}: {data.get('error_code')}: {_said(data, 'error_message')}"


def _cancelled(data: dict[str, Any], actor: str) -> str:
    return (
        f"{actor} asked the run to stop before its next call" if data.get("requested_only") else f"{actor} cancelled it"
    )


def _evaluated(data: dict[str, Any], actor: str) -> str:
    if undo := data.get("undo_intent_id"):
        return f"{actor} proposed to take it back ({undo}): {_said(data, 'reason')}"
    if "undo" in data:
        return f"Policy {data.get('policy_version')}: undo permitted, left to people"
    if data.get("edit"):
        return f"Policy {data.get('policy_version')}: the edit permitted"
    approved = "approved by policy" if data.get("auto_approve") else "left to people"
    shadow = ", in shadow mode" if data.get("shadow") else ""
    return f"Policy {data.get('policy_version')}: proposal permitted, {approved}{shadow}"


def _approved(data: dict[str, Any], actor: str) -> str:
    missing = data.get("approvals_missing") or 0
    return f"{actor} approved it ({data.get('approval_source')})" + (f"; {missing} more needed" if missing else "")


def _answered(data: dict[str, Any], _: str) -> str:
    code = f" ({data['error_code']})" if data.get("error_code") else ""
    return f"{data.get('tool_name')} answered {data.get('result')}{code}"


def _looked_up(data: dict[str, Any], _: str) -> str:
    found = {True: "found it", False: "found nothing", None: "cannot tell"}[data.get("found")]
    return f"Looked up by our key: {found}"


def _read(data: dict[str, Any], _: str) -> str:
    of = "What it did was read back" if data.get("purpose") == "UNDO" else "The target was read"
    if data.get("failed"):
        return f"The target could not be read ({data.get('error_code')})"
    if data.get("found") is False:
        return f"{of}: it is not there any more"
    if "unchanged" not in data:
        return f"{of} for whoever decides"
    if "found" in data and data["found"] is None:
        return f"{of}: it cannot be told"
    return f"{of}: {'unchanged' if data['unchanged'] else 'changed since'}"


def _by_undo(data: dict[str, Any]) -> str:
    return f" by {data['undo_intent_id']}" if data.get("undo_intent_id") else ""


def _not_taken_back(data: dict[str, Any], _: str) -> str:
    doubt = data.get("compensation_status") == "IN_DOUBT"
    what = "It is not known whether it was taken back" if doubt else "It was not taken back"
    return f"{what}{_by_undo(data)}, and is taken to stand: {_said(data, 'reason')}"


def _late(data: dict[str, Any], _: str) -> str:
    incident = ", which contradicts what was recorded" if data.get("incident") else ""
    return f"A late answer arrived: {data.get('result')}{incident}"


def _resolved(data: dict[str, Any], actor: str) -> str:
    more = "" if data.get("in_force") else "; a second person has to say the same"
    what = "whether it was taken back" if data.get("purpose") == "COMPENSATION" else "it"
    return f"{actor} resolved {what}: {data.get('resolution')}{more}"


_WRITERS: Final[dict[LedgerEvent, _Writer]] = {
    LedgerEvent.INTENT_PROPOSED: lambda data, actor: f"{actor} proposed: {_said(data, 'summary')}",
    LedgerEvent.INTENT_EDITED: lambda data, actor: (
        f"{actor} edited it: revision {data.get('revision')}: {_said(data, 'summary')}"
    ),
    LedgerEvent.INTENT_CANCELLED: _cancelled,
    LedgerEvent.POLICY_EVALUATED: _evaluated,
    LedgerEvent.ACTION_APPROVED: _approved,
    LedgerEvent.ACTION_REJECTED: lambda data, actor: f"{actor} rejected it: {_said(data, 'reason')}",
    LedgerEvent.EXECUTION_STARTED: lambda data, _: f"Execution started as {data.get('owner')}",
    LedgerEvent.WRITE_PERMITTED: lambda data, _: f"Call {data.get('call_no')} of {data.get('tool_name')} permitted",
    LedgerEvent.TOOL_INVOKED: _answered,
    LedgerEvent.TOOL_RETRY_SCHEDULED: lambda data, _: (
        f"Will be called again after {data.get('error_code') or 'an unknown result'}"
    ),
    LedgerEvent.LOOKUP_PERFORMED: _looked_up,
    LedgerEvent.LEASE_TAKEN_OVER: lambda data, _: f"Taken over with fence {data.get('fence')}",
    LedgerEvent.LATE_RESULT: _late,
    LedgerEvent.ACTION_EXECUTED: lambda data, _: f"Executed: {_refs(data) or 'no object reference'}",
    LedgerEvent.ACTION_FAILED: _ended("Failed"),
    LedgerEvent.EXECUTION_CANCELLED: _ended("Cancelled"),
    LedgerEvent.EXECUTION_IN_DOUBT: _ended("In doubt"),
    LedgerEvent.EXECUTION_EXPIRED: lambda _, __: "Expired",
    LedgerEvent.IN_DOUBT_RESOLVED: _resolved,
    LedgerEvent.REPLAY_REQUESTED: lambda data, actor: f"{actor} asked for a replay: {_said(data, 'replay_reason')}",
    LedgerEvent.TARGET_READ: _read,
    LedgerEvent.COMPENSATION_STARTED: lambda data, _: f"Taking it back{_by_undo(data)}, with {data.get('tool_name')}",
    LedgerEvent.COMPENSATION_COMPLETED: lambda data, _: f"Taken back{_by_undo(data)}",
    LedgerEvent.COMPENSATION_FAILED: _not_taken_back,
    LedgerEvent.PERSONAL_DATA_ERASED: lambda data, actor: f"{actor} had its personal data erased",
    LedgerEvent.IDEMPOTENCY_COLLISION_DETECTED: lambda _, __: (
        "INCIDENT: one key is said to have made two different objects"
    ),
}


def _erased(event: LedgerEvent) -> str:
    return f"{event.value.replace('_', ' ').capitalize()} (its data was erased)"


def _text(event: LedgerEvent, data: dict[str, Any], actor: str) -> str:
    writer = _WRITERS.get(event)
    return writer(data, actor) if writer else event.value.replace("_", " ").capitalize()
