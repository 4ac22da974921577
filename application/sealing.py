"""Seals the log: grows its Merkle tree, and has the bank sign how far it has come.

A record is `recorded` when it is committed and chained, `sealed` when a signed checkpoint covers
it, `witnessed` when somebody else has cosigned one that does.

The sealer follows the log in the order of positions and admits nothing that it has not checked: the
stored bytes against the record's hash, the batch heads one after the other, and each record's link
to the one before in its stream. So it is a verifier that never sleeps, and it stops at the first
record that is not as it was written.

What it signs is guarded by a file beside the keys, outside the database: the last checkpoint that
was signed. Nothing is signed that does not begin with that one. So a database that was set back to
an old backup, or in which history was rewritten, gets no signature any more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import Connection

from application.event_log import EventLog, RawRecord
from application.keystore import Custodian
from application.proof.files import replace_durably
from application.proof.merkle import HASH_BYTES, root_of
from application.proof.note import Checkpoint, Note, Verifier, opened, signature_of
from application.proof.tiles import WIDTH, Growing, Tile, TileMissing, node_of, split
from application.record import GENESIS, LEAF_BYTES, BatchHead, batch_head, record_hash

PURPOSE: Final = "checkpoint"
"""Of the key that signs, which it has to itself."""

STRETCH: Final = 2_000
"""So many appends are sealed at once."""

_GROWTH: Final = "SELECT size, position, head FROM ledgertwin.merkle_log"
_GROWTH_LOCKED: Final = _GROWTH + " FOR UPDATE"
_WITH_COSIGNATURES: Final = (
    "SELECT note, array(SELECT line FROM ledgertwin.cosignatures AS c"
    " WHERE c.size = checkpoints.size ORDER BY witness) FROM ledgertwin.checkpoints"
)
_LATEST: Final = _WITH_COSIGNATURES + " ORDER BY size DESC LIMIT 1"
_COVERING: Final = _WITH_COSIGNATURES + " WHERE size >= %s ORDER BY size LIMIT 1"

Connect = Callable[[], AbstractContextManager[Connection[Any]]]


class LogBroken(Exception):
    """The log is not as it was written; the message names the first record that is not."""


class NotConsistent(Exception):
    """What is to be signed does not begin with what was signed before."""


class Growth(NamedTuple):
    """How far the tree has grown: leaves, the position of the last one, and its batch's head."""

    size: int
    position: int
    head: bytes


class Tree:
    """The tree as it is kept. Its methods block, and may be called from any thread."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def growth(self) -> Growth:
        with self._connect() as connection:
            return _growth(connection)

    def read(self, tile: Tile) -> bytes:
        """A tile's hashes; TileMissing."""
        with self._connect() as connection:
            row = connection.execute(
                "SELECT hashes FROM ledgertwin.tiles WHERE level = %s AND place = %s",
                [tile.level, tile.place],
            ).fetchone()
        if row is None or len(row[0]) < tile.width * HASH_BYTES:
            raise TileMissing(tile.path)
        return bytes(row[0][: tile.width * HASH_BYTES])

    def root(self, size: int) -> bytes:
        """Of the tree over the first `size` leaves."""
        return root_of(0, size, node_of(size, self.read))

    def leaf_of(self, position: int) -> int | None:
        """The index of the leaf of the record at a position; None if the tree has none there."""
        with self._connect() as connection:
            row = connection.execute(
                "SELECT first_position, first_leaf, (SELECT min(n.first_leaf)"
                " FROM ledgertwin.leaf_runs AS n WHERE n.first_position > %(position)s), log.size"
                " FROM ledgertwin.leaf_runs AS run, ledgertwin.merkle_log AS log"
                " WHERE run.first_position <= %(position)s"
                " ORDER BY run.first_position DESC LIMIT 1",
                {"position": position},
            ).fetchone()
        if row is None:
            return None
        first_position, first_leaf, next_leaf, size = row
        leaf: int = first_leaf + position - first_position
        return leaf if leaf < (size if next_leaf is None else next_leaf) else None

    def latest(self) -> Note | None:
        """The latest checkpoint, with its cosignatures."""
        return self._checkpoint(_LATEST)

    def covering(self, size: int) -> Note | None:
        """The first checkpoint of at least so many leaves, with its cosignatures."""
        return self._checkpoint(_COVERING, size)

    def checkpoints(self) -> Sequence[tuple[int, Note]]:
        """All that were signed, with their cosignatures, by their sizes."""
        with self._connect() as connection:
            rows = connection.execute(_WITH_COSIGNATURES + " ORDER BY size").fetchall()
        notes = [Note.parse((note + "".join(lines)).encode()) for note, lines in rows]
        return [(Checkpoint.parse(note.text).size, note) for note in notes]

    def _checkpoint(self, query: LiteralString, *given: int) -> Note | None:
        with self._connect() as connection:
            row = connection.execute(query, given).fetchone()
        return None if row is None else Note.parse((row[0] + "".join(row[1])).encode())


class Sealer:
    """Follows the log, one process at a time. Its methods block."""

    def __init__(self, log: EventLog, connect: Connect, signer: "Signer") -> None:
        self._log = log
        self._connect = connect
        self._signer = signer
        self.tree = Tree(connect)

    def advance(self) -> bool:
        """Take in the next stretch of the log; whether there may be more. LogBroken."""
        with self._connect() as connection, connection.transaction():
            before = _growth(connection, _GROWTH_LOCKED)
            heads = self._log.batch_heads(before.position + 1, STRETCH)
            if not heads:
                return False
            self._check(before, heads)
            _grow(connection, before, heads)
        return len(heads) == STRETCH

    def sign(self, now: datetime) -> Note | None:
        """A checkpoint of the tree as it stands, if it has grown since the last one.
        NotConsistent."""
        with self._connect() as connection, connection.transaction():
            growth = _growth(connection, _GROWTH_LOCKED)
            row = connection.execute("SELECT max(size) FROM ledgertwin.checkpoints").fetchone()
            assert row is not None
            if growth.size <= (row[0] or 0):
                return None
            note = self._signer.sign(growth.size, self.tree.root)
            connection.execute(
                "INSERT INTO ledgertwin.checkpoints (size, position, note, signed_at)"
                " VALUES (%s, %s, %s, %s)",
                [growth.size, growth.position, str(note), now],
            )
        return note

    def _check(self, before: Growth, heads: Sequence[BatchHead]) -> None:
        records = self._log.stretch(before.position + 1, heads[-1].last)
        _check_heads(before.head, heads)
        leaves = _check_places(heads, records)
        _check_links(records, leaves, self._before(records))

    def _before(self, records: Sequence[RawRecord]) -> Mapping[tuple[bytes, int], str]:
        """The hashes of records that stand before the first ones of each stream, by stream and
        version: they were admitted earlier."""
        firsts: dict[bytes, int] = {}
        for _, stream, version, _, _ in records:
            firsts.setdefault(stream, version)
        wanted = [(UUID(bytes=s), v - 1) for s, v in firsts.items() if v > 1]
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT e.originator_id, e.originator_version, e.topic, e.state"
                " FROM unnest(%s::uuid[], %s::bigint[]) AS wanted (id, version)"
                " JOIN ledgertwin.bank_events AS e"
                " ON e.originator_id = wanted.id AND e.originator_version = wanted.version",
                [[stream for stream, _ in wanted], [version for _, version in wanted]],
            ).fetchall()
        return {
            (stream.bytes, version): record_hash(stream, version, topic, bytes(state))
            for stream, version, topic, state in rows
        }


class Signer:
    """Signs checkpoints for one log, and never two that contradict each other.

    `origin` names the log. `kept` is the file of the last checkpoint, on a disk that is not the
    database's to set back.
    """

    def __init__(self, custodian: Custodian, origin: str, kept: Path) -> None:
        self._custodian = custodian
        self._kept = kept
        self.verifier = Verifier(origin, custodian.public_key(PURPOSE))

    def last(self) -> Checkpoint | None:
        """What was signed last. NoteInvalid if the file is not what was written."""
        try:
            note = self._kept.read_bytes()
        except FileNotFoundError:
            return None
        return opened(note, self.verifier)[0]

    def sign(self, size: int, root: Callable[[int], bytes]) -> Note:
        """A checkpoint of this size, where `root` tells the root of the tree at any size up to it.
        NotConsistent if it is not the tree of which an earlier one was signed."""
        last = self.last()
        if last is not None and (size < last.size or root(last.size) != last.root):
            raise NotConsistent(
                f"a checkpoint of {last.size} records was signed, and this log of {size} does not "
                "begin with it: it was set back, or rewritten. Nothing more is signed"
            )
        text = str(Checkpoint(self.verifier.name, size, root(size)))
        signed = signature_of(self.verifier, text, lambda data: self._custodian.sign(PURPOSE, data))
        note = Note(text, (signed,))
        replace_durably(self._kept, str(note).encode())
        return note


def _growth(connection: Connection[Any], query: LiteralString = _GROWTH) -> Growth:
    row = connection.execute(query).fetchone()
    assert row is not None
    return Growth(row[0], row[1], bytes(row[2]))


def _grow(connection: Connection[Any], before: Growth, heads: Sequence[BatchHead]) -> None:
    growing = Growing(before.size, _ends(connection, before.size))
    tiles = growing.grow(leaf for head in heads for leaf in split(head.leaves))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ledgertwin.tiles (level, place, hashes) VALUES (%s, %s, %s)"
            " ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes",
            [(level, place, hashes) for (level, place), hashes in tiles.items()],
        )
        cursor.executemany(
            "INSERT INTO ledgertwin.leaf_runs (first_position, first_leaf) VALUES (%s, %s)",
            list(_runs(before, heads)),
        )
    connection.execute(
        "UPDATE ledgertwin.merkle_log SET size = %s, position = %s, head = %s",
        [growing.size, heads[-1].last, heads[-1].head],
    )


def _ends(connection: Connection[Any], size: int) -> list[list[bytes]]:
    """What the last tile of each level is filled with."""
    ends: list[list[bytes]] = []
    while size >> (8 * len(ends)):
        level = len(ends)
        count = size >> (8 * level)
        row = connection.execute(
            "SELECT hashes FROM ledgertwin.tiles WHERE level = %s AND place = %s",
            [level, count // WIDTH],
        ).fetchone()
        ends.append(split(bytes(row[0])) if row is not None else [])
    return ends


def _runs(before: Growth, heads: Iterable[BatchHead]) -> Iterable[tuple[int, int]]:
    """Where positions begin anew after a gap, and the index of the leaf there."""
    position, leaf = before.position, before.size
    for head in heads:
        if head.first != position + 1 or leaf == 0:
            yield head.first, leaf
        leaf += len(head.leaves) // LEAF_BYTES
        position = head.last


def _check_heads(before: bytes, heads: Iterable[BatchHead]) -> None:
    for head in heads:
        if batch_head(before, head.first, head.leaves) != head.head:
            raise LogBroken(f"the batch at position {head.first} is not the one that was written")
        before = head.head


def _check_places(heads: Sequence[BatchHead], records: Sequence[RawRecord]) -> Sequence[bytes]:
    """Every record is where a batch has it, and is what its hash says: the hashes."""
    expected = [place for head in heads for place in enumerate(split(head.leaves), head.first)]
    for (position, leaf), record in zip(expected, records, strict=False):
        found, stream, version, topic, state = record
        if found != position:
            raise LogBroken(f"a record is missing or was put in at position {min(found, position)}")
        if record_hash(UUID(bytes=stream), version, topic, state) != leaf.hex():
            raise LogBroken(f"the record at position {position} was changed")
    if len(expected) != len(records):
        raise LogBroken(f"a record is missing or was put in after position {heads[0].first}")
    return [leaf for _, leaf in expected]


def _check_links(
    records: Sequence[RawRecord],
    leaves: Sequence[bytes],
    before: Mapping[tuple[bytes, int], str],
) -> None:
    """Each record names the hash of the one before it in its stream."""
    hashes = dict(before)
    for (position, stream, version, _, state), leaf in zip(records, leaves, strict=True):
        prev = GENESIS if version == 1 else hashes.pop((stream, version - 1), None)
        if prev is None or not state.endswith(b'"prev":"%b"}' % prev.encode()):
            raise LogBroken(f"the record at position {position} does not follow the one before")
        hashes[stream, version] = leaf.hex()
