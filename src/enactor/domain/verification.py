"""Checking an evidence bundle: chains, tree, proofs and signatures, line by line, in memory that does not grow with it.

Every entry is held against its own hash, its commitment and the entry before it. Of a whole ledger the tree is made
anew, and its head held against every checkpoint of a size on the way; of a selection each entry's proof is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from enactor.domain.errors import InvalidInput
from enactor.domain.evidence import (
    ENTRY,
    ERASED,
    FORMAT,
    CheckpointLine,
    ConsistencyLine,
    End,
    EntryLine,
    Hashed,
    Header,
    Line,
    TileLine,
    VerificationReport,
)
from enactor.domain.ledger import GENESIS, ChainFault, LedgerEvent
from enactor.domain.merkle import HASH_BYTES, includes, is_consistent, leaf_hash
from enactor.domain.note import Checkpoint
from enactor.domain.tree_check import TreeCheck, bytes_of
from enactor.domain.trust import NOTHING, Seen, Trusted, cannot_know, cosigned, seen, signers_of

Progress = Callable[[int], None]

_TOLD_EVERY: Final = 16_384
_START: Final = (0, GENESIS)
_SALT_DIGITS: Final = 32
_ERASED: Final = LedgerEvent.PERSONAL_DATA_ERASED.value
_decode_entry: Final = msgspec.json.Decoder(EntryLine).decode
_decode_hashed: Final = msgspec.json.Decoder(Hashed).decode
_decode: Final = msgspec.json.Decoder(Line).decode
_sha256 = hashlib.sha256


def commitment_of(line: EntryLine) -> str:
    """See `ledger.commitment`. What is no salt fits nothing."""
    return _sha256(bytes_of(line.salt) + line.data).hexdigest()


class BundleVerifier:
    """Checks a bundle as its lines come by.

    After a chain's first fault the rest of that chain is not looked at, because everything after it is in question.

    Args:
        trusted: what the auditor brings along.

    Raises:
        InvalidInput: a checkpoint that he holds is none.
    """

    def __init__(self, trusted: Trusted = NOTHING) -> None:
        self.entries = 0
        self.faults: list[ChainFault] = []
        self._trusted = trusted
        self._held: list[Seen] = [seen(note) for note in trusted.held]
        self._notes: list[Seen] = []
        self._proofs: dict[int, tuple[bytes, ...]] = {}
        self._tree = TreeCheck(0, self.report)
        self._header: Header | None = None
        self._tenant_id = ""
        self._end: End | None = None
        self._lines = 0
        self._heads: dict[str, tuple[int, str]] = {}
        self._broken: set[str] = set()
        self._erased = 0
        self._unexplained: dict[str, Hashed] = {}
        self._last_index = -1

    def feed(self, line: bytes) -> None:
        """Checks one line. Raises `InvalidInput` when it cannot be read, or cannot stand where it does."""
        self._lines += 1
        if self._header is None:
            self._begin(line)
            return
        if self._end is not None:
            raise InvalidInput("There are lines after the bundle's end.")
        try:
            if line.startswith(ENTRY):
                self._entry(_decode_entry(line))
            else:
                self._other(_decode(line), self._header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"Line {self._lines} of the bundle cannot be read: {error}") from None

    def _begin(self, line: bytes) -> None:
        try:
            header = msgspec.json.decode(line, type=Header)
            root = bytes.fromhex(header.root)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            raise InvalidInput(f"This is not an evidence bundle of the format {FORMAT}.") from None
        if header.format != FORMAT or len(root) != HASH_BYTES or header.size < 0:
            raise InvalidInput(f"This is not an evidence bundle of the format {FORMAT}.")
        self._header, self._tenant_id = header, header.tenant_id
        self._tree.size = header.size if header.scope.everything else 0
        self._tree.want(header.size, root)
        for _, checkpoint in self._held:
            self._hold(checkpoint, header)

    def _hold(self, checkpoint: Checkpoint, header: Header) -> None:
        """A checkpoint that the auditor holds has to be of this log, and no larger than it."""
        if checkpoint.origin != header.log:
            raise InvalidInput(f"The checkpoint you hold is of the log {checkpoint.origin}; this one is {header.log}.")
        if checkpoint.size > header.size:
            self.report(
                f"the checkpoint you hold is of {checkpoint.size} entries, and this log ends after {header.size}: "
                "removed at the end",
                None,
            )
        self._tree.want(checkpoint.size, checkpoint.root)

    def _other(self, read: Line, header: Header) -> None:
        if isinstance(read, TileLine):
            self._tree.tile(read.hashes)
        elif isinstance(read, CheckpointLine):
            note, checkpoint = seen(read.note)
            self._notes.append((note, checkpoint))
            self._tree.want(checkpoint.size, checkpoint.root)
        elif isinstance(read, ConsistencyLine):
            self._proofs[read.size] = tuple(map(bytes_of, read.path))
        elif isinstance(read, End):
            self._end = read
        elif isinstance(read, EntryLine):
            self._entry(read)
        else:
            raise InvalidInput("The bundle has a second header.")

    # -- entries -------------------------------------------------------------------------------------------------

    def _entry(self, line: EntryLine) -> None:
        self.entries += 1
        entry = _decode_hashed(line.entry)
        own_hash = _sha256(line.entry).digest()
        fits = line.hash == own_hash.hex()
        account_id = entry.account_id
        seq, head = self._heads.get(account_id, _START)
        # The usual entry, in as few steps as possible. What is not usual is looked at closely.
        if (
            entry.seq == seq + 1
            and entry.prev_hash == head
            and len(line.salt) == _SALT_DIGITS
            and entry.tenant_id == self._tenant_id
            and entry.event_type != _ERASED
            and fits
            and entry.data_commitment == commitment_of(line)
            and account_id not in self._broken
        ):
            self._heads[account_id] = (entry.seq, line.hash)
        elif account_id not in self._broken:
            self._look(line, entry, seq, head, fits=fits)
        if self.entries <= self._tree.size:
            self._tree.leaf(self.entries, own_hash if fits else bytes_of(line.hash), entry)
        elif self._header is not None and not self._header.scope.everything:
            self._prove(line, entry, self._header)

    def _look(self, line: EntryLine, entry: Hashed, seq: int, head: str, *, fits: bool) -> None:
        fault = self._fault_of(line, entry, seq, head, fits=fits)
        if fault is not None:
            self._broken.add(entry.account_id)
            self.report(fault, entry, seq + 1)
            return
        self._heads[entry.account_id] = (entry.seq, line.hash)
        if line.data == ERASED:
            self._erased += 1
            self._unexplained.setdefault(entry.action_intent_id, entry)
        elif entry.event_type == _ERASED:
            self._unexplained.pop(entry.action_intent_id, None)

    def _fault_of(self, line: EntryLine, entry: Hashed, seq: int, head: str, *, fits: bool) -> str | None:
        if entry.tenant_id != self._tenant_id:
            return f"it is of the tenant {entry.tenant_id!r}: inserted or altered"
        gap = entry.seq > seq + 1
        if gap and self._header is not None and self._header.scope.whole_chains:
            return f"entry {seq + 1} is missing: entry {entry.seq} follows {seq}"
        if entry.seq <= seq:
            return f"entry {entry.seq} stands after entry {seq}: inserted, repeated or reordered"
        if not fits:
            return "its own hash does not fit its content: altered"
        if entry.prev_hash != head and not gap:
            return "it does not follow the entry before it: that one was altered, replaced or removed"
        if not line.salt and line.data == ERASED:
            return None if entry.action_intent_id else "its data is gone, and only an intent's can be erased: removed"
        if commitment_of(line) != entry.data_commitment:
            return "its data does not fit the commitment: altered"
        return None

    def _prove(self, line: EntryLine, entry: Hashed, header: Header) -> None:
        """An entry of a selection has to bring the proof of its place."""
        index = line.leaf_index if line.leaf_index is not None else -1
        leaf = leaf_hash(bytes_of(line.hash))
        if not includes(bytes.fromhex(header.root), header.size, index, leaf, list(map(bytes_of, line.path))):
            self.report("its proof does not show that it is in the log: altered or inserted", entry)
        elif index <= self._last_index:
            fault = f"place {index} of the log stands after place {self._last_index}: repeated or reordered"
            self.report(fault, entry)
        self._last_index = max(self._last_index, index)

    def report(self, fault: str, entry: Hashed | None, expected: int | None = None) -> None:
        """Notes a fault. `expected` is the number that an entry should have there, where that is not its own."""
        self.faults.append(
            ChainFault(
                tenant_id=self._tenant_id,
                account_id=entry.account_id if entry is not None else "",
                seq=expected or (entry.seq if entry is not None else 0),
                entry_id=entry.entry_id if entry is not None else "",
                fault=fault,
            )
        )

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self) -> VerificationReport:
        """What was found. Raises `InvalidInput` when the bundle was cut off, or is none."""
        header, end = self._header, self._end
        if header is None:
            raise InvalidInput(f"This is not an evidence bundle of the format {FORMAT}.")
        if end is None:
            raise InvalidInput(
                f"The bundle is cut off after {self.entries} entries: its last line, the end, is missing."
            )
        whole = header.scope.everything
        if end.entries != self.entries:
            self.report(f"the bundle says that it has {end.entries} entries, and has {self.entries}", None)
        if whole and self.entries < header.size:
            self._tree.end(self.entries)
            self.report(f"the log goes on after place {self.entries - 1}, to {header.size - 1}: removed", None)
        if not whole:
            self._consistent(header)
        self._explain_erasures(header)
        signed_by, sealed, faults = signers_of(header, self._notes, self._held, self._trusted)
        for fault in faults:
            self.report(fault, None)
        good = not self.faults
        report = VerificationReport(
            entries=self.entries,
            chains=len(self._heads.keys() | self._broken),
            faults=tuple(self.faults),
            erased=self._erased,
            partial=not whole,
            size=header.size,
            root=header.root,
            unsealed=max(0, (self.entries if whole else header.size) - sealed),
            signed_by=signed_by,
            held=tuple(sorted({it.size for _, it in self._held})) if good else (),
            witnesses=cosigned([*self._notes, *self._held], self._trusted.witnesses) if good else (),
        )
        return msgspec.structs.replace(report, cannot_know=cannot_know(report, header))

    def _consistent(self, header: Header) -> None:
        """The head that the proofs lead to has to continue every checkpoint there is."""
        for _, checkpoint in (*self._notes, *self._held):
            if checkpoint.size > header.size or checkpoint.origin != header.log:
                continue
            path = self._proofs.get(checkpoint.size, ())
            if not is_consistent(checkpoint.size, checkpoint.root, header.size, bytes.fromhex(header.root), path):
                missing = "" if path or checkpoint.size == header.size else "; the bundle has no proof of it"
                self.report(
                    f"the log is not shown to continue the checkpoint of {checkpoint.size} entries{missing}", None
                )

    def _explain_erasures(self, header: Header) -> None:
        """Data may only be gone where the ledger says that it was erased."""
        if not header.scope.whole_chains and header.scope.action_intent_id is None:
            return
        for entry in self._unexplained.values():
            self.report("its data is gone, and nothing later says that it was erased: removed", entry)


def verify_bundle(
    lines: Iterable[bytes], trusted: Trusted = NOTHING, progress: Progress = lambda _: None
) -> VerificationReport:
    """Checks a bundle.

    Args:
        lines: the bundle's lines.
        trusted: what the auditor brings along.
        progress: told how many entries were checked, now and then.

    Raises:
        InvalidInput: it is not a bundle, or it was cut off: its end is missing.
    """
    verifier = BundleVerifier(trusted)
    feed = verifier.feed
    for number, line in enumerate(lines):
        feed(line)
        if not number % _TOLD_EVERY:
            progress(verifier.entries)
    report = verifier.finish()
    progress(report.entries)
    return report
