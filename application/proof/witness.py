"""`python -m application.proof.witness`: a witness of logs, which anybody can run who is not the
bank: with Python and `cryptography`, and nothing of the bank's but its key.

    python -m application.proof.witness --new-key witness.example --key-file witness.key
    python -m application.proof.witness --key-file witness.key --log <the bank's key> --seen FOLDER

It keeps, for each log, the largest checkpoint that it has cosigned, and cosigns only one of
a log that begins with that. So the bank cannot show two histories to two people: one of them would
have no cosignature. Protocol: c2sp.org/tlog-witness, over HTTP (put something in front of it that
speaks TLS, if others than the bank's own network reach it).
"""

import argparse
import fcntl
import os
import re
import socket
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from email.message import Message
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Lock, Timer
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.proof.evidence import Consistency, ProofUnreadable
from application.proof.files import replace_durably
from application.proof.merkle import ProofInvalid, check_consistency
from application.proof.note import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteInvalid,
    Verifier,
    cosignature_of,
    opened,
)

BODY_BYTES: Final = 65_536
PATIENCE_SECONDS: Final = 30.0
"""So long may a connection last, however much is sent on it and however slowly."""
CONNECTIONS_MAX: Final = 32
"""So many at once: a log's bank needs one."""
_PLAIN: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"
_LENGTH: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Answer(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    text: str
    media_type: str = _PLAIN


class WitnessKey(NamedTuple):
    """A witness's name, and the key that it cosigns with."""

    verifier: Verifier
    private: Ed25519PrivateKey

    @classmethod
    def make(cls, name: str) -> "WitnessKey":
        private = Ed25519PrivateKey.generate()
        return cls(Verifier(name, private.public_key().public_bytes_raw(), COSIGNATURE), private)

    @classmethod
    def parse(cls, text: str) -> "WitnessKey":
        """NoteInvalid."""
        name, _, seed = text.strip().partition(" ")
        try:
            private = Ed25519PrivateKey.from_private_bytes(b64decode(seed, validate=True))
        except ValueError:
            raise NoteInvalid("a witness's key is a name and 32 bytes in base64") from None
        return cls(Verifier(name, private.public_key().public_bytes_raw(), COSIGNATURE), private)

    def __str__(self) -> str:
        """As it is kept, in a file that nobody else reads."""
        return f"{self.verifier.name} {b64encode(self.private.private_bytes_raw()).decode()}\n"


class Witness:
    """Cosigns what is consistent with all that it has cosigned. `seen` is the folder that it is
    kept in: without it, the witness would believe a log anew."""

    def __init__(
        self,
        key: WitnessKey,
        logs: Iterable[Verifier],
        seen: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._logs: dict[str, Verifier] = {}
        for log in logs:
            if self._logs.setdefault(log.name, log) != log:
                raise NoteInvalid(f"{log.name} is given two keys")
        self._seen = seen
        self._clock = clock
        # What was cosigned last is looked up and replaced by one request at a time.
        self._one_at_a_time = Lock()
        seen.mkdir(parents=True, exist_ok=True)

    def add_checkpoint(self, body: bytes) -> Answer:
        """What the protocol has for this request."""
        try:
            asked = Consistency.parse(body.decode())
            said = Checkpoint.parse(asked.note.text)
        except (UnicodeDecodeError, ProofUnreadable, NoteInvalid) as malformed:
            return Answer(HTTPStatus.BAD_REQUEST, f"{malformed}\n")
        log = self._logs.get(said.origin)
        if log is None:
            return Answer(HTTPStatus.NOT_FOUND, f"{said.origin} is not witnessed here\n")
        try:
            checkpoint, note = opened(str(asked.note).encode(), log)
        except NoteInvalid as invalid:
            return Answer(HTTPStatus.FORBIDDEN, f"{invalid}\n")
        if asked.old > checkpoint.size:
            return Answer(HTTPStatus.BAD_REQUEST, "the old size is larger than the new one\n")
        with self._one_at_a_time:
            try:
                return self._judge(log, asked, checkpoint, note)
            except (OSError, NoteInvalid) as broken:
                # Whoever cannot say what he has seen, or keep it, must not cosign.
                sys.stderr.write(f"cannot keep what was seen of {log.name}: {broken}\n")
                return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "not now\n")

    def _judge(
        self, log: Verifier, asked: Consistency, checkpoint: Checkpoint, note: Note
    ) -> Answer:
        last = self._last(log)
        known = 0 if last is None else last.size
        if asked.old != known:
            return Answer(HTTPStatus.CONFLICT, f"{known}\n", _SIZE)
        if last is not None and last.size == checkpoint.size and last.root != checkpoint.root:
            return Answer(HTTPStatus.CONFLICT, f"{known}\n", _SIZE)
        try:
            _check(last, checkpoint, asked.path)
        except ProofInvalid as invalid:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{invalid}\n")
        replace_durably(self._place(log), str(note).encode())
        cosigned = cosignature_of(
            self._key.verifier, note.text, int(self._clock()), self._key.private.sign
        )
        return Answer(HTTPStatus.OK, str(cosigned))

    def _last(self, log: Verifier) -> Checkpoint | None:
        try:
            return opened(self._place(log).read_bytes(), log)[0]
        except FileNotFoundError:
            return None

    def _place(self, log: Verifier) -> Path:
        """An origin may have slashes in it."""
        return self._seen / sha256(log.name.encode()).hexdigest()


def _check(last: Checkpoint | None, checkpoint: Checkpoint, path: Sequence[bytes]) -> None:
    if last is None or last.size == 0:
        if path:
            raise ProofInvalid("there is nothing to be proven of a log that was never seen")
        return
    check_consistency(last.size, last.root, checkpoint.size, checkpoint.root, path)


class _Server(ThreadingHTTPServer):
    """Of whom nobody can take more than his share: so many connections, and none for ever."""

    request_queue_size = CONNECTIONS_MAX

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._free = BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        ending = Timer(PATIENCE_SECONDS, _cut, [request])
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._free.release()


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def server_of(witness: Witness, host: str, port: int) -> ThreadingHTTPServer:
    """Answers POST /add-checkpoint."""

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = _length(self.headers)
            if length is None:
                self._say(Answer(HTTPStatus.LENGTH_REQUIRED, "say how long it is\n"))
            elif length > BODY_BYTES:
                self._say(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is too long\n"))
            elif self.path != "/add-checkpoint":
                self._say(Answer(HTTPStatus.NOT_FOUND, "POST /add-checkpoint\n"))
            else:
                self._say(witness.add_checkpoint(self.rfile.read(length)))

        def _say(self, answer: Answer) -> None:
            body = answer.text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return _Server((host, port), Asked)


def _length(headers: Message) -> int | None:
    """Of the body, if there is no doubt of it: whoever stands between and takes it for another
    would see another request."""
    said = headers.get_all("Content-Length", [])
    if len(said) != 1 or "Transfer-Encoding" in headers or _LENGTH.fullmatch(said[0]) is None:
        return None
    return int(said[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a key, or be a witness until it is stopped. 2 if it cannot be."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.new_key is not None:
            return _new_key(asked.new_key, asked.key_file)
        key = WitnessKey.parse(asked.key_file.read_text(encoding="utf-8"))
        logs = [Verifier.parse(log) for log in asked.log]
        witness = Witness(key, logs, asked.seen)
        _claim(asked.seen)
        server = server_of(witness, asked.host, asked.port)
    except (NoteInvalid, OSError) as wrong:
        sys.stderr.write(f"cannot be a witness: {wrong}\n")
        return 2
    names = ", ".join(log.name for log in logs)
    sys.stdout.write(f"{key.verifier}\nwitnesses {names} on port {server.server_port}\n")
    sys.stdout.flush()
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def _claim(seen: Path) -> None:
    """Until this process ends nobody else keeps there what he has seen: two who judge the same log
    could cosign two histories of it. BlockingIOError, if somebody does."""
    folder = os.open(seen, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise BlockingIOError(f"another witness keeps in {seen} what it has seen") from None


def _new_key(name: str, file: Path) -> int:
    key = WitnessKey.make(name)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        written.write(str(key))
    sys.stdout.write(f"{key.verifier}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m application.proof.witness",
        description="Cosign the checkpoints of logs, as long as each of them begins with what was "
        "cosigned before (c2sp.org/tlog-witness).",
    )
    parser.add_argument("--key-file", type=Path, required=True, help="the witness's own key")
    parser.add_argument("--new-key", metavar="NAME", help="make one of this name, and print it")
    parser.add_argument(
        "--log", action="append", default=[], metavar="KEY", help="a log's key (may be repeated)"
    )
    parser.add_argument(
        "--seen", type=Path, default=Path("seen"), help="the folder of what was cosigned last"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8620)
    return parser


if __name__ == "__main__":
    sys.exit(main())
