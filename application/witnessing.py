"""Asks witnesses to cosign the bank's checkpoints, as C2SP's tlog-witness has it.

    POST <address>/add-checkpoint
    old <the size that the witness has cosigned last>
    <hashes of the consistency proof from there, a line each>

    <the signed checkpoint>

It answers with its cosignature; 409 and a size, if it has cosigned another one last. A witness that
is away or says no is asked again: the bank goes on without it, and its records are not witnessed
until then.
"""

import logging
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from application.proof.merkle import consistency_path
from application.proof.note import Checkpoint, Note, NoteInvalid, Verifier, time_of
from application.proof.policy import Policy
from application.sealing import Connect, Tree

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 10.0
ANSWER_BYTES: Final = 16_384

_LAST: Final = "SELECT coalesce(max(size), 0) FROM ledgertwin.cosignatures WHERE witness = %s"
_KEEP: Final = (
    "INSERT INTO ledgertwin.cosignatures (size, witness, line, seen_at) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)


class WitnessSaidNo(Exception):
    """It has not cosigned; the message says what it said."""


_SAID_NO: Final = (
    WitnessSaidNo,
    NoteInvalid,
    HTTPException,
    URLError,
    OSError,
    OverflowError,  # it has cosigned at no time that there is
    ValueError,
)


class _Straight(HTTPRedirectHandler):
    """A witness is where the policy says, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER: Final = build_opener(_Straight)


class Witnessing:
    """For one log. Its methods block."""

    def __init__(self, connect: Connect, tree: Tree, policy: Policy) -> None:
        self._connect = connect
        self._tree = tree
        self._policy = policy
        self._away: set[str] = set()

    @property
    def witnesses(self) -> Sequence[str]:
        """Those that can be asked, by the names that the policy has for them."""
        return tuple(self._policy.addresses)

    def ask(self, witness: str) -> bool:
        """Have it cosign the latest checkpoint, unless it has; whether it did so now. What goes
        wrong is logged, once."""
        try:
            done = self._ask(self._policy.witnesses[witness], self._policy.addresses[witness])
        except _SAID_NO as said:
            if witness not in self._away:
                logger.warning("the witness %s has not cosigned: %s", witness, said)
            self._away.add(witness)
            return False
        self._away.discard(witness)
        return done

    def _ask(self, witness: Verifier, address: str) -> bool:
        note = self._tree.latest()
        if note is None:
            return False
        known = self._last_of(witness)
        checkpoint = Checkpoint.parse(note.text)
        if known >= checkpoint.size:
            return False
        status, said = self._post(address, known, checkpoint.size, note)
        if status == HTTPStatus.CONFLICT:
            # It knows better what it has seen: this database may have been set back.
            known = int(said)
            if known > checkpoint.size:
                raise WitnessSaidNo(f"it has seen {known} records of this log of {checkpoint.size}")
            status, said = self._post(address, known, checkpoint.size, note)
        if status != HTTPStatus.OK:
            raise WitnessSaidNo(f"{status} {said[:200]!r}")
        self._keep(witness, note, checkpoint.size, said)
        return True

    def _last_of(self, witness: Verifier) -> int:
        with self._connect() as connection:
            row = connection.execute(_LAST, [str(witness)]).fetchone()
        assert row is not None
        last: int = row[0]
        return last

    def _post(self, address: str, old: int, size: int, note: Note) -> tuple[int, str]:
        with self._tree.nodes(size) as node:
            path = consistency_path(old, size, node) if old else ()
        body = add_checkpoint(old, path, Note(note.text, note.signatures[:1]))
        request = Request(  # noqa: S310 -- the policy's parser lets only http(s) through
            f"{address}/add-checkpoint", body, {"Content-Type": "text/plain"}, method="POST"
        )
        try:
            with _OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read(ANSWER_BYTES).decode()
        except HTTPError as error:
            with error:
                return error.code, error.read(ANSWER_BYTES).decode(errors="replace")

    def _keep(self, witness: Verifier, note: Note, size: int, said: str) -> None:
        """Its own cosignature, once it was found to be right; whatever else it sent is left."""
        cosigned = Note.parse((note.text + "\n" + said).encode())
        if cosigned.text != note.text or witness not in cosigned.signed_by([witness]):
            raise WitnessSaidNo("its answer has no cosignature of its own")
        (line, *_) = (
            s for s in cosigned.signatures if (s.name, s.key_id) == (witness.name, witness.key_id)
        )
        seen = datetime.fromtimestamp(time_of(line), UTC)
        with self._connect() as connection:
            connection.execute(_KEEP, [size, str(witness), str(line), seen])


def add_checkpoint(old: int, path: Sequence[bytes], note: Note) -> bytes:
    """What a witness is sent."""
    lines = [f"old {old}", *(b64encode(step).decode() for step in path), "", str(note)]
    return "\n".join(lines).encode()
