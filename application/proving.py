"""Makes the proofs that proof/evidence.py checks, out of the tree and the log.

A proof is of what is sealed: of a record under no checkpoint yet nothing can be shown, and one may
wait for it (see seals.py). It is given under the latest checkpoint that is witnessed, if that
covers it, and else under the latest one.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from application.codec import Envelope
from application.event_log import EventLog, StoredRecord
from application.proof.evidence import Completeness, Consistency, Inclusion, Placed, StreamEnd
from application.proof.merkle import (
    Frontier,
    Node,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
)
from application.proof.note import Checkpoint, Note
from application.proof.verify import Entry
from application.sealing import Connect, Tree
from application.seals import Seals
from domain.day_end import DAY_ENDS, DayClosed

_COMMANDS: Final = ["command.accepted.v1", "command.refused.v1"]
_ENDS: Final = (
    "SELECT DISTINCT ON (originator_id) originator_id, originator_version, topic, state"
    " FROM ledgertwin.bank_events WHERE notification_id <= %s AND topic <> ALL(%s)"
    " ORDER BY originator_id, originator_version DESC"
)
_AT_ONCE: Final = 5_000


class NotProvable(Exception):
    """There is nothing to prove it with; the message says why."""


class DayEnd(NamedTuple):
    """What the end of a day commits to."""

    position: int
    streams: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Of a record: the index of its leaf, and the path from there to the root."""

    index: int
    path: tuple[bytes, ...]


class Prover:
    """Of one bank's log. Its methods block, and may be called from any thread."""

    def __init__(self, log: EventLog, connect: Connect, tree: Tree, seals: Seals) -> None:
        self._log = log
        self._connect = connect
        self._tree = tree
        self._seals = seals

    def inclusion(self, position: int, *, with_record: bool) -> Inclusion:
        """That the record at a position is in the log. NotProvable."""
        record = self._record(position)
        index = self._tree.leaf_of(position)
        note = self._note(position)
        if index is None or note is None:
            raise NotProvable(f"no checkpoint covers position {position} yet")
        size = Checkpoint.parse(note.text).size
        with self._tree.nodes(size) as node:
            path = tuple(inclusion_path(index, size, node))
        proof = Inclusion(index, path, note, _entry(record))
        return proof if with_record else Inclusion(index, path, note, None, proof.leaf)

    def places(self, positions: Sequence[int]) -> tuple[Note | None, Mapping[int, Place]]:
        """The latest checkpoint, and where in its tree the records at these positions are; of those
        that it does not cover yet, nothing."""
        note = self._tree.latest()
        if note is None:
            return None, {}
        size = Checkpoint.parse(note.text).size
        leaves = self._tree.leaves_of(positions)
        with self._tree.nodes(size) as found:
            node = cache(found)  # as paths meet on their way up
            return note, {
                position: Place(index, tuple(inclusion_path(index, size, node)))
                for position, index in leaves.items()
                if index < size
            }

    def consistency(self, old: int) -> Consistency:
        """That the log begins with its first `old` records. NotProvable."""
        note = self._tree.latest()
        size = 0 if note is None else Checkpoint.parse(note.text).size
        if note is None or not 0 < old <= size:
            raise NotProvable(f"{old} is not the size of what was signed: that is {size} by now")
        with self._tree.nodes(size) as node:
            return Consistency(old, tuple(consistency_path(old, size, node)), note)

    def checkpoint_of(self, size: int) -> Note | None:
        """The checkpoint that was signed of so many records."""
        note = self._tree.covering(size)
        return note if note is not None and Checkpoint.parse(note.text).size == size else None

    def completeness(self, stream: UUID, day: date | None = None) -> Completeness:
        """How far a stream had come at the end of a day; of the last one that was closed if none is
        given. It takes a walk over all streams. NotProvable."""
        position, closed = self._closed(day)
        ends = list(self._ends(closed.position))
        leaves = [end.leaf for end in ends]
        place = bisect_left(ends, stream.bytes, key=lambda end: end.stream)
        found = place < len(ends) and ends[place].stream == stream.bytes
        places = [place] if found else [n for n in (place - 1, place) if 0 <= n < len(ends)]
        node = _nodes(leaves)
        if root_of(0, len(leaves), node).hex() != closed.root:
            raise NotProvable("the log is not as it was at the end of that day: have it verified")
        placed = tuple(
            Placed(ends[n], n, tuple(inclusion_path(n, len(leaves), node))) for n in places
        )
        return Completeness(stream, placed, self.inclusion(position, with_record=True))

    def day_end(self, day: date) -> DayEnd | None:
        """What the end of a day (in UTC) commits to; None if nothing was recorded by then, or the
        day is not over in what is sealed."""
        midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
        last = self._last_before(midnight)
        if last is None:
            return None
        tree = Frontier()
        for end in self._ends(last):
            tree.add(end.leaf)
        return DayEnd(position=last, streams=tree.size, root=tree.root())

    def _last_before(self, midnight: datetime) -> int | None:
        """The position before that of the first record from midnight on; None if there is no such
        record under the tree yet, or none before.

        Times in the log only go back by as much as the clocks of several processes differ, so the
        first one is looked for by halving: it stands where the order of the log has it.
        """
        low, high = 0, self._tree.growth().position
        if high == 0 or self._at(high) < midnight or self._at(1) >= midnight:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._at(middle) < midnight else (low, middle)
        return low

    def _at(self, position: int) -> datetime:
        """When the first record from that position on was recorded."""
        (record,) = self._log.records(position - 1, 1)
        return self._decoded(record).at

    def _ends(self, position: int) -> Iterator[StreamEnd]:
        """How far each stream had come at a position, in the order of their ids; but for those of
        single commands, which are complete by themselves."""
        with (
            self._connect() as connection,
            connection.transaction(),
            connection.cursor("stream_ends") as cursor,
        ):
            cursor.itersize = _AT_ONCE
            for stream, version, topic, state in cursor.execute(_ENDS, [position, _COMMANDS]):
                entry = Entry(stream.bytes, version, topic.encode(), bytes(state))
                yield StreamEnd(stream.bytes, version, leaf_hash(entry.bytes_))

    def _closed(self, day: date | None) -> tuple[int, DayClosed]:
        """The position and the record of the end of a day."""
        for record in reversed(self._log.stream(DAY_ENDS)):
            event = self._decoded(record).data
            assert isinstance(event, DayClosed)
            if day is None or event.day == day:
                return record.position, event
        raise NotProvable("that day is not closed" if day else "no day is closed yet")

    def _record(self, position: int) -> StoredRecord:
        for record in self._log.records(position - 1, 1) if position > 0 else ():
            if record.position == position:
                return record
        raise NotProvable(f"there is no record at position {position}")

    def _note(self, position: int) -> Note | None:
        stand = self._seals.stand()
        witnessed = self._seals.witnessed
        return witnessed if position <= stand.witnessed else self._tree.latest()

    def _decoded(self, record: StoredRecord) -> Envelope[Any]:
        return self._log.codec.decode(record.topic, record.state)


def _entry(record: StoredRecord) -> Entry:
    return Entry(record.stream_id.bytes, record.version, record.topic.encode(), record.state)


def _nodes(leaves: Sequence[bytes]) -> Node:
    """The whole subtrees of a tree that is held in memory: 64 bytes for each leaf."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[n - 1], below[n]) for n in range(1, len(below), 2)])
    return lambda level, place: levels[level][place]
