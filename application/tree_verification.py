"""Proves that the tree in the database is the tree of the log, and what was signed is signed of it.

`application.verification` proves the records and the batch heads. This takes the hashes that the
heads commit to and makes all of the tree again: every byte of every tile, how far it has grown,
which leaf is which position's, the root under every checkpoint, and each signature. So a change to
what proofs are made from is found before somebody gets a proof that proves nothing.

It reads as things stand at one moment, while others write. Memory does not grow with the log.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from enum import StrEnum, unique
from typing import Any, Final

from psycopg import Connection, IsolationLevel

from application.proof.merkle import HASH_BYTES, Frontier
from application.proof.note import Checkpoint, Note, NoteInvalid, Signature, Verifier, opened
from application.proof.tiles import WIDTH, Growing, tiles_of
from application.record import LEAF_BYTES, BatchHead
from application.sealing import Connect
from domain.value import value

_HEADS_AT_ONCE: Final = 2_000
_WHOLE: Final = WIDTH * HASH_BYTES


@unique
class Part(StrEnum):
    """What of the tree is not as it must be."""

    GROWTH = "growth"  # how far it has grown is not where a batch of the log ends
    TILE = "tile"
    LEAF_RUN = "leaf_run"  # which leaf is which position's
    CHECKPOINT = "checkpoint"
    COSIGNATURE = "cosignature"


@value
class TreeFinding:
    """The first thing that is wrong; `at` says which one."""

    part: Part
    at: str
    detail: str


@value
class TreeVerification:
    """What was made again, and what was found."""

    leaves: int
    checkpoints: int
    first_bad: TreeFinding | None


class _Wrong(Exception):
    def __init__(self, part: Part, at: object, detail: str) -> None:
        super().__init__(detail)
        self.finding = TreeFinding(part=part, at=str(at), detail=detail)


def verify_tree(
    connect: Connect, verifier: Verifier, kept: Iterable[Note] = ()
) -> TreeVerification:
    """Make the tree again out of the log's batch heads, and compare. `verifier` is the key that
    the bank signs with. `kept` are checkpoints that somebody has elsewhere, with the cosignatures
    that they had: nothing in the database tells that one was removed there. Blocks."""
    with connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            with connection.transaction():
                return _Walk(connection, verifier, kept).run()
        finally:
            connection.isolation_level = None
            connection.read_only = None


class _Walk:
    """The tree grows again, and what is read beside it has to agree as it does."""

    def __init__(
        self, connection: Connection[Any], verifier: Verifier, kept: Iterable[Note]
    ) -> None:
        self._connection = connection
        self._verifier = verifier
        self._kept = {Checkpoint.parse(note.text).size: note for note in kept}
        self._growing = Growing()
        self._frontier = Frontier()
        self._ends: dict[tuple[int, int], bytes] = {}
        """The tiles that are not whole yet."""
        self._runs = self._rows(
            "runs", "SELECT first_position, first_leaf FROM ledgertwin.leaf_runs ORDER BY 1"
        )
        self._checkpoints = self._rows(
            "signed",
            "SELECT size, position, note, array(SELECT ARRAY[witness, line]"
            " FROM ledgertwin.cosignatures AS c WHERE c.size = k.size)"
            " FROM ledgertwin.checkpoints AS k ORDER BY size",
        )
        self._checkpoint = next(self._checkpoints, None)
        self._position = 0
        self._checked = 0

    def run(self) -> TreeVerification:
        found: TreeFinding | None = None
        try:
            self._grown()
        except _Wrong as wrong:
            found = wrong.finding
        return TreeVerification(
            leaves=self._growing.size, checkpoints=self._checked, first_bad=found
        )

    def _grown(self) -> None:
        row = self._connection.execute(
            "SELECT size, position, head FROM ledgertwin.merkle_log"
        ).fetchone()
        if row is None:
            raise _Wrong(Part.GROWTH, "merkle_log", "it is not known how far the tree has grown")
        size, position, head = row
        last = bytes(LEAF_BYTES)
        for batch in self._batches(position):
            self._take(batch)
            last = batch.head
        if (self._growing.size, self._position, last) != (size, position, bytes(head)):
            raise _Wrong(
                Part.GROWTH,
                position,
                f"the tree is said to have {size} leaves up to position {position}, and the log "
                f"has {self._growing.size} up to {self._position}",
            )
        self._compare(self._ends)
        self._no_others(size)

    def _batches(self, position: int) -> Iterator[BatchHead]:
        for first, leaves, head in self._rows(
            "heads",
            "SELECT first_position, leaves, head FROM ledgertwin.batch_heads"
            " WHERE first_position <= %s ORDER BY 1",
            position,
        ):
            yield BatchHead(first, bytes(leaves), bytes(head))

    def _take(self, batch: BatchHead) -> None:
        leaf = self._growing.size
        if batch.first != self._position + 1 or leaf == 0:
            run = next(self._runs, None)
            if run != (batch.first, leaf):
                said = "there is none" if run is None else f"it says leaf {run[1]} at {run[0]}"
                raise _Wrong(
                    Part.LEAF_RUN, batch.first, f"leaf {leaf} stands at {batch.first}, and {said}"
                )
        leaves = [batch.leaves[n : n + LEAF_BYTES] for n in range(0, len(batch.leaves), LEAF_BYTES)]
        tiles = self._growing.grow(leaves)
        self._ends |= {place: hashes for place, hashes in tiles.items() if len(hashes) < _WHOLE}
        whole = {place: hashes for place, hashes in tiles.items() if len(hashes) == _WHOLE}
        for place in whole:
            self._ends.pop(place, None)
        self._compare(whole)
        self._frontier.extend(leaves)
        self._position = batch.last
        self._signed()

    def _compare(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        for (level, place), hashes in tiles.items():
            row = self._connection.execute(
                "SELECT hashes FROM ledgertwin.tiles WHERE level = %s AND place = %s",
                [level, place],
            ).fetchone()
            if row is None or bytes(row[0]) != hashes:
                said = "is missing" if row is None else "is not what the log's hashes give"
                raise _Wrong(Part.TILE, f"{level}/{place}", f"tile {place} of level {level} {said}")

    def _signed(self) -> None:
        """The checkpoints of the size that the tree has just come to."""
        size = self._growing.size
        while self._checkpoint is not None and self._checkpoint[0] <= size:
            self._check(*self._checkpoint)
            self._checked += 1
            self._checkpoint = next(self._checkpoints, None)

    def _check(self, size: int, position: int, note: str, cosigned: list[list[str]]) -> None:
        try:
            signed, read = opened(note.encode(), self._verifier)
        except NoteInvalid as invalid:
            raise _Wrong(Part.CHECKPOINT, size, str(invalid)) from invalid
        here = (self._growing.size, self._position, self._frontier.root())
        if (size, position, signed.root) != here or signed.size != size:
            raise _Wrong(
                Part.CHECKPOINT,
                size,
                f"what was signed of {signed.size} records is not the log up to {position}",
            )
        if str(read) != note or len(read.signatures) != 1:
            raise _Wrong(Part.CHECKPOINT, size, "there is more in it than the bank's signature")
        lines = {_cosigned(size, read, witness, line) for witness, line in cosigned}
        self._still_has(size, read, lines)

    def _still_has(self, size: int, note: Note, cosigned: Set[Signature]) -> None:
        """All that somebody has kept of it."""
        kept = self._kept.pop(size, None)
        if kept is None:
            return
        if kept.text != note.text:
            raise _Wrong(Part.CHECKPOINT, size, "another one of that size was kept")
        if gone := {*kept.signatures} - {*note.signatures} - cosigned:
            names = ", ".join(sorted(signature.name for signature in gone))
            raise _Wrong(Part.COSIGNATURE, size, f"it was signed by {names} when it was kept")

    def _no_others(self, size: int) -> None:
        """Nothing is beyond what the log gives."""
        if self._checkpoint is not None:
            at, *_ = self._checkpoint
            raise _Wrong(Part.CHECKPOINT, at, f"it is of {at} records, and the tree has {size}")
        if self._kept:
            at = min(self._kept)
            raise _Wrong(Part.CHECKPOINT, at, f"one of {at} records was kept, and is gone")
        if (run := next(self._runs, None)) is not None:
            raise _Wrong(Part.LEAF_RUN, run[0], "no run of positions begins there")
        row = self._connection.execute("SELECT count(*) FROM ledgertwin.tiles").fetchone()
        tiles = sum(1 for _ in tiles_of(size))
        if row != (tiles,):
            raise _Wrong(Part.TILE, "all", f"there are {row and row[0]} tiles, and not {tiles}")
        row = self._connection.execute(
            "SELECT c.size FROM ledgertwin.cosignatures AS c"
            " WHERE NOT EXISTS (SELECT FROM ledgertwin.checkpoints AS k WHERE k.size = c.size)"
        ).fetchone()
        if row is not None:
            raise _Wrong(Part.COSIGNATURE, row[0], "there is no checkpoint that it is of")

    def _rows(self, name: str, query: Any, *given: Any) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name) as cursor:
            cursor.itersize = _HEADS_AT_ONCE
            cursor.execute(query, given)
            yield from cursor


def _cosigned(size: int, note: Note, witness: str, line: str) -> Signature:
    try:
        verifier = Verifier.parse(witness)
        read = Note.parse(f"{note.text}\n{line}".encode())
        holds = verifier in read.signed_by([verifier])
    except NoteInvalid as invalid:
        raise _Wrong(Part.COSIGNATURE, size, str(invalid)) from invalid
    if not holds or str(verifier) != witness or "".join(map(str, read.signatures)) != line:
        raise _Wrong(Part.COSIGNATURE, size, f"{verifier.name} has not signed it so")
    return read.signatures[0]
