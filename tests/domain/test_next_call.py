"""The second table of the specification's section 3, as data: what may follow a call whose result is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enactor.domain.action_type import WriteMode, WriteSemantics
from enactor.domain.permit import (
    CallResult,
    Purpose,
    SettledBy,
    Verdict,
    WritePermit,
    in_doubt,
    is_clean,
    last_possible_send,
    may_end_clean,
    next_call,
)

TAKEN = 1_000_000
WINDOW = 5_000
PAUSE = 60_000
NOT_AFTER = TAKEN + WINDOW

KEYED = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=3_600)
KEYED_SEARCHED = WriteSemantics(
    mode=WriteMode.IDEMPOTENT, key_retention_seconds=3_600, has_lookup=True, absence_final_after_seconds=30
)
SEARCHED = WriteSemantics(mode=WriteMode.LOOKUP, has_lookup=True, absence_final_after_seconds=30)
NEVER_FINAL = WriteSemantics(mode=WriteMode.LOOKUP, has_lookup=True)
BLIND = WriteSemantics(mode=WriteMode.LOOKUP)
UNSAFE = WriteSemantics(mode=WriteMode.UNSAFE)
UNSAFE_SEARCHED = WriteSemantics(mode=WriteMode.UNSAFE, has_lookup=True, absence_final_after_seconds=30)
BURNING = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=3_600, failure_burns_key=True)
SHORT = WriteSemantics(mode=WriteMode.IDEMPOTENT, key_retention_seconds=30)
EVERY = (KEYED, KEYED_SEARCHED, SEARCHED, NEVER_FINAL, BLIND, UNSAFE, UNSAFE_SEARCHED, BURNING)


def permit(result: CallResult = CallResult.UNKNOWN, **changes: object) -> WritePermit:
    """The first call's permit."""
    fields: dict[str, object] = {
        "idempotency_key": "k",
        "action_intent_id": "ai_1",
        "tenant_id": "acme",
        "purpose": Purpose.EFFECT,
        "run_number": 1,
        "call_no": 1,
        "fence": 1,
        "call_not_after": NOT_AFTER,
        "reply_not_after": NOT_AFTER + 60_000,
        "taken_at": TAKEN,
        **changes,
    }
    return WritePermit(result=result, **fields)  # type: ignore[arg-type]


LOST = permit()
FENCED = permit(taken_over=True)
DEAD = permit(taken_over=True, caller_dead=True)
RETAINED_UNTIL = TAKEN + 3_600_000
LAST_REPEAT = RETAINED_UNTIL - WINDOW - PAUSE
FINAL_AT = NOT_AFTER + 30_000
FENCED_FINAL_AT = NOT_AFTER + PAUSE + 30_000

TABLE = {
    "no call at all": ((), UNSAFE, {}, Verdict.CALL),
    "not sent": ((permit(CallResult.NOT_SENT),), UNSAFE, {}, Verdict.CALL),
    "refused": ((permit(CallResult.REFUSED),), UNSAFE, {}, Verdict.CALL),
    "done": ((permit(CallResult.DONE),), UNSAFE, {}, Verdict.SETTLE),
    "done after an unknown": ((LOST, permit(CallResult.DONE, call_no=2)), KEYED, {}, Verdict.SETTLE),
    "open": ((permit(CallResult.OPEN),), KEYED, {}, Verdict.RECOVER),
    "open beside done": ((permit(CallResult.DONE), permit(CallResult.OPEN, call_no=2)), KEYED, {}, Verdict.RECOVER),
    "a person said it did not happen": ((permit(settled_by=SettledBy.RESOLVED),), UNSAFE, {}, Verdict.CALL),
    "idempotent, key retained": ((LOST,), KEYED, {}, Verdict.CALL),
    "idempotent, last moment": ((LOST,), KEYED, {"now_ms": LAST_REPEAT - 1}, Verdict.CALL),
    "idempotent, might be paused and arrive too late": ((LOST,), KEYED, {"now_ms": LAST_REPEAT}, Verdict.IN_DOUBT),
    "idempotent, retention counts from the first call": (
        (permit(CallResult.REFUSED), permit(call_no=2, taken_at=TAKEN + 1_000_000)),
        KEYED,
        {"now_ms": LAST_REPEAT},
        Verdict.IN_DOUBT,
    ),
    "idempotent, key forgotten, searchable": (
        (LOST,),
        KEYED_SEARCHED,
        {"now_ms": RETAINED_UNTIL},
        Verdict.LOOK_UP,
    ),
    "idempotent, fenced caller sends within retention": ((FENCED,), KEYED, {}, Verdict.CALL),
    "idempotent, fenced caller may send after retention": ((FENCED,), SHORT, {}, Verdict.IN_DOUBT),
    "idempotent, retention shorter than a pause": ((DEAD,), SHORT, {}, Verdict.IN_DOUBT),
    "a restore, and keys that failures burn": ((permit(call_no=0, taken_over=True),), BURNING, {}, Verdict.IN_DOUBT),
    "a restore, one key for ever": ((permit(call_no=0, taken_over=True),), KEYED, {}, Verdict.CALL),
    "look-up, not made": ((LOST,), SEARCHED, {}, Verdict.LOOK_UP),
    "look-up, absent, not final": ((LOST,), SEARCHED, {"absent_at": TAKEN}, Verdict.WAIT),
    "look-up, absent, one millisecond early": (
        (LOST,),
        SEARCHED,
        {"absent_at": FINAL_AT - 1, "now_ms": FINAL_AT - 1},
        Verdict.WAIT,
    ),
    "look-up, was absent before it was final": (
        (LOST,),
        SEARCHED,
        {"absent_at": FINAL_AT - 1, "now_ms": FINAL_AT},
        Verdict.LOOK_UP,
    ),
    "look-up, absent, final": ((LOST,), SEARCHED, {"absent_at": FINAL_AT, "now_ms": FINAL_AT}, Verdict.CALL),
    "look-up, cannot tell": ((LOST,), SEARCHED, {"cannot_tell": True}, Verdict.IN_DOUBT),
    "look-up, absence never final": ((LOST,), NEVER_FINAL, {"absent_at": FINAL_AT * 2}, Verdict.IN_DOUBT),
    "look-up declared, none there": ((LOST,), BLIND, {}, Verdict.IN_DOUBT),
    "look-up, fenced caller may still send": ((FENCED,), SEARCHED, {"now_ms": NOT_AFTER}, Verdict.WAIT),
    "look-up, fenced caller, one millisecond early": (
        (FENCED,),
        SEARCHED,
        {"now_ms": NOT_AFTER + PAUSE - 1},
        Verdict.WAIT,
    ),
    "look-up, fenced caller can have sent by now": (
        (FENCED,),
        SEARCHED,
        {"now_ms": NOT_AFTER + PAUSE},
        Verdict.LOOK_UP,
    ),
    "look-up, fenced caller, absence not final": (
        (FENCED,),
        SEARCHED,
        {"now_ms": FINAL_AT + PAUSE - 1, "absent_at": FINAL_AT},
        Verdict.WAIT,
    ),
    "look-up, fenced caller, absence final": (
        (FENCED,),
        SEARCHED,
        {"now_ms": FENCED_FINAL_AT, "absent_at": FENCED_FINAL_AT},
        Verdict.CALL,
    ),
    "look-up, dead caller needs no waiting": ((DEAD,), SEARCHED, {}, Verdict.LOOK_UP),
    "look-up, one fenced among dead": ((DEAD, permit(call_no=2, taken_over=True)), SEARCHED, {}, Verdict.WAIT),
    "unsafe": ((LOST,), UNSAFE, {}, Verdict.IN_DOUBT),
    "unsafe, though it can be searched": ((LOST,), UNSAFE_SEARCHED, {"absent_at": FINAL_AT * 2}, Verdict.IN_DOUBT),
}


@pytest.mark.parametrize("row", TABLE)
def test_each_row_of_the_table(row: str) -> None:
    """What may follow is exactly what the table says."""
    permits, semantics, facts, verdict = TABLE[row]
    asked = {"now_ms": TAKEN + 1_000, "max_pause_ms": PAUSE, "call_window_ms": WINDOW, **facts}
    assert next_call(permits, semantics, **asked).verdict is verdict


@pytest.mark.parametrize(
    ("permits", "facts", "until"),
    [
        ((FENCED,), {"now_ms": TAKEN}, NOT_AFTER + PAUSE),
        ((LOST,), {"now_ms": TAKEN, "absent_at": TAKEN}, FINAL_AT),
        ((FENCED,), {"now_ms": NOT_AFTER + PAUSE, "absent_at": NOT_AFTER + PAUSE}, FENCED_FINAL_AT),
        ((DEAD,), {"now_ms": TAKEN, "absent_at": TAKEN}, FINAL_AT),
        ((permit(gone_by=NOT_AFTER - 1),), {"now_ms": TAKEN, "absent_at": TAKEN}, FINAL_AT),
        ((permit(gone_by=NOT_AFTER + 7_000),), {"now_ms": TAKEN, "absent_at": TAKEN}, FINAL_AT + 7_000),
        ((permit(gone_by=NOT_AFTER + 2 * PAUSE),), {"now_ms": TAKEN, "absent_at": TAKEN}, FENCED_FINAL_AT),
    ],
)
def test_how_long_it_waits(permits: tuple[WritePermit, ...], facts: dict[str, int], until: int) -> None:
    """A wait ends at the very instant from which the answer can be another."""
    answer = next_call(permits, SEARCHED, max_pause_ms=PAUSE, call_window_ms=WINDOW, **facts)
    assert (answer.verdict, answer.until) == (Verdict.WAIT, until)


def test_only_a_final_absence_proves_absence() -> None:
    """Repeating a call under an honoured key says nothing about the first; a final absence does."""
    asked = {"max_pause_ms": PAUSE, "call_window_ms": WINDOW}
    assert not next_call((LOST,), KEYED, now_ms=TAKEN, **asked).proves_absence
    assert next_call((LOST,), SEARCHED, now_ms=FINAL_AT, absent_at=FINAL_AT, **asked).proves_absence


RESULTS = st.sampled_from(list(CallResult))
PERMITS = st.lists(
    st.builds(
        permit,
        RESULTS,
        taken_over=st.booleans(),
        caller_dead=st.booleans(),
        gone_by=st.sampled_from((0, TAKEN, NOT_AFTER + 20_000, NOT_AFTER + 2 * PAUSE)),
        settled_by=st.sampled_from([None, *SettledBy]),
    ),
    max_size=4,
).map(tuple)
TIMES = st.integers(TAKEN, TAKEN + 5_000_000)


@given(PERMITS, st.sampled_from(EVERY), TIMES, st.none() | TIMES, st.booleans())
def test_whatever_happened_a_doubt_is_called_again_only_where_that_is_safe(
    permits: tuple[WritePermit, ...], semantics: WriteSemantics, now: int, absent_at: int | None, cannot_tell: bool
) -> None:
    """With a call in doubt there is another one only under a retained key, or after an absence that is final."""
    answer = next_call(
        permits,
        semantics,
        now_ms=now,
        max_pause_ms=PAUSE,
        call_window_ms=WINDOW,
        absent_at=absent_at,
        cannot_tell=cannot_tell,
    )
    doubtful = [known for known in permits if in_doubt(known)]
    if answer.verdict is not Verdict.CALL or not doubtful:
        return
    assert semantics.mode is not WriteMode.UNSAFE
    kept = TAKEN + semantics.key_retention_seconds * 1000
    retained = semantics.mode is WriteMode.IDEMPOTENT and now + WINDOW + PAUSE < kept
    final = semantics.absence_final_after_seconds
    absent = absent_at is not None and final is not None and not cannot_tell and semantics.has_lookup
    assert retained or (absent and absent_at >= last_possible_send(doubtful, PAUSE) + final * 1000)


@given(PERMITS)
def test_a_run_ends_clean_only_if_no_call_can_have_had_an_effect(permits: tuple[WritePermit, ...]) -> None:
    """FAILED, CANCELLED and EXPIRED need every call to be harmless, or its doubt ended, and none done."""
    clean = may_end_clean(permits)
    if any(known.result in (CallResult.OPEN, CallResult.DONE) and known.settled_by is None for known in permits):
        assert not clean
    if any(in_doubt(known) and known.settled_by is None for known in permits):
        assert not clean
    if is_clean(permits):
        assert clean


def test_a_persons_word_ends_a_doubt_and_cleans_no_key() -> None:
    """After NOT_EXECUTED a run may end, and its key stays the same: a person can be wrong."""
    resolved = (permit(settled_by=SettledBy.RESOLVED),)
    assert may_end_clean(resolved)
    assert not is_clean(resolved)
