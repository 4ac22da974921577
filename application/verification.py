"""Proves that nobody changed the log, or names the first record that is not as it was written.

Two paths are walked at once, in the order of positions. The batch heads commit to every record in
its place and to each other, so whatever was changed, removed, moved or put in after the fact is
found there. The streams' own chains, and the records of the commands, each of which says what it
wrote, must agree with them: whoever adds to the heads as well is still found by these.

What is not found, because nothing in a database can tell it from the truth: a tail that was cut off
together with its heads, and a log in which everything has been rewritten consistently. Both are
found by whoever kept a `LogHead` somewhere else, and hands it in as `expect`.

Nothing here can write: there is no connection in this module, only the log's reading methods.
"""

import re
from binascii import hexlify
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum, StrEnum, auto, unique
from hashlib import sha256
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar
from uuid import UUID

from application.codec import Codec, UnknownEvent, UnreadableEvent
from application.commands import CommandAccepted, CommandRefused
from application.record import (
    GENESIS,
    LEAF_BYTES,
    NO_HEAD,
    BatchHead,
    SealedValue,
    batch_head,
    record_hash,
)
from domain.aggregate import permanent_name
from domain.erasure import ErasureStarted
from domain.personal import Personal, personal_fields
from domain.value import value

PAGE_RECORDS: Final = 8192
"""How many records are read at once (a page is of whole batches, so it may be more)."""

_HEADS_AT_ONCE: Final = 1024
_NAMES_KEPT: Final = 10_000
"""A forger may make up as many names of events as he likes; memory stays what it is."""
_TEXTS_KEPT: Final = 65_536
_FURTHER: Final = 10_000
_FIRST: Final = -(2**63)
"""Where reading begins: a record that was put in may have any position that the column can hold."""

_AT, _BY, _DATA = b'{"at":"', b'","by":"', b'","data":'
_PREV, _END = b',"prev":"', b'"}'
_ENVELOPE: Final = Struct("7s32x8s36s9s").unpack_from
"""The parts of a state up to its data, `by` among them: `at` always has 32 bytes, an id 36."""
_SHORTEST: Final = 92
_SHAPE: Final = re.compile(rb'\{"at":".{32}","by":".{36}","data":.+,"prev":".{64}"\}', re.DOTALL)
_ERASURE_STARTED: Final = permanent_name(ErasureStarted)
_NO_PREVIOUS: Final = _PREV + GENESIS.encode() + _END
_NO_TIP: Final = (0, bytes.fromhex(GENESIS))
_U64: Final = Struct(">q")  # a version is never negative; one that is must not stop the walk

RawRecord = tuple[int, bytes, int, str, bytes]
"""Position, stream (16 bytes), version, topic and state."""

Progress = Callable[[int, int], None]
"""Called with the position reached and the position where the walk will end."""

T = TypeVar("T")


class _Kind(Enum):
    EVENT = auto()
    ACCEPTED = auto()
    REFUSED = auto()


_COMMANDS: Final = {
    permanent_name(CommandAccepted): _Kind.ACCEPTED,
    permanent_name(CommandRefused): _Kind.REFUSED,
}


@unique
class Kind(StrEnum):
    """What is wrong with the first bad record."""

    PAYLOAD_MISMATCH = "payload_mismatch"  # it is in its place, and not as it was written
    LINK_BROKEN = "link_broken"  # its `prev` is not the hash of the record before it
    GAP = "gap"  # its version does not follow that of the record before it
    REORDERED = "reordered"  # it was written, and stands where something else was
    MISSING = "missing"  # it was written and is gone; the position is where it stood, or is named
    UNACCOUNTED = "unaccounted"  # no batch, or no command, wrote it
    MALFORMED = "malformed"  # its state is no envelope, or its event cannot be read
    UNKNOWN_EVENT = "unknown_event"  # its name is of no event that this code knows
    BATCH_BROKEN = "batch_broken"  # a batch head was changed, removed or put in
    TAIL_TRUNCATED = "tail_truncated"  # the log ends before what the heads say was written
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"  # another history than the one whose head was kept


@value
class Finding:
    """The first record that is not as it should be, by position. `stream_id` and `version` are
    None where it is known only that something is missing or a batch head is wrong."""

    kind: Kind
    position: int
    detail: str
    stream_id: UUID | None = None
    version: int | None = None


class MalformedLogHead(ValueError):
    """Not `position:64 hexadecimal digits`."""


@value
class LogHead:
    """All of the log up to a position, in 32 bytes. Kept elsewhere, it proves later that nothing
    before it was changed or cut off. As text: `position:hexadecimal`."""

    position: int
    hash: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        position, _, digest = text.strip().partition(":")
        try:
            head = cls(position=int(position), hash=bytes.fromhex(digest))
        except ValueError:
            raise MalformedLogHead(text) from None
        if len(head.hash) != LEAF_BYTES:
            raise MalformedLogHead(text)
        return head

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"


@value
class LostValue:
    """A personal value that nobody can open any more, as its row in the vault or its key is gone,
    although the log knows of no erasure since: nobody was erased, something was removed."""

    stream_id: UUID
    version: int
    field: str


@value
class Verification:
    """What was walked, and what was found. `head` is that of the last good batch.

    Records count up to the first bad one. `erased` is information: values that were committed to
    and can't be read any more, as their keys were destroyed by an erasure that the log tells of.
    """

    records: int
    streams: int
    commands: int
    batches: int
    head: LogHead | None
    first_bad: Finding | None
    sealed: int = 0
    erased: int = 0
    lost: tuple[LostValue, ...] = ()

    @property
    def intact(self) -> bool:
        """The log is as it was written. (What the vault lost is not part of the log.)"""
        return self.first_bad is None


class ReadableLog(Protocol):
    """What verifying needs of a log (see EventLog), all of it reading."""

    codec: Codec

    def head(self) -> int: ...
    def last_batch_head(self) -> BatchHead | None: ...
    def batch_heads(self, start: int, limit: int) -> Sequence[BatchHead]: ...
    def stretch(self, first: int, last: int) -> Sequence[RawRecord]: ...
    def records(self, after: int, limit: int) -> Sequence[tuple[int, UUID, int, str, bytes]]: ...
    def stream(
        self, stream_id: UUID, after: int = 0
    ) -> Sequence[tuple[int, UUID, int, str, bytes]]: ...
    def data_keys(
        self, values: Sequence[tuple[UUID, int, str, UUID, str]]
    ) -> Sequence[tuple[UUID | None, UUID | None]]: ...
    def snapshots(self) -> Iterator[tuple[UUID, int, bytes, str, str, bytes]]: ...


def verify(
    log: ReadableLog,
    *,
    expect: LogHead | None = None,
    decode: bool = False,
    vault: bool = True,
    progress: Progress | None = None,
) -> Verification:
    """Walk the log as it stands now; others may write meanwhile.

    `expect` is a head that was kept elsewhere. `decode` also reads every event as its type, which
    takes twice as long: for bytes that are proven unchanged it can only fail when the code has
    forgotten how to read them. `vault` looks for the row of every personal value. Memory is what
    one entry for each stream needs, commands excluded.
    """
    walk = _Walk(log, expect=expect, decode=decode, vault=vault)
    first_bad = walk.run(progress or (lambda _position, _end: None))
    return Verification(
        records=walk.records,
        streams=len(walk.tips) + walk.commands,
        commands=walk.commands,
        batches=walk.batches,
        head=walk.head,
        first_bad=first_bad,
        sealed=walk.sealed,
        erased=walk.erased,
        lost=tuple(walk.lost),
    )


class _Page(NamedTuple):
    """Whole batches, whose heads follow from each other, and the records up to the last one's."""

    heads: Sequence[BatchHead]
    rows: Sequence[RawRecord]
    broken: BatchHead | None = None
    """The head that comes next and does not follow from the last one."""


class _Walk:
    """One walk over the log. What it has passed is proven; it stops at what is not."""

    def __init__(
        self, log: ReadableLog, *, expect: LogHead | None, decode: bool, vault: bool
    ) -> None:
        self._log = log
        self._expect = expect
        self._decode = decode
        self._vault = vault
        self._names = _Names()
        self._texts = _Texts()
        self._kinds = dict.fromkeys(log.codec.names, _Kind.EVENT) | _COMMANDS
        self._personal = {name for name in log.codec.names if log.codec.is_personal(name)}
        self.tips: dict[bytes, tuple[int, bytes]] = {}
        """Version and hash of each stream's last record. Not of the commands' streams, which end
        where they begin: a second record there is a gap."""
        self._pending: list[RawRecord] = []
        self._by = b""
        """What was written since the last command's record, and by which command, as it says."""
        self._done = _FIRST - 1
        self.records = self.commands = self.batches = self.sealed = self.erased = 0
        self.lost: list[LostValue] = []
        self._missing: list[tuple[int, SealedValue]] = []
        """Values that nobody can open any more, and where they were said."""
        self._erased_at: dict[tuple[UUID, str], int] = {}
        """Where an erasure of a subject and class was last begun."""
        self.head: LogHead | None = None

    def run(self, progress: Progress) -> Finding | None:
        # The heads are asked for first: whoever wrote in between wrote records too. From here on
        # everything up to `end` is visible, so what is not there is missing.
        last = self._log.last_batch_head()
        end = max(self._log.head(), last.first if last else 0)
        progress(0, end)
        pages = _read_ahead(_pages(self._log, end))
        try:
            for page in pages:
                found = self._page(page)
                if found is not None:
                    return found
                progress(min(max(self._done, 0), end), end)
        finally:
            pages.close()
        self._tell_erased_from_lost()
        beyond = _next(self._log, self._done)
        if beyond is not None and beyond[0] <= end:
            return _of(
                beyond, Kind.UNACCOUNTED, "no batch wrote it, or the head of its batch is gone"
            )
        return self._expected_at_the_end()

    def _page(self, page: _Page) -> Finding | None:
        rows = page.rows
        names = self._names
        pack = _U64.pack
        digests = [
            sha256(b"\0" + stream + pack(version) + names[topic] + state).digest()
            for _, stream, version, topic, state in rows
        ]
        good = self._as_written(page, digests)
        stopped = self._advance(rows[:good] if good < len(rows) else rows, digests)
        if stopped is not None:
            return stopped
        complete = good == len(rows) == sum(len(h.leaves) for h in page.heads) // LEAF_BYTES
        if not complete:
            return _Difference(self._log, page, digests).explain(good)
        return (
            self._unfinished()  # a batch holds whole commands
            or (self._decoded(rows) if self._decode else None)
            or (self._look_into_vault(rows) if self._vault else None)
            or self._passed(page)
            or (self._broken(page.broken) if page.broken is not None else None)
        )

    def _as_written(self, page: _Page, digests: Sequence[bytes]) -> int:
        """How many records are the ones that the heads commit to, in their places."""
        leaves = b"".join([head.leaves for head in page.heads])
        positions = [p for head in page.heads for p in range(head.first, head.last + 1)]
        if b"".join(digests) == leaves and list(map(itemgetter(0), page.rows)) == positions:
            return len(digests)
        for i, (row, digest) in enumerate(zip(page.rows, digests, strict=True)):
            if i >= len(positions) or row[0] != positions[i]:
                return i
            if digest != leaves[i * LEAF_BYTES : (i + 1) * LEAF_BYTES]:
                return i
        return len(digests)

    def _advance(self, rows: Sequence[RawRecord], digests: Sequence[bytes]) -> Finding | None:
        """Follow each record's stream and command, and count how many are good."""
        good = self._followed(rows, digests)
        self.records += good
        if good == len(rows):
            return None
        row = rows[good]
        if row[3] not in self._kinds:
            return _of(row, Kind.UNKNOWN_EVENT, f"no event is called {row[3][:80]!r}")
        if _SHAPE.fullmatch(row[4]) is None:
            return _of(row, Kind.MALFORMED, "its state is not an envelope")
        if self._pending and row[4][47:83] != self._by:
            return self._unfinished()
        if self._kinds[row[3]] is _Kind.EVENT:
            return self._not_linked(row, digests[good])
        return self._not_accounted(row)

    def _followed(self, rows: Sequence[RawRecord], digests: Sequence[bytes]) -> int:  # noqa: C901, PLR0912
        """How many records are good. The hot loop, 1.5 us a record where reading and hashing take
        2: so it takes what stands where the envelope's parts must stand, and parses nothing.

        No string in JSON can hold what looks like the key `"wrote":`, as its quotes are escaped.
        """
        tips, kinds, texts = self.tips, self._kinds, self._texts
        pending, pending_by = self._pending, self._by
        event, accepted, no_tip = _Kind.EVENT, _Kind.ACCEPTED, _NO_TIP
        for row, digest in zip(rows, digests, strict=False):
            _, stream, version, topic, state = row
            if len(state) < _SHORTEST or topic not in kinds:
                break
            opening, before_by, by, before_data = _ENVELOPE(state)
            if before_by != _BY or before_data != _DATA or opening != _AT:
                break
            if pending and by != pending_by:
                break
            kind = kinds[topic]
            if kind is event:
                last, prev = tips.get(stream, no_tip)
                if version != last + 1 or state[-66:] != hexlify(prev) + _END:
                    break
                if state[-75:-66] != _PREV:
                    break
                tips[stream] = (version, digest)
                pending.append(row)
                pending_by = by
                continue
            if version != 1 or state[-75:] != _NO_PREVIOUS:
                break
            if by.replace(b"-", b"") != hexlify(stream):
                break
            if kind is accepted:
                wrote = b",".join([b'["%b",%d]' % (texts[r[1]], r[2]) for r in pending])
                if b'"wrote":[%b]' % wrote not in state:
                    break
            elif pending:
                break
            self.commands += 1
            pending.clear()
        else:
            self._by = pending_by
            return len(rows)
        self._by = pending_by
        return rows.index(row)

    def _passed(self, page: _Page) -> Finding | None:
        """All records of the page are proven."""
        if not page.heads:
            return None
        for head in page.heads:
            self.head = LogHead(position=head.last, hash=head.head)
            if self._expect is not None and self._expect.position <= head.last:
                if self._expect != self.head:
                    return self._another_history(head)
                self._expect = None
        self.batches += len(page.heads)
        self._done = page.heads[-1].last
        return None

    # --- what is wrong, once something is: nothing below is in a hurry ----------------------------

    def _another_history(self, head: BatchHead) -> Finding:
        return Finding(
            kind=Kind.CHECKPOINT_MISMATCH,
            position=head.first,
            detail=f"the log's head at {head.last} is {head.head.hex()}, kept was {self._expect};"
            " what differs stands there or before",
        )

    def _expected_at_the_end(self) -> Finding | None:
        if self._expect is None:
            return None
        return Finding(
            kind=Kind.TAIL_TRUNCATED,
            position=max(self._done, 0) + 1,
            detail=f"the log went on to {self._expect.position} when {self._expect} was kept",
        )

    def _broken(self, head: BatchHead) -> Finding:
        beyond = _next(self._log, self._done)
        position = head.first if beyond is None else min(head.first, beyond[0])
        return Finding(
            kind=Kind.BATCH_BROKEN,
            position=position,
            detail=f"the batch head at {head.first} does not follow from the one before: it was"
            " changed, or one was removed or put in",
        )

    def _unfinished(self) -> Finding | None:
        """What was written since the last command's record has none of its own."""
        if not self._pending:
            return None
        detail = f"no record of the command {self._by.decode('latin1')} follows"
        return _of(self._pending[0], Kind.UNACCOUNTED, detail)

    def _not_accounted(self, row: RawRecord) -> Finding:
        """The record of a command is none, or says that it wrote others than those before it."""
        alone = row[2] == 1 and row[4].endswith(_NO_PREVIOUS)
        if not alone or row[4][47:83].decode("latin1") != str(UUID(bytes=row[1])):
            return _of(row, Kind.MALFORMED, "a command's record is alone in the command's stream")
        try:
            recorded = self._log.codec.decode(row[3], row[4]).data
        except UnreadableEvent:
            return _of(row, Kind.MALFORMED, "the record of a command cannot be read")
        wrote = list(recorded.wrote) if isinstance(recorded, CommandAccepted) else []
        there = [(UUID(bytes=r[1]), r[2]) for r in self._pending]
        command = f"the command {UUID(bytes=row[1])}"
        for pending, written in zip(self._pending, there, strict=True):
            if written not in wrote:
                return _of(pending, Kind.UNACCOUNTED, f"{command} did not write it")
        for stream_id, version in wrote:
            if (stream_id, version) not in there:
                detail = f"{command}, at that position, wrote it"
                missing = _of(row, Kind.MISSING, detail)
                return replace(missing, stream_id=stream_id, version=version)
        if there == wrote:
            return _of(row, Kind.MALFORMED, "it is not written as the bank writes it")
        first = self._pending[0] if self._pending else row
        return _of(first, Kind.REORDERED, f"{command} wrote its records in another order")

    def _not_linked(self, row: RawRecord, digest: bytes) -> Finding:
        stream_id, version = UUID(bytes=row[1]), row[2]
        last, expected = self.tips.get(row[1], _NO_TIP)
        if version != last + 1:
            return _of(row, Kind.GAP, f"version {version} comes after version {last}")
        after = self._log.stream(stream_id, after=version)[:1]
        if last and after and after[0][2] == version + 1 and _prev(after[0][4]) == digest.hex():
            # Its successor vouches for it, so the hash that it holds is the one that was true.
            edited = _position_of(self._log, row[1], last)
            detail = f"its hash is {expected.hex()}, and the next record was linked to another"
            return _of((edited, row[1], last, "", b""), Kind.PAYLOAD_MISMATCH, detail)
        detail = f"prev is {_prev(row[4])}, and the hash of the record before {expected.hex()}"
        return _of(row, Kind.LINK_BROKEN, detail)

    def _decoded(self, rows: Sequence[RawRecord]) -> Finding | None:
        decode = self._log.codec.decode
        for row in rows:
            try:
                decode(row[3], row[4])
            except (UnreadableEvent, UnknownEvent) as error:
                return _of(row, Kind.MALFORMED, str(error))
        return None

    def _note_erasure(self, position: int, topic: str, state: bytes) -> None:
        started = self._log.codec.decode(topic, state).data
        for retention in started.classes:
            self._erased_at[started.customer_id, retention.value] = position

    def _tell_erased_from_lost(self) -> None:
        """What is gone was erased if that was begun after it was said; if need be, after the end of
        this walk, as others write meanwhile."""
        after = self._done
        while any(not self._was_erased(*missing) for missing in self._missing):
            further = self._log.records(after, _FURTHER)
            if not further:
                break
            after = further[-1][0]
            for position, _, _, topic, state in further:
                if topic == _ERASURE_STARTED:
                    self._note_erasure(position, topic, state)
        for position, value_ in self._missing:
            if self._was_erased(position, value_):
                self.erased += 1
            else:
                stream_id, version, name, _, _ = value_
                self.lost.append(LostValue(stream_id=stream_id, version=version, field=name))

    def _was_erased(self, position: int, value_: SealedValue) -> bool:
        return self._erased_at.get(value_[3:], _FIRST) > position

    def _look_into_vault(self, rows: Sequence[RawRecord]) -> Finding | None:
        committed: list[tuple[UUID, int, str, UUID, str]] = []
        positions: list[int] = []
        for row in rows:
            if row[3] == _ERASURE_STARTED:
                self._note_erasure(row[0], row[3], row[4])
            if row[3] in self._personal and _COMMITS in row[4]:
                try:
                    said = list(_commitments(self._log.codec, row))
                    committed += said
                    positions += [row[0]] * len(said)
                except UnreadableEvent as error:
                    return _of(row, Kind.MALFORMED, str(error))
        keys = self._log.data_keys(committed) if committed else ()
        for position, value_, (used, current) in zip(positions, committed, keys, strict=True):
            if used is not None and used == current:
                self.sealed += 1
            else:
                self._missing.append((position, value_))
        return None


class _Difference:
    """What the records of a page are, compared with what its heads say was written."""

    def __init__(self, log: ReadableLog, page: _Page, digests: Sequence[bytes]) -> None:
        self._log = log
        self._rows = page.rows
        self._digests = digests
        self._written = [written for head in page.heads for written in _leaves(head)]

    def explain(self, good: int) -> Finding:
        """`good` records are right: the next one, or what should stand there, is not."""
        row = self._rows[good] if good < len(self._rows) else None
        written = self._written[good] if good < len(self._written) else None
        if row is not None and (written is None or row[0] < written[0]):
            if self._was_written(self._digests[good]):
                return _of(row, Kind.REORDERED, "it was written at another position")
            return _of(row, Kind.UNACCOUNTED, "no batch wrote it")
        assert written is not None
        if row is None or row[0] > written[0]:
            return self._missing(*written)
        if self._was_written(self._digests[good]):
            return _of(row, Kind.REORDERED, "it was written at another position")
        return _of(
            row,
            Kind.PAYLOAD_MISMATCH,
            f"its hash is {self._digests[good].hex()}, written was {written[1].hex()}",
        )

    def _missing(self, position: int, leaf: bytes) -> Finding:
        for other, digest in _hashed(self._log):
            if digest == leaf:
                detail = f"it was written there, and stands at position {other[0]}"
                return replace(_of(other, Kind.REORDERED, detail), position=position)
        if _next(self._log, position) is None:
            detail = "the log ends there, and its heads say that more was written"
            return Finding(kind=Kind.TAIL_TRUNCATED, position=position, detail=detail)
        detail = f"a record with the hash {leaf.hex()} was written there"
        return Finding(kind=Kind.MISSING, position=position, detail=detail)

    def _was_written(self, digest: bytes) -> bool:
        return any(digest == leaf for head in _heads(self._log) for _, leaf in _leaves(head))


class _Names(dict[str, bytes]):
    """An event's name as it is hashed: its length (u16 BE) and its bytes."""

    def __missing__(self, topic: str) -> bytes:
        name = topic.encode()
        prefixed = len(name).to_bytes(2 if len(name) < 2**16 else 8, "big") + name
        if len(self) < _NAMES_KEPT:
            self[topic] = prefixed
        return prefixed


class _Texts(dict[bytes, bytes]):
    """Ids as they stand in JSON, by their 16 bytes: the latest, as they come again and again."""

    def __missing__(self, stream: bytes) -> bytes:
        if len(self) >= _TEXTS_KEPT:
            self.clear()
        h = hexlify(stream)
        text = self[stream] = b"%b-%b-%b-%b-%b" % (h[:8], h[8:12], h[12:16], h[16:20], h[20:])
        return text


def _pages(log: ReadableLog, end: int) -> Iterator[_Page]:
    """The log up to `end`, page by page, for as long as each head follows from the one before."""
    before, last, done = NO_HEAD, _FIRST - 1, _FIRST - 1
    gathered: list[BatchHead] = []
    for head in _heads(log):
        if head.first > end:
            break
        follows = head.first > last and head.leaves and len(head.leaves) % LEAF_BYTES == 0
        if not follows or head.head != batch_head(before, head.first, head.leaves):
            yield _page(log, gathered, done, broken=head)
            return
        gathered.append(head)
        before, last = head.head, head.last
        if last - gathered[0].first >= PAGE_RECORDS:
            yield _page(log, gathered, done)
            done, gathered = last, []
    if gathered:
        yield _page(log, gathered, done)


def _page(
    log: ReadableLog, heads: list[BatchHead], done: int, broken: BatchHead | None = None
) -> _Page:
    rows = log.stretch(done + 1, heads[-1].last) if heads else ()
    return _Page(heads, rows, broken)


def _heads(log: ReadableLog) -> Iterator[BatchHead]:
    start = _FIRST
    while found := log.batch_heads(start, _HEADS_AT_ONCE):
        yield from found
        start = found[-1].first + 1


def _read_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The next item is being read while the last one is worked on."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="verify") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _hashed(log: ReadableLog) -> Iterator[tuple[RawRecord, bytes]]:
    """Every record there is, wherever it stands, with its hash."""
    names = _Names()
    after = _FIRST - 1
    while (following := _next(log, after)) is not None:
        after = following[0] + PAGE_RECORDS
        for row in log.stretch(following[0], after):
            data = b"\0" + row[1] + _U64.pack(row[2]) + names[row[3]] + row[4]
            yield row, sha256(data).digest()


def _leaves(head: BatchHead) -> Iterable[tuple[int, bytes]]:
    leaves = (head.leaves[i : i + LEAF_BYTES] for i in range(0, len(head.leaves), LEAF_BYTES))
    return enumerate(leaves, head.first)


def _next(log: ReadableLog, after: int) -> RawRecord | None:
    """The first record beyond a position."""
    for position, stream_id, version, topic, state in log.records(after, 1):
        return position, stream_id.bytes, version, topic, state
    return None


def _position_of(log: ReadableLog, stream: bytes, version: int) -> int:
    return next(row[0] for row, _ in _hashed(log) if row[1] == stream and row[2] == version)


def _of(row: RawRecord, kind: Kind, detail: str) -> Finding:
    return Finding(
        kind=kind,
        position=row[0],
        stream_id=UUID(bytes=row[1]),
        version=row[2],
        detail=detail,
    )


def _prev(state: bytes) -> str:
    return state[-66:-2].decode("latin1")


_COMMITS: Final = b'"commitment":"'
"""What stands in a record that commits to personal values: no text in JSON can hold it, as its
quotes would be escaped. Most movements say nothing personal, and need not be decoded."""


def _commitments(codec: Codec, row: RawRecord) -> Iterator[tuple[UUID, int, str, UUID, str]]:
    """The personal values that a record commits to, as `data_keys` asks for them."""
    _, stream, version, topic, state = row
    event = codec.decode(topic, state).data
    for name in personal_fields(type(event)):
        personal: Personal[str] | None = getattr(event, name)
        if personal is not None:
            retention = personal.retention.value
            yield UUID(bytes=stream), version, name, personal.subject, retention


# --- snapshots ------------------------------------------------------------------------------------


@value
class WrongSnapshot:
    """A snapshot that is not the fold of its stream. It is a cache: removing it mends it."""

    stream_id: UUID
    version: int
    detail: str


@value
class Snapshots:
    """`ignored` were taken by other code than this, which will not use them."""

    checked: int
    ignored: int
    wrong: tuple[WrongSnapshot, ...]


def verify_snapshots(log: ReadableLog, *, progress: Progress | None = None) -> Snapshots:
    """Fold every stream that has a snapshot again, and compare. `progress` counts snapshots.

    To be asked of a log that was verified: it says nothing about the records.
    """
    checked = ignored = 0
    wrong = []
    stored = list(log.snapshots())
    for stream_id, version, head, fingerprint, aggregate, state in stored:
        if fingerprint != log.codec.code_fingerprint:
            ignored += 1
            continue
        detail = _wrong_in(log, (stream_id, version, head, aggregate, state))
        if detail is not None:
            wrong.append(WrongSnapshot(stream_id=stream_id, version=version, detail=detail))
        checked += 1
        if progress is not None:
            progress(checked + ignored, len(stored))
    return Snapshots(checked=checked, ignored=ignored, wrong=tuple(wrong))


def _wrong_in(log: ReadableLog, snapshot: tuple[UUID, int, bytes, str, bytes]) -> str | None:
    stream_id, version, head, aggregate, stored = snapshot
    records = [r for r in log.stream(stream_id) if r[2] <= version]
    if not records or records[-1][2] != version:
        return "the stream ends before it: its tail was cut off"
    _, _, _, topic, last = records[-1]
    if record_hash(stream_id, version, topic, last) != head.hex():
        return "it was taken at another record than the one of that version"
    folded: Any = None
    for _, _, _, topic, state in records:
        event = log.codec.decode(topic, state).data
        owner = log.codec.aggregate_of(event)
        if owner is not None:
            folded = (owner() if folded is None else folded).evolve(event)
    try:
        if log.codec.decode_state(aggregate, stored) == folded:
            return None
    except UnreadableEvent:
        return "it cannot be read"
    return "it is not the fold of the stream"
