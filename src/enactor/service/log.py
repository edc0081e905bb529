"""A tenant's log for those who ask: signed checkpoints, proofs, cosignatures, keys (specification, section 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from enactor.domain.errors import ConfigurationError, InvalidInput, NotFound, Unavailable
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.domain.log import LogCheckpoint, LogHead, LogKey, LogLeaf
from enactor.domain.merkle import EMPTY_ROOT, Place, consistency_places, hashes_from, inclusion_places, tiles_for
from enactor.domain.note import (
    Checkpoint,
    Note,
    Signature,
    Signer,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    signed_checkpoint,
)
from enactor.domain.principal import Permission, Principal
from enactor.ports.commands import (
    AppendLedger,
    Command,
    ConflictKind,
    CosignCheckpoint,
    KeepCheckpoint,
    PutLogKey,
)
from enactor.service.core import Core, racing
from enactor.service.evidence import Tip
from enactor.service.sequencer import Sequencer

DEFAULT_ORIGIN: Final = "enactor.local"
_PLATFORM: Final = "_system"
_OF_CHECKPOINTS: Final = frozenset({LedgerEvent.CHECKPOINT_PUBLISHED, LedgerEvent.CHECKPOINT_COSIGNED})
_LOOKED_AT: Final = 32


class LogOptions(Struct, frozen=True, kw_only=True):
    """How logs are named and signed.

    Attributes:
        origin: what every log's name begins with; the tenant follows.
        signers: reads the keys that sign, when they are needed; the newest is the first. It raises
            `ConfigurationError`. None where there is no key.
        witnesses: whose cosignatures are accepted.
    """

    origin: str = DEFAULT_ORIGIN
    signers: Callable[[], Sequence[Signer]] | None = None
    witnesses: tuple[VerifierKey, ...] = ()

    def name(self, tenant_id: str) -> str:
        """The name of a tenant's log: the first line of its checkpoints, and the name of its keys."""
        return f"{self.origin}/{tenant_id or _PLATFORM}"


class InclusionProof(Struct, frozen=True, kw_only=True):
    """That an entry is in the log that a checkpoint signs."""

    entry: LedgerEntry
    leaf: LogLeaf
    checkpoint: LogCheckpoint
    path: tuple[bytes, ...]


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """That the log of the first size is the beginning of the log of the second size."""

    first: int
    second: int
    path: tuple[bytes, ...]


class TenantLog:
    """The use cases of the logs.

    Args:
        core: the ports.
        options: how logs are named and signed.
    """

    def __init__(self, core: Core, options: LogOptions) -> None:
        self._core = core
        self.options = options
        self.sequencer = Sequencer(core.store, core.clock)

    # -- for people and programs ---------------------------------------------------------------------------------

    async def newest(self, by: Principal) -> LogCheckpoint:
        """The newest checkpoint; the first one is made when somebody asks for it. Raises `NotFound`, `Unavailable`."""
        by.require(Permission.LEDGER)
        found = await self._core.store.log_checkpoint(by.tenant_id)
        return found if found is not None else await self.checkpoint(by.tenant_id)

    async def make(self, by: Principal) -> LogCheckpoint:
        """A checkpoint of everything that was committed before the call. Raises `NotFound`, `Unavailable`."""
        by.require(Permission.LEDGER)
        return await self.checkpoint(by.tenant_id)

    async def keys(self, by: Principal) -> tuple[LogKey, ...]:
        """Every key that signs or has signed the tenant's checkpoints."""
        by.require(Permission.LEDGER)
        return await self._core.store.log_keys(by.tenant_id)

    async def proof(self, by: Principal, entry_id: str) -> InclusionProof:
        """The proof that an entry is in the log, with a checkpoint that covers it.

        Raises:
            NotFound: there is no such entry for this principal.
        """
        by.require(Permission.LEDGER)
        store, tenant_id = self._core.store, by.tenant_id
        leaf = (await store.log_leaves(tenant_id, [entry_id])).get(entry_id)
        if leaf is None:
            await self.sequencer.merge()
            leaf = (await store.log_leaves(tenant_id, [entry_id])).get(entry_id)
        found = await store.entries_after(leaf.position - 1, 1) if leaf is not None else ()
        entry = found[0] if found else None
        if leaf is None or entry is None or entry.tenant_id != tenant_id or entry.entry_id != entry_id:
            raise NotFound("There is no such entry in the ledger.")
        if not by.reaches(entry.account_id):
            raise NotFound("There is no such entry in the ledger.")
        checkpoint = await store.log_checkpoint(tenant_id)
        if checkpoint is None or checkpoint.size <= leaf.leaf_index:
            checkpoint = await self.checkpoint(tenant_id, cover=leaf.leaf_index + 1)
        path = await self.hashes(tenant_id, inclusion_places(leaf.leaf_index, checkpoint.size))
        return InclusionProof(entry=entry, leaf=leaf, checkpoint=checkpoint, path=tuple(path))

    async def consistency(self, by: Principal, first: int, second: int | None = None) -> ConsistencyProof:
        """The proof between two sizes of the log; the second is the newest checkpoint's when absent.

        Raises:
            InvalidInput: the first is larger than the second, or the log is not that large.
        """
        by.require(Permission.LEDGER)
        end = second if second is not None else (await self.newest(by)).size
        head = await self._core.store.log_head(by.tenant_id)
        size = head.size if head is not None else 0
        if not 0 <= first <= end <= size:
            raise InvalidInput(f"'from' is at most 'to', and 'to' at most the log's size, which is {size}.")
        path = await self.hashes(by.tenant_id, consistency_places(first, end))
        return ConsistencyProof(first=first, second=end, path=tuple(path))

    async def cosign(self, by: Principal, text: str) -> LogCheckpoint:
        """Adds a witness's signatures to the stored checkpoint that the note is of.

        Raises:
            InvalidInput: it is no checkpoint of this log, or no witness that the settings name has signed it.
            NotFound: no checkpoint of that size was published.
        """
        by.require(Permission.LEDGER)
        note = parse_note(text)
        said = parse_checkpoint(note.text)
        name = self.options.name(by.tenant_id)
        if said.origin != name:
            raise InvalidInput(f"This is a checkpoint of another log; this one is {name}.")
        good = self._of_witnesses(note)
        if not good:
            raise InvalidInput("No witness that the settings name has signed it; see ledger.witnesses.")

        async def attempt() -> LogCheckpoint:
            store = self._core.store
            stored = await store.log_checkpoint(by.tenant_id, said.size)
            if stored is None:
                raise NotFound(f"No checkpoint of size {said.size} was published.")
            before = parse_note(stored.note)
            if before.text != note.text:
                raise InvalidInput("The note is not the checkpoint that was published: the roots differ.")
            after = before.signed_also(signature for key in good for signature in _good(note, key))
            if after == before:
                return stored
            made = LogCheckpoint(
                tenant_id=stored.tenant_id,
                size=stored.size,
                root=stored.root,
                position=stored.position,
                note=str(after),
                made_at=stored.made_at,
            )
            data = {"size": made.size, "checkpoint": made.note, "witnesses": sorted(key.name for key in good)}
            entry = self._core.chain_entry(by.tenant_id, LedgerEvent.CHECKPOINT_COSIGNED, by.name, data)
            await store.commit([CosignCheckpoint(checkpoint=made, expected_note=stored.note), entry])
            return made

        return await racing(attempt, {ConflictKind.VERSION_CHANGED})

    def _of_witnesses(self, note: Note) -> list[VerifierKey]:
        return [key for key in self.options.witnesses if key.has_signed(note) is not None]

    async def tip(self, by: Principal) -> Tip:
        """What an export covers: everything that was committed before the call. Raises `Unavailable`."""
        by.require(Permission.LEDGER)
        name = self.options.name(by.tenant_id)
        try:
            return Tip.of_checkpoint(await self.checkpoint(by.tenant_id), name)
        except NotFound:
            return Tip(log=name, size=0, root=EMPTY_ROOT.hex(), position=0)

    # -- for the keeper and for exports --------------------------------------------------------------------------

    async def hashes(self, tenant_id: str, parts: Sequence[Sequence[Place]]) -> list[bytes]:
        """The hashes of a proof, out of as many tiles as the tree has levels, or twice that."""
        return hashes_from(parts, await self._core.store.log_tiles(tenant_id, tiles_for(parts)))

    async def checkpoint(self, tenant_id: str, cover: int = 0) -> LogCheckpoint:
        """A checkpoint of everything that was committed before the call, signed, stored and published.

        A checkpoint is itself in the ledger. What was written since the last one is worth another only if it is more
        than that: else two checkpoints would go on calling for each other.

        Args:
            cover: the size that it has to have, whatever was written since the last one.

        Raises:
            NotFound: nothing is in the ledger yet.
            Unavailable: no key is there to sign with.
        """
        await self.sequencer.merge()

        async def attempt() -> LogCheckpoint:
            store = self._core.store
            head = await store.log_head(tenant_id)
            if head is None:
                raise NotFound("Nothing is in the ledger yet, and so there is no checkpoint of it.")
            last = await store.log_checkpoint(tenant_id)
            if last is not None and last.size >= max(cover, 1) and not await self._has_news(last, head):
                return last
            return await self._publish(head)

        return await racing(attempt, {ConflictKind.LOG_CHANGED})

    async def _has_news(self, last: LogCheckpoint, head: LogHead) -> bool:
        if head.size == last.size:
            return False
        since = await self._core.store.entries_after(last.position, _LOOKED_AT, last.tenant_id)
        return len(since) == _LOOKED_AT or any(entry.event_type not in _OF_CHECKPOINTS for entry in since)

    async def _publish(self, head: LogHead) -> LogCheckpoint:
        if self.options.signers is None:
            raise Unavailable("No key is there to sign the ledger's head with: set ledger.signing_keys.")
        try:
            signers = self.options.signers()
        except ConfigurationError as error:
            raise Unavailable(error.message) from None
        name = self.options.name(head.tenant_id)
        note = signed_checkpoint(Checkpoint(name, head.size, bytes.fromhex(head.root)), signers)
        made = LogCheckpoint(
            tenant_id=head.tenant_id,
            size=head.size,
            root=head.root,
            position=head.position,
            note=str(note),
            made_at=self._core.now(),
        )
        commands: list[Command] = [KeepCheckpoint(checkpoint=made)]
        commands += await self._key_changes(head.tenant_id, [str(signer.verifier(name)) for signer in signers])
        data = {"size": head.size, "root": head.root, "checkpoint": made.note}
        commands.append(self._entry(head.tenant_id, LedgerEvent.CHECKPOINT_PUBLISHED, data))
        await self._core.store.commit(commands)
        return made

    async def _key_changes(self, tenant_id: str, signing: list[str]) -> list[Command]:
        """Publishes keys that sign for the first time, and ends the validity of those that do not sign any more."""
        now = self._core.now()
        known = {key.key: key for key in await self._core.store.log_keys(tenant_id)}
        in_use = {key.key for key in known.values() if not key.valid_until}
        begun = [key for key in signing if key not in in_use]
        ended = sorted(in_use - set(signing))
        if not begun and not ended:
            return []
        changes: list[Command] = [
            PutLogKey(
                key=LogKey(tenant_id=tenant_id, key=key, valid_from=known[key].valid_from if key in known else now)
            )
            for key in begun
        ]
        changes += [
            PutLogKey(key=LogKey(tenant_id=tenant_id, key=key, valid_from=known[key].valid_from, valid_until=now))
            for key in ended
        ]
        changes.append(self._entry(tenant_id, LedgerEvent.LEDGER_KEYS_CHANGED, {"begun": begun, "ended": ended}))
        return changes

    def _entry(self, tenant_id: str, event: LedgerEvent, data: dict[str, object]) -> AppendLedger:
        return self._core.chain_entry(tenant_id, event, "enactor", data)


def _good(note: Note, key: VerifierKey) -> list[Signature]:
    """The signatures of a key in a note that are good."""
    return [it for it in note.signatures if key.has_signed(Note(note.text, (it,))) is not None]
