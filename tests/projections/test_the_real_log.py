"""From a client's command to the row that shows it, with nothing in between left out."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg

from application.bank import Bank
from application.codec import Codec
from application.commands import Accepted, CommandAccepted, CommandRefused
from application.event_log import EventLog, LogUnavailable, open_log
from application.event_log.log import followed
from application.vault import DataKeyCreated
from domain import AGGREGATES
from domain.account import Account
from domain.recorded import Recorded
from projections import PROJECTIONS
from projections.balance import BALANCES
from projections.customers import CUSTOMERS
from projections.read_models import ReadModels, Where
from projections.runner import Runner
from projections.transactions import TRANSACTIONS
from projections.trial_balance import trial_balance
from tests.application.banking import (
    bank_over,
    clerk,
    deposit,
    opened_accounts,
    register,
    state_of,
    transfer,
)
from tests.examples import ADA
from tests.projections.histories import in_the_role
from tests.projections.test_runner import assert_shown

SKIPPED = frozenset({"command.accepted.v1", "command.refused.v1", "vault.key_created.v1"})


@dataclass
class Working:
    log: EventLog
    bank: Bank
    read_models: ReadModels


@asynccontextmanager
async def a_bank_at_work(url: str) -> AsyncIterator[Working]:
    """A bank, a runner that follows its log, and readers."""
    codec = Codec(AGGREGATES, (CommandAccepted, CommandRefused, DataKeyCreated))
    log, followed = open_log(codec, url=url), open_log(codec, url=url)
    stop = threading.Event()
    runner = Runner(in_the_role(url), followed, PROJECTIONS, unavailable=(LogUnavailable,))
    working = asyncio.create_task(asyncio.to_thread(runner.run, stop))
    try:
        async with bank_over(log) as bank, ReadModels(in_the_role(url), PROJECTIONS) as models:
            yield Working(log, bank, models)
    finally:
        stop.set()
        await working
        followed.close()
        log.close()


def test_a_client_reads_what_he_has_written(database: str) -> None:
    async def work() -> None:
        async with a_bank_at_work(database) as working:
            debtor, creditor = await opened_accounts(working.bank, 2)
            await working.bank.execute(deposit(debtor, 100_00), clerk())
            outcome = await working.bank.execute(transfer(debtor, creditor, 30_00), clerk())
            assert isinstance(outcome, Accepted)
            assert await working.read_models.wait_for(outcome.position, 10.0)
            async with working.read_models.snapshot() as now:
                rows = await now.many(BALANCES, [(debtor,), (creditor,)])
                where = [Where("account_id", "=", debtor)]
                page = await now.page(TRANSACTIONS, where, first=10, descending=True)
            assert [rows[debtor,].ledger, rows[creditor,].ledger] == [70_00, 30_00]
            assert [line.amount for line in page.rows] == [-30_00, 100_00]
            proven = await trial_balance(working.read_models, outcome.position)
            assert proven.proven

    asyncio.run(work())


def test_a_read_model_holds_no_personal_value(database: str) -> None:
    async def work() -> None:
        async with a_bank_at_work(database) as working:
            outcome = await working.bank.execute(register(ADA, email="ada@example.com"), clerk())
            assert isinstance(outcome, Accepted)
            assert await working.read_models.wait_for(outcome.position, 10.0)
            async with working.read_models.snapshot() as now:
                row = await now.get(CUSTOMERS, ADA)
            assert row is not None
            assert row.personal == {"name": 1, "email": 2}
            assert "Ada" not in str(row)
            assert "example.com" not in str(row)

    asyncio.run(work())


def test_every_record_of_a_busy_bank_is_shown_once(database: str) -> None:
    async def work() -> None:
        async with a_bank_at_work(database) as working:
            accounts = await opened_accounts(working.bank, 20)
            await asyncio.gather(
                *(working.bank.execute(deposit(account, 50_00), clerk()) for account in accounts)
            )
            pairs = [(accounts[n % 20], accounts[(n * 7 + 3) % 20], 1 + n % 9) for n in range(400)]
            await asyncio.gather(
                *(working.bank.execute(transfer(*each), clerk()) for each in pairs)
            )
            head = working.log.head()
            assert await working.read_models.wait_for(head, 10.0)
            assert_shown(database, working.log.read(0, 100_000).records)
            async with working.read_models.snapshot() as now:
                rows = await now.many(BALANCES, [(account,) for account in accounts])
            for (account_id,), row in rows.items():
                account: Account = state_of(working.log, account_id)
                assert (row.ledger, row.available) == (account.ledger, account.available)

    asyncio.run(work())


def test_a_lag_that_is_told_is_that_of_the_log(database: str) -> None:
    async def work() -> None:
        async with a_bank_at_work(database) as working:
            (account,) = await opened_accounts(working.bank)
            outcome = await working.bank.execute(deposit(account, 1_00), clerk())
            assert isinstance(outcome, Accepted)
            assert await working.read_models.wait_for(outcome.position, 10.0)
            freshness = (await working.read_models.freshness())["balance"]
            assert freshness.position == freshness.head == outcome.position
            assert freshness.waiting_since is None

    asyncio.run(work())


def test_what_a_follower_reads_leaves_out_commands_and_passes_gaps(database: str) -> None:
    async def work() -> None:
        async with a_bank_at_work(database) as working:
            log = working.log
            accounts = await opened_accounts(working.bank, 3)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "SELECT nextval('ledgertwin.bank_events_notification_id_seq')"
                    " FROM generate_series(1, 50)"
                )
            await asyncio.gather(
                *(working.bank.execute(deposit(account, 1_00), clerk()) for account in accounts)
            )
            wanted = followed(log.records(0, 1_000), log.codec, SKIPPED)
            for limit in (1, 7, 10, 1_000):
                assert list(read_through(log, limit)) == wanted
            assert len(wanted) < len(log.records(0, 1_000))

    asyncio.run(work())


def read_through(log: EventLog, limit: int) -> Iterator[Recorded]:
    position, head = 0, log.head()
    while position < head:
        batch = log.read(position, limit)
        assert position < batch.position <= head
        yield from batch.records
        position = batch.position
    assert log.read(head, limit).position == head
