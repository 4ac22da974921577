"""What a customer who was erased is given: it says what the log says, and nothing of him."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from application.erasure_certificate import (
    PURPOSE,
    CertificateInvalid,
    NothingErased,
    certificate,
    checked,
)
from application.keystore import LocalKeystore
from application.proof.evidence import Inclusion
from application.proof.policy import Policy
from application.proving import Prover
from application.sealing import Tree
from application.seals import Seals
from interfaces.database import as_application
from interfaces.sealer import open_sealing
from interfaces.system import System
from tests.interfaces.test_erasing import EMAIL, decided, introduced, process, settled, told


def prover_of(system: System) -> Prover:
    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(as_application(system.url))

    return Prover(system.log, connect, Tree(connect), Seals(connect, system.sealed.policy))


def seal(system: System) -> None:
    with open_sealing(system.url, system.settings) as sealing:
        sealing.finish()


async def certified(system: System) -> tuple[bytes, bytes, Policy]:
    erasure_id = await decided(system, await introduced(system))
    await settled(process(system))
    await asyncio.to_thread(seal, system)
    file = certificate(system.log, prover_of(system), system.keystore, erasure_id)
    return file, system.keystore.public_key(PURPOSE), system.sealed.policy


@pytest.fixture(scope="module")
def made(
    module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, bytes, Policy]:
    return told(module_database, tmp_path_factory.mktemp("certified"), certified)


def test_it_says_what_was_erased_and_what_is_kept(made: tuple[bytes, bytes, Policy]) -> None:
    file, key, _ = made
    said = checked(file, key)
    assert (said["stage"], said["erased"]) == ("ERASED", ["contact"])
    assert [kept["class"] for kept in said["kept"]] == ["identity", "payment"]
    assert said["counts"] == {"keys": 1, "cards": 0, "values": 1, "search_terms": 0}


def test_it_says_nothing_of_the_person_or_of_who_works_for_the_bank(
    made: tuple[bytes, bytes, Policy],
) -> None:
    file, _, _ = made
    extras = [line.partition(" ")[2] for line in _proof_lines(file) if line.startswith("extra ")]
    for hidden in (EMAIL, "Ada Lovelace", "clerk", "officer"):
        assert hidden.encode() not in file
        assert not any(hidden in _decoded(extra) for extra in extras)


def test_each_record_that_it_names_is_in_the_log(made: tuple[bytes, bytes, Policy]) -> None:
    file, _, policy = made
    said = checked(file)
    names = [record["name"] for record in said["records"]]
    assert names == [
        "erasure.requested.v1",
        "erasure.started.v1",
        "erasure.subject_erased.v1",
        "vault.key_created.v1",
    ]
    for proof in said["proofs"]:
        Inclusion.parse(proof).check(policy)


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole["certificate"]["erased"].append("identity"),
        lambda whole: whole["certificate"].update(subject="somebody else"),
        lambda whole: whole.update(signature=b64encode(bytes(64)).decode()),
        lambda whole: whole.pop("signature"),
        lambda whole: whole.update(key="?"),
    ],
)
def test_a_certificate_that_was_changed_is_not_valid(
    change: Callable[[dict[str, Any]], object], made: tuple[bytes, bytes, Policy]
) -> None:
    whole = json.loads(made[0])
    change(whole)
    with pytest.raises(CertificateInvalid):
        checked(json.dumps(whole).encode())


def test_a_certificate_of_another_bank_is_not_valid(made: tuple[bytes, bytes, Policy]) -> None:
    with pytest.raises(CertificateInvalid):
        checked(made[0], LocalKeystore.in_memory().public_key(PURPOSE))


def test_there_is_none_before_something_is_erased(database: str, tmp_path: Path) -> None:
    async def story(system: System) -> None:
        erasure_id = await decided(system, await introduced(system))
        with pytest.raises(NothingErased):
            certificate(system.log, prover_of(system), system.keystore, erasure_id)

    told(database, tmp_path, story)


def _proof_lines(file: bytes) -> list[str]:
    return [
        line for proof in json.loads(file)["certificate"]["proofs"] for line in proof.split("\n")
    ]


def _decoded(extra: str) -> str:
    text = b64decode(extra).decode()
    record = json.loads(text).get("record", {})
    state = record.get("state", "")
    return text + (state if isinstance(state, str) else json.dumps(state))
