"""A witness cosigns what a log has signed, as long as it begins with what it cosigned before."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.merkle import consistency_path, leaf_hash, node_hash, root_of
from application.proof.note import Checkpoint, Note, NoteInvalid, Verifier, signature_of
from application.proof.witness import Answer, Witness, WitnessKey, main, server_of
from application.witnessing import add_checkpoint

BANK = Ed25519PrivateKey.generate()
LOG = Verifier("bank.example/log", BANK.public_key().public_bytes_raw())
KEY = WitnessKey.make("witness.example")
NOW = 1_740_830_400


class Log:
    """A log that its bank has signed."""

    def __init__(self, size: int, said: str = "record") -> None:
        self._leaves = [leaf_hash(f"{said} {n}".encode()) for n in range(size)]

    def node(self, level: int, place: int) -> bytes:
        if level == 0:
            return self._leaves[place]
        return node_hash(self.node(level - 1, 2 * place), self.node(level - 1, 2 * place + 1))

    def note(self, size: int, origin: str = LOG.name, key: Ed25519PrivateKey = BANK) -> Note:
        text = str(Checkpoint(origin, size, root_of(0, size, self.node)))
        return Note(text, (signature_of(LOG, text, key.sign),))

    def asking(self, old: int, size: int) -> bytes:
        path = consistency_path(old, size, self.node) if old else ()
        return add_checkpoint(old, path, self.note(size))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(KEY, [LOG], tmp_path / "seen", clock=lambda: NOW)


def cosigns(answer: Answer, note: Note) -> bool:
    if answer.status is not HTTPStatus.OK:
        return False
    cosigned = Note.parse((str(note) + answer.text).encode())
    return cosigned.signed_by([KEY.verifier]) == {KEY.verifier}


def test_a_log_that_was_never_seen_is_cosigned(witness: Witness) -> None:
    log = Log(5)
    assert cosigns(witness.add_checkpoint(log.asking(0, 5)), log.note(5))


def test_a_log_that_has_grown_is_cosigned(witness: Witness) -> None:
    log = Log(300)
    for old, size in ((0, 1), (1, 7), (7, 256), (256, 300), (300, 300)):
        assert cosigns(witness.add_checkpoint(log.asking(old, size)), log.note(size))


def test_a_witness_that_was_started_again_knows_what_it_has_seen(
    witness: Witness, tmp_path: Path
) -> None:
    witness.add_checkpoint(Log(5).asking(0, 5))
    again = Witness(KEY, [LOG], tmp_path / "seen")
    assert again.add_checkpoint(Log(9).asking(0, 9)) == (
        HTTPStatus.CONFLICT,
        "5\n",
        "text/x.tlog.size",
    )
    assert cosigns(again.add_checkpoint(Log(9).asking(5, 9)), Log(9).note(9))


def test_another_history_of_the_same_length_is_not_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(Log(5).asking(0, 5))
    answer = witness.add_checkpoint(Log(5, said="another").asking(5, 5))
    assert answer.status is HTTPStatus.CONFLICT


def test_another_history_that_is_longer_is_not_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(Log(5).asking(0, 5))
    answer = witness.add_checkpoint(Log(9, said="another").asking(5, 9))
    assert answer.status is HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_log_that_was_set_back_is_told_what_was_seen(witness: Witness) -> None:
    witness.add_checkpoint(Log(9).asking(0, 9))
    answer = witness.add_checkpoint(Log(5).asking(0, 5))
    assert (answer.status, answer.text) == (HTTPStatus.CONFLICT, "9\n")


OTHERS: dict[str, tuple[HTTPStatus, Callable[[], bytes]]] = {
    "no request": (HTTPStatus.BAD_REQUEST, lambda: b"nonsense"),
    "no text": (HTTPStatus.BAD_REQUEST, lambda: b"\xff"),
    "a size that shrinks": (
        HTTPStatus.BAD_REQUEST,
        lambda: Log(5).asking(0, 5).replace(b"old 0", b"old 6"),
    ),
    "a log that nobody knows": (
        HTTPStatus.NOT_FOUND,
        lambda: add_checkpoint(0, (), Log(5).note(5, origin="other.example/log")),
    ),
    "somebody else's signature": (
        HTTPStatus.FORBIDDEN,
        lambda: add_checkpoint(0, (), Log(5).note(5, key=Ed25519PrivateKey.generate())),
    ),
    "a proof of nothing": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        lambda: add_checkpoint(0, [bytes(32)], Log(5).note(5)),
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_else_is_cosigned(witness: Witness, other: str) -> None:
    status, asking = OTHERS[other]
    assert witness.add_checkpoint(asking()).status is status


def test_a_key_is_kept_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "witness.key"
    assert main(["--new-key", "witness.example", "--key-file", str(file)]) == 0
    said = Verifier.parse(capsys.readouterr().out)
    assert WitnessKey.parse(file.read_text()).verifier == said
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["--new-key", "witness.example", "--key-file", str(file)]) == 2


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(NoteInvalid):
        WitnessKey.parse("witness.example nonsense")


def test_anybody_can_run_one(tmp_path: Path) -> None:
    file = tmp_path / "witness.key"
    main(["--new-key", KEY.verifier.name, "--key-file", str(file)])
    program = [sys.executable, "-m", "application.proof.witness", "--key-file", str(file)]
    more = ["--log", str(LOG), "--seen", str(tmp_path / "seen"), "--port", "0"]
    with Popen([*program, *more], stdout=PIPE, text=True) as running:  # noqa: S603 -- our own
        assert running.stdout is not None
        verifier = Verifier.parse(running.stdout.readline())
        port = running.stdout.readline().split()[-1]
        try:
            with urlopen(f"http://127.0.0.1:{port}/add-checkpoint", Log(5).asking(0, 5)) as answer:
                cosigned = Note.parse((str(Log(5).note(5)) + answer.read().decode()).encode())
        finally:
            running.terminate()
    assert cosigned.signed_by([verifier]) == {verifier}


@contextmanager
def answering(witness: Witness) -> Iterator[str]:
    """The address of a witness that answers, until the block ends."""
    with server_of(witness, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
