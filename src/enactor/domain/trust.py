"""What signatures on a bundle's checkpoints show, and what a check cannot show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from enactor.domain.errors import InvalidInput
from enactor.domain.evidence import SELF_CONSISTENT, Cosigned, Header, VerificationReport
from enactor.domain.note import Checkpoint, Note, VerifierKey, parse_checkpoint, parse_key, parse_note

Seen = tuple[Note, Checkpoint]


class Trusted(Struct, frozen=True, kw_only=True):
    """What an auditor brings along.

    Attributes:
        keys: the log's public keys, each made for a log's name, where he has no more than the key itself.
        held: checkpoints that he got earlier, or from elsewhere: whole notes.
        witnesses: keys of witnesses whom he trusts to have looked.
    """

    keys: tuple[Callable[[str], VerifierKey], ...] = ()
    held: tuple[str, ...] = ()
    witnesses: tuple[VerifierKey, ...] = ()


NOTHING = Trusted()
"""An auditor who brings nothing along."""


def seen(note: str) -> Seen:
    """A checkpoint's note in its parts. Raises `InvalidInput` when it is none."""
    parsed = parse_note(note)
    return parsed, parse_checkpoint(parsed.text)


def published(header: Header) -> list[VerifierKey]:
    """The keys that a bundle names."""
    found = []
    for key in header.keys:
        try:
            found.append(parse_key(key.key))
        except InvalidInput:
            continue
    return found


def signers_of(
    header: Header, notes: Sequence[Seen], held: Sequence[Seen], trusted: Trusted
) -> tuple[tuple[str, ...], int, list[str]]:
    """Who signed the newest checkpoint.

    Returns:
        The keys, the size of the newest checkpoint, and the faults.
    """
    faults = []
    own = [(note, it) for note, it in notes if it.origin == header.log and it.size <= header.size]
    if len(own) < len(notes):
        faults.append("there is a checkpoint of another log among the checkpoints, or of a longer one: inserted")
    given = [key(header.log) for key in trusted.keys]
    named = published(header)
    note, newest = max(own, key=lambda it: it[1].size, default=(None, None))
    signed_by: tuple[str, ...] = ()
    if note is not None and newest is not None:
        signed_by = tuple(str(key) for key in given or named if key.has_signed(note) is not None)
        if not signed_by:
            whose = "the key that you gave" if given else "a key that the bundle names"
            faults.append(f"the newest checkpoint, of {newest.size} entries, is not signed by {whose}")
    elif given and header.size:
        faults.append("there is no checkpoint that the key that you gave could have signed")
    faults += [
        f"the checkpoint you hold, of {it.size} entries, is signed by no key that is known here"
        for text, it in held
        if all(key.has_signed(text) is None for key in (*given, *named))
    ]
    return signed_by, newest.size if newest is not None else 0, faults


def cosigned(notes: Sequence[Seen], witnesses: Sequence[VerifierKey]) -> tuple[Cosigned, ...]:
    """The witnesses' good signatures, on the largest log first."""
    found = {
        Cosigned(witness=key.name, size=checkpoint.size, time=time)
        for key in witnesses
        for note, checkpoint in notes
        if (time := key.has_signed(note)) is not None
    }
    return tuple(sorted(found, key=lambda it: (-it.size, it.witness, it.time)))


def _named(header: Header) -> str:
    return f"the log of {header.tenant_id or 'the platform'}"


def cannot_know(report: VerificationReport, header: Header) -> tuple[str, ...]:
    """What a check says nothing about, one sentence each."""
    found = [] if report.conclusive else [SELF_CONSISTENT]
    newest = max((*report.held, *(it.size for it in report.witnesses)), default=0)
    if report.conclusive and newest < report.size:
        found.append(
            f"The newest checkpoint from outside is of {newest} entries; for what {_named(header)} has after them this "
            "is self-consistent only."
        )
    if report.unsealed:
        entries = "1 entry" if report.unsealed == 1 else f"{report.unsealed} entries"
        found.append(f"Not in a signed checkpoint yet: {entries} at the end of {_named(header)}.")
    if header.scope.everything:
        return tuple(found)
    if header.scope.whole_chains:
        found.append(
            "A selection by account: within each chain nothing is missing between its first entry and the last one "
            "given; that the chain ends there, or that there are no other accounts, is the exporter's word."
        )
    else:
        found.append(
            "A selection: each entry given is in the log, unaltered; that none was left out is the exporter's word. "
            "Export the whole ledger to have that checked."
        )
    return tuple(found)
