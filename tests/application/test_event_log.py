"""The log, in memory and in PostgreSQL: all or nothing, one order, and nobody misses a record."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from application.codec import UnknownEvent
from application.event_log import (
    Append,
    ChainBroken,
    Conflict,
    EventLog,
    LogUnavailable,
    Snapshot,
    StoredRecord,
    open_log,
)
from application.record import (
    GENESIS,
    NO_HEAD,
    Record,
    batch_head,
    envelope,
    record_hash,
)
from application.vault import VaultKey
from domain.account import Account
from domain.personal import Retention
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.database.migrate import migrate
from interfaces.system import bank_codec
from tests.examples import OPENED, deposited

CODEC = bank_codec()
AT = "2025-03-01T12:00:00.000000+00:00"


def chain(stream_id: UUID, *events: Any, after: Sequence[Record] = ()) -> list[Record]:
    """Records of a stream, each linked to the one before."""
    records = list(after)
    for event in events:
        prev = record_hash(*records[-1]) if records else GENESIS
        topic, data = CODEC.encode(event)
        state = envelope(at=AT, by=str(uuid4()), data=data, prev=prev)
        records.append(Record(stream_id, len(records) + 1, topic, state))
    return records[len(after) :]


def opened(stream_id: UUID) -> list[Record]:
    return chain(stream_id, *OPENED)


def append(log: EventLog, records: Sequence[Record], **others: Any) -> Sequence[int]:
    with log.session() as session:
        return session.append(Append(records, **others))


@pytest.fixture(params=["memory", "postgresql"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    url = request.getfixturevalue("database") if request.param == "postgresql" else None
    log = open_log(CODEC, url=url)
    yield log
    log.close()


@pytest.fixture
def postgres_log(database: str) -> Iterator[EventLog]:
    log = open_log(CODEC, url=database)
    yield log
    log.close()


# --- appending ------------------------------------------------------------------------------------


def test_what_is_appended_is_read_in_that_order(log: EventLog) -> None:
    records = [record for _ in range(3) for record in opened(uuid4())]
    positions = append(log, records)
    assert [(r.position, Record(*r[1:])) for r in log.records(0, 100)] == list(
        zip(positions, records, strict=True)
    )


def test_reading_goes_on_where_it_ended(log: EventLog) -> None:
    append(log, [record for _ in range(5) for record in opened(uuid4())])
    read: list[StoredRecord] = []
    position = 0
    while records := log.records(position, 3):
        read += records
        position = records[-1].position
    assert read == log.records(0, 100)


def test_a_stretch_is_of_the_positions_asked_for(log: EventLog) -> None:
    positions = append(log, [record for _ in range(5) for record in opened(uuid4())])
    stretch = log.stretch(positions[2], positions[5])
    assert [(position, UUID(bytes=stream), *rest) for position, stream, *rest in stretch] == [
        tuple(record) for record in log.records(positions[1], 4)
    ]


def test_the_head_is_the_last_position(log: EventLog) -> None:
    assert log.head() == 0
    assert append(log, opened(uuid4()))[-1] == log.head()


def test_a_taken_version_is_a_conflict_and_nothing_is_appended(log: EventLog) -> None:
    stream_id = uuid4()
    append(log, opened(stream_id))
    head = log.head()
    with pytest.raises(Conflict):
        append(log, [*opened(uuid4()), *opened(stream_id)])
    assert log.head() == head


@pytest.mark.parametrize("guarded", [0, 1, 3])
def test_a_guarded_stream_that_moved_is_a_conflict_and_nothing_is_appended(
    log: EventLog, guarded: int
) -> None:
    stream_id = uuid4()
    append(log, opened(stream_id))
    head = log.head()
    with pytest.raises(Conflict):
        append(log, opened(uuid4()), guards=[(stream_id, guarded)])
    assert log.head() == head


def test_a_guarded_stream_that_has_not_moved_is_none(log: EventLog) -> None:
    stream_id = uuid4()
    append(log, opened(stream_id))
    assert append(log, opened(uuid4()), guards=[(stream_id, 2), (uuid4(), 0)])


def test_a_data_key_that_another_made_is_a_conflict_and_nothing_is_appended(log: EventLog) -> None:
    subject = uuid4()
    keys = [
        VaultKey(
            dek_id=uuid4(),
            subject=subject,
            retention=Retention.CONTACT,
            kek_id="kek",
            wrapped=b"wrapped",
        )
        for _ in range(2)
    ]
    append(log, opened(uuid4()), vault_keys=keys[:1])
    head = log.head()
    with pytest.raises(Conflict):
        append(log, opened(uuid4()), vault_keys=keys[1:])
    assert log.head() == head


def test_every_append_leaves_a_head_that_follows_from_the_one_before(log: EventLog) -> None:
    batches = [[r for _ in range(n) for r in opened(uuid4())] for n in (1, 3, 2)]
    expected, before = [], NO_HEAD
    for batch in batches:
        first = append(log, batch)[0]
        leaves = b"".join(bytes.fromhex(record_hash(*record)) for record in batch)
        before = batch_head(before, first, leaves)
        expected.append((first, leaves, before))
    assert [tuple(head) for head in log.batch_heads(0, 10)] == expected
    assert log.last_batch_head() == expected[-1]


def test_nothing_appended_leaves_no_head(log: EventLog) -> None:
    assert list(append(log, [])) == []
    assert log.last_batch_head() is None


# --- sessions -------------------------------------------------------------------------------------


def test_an_exclusive_session_lets_nobody_else_write(log: EventLog) -> None:
    written = threading.Event()

    def write() -> None:
        append(log, opened(uuid4()))
        written.set()

    with ThreadPoolExecutor() as thread:
        with log.session(exclusive=True) as session:
            other = thread.submit(write)
            assert not written.wait(0.3)
            session.append(Append(opened(uuid4())))
        other.result()
    assert written.is_set()


def test_what_is_appended_in_an_exclusive_session_is_loaded_in_it(log: EventLog) -> None:
    stream_id = uuid4()
    with log.session(exclusive=True) as session:
        session.append(Append(opened(stream_id)))
        assert session.load([stream_id])[stream_id].version == 2


def test_an_exclusive_session_that_fails_leaves_nothing(postgres_log: EventLog) -> None:
    def fail() -> None:
        with postgres_log.session(exclusive=True) as session:
            session.append(Append(opened(uuid4())))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert postgres_log.head() == 0


def test_a_log_held_for_too_long_is_unavailable(postgres_log: EventLog, database: str) -> None:
    with psycopg.connect(database) as owner:
        (function,) = owner.execute("SELECT 'ledgertwin.append'::regproc::oid::regprocedure::text")
        owner.execute(f"ALTER FUNCTION {function[0]} SET lock_timeout = '300ms'".encode())
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE ledgertwin.bank_events IN EXCLUSIVE MODE")
        with pytest.raises(LogUnavailable):
            append(postgres_log, opened(uuid4()))
    append(postgres_log, opened(uuid4()))


# --- loading --------------------------------------------------------------------------------------


def test_looking_for_some_records_never_becomes_reading_all_of_them(
    postgres_log: EventLog, database: str
) -> None:
    def look_for(stream_id: UUID, position: int) -> None:
        with postgres_log.session() as session:
            session.load([stream_id])
        postgres_log.stream(stream_id)
        postgres_log.records(position, 1)
        postgres_log.stretch(position, position)

    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")  # all is known to be empty
        for _ in range(20):  # enough for the plans of empty tables to be kept
            look_for(uuid4(), 1)
        streams = [uuid4() for _ in range(500)]
        append(postgres_log, [record for stream_id in streams for record in opened(stream_id)])
        for number, stream_id in enumerate(streams[:50]):
            look_for(stream_id, number)
    postgres_log.close()  # which tells the statistics
    with psycopg.connect(database) as owner:
        read = owner.execute(
            "SELECT seq_scan, idx_tup_fetch < 1000 FROM pg_stat_user_tables"
            " WHERE relname = 'bank_events'"
        ).fetchone()
    assert read == (0, True)


def test_a_stream_is_loaded_with_its_state_and_its_end(log: EventLog) -> None:
    stream_id = uuid4()
    records = chain(stream_id, *OPENED, deposited(5_00))
    append(log, records)
    with log.session() as session:
        stream = session.load([stream_id])[stream_id]
    assert (stream.version, stream.head, stream.state) == (
        3,
        record_hash(*records[-1]),
        Account().after([*OPENED, deposited(5_00)]),
    )


def test_a_stream_that_does_not_exist_is_at_version_zero(log: EventLog) -> None:
    stream_id = uuid4()
    with log.session() as session:
        assert session.load([stream_id])[stream_id] == (0, GENESIS, None, None)


def broken(stream_id: UUID) -> dict[str, list[Record]]:
    first, second, third = chain(stream_id, *OPENED, deposited(5_00))
    edited = second._replace(state=second.state.replace(b"2025", b"2024", 1))
    return {
        "edited": [first, edited, third],
        "missing": [first, third],
        "without its beginning": [second, third],
    }


@pytest.mark.parametrize("how", broken(UUID(int=1)))
def test_a_broken_chain_is_not_loaded(log: EventLog, how: str) -> None:
    stream_id = uuid4()
    append(log, broken(stream_id)[how])
    with log.session() as session, pytest.raises(ChainBroken, match=str(stream_id)):
        session.load([stream_id])


def test_an_unknown_event_is_never_skipped(log: EventLog) -> None:
    state = envelope(at=AT, by=str(uuid4()), data=b"{}", prev=GENESIS)
    append(log, [Record(uuid4(), 1, "no.such.v1", state)])
    with pytest.raises(UnknownEvent):
        log.read(0, 10)


# --- snapshots ------------------------------------------------------------------------------------


@pytest.fixture
def snapshotted(postgres_log: EventLog) -> UUID:
    """A stream of three records with a snapshot of the second, in which it has an amount that no
    event gave it: so it shows whether the snapshot was used."""
    stream_id = uuid4()
    records = chain(stream_id, *OPENED, deposited(5_00))
    append(postgres_log, records)
    state = Account(ledger=1_000_000_00, currency="EUR")
    head = record_hash(*records[1])
    postgres_log.save([Snapshot(stream_id, 2, head, Account, state)])
    return stream_id


def ledger(log: EventLog, stream_id: UUID) -> int:
    with log.session() as session:
        state = session.load([stream_id])[stream_id].state
    assert isinstance(state, Account)
    return state.ledger


def test_a_stream_is_loaded_from_its_snapshot(postgres_log: EventLog, snapshotted: UUID) -> None:
    assert ledger(postgres_log, snapshotted) == 1_000_005_00


@pytest.mark.parametrize(
    "change",
    [
        b"fingerprint = 'of other code'",
        b"state = 'Account\n{\"ledger\":'",
        b"state = 'Nothing\n{}'",
        b"state = '\\xff'",
    ],
    ids=["other code", "cut off", "unknown aggregate", "no text"],
)
def test_a_snapshot_that_cannot_be_used_is_none(
    postgres_log: EventLog, snapshotted: UUID, database: str, change: bytes
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute(b"UPDATE ledgertwin.snapshots SET " + change)
    assert ledger(postgres_log, snapshotted) == 5_00


def test_a_snapshot_of_other_code_is_taken_again(
    postgres_log: EventLog, snapshotted: UUID, database: str
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE ledgertwin.snapshots SET fingerprint = 'of other code'")
    head = record_hash(*postgres_log.stream(snapshotted)[1][1:])
    state = Account(ledger=7_00, currency="EUR")
    postgres_log.save([Snapshot(snapshotted, 2, head, Account, state)])
    assert ledger(postgres_log, snapshotted) == 12_00


def test_a_snapshot_that_is_not_of_this_history_breaks_the_chain(
    postgres_log: EventLog, snapshotted: UUID, database: str
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("DELETE FROM ledgertwin.snapshots")
    state = Account(ledger=1_000_000_00, currency="EUR")
    postgres_log.save([Snapshot(snapshotted, 2, "0" * 64, Account, state)])
    with pytest.raises(ChainBroken):
        ledger(postgres_log, snapshotted)


@pytest.mark.parametrize(
    "change",
    [
        b"state = replace(encode(state, 'escape'), '100000000', '900000000')::bytea",
        b"version = 1",
        b"head = sha256('')",
        b"stream_id = gen_random_uuid()",
    ],
    ids=["amount", "version", "head", "stream"],
)
def test_a_snapshot_that_somebody_changed_is_not_believed(
    postgres_log: EventLog, snapshotted: UUID, database: str, change: bytes
) -> None:
    with psycopg.connect(database) as owner:
        assert owner.execute(b"UPDATE ledgertwin.snapshots SET " + change).rowcount == 1
    assert ledger(postgres_log, snapshotted) == 5_00


def test_a_snapshot_sealed_with_another_key_is_not_believed(
    snapshotted: UUID, database: str
) -> None:
    log = open_log(CODEC, url=database, snapshot_key=b"of another bank")
    try:
        assert ledger(log, snapshotted) == 5_00
    finally:
        log.close()


# --- following ------------------------------------------------------------------------------------


def test_a_follower_is_woken_by_an_append(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.event_log.postgres.POLL_SECONDS", 30.0)
    with ThreadPoolExecutor() as thread:
        waiting = thread.submit(log.wait, 0, 30.0)
        time.sleep(0.2)
        appended = time.monotonic()
        append(log, opened(uuid4()))
        waiting.result()
    assert time.monotonic() - appended < 10  # it would have waited for 30 seconds


def test_waiting_ends_when_time_is_up(log: EventLog) -> None:
    began = time.monotonic()
    log.wait(0, 0.3)
    assert 0.2 < time.monotonic() - began < 10


def test_who_is_behind_does_not_wait(log: EventLog) -> None:
    append(log, opened(uuid4()))
    began = time.monotonic()
    log.wait(0, 30)
    assert time.monotonic() - began < 10


class Follower:
    """Reads what comes, as a projection does: the next records after the last one it has seen."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.position = 0
        self.seen: list[tuple[int, UUID, int]] = []

    def catch_up(self) -> None:
        while (batch := self._log.read(self.position, 50)).position > self.position:
            self.position = batch.position
            self.seen += [(r.position, r.stream_id, r.version) for r in batch.records]

    def missed(self) -> set[tuple[int, UUID, int]]:
        return set(everything(self._log)) - set(self.seen)


def everything(log: EventLog) -> list[tuple[int, UUID, int]]:
    return [(r.position, r.stream_id, r.version) for r in log.records(0, 1_000_000)]


WRITERS = 8


@pytest.mark.parametrize("run", range(3))
def test_a_follower_of_many_writers_misses_nothing(database: str, run: int) -> None:
    logs = [open_log(CODEC, url=database) for _ in range(WRITERS + 1)]
    follower = Follower(logs[-1])
    written = threading.Event()

    def follow() -> None:
        while not written.is_set():
            follower.catch_up()
            logs[-1].wait(follower.position, 0.5)
        follower.catch_up()

    def write(number: int) -> None:
        random = Random(run * WRITERS + number)  # noqa: S311 -- not a secret
        for _ in range(40):
            records = [record for _ in range(random.randint(1, 12)) for record in opened(uuid4())]
            append(logs[number], records)
            time.sleep(random.random() / 200)

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        following = threads.submit(follow)
        try:
            list(threads.map(write, range(WRITERS)))
        finally:
            written.set()
        following.result()
    for log in logs[:-1]:
        log.close()
    assert len(follower.seen) > WRITERS * 40
    assert follower.seen == everything(logs[-1])
    logs[-1].close()


def test_a_follower_of_writers_who_do_not_wait_for_each_other_would_miss_some(
    postgres_log: EventLog, database: str
) -> None:
    """What the log's lock is for; and that this follower's miss is noticed when there is one."""
    follower = Follower(postgres_log)
    with psycopg.connect(database) as owner:
        owner.execute(
            "ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER bank_events_one_at_a_time"
        )
    insert = (
        "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic, state)"
        " VALUES (%s, %s, %s, %b)"
    )
    with psycopg.connect(database) as slow, psycopg.connect(database) as quick:
        slow.execute(insert, opened(uuid4())[0])
        quick.execute(insert, opened(uuid4())[0])
        quick.commit()
        follower.catch_up()
        slow.commit()
    follower.catch_up()
    assert len(follower.missed()) == 1


# --- a database that goes away --------------------------------------------------------------------


def end_all_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def until_it_heals(act: Callable[[], Any], failing: type[Exception] = LogUnavailable) -> int:
    """Do it until it succeeds; how often it failed."""
    for failures in range(20):
        try:
            act()
        except failing:
            continue
        return failures
    raise AssertionError("it never heals")


def test_a_lost_connection_is_unavailable_and_then_heals(
    postgres_log: EventLog, database: str
) -> None:
    append(postgres_log, opened(uuid4()))
    end_all_connections(database)
    failures = until_it_heals(lambda: append(postgres_log, opened(uuid4())))
    assert failures <= 12  # one for each connection that the pool may hold
    assert postgres_log.head() >= 4


def test_a_connection_lost_between_locking_and_writing_is_unavailable(
    postgres_log: EventLog, database: str
) -> None:
    def write() -> None:
        with postgres_log.session(exclusive=True) as session:
            end_all_connections(database)
            session.append(Append(opened(uuid4())))

    with pytest.raises(LogUnavailable):
        write()
    until_it_heals(lambda: append(postgres_log, opened(uuid4())))
    assert len(postgres_log.records(0, 10)) == 2


def test_a_follower_whose_connection_is_lost_listens_again(
    postgres_log: EventLog, database: str
) -> None:
    postgres_log.wait(0, 0.05)
    end_all_connections(database)
    until_it_heals(lambda: postgres_log.wait(0, 0.05))
    with ThreadPoolExecutor() as thread:
        waiting = thread.submit(postgres_log.wait, 0, 30.0)
        time.sleep(0.2)
        until_it_heals(lambda: append(postgres_log, opened(uuid4())))
        waiting.result(timeout=5)


def test_a_server_that_stops_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        migrate(server.url)
        log = open_log(CODEC, url=server.url)
        append(log, opened(uuid4()))
    began = time.monotonic()
    with pytest.raises(LogUnavailable):
        append(log, opened(uuid4()))
    with pytest.raises(LogUnavailable):
        log.head()
    with pytest.raises(LogUnavailable):
        log.wait(0, 1)
    assert time.monotonic() - began < 60
    with EmbeddedPostgres(tmp_path) as server:
        until_it_heals(lambda: append(log, opened(uuid4())))
        assert len(log.records(0, 10)) == 4
        log.close()
