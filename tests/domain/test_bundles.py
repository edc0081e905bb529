"""Checking evidence bundles: what is caught, what is named, and what is said to be unknown."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from enactor.domain.errors import InvalidInput
from enactor.domain.evidence import SELF_CONSISTENT, Scope, VerificationReport
from enactor.domain.ledger import LedgerEntry, LedgerEvent, chained, entry_hash
from enactor.domain.note import Algorithm, parse_note
from enactor.domain.trust import NOTHING, Trusted
from enactor.domain.verification import verify_bundle
from tests.bundles import KEY, LOG, OTHER, SIGNER, Tree, bundle, chains, trusting

ENTRIES = chains(300, 20, 5)
HELD = Tree(ENTRIES).note(100)
AUDITOR = trusting(SIGNER.verifier(LOG), held=[HELD])
WITNESS = OTHER.verifier("witness.example/w", Algorithm.WITNESS)


def faults(report: VerificationReport) -> list[tuple[str, int]]:
    """Chain and number of every fault."""
    return [(fault.account_id, fault.seq) for fault in report.faults]


def test_a_whole_ledger_verifies() -> None:
    """With nothing at hand it is self-consistent; with a checkpoint from outside that is conclusive up to there."""
    alone = verify_bundle(bundle(ENTRIES, checkpoints=(3, 256, 290)))
    assert (alone.ok, alone.entries, alone.chains, alone.size, alone.unsealed) == (True, 325, 3, 325, 0)
    assert (alone.signed_by, alone.conclusive, alone.cannot_know) == ((KEY,), False, (SELF_CONSISTENT,))
    held = verify_bundle(bundle(ENTRIES), AUDITOR)
    assert (held.ok, held.held, held.conclusive) == (True, (100,), True)
    assert len(held.cannot_know) == 1
    assert "of 100 entries" in held.cannot_know[0]
    whole = verify_bundle(bundle(ENTRIES), trusting(SIGNER.verifier(LOG), held=[Tree(ENTRIES).note()]))
    assert whole.cannot_know == ()
    assert verify_bundle(bundle([]), NOTHING).ok


def edited(entries: list[LedgerEntry]) -> None:
    """Somebody else is said to have acted, at entry 50 of the first chain."""
    entries[at(50)] = replace(entries[at(50)], actor="somebody else")


def forged(entries: list[LedgerEntry]) -> None:
    """As `edited`, its hash made new."""
    edited(entries)
    it = entries[at(50)]
    entries[at(50)] = replace(it, hash=entry_hash(it, it.seq, it.sequence, it.prev_hash))


def deleted(entries: list[LedgerEntry]) -> None:
    """Entry 50 is gone."""
    del entries[at(50)]


def inserted(entries: list[LedgerEntry]) -> None:
    """A chain that never was, in between."""
    (foreign,) = chains(1)
    entries.insert(at(50), chained(replace(foreign, account_id="acc-9"), seq=1, sequence=0, prev_hash="0" * 64))


def swapped(entries: list[LedgerEntry]) -> None:
    """Two neighbours of different chains have changed places, which no chain shows."""
    entries[1], entries[2] = entries[2], entries[1]


def at(number: int) -> int:
    """Where an entry of the first chain stands."""
    return next(at for at, it in enumerate(ENTRIES) if (it.account_id, it.seq) == ("acc-1", number))


def truncated(entries: list[LedgerEntry]) -> None:
    """The last entries are gone."""
    del entries[-7:]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edited, ("acc-1", 50)),
        (forged, ("acc-1", 51)),
        (deleted, ("acc-1", 50)),
        (inserted, ("acc-9", 1)),
        (swapped, ("acc-3", 1)),
        (truncated, ("", 0)),
    ],
)
def test_a_change_is_caught_and_named(change: Callable[[list[LedgerEntry]], None], named: tuple[str, int]) -> None:
    """Whoever changes a bundle without the log's key is found, with nothing at hand but the bundle."""
    entries = list(ENTRIES)
    change(entries)
    report = verify_bundle(bundle(entries, tree_of=ENTRIES))
    assert named in faults(report)
    assert not report.ok


def rewritten(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """The first chain made new from entry 50 on, as an operator can who has everything, the key too."""
    made = list(entries)
    head = ""
    for place, it in enumerate(entries):
        if it.account_id != "acc-1" or it.seq < 50:
            continue
        actor = "somebody else" if it.seq == 50 else it.actor
        made[place] = chained(
            replace(it, actor=actor), seq=it.seq, sequence=it.sequence, prev_hash=head or it.prev_hash
        )
        head = made[place].hash
    return made


def test_only_a_checkpoint_from_outside_shows_a_rewritten_ledger() -> None:
    """Rewritten as a whole and signed again it is self-consistent, and says no more; a held checkpoint tells."""
    lines = bundle(rewritten(ENTRIES))
    report = verify_bundle(lines, trusting(SIGNER.verifier(LOG)))
    assert (report.ok, report.conclusive) == (True, False)
    assert SELF_CONSISTENT in report.cannot_know
    caught = verify_bundle(lines, AUDITOR)
    assert not caught.ok
    assert "the first 100 entries" in caught.faults[0].fault
    assert caught.held == ()
    narrowed = verify_bundle(bundle(rewritten(ENTRIES)), trusting(held=[HELD, Tree(ENTRIES).note(40)]))
    assert "from place 40 to 99" in narrowed.faults[0].fault


def test_what_is_cut_off_after_a_held_checkpoint_is_missed() -> None:
    """A log that ends before the checkpoint that the auditor holds has lost its end, whoever signed it."""
    caught = verify_bundle(bundle(ENTRIES[:90]), AUDITOR)
    assert "of 100 entries, and this log ends after 90" in caught.faults[0].fault
    assert verify_bundle(bundle(ENTRIES[:100]), AUDITOR).ok


def test_the_key_has_to_be_the_logs() -> None:
    """A bundle that another key signed is refused by whoever knows the log's; a bundle signed by none as well."""
    other = verify_bundle(bundle(ENTRIES, signer=OTHER), trusting(SIGNER.verifier(LOG)))
    assert "not signed by the key that you gave" in other.faults[0].fault
    unsigned = [line for line in bundle(ENTRIES) if b'"kind":"checkpoint"' not in line]
    assert not verify_bundle(unsigned, trusting(SIGNER.verifier(LOG))).ok
    told = verify_bundle(unsigned)
    assert (told.ok, told.unsealed) == (True, 325)
    stranger = trusting(held=[Tree(ENTRIES).note(100, OTHER)])
    assert "signed by no key that is known here" in verify_bundle(bundle(ENTRIES), stranger).faults[0].fault
    with pytest.raises(InvalidInput, match="The checkpoint you hold is of the log"):
        verify_bundle(bundle(ENTRIES), trusting(held=[Tree(ENTRIES).note(100, log="log.example/b")]))


def test_an_old_key_still_verifies_what_it_signed() -> None:
    """A checkpoint from before a rotation is held against the log by whoever has the old key, or the published one."""
    lines = bundle(ENTRIES, signer=OTHER)
    old = Tree(ENTRIES).note(100)
    assert verify_bundle(lines, trusting(OTHER.verifier(LOG), SIGNER.verifier(LOG), held=[old])).held == (100,)


def test_a_witness_makes_it_conclusive() -> None:
    """A cosignature in the bundle counts for whoever trusts that witness, with its time, and for nobody else."""
    note = parse_note(Tree(ENTRIES).note())
    cosigned = str(note.signed_also([OTHER.cosign(WITNESS.name, note.text, 1_700_000_000)]))
    lines = [
        msgspec.json.encode({"kind": "checkpoint", "note": cosigned, "made_at": ""})
        if b'"kind":"checkpoint"' in it
        else it
        for it in bundle(ENTRIES)
    ]
    report = verify_bundle(lines, trusting(witnesses=[WITNESS]))
    assert [(it.witness, it.size, it.time) for it in report.witnesses] == [(WITNESS.name, 325, 1_700_000_000)]
    assert (report.conclusive, report.cannot_know) == (True, ())
    assert not verify_bundle(lines).conclusive


# -- erased data -----------------------------------------------------------------------------------------------------


def erased_ledger(*, on_record: bool) -> list[LedgerEntry]:
    """A chain of an intent whose first two entries have lost their data, with or without an entry that says so."""
    entries: list[LedgerEntry] = []
    for number, it in enumerate(chains(4)):
        event = LedgerEvent.PERSONAL_DATA_ERASED if on_record and number == 2 else it.event_type
        named = replace(it, action_intent_id="ai_1", event_type=event)
        head = entries[-1].hash if entries else "0" * 64
        entries.append(chained(named, seq=number + 1, sequence=number + 1, prev_hash=head))
    return [replace(it, data="", salt="") if number < 2 else it for number, it in enumerate(entries)]


def test_data_may_be_gone_where_the_ledger_says_so() -> None:
    """An erasure on record breaks nothing and is counted; data that is gone without one was removed."""
    report = verify_bundle(bundle(erased_ledger(on_record=True)))
    assert (report.ok, report.erased) == (True, 2)
    caught = verify_bundle(bundle(erased_ledger(on_record=False)))
    assert faults(caught) == [("acc-1", 1)]
    assert "nothing later says that it was erased" in caught.faults[0].fault
    nobodys = [replace(it, data="", salt="") for it in chains(1)]
    assert "only an intent's can be erased" in verify_bundle(bundle(nobodys)).faults[0].fault
    half = [replace(it, data="") for it in chains(1)]
    assert "does not fit the commitment" in verify_bundle(bundle(half)).faults[0].fault


# -- selections ------------------------------------------------------------------------------------------------------

BY_INTENT = Scope(action_intent_id="ai_x")


def some(entry: LedgerEntry) -> bool:
    """A selection with gaps in its chains."""
    return entry.seq % 3 == 0


def test_a_selection_brings_its_proofs() -> None:
    """Each entry is shown to be in the log; that nothing was left out is said not to be."""
    lines = bundle(ENTRIES, scope=BY_INTENT, wanted=some, checkpoints=(40,), since=(100,))
    report = verify_bundle(lines, AUDITOR)
    assert (report.ok, report.partial, report.entries, report.held) == (True, True, 107, (100,))
    assert any("that none was left out is the exporter's word" in text for text in report.cannot_know)
    without = verify_bundle(bundle(ENTRIES, scope=BY_INTENT, wanted=some), AUDITOR)
    assert "the bundle has no proof of it" in without.faults[0].fault
    other = bundle(rewritten(ENTRIES), scope=BY_INTENT, wanted=some, since=(100,))
    assert "not shown to continue" in verify_bundle(other, AUDITOR).faults[0].fault


def test_an_account_is_a_whole_chain() -> None:
    """A gap in it is a fault, though other chains are not there."""
    scope = Scope(account_ids=("acc-2",))
    of_account = bundle(ENTRIES, scope=scope, wanted=lambda it: it.account_id == "acc-2")
    report = verify_bundle(of_account)
    assert (report.ok, report.entries) == (True, 20)
    assert any("exporter's word" in text for text in report.cannot_know)
    gap = bundle(ENTRIES, scope=scope, wanted=lambda it: it.account_id == "acc-2" and it.seq != 7)
    assert faults(verify_bundle(gap)) == [("acc-2", 7)]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:4], lines[5].replace(b'"actor":"enactor"', b'"actor":"another"'), *lines[6:]],
        lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
        lambda lines: [*lines[:4], *lines[5:]],
        lambda lines: [*lines[:5], lines[4], *lines[5:]],
        lambda lines: [it.replace(b'"leaf_index":8', b'"leaf_index":9') for it in lines],
        lambda lines: [it.replace(b',"path":["', b',"path":["00') for it in lines],
    ],
)
def test_a_changed_selection_is_caught(change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Edited, reordered, counted wrongly, repeated, put at another place, or proven by other hashes."""
    lines = bundle(ENTRIES, scope=BY_INTENT, wanted=some)
    assert change(lines) != lines
    assert not verify_bundle(change(lines)).ok


# -- files that are none ---------------------------------------------------------------------------------------------


def test_what_is_no_bundle_is_refused() -> None:
    """A file that was cut off anywhere, goes on, or is something else, says so and is never said to be in order."""
    lines = bundle(chains(3))
    other = [lines[0].replace(b"v2", b"v1"), *lines[1:]]
    for broken in (lines[:-1], lines[1:], [], [*lines, lines[1]], [*lines[:2], lines[2][:-9], lines[-1]], other):
        with pytest.raises(InvalidInput):
            verify_bundle(broken)
    with pytest.raises(InvalidInput):
        verify_bundle([lines[0], *lines])
    with pytest.raises(InvalidInput, match="cut off after 2 entries"):
        verify_bundle(lines[:-2])


def test_a_member_that_nobody_hashed_is_refused() -> None:
    """Nothing can be added to a line that the check would not look at."""
    lines = bundle(chains(3))
    lines[3] = lines[3].replace(b'{"kind":"entry",', b'{"kind":"entry","approved_by":"ana",')
    with pytest.raises(InvalidInput, match="Line 4"):
        verify_bundle(lines, Trusted())


def test_progress_is_told() -> None:
    """Now and then, and at the end."""
    told: list[int] = []
    verify_bundle(bundle(ENTRIES), progress=told.append)
    assert told[-1] == 325
