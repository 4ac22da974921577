"""What the bank answers for is proven to whoever asks, as soon as it is sealed."""

from uuid import uuid4

import pytest

from application.proof.evidence import prove
from application.proof.note import Verifier
from application.proof.policy import Policy
from tests.interfaces.graphql_api.serving import Served

WAIT = """
query ($position: Position!, $waitFor: RecordState, $timeoutMs: Int) {
  recordState(position: $position, waitFor: $waitFor, timeoutMs: $timeoutMs) {
    position state sealedUpTo witnessedUpTo
  }
}
"""
PROOF = """
query ($position: Position!) {
  inclusionProof(position: $position) {
    index leafHash path file fileWithRecord checkpoint { size root text signatures }
  }
}
"""


@pytest.fixture(scope="module")
def position(bank: Served) -> str:
    """Of a record that is sealed."""
    opened = bank.send(
        "registerCustomer",
        "... on CustomerChanged { receipt { position } }",
        kind="PERSON",
        name="Ada Proven",
        country="CZ",
        taxResidence="CZ",
    )
    at: str = opened["receipt"]["position"]
    state = bank.ask(WAIT, position=at, waitFor="SEALED", timeoutMs=10_000)["recordState"]
    assert state["state"] == "SEALED"
    assert int(state["sealedUpTo"]) >= int(at)
    return at


def test_a_record_is_recorded_before_it_is_sealed(bank: Served, position: str) -> None:
    assert bank.ask(WAIT, position=position)["recordState"]["state"] == "SEALED"
    waited = bank.ask(WAIT, position=position, waitFor="WITNESSED", timeoutMs=1)["recordState"]
    assert (waited["state"], waited["witnessedUpTo"]) == ("SEALED", "0")


def test_there_is_no_state_of_a_record_that_there_is_not(bank: Served) -> None:
    for position in ("0", "999999999999"):
        assert bank.ask(WAIT, position=position)["recordState"] is None
        assert bank.ask(PROOF, position=position)["inclusionProof"] is None


def test_nobody_waits_for_ever(bank: Served, position: str) -> None:
    (error,) = bank.errors(WAIT, position=position, timeoutMs=10_001)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_record_is_proven_to_whoever_has_the_key(bank: Served, position: str) -> None:
    proof = bank.ask(PROOF, position=position)["inclusionProof"]
    key = Verifier.parse(bank.ask("{ logKey }")["logKey"])
    for file in (proof["file"], proof["fileWithRecord"]):
        proven = prove(file.encode(), Policy(key))
        assert proven.told["leaf"] == proof["leafHash"]
        assert proven.checkpoint.root.hex() == proof["checkpoint"]["root"]
    assert proof["checkpoint"]["signatures"] == [key.name]


def test_the_log_is_proven_to_begin_with_what_was_kept(bank: Served, position: str) -> None:
    kept = bank.ask("{ checkpoint { size text } }")["checkpoint"]
    again = "query ($size: Position) { checkpoint(size: $size) { text } }"
    assert bank.ask(again, size=kept["size"])["checkpoint"]["text"] == kept["text"]
    ask = "query ($since: Position!) { consistencyProof(since: $since) { file } }"
    file = bank.ask(ask, since=kept["size"])["consistencyProof"]["file"]
    key = Verifier.parse(bank.ask("{ logKey }")["logKey"])
    assert prove(file.encode(), Policy(key), [kept["text"].encode()])
    assert bank.ask(ask, since="999999999999")["consistencyProof"] is None


def test_nothing_is_complete_before_a_day_is_closed(bank: Served) -> None:
    ask = "query ($id: UUID!) { completenessProof(streamId: $id) { version } }"
    assert bank.ask(ask, id=str(uuid4()))["completenessProof"] is None
