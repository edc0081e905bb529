"""An evidence bundle: part of a ledger as a file that anybody can check, with nothing else at hand.

It is JSON Lines. The first line is the header, the last one the end; between them stand checkpoints, consistency
proofs, and then the entries in the order of the log. docs/ledger.md describes each member.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct, field

from enactor.domain.ledger import ChainFault

FORMAT: Final = "enactor-ledger/v2"

ENTRY: Final = b'{"kind":"entry"'
"""How the line of an entry begins."""

ERASED: Final = Raw(b"null")
"""Stands where an entry's data was."""

SELF_CONSISTENT: Final = (
    "Self-consistent only: without a checkpoint held outside the operator's reach, a ledger rewritten as a whole, "
    "or cut off at its end, looks the same."
)


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries were asked for; without any member the tenant's whole ledger."""

    account_ids: tuple[str, ...] | None = None
    action_intent_id: str | None = None
    from_time: str | None = None
    to_time: str | None = None

    @property
    def everything(self) -> bool:
        """Whether it is the whole ledger, so that the tree itself can be made of its entries."""
        return self == Scope()

    @property
    def whole_chains(self) -> bool:
        """Whether it is whole chains, so that a gap in one is a fault."""
        return self == Scope(account_ids=self.account_ids)


class PublishedKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as the operator published it; see `enactor.domain.log.LogKey`."""

    key: str
    valid_from: str
    valid_until: str = ""


class Header(Struct, frozen=True, kw_only=True, tag_field="kind", tag="header", forbid_unknown_fields=True):
    """The first line.

    Attributes:
        log: the name of the log: the first line of its checkpoints.
        size: how many entries the log had; `root` is its head, in hexadecimal.
        keys: the operator's word on his own keys.
    """

    format: str
    tenant_id: str
    log: str
    exported_at: str
    scope: Scope
    size: int
    root: str
    keys: tuple[PublishedKey, ...] = ()


class CheckpointLine(Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint", forbid_unknown_fields=True):
    """A published checkpoint, the newest first. The first one is of the bundle's own size."""

    note: str
    made_at: str


class ConsistencyLine(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="consistency", forbid_unknown_fields=True
):
    """The proof that the log of the size `size` is the beginning of the bundle's. In selections alone."""

    size: int
    path: tuple[str, ...]


class TileLine(Struct, frozen=True, kw_only=True, tag_field="kind", tag="tile", forbid_unknown_fields=True):
    """The leaf hashes of the next 256 entries, or those that are left, as the log has them. In whole ledgers alone."""

    index: int
    hashes: bytes


class EntryLine(Struct, frozen=True, kw_only=True, tag_field="kind", tag="entry", forbid_unknown_fields=True):
    """An entry. Of a selection, with its place in the log and the proof of it.

    Attributes:
        entry: the very bytes that `hash` is the SHA-256 of: the RFC 8785 form of everything but data and salt.
        data: the very bytes that the entry's `data_commitment` commits to, after `salt`; null, and the salt empty, once
            they were erased.
    """

    entry: Raw
    hash: str
    data: Raw
    salt: str
    leaf_index: int | None = None
    path: tuple[str, ...] = ()


class Hashed(Struct, frozen=True):
    """What a check asks of the bytes in `EntryLine.entry`. The other members are covered by the hash like these."""

    tenant_id: str
    account_id: str
    seq: int
    prev_hash: str
    data_commitment: str
    event_type: str
    action_intent_id: str
    entry_id: str


class End(Struct, frozen=True, kw_only=True, tag_field="kind", tag="end", forbid_unknown_fields=True):
    """The last line: how many entries there are. Without it the file was cut off."""

    entries: int


Line = Header | CheckpointLine | ConsistencyLine | TileLine | EntryLine | End


class Cosigned(Struct, frozen=True, kw_only=True):
    """A witness's signature that was checked: whose, when (seconds since the epoch), on a log of which size."""

    witness: str
    size: int
    time: int


class VerificationReport(Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        faults: the first faulty entry of each chain and of the log.
        erased: entries whose data was erased; their commitment and place are checked, their content is not there.
        partial: only a selection of entries was given.
        size: how many entries the log has, and `root` its head.
        unsealed: entries that no signed checkpoint covers yet.
        signed_by: the keys, of those that the auditor gave, that signed the newest checkpoint; of those that the
            bundle names, if he gave none.
        held: sizes of the checkpoints that the auditor holds, and that this log continues.
        witnesses: cosignatures of the witnesses that the auditor trusts.
        cannot_know: what this check says nothing about, one sentence each.
    """

    entries: int
    chains: int
    faults: tuple[ChainFault, ...]
    erased: int
    partial: bool = False
    size: int = 0
    root: str = ""
    unsealed: int = 0
    signed_by: tuple[str, ...] = ()
    held: tuple[int, ...] = ()
    witnesses: tuple[Cosigned, ...] = ()
    cannot_know: tuple[str, ...] = field(default=(SELF_CONSISTENT,))

    @property
    def ok(self) -> bool:
        """Whether nothing was found to be altered, removed, inserted or reordered."""
        return not self.faults

    @property
    def conclusive(self) -> bool:
        """Whether it was held against something that lies outside the operator's reach."""
        return bool(self.held or self.witnesses)
