"""The log in PostgreSQL, with snapshots and the vault beside it.

A whole batch is one round trip: a call of an SQL function (`ledgertwin.append`), which takes the
table lock, so that positions become visible in order and a follower never misses a record.
"""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    InfrastructureFactory,
    InterfaceError,
    OperationalError,
    PersistenceError,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from application.codec import Codec, UnreadableEvent
from application.event_log.arrays import (
    Array,
    BigintArray,
    ByteaArray,
    TextArray,
    UuidArray,
)
from application.event_log.log import (
    Append,
    Batch,
    ChainBroken,
    Conflict,
    EventLog,
    KeyGone,
    LogUnavailable,
    RawRecord,
    Session,
    Snapshot,
    StoredRecord,
    StoredSnapshot,
    Stream,
    Writer,
    folded,
    followed,
    pairs_written,
)
from application.record import BatchHead
from application.risk_models import PostgresRiskModels, RiskModels
from application.vault import PostgresVaultReader, VaultReader

APPLICATION_ROLE: Final = "ledgertwin_application"
READER_ROLE: Final = "ledgertwin_reader"
SEALER_ROLE: Final = "ledgertwin_sealer"
WORKER_ROLE: Final = "ledgertwin_worker"
SCHEMA: Final = "ledgertwin"
POLL_SECONDS: Final = 1.0
"""How long a follower that was told of nothing waits before it looks by itself."""

UNAVAILABLE_AFTER: Final = 5
"""Seconds to wait for a connection before the database is said to be away."""
RECONNECT_SECONDS: Final = 2.0

_HEAD: Final = "SELECT coalesce(max(notification_id), 0) AS head FROM ledgertwin.bank_events"

_KEY_GONE: Final = "LT004"
_CONFLICTS: Final = frozenset({"23505", "LT001", _KEY_GONE})
"""SQLSTATEs: unique_violation, and what ledgertwin.append raises when a guarded stream moved, or a
key that something is sealed with is gone."""
_SEAL_BYTES: Final = 32


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
            sqlstate = getattr(error.__cause__, "sqlstate", None)
            if sqlstate in _CONFLICTS:
                raise _conflict(sqlstate)(str(error)) from error
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

    @property
    def risk_models(self) -> RiskModels:
        return PostgresRiskModels(self._bank_recorder.connection)

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[Session]:
        with self._bank_recorder.connection() as connection:
            if exclusive:
                with connection.transaction():
                    connection.execute("SELECT ledgertwin.lock_log()")
                    yield _PostgresSession(self.codec, connection, self._snapshot_key)
            else:
                yield _PostgresSession(self.codec, connection, self._snapshot_key)

    @contextmanager
    def moment(self) -> Iterator[tuple[Session, int]]:
        with self._bank_recorder.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The first query fixes the moment; positions are visible in their order.
            row = connection.execute(_HEAD).fetchone()
            assert row is not None
            yield _PostgresSession(self.codec, connection, self._snapshot_key), int(row["head"])

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        rows = []
        for stream_id, version, head, aggregate, state in snapshots:
            place = (stream_id, version, bytes.fromhex(head))
            named = aggregate.__name__.encode() + b"\n" + self.codec.encode_state(state)
            sealed = _seal(self._snapshot_key, *place, named) + named
            rows.append((*place, self.codec.code_fingerprint, sealed))
        streams, versions, heads, fingerprints, states = _columns(rows, 5)
        with self._bank_recorder.connection() as connection:
            # A snapshot need not survive a crash: waiting for the disk, and for a statement each,
            # took twice to three times as long.
            connection.execute(
                "WITH unhurried AS MATERIALIZED"
                " (SELECT set_config('synchronous_commit', 'off', true))"
                " INSERT INTO ledgertwin.snapshots (stream_id, version, head, fingerprint, state)"
                " SELECT given.* FROM unhurried, unnest(%b, %b, %b, %b, %b) AS given"
                " ON CONFLICT (stream_id) DO UPDATE"
                " SET version = excluded.version, head = excluded.head,"
                " fingerprint = excluded.fingerprint, state = excluded.state"
                " WHERE (snapshots.version, snapshots.fingerprint)"
                " IS DISTINCT FROM (excluded.version, excluded.fingerprint)",
                (
                    UuidArray.of(streams),
                    BigintArray.of(versions),
                    ByteaArray.of(heads),
                    TextArray.of(fingerprints),
                    ByteaArray.of(states),
                ),
                prepare=True,
            )

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Writer]:
        parameters = self._factory.datastore.pool.kwargs
        assert isinstance(parameters, dict)
        writer = _PostgresWriter({**parameters, "row_factory": tuple_row, "autocommit": True})
        try:
            yield writer
        finally:
            await writer.close()

    def head(self) -> int:
        with self._bank_recorder.connection() as connection:
            row = connection.execute(_HEAD).fetchone()
        assert row is not None
        return int(row["head"])

    def records(self, after: int, limit: int) -> Sequence[StoredRecord]:
        return self._select(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE notification_id > %s"
            " ORDER BY notification_id LIMIT %s",
            (after, limit),
        )

    def read(self, after: int, limit: int) -> Batch:
        """Every third record is that of a command: what nobody asked for is not even fetched."""
        # Positions are visible in their order: up to the head, whatever is not found is not there.
        last = max(after, min(self.head(), after + limit))
        stored = self._rows(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE notification_id > %s AND notification_id <= %s"
            " AND topic <> ALL(%s) ORDER BY notification_id",
            (after, last, sorted(self._skipped)),
        )
        return Batch(records=followed(stored, self.codec, self._skipped), position=last)

    def told(
        self, topics: Collection[str], after: int, limit: int
    ) -> tuple[Sequence[StoredRecord], int]:
        last = max(after, min(self.head(), after + limit))
        if last == after:
            return (), after
        stored = self._select(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM ledgertwin.bank_events WHERE notification_id > %s AND notification_id <= %s"
            " AND topic = ANY(%s) ORDER BY notification_id",
            (after, last, sorted(topics)),
        )
        return stored, last

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
                # Stream by stream, whatever the planner thinks: see _postgres_settings.
                "SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state"
                " FROM unnest(%s::uuid[], %s::bigint[]) AS w (id, version) CROSS JOIN LATERAL"
                " (SELECT * FROM ledgertwin.bank_events WHERE originator_id = w.id"
                " AND originator_version > w.version ORDER BY originator_version OFFSET 0) AS e"
                " ORDER BY e.originator_id, e.originator_version",
                (wanted, after),
                prepare=True,
            ):
                tails.setdefault(row[1], []).append(StoredRecord._make(row))
        return {i: folded(self._codec, tails.get(i, ()), snapshots.get(i)) for i in wanted}

    def written_by(self, command_id: UUID) -> Sequence[tuple[UUID, Any]]:
        with self._cursor() as cursor:
            query = (
                "SELECT 0::bigint, originator_id, originator_version, topic, state"
                " FROM ledgertwin.bank_events WHERE originator_id = %s AND originator_version = %s"
            )
            command = cursor.execute(query, (command_id, 1)).fetchall()
            written = []
            for wrote in pairs_written(self._codec, map(StoredRecord._make, command)):
                row = cursor.execute(query, wrote).fetchone()
                if row is None:
                    raise ChainBroken(f"{wrote[0]} version {wrote[1]} is gone")
                written.append((wrote[0], self._codec.decode(row[3], row[4]).data))
            return written

    def append(self, batch: Append) -> Sequence[int]:
        with self._cursor() as cursor:
            cursor.execute(_APPEND, _arrays(batch), prepare=True)
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


class _PostgresWriter:
    """A connection of the event loop's own. Handing each batch to a thread and its answer back cost
    as much as writing it: while the loop computes, the thread waits for the interpreter."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = {**parameters, "connect_timeout": UNAVAILABLE_AFTER}
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def append(self, batch: Append) -> Sequence[int]:
        try:
            connection = await self._connected()
            async with connection.cursor(binary=True) as cursor:
                await cursor.execute(_APPEND, _arrays(batch), prepare=True)
                return [row[0] for row in await cursor.fetchall()]
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise LogUnavailable(str(error)) from error
        except psycopg.Error as error:
            if error.sqlstate in _CONFLICTS:
                raise _conflict(error.sqlstate)(str(error)) from error
            raise

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(**self._parameters)
        return self._connection


def _conflict(sqlstate: str | None) -> type[Conflict]:
    return KeyGone if sqlstate == _KEY_GONE else Conflict


_APPEND: Final = (
    b"SELECT * FROM ledgertwin.append("
    b"%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
)


def _arrays(batch: Append) -> tuple[Array, ...]:
    """A batch as what `ledgertwin.append` takes."""
    records, keys, values = batch.records, batch.vault_keys, batch.vault_values
    return (
        UuidArray.of([record.stream_id for record in records]),
        BigintArray.of([record.version for record in records]),
        TextArray.of([record.topic for record in records]),
        ByteaArray.of([record.state for record in records]),
        UuidArray.of([stream_id for stream_id, _ in batch.guards]),
        BigintArray.of([version for _, version in batch.guards]),
        UuidArray.of([key.dek_id for key in keys]),
        UuidArray.of([key.subject for key in keys]),
        TextArray.of([key.retention for key in keys]),
        TextArray.of([key.kek_id for key in keys]),
        ByteaArray.of([key.wrapped for key in keys]),
        UuidArray.of([value.stream_id for value in values]),
        BigintArray.of([value.version for value in values]),
        TextArray.of([value.field for value in values]),
        UuidArray.of([value.dek_id for value in values]),
        ByteaArray.of([value.nonce for value in values]),
        ByteaArray.of([value.ciphertext for value in values]),
    )


def open_log(
    codec: Codec,
    env: Mapping[str, str] | None = None,
    *,
    url: str | None = None,
    snapshot_key: bytes = b"",
    role: str = APPLICATION_ROLE,
) -> EventLog:
    """The log that the library's environment variables name (in memory by default), or, with a
    `url`, the one in that PostgreSQL database. The tables are there already: see migrations.

    `snapshot_key` (up to 64 bytes) seals snapshots: those sealed with another key are not believed.
    Whoever decides on snapshots must give a secret one; without it they are only checked for
    accidents. `role` is whose rights the database gives: who only reads or follows the log takes
    another one.
    """
    settings = dict(env or {})
    if url is not None:
        settings |= _postgres_settings(url, role)
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(
        Environment("bank", settings)
    )
    if isinstance(factory, BankFactory):
        return PostgresLog(codec, factory, snapshot_key)
    return EventLog(codec, factory.application_recorder())


def _postgres_settings(url: str, role: str) -> dict[str, str]:
    """A connection URL as the library wants it. POSTGRES_ENABLE_DB_FUNCTIONS is never set: the
    library's own function takes no table lock, and followers miss records."""
    given = {key: str(item) for key, item in conninfo_to_dict(url).items() if item is not None}
    # READ COMMITTED, whatever the server's default: what is read under the lock must be the newest.
    # A plan is kept from the days when a table was empty, and reading all of it the cheapest way,
    # until somebody analyses the table; nothing that is asked of the log is best answered so.
    options = (
        f"-c role={role} -c default_transaction_isolation=read\\ committed -c enable_seqscan=off"
    )
    return {
        "PERSISTENCE_MODULE": "application.event_log.postgres:BankFactory",
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


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
