"""The judge sees what is wrong, and the oracle knows what could have been known."""

from pathlib import Path
from typing import Any

import pytest

from killpoints.judge import Says, judge
from killpoints.oracle import BROKEN, allowed, broken_off, possible, unclear_calls

PERMIT, SETTLED = "commit(StartAttempt+TakePermit) after", "commit(RecordOutcome+SettlePermit+UpdateAttempt) after"
MADE = {"id": "e1", "key": "k", "partial": False, "undone": 0}


def seen(*effects: dict[str, Any], acts: tuple[str, ...] = (), undo: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the world has seen of an order."""
    requests = [{"purpose": "effect", "key": "k", "act": act, "call": ""} for act in acts]
    requests += [{"purpose": "undo", "key": "u", "act": act, "call": ""} for act in undo]
    return {"effects": list(effects), "requests": requests}


def statement(says: str, *refs: str) -> dict[str, Any]:
    """What a subject says."""
    return {"says": says, "refs": list(refs), "detail": ""}


@pytest.mark.parametrize(
    ("says", "effects", "wrong"),
    [
        ("done", [MADE], {}),
        ("done", [], {"losses": 1, "false": 1}),
        ("done", [MADE, {**MADE, "id": "e2"}], {"duplicates": 1}),
        ("not done", [], {}),
        ("not done", [MADE], {"false": 1}),
        ("taken back", [{**MADE, "undone": 1}], {}),
        ("taken back", [{**MADE, "undone": 2}], {"duplicates": 1}),
        ("taken back", [MADE], {"false": 1}),
        ("partly", [MADE], {}),
        ("partly", [{**MADE, "undone": 1}], {"false": 1}),
        ("unknown", [MADE], {}),
        ("unknown", [], {}),
        ("nothing", [], {"losses": 1}),
    ],
)
def test_a_statement_against_the_world(says: str, effects: list[dict[str, Any]], wrong: dict[str, int]) -> None:
    """Each of duplicates, losses and false statements is seen, and nothing is where there is none."""
    tally = judge("o", statement(says), seen(*effects))
    counted = {"duplicates": tally.duplicates, "losses": tally.losses, "false": tally.false}
    assert {name: count for name, count in counted.items() if count} == wrong
    assert tally.clean is (not wrong)
    assert bool(tally.faults) is bool(wrong)


def test_a_reference_to_something_else_is_false() -> None:
    """It was done, but what the subject points at is not it."""
    assert judge("o", statement("done", "e1"), seen(MADE)).clean
    assert judge("o", statement("done", "e7"), seen(MADE)).false == 1


def test_a_doubt_that_could_have_been_ended_is_counted() -> None:
    """Not knowing is honest only where nothing tells, and giving up only where nothing can be done."""
    possible = frozenset({Says.DONE})
    assert judge("o", statement("unknown"), seen(MADE), possible).needless == 1
    assert judge("o", statement("unknown"), seen(MADE), frozenset({Says.UNKNOWN})).clean
    assert judge("o", statement("not done"), seen(), possible).losses == 1
    assert judge("o", None, seen(MADE), possible).losses == 1


@pytest.mark.parametrize(
    ("kind", "acts", "journal", "honest"),
    [
        ("unsafe", ("do",), (), {Says.DONE}),
        ("unsafe", ("drop",), (), {Says.UNKNOWN}),
        ("unsafe", (), (PERMIT, "killed"), {Says.UNKNOWN}),
        ("unsafe", ("do",), (PERMIT, SETTLED, "killed"), {Says.DONE}),
        ("unsafe", ("refused",), (), {Says.NOT_DONE}),
        ("keyed", ("drop", "do"), (), {Says.DONE}),
        ("keyed", ("hang", "revoked"), (), {Says.UNKNOWN}),
        ("keyed", ("do", "do"), (PERMIT, "killed", PERMIT, SETTLED), {Says.DONE}),
        ("never_final", ("lose",), (), {Says.UNKNOWN}),
        ("searched", ("lose", "do"), (), {Says.DONE}),
        ("partial", ("partial",), (), {Says.TAKEN_BACK}),
    ],
)
def test_what_could_have_been_known(
    kind: str, acts: tuple[str, ...], journal: tuple[str, ...], honest: set[Says]
) -> None:
    """The oracle, case by case."""
    assert allowed(kind, seen(acts=acts), journal) == honest


def test_what_could_have_been_known_of_a_key() -> None:
    """Once the world has forgotten the key, a call whose process died is a doubt that nothing ends."""
    assert allowed("briefly", seen(acts=("do",)), (PERMIT, "killed"), forgotten=True) == {Says.UNKNOWN}
    assert allowed("briefly_searched", seen(acts=("do",)), (PERMIT, "killed"), forgotten=True) == {Says.DONE}


def test_what_could_have_been_known_of_an_undo() -> None:
    """It is taken back unless that is refused; not known only where nothing tells, or nothing is answered any more."""
    made = ("commit(CreateIntent+ReserveRequest) after", PERMIT, SETTLED, "commit(CreateIntent) after")
    died = (*made, "commit(RecordOutcome+TakePermit+UpdateAttempt) after", "killed")
    cases: list[tuple[str, tuple[str, ...], tuple[str, ...], Says]] = [
        ("reversible", (), made, Says.TAKEN_BACK),
        ("reversible", ("drop", "do"), made, Says.TAKEN_BACK),
        ("reversible", ("refused",), made, Says.DONE),
        ("reversible", ("drop", "refused"), made, Says.UNKNOWN),
        ("reversible", (), died, Says.TAKEN_BACK),
        ("reversible_unsafe", ("do",), made, Says.TAKEN_BACK),
        ("reversible_unsafe", ("lose",), made, Says.UNKNOWN),
        ("reversible_unsafe", (), died, Says.UNKNOWN),
        ("reversible_unsafe", (), (PERMIT, "killed", *made), Says.TAKEN_BACK),
    ]
    for kind, undo, journal, honest in cases:
        assert allowed(kind, seen(MADE, undo=undo), journal) == {honest}, (kind, undo, journal)


def test_what_could_have_been_known_of_a_preview() -> None:
    """Changed after it was approved, nothing may be called; changed before, the change is what was approved."""
    read, created = "preview shop.previewed after", "commit(CreateIntent+ReserveRequest) after"
    assert allowed("previewed", seen(), (read, created, read), changes=True) == {Says.NOT_DONE}
    assert allowed("previewed", seen(MADE), (read, "killed", read, created, read), changes=True) == {Says.DONE}


def test_of_which_call_a_process_died() -> None:
    """The first call or a later one, by the commits around it; a death between calls is of none."""
    settled = "commit(SettlePermit+UpdateAttempt) after"
    again = "commit(TakePermit+UpdateAttempt) after"
    assert unclear_calls((PERMIT, "killed")) == (True, False)
    assert unclear_calls((PERMIT, settled, "killed")) == (False, False)
    assert unclear_calls((PERMIT, settled, again, "killed")) == (False, True)


def test_a_commit_that_was_under_way_may_be_durable() -> None:
    """Killed after another commit, it may or may not be; killed before its own, it is not; after its own, it is."""
    before, log = SETTLED.replace(" after", " before"), "commit(AppendToLog) after"
    assert possible((PERMIT, before, log, "killed", "next")) == [
        [PERMIT, before, log, "killed", "next"],
        [PERMIT, before, log, SETTLED, "killed", "next"],
    ]
    assert possible((PERMIT, before, "killed")) == [[PERMIT, before, "killed"]]
    assert possible((before, SETTLED, "killed")) == [[before, SETTLED, "killed"]]
    assert possible((PERMIT, before, log)) == [[PERMIT, before, log]]


def test_a_call_that_broke_off_by_itself(tmp_path: Path) -> None:
    """It is a fact of the machine; one that the world broke off is none, and neither is another order's."""
    done, either = frozenset({Says.DONE}), {Says.DONE, Says.UNKNOWN, Says.NOT_DONE}
    (tmp_path / BROKEN).write_text("o 1\nother 2\n")
    met: dict[str, Any] = {"effects": [], "requests": [{"purpose": "effect", "key": "k", "act": "drop", "call": "1"}]}
    assert broken_off(tmp_path, "o", "keyed", done, met) == done
    assert (
        broken_off(tmp_path, "o", "keyed", done, {**met, "requests": [{**met["requests"][0], "act": "do"}]}) == either
    )
    assert broken_off(tmp_path, "o", "keyed", done, seen()) == either
    assert broken_off(tmp_path, "nobody", "keyed", done, seen()) == done
    assert broken_off(tmp_path, "o", "keyed", done, seen(MADE)) == {Says.DONE, Says.UNKNOWN}
