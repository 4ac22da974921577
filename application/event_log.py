"""The log: every event ever recorded, each linked by hash to the one before it in its stream.

This is the only module that knows the eventsourcing library. Its recorders give storage, optimistic
concurrency and one global order; a persistence module of another database can be put in by
configuration. On PostgreSQL a whole batch is one call of an SQL function (`ledgertwin.append`),
which takes the table lock: positions become visible in order, so a follower never misses a record.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from hmac import compare_digest
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from application.codec import Codec, UnreadableEvent
from application.commands import CommandAccepted, CommandRefused
from application.record import GENESIS, NO_HEAD, BatchHead, Record, batch_head, record_hash
from application.vault import (
    MemoryVaultReader,
    PostgresVaultReader,
    VaultKey,
    VaultReader,
    VaultValue,
)
from domain.aggregate import Aggregate
from domain.recorded import Recorded
from domain.value import value

APPLICATION_ROLE: Final = "ledgertwin_application"
SCHEMA: Final = "ledgertwin"
POLL_SECONDS: Final = 1.0
"""How long a follower that was told of nothing waits before it looks by itself."""

UNAVAILABLE_AFTER: Final = 5
"""Seconds to wait for a connection before the database is said to be away."""
RECONNECT_SECONDS: Final = 2.0

_CONFLICTS: Final = frozenset({"23505", "LT001"})
"""SQLSTATEs: unique_violation, and what ledgertwin.append raises when a guarded stream moved."""
_SEAL_BYTES: Final = 32
_COMMAND_TOPICS: Final = frozenset({"command.accepted.v1", "command.refused.v1"})


class Conflict(Exception):
    """Another process wrote to a stream since it was read. Read again and decide again."""


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


SealedValue = tuple[UUID, int, str, UUID, str]
"""A personal value as a record commits to it: stream, version, field, subject, retention class."""


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
    """The log over any recorder of the library. `open_log` gives the one for PostgreSQL.

    All methods block; they are safe to call from several threads.
    """

    def __init__(self, codec: Codec, recorder: ApplicationRecorder) -> None:
        self.codec = codec
        self._recorder = recorder
        self._appending = Lock()
        self._vault_rows = MemoryVaultReader()
        self._heads: list[BatchHead] = []
        self._skipped = _COMMAND_TOPICS | {"vault.key_created.v1"}

    def close(self) -> None:
        """Give back what the log holds open."""

    @property
    def vault_reader(self) -> VaultReader:
        """Where the vault's rows that were appended with the records can be read."""
        return self._vault_rows

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[Session]:
        """A view of the log; an exclusive one lets nobody else write until it ends."""
        if exclusive:
            with self._appending:
                yield _RecorderSession(self, locked=True)
        else:
            yield _RecorderSession(self, locked=False)

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

    def data_keys(self, values: Sequence[SealedValue]) -> Sequence[tuple[UUID | None, UUID | None]]:
        """For each sealed value the key that its row in the vault names, and the key that there is
        for its subject and retention class; None for a row that is not there."""
        return [self._vault_rows.data_keys(value) for value in values]

    def read(self, after: int, limit: int) -> Batch:
        """The next events of aggregates after a position, decoded, up to `limit` records."""
        stored = self.records(after, limit)
        return Batch(
            records=followed(stored, self.codec, self._skipped),
            position=stored[-1].position if stored else after,
        )

    def wait(self, after: int, timeout: float) -> None:
        """Return when there may be a record after the position, or when time is up."""
        deadline = time.monotonic() + timeout
        while self.head() <= after and time.monotonic() < deadline:
            time.sleep(0.005)


class _RecorderSession:
    """Through the library's public methods alone: what every persistence module can do."""

    def __init__(self, log: EventLog, *, locked: bool) -> None:
        self._log = log
        self._locked = locked

    def load(self, stream_ids: Sequence[UUID]) -> dict[UUID, Stream]:
        return {
            stream_id: _folded(self._log.codec, self._log.stream(stream_id), None)
            for stream_id in stream_ids
        }

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        wrote = _wrote(self._log.codec, self._log.stream(command_id))
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


# --- PostgreSQL -----------------------------------------------------------------------------------


class BankRecorder(PostgresApplicationRecorder):
    """The library's recorder, with an append that is one round trip for a whole batch."""

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A pooled connection; the library's errors for a lost database become LogUnavailable."""
        try:
            with self.datastore.get_connection() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise LogUnavailable(str(error)) from error
        except PersistenceError as error:
            if getattr(error.__cause__, "sqlstate", None) in _CONFLICTS:
                raise Conflict(str(error)) from error
            raise


class BankFactory(PostgresFactory):
    """The library's factory, for connections that act in the application's role."""

    application_recorder_class = BankRecorder

    def __init__(self, env: Environment | Mapping[str, str] | None) -> None:
        super().__init__(env)
        options = self.env.get("POSTGRES_CONNECTION_OPTIONS")
        assert isinstance(self.datastore.pool.kwargs, dict)
        if options:
            self.datastore.pool.kwargs["options"] = options
        # Its attempts come at ever longer intervals, as long as the outage itself after a while;
        # once they are given up, whoever needs a connection makes the next attempt at once.
        self.datastore.pool.reconnect_timeout = RECONNECT_SECONDS
        if not self.datastore.pool.kwargs["password"]:
            del self.datastore.pool.kwargs["password"]  # or a password file would not be asked


class PostgresLog(EventLog):
    """The log in PostgreSQL, with snapshots and the vault beside it."""

    def __init__(self, codec: Codec, factory: BankFactory, snapshot_key: bytes) -> None:
        recorder = factory.application_recorder()
        assert isinstance(recorder, BankRecorder)
        super().__init__(codec, recorder)
        self._factory = factory
        self._snapshot_key = snapshot_key
        self._bank_recorder = recorder
        self._listening: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        self._factory.close()

    @property
    def vault_reader(self) -> VaultReader:
        return PostgresVaultReader(self._bank_recorder.connection)

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[Session]:
        with self._bank_recorder.connection() as connection:
            if exclusive:
                with connection.transaction():
                    connection.execute("SELECT ledgertwin.lock_log()")
                    yield _PostgresSession(self.codec, connection, self._snapshot_key)
            else:
                yield _PostgresSession(self.codec, connection, self._snapshot_key)

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        rows = []
        for stream_id, version, head, aggregate, state in snapshots:
            place = (stream_id, version, bytes.fromhex(head))
            named = aggregate.__name__.encode() + b"\n" + self.codec.encode_state(state)
            sealed = _seal(self._snapshot_key, *place, named) + named
            rows.append((*place, self.codec.code_fingerprint, sealed))
        with self._bank_recorder.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO ledgertwin.snapshots (stream_id, version, head, fingerprint, state)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (stream_id) DO UPDATE"
                " SET version = excluded.version, head = excluded.head,"
                " fingerprint = excluded.fingerprint, state = excluded.state"
                " WHERE (snapshots.version, snapshots.fingerprint)"
                " IS DISTINCT FROM (excluded.version, excluded.fingerprint)",
                rows,
            )

    def head(self) -> int:
        with self._bank_recorder.connection() as connection:
            row = connection.execute(
                "SELECT coalesce(max(notification_id), 0) AS head FROM ledgertwin.bank_events"
            ).fetchone()
        assert row is not None
        return int(row["head"])

    def records(self, after: int, limit: int) -> Sequence[StoredRecord]:
        return self._select(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE notification_id > %s"
            " ORDER BY notification_id LIMIT %s",
            (after, limit),
        )

    def stream(self, stream_id: UUID, after: int = 0) -> Sequence[StoredRecord]:
        return self._select(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE originator_id = %s AND originator_version > %s"
            " ORDER BY originator_version",
            (stream_id, after),
        )

    def stretch(self, first: int, last: int) -> Sequence[RawRecord]:
        return self._rows(
            "SELECT notification_id, uuid_send(originator_id), originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE notification_id BETWEEN %s AND %s"
            " ORDER BY notification_id",
            (first, last),
        )

    def batch_heads(self, start: int, limit: int) -> Sequence[BatchHead]:
        return list(
            map(
                BatchHead._make,
                self._rows(
                    "SELECT first_position, leaves, head FROM ledgertwin.batch_heads"
                    " WHERE first_position >= %s ORDER BY first_position LIMIT %s",
                    (start, limit),
                ),
            )
        )

    def last_batch_head(self) -> BatchHead | None:
        rows = self._rows(
            "SELECT first_position, leaves, head FROM ledgertwin.batch_heads"
            " ORDER BY first_position DESC LIMIT 1",
            (),
        )
        return BatchHead._make(rows[0]) if rows else None

    def snapshots(self) -> Iterator[StoredSnapshot]:
        ids = [row[0] for row in self._rows("SELECT stream_id FROM ledgertwin.snapshots", ())]
        for i in range(0, len(ids), 256):
            for stream_id, version, head, fingerprint, sealed in self._rows(
                "SELECT stream_id, version, head, fingerprint, state FROM ledgertwin.snapshots"
                " WHERE stream_id = ANY(%s)",
                (ids[i : i + 256],),
            ):
                place = (stream_id, version, head)
                name, _, state = _unsealed(self._snapshot_key, *place, sealed).partition(b"\n")
                aggregate = name.decode(errors="replace")
                yield StoredSnapshot(*place, fingerprint, aggregate, state)

    def data_keys(self, values: Sequence[SealedValue]) -> Sequence[tuple[UUID | None, UUID | None]]:
        return self._rows(
            "SELECT v.dek_id, k.dek_id FROM unnest(%s::uuid[], %s::bigint[], %s::text[],"
            " %s::uuid[], %s::text[]) WITH ORDINALITY"
            " AS w (stream_id, version, field, subject, retention, place)"
            " LEFT JOIN ledgertwin.vault_values AS v USING (stream_id, version, field)"
            " LEFT JOIN ledgertwin.vault_keys AS k USING (subject, retention) ORDER BY w.place",
            tuple(_columns(values, 5)),
        )

    def wait(self, after: int, timeout: float) -> None:
        """Woken by the notification of an append; looks by itself when none has come for long."""
        deadline = time.monotonic() + timeout
        connection = self._listener()
        try:
            while self.head() <= after:
                left = min(deadline - time.monotonic(), POLL_SECONDS)
                if left <= 0:
                    return
                for _ in connection.notifies(timeout=left, stop_after=1):
                    pass
        except psycopg.OperationalError as error:
            self._listening = None
            connection.close()
            raise LogUnavailable(str(error)) from error

    def _listener(self) -> psycopg.Connection[Any]:
        """A connection of its own, listening before anybody looks: nothing falls in between."""
        if self._listening is None or self._listening.closed:
            parameters = self._factory.datastore.pool.kwargs
            assert isinstance(parameters, dict)
            try:
                self._listening = psycopg.connect(**{**parameters, "autocommit": True})
                self._listening.execute("LISTEN bank_events")
            except psycopg.OperationalError as error:
                raise LogUnavailable(str(error)) from error
        return self._listening

    def _select(self, query: Any, parameters: tuple[Any, ...]) -> Sequence[StoredRecord]:
        return list(map(StoredRecord._make, self._rows(query, parameters)))

    def _rows(self, query: Any, parameters: tuple[Any, ...]) -> Sequence[Any]:
        with (
            self._bank_recorder.connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            return cursor.execute(query, parameters, prepare=True).fetchall()


class _PostgresSession:
    def __init__(
        self, codec: Codec, connection: psycopg.Connection[Any], snapshot_key: bytes
    ) -> None:
        self._codec = codec
        self._connection = connection
        self._snapshot_key = snapshot_key

    def load(self, stream_ids: Sequence[UUID]) -> dict[UUID, Stream]:
        wanted = list(stream_ids)
        with self._cursor() as cursor:
            rows = cursor.execute(
                "SELECT stream_id, version, head, state FROM ledgertwin.snapshots"
                " WHERE stream_id = ANY(%s) AND fingerprint = %s",
                (wanted, self._codec.code_fingerprint),
                prepare=True,
            )
            restored = [self._restored(*row) for row in rows]
            snapshots = {s.stream_id: s for s in restored if s is not None}
            after = [snapshots[i].version if i in snapshots else 0 for i in wanted]
            tails: dict[UUID, list[StoredRecord]] = {}
            for row in cursor.execute(
                "SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state"
                " FROM unnest(%s::uuid[], %s::bigint[]) AS w (id, version)"
                " JOIN ledgertwin.bank_events e"
                " ON e.originator_id = w.id AND e.originator_version > w.version"
                " ORDER BY e.originator_id, e.originator_version",
                (wanted, after),
                prepare=True,
            ):
                tails.setdefault(row[1], []).append(StoredRecord._make(row))
        return {i: _folded(self._codec, tails.get(i, ()), snapshots.get(i)) for i in wanted}

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        with self._cursor() as cursor:
            query = (
                "SELECT 0::bigint, originator_id, originator_version, topic, state"
                " FROM ledgertwin.bank_events WHERE originator_id = %s AND originator_version = %s"
            )
            command = cursor.execute(query, (command_id, 1)).fetchall()
            written = []
            for wrote in _wrote(self._codec, map(StoredRecord._make, command)):
                row = cursor.execute(query, wrote).fetchone()
                if row is None:
                    raise ChainBroken(f"{wrote[0]} version {wrote[1]} is gone")
                written.append((wrote[0], self._codec.decode(row[3], row[4]).data))
            return written

    def append(self, batch: Append) -> Sequence[int]:
        streams, versions, topics, states = _columns(batch.records, 4)
        guard_streams, guard_versions = _columns(batch.guards, 2)
        keys = _columns(
            [(k.dek_id, k.subject, k.retention, k.kek_id, k.wrapped) for k in batch.vault_keys], 5
        )
        values = _columns(
            [
                (v.stream_id, v.version, v.field, v.dek_id, v.nonce, v.ciphertext)
                for v in batch.vault_values
            ],
            6,
        )
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT ledgertwin.append("
                "%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::uuid[], %b::bigint[],"
                " %b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::bytea[],"
                " %b::uuid[], %b::bigint[], %b::text[], %b::uuid[], %b::bytea[], %b::bytea[])",
                (streams, versions, topics, states, guard_streams, guard_versions, *keys, *values),
                prepare=True,
            )
            return [row[0] for row in cursor]

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        """What goes wrong is told here: whoever holds an exclusive session hears of it long before
        the session ends."""
        try:
            with self._connection.cursor(row_factory=tuple_row, binary=True) as cursor:
                yield cursor
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise LogUnavailable(str(error)) from error

    def _restored(
        self, stream_id: UUID, version: int, head: bytes, state: bytes
    ) -> Snapshot | None:
        """A snapshot is a cache: one that can't be read, or was not sealed by us, is none."""
        named = _unsealed(self._snapshot_key, stream_id, version, head, state)
        name, _, json = named.partition(b"\n")
        try:
            restored = self._codec.decode_state(name.decode(errors="replace"), json)
        except UnreadableEvent:
            return None
        return Snapshot(stream_id, version, head.hex(), type(restored), restored)


def open_log(
    codec: Codec,
    env: Mapping[str, str] | None = None,
    *,
    url: str | None = None,
    snapshot_key: bytes = b"",
) -> EventLog:
    """The log that the library's environment variables name (in memory by default), or, with a
    `url`, the one in that PostgreSQL database. The tables are there already: see migrations.

    `snapshot_key` (up to 64 bytes) seals snapshots: those sealed with another key are not believed.
    Whoever decides on snapshots must give a secret one; without it they are only checked for
    accidents.
    """
    settings = dict(env or {})
    if url is not None:
        settings |= _postgres_settings(url)
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(
        Environment("bank", settings)
    )
    if isinstance(factory, BankFactory):
        return PostgresLog(codec, factory, snapshot_key)
    return EventLog(codec, factory.application_recorder())


def _postgres_settings(url: str) -> dict[str, str]:
    """A connection URL as the library wants it. POSTGRES_ENABLE_DB_FUNCTIONS is never set: the
    library's own function takes no table lock, and followers miss records."""
    given = {key: str(item) for key, item in conninfo_to_dict(url).items() if item is not None}
    # READ COMMITTED, whatever the server's default: what is read under the lock must be the newest.
    options = f"-c role={APPLICATION_ROLE} -c default_transaction_isolation=read\\ committed"
    return {
        "PERSISTENCE_MODULE": "application.event_log:BankFactory",
        "POSTGRES_DBNAME": given.get("dbname", "postgres"),
        "POSTGRES_HOST": given.get("host", ""),
        "POSTGRES_PORT": given.get("port", "5432"),
        "POSTGRES_USER": given.get("user", ""),
        "POSTGRES_PASSWORD": given.get("password", ""),
        "POSTGRES_CONNECTION_OPTIONS": f"{given.get('options', '')} {options}".strip(),
        "POSTGRES_SCHEMA": SCHEMA,
        "POSTGRES_CONNECT_TIMEOUT": str(UNAVAILABLE_AFTER),
        "POSTGRES_POOL_SIZE": "4",
        "POSTGRES_MAX_OVERFLOW": "8",
        "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "30",
        "CREATE_TABLE": "no",
    }


def _seal(key: bytes, stream_id: UUID, version: int, head: bytes, named: bytes) -> bytes:
    """What nobody without the key can make. The bank decides on snapshots, and the application's
    role may write them, so a changed one must not be believed: then the stream is folded."""
    place = stream_id.bytes + version.to_bytes(8, "big") + head
    return blake2b(place + named, key=key, digest_size=_SEAL_BYTES).digest()


def _unsealed(key: bytes, stream_id: UUID, version: int, head: bytes, sealed: bytes) -> bytes:
    """The snapshot that was sealed; nothing if it was not sealed so."""
    seal, named = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    return named if compare_digest(seal, _seal(key, stream_id, version, head, named)) else b""


def _folded(codec: Codec, tail: Iterable[StoredRecord], snapshot: Snapshot | None) -> Stream:
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


def _wrote(codec: Codec, records: Iterable[StoredRecord]) -> Sequence[tuple[UUID, int]]:
    """The (stream, version) pairs of an accepted command; none for anything else."""
    for _, _, _, topic, state in records:
        if topic in _COMMAND_TOPICS:
            recorded: CommandAccepted | CommandRefused = codec.decode(topic, state).data
            return recorded.wrote if isinstance(recorded, CommandAccepted) else ()
    return ()


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _uuid(stream_id: UUID | str) -> UUID:
    return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)
