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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import Connection

from application.keystore import Custodian
from application.proof.files import replace_durably
from application.proof.merkle import HASH_BYTES, Node, root_of
from application.proof.note import Checkpoint, Note, Verifier, opened, signature_of
from application.proof.tiles import WIDTH, Growing, Tile, TileMissing, node_of, split
from application.record import GENESIS, BatchHead, batch_head, record_leaf

PURPOSE: Final = "checkpoint"
"""Of the key that signs, which it has to itself."""

HEADS_AT_ONCE: Final = 2_000
RECORDS_AT_ONCE: Final = 20_000
"""So many appends, or records, are sealed in one transaction; of an append, all records."""
ENDS_KEPT: Final = 50_000
"""Of so many streams, those that were written to last, the end is remembered: some 15 MB. Of others
the last record is read again, which takes the database longer than all else of a record."""

_COMMANDS: Final = frozenset({b"command.accepted.v1", b"command.refused.v1"})
"""Whose streams have one record."""

_GROWTH: Final = "SELECT size, position, head FROM ledgertwin.merkle_log"
# Whoever locks a row writes; so nobody does before there is something to do.
_GROWTH_TO_GROW: Final = (
    _GROWTH + " WHERE EXISTS (SELECT FROM ledgertwin.batch_heads WHERE first_position > position)"
    " FOR UPDATE SKIP LOCKED"
)
_GROWTH_TO_SIGN: Final = (
    _GROWTH  # noqa: S608 -- it is written here
    + " WHERE size > (SELECT coalesce(max(size), 0) FROM ledgertwin.checkpoints)"
    " FOR UPDATE SKIP LOCKED"
)
_HEADS: Final = (
    "SELECT first_position, leaves, head FROM ("
    " SELECT *, sum(octet_length(leaves)) OVER (ORDER BY first_position) - octet_length(leaves)"
    " AS bytes_before FROM (SELECT * FROM ledgertwin.batch_heads WHERE first_position > %s"
    " ORDER BY first_position LIMIT %s) AS next"
    ") AS counted WHERE bytes_before < %s ORDER BY first_position"
)
_RECORDS: Final = (
    "SELECT notification_id, uuid_send(originator_id), originator_version,"
    " convert_to(topic, 'UTF8'), state FROM ledgertwin.bank_events"
    " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id"
)
_LAST_RECORDS: Final = (
    "SELECT uuid_send(e.originator_id), e.originator_version, convert_to(e.topic, 'UTF8'), e.state"
    " FROM unnest(%s::uuid[], %s::bigint[]) AS wanted (id, version)"
    " JOIN ledgertwin.bank_events AS e"
    " ON e.originator_id = wanted.id AND e.originator_version = wanted.version"
)
_WITH_COSIGNATURES: Final = (
    "SELECT note, array(SELECT line FROM ledgertwin.cosignatures AS c"
    " WHERE c.size = checkpoints.size ORDER BY witness) FROM ledgertwin.checkpoints"
)
_LATEST: Final = _WITH_COSIGNATURES + " ORDER BY size DESC LIMIT 1"
_COVERING: Final = _WITH_COSIGNATURES + " WHERE size >= %s ORDER BY size LIMIT 1"

_LEAVES: Final = """
SELECT wanted.position, run.first_leaf + wanted.position - run.first_position
FROM unnest(%s::bigint[]) AS wanted (position)
CROSS JOIN LATERAL (
    SELECT first_position, first_leaf FROM ledgertwin.leaf_runs
    WHERE first_position <= wanted.position ORDER BY first_position DESC LIMIT 1
) AS run
CROSS JOIN ledgertwin.merkle_log AS log
WHERE run.first_leaf + wanted.position - run.first_position < coalesce(
    (SELECT min(next.first_leaf) FROM ledgertwin.leaf_runs AS next
     WHERE next.first_position > wanted.position),
    log.size
)
"""
"""A run of positions without a gap ends where the next one begins, or where the tree does."""

Connect = Callable[[], AbstractContextManager[Connection[Any]]]

_Row = tuple[int, bytes, int, bytes, bytes]
"""A record as it is read: its position, stream, version, topic and state."""
_Ends = dict[bytes, tuple[int, bytes]]
"""By stream, the version of the last record that was admitted, and its hash."""
_NONE: Final = (0, bytes.fromhex(GENESIS))
"""What the first record of a stream follows."""


class LogBroken(Exception):
    """The log is not as it was written, and the message names the first record that is not; or the
    tree is not."""


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
            growth = _growth(connection, _GROWTH)
        assert growth is not None
        return growth

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

    @contextmanager
    def at_hand(self) -> Iterator["Tree"]:
        """The same, but that all is read over one connection, until the block ends."""
        with self._connect() as connection:
            yield Tree(lambda: nullcontext(connection))

    @contextmanager
    def nodes(self, size: int) -> Iterator[Node]:
        """Those of the tree over the first `size` leaves, until the block ends."""
        with self.at_hand() as tree:
            yield node_of(size, tree.read)

    def root(self, size: int) -> bytes:
        """Of the tree over the first `size` leaves."""
        with self.nodes(size) as node:
            return root_of(0, size, node)

    def leaf_of(self, position: int) -> int | None:
        """The index of the leaf of the record at a position; None if the tree has none there."""
        return self.leaves_of([position]).get(position)

    def leaves_of(self, positions: Sequence[int]) -> Mapping[int, int]:
        """The indices of the leaves of the records at these positions, with one query; of those
        where the tree has none, nothing."""
        with self._connect() as connection:
            rows = connection.execute(_LEAVES, [list(positions)]).fetchall()
        return dict(rows)

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
    """Follows the log. Of several, the one that has the row of the tree goes on, and to the others
    there is nothing to do. Its methods block, and are called by one thread."""

    def __init__(self, connect: Connect, signer: "Signer") -> None:
        self._connect = connect
        self._signer = signer
        self._ends: _Ends = {}
        self._left: Growth | None = None
        self.tree = Tree(connect)

    def advance(self) -> bool:
        """Take in the next stretch of the log; whether there may be more. LogBroken."""
        with self._connect() as connection, connection.transaction():
            before = _growth(connection, _GROWTH_TO_GROW)
            if before is None:
                return False
            heads = _heads(connection, before.position)
            records = _records(connection, before.position, heads[-1].last)
            leaves = _check_places(before, heads, records)
            # Another one may have gone on with the tree, and what failed has not grown it.
            ends = self._ends if before == self._left else {}
            self._left = None
            _look_up(connection, records, ends)
            _check_links(records, leaves, ends)
            after = _grow(connection, before, heads, leaves)
            self._ends, self._left = _latest(ends), after
        return len(heads) == HEADS_AT_ONCE or len(records) >= RECORDS_AT_ONCE

    def sign(self, now: datetime) -> Note | None:
        """A checkpoint of the tree as it stands, if it has grown since the last one.
        NotConsistent, LogBroken."""
        with self._connect() as connection, connection.transaction():
            growth = _growth(connection, _GROWTH_TO_SIGN)
            if growth is None:
                return None
            try:
                note = self._signer.sign(growth.size, Tree(lambda: nullcontext(connection)).root)
            except TileMissing as missing:
                raise LogBroken(f"the tree is not whole: {missing}") from missing
            connection.execute(
                "INSERT INTO ledgertwin.checkpoints (size, position, note, signed_at)"
                " VALUES (%s, %s, %s, %s)",
                [growth.size, growth.position, str(note), now],
            )
        return note

    def tell(self, broken: str | None) -> None:
        """Say to those who read the database why nothing is sealed any more; None if all is well
        again."""
        with self._connect() as connection:
            connection.execute(
                "UPDATE ledgertwin.merkle_log SET broken = %(broken)s"
                " WHERE broken IS DISTINCT FROM %(broken)s",
                {"broken": broken},
            )


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


def _growth(connection: Connection[Any], query: LiteralString) -> Growth | None:
    row = connection.execute(query).fetchone()
    return None if row is None else Growth(row[0], row[1], bytes(row[2]))


def _heads(connection: Connection[Any], after: int) -> Sequence[BatchHead]:
    at_most = RECORDS_AT_ONCE * HASH_BYTES
    rows = connection.execute(_HEADS, [after, HEADS_AT_ONCE, at_most], binary=True)
    return [BatchHead(*row) for row in rows.fetchall()]


def _records(connection: Connection[Any], after: int, last: int) -> Sequence[_Row]:
    return connection.execute(_RECORDS, [after, last], binary=True).fetchall()


def _look_up(connection: Connection[Any], records: Sequence[_Row], ends: _Ends) -> None:
    """What stands before the first ones of each stream, where it is not remembered: it was admitted
    earlier."""
    missing = {stream for _, stream, version, _, _ in records if version > 1} - ends.keys()
    if not missing:
        return
    # Of those that come several times, the first one is looked at last.
    firsts = {row[1]: row[2] for row in reversed(records) if row[1] in missing}
    wanted = [[stream.hex() for stream in firsts], [version - 1 for version in firsts.values()]]
    rows = connection.execute(_LAST_RECORDS, wanted, binary=True).fetchall()
    ends |= {row[0]: (row[1], record_leaf(*row)) for row in rows}


def _latest(ends: _Ends) -> _Ends:
    """Those of the streams that were written to last."""
    if len(ends) <= 2 * ENDS_KEPT:
        return ends
    return dict(islice(ends.items(), len(ends) - ENDS_KEPT, None))


def _grow(
    connection: Connection[Any],
    before: Growth,
    heads: Sequence[BatchHead],
    leaves: Sequence[bytes],
) -> Growth:
    try:
        growing = Growing(before.size, _last_tiles(connection, before.size))
    except ValueError as wrong:
        raise LogBroken(f"the tree is not that of {before.size} records: {wrong}") from wrong
    tiles = growing.grow(leaves)
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
    after = Growth(growing.size, heads[-1].last, heads[-1].head)
    connection.execute(
        "UPDATE ledgertwin.merkle_log SET size = %s, position = %s, head = %s", after
    )
    return after


def _last_tiles(connection: Connection[Any], size: int) -> list[list[bytes]]:
    """What the last tile of each level is filled with."""
    places = [(size >> (8 * level)) // WIDTH for level in range((size.bit_length() + 7) // 8)]
    rows = connection.execute(
        "SELECT level, hashes FROM unnest(%s::bigint[]) WITH ORDINALITY AS last (place, nth)"
        " JOIN ledgertwin.tiles USING (place) WHERE level = nth - 1",
        [places],
    )
    filled = {level: split(bytes(hashes)) for level, hashes in rows.fetchall()}
    return [filled.get(level, []) for level in range(len(places))]


def _runs(before: Growth, heads: Iterable[BatchHead]) -> Iterable[tuple[int, int]]:
    """Where positions begin anew after a gap, and the index of the leaf there."""
    position, leaf = before.position, before.size
    for head in heads:
        if head.first != position + 1 or leaf == 0:
            yield head.first, leaf
        leaf += len(head.leaves) // HASH_BYTES
        position = head.last


def _check_places(
    before: Growth, heads: Sequence[BatchHead], records: Sequence[_Row]
) -> Sequence[bytes]:
    """Every batch follows the one before, every record is where its batch has it, and is what its
    hash says: the hashes."""
    last = before.head
    for head in heads:
        if batch_head(last, head.first, head.leaves) != head.head:
            raise LogBroken(f"the batch at position {head.first} is not the one that was written")
        last = head.head
    expected = split(b"".join(head.leaves for head in heads))
    positions = [position for head in heads for position in range(head.first, head.last + 1)]
    leaves = [record_leaf(*record[1:]) for record in records]
    if positions != [record[0] for record in records]:
        at = min({*positions} ^ {record[0] for record in records})
        raise LogBroken(f"a record is missing or was put in at position {at}")
    if leaves != expected:
        at = next(
            p for p, one, other in zip(positions, leaves, expected, strict=True) if one != other
        )
        raise LogBroken(f"the record at position {at} was changed")
    return leaves


def _check_links(records: Sequence[_Row], leaves: Sequence[bytes], ends: _Ends) -> None:
    """Each record names the hash of the one before it in its stream; and is its end from now on."""
    for (position, stream, version, topic, state), leaf in zip(records, leaves, strict=True):
        before, hashed = ends.pop(stream, _NONE)
        if version != before + 1 or not state.endswith(b'"prev":"%b"}' % hashed.hex().encode()):
            raise LogBroken(f"the record at position {position} does not follow the one before")
        if topic not in _COMMANDS:
            ends[stream] = version, leaf
