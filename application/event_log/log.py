"""The log over any recorder of the eventsourcing library."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, IntegrityError, StoredEvent

from application.codec import Codec
from application.commands import CommandAccepted, CommandRefused
from application.record import (
    GENESIS,
    NO_HEAD,
    BatchHead,
    Record,
    batch_head,
    record_hash,
)
from application.risk_models import MemoryRiskModels, RiskModels
from application.vault import MemoryVaultReader, VaultKey, VaultReader, VaultValue
from domain.aggregate import Aggregate
from domain.recorded import Recorded
from domain.value import value

_COMMAND_TOPICS: Final = frozenset({"command.accepted.v1", "command.refused.v1"})


class Conflict(Exception):
    """Another process wrote to a stream since it was read. Read again and decide again."""


class KeyGone(Conflict):
    """What is to be recorded is sealed with a key that somebody has destroyed since, or wrapped
    under one that is retired. Forget all keys, and decide again."""


class LogUnavailable(Exception):
    """The database is away. Of an append it is not known whether it was committed."""


class ChainBroken(Exception):
    """The log does not hold what was once recorded."""


class Append(NamedTuple):
    """What one transaction writes. `guards` are streams that were read and must not have moved:
    (stream id, version)."""

    records: Sequence[Record]
    guards: Sequence[tuple[UUID, int]] = ()
    vault_keys: Sequence[VaultKey] = ()
    vault_values: Sequence[VaultValue] = ()


class Snapshot(NamedTuple):
    """An aggregate's state at a version, and the hash of the record of that version."""

    stream_id: UUID
    version: int
    head: str
    aggregate: type[Aggregate[Any, Any]]
    state: Aggregate[Any, Any]


class Stream(NamedTuple):
    """One stream, read to its end: `state` is None for a stream that is no aggregate's.

    `last` is the position and event of its last record, if that was read (for the record of a
    command it is all there is).
    """

    version: int
    head: str
    state: Aggregate[Any, Any] | None
    last: tuple[int, Any] | None = None


class StoredRecord(NamedTuple):
    """A record as stored, with its position in the whole log."""

    position: int
    stream_id: UUID
    version: int
    topic: str
    state: bytes


RawRecord = tuple[int, bytes, int, str, bytes]
"""A StoredRecord for whoever reads millions: a bare tuple, with the 16 bytes of the stream id."""


class StoredSnapshot(NamedTuple):
    """A snapshot as stored: the hash of the record it was taken at, the fingerprint of the code
    that took it, the aggregate's name and its state as JSON."""

    stream_id: UUID
    version: int
    head: bytes
    fingerprint: str
    aggregate: str
    state: bytes


@value
class Batch:
    """A stretch of the log. `position` is the last one read, `records` what was asked for."""

    records: Sequence[Recorded]
    position: int


class Session(Protocol):
    """One connection's view of the log."""

    def load(self, stream_ids: Sequence[UUID]) -> dict[UUID, Stream]:
        """The streams, folded; version 0 for one that does not exist."""

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        """The (stream, event) pairs of an accepted command, in the order of its record."""

    def append(self, batch: Append) -> Sequence[int]:
        """Record all or nothing; the positions, in order. Conflict if a stream has moved."""


class Writer(Protocol):
    """Appends one batch after the other, for a bank on an event loop."""

    async def append(self, batch: Append) -> Sequence[int]:
        """As a session's `append`; committed when it returns."""


def followed(records: Iterable[StoredRecord], codec: Codec, skip: frozenset[str]) -> list[Recorded]:
    """Decode what is not skipped. A name that is not known at all is refused, never skipped."""
    decoded = []
    for position, stream_id, version, topic, state in records:
        if topic in skip:
            continue
        envelope = codec.decode(topic, state)
        decoded.append(
            Recorded(
                position=position,
                stream_id=stream_id,
                version=version,
                event=envelope.data,
                at=envelope.at,
                by=envelope.by,
            )
        )
    return decoded


class EventLog:
    """The log over any recorder of the library.

    All methods block; they are safe to call from several threads.
    """

    def __init__(self, codec: Codec, recorder: ApplicationRecorder) -> None:
        self.codec = codec
        self._recorder = recorder
        self._appending = Lock()
        self._vault_rows = MemoryVaultReader()
        self._risk_models = MemoryRiskModels()
        self._heads: list[BatchHead] = []
        self._skipped = _COMMAND_TOPICS | {"vault.key_created.v1"}

    def close(self) -> None:
        """Give back what the log holds open."""

    @property
    def vault_reader(self) -> VaultReader:
        """Where the vault's rows that were appended with the records can be read."""
        return self._vault_rows

    @property
    def risk_models(self) -> RiskModels:
        """Where the artefacts of risk models are, which records name by their hash."""
        return self._risk_models

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[Session]:
        """A view of the log; an exclusive one lets nobody else write until it ends."""
        if exclusive:
            with self._appending:
                yield _RecorderSession(self, locked=True)
        else:
            yield _RecorderSession(self, locked=False)

    @contextmanager
    def moment(self) -> Iterator[tuple[Session, int]]:
        """A view of the log as it stands at one moment, however long that is looked at, and the
        position of its last record then. Here others wait with their writes; not in PostgreSQL."""
        with self._appending:
            yield _RecorderSession(self, locked=True), self.head()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Writer]:
        """A way to append without blocking the event loop, for one batch at a time."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="log") as thread:
            yield _ThreadedWriter(self, thread)

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep snapshots, where there is a place for them. They are a cache, never a source."""

    def head(self) -> int:
        """The position of the last record; 0 for an empty log."""
        return self._recorder.max_notification_id() or 0

    def records(self, after: int, limit: int) -> Sequence[StoredRecord]:
        """Up to `limit` records as stored, in the one order of the log."""
        return [
            StoredRecord(n.id, _uuid(n.originator_id), n.originator_version, n.topic, n.state)
            for n in self._recorder.select_notifications(
                start=after, limit=limit, inclusive_of_start=False
            )
        ]

    def stream(self, stream_id: UUID, after: int = 0) -> Sequence[StoredRecord]:
        """One stream's records as stored. Positions are only known where the recorder says them."""
        return [
            StoredRecord(0, stream_id, s.originator_version, s.topic, s.state)
            for s in self._recorder.select_events(stream_id, gt=after)
        ]

    def stretch(self, first: int, last: int) -> Sequence[RawRecord]:
        """All records with a position from `first` to `last`, as stored, in order."""
        return [
            (n.id, _uuid(n.originator_id).bytes, n.originator_version, n.topic, n.state)
            for n in self._recorder.select_notifications(
                start=first, limit=last - max(first, 1) + 1, stop=last
            )
        ]

    def batch_heads(self, start: int, limit: int) -> Sequence[BatchHead]:
        """Up to `limit` batch heads whose first position is `start` or beyond, in order.

        Whoever sees a record sees its batch head, if he asks for it after he saw the record.
        """
        with self._appending:  # its records and its head are seen together, or neither
            found = bisect_left(self._heads, start, key=lambda head: head.first)
            return self._heads[found : found + limit]

    def last_batch_head(self) -> BatchHead | None:
        """The head that commits to the whole log: what an auditor keeps."""
        with self._appending:
            return self._heads[-1] if self._heads else None

    def snapshots(self) -> Iterator[StoredSnapshot]:
        """Every snapshot there is, as stored."""
        return iter(())

    def read(self, after: int, limit: int) -> Batch:
        """The next events of aggregates after a position, decoded, up to `limit` records."""
        stored = self.records(after, limit)
        return Batch(
            records=followed(stored, self.codec, self._skipped),
            position=stored[-1].position if stored else after,
        )

    def told(
        self, topics: Collection[str], after: int, limit: int
    ) -> tuple[Sequence[StoredRecord], int]:
        """The records of these names among the next `limit` positions, as stored; and the last of
        these positions."""
        stored = self.records(after, limit)
        wanted = [record for record in stored if record.topic in topics]
        return wanted, stored[-1].position if stored else after

    def wait(self, after: int, timeout: float) -> None:
        """Return when there may be a record after the position, or when time is up."""
        deadline = time.monotonic() + timeout
        while self.head() <= after and time.monotonic() < deadline:
            time.sleep(0.005)


class _ThreadedWriter:
    """Through sessions, which block, in a thread of its own."""

    def __init__(self, log: EventLog, thread: ThreadPoolExecutor) -> None:
        self._log = log
        self._thread = thread

    async def append(self, batch: Append) -> Sequence[int]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._append, batch)

    def _append(self, batch: Append) -> Sequence[int]:
        with self._log.session() as session:
            return session.append(batch)


class _RecorderSession:
    """Through the library's public methods alone: what every persistence module can do."""

    def __init__(self, log: EventLog, *, locked: bool) -> None:
        self._log = log
        self._locked = locked

    def load(self, stream_ids: Sequence[UUID]) -> dict[UUID, Stream]:
        return {
            stream_id: folded(self._log.codec, self._log.stream(stream_id), None)
            for stream_id in stream_ids
        }

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        wrote = pairs_written(self._log.codec, self._log.stream(command_id))
        return [
            (stream_id, self._log.codec.decode(topic, state).data)
            for stream_id, version in wrote
            for _, _, _, topic, state in self._log.stream(stream_id, after=version - 1)[:1]
        ]

    def append(self, batch: Append) -> Sequence[int]:
        if not self._locked:
            with self._log._appending:  # noqa: SLF001 -- the session is the log's own
                return self._append(batch)
        return self._append(batch)

    def _append(self, batch: Append) -> Sequence[int]:
        recorder = self._log._recorder  # noqa: SLF001
        for stream_id, version in batch.guards:
            last = recorder.select_events(stream_id, desc=True, limit=1)
            if (last[0].originator_version if last else 0) != version:
                raise Conflict(stream_id)
        vault_rows = self._log._vault_rows  # noqa: SLF001
        try:
            vault_rows.check(batch.vault_keys, batch.vault_values)
            positions = recorder.insert_events([StoredEvent(*r) for r in batch.records]) or ()
        except (IntegrityError, ValueError) as error:
            raise Conflict(str(error)) from error
        vault_rows.write(batch.vault_keys, batch.vault_values)
        if positions:
            heads = self._log._heads  # noqa: SLF001
            leaves = b"".join(bytes.fromhex(record_hash(*record)) for record in batch.records)
            before = heads[-1].head if heads else NO_HEAD
            first = positions[0]
            heads.append(BatchHead(first, leaves, batch_head(before, first, leaves)))
        return positions


def folded(codec: Codec, tail: Iterable[StoredRecord], snapshot: Snapshot | None) -> Stream:
    """Fold a stream from a snapshot (or from nothing), checking every link on the way."""
    version, head, state = (
        (snapshot.version, snapshot.head, snapshot.state) if snapshot else (0, GENESIS, None)
    )
    last = None
    for position, stream_id, number, topic, stored in tail:
        envelope = codec.decode(topic, stored)
        if number != version + 1 or envelope.prev != head:
            raise ChainBroken(f"{stream_id} version {number}")
        version, head = number, record_hash(stream_id, number, topic, stored)
        aggregate = codec.aggregate_of(envelope.data)
        if aggregate is not None:
            state = (state if state is not None else aggregate()).evolve(envelope.data)
        last = (position, envelope.data)
    return Stream(version=version, head=head, state=state, last=last)


def pairs_written(codec: Codec, records: Iterable[StoredRecord]) -> Sequence[tuple[UUID, int]]:
    """The (stream, version) pairs of an accepted command; none for anything else."""
    for _, _, _, topic, state in records:
        if topic in _COMMAND_TOPICS:
            recorded: CommandAccepted | CommandRefused = codec.decode(topic, state).data
            return recorded.wrote if isinstance(recorded, CommandAccepted) else ()
    return ()


def _uuid(stream_id: UUID | str) -> UUID:
    return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)
