"""A witness cosigns what a log has signed, as long as it begins with what it cosigned before."""

import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.merkle import consistency_path, leaf_hash, node_hash, root_of
from application.proof.note import Checkpoint, Note, NoteInvalid, Verifier, signature_of
from application.proof.witness import (
    CONNECTIONS_MAX,
    Answer,
    Witness,
    WitnessKey,
    main,
    server_of,
)
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


# --- what somebody does who wants to harm it ------------------------------------------------------


def test_one_whose_disk_is_full_does_not_cosign_what_it_cannot_keep(
    witness: Witness, tmp_path: Path
) -> None:
    assert cosigns(witness.add_checkpoint(Log(5).asking(0, 5)), Log(5).note(5))
    (kept,) = (tmp_path / "seen").iterdir()
    kept.with_suffix(".new").symlink_to("/dev/full")
    for log in (Log(9), Log(9, said="another")):
        assert witness.add_checkpoint(log.asking(5, 9)).status in {
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        }
    kept.with_suffix(".new").unlink()
    assert cosigns(witness.add_checkpoint(Log(9).asking(5, 9)), Log(9).note(9))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 100])
def test_one_who_cannot_read_what_it_has_seen_does_not_believe_the_log_anew(
    witness: Witness, tmp_path: Path, content: bytes
) -> None:
    witness.add_checkpoint(Log(5).asking(0, 5))
    (kept,) = (tmp_path / "seen").iterdir()
    kept.write_bytes(content)
    answer = witness.add_checkpoint(Log(9, said="another").asking(0, 9))
    assert answer.status is HTTPStatus.INTERNAL_SERVER_ERROR


def test_of_many_who_ask_at_once_for_two_histories_only_one_is_cosigned(witness: Witness) -> None:
    logs = [Log(9, said=f"history {n % 2}") for n in range(40)]
    with ThreadPoolExecutor(20) as asking:
        answers = list(asking.map(lambda log: witness.add_checkpoint(log.asking(0, 9)), logs))
    roots = {
        Checkpoint.parse(log.note(9).text).root
        for log, answer in zip(logs, answers, strict=True)
        if answer.status is HTTPStatus.OK
    }
    assert len(roots) == 1


def test_two_keys_of_one_log_are_refused(tmp_path: Path) -> None:
    other = Verifier(LOG.name, KEY.verifier.public_key)
    with pytest.raises(NoteInvalid, match="two keys"):
        Witness(KEY, [LOG, other], tmp_path / "seen")


def test_two_witnesses_do_not_keep_what_they_have_seen_in_one_place(tmp_path: Path) -> None:
    file = tmp_path / "witness.key"
    main(["--new-key", KEY.verifier.name, "--key-file", str(file)])
    program = [sys.executable, "-m", "application.proof.witness", "--key-file", str(file)]
    more = ["--log", str(LOG), "--seen", str(tmp_path / "seen"), "--port", "0"]
    with Popen([*program, *more], stdout=PIPE, text=True) as running:  # noqa: S603 -- our own
        assert running.stdout is not None
        running.stdout.readline()
        try:
            with Popen([*program, *more], stderr=PIPE, text=True) as second:  # noqa: S603
                _, said = second.communicate(timeout=60)
        finally:
            running.terminate()
    assert (second.returncode, "another witness keeps" in said) == (2, True)


def heard(address: str, sent: bytes) -> bytes:
    """Everything that is answered to these bytes, until the connection ends."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


BODY = Log(5).asking(0, 5)
REQUESTS: dict[str, tuple[bytes, bytes]] = {
    "no length": (b"", b"411"),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: %d\r\n" % len(BODY), b"411"),
    "two ways to say it": (
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % len(BODY),
        b"411",
    ),
    "a length below nothing": (b"Content-Length: -1\r\n", b"411"),
    "a length without end": (b"Content-Length: %s\r\n" % (b"9" * 5000), b"411"),
    "digits of another script": ("Content-Length: \u0665\r\n".encode(), b"411"),
    "too long": (b"Content-Length: 65537\r\n", b"413"),
    "longer than it is": (b"Content-Length: %d\r\n" % (len(BODY) + 1), b"200"),
    "shorter than it is": (b"Content-Length: %d\r\n" % (len(BODY) - 30), b"400"),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_that_can_be_read_in_two_ways_is_not_read(
    witness: Witness, request_: str
) -> None:
    headers, status = REQUESTS[request_]
    sent = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n%s\r\n%s" % (headers, BODY)
    with answering(witness) as address:
        assert heard(address, sent).split(b" ", 2)[1] == status
        right = b"Content-Length: %d\r\n" % len(BODY)
        again = b"POST /add-checkpoint HTTP/1.1\r\n%s\r\n%s" % (right, BODY)
        assert heard(address, again).split(b" ", 2)[1] in {b"200", b"409"}, "it goes on"


def test_whoever_keeps_connections_open_is_let_go(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.proof.witness.PATIENCE_SECONDS", 0.5)
    asked = b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    with answering(witness) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS_MAX + 20)]
        try:
            for connection in idle:
                connection.settimeout(60)
                with suppress(ConnectionError):
                    assert connection.recv(1) == b"", "it is let go, and told nothing"
            assert heard(address, asked).startswith(b"HTTP/1.0 200")
        finally:
            for connection in idle:
                connection.close()
