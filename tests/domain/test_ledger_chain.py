"""The chain verifier names the first entry at which anything is not what was written."""

from collections.abc import Callable, Sequence

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from enactor.conformance.builders import Builder
from enactor.domain.canonical import sha256_hex
from enactor.domain.ledger import GENESIS, ChainVerifier, LedgerEntry, chained, commitment, entry_hash

LENGTH = 6


def chain(length: int = LENGTH, **changes: object) -> list[LedgerEntry]:
    """A chain as a store would write it."""
    build, entries, head = Builder(), [], GENESIS
    for number in range(1, length + 1):
        record = build.entry(data={"number": number, "text": "größer"}, **changes).record
        entries.append(chained(record, seq=number, sequence=number, prev_hash=head, position=number))
        head = entries[-1].hash
    return entries


def first_fault(entries: Sequence[LedgerEntry]) -> int | None:
    """The place of the first fault found."""
    verifier = ChainVerifier()
    verifier.feed_all(entries)
    return verifier.faults[0].seq if verifier.faults else None


def test_a_whole_chain_has_no_fault() -> None:
    """What was written verifies, and the head is the last entry."""
    entries, verifier = chain(), ChainVerifier()
    verifier.feed_all(entries)
    assert (verifier.entries, verifier.faults, verifier.erased) == (LENGTH, [], 0)
    assert list(verifier.heads.values()) == [(LENGTH, entries[-1].hash)]


EDITS: dict[str, Callable[[LedgerEntry], LedgerEntry]] = {
    **{
        name: (lambda entry, name=name: replace(entry, **{name: getattr(entry, name) + "x"}))
        for name in ("entry_id", "timestamp", "actor", "trace_id", "decision_trace_id", "action_intent_id")
    },
    "run_number": lambda entry: replace(entry, run_number=entry.run_number + 1),
    "sequence": lambda entry: replace(entry, sequence=entry.sequence + 1),
    "event_type": lambda entry: replace(entry, event_type=type(entry.event_type).ACTION_EXECUTED),
    "data": lambda entry: replace(entry, data=entry.data.replace("number", "numbers")),
    "salt": lambda entry: replace(entry, salt="00" * 16),
    "data_commitment": lambda entry: replace(entry, data_commitment="0" * 64),
    "data and its commitment": lambda entry: replace(entry, data="{}", data_commitment=commitment(entry.salt, "{}")),
    "hash": lambda entry: replace(entry, hash="0" * 64),
    "prev_hash": lambda entry: replace(entry, prev_hash="1" * 64),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("place", [1, 3, LENGTH])
def test_an_edit_is_named(edit: str, place: int) -> None:
    """Any change of any member is found at that entry, wherever it stands."""
    entries = chain()
    entries[place - 1] = EDITS[edit](entries[place - 1])
    assert first_fault(entries) == place


@pytest.mark.parametrize("place", [1, 3, LENGTH])
def test_an_edit_with_its_hash_made_new_is_named_at_the_next(place: int) -> None:
    """Whoever edits an entry and computes its hash again breaks the link to the next one."""
    entries = chain()
    edited = replace(entries[place - 1], actor="somebody else")
    edited = replace(edited, hash=entry_hash(edited, edited.seq, edited.sequence, edited.prev_hash))
    entries[place - 1] = edited
    assert first_fault(entries) == (place + 1 if place < LENGTH else None)


@pytest.mark.parametrize("place", [1, 3, LENGTH - 1])
def test_a_deletion_is_named(place: int) -> None:
    """The missing entry is the first fault."""
    entries = chain()
    del entries[place - 1]
    assert first_fault(entries) == place


@pytest.mark.parametrize("place", [1, 3, LENGTH])
def test_an_insertion_is_named(place: int) -> None:
    """Another entry in a taken place is found, and so is one that is repeated."""
    entries = chain()
    foreign = replace(chain(actor="somebody else")[place - 1], prev_hash=entries[place - 1].prev_hash)
    foreign = replace(foreign, hash=entry_hash(foreign, foreign.seq, foreign.sequence, foreign.prev_hash))
    assert first_fault([*entries[:place], foreign, *entries[place:]]) == place + 1
    assert first_fault([*entries[:place], entries[place - 1], *entries[place:]]) == place + 1


@pytest.mark.parametrize("place", [1, 2, LENGTH - 1])
def test_a_reordering_is_named(place: int) -> None:
    """Two entries that changed places are found at the first of them."""
    entries = chain()
    entries[place - 1], entries[place] = entries[place], entries[place - 1]
    assert first_fault(entries) == place


def test_reordering_with_new_numbers_is_named() -> None:
    """Giving the entries the numbers of their new places does not help: the numbers are in the hash."""
    entries = chain()
    second, third = entries[1], entries[2]
    entries[1], entries[2] = replace(third, seq=2), replace(second, seq=3)
    assert first_fault(entries) == 2


@given(st.integers(0, LENGTH - 1), st.sampled_from(sorted(EDITS)), st.integers(0, LENGTH - 1))
def test_the_earliest_of_two_edits_is_named(one: int, edit: str, other: int) -> None:
    """After a chain's first fault the rest of it is in question, and only the first one is named."""
    entries = chain()
    for place in {one, other}:
        entries[place] = EDITS[edit](entries[place])
    verifier = ChainVerifier()
    verifier.feed_all(entries)
    assert [fault.seq for fault in verifier.faults] == [min(one, other) + 1]


def test_chains_may_be_interleaved() -> None:
    """Each chain is checked for itself; a fault in one says nothing of the other."""
    north, south = chain(account_id="north"), chain(account_id="south")
    south[2] = replace(south[2], actor="somebody else")
    verifier = ChainVerifier()
    for pair in zip(north, south, strict=True):
        verifier.feed_all(pair)
    assert [(fault.account_id, fault.seq) for fault in verifier.faults] == [("south", 3)]
    assert verifier.heads[north[0].tenant_id, "north"] == (LENGTH, north[-1].hash)


def test_erased_data_breaks_nothing() -> None:
    """Data and salt can be erased: the place and the commitment still verify, and the erasure is counted."""
    entries = chain()
    entries[1] = replace(entries[1], data="", salt="")
    verifier = ChainVerifier()
    verifier.feed_all(entries)
    assert (verifier.faults, verifier.erased) == ([], 1)
    entries[2] = replace(entries[2], data="")
    assert first_fault(entries) == 3


def test_the_position_is_the_stores_own() -> None:
    """A store may move entries (a restore): its order over all chains is outside the hash."""
    assert first_fault([replace(entry, position=entry.position + 100) for entry in chain()]) is None


@pytest.mark.parametrize("actor", ["enactor", 'dev:"\\/\b\f\n\r\t\x00\x1f\x7f', "Zoë \u2028 \ufeff \U0001f512"])
def test_the_hash_is_over_canonical_json(actor: str) -> None:
    """Another implementation can check it: SHA-256 over the RFC 8785 form of all but data, salt, hash, position."""
    entry = chain(actor=actor)[2]
    covered = {
        name: getattr(entry, name)
        for name in LedgerEntry.__struct_fields__
        if name not in ("data", "salt", "hash", "position")
    }
    assert sha256_hex(rfc8785.dumps(covered)) == entry.hash
    assert sha256_hex(bytes.fromhex(entry.salt) + entry.data.encode()) == entry.data_commitment
