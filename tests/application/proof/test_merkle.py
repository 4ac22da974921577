"""The tree is the RFC's, by published vectors, by an implementation that is nothing but the RFC's
own recursion, and by laws."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.proof.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
)

VECTORS = Path(__file__).parent / "vectors"
"""Those of the Certificate Transparency community, github.com/transparency-dev/merkle."""


def vectors(folder: str) -> list[Any]:
    paths = sorted((VECTORS / folder).rglob("*.json"))
    return [pytest.param(json.loads(p.read_text()), id=str(p.relative_to(VECTORS))) for p in paths]


def decoded(vector: dict[str, Any], *names: str) -> tuple[Any, ...]:
    proof = [b64decode(step) for step in vector["proof"] or ()]
    return (*(b64decode(vector[name] or "") for name in names), proof)


def test_there_are_as_many_vectors_as_were_published() -> None:
    assert len(vectors("inclusion")) + len(vectors("consistency")) == 196


@pytest.mark.parametrize("vector", vectors("inclusion"))
def test_inclusion_is_judged_as_published(vector: dict[str, Any]) -> None:
    leaf, root, proof = decoded(vector, "leafHash", "root")
    if vector["wantErr"]:
        with pytest.raises(ProofInvalid):
            check_inclusion(leaf, vector["leafIdx"], vector["treeSize"], proof, root)
    else:
        check_inclusion(leaf, vector["leafIdx"], vector["treeSize"], proof, root)


@pytest.mark.parametrize("vector", vectors("consistency"))
def test_consistency_is_judged_as_published(vector: dict[str, Any]) -> None:
    first, second, proof = decoded(vector, "root1", "root2")
    if vector["wantErr"]:
        with pytest.raises(ProofInvalid):
            check_consistency(vector["size1"], first, vector["size2"], second, proof)
    else:
        check_consistency(vector["size1"], first, vector["size2"], second, proof)


# --- the RFC's recursion, word for word -----------------------------------------------------------


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(records: list[bytes]) -> bytes:
    if not records:
        return sha256().digest()
    if len(records) == 1:
        return sha256(b"\0" + records[0]).digest()
    k = split(len(records))
    return sha256(b"\1" + mth(records[:k]) + mth(records[k:])).digest()


def path(m: int, records: list[bytes]) -> list[bytes]:
    if len(records) == 1:
        return []
    k = split(len(records))
    if m < k:
        return [*path(m, records[:k]), mth(records[k:])]
    return [*path(m - k, records[k:]), mth(records[:k])]


def subproof(m: int, records: list[bytes], known: bool) -> list[bytes]:
    if m == len(records):
        return [] if known else [mth(records)]
    k = split(len(records))
    if m <= k:
        return [*subproof(m, records[:k], known), mth(records[k:])]
    return [*subproof(m - k, records[k:], False), mth(records[:k])]


def nodes(records: list[bytes]) -> Any:
    return lambda level, place: mth(records[place << level : (place + 1) << level])


RECORDS = [str(n).encode() for n in range(70)]
sizes = st.integers(1, len(RECORDS))


def frontier(size: int) -> Frontier:
    tree = Frontier()
    tree.extend(map(leaf_hash, RECORDS[:size]))
    return tree


@given(st.integers(0, len(RECORDS)))
def test_a_frontier_has_the_root_of_all_that_was_added(size: int) -> None:
    assert frontier(size).root() == mth(RECORDS[:size])
    assert root_of(0, size, nodes(RECORDS)) == mth(RECORDS[:size])


@given(st.integers(0, len(RECORDS)), sizes)
def test_a_frontier_that_was_kept_goes_on_where_it_was(kept: int, size: int) -> None:
    before = frontier(min(kept, size))
    again = Frontier(before.size, before.peaks)
    again.extend(map(leaf_hash, RECORDS[before.size : size]))
    assert again.root() == mth(RECORDS[:size])
    assert before.size == min(kept, size)


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == mth([])


@given(sizes, st.data())
def test_every_leaf_is_proven_as_the_rfc_says(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = inclusion_path(index, size, nodes(RECORDS))
    assert found == path(index, RECORDS[:size])
    check_inclusion(leaf_hash(RECORDS[index]), index, size, found, mth(RECORDS[:size]))


@given(sizes, st.data())
def test_every_earlier_tree_is_proven_as_the_rfc_says(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size))
    found = consistency_path(first, size, nodes(RECORDS))
    assert found == subproof(first, RECORDS[:size], True)
    check_consistency(first, mth(RECORDS[:first]), size, mth(RECORDS[:size]), found)


@given(sizes, st.data())
def test_no_other_leaf_place_or_tree_is_proven(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, len(RECORDS) - 1).filter(lambda n: n != index))
    proof, root = path(index, RECORDS[:size]), mth(RECORDS[:size])
    with pytest.raises(ProofInvalid):
        check_inclusion(leaf_hash(RECORDS[other]), index, size, proof, root)
    with pytest.raises(ProofInvalid):
        check_inclusion(leaf_hash(RECORDS[index]), other, size, proof, root)


@given(sizes, st.data())
def test_no_tree_in_which_anything_was_changed_begins_with_the_earlier_one(
    size: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, first - 1))
    forged = [*RECORDS[:changed], b"forged", *RECORDS[changed + 1 : size]]
    proof = subproof(first, forged, True)
    with pytest.raises(ProofInvalid):
        check_consistency(first, mth(RECORDS[:first]), size, mth(forged), proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0)])
def test_there_is_no_proof_of_a_leaf_that_there_is_not(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_path(index, size, nodes(RECORDS))
    with pytest.raises(ProofInvalid):
        check_inclusion(bytes(32), index, size, [], bytes(32))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 1), (-1, 1)])
def test_there_is_no_proof_of_a_tree_that_there_is_not(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="does not begin"):
        consistency_path(first, second, nodes(RECORDS))


@pytest.mark.parametrize(
    ("size", "peaks"), [(1, []), (2, [bytes(32)] * 2), (1, [b"short"]), (-1, [])]
)
def test_what_is_no_frontier_is_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"a frontier|a hash"):
        Frontier(size, peaks)
