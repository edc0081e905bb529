"""Trees as RFC 9162 defines them, held against an independent implementation."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
from pymerkle.proof import MerkleProof

from enactor.domain.merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    Growth,
    Place,
    consistency_places,
    edge_of,
    hashes_from,
    includes,
    inclusion_places,
    is_consistent,
    leaf_hash,
    tiles_for,
)

COUNT = 700
DATA = [hashlib.sha256(str(number).encode()).digest() for number in range(COUNT)]


@pytest.fixture(scope="module")
def theirs() -> InmemoryTree:
    """The independent implementation's tree."""
    return InmemoryTree.init_from_entries(DATA, algorithm="sha256")


@pytest.fixture(scope="module")
def tiles() -> dict[Place, bytes]:
    """Ours, as the tiles that a store would have."""
    growth = Growth()
    growth.add([leaf_hash(data) for data in DATA])
    return growth.changed


def test_heads_are_theirs(theirs: InmemoryTree) -> None:
    """Grown in steps of any size out of nothing but the right edge, the head is theirs at every size."""
    steps = random.Random(7)
    growth, kept = Growth(), {}
    assert growth.root() == EMPTY_ROOT == theirs.get_root(0)
    while growth.size < COUNT:
        growth = Growth(growth.size, {place: kept[place] for place in edge_of(growth.size)})
        growth.add([leaf_hash(data) for data in DATA[growth.size :][: steps.randint(1, 300)]])
        kept.update(growth.changed)
        assert growth.root() == theirs.get_root(growth.size)
        assert growth.edge() == {place: kept[place] for place in edge_of(growth.size)}
    for size in range(1, 80):
        small = Growth()
        small.add([leaf_hash(data) for data in DATA[:size]])
        assert small.root() == theirs.get_root(size)


@given(st.data())
def test_inclusion_proofs_hold_in_both(theirs: InmemoryTree, tiles: dict[Place, bytes], data: st.DataObject) -> None:
    """Ours verify in theirs, the other way round, and nowhere else."""
    size = data.draw(st.integers(1, COUNT))
    index = data.draw(st.integers(0, size - 1))
    parts = inclusion_places(index, size)
    path = hashes_from(parts, {place: tiles[place] for place in tiles_for(parts)})
    root, leaf = theirs.get_root(size), leaf_hash(DATA[index])
    assert includes(root, size, index, leaf, path)
    proof = theirs.prove_inclusion(index + 1, size)
    verify_inclusion(leaf, root, proof)
    told = proof.serialize()
    verify_inclusion(leaf, root, MerkleProof.deserialize({**told, "path": [it.hex() for it in (leaf, *path)]}))
    assert [bytes.fromhex(it) for it in told["path"]] == [leaf, *path]
    other = data.draw(st.integers(0, size - 1).filter(lambda it: it != index)) if size > 1 else index + 1
    assert not includes(root, size, other, leaf, path)
    assert not includes(root, size, index, leaf_hash(b"another"), path)
    assert not includes(leaf_hash(root), size, index, leaf, path)
    assert not includes(root, size, index, leaf, [*path, root])
    assert not path or not includes(root, size, index, leaf, path[:-1])
    assert not includes(root, 0, 0, leaf, path)


@given(st.data())
def test_consistency_proofs_hold_in_both(theirs: InmemoryTree, tiles: dict[Place, bytes], data: st.DataObject) -> None:
    """Ours prove to ours what theirs prove to theirs, and nothing about other trees."""
    second = data.draw(st.integers(1, COUNT))
    first = data.draw(st.integers(1, second))
    parts = consistency_places(first, second)
    path = hashes_from(parts, {place: tiles[place] for place in tiles_for(parts)})
    old, new = theirs.get_root(first), theirs.get_root(second)
    assert is_consistent(first, old, second, new, path)
    verify_consistency(old, new, theirs.prove_consistency(first, second))
    forged = leaf_hash(old)
    assert not is_consistent(first, forged, second, new, path)
    assert not is_consistent(first, old, second, forged, path)
    assert not is_consistent(first, old, second, new, [*path, forged])
    assert first == second or not is_consistent(first, old, second, new, path[:-1])
    assert not is_consistent(second + 1, old, second, new, path)


def test_the_edges_of_consistency() -> None:
    """The empty tree is the beginning of every other one; sizes that cannot be have no proof."""
    assert is_consistent(0, EMPTY_ROOT, 5, leaf_hash(b""), [])
    assert not is_consistent(0, leaf_hash(b""), 5, leaf_hash(b""), [])
    assert consistency_places(0, 5) == consistency_places(5, 5) == []
    with pytest.raises(ValueError, match="larger ones"):
        consistency_places(6, 5)
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_places(5, 5)


@pytest.mark.parametrize("size", [1, TILE_WIDTH, TILE_WIDTH + 1, 1_000_000, 2**40 + 12_345])
def test_a_proof_reads_a_few_tiles(size: int) -> None:
    """At most two for each level of tiles that the tree has, whichever leaf and whichever earlier size."""
    levels = 1
    while TILE_WIDTH**levels < size:
        levels += 1
    for index in {0, 1, size // 3, size // 2, size - 1}:
        assert len(tiles_for(inclusion_places(min(index, size - 1), size))) <= 2 * levels
        assert len(tiles_for(consistency_places(max(index, 1), size))) <= 2 * levels


def test_a_tile_that_does_not_fit_is_found() -> None:
    """A tree is not grown, and nothing is proven, out of tiles that are too short."""
    with pytest.raises(LookupError):
        Growth(3, {(0, 0): bytes(64)})
    with pytest.raises(LookupError):
        hashes_from([[(0, 2)]], {(0, 0): bytes(64)})
