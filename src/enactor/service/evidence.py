"""Evidence: the ledger as a file that anybody can check, and the check itself (specification, section 10).

A bundle is JSON Lines: a header, the entries in the order of their position, and a footer with the head of every chain.
Checking needs nothing but the bundle, in constant memory per chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from enactor.domain.errors import InvalidInput
from enactor.domain.ledger import ChainFault, ChainVerifier, LedgerEntry
from enactor.ports.store import LedgerFilter, Store

FORMAT: Final = "enactor-ledger/v1"
_PAGE: Final = 1_000

CANNOT_KNOW: Final = (
    "Self-consistent only: without a checkpoint held outside the operator's reach, a ledger rewritten as a whole, "
    "or cut off at its end, looks the same."
)

Progress = Callable[[int], None]


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a bundle. `complete_chains`: it holds whole chains, not a selection of their entries."""

    format: str
    tenant_id: str
    exported_at: str
    complete_chains: bool


class Footer(Struct, frozen=True, kw_only=True):
    """The last line: how many entries there are, and each chain's head as [account_id, seq, hash]."""

    entries: int
    heads: list[tuple[str, int, str]]


class VerificationReport(Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        faults: the first faulty entry of each chain that is not what was written.
        erased: entries whose data was erased; their commitment and place are checked, their content is not there.
        partial: only a selection of entries was given, so gaps between them are not faults and are not checked.
        cannot_know: what this check says nothing about.
    """

    entries: int
    chains: int
    faults: tuple[ChainFault, ...]
    erased: int
    partial: bool = False
    cannot_know: str = CANNOT_KNOW

    @property
    def ok(self) -> bool:
        """Whether nothing was found to be altered, removed, inserted or reordered."""
        return not self.faults


async def export_lines(store: Store, tenant_id: str, where: LedgerFilter, now: str) -> AsyncIterator[bytes]:
    """The bundle of a tenant's entries, line by line, each with its line feed.

    Args:
        where: which entries; only a selection by account keeps chains complete.
        now: the time of export, RFC 3339.
    """
    complete = where == LedgerFilter(account_ids=where.account_ids)
    header = Header(format=FORMAT, tenant_id=tenant_id, exported_at=now, complete_chains=complete)
    yield msgspec.json.encode(header) + b"\n"
    heads: dict[str, tuple[str, int, str]] = {}
    count = 0
    token: str | None = None
    while True:
        page = await store.ledger(tenant_id, where, _PAGE, token)
        for entry in page.items:
            heads[entry.account_id] = (entry.account_id, entry.seq, entry.hash)
        count += len(page.items)
        if page.items:
            yield b"".join(msgspec.json.encode(entry) + b"\n" for entry in page.items)
        token = page.next_token
        if token is None:
            break
    yield msgspec.json.encode(Footer(entries=count, heads=sorted(heads.values()))) + b"\n"


def verify_bundle(lines: Iterable[bytes], progress: Progress = lambda _: None) -> VerificationReport:
    """Checks a bundle.

    Args:
        lines: the bundle's lines.
        progress: told how many entries were checked, now and then.

    Raises:
        InvalidInput: it is not a bundle, or it was cut off: its footer is missing.
    """
    source = iter(lines)
    header = _decode(next(source, b""), Header)
    if header.format != FORMAT:
        raise InvalidInput(f"This is not an evidence bundle of the format {FORMAT}.")
    verifier = ChainVerifier(complete=header.complete_chains)
    footer: Footer | None = None
    for number, line in enumerate(source):
        if footer is not None:
            raise InvalidInput("There are lines after the bundle's footer.")
        if b'"heads"' in line[:200] and b'"entry_id"' not in line[:400]:
            footer = _decode(line, Footer)
            continue
        verifier.feed(_decode(line, LedgerEntry))
        if number % 10_000 == 0:
            progress(verifier.entries)
    if footer is None:
        raise InvalidInput("The bundle is cut off: its last line, the footer, is missing.")
    progress(verifier.entries)
    return _report(verifier, _footer_faults(header, footer, verifier), partial=not header.complete_chains)


async def verify_store(store: Store, progress: Progress = lambda _: None) -> VerificationReport:
    """Checks every chain of every tenant in a store, in the order of positions."""
    verifier = ChainVerifier()
    position = 0
    while page := await store.entries_after(position, _PAGE):
        verifier.feed_all(page)
        position = page[-1].position
        progress(verifier.entries)
    return _report(verifier, ())


def _report(verifier: ChainVerifier, more: tuple[ChainFault, ...], *, partial: bool = False) -> VerificationReport:
    return VerificationReport(
        entries=verifier.entries,
        chains=len({*verifier.heads, *((fault.tenant_id, fault.account_id) for fault in verifier.faults)}),
        faults=(*verifier.faults, *more),
        erased=verifier.erased,
        partial=partial,
    )


def _footer_faults(header: Header, footer: Footer, verifier: ChainVerifier) -> tuple[ChainFault, ...]:
    broken = {fault.account_id for fault in verifier.faults}
    faults = []
    for account_id, seq, head in footer.heads:
        if account_id in broken:
            continue
        found_seq, found_hash = verifier.heads.get((header.tenant_id, account_id), (0, ""))
        if (found_seq, found_hash) != (seq, head):
            faults.append(
                ChainFault(
                    tenant_id=header.tenant_id,
                    account_id=account_id,
                    seq=found_seq + 1,
                    entry_id="",
                    fault=f"the chain ends at entry {found_seq}, and the footer says {seq}: removed",
                )
            )
    if not faults and not broken and footer.entries != verifier.entries:
        counted = f"the footer counts {footer.entries} entries, and there are {verifier.entries}"
        faults.append(ChainFault(tenant_id=header.tenant_id, account_id="", seq=0, entry_id="", fault=counted))
    return tuple(faults)


def _decode(line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(f"A line of the bundle is not a {kind.__name__}: {error}") from error
