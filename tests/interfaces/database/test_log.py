"""The log in the database: added to by one function, and by nobody changed."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

LT001 = "LT001"  # a guarded stream has moved
LT002 = "LT002"  # the log is only ever added to


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one call of ledgertwin.append is given, row by row."""

    records: Sequence[tuple[UUID, int]] = ()
    guards: Sequence[tuple[UUID, int]] = ()
    keys: Sequence[tuple[UUID, UUID, str]] = ()
    values: Sequence[tuple[UUID, int, str, UUID]] = ()
    topic: str = field(default="something.happened.v1")


@pytest.fixture
def application(database: str) -> Iterator[psycopg.Connection]:
    """A connection with the application's rights and no more."""
    with _application(database) as connection:
        yield connection


def test_records_get_ascending_positions_in_the_order_given(
    application: psycopg.Connection,
) -> None:
    records = [(uuid4(), 1) for _ in range(1000)]
    positions = _append(application, Batch(records=records))
    stored = application.execute(
        "SELECT originator_id FROM ledgertwin.bank_events ORDER BY notification_id"
    ).fetchall()
    assert (positions, [stream for (stream,) in stored]) == (
        sorted(positions),
        [stream for stream, _ in records],
    )


def test_a_version_is_taken_once(application: psycopg.Connection) -> None:
    stream = uuid4()
    _append(application, Batch(records=[(stream, 1)]))
    with pytest.raises(psycopg.errors.UniqueViolation):
        _append(application, Batch(records=[(stream, 1)]))


def test_a_guarded_stream_that_stands_where_expected_lets_the_batch_in(
    application: psycopg.Connection,
) -> None:
    stream = uuid4()
    _append(application, Batch(records=[(stream, 1), (stream, 2)]))
    assert _append(application, Batch(records=[(stream, 3)], guards=[(stream, 2), (uuid4(), 0)]))


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_guarded_stream_that_has_moved_keeps_the_batch_out(
    application: psycopg.Connection, expected: int
) -> None:
    stream, other = uuid4(), uuid4()
    _append(application, Batch(records=[(stream, 1), (stream, 2)]))
    with pytest.raises(psycopg.Error) as refused:
        _append(application, Batch(records=[(other, 1)], guards=[(stream, expected)]))
    assert (refused.value.sqlstate, refused.value.diag.message_detail) == (LT001, str(stream))


def test_a_refused_batch_leaves_nothing(application: psycopg.Connection) -> None:
    stream, key = uuid4(), uuid4()
    _append(application, Batch(records=[(stream, 1)]))
    with pytest.raises(psycopg.errors.UniqueViolation):
        _append(
            application,
            Batch(
                records=[(uuid4(), 1), (stream, 1)],
                keys=[(key, uuid4(), "contact")],
                values=[(stream, 1, "name", key)],
            ),
        )
    counted = application.execute(
        "SELECT (SELECT count(*) FROM ledgertwin.bank_events),"
        " (SELECT count(*) FROM ledgertwin.vault_keys),"
        " (SELECT count(*) FROM ledgertwin.vault_values)"
    ).fetchone()
    assert counted == (1, 0, 0)


def test_keys_and_sealed_values_are_written_with_their_records(
    application: psycopg.Connection,
) -> None:
    stream, key, subject = uuid4(), uuid4(), uuid4()
    _append(
        application,
        Batch(
            records=[(stream, 1)],
            keys=[(key, subject, "contact")],
            values=[(stream, 1, "name", key)],
        ),
    )
    found = application.execute(
        "SELECT subject, retention, field, ciphertext FROM ledgertwin.vault_values"
        " JOIN ledgertwin.vault_keys USING (dek_id)"
    ).fetchone()
    assert found == (subject, "contact", "name", b"sealed")


def test_lists_of_different_lengths_are_refused(application: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        application.execute(
            "SELECT ledgertwin.append(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[],"
            " '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
            [[uuid4(), uuid4()], [1], ["t"], [b"{}"]],
        )


def test_an_append_tells_those_who_listen(application: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN bank_events")
        _append(application, Batch(records=[(uuid4(), 1)]))
        assert [note.channel for note in listener.notifies(timeout=5, stop_after=1)] == [
            "bank_events"
        ]


def test_the_order_of_positions_is_the_order_of_commits(
    application: psycopg.Connection, database: str
) -> None:
    late: list[int] = []
    with _application(database) as other:
        with application.transaction():
            early = _append(application, Batch(records=[(uuid4(), 1)]))
            writer = threading.Thread(
                target=lambda: late.extend(_append(other, Batch(records=[(uuid4(), 1)])))
            )
            writer.start()
            writer.join(0.3)
            assert late == []  # it waits for us to commit
        writer.join()
    assert early < late


def test_the_log_can_be_held_for_a_transaction(
    application: psycopg.Connection, database: str
) -> None:
    with _application(database) as other, application.transaction():
        application.execute("SELECT ledgertwin.lock_log()")
        other.execute("SET statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            _append(other, Batch(records=[(uuid4(), 1)]))


def test_whoever_adds_to_the_log_by_another_way_waits_as_well(
    application: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as owner, application.transaction():
        _append(application, Batch(records=[(uuid4(), 1)]))
        owner.execute("SET statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            owner.execute(
                "INSERT INTO ledgertwin.bank_events (originator_id, originator_version, topic,"
                " state) VALUES (gen_random_uuid(), 1, 't', '')"
            )


def test_vacuuming_and_analysing_the_log_hold_nobody_up(
    application: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("LOCK TABLE ledgertwin.bank_events IN SHARE UPDATE EXCLUSIVE MODE")  # as both
        application.execute("SET statement_timeout = '5s'")
        assert _append(application, Batch(records=[(uuid4(), 1)]))
    with psycopg.connect(database, autocommit=True) as owner, application.transaction():
        _append(application, Batch(records=[(uuid4(), 1)]))
        owner.execute("SET lock_timeout = '5s'")
        owner.execute("VACUUM (ANALYZE) ledgertwin.bank_events")


def test_a_look_at_a_stream_never_reads_the_whole_log(
    application: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE ledgertwin.bank_events")  # known to be empty
    streams = [uuid4() for _ in range(2000)]
    for stream in streams[:20]:  # enough for the plan of the nearly empty table to be kept
        _append(application, Batch(records=[(stream, 1)], guards=[(stream, 0)]))
    _append(application, Batch(records=[(stream, 1) for stream in streams[20:]]))
    for stream in streams[:20]:
        _append(application, Batch(records=[(stream, 2)], guards=[(stream, 1)]))
    application.execute("SELECT pg_stat_force_next_flush()")
    scans = application.execute(
        "SELECT seq_scan, idx_scan >= 40 FROM pg_stat_user_tables WHERE relname = 'bank_events'"
    ).fetchone()
    assert scans == (0, True)


@pytest.mark.parametrize(
    "statement",
    [
        b"INSERT INTO ledgertwin.bank_events VALUES (gen_random_uuid(), 1, 't', '', 1)",
        b"UPDATE ledgertwin.bank_events SET topic = 'x'",
        b"DELETE FROM ledgertwin.bank_events",
        b"TRUNCATE ledgertwin.bank_events",
        b"DROP TABLE ledgertwin.bank_events",
        b"ALTER TABLE ledgertwin.bank_events DISABLE TRIGGER ALL",
        b"SELECT nextval('ledgertwin.bank_events_notification_id_seq')",
        b"INSERT INTO ledgertwin.vault_keys DEFAULT VALUES",
        b"DELETE FROM ledgertwin.vault_values",
        b"DELETE FROM ledgertwin.migrations",
        b"CREATE TABLE ledgertwin.mine ()",
    ],
    ids=lambda statement: b" ".join(statement.split()[:4]).decode(),
)
def test_the_application_may_not(application: psycopg.Connection, statement: bytes) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        b"UPDATE ledgertwin.bank_events SET topic = 'x' WHERE false",
        b"DELETE FROM ledgertwin.bank_events",
        b"TRUNCATE ledgertwin.bank_events",
    ],
    ids=lambda statement: statement.split()[0].decode(),
)
@pytest.mark.parametrize("replication", ["origin", "replica"])
def test_not_even_the_owner_changes_a_record(
    database: str, statement: bytes, replication: str
) -> None:
    with psycopg.connect(database) as owner:
        owner.execute(f"SET session_replication_role = {replication}".encode())
        with pytest.raises(psycopg.Error) as refused:
            owner.execute(statement)
    assert refused.value.sqlstate == LT002


@pytest.mark.parametrize(
    "statement",
    [
        b"DELETE FROM ledgertwin.snapshots",
        b"DELETE FROM ledgertwin.projections",
        b"CREATE TABLE readmodels.balance ()",
        b"SELECT * FROM ledgertwin.migrations",
    ],
    ids=lambda statement: statement.split()[-1].decode(),
)
def test_what_can_be_made_again_is_the_applications_own(
    application: psycopg.Connection, statement: bytes
) -> None:
    application.execute(statement)


def _application(database: str) -> psycopg.Connection:
    return psycopg.connect(database, autocommit=True, options="-c role=ledgertwin_application")


def _append(connection: psycopg.Connection[TupleRow], batch: Batch) -> list[int]:
    keys, values = batch.keys, batch.values
    rows = connection.execute(
        "SELECT * FROM ledgertwin.append("
        "%s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::uuid[], %s::bigint[],"
        "%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bytea[],"
        "%s::uuid[], %s::bigint[], %s::text[], %s::uuid[], %s::bytea[], %s::bytea[])",
        [
            [stream for stream, _ in batch.records],
            [version for _, version in batch.records],
            [batch.topic for _ in batch.records],
            [b"{}" for _ in batch.records],
            [stream for stream, _ in batch.guards],
            [version for _, version in batch.guards],
            [key for key, _, _ in keys],
            [subject for _, subject, _ in keys],
            [retention for _, _, retention in keys],
            ["local" for _ in keys],
            [b"wrapped" for _ in keys],
            [stream for stream, _, _, _ in values],
            [version for _, version, _, _ in values],
            [name for _, _, name, _ in values],
            [key for _, _, _, key in values],
            [b"nonce" for _ in values],
            [b"sealed" for _ in values],
        ],
    ).fetchall()
    return [position for (position,) in rows]
