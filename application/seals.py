"""How far the log is sealed and witnessed: the three states that a record goes through.

Each is reached by all records up to a position at once, so two positions say it of every record
there is: the last one under a signed checkpoint, and the last one under a checkpoint that enough
witnesses have cosigned.
"""

import os
from enum import StrEnum, unique
from pathlib import Path
from typing import Final, NamedTuple

from application.proof.note import Checkpoint, Note, NoteInvalid
from application.proof.policy import NONE, Policy
from application.sealing import Connect

_SEALED: Final = (
    "SELECT (SELECT coalesce(max(position), 0) FROM ledgertwin.checkpoints), broken"
    " FROM ledgertwin.merkle_log"
)
_COSIGNED: Final = (
    "SELECT position, note, array(SELECT line FROM ledgertwin.cosignatures AS c"
    " WHERE c.size = checkpoints.size ORDER BY witness) FROM ledgertwin.checkpoints"
    " WHERE position > %s"
    " AND EXISTS (SELECT FROM ledgertwin.cosignatures AS c WHERE c.size = checkpoints.size)"
    " ORDER BY size DESC LIMIT 1000"
)


@unique
class RecordState(StrEnum):
    """How well a record is proven. Each includes the one before."""

    RECORDED = "RECORDED"
    SEALED = "SEALED"
    WITNESSED = "WITNESSED"


class Stand(NamedTuple):
    """The last positions that are sealed and that are witnessed; 0 if none is. `broken` says why
    nothing more is sealed, where something is not as it was written."""

    sealed: int
    witnessed: int
    broken: str | None = None

    def state_of(self, position: int) -> RecordState:
        """Of a record that there is."""
        if position <= self.witnessed:
            return RecordState.WITNESSED
        return RecordState.SEALED if position <= self.sealed else RecordState.RECORDED

    def reached(self, position: int, state: RecordState) -> bool:
        """Whether everything up to this position has come to this state."""
        match state:
            case RecordState.WITNESSED:
                return position <= self.witnessed
            case RecordState.SEALED:
                return position <= self.sealed
            case _:
                return True


class Seals:
    """Reads it. Its methods block, and may be called from any thread."""

    def __init__(self, connect: Connect, policy: Policy) -> None:
        self._connect = connect
        self._policy = policy
        # Signatures are checked once: what was witnessed stays so.
        self._witnessed = 0
        self._witnessed_note: Note | None = None

    @property
    def witnessed(self) -> Note | None:
        """The latest checkpoint that enough witnesses have cosigned, as of the last `stand`."""
        return self._witnessed_note

    def put(self, latest: Note | None, folder: Path) -> None:
        """Put the latest checkpoint into a folder, and the latest one that is witnessed: as
        `<size>` and `<size>.witnessed`. What is there is left as it is."""
        self.stand()
        for note, ending in ((latest, ""), (self._witnessed_note, ".witnessed")):
            if note is not None:
                _put(folder / f"{Checkpoint.parse(note.text).size}{ending}", str(note).encode())

    def stand(self) -> Stand:
        with self._connect() as connection:
            row = connection.execute(_SEALED).fetchone()
            assert row is not None
            if self._policy.quorum != NONE:
                for position, signed, lines in connection.execute(_COSIGNED, [self._witnessed]):
                    note = self._cosigned(signed + "".join(lines))
                    if note is not None:
                        self._witnessed, self._witnessed_note = position, note
                        break
        return Stand(sealed=row[0], witnessed=self._witnessed, broken=row[1])

    def _cosigned(self, text: str) -> Note | None:
        """The note, if enough have cosigned it. One with a cosignature that is wrong they have not;
        whoever verifies the log names it."""
        try:
            note = Note.parse(text.encode())
            return note if self._policy.satisfied_by(note) else None
        except NoteInvalid:
            return None


def _put(path: Path, content: bytes) -> None:
    """As storage takes it that can be written once: under its own name from the beginning."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return
