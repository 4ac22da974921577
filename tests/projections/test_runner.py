"""Whatever happens to a runner, every record counts once, and the rows are a fold of the log."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.account import AccountRestricted, CashDeposited, DepositCash
from domain.money import Money
from domain.recorded import Recorded
from domain.restriction import Direction
from domain.transfer import Transfer
from projections import PROJECTIONS
from projections.balance import BALANCES, Balance, Balances
from projections.projection import Document, Feed, Key, Projection, fold_records, rows_of
from projections.runner import Progress, RebuildUnderWay, Runner
from projections.store import OutOfStep, Table, tracked
from projections.transactions import TRANSACTIONS
from tests.examples import ACCOUNT, DAY, OPENED, OTHER_ACCOUNT, RESTRICTION, deposited, eur
from tests.projections.histories import (
    AWKWARD,
    Chronicle,
    MemoryBatch,
    MemoryLog,
    chronicles,
    in_the_role,
    recorded,
    two_accounts,
)
from tests.projections.test_folds import credited

NAMES = [projection.name for projection in PROJECTIONS]


def busy(movements: int) -> Chronicle:
    """Two accounts with many movements."""
    chronicle = two_accounts()
    for n in range(movements):
        if n % 3:
            command: Any = Transfer(
                transfer_id=UUID(int=n),
                from_account_id=ACCOUNT,
                to_account_id=OTHER_ACCOUNT,
                amount=eur(1 + n % 7),
                booking_date=DAY,
            )
        else:
            command = DepositCash(
                account_id=ACCOUNT, movement_id=UUID(int=n), amount=eur(1_00), booking_date=DAY
            )
        chronicle.execute(command, UUID(int=n))
    return chronicle


def rows_in(url: str, projection: Projection[Any]) -> dict[Key, Any]:
    """All rows of the generation in use."""
    with psycopg.connect(url) as connection:
        stand = tracked(connection, [projection.name], lock=False)[projection.name]
        table = Table(projection, stand.generation)
        query = f"SELECT * FROM readmodels.{table.name}"  # noqa: S608
        count = connection.execute(query.replace("*", "count(*)", 1)).fetchone()
        keys = connection.execute(query.replace("*", ", ".join(projection.key), 1)).fetchall()
        rows = table.load(connection, keys) if keys else {}
        assert count == (len(rows),)
        return rows


def folded(projection: Projection[Any], records: Sequence[Recorded]) -> dict[Key, Any]:
    match projection:
        case Document():
            return fold_records(projection, records)
        case Feed():
            read = Table(projection, 1).key_of
            return {read(row): row for row in rows_of(projection, records)}
        case _:
            raise AssertionError(projection)


def assert_shown(url: str, records: Sequence[Recorded]) -> None:
    for projection in PROJECTIONS:
        assert rows_in(url, projection) == _as_stored(folded(projection, records))


def _as_stored(rows: dict[Key, Any]) -> dict[Key, Any]:
    """PostgreSQL cannot hold U+0000: rows show a replacement character in its place."""
    text = str(rows)
    assert "\\x00" not in text or "nul" in text
    return {key: _without_nul(row) for key, row in rows.items()}


def _without_nul(part: Any) -> Any:
    match part:
        case str() if "\x00" in part:
            return part.replace("\x00", "\ufffd")
        case tuple():
            return tuple(_without_nul(p) for p in part)
        case dict():
            return {name: _without_nul(p) for name, p in part.items()}
        case _ if hasattr(part, "__dataclass_fields__"):
            values = {n: _without_nul(getattr(part, n)) for n in part.__dataclass_fields__}
            return type(part)(**values)
        case _:
            return part


def stands(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        found = tracked(connection, NAMES, lock=False)
        return {name: stand.position for name, stand in found.items()}


@contextmanager
def running(*runners: Runner) -> Iterator[None]:
    """Runners at work in threads of their own; what they raise is raised here."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def work(runner: Runner) -> None:
        try:
            runner.run(stop)
        except BaseException as error:  # noqa: BLE001 -- handed to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
        assert not any(thread.is_alive() for thread in threads)
        assert failed == []


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def reached(url: str, position: int) -> Callable[[], bool]:
    return lambda: set(stands(url)) == set(NAMES) and set(stands(url).values()) == {position}


def runner(
    database: str, log: MemoryLog, *, batch: int = 5_000, cached_rows: int = 1_000
) -> Runner:
    return Runner(in_the_role(database), log, PROJECTIONS, batch=batch, cached_rows=cached_rows)


def test_what_was_caught_up_is_a_fold_of_the_log(database: str) -> None:
    chronicle = busy(300)
    log = MemoryLog(chronicle.records)
    assert runner(database, log, batch=50).catch_up() == log.head()
    assert_shown(database, chronicle.records)


@given(
    chronicle=chronicles(),
    cuts=st.lists(st.integers(0, 100), max_size=4),
    batch=st.integers(1, 40),
    cached_rows=st.integers(0, 3),
)
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_in_whatever_portions_it_is_read_the_rows_are_the_same(
    database_url: str, chronicle: Chronicle, cuts: list[int], batch: int, cached_rows: int
) -> None:
    forget_everything(database_url)
    log = MemoryLog()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        log.add(chronicle.records[start:end])
        runner(database_url, log, batch=batch, cached_rows=cached_rows).catch_up()
    assert_shown(database_url, chronicle.records)
    runner(database_url, log, batch=batch, cached_rows=cached_rows).rebuild()
    assert_shown(database_url, chronicle.records)


def forget_everything(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM ledgertwin.projections")
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'readmodels'"
        )
        for (name,) in tables.fetchall():
            connection.execute(f"DROP TABLE readmodels.{name}")


def test_positions_that_hold_nothing_to_show_are_passed(database: str) -> None:
    log = MemoryLog(recorded(ACCOUNT, *OPENED))
    log.add([], head=90)
    assert runner(database, log).catch_up() == 90
    assert set(stands(database).values()) == {90}


def test_a_runner_follows_what_is_written(database: str) -> None:
    records = busy(200).records
    log = MemoryLog()
    with running(runner(database, log)):
        for start in range(0, len(records), 20):
            log.add(records[start : start + 20])
            time.sleep(0.01)
        until(reached(database, log.head()))
    assert_shown(database, records)


def test_two_runners_that_both_catch_up_count_nothing_twice(database: str) -> None:
    records = busy(600).records
    log = MemoryLog(records)
    runner(database, MemoryLog(), batch=10).catch_up()
    runners = [runner(database, log, batch=n) for n in (7, 11)]
    threads = [threading.Thread(target=each.catch_up) for each in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_shown(database, records)


def test_another_runner_takes_over_from_one_that_ends(database: str) -> None:
    records = busy(100).records
    log = MemoryLog(records[:50])
    with running(runner(database, log)):
        with running(runner(database, log)):
            until(reached(database, log.head()))
        log.add(records[50:])
        until(reached(database, log.head()))
    assert_shown(database, records)


def test_commits_that_fail_and_connections_that_break_cost_nothing(database: str) -> None:
    """Every other commit fails for want of space, and sessions are ended at random moments."""
    records = busy(400).records
    log = MemoryLog()
    with psycopg.connect(database, autocommit=True) as administrator:
        runner(database, log).catch_up()
        administrator.execute(
            """
            CREATE FUNCTION public.fail_sometimes() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF random() < 0.5 THEN
                    RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full';
                END IF;
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON ledgertwin.projections
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'ledger')
            EXECUTE FUNCTION public.fail_sometimes();
            """
        )
        with running(runner(database, log, batch=40)):
            for start in range(0, len(records), 40):
                log.add(records[start : start + 40])
                administrator.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database()"
                    " AND application_name = 'ledgertwin projections' AND random() < 0.3"
                )
                time.sleep(0.02)
            administrator.execute("DROP TRIGGER fail ON ledgertwin.projections")
            until(reached(database, log.head()))
    assert_shown(database, records)


_KILLED_AT_ANY_MOMENT = """
import sys
sys.path.insert(0, {root!r})
from tests.projections.histories import MemoryLog, in_the_role
from tests.projections.test_runner import busy
from projections import PROJECTIONS
from projections.runner import Runner
log = MemoryLog(busy(3_000).records)
print("go", flush=True)
Runner(in_the_role({url!r}), log, PROJECTIONS, batch=20).catch_up()
print("done", flush=True)
"""


def test_a_runner_killed_at_any_moment_has_counted_every_record_once(database: str) -> None:
    root = str(Path(__file__).parents[2])
    runner(database, MemoryLog()).catch_up()
    program = _KILLED_AT_ANY_MOMENT.format(root=root, url=database)
    records = busy(3_000).records
    for moment in (0.0, 0.05, 0.12, 0.2, 0.33):
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moment)
            os.kill(process.pid, signal.SIGKILL)
        (position,) = set(stands(database).values())
        assert_shown(database, [r for r in records if r.position <= position])
    log = MemoryLog(records)
    runner(database, log).catch_up()
    assert_shown(database, records)


class OtherBalances(Balances):
    """The same read model, as another version of the code makes it."""

    def fingerprint(self) -> str:
        return "another"


def test_a_read_model_that_the_code_makes_differently_is_rebuilt(database: str) -> None:
    records = busy(50).records
    log = MemoryLog(records)
    Runner(in_the_role(database), log, [OtherBalances()]).catch_up()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE readmodels.balance_1 SET ledger = -1")
    with running(runner(database, log)):
        until(reached(database, log.head()))
    assert_shown(database, records)
    with psycopg.connect(database) as connection:
        assert tracked(connection, ["balance"], lock=False)["balance"].generation == 2


def test_a_runner_leaves_alone_what_newer_code_has_taken_over(database: str) -> None:
    records = busy(50).records
    log = MemoryLog(records[:40])
    with running(runner(database, log)):
        until(reached(database, log.head()))
        Runner(in_the_role(database), log, [OtherBalances()]).rebuild()
        log.add(records[40:])
        until(lambda: stands(database)["ledger"] == log.head())
        assert stands(database)["balance"] == records[39].position


def test_a_rebuild_goes_on_beside_the_writing_and_readers_never_see_half_of_it(
    database: str,
) -> None:
    """Readers watch: the sum of all transactions is always the sum of all balances."""
    records = busy(3_000).records
    log = MemoryLog(records[:2_000])
    keeping = runner(database, log, batch=100)
    keeping.catch_up()
    stop = threading.Event()
    seen: list[tuple[int, int, int]] = []

    def write() -> None:
        for start in range(2_000, len(records), 10):
            log.add(records[start : start + 10])
            time.sleep(0.005)

    def read() -> None:
        while not stop.is_set():
            seen.append(position_and_sums(database))

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    with running(keeping):
        for thread in threads:
            thread.start()
        for _ in range(3):
            runner(database, log, batch=100).rebuild()
        threads[0].join()
        until(reached(database, log.head()))
        stop.set()
        threads[1].join()
    assert_shown(database, records)
    assert len(seen) > 10
    assert [balances for _, balances, _ in seen] == [sums for _, _, sums in seen]
    positions = [position for position, _, _ in seen]
    assert positions == sorted(positions)
    with psycopg.connect(database) as connection:
        assert tracked(connection, ["balance"], lock=False)["balance"].generation == 4
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname='readmodels'")
        assert tables.fetchone() == (len(PROJECTIONS),)


def position_and_sums(url: str) -> tuple[int, int, int]:
    """Through the generation in use, in one snapshot; tried again if it is dropped meanwhile."""
    while True:
        try:
            with psycopg.connect(url) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                found = tracked(connection, NAMES, lock=False)
                balance, transactions = found["balance"], found["transactions"]
                assert balance.position == transactions.position
                sums = connection.execute(
                    f"SELECT (SELECT sum(ledger) FROM readmodels.balance_{balance.generation}),"  # noqa: S608
                    f" (SELECT sum(amount) FROM readmodels.transactions_{transactions.generation})"
                ).fetchone()
                assert sums is not None
                return balance.position, int(sums[0]), int(sums[1])
        except psycopg.errors.UndefinedTable:
            continue


def test_a_rebuild_says_how_far_it_is(database: str) -> None:
    log = MemoryLog(busy(300).records)
    told: list[Progress] = []
    runner(database, log, batch=50).rebuild(["ledger"], told.append)
    positions = [progress.position for progress in told]
    assert positions == sorted(positions)
    assert told[-1].position == told[-1].head == log.head()
    assert told[-1].names == ("ledger",)


def test_two_rebuilds_at_once_are_refused(database: str) -> None:
    log = MemoryLog(busy(300).records)
    other = runner(database, log)

    def rebuild_as_well(_: Progress) -> None:
        with pytest.raises(RebuildUnderWay):
            other.rebuild()

    runner(database, log).rebuild(progress=rebuild_as_well)


def test_what_postgresql_cannot_hold_does_not_stop_a_read_model(database: str) -> None:
    """U+0000 is a character of JSON and of Python, and anybody may send it."""
    reason = "nul\x00 and \\u0000"
    blocked = AccountRestricted(restriction_id=RESTRICTION, direction=Direction.ALL, reason=reason)
    runner(database, MemoryLog(recorded(ACCOUNT, *OPENED, blocked))).catch_up()
    (shown,) = rows_in(database, BALANCES)[ACCOUNT,].restrictions
    assert shown.reason == "nul\ufffd and \\u0000"


def test_what_a_killed_rebuild_left_behind_is_cleaned_up(database: str) -> None:
    records = busy(50).records
    log = MemoryLog(records)
    runner(database, log).catch_up()
    with psycopg.connect(database) as connection:
        connection.execute("SET ROLE ledgertwin_application")
        Table(BALANCES, 2).create(connection)
    with running(runner(database, log)):
        until(lambda: not exists(database, "readmodels.balance_2"))
    assert_shown(database, records)


def exists(url: str, table: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
        return found == (True,)


class Emptied(Document[Balance]):
    """Balances whose row goes when a deposit of one cent comes."""

    name = "emptied"
    row = Balance
    key = ("account_id",)
    events = Balances.events

    def fold(self, row: Balance | None, recorded: Recorded, key: Key) -> Balance | None:
        event = recorded.event
        if isinstance(event, CashDeposited) and event.amount == Money(minor=1, currency="EUR"):
            return None
        return BALANCES.fold(row, recorded, key)


def test_a_row_that_folds_to_nothing_is_gone(database: str) -> None:
    log = MemoryLog(recorded(ACCOUNT, *OPENED))
    emptied = Runner(in_the_role(database), log, [Emptied()])
    emptied.catch_up()
    assert len(rows_in(database, Emptied())) == 1
    log.add(recorded(ACCOUNT, deposited(1), first_version=3, position=3))
    emptied.catch_up()
    assert rows_in(database, Emptied()) == {}


class Copied(Balances):
    """Balances that a deposit makes another row of, in which nothing is different."""

    name = "copied"

    def fold(self, row: Balance | None, recorded: Recorded, key: Key) -> Balance | None:
        if row is not None and isinstance(recorded.event, CashDeposited):
            return replace(row)
        return super().fold(row, recorded, key)


def test_a_row_in_which_nothing_has_changed_stays_as_it_is(database: str) -> None:
    log = MemoryLog(recorded(ACCOUNT, *OPENED))
    copying = Runner(in_the_role(database), log, [Copied()])
    copying.catch_up()
    before = rows_in(database, Copied())
    log.add(recorded(ACCOUNT, deposited(1), first_version=3, position=3))
    assert copying.catch_up() == 3
    assert rows_in(database, Copied()) == before


def test_a_balance_of_more_than_64_bits_does_not_stop_a_read_model(database: str) -> None:
    huge = [deposited(10**15, 10**15 * n) for n in range(1, 10_001)]
    log = MemoryLog(recorded(ACCOUNT, *OPENED, *huge))
    runner(database, log).catch_up()
    assert rows_in(database, BALANCES)[ACCOUNT,].ledger == 10**19
    assert len(rows_in(database, TRANSACTIONS)) == 10_000


class Unreadable(Exception):
    """What a log raises that holds what the code does not know."""


class LogWithAnUnknownEvent(MemoryLog):
    """Nothing can be read from it that comes after `unknown`."""

    def __init__(self, records: Sequence[Recorded], unknown: int) -> None:
        super().__init__(records)
        self.unknown = unknown
        self.read_by = set[str]()

    def read(self, after: int, limit: int) -> MemoryBatch:
        self.read_by.add(threading.current_thread().name)
        batch = super().read(after, limit)
        if batch.position >= self.unknown:
            raise Unreadable
        return batch


def test_what_goes_wrong_while_reading_ahead_ends_the_runner_where_it_stands(
    database: str,
) -> None:
    records = busy(300).records
    runner(database, MemoryLog()).catch_up()
    log = LogWithAnUnknownEvent(records, unknown=records[200].position)
    with pytest.raises(Unreadable):
        runner(database, log, batch=20).run(threading.Event())
    assert len(log.read_by) == 2  # the runner's own thread, and the one that reads ahead
    (position,) = set(stands(database).values())
    assert 0 < position < log.unknown
    assert_shown(database, [r for r in records if r.position <= position])
    runner(database, MemoryLog(records)).catch_up()
    assert_shown(database, records)


class SlowLog(MemoryLog):
    """Never at its end, and never in a hurry."""

    def read(self, after: int, limit: int) -> MemoryBatch:
        time.sleep(0.01)
        return super().read(after, limit)


def test_a_runner_that_is_behind_stops_at_once(database: str) -> None:
    stop = threading.Event()
    runner(database, MemoryLog()).catch_up()
    working = threading.Thread(
        target=runner(database, SlowLog(busy(3_000).records), batch=1).run, args=[stop]
    )
    working.start()
    until(lambda: min(stands(database).values()) > 0)
    stop.set()
    began = time.monotonic()
    working.join(timeout=30)
    assert not working.is_alive()
    assert time.monotonic() - began < 10


def test_nothing_is_left_behind_when_a_runner_ends(database: str) -> None:
    before = threading.active_count()
    log = MemoryLog(busy(100).records)
    runner(database, log, batch=10).catch_up()
    assert threading.active_count() == before


def test_a_table_that_was_tampered_with_is_not_written_to(database: str) -> None:
    records = busy(100).records
    log = MemoryLog(records[:-2])
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(runner(database, log).run, threading.Event())
        until(reached(database, log.head()))
        log.add(records[-2:-1])
        until(reached(database, log.head()))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DELETE FROM readmodels.ledger_1")
        log.add(records[-1:])
        with pytest.raises(OutOfStep):
            working.result(timeout=30)
    assert set(stands(database).values()) == {records[-2].position}


@given(texts=st.lists(st.text() | st.sampled_from(AWKWARD), min_size=1, max_size=5))
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_somebody_wrote_is_shown(database_url: str, texts: list[str]) -> None:
    forget_everything(database_url)
    movements = [
        replace(credited(n, n), plain_counterparty=text, plain_reference=text, reference=None)
        for n, text in enumerate(texts, start=1)
    ]
    runner(database_url, MemoryLog(recorded(ACCOUNT, *OPENED, *movements))).catch_up()
    rows = sorted(rows_in(database_url, TRANSACTIONS).values(), key=lambda row: row.position)
    shown = [text.replace("\x00", "\ufffd") for text in texts]
    assert [row.reference for row in rows] == [row.counterparty for row in rows] == shown
