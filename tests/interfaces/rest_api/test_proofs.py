"""Proofs as resources, and the tree in C2SP's tiles."""

import pytest

from application.proof.evidence import prove
from application.proof.merkle import root_of
from application.proof.note import Verifier, opened
from application.proof.policy import Policy
from application.proof.tiles import Tile, node_of
from tests.interfaces.graphql_api.serving import Served
from tests.interfaces.rest_api.resources import code_of, get


@pytest.fixture(scope="module")
def sealed(bank: Served) -> str:
    """The position of a record that is sealed."""
    answer = bank.send(
        "registerCustomer",
        "... on CustomerChanged { receipt { position } }",
        kind="PERSON",
        name="Ada Sealed",
        country="CZ",
        taxResidence="CZ",
    )
    position: str = answer["receipt"]["position"]
    state = get(bank, f"/records/{position}/state", waitFor="SEALED", timeoutMs="10000").json()
    assert state["state"] == "SEALED"
    return position


def key_of(bank: Served) -> Verifier:
    return Verifier.parse(bank.ask("{ logKey }")["logKey"])


def test_a_record_is_proven(bank: Served, sealed: str) -> None:
    proof = get(bank, f"/proofs/inclusion/{sealed}").json()
    assert prove(proof["file"].encode(), Policy(key_of(bank))).told["leaf"] == proof["leafHash"]


def test_the_tree_is_served_in_tiles(bank: Served, sealed: str) -> None:
    checkpoint, _ = opened(get(bank, "/log/checkpoint").content, key_of(bank))

    def read(tile: Tile) -> bytes:
        hashes: bytes = get(bank, f"/log/{tile.path}").content
        return hashes

    assert root_of(0, checkpoint.size, node_of(checkpoint.size, read)) == checkpoint.root
    assert get(bank, f"/proofs/consistency/{checkpoint.size}").json()["since"] == str(
        checkpoint.size
    )


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/7/999",
        "/log/tile/0/nothing",
        "/log/tile/0/000.p/256",
        "/proofs/inclusion/999999999",
        "/proofs/consistency/0",
        "/proofs/completeness/00000000-0000-4000-8000-000000000000",
        "/records/999999999/state",
    ],
)
def test_what_is_not_there_is_not_found(bank: Served, path: str) -> None:
    assert code_of(get(bank, path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/log/tile/9/000", "/proofs/inclusion/x", "/records/-1/state"])
def test_what_is_malformed_is_refused(bank: Served, path: str) -> None:
    assert code_of(get(bank, path)) == (400, "BAD_USER_INPUT")
