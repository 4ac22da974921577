"""Notes are read and written as is specified, and nothing that was changed is believed."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from application.proof.note import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteInvalid,
    Verifier,
    cosignature_of,
    opened,
    signature_of,
    time_of,
)

BANK_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BANK = Verifier("bank.example/log", BANK_KEY.public_key().public_bytes_raw())
WITNESS = Verifier("witness.example/w1", WITNESS_KEY.public_key().public_bytes_raw(), COSIGNATURE)
CHECKPOINT = Checkpoint(BANK.name, 20852163, sha256(b"root").digest())
NOTE = Note(str(CHECKPOINT), (signature_of(BANK, str(CHECKPOINT), BANK_KEY.sign),))
SEEN = 1679315147

GO = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
)
"""The example of Go's package sumdb/note, whose form the specification is of."""


def test_the_published_example_verifies() -> None:
    verifier = Verifier.parse(GO)
    note = Note.parse(GO_NOTE.encode())
    assert str(verifier) == GO
    assert str(note) == GO_NOTE
    assert note.signed_by([verifier]) == {verifier}


def test_a_checkpoint_that_was_signed_is_opened() -> None:
    assert opened(str(NOTE).encode(), BANK) == (CHECKPOINT, NOTE)


def test_a_verifier_is_read_as_it_was_written() -> None:
    assert Verifier.parse(str(BANK)) == BANK
    assert Verifier.parse(str(WITNESS)) == WITNESS


def test_a_witness_says_when_it_has_seen_a_checkpoint() -> None:
    cosignature = cosignature_of(WITNESS, NOTE.text, SEEN, WITNESS_KEY.sign)
    cosigned = Note.parse(str(NOTE.with_signatures(cosignature)).encode())
    assert cosigned.signed_by([BANK, WITNESS]) == {BANK, WITNESS}
    assert [time_of(s) for s in cosigned.signatures if s.name == WITNESS.name] == [SEEN]


def test_a_cosignature_with_another_time_is_wrong() -> None:
    name, key_id, signature = cosignature_of(WITNESS, NOTE.text, SEEN, WITNESS_KEY.sign)
    later = (SEEN + 1).to_bytes(8) + signature[8:]
    with pytest.raises(NoteInvalid, match="wrong"):
        NOTE.with_signatures(type(NOTE.signatures[0])(name, key_id, later)).signed_by([WITNESS])


def test_signatures_of_others_are_left_alone() -> None:
    stranger = Verifier("somebody.else", WITNESS.public_key)
    signed = NOTE.with_signatures(signature_of(stranger, NOTE.text, BANK_KEY.sign))  # a wrong one
    assert signed.signed_by([BANK]) == {BANK}


def test_a_wrong_signature_under_a_known_key_makes_the_note_invalid() -> None:
    wrong = signature_of(BANK, NOTE.text, WITNESS_KEY.sign)
    with pytest.raises(NoteInvalid, match="wrong"):
        NOTE.with_signatures(wrong).signed_by([BANK])


def test_the_checkpoint_of_another_log_is_not_this_one_s() -> None:
    other = Checkpoint("other.example/log", 1, bytes(32))
    note = Note(str(other), (signature_of(BANK, str(other), BANK_KEY.sign),))
    with pytest.raises(NoteInvalid, match="other"):
        opened(str(note).encode(), BANK)


def test_what_nobody_has_signed_is_not_opened() -> None:
    witnessed = cosignature_of(WITNESS, NOTE.text, SEEN, WITNESS_KEY.sign)
    with pytest.raises(NoteInvalid, match="not signed"):
        opened(str(Note(NOTE.text, (witnessed,))).encode(), BANK)


@given(st.integers(0, len(str(NOTE).encode()) - 1), st.integers(0, 255))
def test_no_byte_of_a_note_can_be_changed(place: int, byte: int) -> None:
    whole = str(NOTE).encode()
    changed = whole[:place] + bytes([byte]) + whole[place + 1 :]
    if changed == whole:
        return
    with pytest.raises(NoteInvalid):
        opened(changed, BANK)


@given(st.binary(max_size=300))
def test_whatever_is_no_note_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(NoteInvalid):
        opened(text, BANK)


@given(st.text(max_size=200))
def test_whatever_is_no_checkpoint_is_said_to_be_none(text: str) -> None:
    try:
        read = Checkpoint.parse(text)
    except NoteInvalid:
        return
    assert str(read) == text


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "bank",
        "bank+00000000+" + b64encode(b"\x01" + BANK.public_key).decode(),
        str(BANK).replace("bank", "tank"),
        f"bank+{BANK.key_id.hex()}+",
        "bank+00+" + b64encode(b"\x09" + BANK.public_key).decode(),
    ],
)
def test_what_is_no_verifier_is_refused(wrong: str) -> None:
    with pytest.raises(NoteInvalid):
        Verifier.parse(wrong)


@pytest.mark.parametrize(
    "root", [b64encode(bytes(31)).decode(), "!" * 44, b64encode(bytes(32)).decode()[:-2] + "B="]
)
def test_a_root_has_one_spelling(root: str) -> None:
    assert b64decode(b64encode(bytes(32))) == bytes(32)
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(f"bank\n1\n{root}\n")


@pytest.mark.parametrize("size", ["01", "-1", "1.0", "", "٣", "9" * 20])
def test_a_size_has_one_spelling(size: str) -> None:
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(f"bank\n{size}\n{b64encode(bytes(32)).decode()}\n")
