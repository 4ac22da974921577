"""Reads a bank's own database as a log to verify: see proof/bundles.py, which does. It can write
nothing.

All of it is read as it stands at one moment, while others write, by as many processes as there are.
What it reads is believed no more than what stands in an export.

A record is held against two things here. The batch heads commit to every record in its place and to
each other, as soon as it is recorded; the tree, which is signed, follows within seconds. What
proofs are made from (how far the tree has grown, which leaf stands where, every tile, what was
signed and cosigned) has to be what the heads give.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, LiteralString, Self
from uuid import UUID

import psycopg
from psycopg import Connection, Cursor, IsolationLevel, sql
from psycopg.rows import RowMaker

from application.proof.chains import Committed
from application.proof.merkle import HASH_BYTES
from application.proof.source import BUNDLE, Part, Signed
from application.proof.tiles import Tile, TileMissing, tiles_of
from application.proof.verify import Kind, Problem, Row
from application.record import LEAF_BYTES, NO_HEAD, BatchHead, batch_head

_NOWHERE: Final = -(2**63) - 1
"""Before whatever position a record that was put in can have."""
_MARK: Final = re.compile(r"(-?[0-9]{1,19}):([0-9a-f]{64})", re.ASCII)
# Texts are read as the bytes that they are: somebody who has the disk may have put there what is no
# text at all, and that must not stop who looks for it.
_LATEST: Final = (
    "SELECT textsend(note || array_to_string(array(SELECT line FROM ledgertwin.cosignatures AS c"
    " WHERE c.size = checkpoints.size ORDER BY witness), '')) FROM ledgertwin.checkpoints"
    " ORDER BY size DESC LIMIT 1"
)
_CHECKPOINTS: Final = (
    "SELECT size, textsend(note), position, array(SELECT ARRAY[textsend(witness), textsend(line)]"
    " FROM ledgertwin.cosignatures AS c WHERE c.size = k.size)"
    " FROM ledgertwin.checkpoints AS k WHERE size > %s AND size <= %s ORDER BY size"
)
_RECORDS: Final = (
    "SELECT notification_id, uuid_send(originator_id), originator_version,"
    " textsend(topic), state FROM ledgertwin.bank_events WHERE notification_id >= %s"
    " AND notification_id <= %s ORDER BY notification_id LIMIT %s"
)
_KEPT: Final = (
    "SELECT count(*) FROM ledgertwin.vault_values AS sealed"
    " WHERE EXISTS (SELECT FROM ledgertwin.vault_keys AS key WHERE key.dek_id = sealed.dek_id)"
)
_UNOPENED: Final = (
    "SELECT w.place FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::uuid[], %s::text[])"
    " WITH ORDINALITY AS w (stream_id, version, field, subject, retention, place)"
    " LEFT JOIN ledgertwin.vault_values AS v USING (stream_id, version, field)"
    " LEFT JOIN ledgertwin.vault_keys AS k USING (subject, retention)"
    " WHERE v.dek_id IS NULL OR v.dek_id IS DISTINCT FROM k.dek_id ORDER BY w.place"
)
_HEADS: Final = (
    "SELECT first_position, leaves, head FROM ledgertwin.batch_heads"
    " WHERE first_position >= %s ORDER BY first_position LIMIT 2000"
)
_EVERYTHING: Final = 2**63 - 1


class StoredLog:
    """The log in a database, as it stands when this is opened. Whoever it is handed to reads the
    same, over a connection of his own, for as long as this is not closed."""

    def __init__(self, url: str) -> None:
        self._url = url
        (self._moment,) = self._row("SELECT pg_export_snapshot()")

    def __getstate__(self) -> dict[str, Any]:
        return {"_url": self._url, "_moment": self._moment}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @cached_property
    def note(self) -> bytes | None:
        found = self._connection.execute(_LATEST).fetchone()
        return None if found is None else bytes(found[0])

    @cached_property
    def size(self) -> int:
        """As the batch heads have it."""
        query = "SELECT coalesce(sum(octet_length(leaves)), 0) / %s FROM ledgertwin.batch_heads"
        return int(self._row(query, LEAF_BYTES)[0])

    @property
    def kept_values(self) -> int:
        return int(self._row(_KEPT)[0])

    def parts(self, begin: int, mark: str, cut: int) -> Iterator[Part]:
        """As the batch heads have them, each of which has to follow from the one before."""
        heads = _Heads(self, begin, mark, cut)
        try:
            yield from heads.parts()
        except Problem:
            yield from heads.rest()
            raise

    def records(self, part: Part) -> Sequence[Row]:
        first, last, limit = part.after + 1, part.last, None
        if not part.runs:
            last, limit = _EVERYTHING, 1
        rows = self._connection.execute(_RECORDS, [first, last, limit], binary=True)
        return rows.fetchall()

    def everything(self) -> Iterator[Row]:
        after = _NOWHERE
        while rows := self._connection.execute(
            _RECORDS, [after + 1, _EVERYTHING, BUNDLE], binary=True
        ).fetchall():
            yield from rows
            after = rows[-1][0]
            if after == _EVERYTHING:
                return

    def tile(self, tile: Tile) -> bytes:
        found = self._connection.execute(
            "SELECT hashes FROM ledgertwin.tiles WHERE level = %s AND place = %s",
            [tile.level, tile.place],
            binary=True,
        ).fetchone()
        if found is None or len(found[0]) < tile.width * HASH_BYTES:
            raise TileMissing(tile.path)
        return bytes(found[0][: tile.width * HASH_BYTES])

    def checkpoints(self, begin: int, end: int | None) -> Sequence[Signed]:
        last = _EVERYTHING if end is None else end
        return [
            Signed(size, bytes(note), position, [(_text(w), _text(line)) for w, line in lines])
            for size, note, position, lines in self._connection.execute(_CHECKPOINTS, [begin, last])
        ]

    def unopened(self, values: Sequence[Committed]) -> Sequence[Committed]:
        """Those whose row in the vault is gone, or names another key than their class has now."""
        columns = [[getattr(v, name) for v in values] for name in Committed._fields[1:]]
        places = self._connection.execute(_UNOPENED, columns)
        return [values[place - 1] for (place,) in places]

    # --- which leaf stands where, as the tree's own index says ------------------------------------

    def leaf_of(self, position: int) -> int:
        """The index of the leaf of the record there. TileMissing."""
        runs = self.runs
        found = bisect_right(runs, position, key=itemgetter(0)) - 1
        if found < 0:
            raise TileMissing(f"which leaf stands at position {position} is not known")
        first_position, first_leaf = runs[found]
        return first_leaf + position - first_position

    def stream(self, stream: UUID) -> Iterator[tuple[int, Row]]:
        """The records of one stream, with the indices of their leaves."""
        rows = self._connection.execute(
            "SELECT notification_id, uuid_send(originator_id), originator_version,"
            " textsend(topic), state FROM ledgertwin.bank_events"
            " WHERE originator_id = %s ORDER BY originator_version",
            [stream],
            binary=True,
        )
        for row in rows.fetchall():
            yield self.leaf_of(row[0]), row

    @cached_property
    def runs(self) -> Sequence[tuple[int, int]]:
        """The first position of each run of positions without a gap, and its leaf."""
        return self._connection.execute(
            "SELECT first_position, first_leaf FROM ledgertwin.leaf_runs ORDER BY first_position"
        ).fetchall()

    # --- for the heads ----------------------------------------------------------------------------

    def heads(self, after: int) -> Iterator[BatchHead]:
        """Those behind a position."""
        while rows := self._connection.execute(_HEADS, [after + 1], binary=True).fetchall():
            yield from map(BatchHead._make, rows)
            after = rows[-1][0]

    def first_behind(self, position: int) -> int | None:
        """The position of the first record behind one."""
        found = self._connection.execute(_RECORDS, [position + 1, _EVERYTHING, 1]).fetchone()
        return None if found is None else int(found[0])

    def growth(self) -> tuple[int, int, bytes]:
        """How far the tree is said to have grown: its size, the position of its last record, and
        the batch head there."""
        found = self._connection.execute(
            "SELECT size, position, head FROM ledgertwin.merkle_log"
        ).fetchone()
        if found is None:
            raise Problem(Kind.TREE_BROKEN, "it is not known how far the tree has grown")
        size, position, head = found
        return size, position, bytes(head)

    def tiles(self) -> tuple[int, int]:
        """How many there are, and of how many hashes all together."""
        count, size = self._row(
            "SELECT count(*), coalesce(sum(octet_length(hashes)), 0) FROM ledgertwin.tiles"
        )
        return count, int(size) // HASH_BYTES

    def cosigned_nothing(self) -> int | None:
        """The size of a checkpoint that there is not, and that a witness has cosigned."""
        found = self._connection.execute(
            "SELECT c.size FROM ledgertwin.cosignatures AS c"
            " WHERE NOT EXISTS (SELECT FROM ledgertwin.checkpoints AS k WHERE k.size = c.size)"
        ).fetchone()
        return None if found is None else int(found[0])

    def _row(self, query: LiteralString, *given: object) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = self._connection.execute(query, given).fetchone()
        assert found is not None
        return found

    @cached_property
    def _connection(self) -> Connection[Any]:
        connection = psycopg.connect(self._url, row_factory=_whole)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        if moment := self.__dict__.get("_moment"):
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(moment)))
        return connection


class _Heads:
    """The batch heads, as parts of the log; the tree grows beside them as they say."""

    def __init__(self, log: StoredLog, begin: int, mark: str, cut: int) -> None:
        self._log = log
        self._begin, self._cut = begin, cut
        self._leaf = 0
        """The index of the leaf behind the last one that was read."""
        self._position, self._head = _NOWHERE, NO_HEAD
        if (marked := _MARK.fullmatch(mark)) is not None:
            self._leaf = begin
            self._position, self._head = int(marked[1]), bytes.fromhex(marked[2])
        self._waiting: list[tuple[int, bytes]] = []
        """Leaves that no part has had yet, and the position of the first of each batch's."""
        self._sent, self._after = self._leaf, self._position
        self._growth = log.growth()
        self._grown: int | None = None
        """So many leaves the tree has; None until that is reached."""
        self._runs = iter(log.runs[bisect_right(log.runs, self._position, key=itemgetter(0)) :])

    def parts(self) -> Iterator[Part]:
        self._reach()
        for head in self._log.heads(self._position):
            self._take(head)
            while self._leaf >= (end := self._next_end()):
                yield from self._part(end)
        yield from self.rest()
        if self._grown is None:
            behind = self._log.first_behind(self._position)
            if behind is not None:
                said = "no batch head says that it was written"
                raise Problem(Kind.UNACCOUNTED, said, self._leaf, at=behind)
            kind = Kind.TAIL_TRUNCATED if self._cut > self._leaf else Kind.TREE_BROKEN
            raise self._not_grown(kind)
        yield Part(
            self._leaf, self._leaf, self._position, (), self._grown, b"", self._mark(self._leaf)
        )

    def rest(self) -> Iterator[Part]:
        """What has not filled a bundle yet."""
        while self._sent < self._leaf:
            yield from self._part(min(self._next_end(), self._leaf))

    def _next_end(self) -> int:
        end = (self._sent // BUNDLE + 1) * BUNDLE
        return min(end, self._cut) if self._cut > self._sent else end

    def _part(self, end: int) -> Iterator[Part]:
        """Nothing, of what need not be read again."""
        begin, wanted = self._sent, (end - self._sent) * LEAF_BYTES
        runs, leaves = list[tuple[int, int]](), list[bytes]()
        while wanted:
            first, held = self._waiting.pop(0)
            leaves.append(held[:wanted])
            if len(held) > wanted:
                rest = first + wanted // LEAF_BYTES, held[wanted:]
                self._waiting.insert(0, rest)
            count = len(leaves[-1]) // LEAF_BYTES
            if runs and sum(runs[-1]) == first:
                first, before = runs.pop()
                count += before
            runs.append((first, count))
            wanted -= len(leaves[-1])
        after, self._after = self._after, sum(runs[-1]) - 1
        self._sent = end
        if end > self._begin:
            grown = self._leaf if self._grown is None else self._grown
            yield Part(begin, end, after, runs, grown, b"".join(leaves), self._mark(end))

    def _mark(self, end: int) -> str:
        return f"{self._position}:{self._head.hex()}" if end == self._leaf else ""

    def _take(self, head: BatchHead) -> None:
        first, leaves, _ = head
        follows = first > self._position and leaves and len(leaves) % LEAF_BYTES == 0
        if not follows or head.head != batch_head(self._head, first, leaves):
            behind = self._log.first_behind(self._position)
            said = f"the batch head at {first} does not follow from the one before"
            place = first if behind is None else min(first, behind)
            raise Problem(Kind.BATCH_BROKEN, said, self._leaf, at=place)
        if self._grown is None and (first != self._position + 1 or self._leaf == 0):
            run = next(self._runs, None)
            if run != (first, self._leaf):
                said = "there is none" if run is None else f"it says leaf {run[1]} at {run[0]}"
                raise self._broken(f"leaf {self._leaf} stands at {first}, and {said}")
        self._waiting.append((first, leaves))
        self._leaf += len(leaves) // LEAF_BYTES
        self._position, self._head = head.last, head.head
        self._reach()

    def _reach(self) -> None:
        """At the end of what the tree has, there is nothing of it beyond."""
        size, position, head = self._growth
        here = self._leaf, max(self._position, 0), self._head
        if self._grown is not None or (self._position < position and self._leaf < size):
            return
        if here != (size, position, head):
            raise self._not_grown(Kind.TREE_BROKEN)
        if (run := next(self._runs, None)) is not None:
            raise self._broken(f"no run of positions begins at {run[0]}")
        tiles = list(tiles_of(size))
        counted = len(tiles), sum(tile.width for tile in tiles)
        if self._log.tiles() != counted:
            raise self._broken(f"there are not {counted[0]} tiles of {counted[1]} hashes")
        if (of := self._log.cosigned_nothing()) is not None:
            said = f"there is no checkpoint of {of} records, which was cosigned"
            raise Problem(Kind.BAD_SIGNATURE, said, self._leaf)
        self._grown = size

    def _not_grown(self, kind: Kind) -> Problem:
        size, position, _ = self._growth
        said = f"the tree is said to have {size} leaves up to position {position}, and here"
        return Problem(kind, f"{said} the log has {self._leaf} up to {self._position}", self._leaf)

    def _broken(self, said: str) -> Problem:
        return Problem(Kind.TREE_BROKEN, said, self._leaf)


def _text(said: bytes) -> str:
    """What is no text is not what anybody has signed."""
    return said.decode(errors="replace")


def _whole(_: Cursor[Any]) -> RowMaker[tuple[Any, ...]]:
    """Nothing that is read here can be missing in a row, unless by somebody who has the disk."""

    def made(values: Sequence[Any]) -> tuple[Any, ...]:
        row = tuple(values)
        if None in row:
            raise Problem(Kind.MALFORMED, "a row has nothing where each of its table has something")
        return row

    return made
