"""Making a log's tree anew from its entries, and holding it against what was signed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from enactor.domain.evidence import Hashed
from enactor.domain.merkle import TILE_WIDTH, Growth, rows

Report = Callable[[str, Hashed | None], None]
"""Told of a fault, and of the entry that it is about where that is known."""

_sha256 = hashlib.sha256


class TreeCheck:
    """The tree of a whole ledger, in memory that does not grow with it.

    After the first fault nothing more is compared, because everything after it is in question.

    Args:
        size: how many entries the log has; what comes after them is not in it.
        report: told of the fault.
    """

    def __init__(self, size: int, report: Report) -> None:
        self.size = size
        self.broken = False
        self._report = report
        self._roots: dict[int, list[bytes]] = {}
        self._matched = 0
        self._growth = Growth()
        # The leaves that are not in the tree yet, and the entries of the tile that is under way.
        self._leaves: list[bytes] = []
        self._behind: list[Hashed] = []
        self._said: bytes | None = None

    def want(self, size: int, root: bytes) -> None:
        """The tree of the first `size` entries has to have that head."""
        self._roots.setdefault(size, []).append(root)

    def tile(self, hashes: bytes) -> None:
        """The leaf hashes that the log has for the entries to come, up to the end of their tile."""
        self._said = hashes

    def leaf(self, count: int, own_hash: bytes, entry: Hashed) -> None:
        """The entry that is the log's `count`-th, from 1, and its own hash."""
        if self.broken:
            return
        self._leaves.append(_sha256(b"\x00" + own_hash).digest())
        self._behind.append(entry)
        if not count % TILE_WIDTH or count == self.size:
            self._compare(count)
            self._grow()
        elif count in self._roots:
            self._grow()

    def end(self, count: int) -> None:
        """There are only `count` entries, though the log has more: what is missing may lie before the end."""
        if not self.broken and count % TILE_WIDTH:
            self._compare(count)

    def _compare(self, count: int) -> None:
        """Holds the leaves against the log's own, which show the very entry where the two part."""
        said, self._said = self._said, None
        begin = (count - 1) // TILE_WIDTH * TILE_WIDTH
        # What is in the tree already, because of a checkpoint within this tile, is at its edge.
        made = [*rows(self._growth.edge().get((0, begin // TILE_WIDTH), b"")), *self._leaves]
        own = rows(said) if said is not None else made
        at = next((at for at, leaf in enumerate(made) if at >= len(own) or leaf != own[at]), None)
        if at is not None:
            place = f"it is not what the log has at place {begin + at}"
            self._break(f"{place}: altered, inserted, removed or reordered", self._behind[at])
        self._behind.clear()

    def _grow(self) -> None:
        if self.broken:
            return
        self._growth.add(self._leaves)
        self._growth.changed.clear()
        self._leaves.clear()
        size = self._growth.size
        wanted = self._roots.get(size)
        if wanted is None:
            return
        root = self._growth.root()
        if all(root == it for it in wanted):
            self._matched = size
            return
        self._break(
            f"the first {size} entries are not those that a checkpoint was made of: something from place "
            f"{self._matched} to {size - 1} was altered, inserted, removed or reordered",
            None,
        )

    def _break(self, fault: str, entry: Hashed | None) -> None:
        self.broken = True
        self._report(fault, entry)


def bytes_of(text: str) -> bytes:
    """The bytes of a hexadecimal text, or none where it is no such: it was altered, and nothing will fit it."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
