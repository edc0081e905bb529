"""Evidence bundles for tests, made from entries alone, as an exporter makes them from a store."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enactor.conformance.builders import Builder
from enactor.domain.evidence import (
    FORMAT,
    CheckpointLine,
    ConsistencyLine,
    End,
    Header,
    PublishedKey,
    Scope,
    TileLine,
)
from enactor.domain.ledger import GENESIS, LedgerEntry, chained
from enactor.domain.log import leaf_of
from enactor.domain.merkle import (
    TILE_WIDTH,
    Growth,
    Place,
    consistency_places,
    hashes_from,
    inclusion_places,
)
from enactor.domain.note import Checkpoint, Signer, VerifierKey, signed_checkpoint
from enactor.domain.trust import Trusted
from enactor.service.evidence import line_of

LOG = "log.example/acme"
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEY = str(SIGNER.verifier(LOG))


def chains(*lengths: int, tenant_id: str = "acme") -> list[LedgerEntry]:
    """Chains of those lengths, interleaved as long as they last."""
    build = Builder()
    heads: dict[int, str] = {}
    entries: list[LedgerEntry] = []
    for number in range(1, max(lengths) + 1):
        for which, length in enumerate(lengths):
            if number <= length:
                record = build.entry(tenant_id=tenant_id, account_id=f"acc-{which + 1}", data={"number": number}).record
                head = heads.get(which, GENESIS)
                made = chained(record, seq=number, sequence=0, prev_hash=head, position=len(entries) + 1)
                heads[which] = made.hash
                entries.append(made)
    return entries


class Tree:
    """The tree over entries."""

    def __init__(self, entries: Sequence[LedgerEntry]) -> None:
        self.leaves = [leaf_of(entry.hash) for entry in entries]
        growth = Growth()
        growth.add(self.leaves)
        self.tiles: dict[Place, bytes] = growth.changed

    def root(self, size: int | None = None) -> bytes:
        """The head of the first so many."""
        growth = Growth()
        growth.add(self.leaves[:size])
        return growth.root()

    def note(self, size: int | None = None, signer: Signer = SIGNER, log: str = LOG) -> str:
        """A signed checkpoint of the first so many."""
        count = len(self.leaves) if size is None else size
        return str(signed_checkpoint(Checkpoint(log, count, self.root(size)), [signer]))


def bundle(
    entries: Sequence[LedgerEntry],
    *,
    tree_of: Sequence[LedgerEntry] | None = None,
    scope: Scope | None = None,
    wanted: Callable[[LedgerEntry], bool] = lambda _: True,
    checkpoints: Iterable[int] = (),
    since: Iterable[int] = (),
    signer: Signer = SIGNER,
) -> list[bytes]:
    """A bundle.

    Args:
        entries: what its lines have.
        tree_of: what its tree, tiles and checkpoint were made of, if not the same.
        scope: makes it a selection of the entries that `wanted` names.
        checkpoints: sizes of earlier checkpoints in it.
        since: sizes that it has consistency proofs from.
    """
    sealed = list(entries if tree_of is None else tree_of)
    tree = Tree(sealed)
    size = len(sealed)
    header = Header(
        format=FORMAT,
        tenant_id="acme",
        log=LOG,
        exported_at="2026-11-28T12:00:00.000Z",
        scope=scope or Scope(),
        size=size,
        root=tree.root().hex(),
        keys=(PublishedKey(key=str(signer.verifier(LOG)), valid_from="2026-01-01T00:00:00.000Z"),),
    )
    notes = [tree.note(count, signer) for count in (size, *sorted(checkpoints, reverse=True))]
    lines: list[msgspec.Struct] = [header, *(CheckpointLine(note=note, made_at="") for note in notes)]
    if scope is not None:
        for count in sorted({*checkpoints, *since}):
            path = hashes_from(consistency_places(count, size), tree.tiles)
            lines.append(ConsistencyLine(size=count, path=tuple(it.hex() for it in path)))
    count = 0
    for at, entry in enumerate(entries):
        if scope is None and at % TILE_WIDTH == 0 and at < size:
            index = at // TILE_WIDTH
            lines.append(TileLine(index=index, hashes=tree.tiles[0, index]))
        if wanted(entry):
            count += 1
            if scope is None:
                lines.append(line_of(entry))
            else:
                path = hashes_from(inclusion_places(min(at, size - 1), size), tree.tiles)
                lines.append(line_of(entry, at, tuple(it.hex() for it in path)))
    lines.append(End(entries=count))
    return [msgspec.json.encode(line) + b"\n" for line in lines]


def trusting(*keys: VerifierKey, held: Sequence[str] = (), witnesses: Sequence[VerifierKey] = ()) -> Trusted:
    """What an auditor brings along."""
    return Trusted(keys=tuple((lambda _, key=key: key) for key in keys), held=tuple(held), witnesses=tuple(witnesses))
