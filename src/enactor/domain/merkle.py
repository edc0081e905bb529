"""Merkle trees over a log, as RFC 9162, section 2.1, defines them: heads, inclusion proofs, consistency proofs.

A tree is kept in tiles (as the C2SP `tlog-tiles` format cuts them): a tile of level L has up to 256 hashes, each the
root of a perfect subtree of 256^L leaves. Whatever a proof needs lies in a few tiles, and a tile that is full never
changes again. Everything here is a plain function of hashes; reading and keeping tiles is the caller's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The head of a tree without leaves."""

Place = tuple[int, int]
"""Of a perfect subtree: its level and its number there, so that it covers the leaves from number << level on. Of a
tile: the tile's level and its number there."""

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: SHA-256 over a zero byte and the leaf's data."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node: SHA-256 over a one byte and the hashes of its two halves."""
    return _sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root of a perfect subtree; `hashes` are as many as a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [_sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def fold(roots: Sequence[bytes]) -> bytes:
    """The head of a tree from the roots of the perfect subtrees that it falls into, the largest first."""
    if not roots:
        return EMPTY_ROOT
    head = roots[-1]
    for root in reversed(roots[:-1]):
        head = node_hash(root, head)
    return head


def subtrees(begin: int, end: int) -> list[Place]:
    """The perfect subtrees that the leaves from `begin` to before `end` fall into, from left to right.

    `begin` is 0, or a multiple of a power of two that is not smaller than their number.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def inclusion_places(index: int, size: int) -> list[list[Place]]:
    """What an inclusion proof consists of, from the leaf upwards: of each hash, the subtrees that fold into it.

    Raises:
        ValueError: there is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    path: list[list[Place]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if index < middle:
            path.append(subtrees(middle, end))
            end = middle
        else:
            path.append(subtrees(begin, middle))
            begin = middle
    return path[::-1]


def consistency_places(first: int, second: int) -> list[list[Place]]:
    """What a consistency proof consists of, in the order of RFC 9162; see `inclusion_places`.

    Raises:
        ValueError: `first` is larger than `second`, or negative.
    """
    if not 0 <= first <= second:
        raise ValueError("a tree is consistent with larger ones only")
    if first in (0, second):
        return []
    proof: list[list[Place]] = []
    begin, end, whole = 0, second, True
    while first != end:
        middle = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if first <= middle:
            proof.append(subtrees(middle, end))
            end = middle
        else:
            proof.append(subtrees(begin, middle))
            begin, whole = middle, False
    if not whole:
        proof.append(subtrees(begin, end))
    return proof[::-1]


def includes(root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Whether an inclusion proof shows that the tree has the leaf hash at that index (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    number, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node_hash(sibling, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows that the second tree begins as the first one (RFC 9162, section 2.1.4.2).

    The empty tree is consistent with every other one, and a tree with itself; both without a proof.
    """
    if not 0 <= first <= second:
        return False
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if first == second:
        return not proof and first_root == second_root
    rest = list(proof) if first & (first - 1) else [first_root, *proof]
    if not rest:
        return False
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = rest[0]
    for hashed in rest[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(hashed, old), node_hash(hashed, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, hashed)
        number, last = number >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


# -- tiles -----------------------------------------------------------------------------------------------------------


def tile_of(place: Place) -> Place:
    """The tile in which a subtree's root is found, or made of what is found there."""
    level, number = place
    return level // TILE_HEIGHT, number >> (TILE_HEIGHT - level % TILE_HEIGHT)


def tiles_for(parts: Sequence[Sequence[Place]]) -> list[Place]:
    """The tiles that a proof is made of, each once."""
    return sorted({tile_of(place) for part in parts for place in part})


def hashes_from(parts: Sequence[Sequence[Place]], tiles: Mapping[Place, bytes]) -> list[bytes]:
    """The hashes of a proof.

    Args:
        parts: of each hash, the subtrees that fold into it.
        tiles: what `tiles_for` names.

    Raises:
        LookupError: a tile is missing, or too short.
    """
    return [fold([_root_in(tiles[tile_of(place)], place) for place in part]) for part in parts]


def _root_in(tile: bytes, place: Place) -> bytes:
    level, number = place
    height = level % TILE_HEIGHT
    first = (number << height) % TILE_WIDTH
    found = rows(tile)[first : first + (1 << height)]
    if len(found) < 1 << height:
        raise LookupError("a tile of the log is shorter than the log")
    return perfect_root(found)


def rows(tile: bytes) -> list[bytes]:
    """The hashes in a tile."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def edge_of(size: int) -> list[Place]:
    """The unfinished tiles at the right edge of a tree: what is needed to make it grow, and its head of."""
    found = []
    level = 0
    while size:
        if size % TILE_WIDTH:
            found.append((level, size >> TILE_HEIGHT))
        size, level = size >> TILE_HEIGHT, level + 1
    return found


class Growth:
    """A tree that leaves are added to, knowing nothing of it but its right edge.

    Args:
        size: how many leaves it has.
        edge: the tiles that `edge_of(size)` names, or longer ones.

    Attributes:
        changed: the tiles that are new or have grown since.
    """

    def __init__(self, size: int = 0, edge: Mapping[Place, bytes] | None = None) -> None:
        self.size = size
        self.changed: dict[Place, bytes] = {}
        self._edge: list[list[bytes]] = []
        given = edge or {}
        left, level = size, 0
        while left:
            wanted = left % TILE_WIDTH
            # A tile may have grown since somebody read the size; its beginning stays what it was.
            row = rows(given[level, left >> TILE_HEIGHT])[:wanted] if wanted else []
            if len(row) != wanted:
                raise LookupError("a tile of the log does not fit its size")
            self._edge.append(row)
            left, level = left >> TILE_HEIGHT, level + 1

    def add(self, leaves: Sequence[bytes]) -> None:
        """Adds leaf hashes."""
        self._add(0, self.size, leaves)
        self.size += len(leaves)

    def _add(self, level: int, count: int, hashes: Sequence[bytes]) -> None:
        if level == len(self._edge):
            self._edge.append([])
        filled: list[bytes] = []
        done = 0
        while done < len(hashes):
            row = self._edge[level]
            room = TILE_WIDTH - len(row)
            row += hashes[done : done + room]
            done += room
            number = (count + min(done, len(hashes)) - 1) >> TILE_HEIGHT
            self.changed[level, number] = b"".join(row)
            if len(row) == TILE_WIDTH:
                filled.append(perfect_root(row))
                self._edge[level] = []
        if filled:
            self._add(level + 1, count >> TILE_HEIGHT, filled)

    def root(self) -> bytes:
        """The head of the tree."""
        found: list[bytes] = []
        for row in reversed(self._edge):
            begin = 0
            for bit in reversed(range(TILE_HEIGHT)):
                if len(row) >> bit & 1:
                    found.append(perfect_root(row[begin : begin + (1 << bit)]))
                    begin += 1 << bit
        return fold(found)

    def edge(self) -> dict[Place, bytes]:
        """The unfinished tiles, as `edge_of` names them."""
        found = {}
        size = self.size
        for level, row in enumerate(self._edge):
            if row:
                found[level, size >> TILE_HEIGHT] = b"".join(row)
            size >>= TILE_HEIGHT
        return found
