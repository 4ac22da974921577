"""What an API is told: rows, pages, freshness and the trial balance, each of one moment."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.account import AccountOpened
from domain.postings import GL
from projections import PROJECTIONS
from projections.balance import BALANCES
from projections.customers import CUSTOMERS
from projections.ledger import LEDGER
from projections.read_models import (
    Freshness,
    NotReady,
    ReadModels,
    ReadModelsUnavailable,
    Snapshot,
    Where,
)
from projections.runner import Runner
from projections.transactions import TRANSACTIONS, Transaction
from projections.trial_balance import NotCaughtUp, TrialBalance, trial_balance
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    DAY,
    NOBODY_KNOWN,
    OPENED,
    OTHER_ACCOUNT,
    active,
    deposited,
)
from tests.projections.histories import MemoryLog, in_the_role, recorded
from tests.projections.test_runner import busy


def kept(url: str, log: MemoryLog) -> Runner:
    return Runner(in_the_role(url), log, PROJECTIONS, batch=100)


def read_models(url: str) -> ReadModels:
    return ReadModels(in_the_role(url), PROJECTIONS, connections=3)


def asked(url: str, question: Any) -> Any:
    """What a snapshot answers."""

    async def ask() -> Any:
        async with read_models(url) as models, models.snapshot() as now:
            return await question(now)

    return asyncio.run(ask())


async def statement(now: Snapshot, **question: Any) -> Sequence[Transaction]:
    """All pages of a statement, two lines each."""
    where = [Where("account_id", "=", ACCOUNT), *question.pop("where", ())]
    lines: list[Transaction] = []
    after: tuple[Any, ...] | None = None
    while True:
        page = await now.page(TRANSACTIONS, where, first=2, after=after, **question)
        lines += page.rows
        if not page.has_more:
            return lines
        after = (lines[-1].position,)


def test_a_row_is_found_by_its_key(database: str) -> None:
    kept(database, MemoryLog(busy(10).records)).catch_up()
    balance = asked(database, lambda now: now.get(BALANCES, ACCOUNT))
    assert (balance.account_id, balance.customer_id) == (ACCOUNT, ADA)


def test_a_key_that_nothing_is_known_of_has_no_row(database: str) -> None:
    kept(database, MemoryLog(busy(10).records)).catch_up()
    assert asked(database, lambda now: now.get(BALANCES, NOBODY_KNOWN)) is None


def test_many_rows_are_one_question(database: str) -> None:
    kept(database, MemoryLog(busy(10).records)).catch_up()
    keys = [(ADA,), (BOB,), (NOBODY_KNOWN,), (ADA,)]
    found = asked(database, lambda now: now.many(CUSTOMERS, keys))
    assert set(found) == {(ADA,), (BOB,)}


@pytest.mark.parametrize("descending", [False, True])
def test_pages_follow_on_each_other_without_a_gap(database: str, descending: bool) -> None:
    kept(database, MemoryLog(busy(31).records)).catch_up()
    lines = asked(database, lambda now: statement(now, descending=descending))
    positions = [line.position for line in lines]
    assert len(positions) == 1 + 31
    assert positions == sorted(set(positions), reverse=descending)


def test_a_page_has_only_what_was_asked_for(database: str) -> None:
    kept(database, MemoryLog(busy(31).records)).catch_up()
    where = [
        Where("kind", "in", ["TRANSFER", "FEE"]),
        Where("amount", ">=", -4),
        Where("booking_date", "<=", DAY),
    ]
    lines = asked(database, lambda now: statement(now, where=where))
    assert lines
    assert {line.kind for line in lines} == {"TRANSFER"}
    assert all(-4 <= line.amount < 0 for line in lines)


def test_documents_are_paged_too(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()
    first = asked(database, lambda now: now.page(CUSTOMERS, first=1))
    second = asked(database, lambda now: now.page(CUSTOMERS, first=1, after=(ADA,)))
    assert [row.customer_id for row in (*first.rows, *second.rows)] == [ADA, BOB]
    assert (first.has_more, second.has_more) == (True, False)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("after", [None, (40,)])
def test_the_pages_of_many_are_those_of_each(database: str, after: Any, descending: bool) -> None:
    kept(database, MemoryLog(busy(31).records)).catch_up()
    where = (Where("amount", "abs>=", 3), Where("kind", "in", ("TRANSFER", "FEE")))
    given = {"first": 3, "after": after, "descending": descending}
    keys = [OTHER_ACCOUNT, NOBODY_KNOWN, ACCOUNT]

    async def ask(now: Snapshot) -> Any:
        asked = (now.page_of(TRANSACTIONS, "account_id", key, where, **given) for key in keys)
        single = [
            await now.page(TRANSACTIONS, [Where("account_id", "=", key), *where], **given)
            for key in keys
        ]
        together = await now.pages(TRANSACTIONS, "account_id", keys, where, **given)
        return single, together, await asyncio.gather(*asked)

    single, together, gathered = asked(database, ask)
    assert [len(page.rows) for page in single] == [3, 0, 3]
    assert single == together == gathered


def test_the_rows_of_many_are_counted_at_once(database: str) -> None:
    kept(database, MemoryLog(busy(31).records)).catch_up()
    where = (Where("amount", "abs<=", 4), Where("amount", "<", 0))
    keys = [OTHER_ACCOUNT, NOBODY_KNOWN, ACCOUNT]

    async def ask(now: Snapshot) -> Any:
        counts = await now.counts(TRANSACTIONS, "account_id", keys, where)
        gathered = await asyncio.gather(
            *(now.count_of(TRANSACTIONS, "account_id", key, where) for key in keys)
        )
        return counts, gathered

    counts, gathered = asked(database, ask)
    lines = [row for record in busy(31).records for row in _lines(record)]
    wanted = [sum(row.account_id == key and -4 <= row.amount < 0 for row in lines) for key in keys]
    assert counts == gathered == wanted
    assert sum(wanted)


def _lines(record: Any) -> Sequence[Transaction]:
    return TRANSACTIONS.rows(record) if type(record.event) in TRANSACTIONS.events else ()


@pytest.mark.parametrize(
    "where", [Where("kind; DROP TABLE x", "=", 1), Where("kind", "= 1 OR 1 =", 1)]
)
def test_only_columns_and_operators_that_exist_are_asked_for(database: str, where: Where) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()
    with pytest.raises((KeyError, ValueError)):
        asked(database, lambda now: now.page(TRANSACTIONS, [where], first=1))


def test_what_was_never_built_is_not_ready(database: str) -> None:
    with pytest.raises(NotReady):
        asked(database, lambda now: now.get(BALANCES, ACCOUNT))


def test_a_read_model_of_other_columns_is_not_ready(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE readmodels.balance_1 DROP COLUMN available")
    with pytest.raises(NotReady):
        asked(database, lambda now: now.get(BALANCES, ACCOUNT))


def test_a_snapshot_stays_as_it_is_while_the_read_models_move_on(database: str) -> None:
    records = busy(300).records
    log = MemoryLog(records[:100])
    runner = kept(database, log)
    runner.catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            async with models.snapshot() as now:
                before = await now.get(BALANCES, ACCOUNT)
                log.add(records[100:])
                await asyncio.to_thread(runner.catch_up)
                again = await now.get(BALANCES, ACCOUNT)
                assert again == before
            async with models.snapshot() as later:
                after = await later.get(BALANCES, ACCOUNT)
                assert after != before
                assert (now.position, later.position) == (records[99].position, log.head())

    asyncio.run(ask())


def test_reading_goes_on_while_a_rebuild_is_swapped_in(database: str) -> None:
    log = MemoryLog(busy(500).records)
    runner = kept(database, log)
    runner.catch_up()

    async def ask() -> int:
        async with read_models(database) as models:
            rebuilding = asyncio.create_task(asyncio.to_thread(runner.rebuild))
            read = 0
            while not rebuilding.done():
                async with models.snapshot() as now:
                    assert now.position == log.head()
                    balance = await now.get(BALANCES, ACCOUNT)
                    assert balance is not None
                    await asyncio.sleep(0.002)
                    ((total,),) = await now.query(
                        "SELECT sum(amount) FROM {transactions} WHERE account_id = %s",
                        [ACCOUNT],
                        transactions=TRANSACTIONS,
                    )
                    assert total == balance.ledger
                    read += 1
            await rebuilding
            return read

    assert asyncio.run(ask()) > 3


def test_a_snapshot_serves_several_tasks_at_once(database: str) -> None:
    kept(database, MemoryLog(busy(50).records)).catch_up()

    async def ask(now: Snapshot) -> list[Any]:
        questions = [now.many(BALANCES, [(ACCOUNT,)]) for _ in range(10)]
        return await asyncio.gather(*questions)

    assert len(set(map(str, asked(database, ask)))) == 1


def test_nothing_waits_when_all_is_shown(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()
    freshness = asked(database, freshness_of)
    assert freshness["balance"].waiting_since is None
    assert freshness["balance"].lag(datetime.now(UTC)) == timedelta(0)


async def freshness_of(now: Snapshot) -> Any:
    return now.freshness


def test_lag_is_how_long_the_first_record_that_is_not_shown_has_waited(database: str) -> None:
    kept(database, MemoryLog(recorded(ACCOUNT, *OPENED))).catch_up()
    written = datetime(2024, 5, 1, tzinfo=UTC)
    with psycopg.connect(database, autocommit=True) as connection:
        for n in range(1, 5):
            state = b'{"at":"%b"}' % (written + timedelta(hours=n)).isoformat().encode()
            connection.execute(
                "INSERT INTO ledgertwin.bank_events VALUES (%s, 1, 'x', %s, %s)",
                [UUID(int=n), state, n],
            )
    freshness: Freshness = asked(database, freshness_of)["balance"]
    assert (freshness.position, freshness.head) == (2, 4)
    assert freshness.lag(written + timedelta(hours=5)) == timedelta(hours=2)


def test_a_reader_waits_for_what_he_has_written(database: str) -> None:
    records = busy(100).records
    log = MemoryLog(records[:50])
    runner = kept(database, log)
    runner.catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            head = records[-1].position
            assert not await models.wait_for(head, 0.05)
            waiting = asyncio.create_task(models.wait_for(head, 60.0))
            await asyncio.sleep(0.05)
            log.add(records[50:])
            await asyncio.to_thread(runner.catch_up)
            began = time.monotonic()
            assert await waiting
            assert time.monotonic() - began < 10

    asyncio.run(ask())


def test_what_was_reached_before_anybody_listened_is_known(database: str) -> None:
    log = MemoryLog(busy(10).records)
    kept(database, log).catch_up()

    async def ask() -> bool:
        async with read_models(database) as models:
            return await models.wait_for(log.head(), 5.0, [BALANCES, LEDGER])

    assert asyncio.run(ask())


def end_all_sessions(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_reads_and_waits_go_on_after_every_connection_was_lost(database: str) -> None:
    records = busy(100).records
    log = MemoryLog(records[:50])
    runner = kept(database, log)
    runner.catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            assert await models.wait_for(log.head(), 5.0)
            end_all_sessions(database)
            async with models.snapshot() as now:
                assert await now.get(BALANCES, ACCOUNT) is not None
            waiting = asyncio.create_task(models.wait_for(records[-1].position, 10.0))
            log.add(records[50:])
            await asyncio.to_thread(runner.catch_up)
            assert await waiting

    asyncio.run(ask())


async def hurried(models: ReadModels, until: asyncio.Event | None = None) -> tuple[Snapshot, Any]:
    """What somebody in a hurry reads, and of which snapshot; he holds it until he is told."""
    async with models.snapshot(hurried=True) as now:
        found = await now.get(BALANCES, ACCOUNT)
        if until is not None:
            await until.wait()
        return now, found


def test_who_comes_while_others_read_shares_the_next_moment(database: str) -> None:
    records = busy(100).records
    log = MemoryLog(records[:50])
    runner = kept(database, log)
    runner.catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            await models.freshness()
            until = asyncio.Event()
            first = [asyncio.create_task(hurried(models, until)) for _ in range(3)]
            await asyncio.sleep(0.2)
            others = [asyncio.create_task(hurried(models, until)) for _ in range(3)]
            await asyncio.sleep(0.2)
            log.add(records[50:])
            await asyncio.to_thread(runner.catch_up)
            late = [asyncio.create_task(hurried(models)) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in late)
            until.set()
            groups = [await asyncio.gather(*tasks) for tasks in (first, others, late)]
            snapshots = [{id(now) for now, _ in group} for group in groups]
            assert [len(found) for found in snapshots] == [1, 1, 1]
            versions = [{row.version for _, row in group} for group in groups]
            assert versions[0] == versions[1] != versions[2]
            async with models.snapshot() as now:
                current = await now.get(BALANCES, ACCOUNT)
            assert current is not None
            assert versions[2] == {current.version}, "who comes later sees what is there by then"

    asyncio.run(ask())


def test_who_gives_up_disturbs_nobody(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            await models.freshness()
            for turns in range(12):
                asking = [asyncio.create_task(hurried(models)) for _ in range(4)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking[0].cancel()
                asking[2].cancel()
                await asyncio.wait(asking)
                assert asking[1].result()[1] == asking[3].result()[1]
                assert asking[1].result()[1] is not None
            assert (await hurried(models))[1] is not None

    asyncio.run(ask())


def test_a_lost_connection_is_soon_replaced_however_much_there_is_to_read(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()

    async def ask() -> None:
        async with read_models(database) as models:
            await models.freshness()
            ended = asyncio.Event()
            found: list[list[bool]] = [[] for _ in range(8)]

            async def go_on_reading(mine: list[bool]) -> None:
                while not ended.is_set() or len(mine) < 50:
                    async with models.snapshot(hurried=True) as now:
                        try:
                            mine.append(await now.get(BALANCES, ACCOUNT) is not None)
                        except psycopg.OperationalError:
                            mine.append(False)  # and it is his own affair what he does then

            reading = [asyncio.create_task(go_on_reading(mine)) for mine in found]
            await asyncio.sleep(0.1)
            await asyncio.to_thread(end_all_sessions, database)
            for mine in found:
                mine.clear()
            ended.set()
            await asyncio.wait(reading)
            assert all(any(mine) and all(mine[-20:]) for mine in found)

    asyncio.run(ask())


def test_what_is_asked_for_together_is_one_question(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()
    asked_for: list[list[Any]] = []

    async def load(now: Snapshot, keys: list[Any]) -> Sequence[Any]:
        asked_for.append(keys)
        rows = await now.many(BALANCES, keys)
        return [rows.get(key) for key in keys]

    async def one(models: ReadModels, account: UUID) -> Any:
        async with models.snapshot(hurried=True) as now:
            return await now.gathered("balances", load, (account,))

    async def ask() -> None:
        async with read_models(database) as models:
            await models.freshness()
            accounts = [ACCOUNT, OTHER_ACCOUNT, ACCOUNT, NOBODY_KNOWN]
            found = await asyncio.gather(*(one(models, account) for account in accounts))
            assert asked_for == [[(ACCOUNT,), (OTHER_ACCOUNT,), (NOBODY_KNOWN,)]]
            assert found[0] is found[2]
            assert [getattr(row, "account_id", None) for row in found] == [*accounts[:3], None]

    asyncio.run(ask())


def test_a_database_that_is_away_is_said_to_be(database: str) -> None:
    kept(database, MemoryLog(busy(5).records)).catch_up()

    async def ask() -> None:
        async with read_models(database) as models, models.snapshot() as now:
            end_all_sessions(database)
            await now.get(BALANCES, ACCOUNT)

    with pytest.raises(ReadModelsUnavailable):
        asyncio.run(ask())


def proof(url: str, *arguments: Any, **options: Any) -> TrialBalance:
    async def ask() -> TrialBalance:
        async with read_models(url) as models:
            return await trial_balance(models, *arguments, **options)

    return asyncio.run(ask())


def test_the_books_balance_and_deposits_are_what_the_accounts_hold(database: str) -> None:
    log = MemoryLog(busy(200).records)
    kept(database, log).catch_up()
    proven = proof(database, log.head())
    assert proven.position == log.head()
    (euros,) = proven.currencies
    assert euros.debit == euros.credit > 0
    assert euros.deposits == euros.accounts != 0
    assert proven.proven
    assert {line.gl for line in proven.lines} == {
        GL.TILL_CASH,
        GL.CUSTOMER_DEPOSITS,
        GL.TRANSFERS_IN_TRANSIT,
    }


def test_every_currency_is_proven_by_itself(database: str) -> None:
    opened = replace(
        OPENED[0],
        currency="USD",
        overdraft_limit=replace(OPENED[0].overdraft_limit, currency="USD"),
    )
    assert isinstance(opened, AccountOpened)
    records = [
        *recorded(ACCOUNT, *OPENED, deposited(5_00)),
        *recorded(OTHER_ACCOUNT, opened, position=4),
    ]
    kept(database, MemoryLog(records)).catch_up()
    proven = proof(database)
    assert [(c.currency, c.debit, c.accounts) for c in proven.currencies] == [
        ("EUR", 5_00, 5_00),
        ("USD", 0, 0),
    ]


def test_books_that_were_tampered_with_are_not_proven(database: str) -> None:
    kept(database, MemoryLog(busy(20).records)).catch_up()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE readmodels.balance_1 SET ledger = ledger + 1")
    assert not proof(database).proven


def test_a_day_is_closed_without_what_is_booked_later(database: str) -> None:
    later = replace(deposited(7_00, 12_00), booking_date=DAY + timedelta(days=1))
    kept(database, MemoryLog(recorded(ACCOUNT, *OPENED, deposited(5_00), later))).catch_up()
    (euros,) = proof(database, booked_until=DAY).currencies
    assert (euros.debit, euros.credit, euros.accounts) == (5_00, 5_00, None)


def test_the_trial_balance_waits_for_the_ledger_to_catch_up(database: str) -> None:
    records = busy(200).records
    log = MemoryLog(records[:100])
    runner = kept(database, log)
    runner.catch_up()

    def write_later() -> None:
        time.sleep(0.2)
        log.add(records[100:])
        runner.catch_up()

    writing = threading.Thread(target=write_later)
    writing.start()
    proven = proof(database, records[-1].position)
    writing.join()
    assert proven.position == records[-1].position
    assert proven.proven


def test_a_ledger_that_does_not_catch_up_in_time_is_no_answer(database: str) -> None:
    log = MemoryLog(busy(10).records)
    kept(database, log).catch_up()
    with pytest.raises(NotCaughtUp):
        proof(database, log.head() + 1, within=0.1)


def test_rows_of_customers_and_accounts_come_back_as_they_were_folded(database: str) -> None:
    kept(database, MemoryLog(recorded(ADA, *active()))).catch_up()
    customer = asked(database, lambda now: now.get(CUSTOMERS, ADA))
    assert customer.personal == {"name": 1}
    assert customer.accounts == {}
