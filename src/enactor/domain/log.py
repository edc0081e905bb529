"""A tenant's log: all entries of its chains in one Merkle tree, whose head is signed now and then.

The order of the log is the order of the entries' positions, and so within each chain that of `seq`. A leaf's data is
the entry's own hash, as 32 bytes; that hash covers everything of the entry but what may be erased, and the entry's
place in its chain. The platform's own chain has a log too, under the tenant id "".
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from enactor.domain.merkle import EMPTY_ROOT, leaf_hash

ALARM_SECONDS: Final = 60
"""An entry that is in no log for so long raises an alarm (specification, section 10)."""


class LogHead(Struct, frozen=True, kw_only=True):
    """Where a tenant's log ends.

    Attributes:
        size: how many entries are in it.
        root: the head of the tree, in hexadecimal.
        position: the position of its last entry; everything of the tenant up to it is in the log.
    """

    tenant_id: str
    size: int = 0
    root: str = EMPTY_ROOT.hex()
    position: int = 0


class LogTile(Struct, frozen=True, kw_only=True):
    """A tile of the tree; see `enactor.domain.merkle`. `hashes` is 32 bytes for each hash."""

    level: int
    index: int
    hashes: bytes


class LogLeaf(Struct, frozen=True, kw_only=True):
    """Where an entry is in its tenant's log; leaves count from 0."""

    entry_id: str
    leaf_index: int
    position: int


class LogRow(Struct, frozen=True):
    """What the log needs to know of an entry."""

    position: int
    tenant_id: str
    entry_id: str
    hash: str
    timestamp: str


class LogCheckpoint(Struct, frozen=True, kw_only=True):
    """A signed head (C2SP `tlog-checkpoint`).

    Attributes:
        size: of the log when it was signed.
        root: in hexadecimal.
        position: of the last entry it covers.
        note: the signed note, cosignatures of witnesses included.
        made_at: RFC 3339; not signed.
    """

    tenant_id: str
    size: int
    root: str
    position: int
    note: str
    made_at: str


class LogKey(Struct, frozen=True, kw_only=True):
    """A public key that signs, or has signed, a tenant's checkpoints. It stays published for as long as the log is.

    Attributes:
        key: as the signed-note format writes verifier keys: `name+key id+base64`.
        valid_from: when it was taken into use, RFC 3339.
        valid_until: when it was taken out of use; empty while it signs.
    """

    tenant_id: str
    key: str
    valid_from: str
    valid_until: str = ""


def leaf_of(entry_hash: str) -> bytes:
    """The leaf hash of an entry, from the entry's own hash in hexadecimal."""
    return leaf_hash(bytes.fromhex(entry_hash))
