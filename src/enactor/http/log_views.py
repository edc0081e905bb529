"""The wire forms of checkpoints, proofs, keys and erasures. Hashes are in hexadecimal, as everywhere in the ledger."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from enactor.domain.log import LogCheckpoint, LogKey, leaf_of
from enactor.domain.note import parse_checkpoint, parse_note
from enactor.http.views import LedgerEntryView, ledger_entry_view
from enactor.service.erasure import MOST_INTENTS
from enactor.service.log import ConsistencyProof, InclusionProof


class LogKeyView(Struct, kw_only=True):
    """A verifier key (`name+id+base64`) and when it signed; `valid_until` is null while it does."""

    key: str
    valid_from: str
    valid_until: str | None


class LogKeyList(Struct, kw_only=True):
    """Every key that signs or has signed the tenant's checkpoints, the oldest first."""

    items: tuple[LogKeyView, ...]


def log_key_list(keys: tuple[LogKey, ...]) -> LogKeyList:
    """Keys as they are shown."""
    return LogKeyList(
        items=tuple(
            LogKeyView(key=key.key, valid_from=key.valid_from, valid_until=key.valid_until or None) for key in keys
        )
    )


class CheckpointView(Struct, kw_only=True):
    """A signed head of the tenant's log.

    `checkpoint` is the note (C2SP `tlog-checkpoint`), and the rest repeats what it says; `signed_by` names the keys
    of its signatures. `made_at` is not signed.
    """

    checkpoint: str
    origin: str
    size: int
    root_hash: str
    made_at: str
    signed_by: tuple[str, ...]


def checkpoint_view(checkpoint: LogCheckpoint) -> CheckpointView:
    """A checkpoint as it is shown."""
    note = parse_note(checkpoint.note)
    said = parse_checkpoint(note.text)
    return CheckpointView(
        checkpoint=checkpoint.note,
        origin=said.origin,
        size=said.size,
        root_hash=said.root.hex(),
        made_at=checkpoint.made_at,
        signed_by=tuple(f"{it.name}+{it.key_id.hex()}" for it in note.signatures),
    )


class InclusionProofView(Struct, kw_only=True):
    """That an entry is in the log (RFC 9162, section 2.1.3).

    The leaf's data is the 32 bytes of the entry's `hash`, `leaf_hash` is SHA-256 over a zero byte and them, and
    `inclusion_path` leads from it to the checkpoint's root.
    """

    entry_id: str
    leaf_index: int
    tree_size: int
    leaf_hash: str
    inclusion_path: tuple[str, ...]
    root_hash: str
    checkpoint: str
    entry: LedgerEntryView


def inclusion_proof_view(proof: InclusionProof) -> InclusionProofView:
    """A proof as it is shown."""
    return InclusionProofView(
        entry_id=proof.entry.entry_id,
        leaf_index=proof.leaf.leaf_index,
        tree_size=proof.checkpoint.size,
        leaf_hash=leaf_of(proof.entry.hash).hex(),
        inclusion_path=tuple(hashed.hex() for hashed in proof.path),
        root_hash=proof.checkpoint.root,
        checkpoint=proof.checkpoint.note,
        entry=ledger_entry_view(proof.entry),
    )


class ConsistencyProofView(Struct, kw_only=True):
    """That the log of `first_size` entries is the beginning of the log of `second_size` (RFC 9162, section 2.1.4)."""

    first_size: int
    second_size: int
    consistency_path: tuple[str, ...]


def consistency_proof_view(proof: ConsistencyProof) -> ConsistencyProofView:
    """A proof as it is shown."""
    return ConsistencyProofView(
        first_size=proof.first,
        second_size=proof.second,
        consistency_path=tuple(hashed.hex() for hashed in proof.path),
    )


class CosignatureBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published checkpoint with a witness's signature on it (C2SP `cosignature/v1`)."""

    checkpoint: Annotated[str, Meta(min_length=1, max_length=64 * 1024)]


class ErasureBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose data is erased: that of the intents named, and of every intent in which `subject` appears.

    `reference` is the number of the request; it stays in the ledger. A dry run only says what would be erased.
    """

    reference: Annotated[str, Meta(min_length=1, max_length=64)]
    action_intent_ids: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=MOST_INTENTS)
    ] = ()
    subject: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    dry_run: bool = False
