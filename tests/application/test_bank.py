"""The bank over the log in memory and over the real PostgreSQL: what every caller may rely on."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from application.bank import Bank
from application.commands import (
    Accepted,
    CommandIdReused,
    Origin,
    Refused,
    Unavailable,
)
from application.event_log import Append, EventLog, LogUnavailable, Snapshot, open_log
from application.vault import PersonalRef, Vault
from domain.account import Account, CashDeposited
from domain.aggregate import command
from domain.customer import UpdateContact
from domain.decision import Decision, History, deciding
from domain.personal import Unsealed
from domain.refusal import NotFound
from interfaces.database.embedded import EmbeddedPostgres
from interfaces.database.migrate import migrate
from interfaces.system import bank_codec
from tests.application.banking import (
    KEYSTORE,
    WatchedLog,
    bank_over,
    clerk,
    deposit,
    first,
    loaded,
    lost,
    open_account,
    opened_account,
    opened_accounts,
    records,
    register,
    reverse,
    state_of,
    transfer,
    withdraw,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "postgresql"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else None
    log = open_log(bank_codec(), url=url)
    yield log
    log.close()


@pytest.fixture
def postgres_log(database_url: str) -> Iterator[EventLog]:
    log = open_log(bank_codec(), url=database_url)
    yield log
    log.close()


@pytest.fixture
async def bank(log: EventLog) -> AsyncIterator[Bank]:
    async with bank_over(log) as bank:
        yield bank


class Held:
    """Appends that wait, so that a test can say what arrives meanwhile."""

    def __init__(self, log: WatchedLog, *, then: Callable[[Append], None] = lambda _: None) -> None:
        self._log = log
        self._then = then
        self._started = threading.Event()
        self._released = threading.Event()
        log.before = self._wait

    def _wait(self, append: Append) -> None:
        self._started.set()
        assert self._released.wait(10)
        self._then(append)

    async def reached(self) -> None:
        """Return when the first append has come to the database's door."""
        assert await asyncio.to_thread(self._started.wait, 10)

    def release(self) -> None:
        self._log.before = lambda _: None
        self._released.set()


async def soon() -> None:
    """Let every task come as far as it can without the database."""
    for _ in range(20):
        await asyncio.sleep(0)


# --- outcomes -------------------------------------------------------------------------------------


async def test_an_accepted_command_tells_what_it_wrote(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    outcome = await bank.execute(deposit(account, 10_00), clerk())
    assert isinstance(outcome, Accepted)
    assert outcome.wrote == ((account, 3),)


async def test_an_accepted_command_changes_the_state_of_its_stream(
    bank: Bank, log: EventLog
) -> None:
    account = await opened_account(bank)
    await bank.execute(deposit(account, 10_00), clerk())
    assert state_of(log, account).ledger == 10_00


async def test_the_record_of_a_command_is_the_last_of_what_it_wrote(
    bank: Bank, log: EventLog
) -> None:
    account = await opened_account(bank)
    before, origin = log.head(), clerk()
    outcome = await bank.execute(deposit(account, 10_00), origin)
    written = [(r.position, r.stream_id) for r in records(log, before)]
    assert [stream for _, stream in written] == [account, origin.command_id]
    assert outcome.position == written[-1][0]


async def test_a_refused_command_says_why(bank: Bank) -> None:
    account = await opened_account(bank)
    outcome = await bank.execute(withdraw(account, 1), clerk())
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.details) == (
        "INSUFFICIENT_FUNDS",
        {"available": {"minor": 0, "currency": "EUR"}},
    )


async def test_a_refused_command_records_nothing_but_itself(bank: Bank, log: EventLog) -> None:
    debtor, creditor = await opened_accounts(bank, 2)
    before, origin = log.head(), clerk()
    await bank.execute(transfer(debtor, creditor, 1), origin)
    written = records(log, before)
    assert [(r.stream_id, r.version, r.topic) for r in written] == [
        (origin.command_id, 1, "command.refused.v1")
    ]


async def test_a_command_on_an_unknown_stream_is_refused(bank: Bank) -> None:
    outcome = await bank.execute(deposit(uuid4(), 1), clerk())
    assert isinstance(outcome, Refused)
    assert outcome.code == "NOT_FOUND"


async def test_a_transfer_is_written_to_both_accounts_at_once(bank: Bank, log: EventLog) -> None:
    debtor, creditor = await opened_accounts(bank, 2)
    await bank.execute(deposit(debtor, 5), clerk())
    outcome = await bank.execute(transfer(debtor, creditor, 5), clerk())
    assert isinstance(outcome, Accepted)
    assert sorted(outcome.wrote) == sorted([(debtor, 4), (creditor, 3)])
    assert (state_of(log, debtor).ledger, state_of(log, creditor).ledger) == (0, 5)


async def test_whoever_asks_first_is_told_what_was_written(bank: Bank, log: EventLog) -> None:
    asked = deposit(await opened_account(bank), 1), clerk()
    outcome, again = await bank.execute(*asked), await bank.execute(*asked)
    assert isinstance(outcome, Accepted)
    assert isinstance(again, Accepted)
    with log.session() as session:
        assert outcome.events == session.written_by(outcome.command_id)
    assert again.events is None


# --- the same id ----------------------------------------------------------------------------------


async def test_a_repeated_command_gets_the_first_outcome(bank: Bank) -> None:
    account = await opened_account(bank)
    asked = deposit(account, 1), clerk()
    outcome = await bank.execute(*asked)
    assert await bank.execute(*asked) == replace(outcome, replayed=True)


async def test_a_repeated_command_takes_effect_once(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    asked = deposit(account, 1), clerk()
    await bank.execute(*asked)
    before = loaded(log, account).version, log.head()
    for _ in range(3):
        await bank.execute(*asked)
    assert (loaded(log, account).version, log.head()) == before


async def test_another_bank_knows_a_command_by_its_record(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    asked = deposit(account, 1), clerk()
    outcome = await bank.execute(*asked)
    before = log.head()
    async with bank_over(log) as other:
        repeated = await other.execute(*asked)
    assert (repeated.replayed, log.head()) == (True, before)
    assert isinstance(repeated, Accepted)
    assert isinstance(outcome, Accepted)
    assert repeated.wrote == outcome.wrote


async def test_another_bank_knows_a_refusal_by_its_record(bank: Bank, log: EventLog) -> None:
    asked = withdraw(await opened_account(bank), 1), clerk()
    outcome = await bank.execute(*asked)
    async with bank_over(log) as other:
        repeated = await other.execute(*asked)
    assert isinstance(repeated, Refused)
    assert repeated == replace(outcome, replayed=True, position=repeated.position)


async def test_a_repeated_id_has_the_position_of_its_record(postgres_log: EventLog) -> None:
    async with bank_over(postgres_log) as bank:
        asked = deposit(await opened_account(bank), 1), clerk()
        outcome = await bank.execute(*asked)
    async with bank_over(postgres_log) as other:
        assert (await other.execute(*asked)).position == outcome.position


@pytest.mark.parametrize("known", [True, False], ids=["the same bank", "another bank"])
async def test_an_id_cannot_be_used_for_another_command(
    bank: Bank, log: EventLog, known: bool
) -> None:
    account, origin = await opened_account(bank), clerk()
    await bank.execute(deposit(account, 1), origin)
    before = log.head()
    async with bank_over(log) as other:
        with pytest.raises(CommandIdReused):
            await (bank if known else other).execute(deposit(account, 2), origin)
    assert log.head() == before


@pytest.mark.parametrize("known", [True, False], ids=["the same bank", "another bank"])
async def test_an_id_cannot_be_used_by_another_actor(
    bank: Bank, log: EventLog, known: bool
) -> None:
    account, origin = await opened_account(bank), clerk()
    asked = deposit(account, 1)
    await bank.execute(asked, origin)
    before = log.head()
    async with bank_over(log) as other:
        with pytest.raises(CommandIdReused):
            await (bank if known else other).execute(asked, replace(origin, actor="thief"))
    assert log.head() == before


async def test_an_id_cannot_be_used_for_another_persons_name(bank: Bank) -> None:
    customer, origin = uuid4(), clerk()
    await bank.execute(register(customer, "Ada Lovelace"), origin)
    with pytest.raises(CommandIdReused):
        await bank.execute(register(customer, "Ada Byron"), origin)


async def test_a_failed_id_stays_failed_when_funds_arrive(bank: Bank) -> None:
    account = await opened_account(bank)
    asked = withdraw(account, 5), clerk()
    refused = await bank.execute(*asked)
    await bank.execute(deposit(account, 5), clerk())
    assert await bank.execute(*asked) == replace(refused, replayed=True)


async def test_a_new_id_succeeds_when_funds_have_arrived(bank: Bank) -> None:
    account = await opened_account(bank)
    asked = withdraw(account, 5)
    await bank.execute(asked, clerk())
    await bank.execute(deposit(account, 5), clerk())
    assert isinstance(await bank.execute(asked, clerk()), Accepted)


# Ids are taken to be new when no replay has been seen for long. The log knows better.


@pytest.fixture
def unsuspecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.bank.LOOK_UP_AFTER_REPLAY", 0)


@pytest.mark.usefixtures("unsuspecting")
@pytest.mark.parametrize("minor", [1, 100], ids=["accepted", "refused"])
async def test_a_bank_that_expects_no_replay_gives_the_first_outcome(
    log: EventLog, minor: int
) -> None:
    async with bank_over(log) as bank, bank_over(log) as other:
        account = await opened_account(bank)
        await bank.execute(deposit(account, 1), clerk())
        asked = withdraw(account, minor), clerk()
        outcome = await bank.execute(*asked)
        await bank.execute(deposit(account, 100), clerk())
        before = log.head()
        repeated = await other.execute(*asked)
    assert repeated == replace(outcome, replayed=True, position=repeated.position)
    assert log.head() == before


@pytest.mark.usefixtures("unsuspecting")
async def test_a_replay_that_was_not_expected_is_no_trouble_for_others(log: EventLog) -> None:
    async with bank_over(log) as bank, bank_over(log) as other:
        account = await opened_account(bank)
        known = [(deposit(account, 1), clerk()) for _ in range(5)]
        await asyncio.gather(*(bank.execute(*one) for one in known))
        fresh = [(withdraw(account, 1), clerk()) for _ in range(6)]
        asked = [one for pair in zip(fresh, [*known, known[0]], strict=True) for one in pair]
        outcomes = await asyncio.gather(*(other.execute(*one) for one in asked))
    assert [type(outcome) for outcome in outcomes[::2]] == [Accepted] * 5 + [Refused]
    assert [outcome.replayed for outcome in outcomes] == [False, True] * 6
    assert state_of(log, account).ledger == 0


@pytest.mark.usefixtures("unsuspecting")
async def test_a_bank_that_expects_no_replay_reuses_no_id(log: EventLog) -> None:
    async with bank_over(log) as bank, bank_over(log) as other:
        account, origin = await opened_account(bank), clerk()
        await bank.execute(deposit(account, 1), origin)
        before = log.head()
        for asked, taken in (
            (deposit(account, 2), origin),
            (deposit(account, 1), replace(origin, actor="thief")),
            (deposit(account, 1), clerk(account)),
            (register(uuid4()), clerk(account)),
        ):
            with pytest.raises(CommandIdReused):
                await other.execute(asked, taken)
    assert log.head() == before


@pytest.mark.parametrize("look_up", [0, 1024])
async def test_a_command_is_known_when_its_outcome_was_forgotten_and_its_stream_was_not(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, look_up: int
) -> None:
    monkeypatch.setattr("application.bank.LOOK_UP_AFTER_REPLAY", look_up)
    monkeypatch.setattr("application.bank.CACHED_OUTCOMES", 3)
    async with bank_over(log) as bank:
        account, movement = await opened_account(bank), uuid4()
        asked = deposit(account, 1, movement), clerk(movement)
        await bank.execute(*asked)
        for _ in range(5):
            await bank.execute(deposit(account, 1), clerk())
        await bank.execute(reverse(account, movement), clerk())
        for _ in range(5):
            await bank.execute(deposit(account, 1), clerk())
        assert (await bank.execute(*asked)).replayed


# --- ids that are something else's ----------------------------------------------------------------


async def test_the_id_of_an_account_is_no_command_id(bank: Bank, log: EventLog) -> None:
    account, other = await opened_accounts(bank, 2)
    before = log.head()
    with pytest.raises(CommandIdReused):
        await bank.execute(deposit(other, 1), clerk(account))
    assert log.head() == before


async def test_an_account_cannot_be_opened_under_the_id_of_the_command_that_opens_it(
    bank: Bank, log: EventLog
) -> None:
    account = uuid4()
    before = log.head()
    with pytest.raises(CommandIdReused):
        await bank.execute(register(account), clerk(account))
    assert log.head() == before


async def test_an_account_cannot_be_opened_under_the_id_of_a_command(bank: Bank) -> None:
    account, origin = await opened_account(bank), clerk()
    await bank.execute(deposit(account, 1), origin)
    outcome = await bank.execute(register(origin.command_id), clerk())
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "refused"])
async def test_a_stream_cannot_begin_under_the_id_of_a_command_of_the_same_batch(
    bank: Bank, accepted: bool
) -> None:
    account, origin = await opened_account(bank), clerk()
    asked = deposit(account, 1) if accepted else withdraw(account, 1)
    others = [bank.execute(deposit(account, 1), clerk()) for _ in range(3)]
    _, begun, *rest = await asyncio.gather(
        bank.execute(asked, origin), bank.execute(register(origin.command_id), clerk()), *others
    )
    assert isinstance(begun, Refused)
    assert all(isinstance(outcome, Accepted) for outcome in rest)


async def test_a_command_id_is_reused_if_a_stream_of_the_same_batch_has_it(bank: Bank) -> None:
    account, customer = await opened_account(bank), uuid4()
    registered, clashing, deposited = await asyncio.gather(
        bank.execute(register(customer), clerk()),
        bank.execute(deposit(account, 1), clerk(customer)),
        bank.execute(deposit(account, 1), clerk()),
        return_exceptions=True,
    )
    assert isinstance(registered, Accepted)
    assert isinstance(clashing, CommandIdReused)
    assert isinstance(deposited, Accepted)


async def test_an_account_is_not_taken_for_a_customer(bank: Bank) -> None:
    account, other = await opened_account(bank), uuid4()
    outcome = await bank.execute(open_account(other, account), clerk())
    assert isinstance(outcome, Refused)
    assert outcome.code == "NOT_FOUND"


# --- the version that the caller has seen ---------------------------------------------------------


async def test_a_command_that_expects_the_right_version_is_obeyed(bank: Bank) -> None:
    account = await opened_account(bank)
    assert isinstance(await bank.execute(deposit(account, 1), clerk(expecting=2)), Accepted)


async def test_a_command_that_expects_another_version_is_refused(bank: Bank) -> None:
    account = await opened_account(bank)
    outcome = await bank.execute(deposit(account, 1), clerk(expecting=1))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.details) == ("VERSION_CONFLICT", {"expected": 1, "actual": 2})


async def test_what_another_bank_has_changed_is_not_the_version_expected(
    bank: Bank, log: EventLog
) -> None:
    account = await opened_account(bank)
    async with bank_over(log) as other:
        await other.execute(deposit(account, 1), clerk())
    outcome = await bank.execute(deposit(account, 1), clerk(expecting=2))
    assert isinstance(outcome, Refused)
    assert outcome.details == {"expected": 2, "actual": 3}


# --- decisions over the past ----------------------------------------------------------------------


async def test_a_movement_can_be_reversed(bank: Bank, log: EventLog) -> None:
    account, movement = await opened_account(bank), uuid4()
    await bank.execute(deposit(account, 7, movement), clerk(movement))
    assert isinstance(await bank.execute(reverse(account, movement), clerk()), Accepted)
    assert state_of(log, account).ledger == 0


async def test_a_movement_can_be_reversed_by_another_bank(bank: Bank, log: EventLog) -> None:
    account, movement = await opened_account(bank), uuid4()
    async with bank_over(log) as other:
        assert isinstance(await other.execute(reverse(account, movement), clerk()), Refused)
        await bank.execute(deposit(account, 7, movement), clerk(movement))
        assert isinstance(await other.execute(reverse(account, movement), clerk()), Accepted)


async def test_a_movement_can_be_reversed_in_the_batch_it_was_made_in(bank: Bank) -> None:
    account, movement = await opened_account(bank), uuid4()
    deposited, reversed_ = await asyncio.gather(
        bank.execute(deposit(account, 7, movement), clerk(movement)),
        bank.execute(reverse(account, movement), clerk()),
    )
    assert isinstance(deposited, Accepted)
    assert isinstance(reversed_, Accepted)


async def test_a_movement_can_be_reversed_while_it_is_being_written(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account, movement = await opened_account(bank), uuid4()
        held = Held(watched)
        deposited = asyncio.create_task(
            bank.execute(deposit(account, 7, movement), clerk(movement))
        )
        await held.reached()
        reversed_ = asyncio.create_task(bank.execute(reverse(account, movement), clerk()))
        await asyncio.sleep(0.05)
        held.release()
        assert isinstance(await deposited, Accepted)
        assert isinstance(await reversed_, Accepted)


@command("test.recall")
class Recall:
    original_id: UUID


@deciding(Recall)
def recall(asked: Recall, history: History) -> Decision:
    """Reads no stream but that of the original."""
    if not history.written_by(asked.original_id):
        raise NotFound
    return []


@pytest.mark.parametrize("moment", ["before_load", "before"])
async def test_a_command_that_appears_before_it_is_denied_on_record_is_found(
    log: EventLog, moment: str
) -> None:
    """It is recorded by another bank while this one looks for it, or has looked and writes."""
    watched = WatchedLog(log)
    async with bank_over(log) as other, bank_over(watched, recall) as bank:
        account, original = await opened_account(other), uuid4()
        loop = asyncio.get_running_loop()

        def make_it(_: Any) -> None:
            watched.heal()
            making = other.execute(deposit(account, 7, original), clerk(original))
            asyncio.run_coroutine_threadsafe(making, loop).result(10)

        setattr(watched, moment, make_it)
        assert isinstance(await bank.execute(Recall(original_id=original), clerk()), Accepted)


# --- defects --------------------------------------------------------------------------------------


@command("test.break")
class Break:
    account_id: UUID


class Broken(Exception):
    """A defect in a decision."""


@deciding(Break, account_id=Account)
def break_down(asked: Break, history: History) -> Decision:
    yield (
        asked.account_id,
        history.state(Account, asked.account_id).decide(deposit(asked.account_id, 1)),
    )
    raise Broken


async def test_a_defect_is_its_callers_alone(log: EventLog) -> None:
    async with bank_over(log, break_down) as bank:
        account = await opened_account(bank)
        before, broken, after = await asyncio.gather(
            bank.execute(deposit(account, 1), clerk()),
            bank.execute(Break(account_id=account), clerk()),
            bank.execute(deposit(account, 1), clerk()),
            return_exceptions=True,
        )
    assert isinstance(before, Accepted)
    assert isinstance(broken, Broken)
    assert isinstance(after, Accepted)


async def test_a_defect_records_nothing(log: EventLog) -> None:
    async with bank_over(log, break_down) as bank:
        account = await opened_account(bank)
        before = log.head()
        with pytest.raises(Broken):
            await bank.execute(Break(account_id=account), clerk())
    assert log.head() == before


async def test_an_id_that_met_a_defect_can_be_used_again(log: EventLog) -> None:
    async with bank_over(log, break_down) as bank:
        account, origin = await opened_account(bank), clerk()
        with pytest.raises(Broken):
            await bank.execute(Break(account_id=account), origin)
        assert isinstance(await bank.execute(deposit(account, 1), origin), Accepted)


async def test_text_that_cannot_be_written_is_its_callers_defect_alone(bank: Bank) -> None:
    account = await opened_account(bank)
    malformed, deposited = await asyncio.gather(
        bank.execute(register(uuid4(), name="half a pair: \ud800"), clerk()),
        bank.execute(deposit(account, 1), clerk()),
        return_exceptions=True,
    )
    assert isinstance(malformed, ValueError)
    assert isinstance(deposited, Accepted)


async def test_a_stream_that_cannot_be_read_is_its_callers_defect_alone(log: EventLog) -> None:
    async with bank_over(log) as bank:
        good, bad = await opened_accounts(bank, 2)
    watched = WatchedLog(log)

    def fail(stream_ids: Any) -> None:
        if bad in stream_ids:
            raise Broken

    watched.before_load = fail
    async with bank_over(watched) as bank:
        deposited, broken, again = await asyncio.gather(
            bank.execute(deposit(good, 1), clerk()),
            bank.execute(deposit(bad, 1), clerk()),
            bank.execute(deposit(good, 1), clerk()),
            return_exceptions=True,
        )
    assert isinstance(deposited, Accepted)
    assert isinstance(broken, Broken)
    assert isinstance(again, Accepted)


# --- many at once ---------------------------------------------------------------------------------


async def test_duplicates_in_flight_are_joined(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    asked = deposit(account, 1), clerk()
    before = log.head()
    outcomes = await asyncio.gather(*(bank.execute(*asked) for _ in range(10)))
    assert [outcome.replayed for outcome in outcomes] == [False] + [True] * 9
    assert {first(outcome).position for outcome in outcomes} == {log.head()}
    assert len(records(log, before)) == 2


async def test_an_id_in_flight_cannot_be_used_for_another_command(bank: Bank) -> None:
    account, origin = await opened_account(bank), clerk()
    accepted, reused = await asyncio.gather(
        bank.execute(deposit(account, 1), origin),
        bank.execute(deposit(account, 2), origin),
        return_exceptions=True,
    )
    assert isinstance(accepted, Accepted)
    assert isinstance(reused, CommandIdReused)


async def test_a_caller_who_gives_up_does_not_take_the_command_back(bank: Bank) -> None:
    account = await opened_account(bank)
    asked = deposit(account, 1), clerk()
    caller = asyncio.create_task(bank.execute(*asked))
    await asyncio.sleep(0)
    caller.cancel()
    outcome = await bank.execute(*asked)
    assert isinstance(outcome, Accepted)
    assert outcome.replayed


async def test_a_caller_who_gives_up_leaves_the_others_their_answer(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        asked = deposit(account, 1), clerk()
        held = Held(watched)
        callers = [asyncio.create_task(bank.execute(*asked)) for _ in range(3)]
        await held.reached()
        callers[0].cancel()
        callers[1].cancel()
        await soon()
        held.release()
        assert isinstance(await callers[2], Accepted)


async def test_a_batch_is_what_arrived_while_the_last_one_was_being_written(
    log: EventLog,
) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        bank.batch_sizes.clear()
        held = Held(watched)
        asked = [asyncio.create_task(bank.execute(deposit(account, 1), clerk()))]
        await held.reached()
        asked += [
            asyncio.create_task(bank.execute(deposit(account, 1), clerk())) for _ in range(20)
        ]
        await asyncio.sleep(0.05)
        held.release()
        await asyncio.gather(*asked)
        assert list(bank.batch_sizes) == [1, 20]


async def test_nobody_is_answered_before_the_commit(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        held = Held(watched)
        caller = asyncio.create_task(bank.execute(deposit(account, 1), clerk()))
        await held.reached()
        await asyncio.sleep(0.05)
        assert not caller.done()
        held.release()
        await caller


async def test_commands_on_one_account_take_effect_in_the_order_of_their_arrival(
    bank: Bank, log: EventLog
) -> None:
    account, movements = await opened_account(bank), [uuid4() for _ in range(600)]
    await asyncio.gather(
        *(bank.execute(deposit(account, 1, movement), clerk()) for movement in movements)
    )
    events = [log.codec.decode(r.topic, r.state).data for r in log.stream(account)]
    assert [e.movement_id for e in events if isinstance(e, CashDeposited)] == movements


async def test_callers_beyond_the_limit_are_sent_away(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await opened_account(bank)
    monkeypatch.setattr("application.bank.WAITING_MAX", 2)
    outcomes = await asyncio.gather(
        *(bank.execute(deposit(account, 1), clerk()) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Unavailable]


async def test_what_was_forgotten_for_want_of_room_is_loaded_again(
    bank: Bank, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("CACHED_STREAMS", "CACHED_OUTCOMES"):
        monkeypatch.setattr(f"application.bank.{limit}", 1)
    accounts = await opened_accounts(bank, 5)
    asked = [(deposit(account, 1), clerk()) for account in accounts for _ in range(20)]
    outcomes = await asyncio.gather(*(bank.execute(*one) for one in asked))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert [state_of(log, account).ledger for account in accounts] == [20] * 5
    repeated = await bank.execute(*asked[0])
    assert repeated.replayed


# --- several banks --------------------------------------------------------------------------------


async def test_a_refusal_is_not_taken_from_a_stale_memory(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    async with bank_over(log) as other:
        await other.execute(deposit(account, 5), clerk())
    assert isinstance(await bank.execute(withdraw(account, 5), clerk()), Accepted)


async def test_money_is_not_spent_twice_out_of_a_stale_memory(bank: Bank, log: EventLog) -> None:
    account = await opened_account(bank)
    await bank.execute(deposit(account, 5), clerk())
    async with bank_over(log) as other:
        await other.execute(withdraw(account, 5), clerk())
    assert isinstance(await bank.execute(withdraw(account, 5), clerk()), Refused)


async def test_the_same_command_given_to_several_banks_takes_effect_once(log: EventLog) -> None:
    async with bank_over(log) as one, bank_over(log) as two, bank_over(log) as three:
        account = await opened_account(one)
        asked = [(deposit(account, 1), clerk()) for _ in range(30)]
        outcomes = await asyncio.gather(
            *(bank.execute(*each) for each in asked for bank in (one, two, three))
        )
    assert [outcome.replayed for outcome in outcomes].count(False) == 30
    assert state_of(log, account).ledger == 30


async def test_banks_that_contend_for_one_account_all_make_progress(log: EventLog) -> None:
    async with bank_over(log) as one, bank_over(log) as two, bank_over(log) as three:
        account = await opened_account(one)

        async def deposit_often(bank: Bank) -> int:
            for _ in range(25):
                assert isinstance(await bank.execute(deposit(account, 1), clerk()), Accepted)
            return 25

        async with asyncio.timeout(30):
            done = await asyncio.gather(*map(deposit_often, (one, two, three)))
    assert state_of(log, account).ledger == sum(done)


async def test_what_was_judged_on_a_void_state_is_judged_again(log: EventLog) -> None:
    """Another bank spends the money between the judging of two batches and their writing."""
    watched = WatchedLog(log)
    async with bank_over(log) as other, bank_over(watched) as bank:
        account = await opened_account(bank)
        await bank.execute(deposit(account, 10), clerk())
        held = Held(watched)
        writing = asyncio.create_task(bank.execute(withdraw(account, 6), clerk()))
        await held.reached()
        judged = [asyncio.create_task(bank.execute(withdraw(account, 2), clerk())) for _ in "ab"]
        await asyncio.sleep(0.05)
        await other.execute(withdraw(account, 7), clerk())
        held.release()
        outcomes = await asyncio.gather(writing, *judged)
    assert [type(outcome) for outcome in outcomes] == [Refused, Accepted, Refused]
    assert state_of(log, account).ledger == 1


# --- personal values ------------------------------------------------------------------------------

NAME, BIRTH, EMAIL, PHONE = "Grace Brewster Hopper", "1906-12-09", "grace@example.org", "555-0142"


async def test_nothing_that_is_stored_holds_a_personal_value_in_clear(
    bank: Bank, log: EventLog
) -> None:
    customer, before = uuid4(), log.head()
    asked = register(customer, NAME, birth_date=BIRTH, email=EMAIL), clerk()
    await bank.execute(*asked)
    await bank.execute(*asked)
    await bank.execute(register(customer, NAME), clerk())
    changed = UpdateContact(customer_id=customer, phone=Unsealed(clear=PHONE))
    await bank.execute(changed, clerk())
    stored = b"".join(r.state + r.topic.encode() for r in records(log, before))
    assert b"customer.contact_changed.v1" in stored
    assert [t for t in (NAME, "Hopper", BIRTH, EMAIL, PHONE) if t.encode() in stored] == []


async def test_no_table_holds_a_personal_value_in_clear(database: str) -> None:
    log = open_log(bank_codec(), url=database)
    async with bank_over(log) as bank:
        customer = uuid4()
        await bank.execute(register(customer, NAME, birth_date=BIRTH, email=EMAIL), clerk())
        await bank.execute(register(customer, NAME, phone=PHONE), clerk())
    log.close()
    with psycopg.connect(database, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('ledgertwin', 'readmodels')"
        ).fetchall()
        stored = b"".join(_dumped(connection, table) for (table,) in tables)
    texts = [t.encode() for t in (NAME, BIRTH, EMAIL, PHONE)]
    assert [text for text in texts if text in stored or text.hex().encode() in stored] == []


def _dumped(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor().copy(f"COPY {table} TO STDOUT") as copied:
        return b"".join(bytes(block) for block in copied)


async def test_a_personal_value_can_be_opened_where_it_stands(bank: Bank, log: EventLog) -> None:
    customer = uuid4()
    await bank.execute(register(customer, NAME), clerk())
    ref = PersonalRef(stream_id=customer, version=1, field="name")
    assert Vault(KEYSTORE, log.vault_reader).open([ref]) == {ref: NAME}


async def test_a_new_data_key_stands_in_the_log_and_among_what_its_command_wrote(
    bank: Bank, log: EventLog
) -> None:
    before, customer = log.head(), uuid4()
    outcome = await bank.execute(register(customer), clerk())
    assert isinstance(outcome, Accepted)
    created = [r for r in records(log, before) if r.topic == "vault.key_created.v1"]
    assert [(r.stream_id, r.version) for r in created] == [
        written for written in outcome.wrote if written[0] != customer
    ]
    assert len(created) == 1


async def test_a_data_key_is_made_once_for_all_values_of_its_kind(
    bank: Bank, log: EventLog
) -> None:
    before, customer = log.head(), uuid4()
    await bank.execute(register(customer, email=EMAIL), clerk())
    async with bank_over(log) as other:
        for phone in ("1", "2", "3"):
            for each in (bank, other):
                changed = UpdateContact(customer_id=customer, phone=Unsealed(clear=phone))
                assert isinstance(await each.execute(changed, clerk()), Accepted)
    topics = [r.topic for r in records(log, before)]
    assert topics.count("vault.key_created.v1") == 2  # identity and contact


async def test_banks_that_need_the_same_new_key_at_once_make_one(log: EventLog) -> None:
    customer, before = uuid4(), log.head()
    refs = []
    async with bank_over(log) as one, bank_over(log) as two, bank_over(log) as three:
        await one.execute(register(customer), clerk())
        outcomes = await asyncio.gather(
            *(
                bank.execute(
                    UpdateContact(customer_id=customer, phone=Unsealed(clear=str(n))), clerk()
                )
                for n, bank in enumerate((one, two, three))
            )
        )
    for outcome in outcomes:
        assert isinstance(outcome, Accepted)
        ((_, version),) = [written for written in outcome.wrote if written[0] == customer]
        refs.append(PersonalRef(stream_id=customer, version=version, field="phone"))
    opened = Vault(KEYSTORE, log.vault_reader).open(refs)
    assert [opened[ref] for ref in refs] == ["0", "1", "2"]
    assert [r.topic for r in records(log, before)].count("vault.key_created.v1") == 2


async def test_a_key_that_was_never_recorded_seals_nothing_later(log: EventLog) -> None:
    """The write that would have brought the key was lost, and what was judged on top of it too."""
    watched, customer = WatchedLog(log), uuid4()
    async with bank_over(watched) as bank:
        watched.before = lost
        with pytest.raises(Unavailable):
            await bank.execute(register(customer, "Nobody"), clerk())
        watched.before = lambda _: None
        await bank.execute(register(customer, NAME), clerk())
    ref = PersonalRef(stream_id=customer, version=1, field="name")
    assert Vault(KEYSTORE, log.vault_reader).open([ref]) == {ref: NAME}


async def test_a_key_that_met_a_defect_seals_nothing_later(bank: Bank, log: EventLog) -> None:
    """The name was sealed, and then there was an address that cannot be written."""
    customer = uuid4()
    with pytest.raises(ValueError, match="surrogate"):
        await bank.execute(register(customer, "Nobody", email="half a pair: \ud800"), clerk())
    await bank.execute(register(customer, NAME), clerk())
    ref = PersonalRef(stream_id=customer, version=1, field="name")
    assert Vault(KEYSTORE, log.vault_reader).open([ref]) == {ref: NAME}


# --- snapshots ------------------------------------------------------------------------------------


async def _long_account(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> UUID:
    monkeypatch.setattr("application.bank.SNAPSHOT_EVERY", 8)
    async with bank_over(log) as bank:
        account = await opened_account(bank, limit=5)
        for minor in range(1, 18):
            await bank.execute(deposit(account, minor), clerk())
    return account


def _snapshots(url: str, account: UUID) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT version, fingerprint FROM ledgertwin.snapshots WHERE stream_id = %s", [account]
        ).fetchall()


async def test_a_long_stream_has_a_snapshot(
    postgres_log: EventLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await _long_account(postgres_log, monkeypatch)
    ((version, fingerprint),) = _snapshots(database_url, account)
    assert (version, fingerprint) == (16, postgres_log.codec.code_fingerprint)


async def test_a_snapshot_changes_no_state(
    postgres_log: EventLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await _long_account(postgres_log, monkeypatch)
    with_snapshot = loaded(postgres_log, account)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM ledgertwin.snapshots WHERE stream_id = %s", [account])
    assert loaded(postgres_log, account) == with_snapshot
    assert with_snapshot.version == 20


async def test_a_bank_goes_on_from_a_snapshot(
    postgres_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await _long_account(postgres_log, monkeypatch)
    async with bank_over(postgres_log) as bank:
        assert isinstance(
            await bank.execute(withdraw(account, 17 * 18 // 2 + 5), clerk()), Accepted
        )
        assert isinstance(await bank.execute(withdraw(account, 1), clerk()), Refused)


async def test_a_snapshot_is_what_is_loaded(
    postgres_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by giving it a state that the events do not have."""
    account = await _long_account(postgres_log, monkeypatch)
    _plant(postgres_log, account)
    assert state_of(postgres_log, account).ledger == 1_000_000 + 14 + 15 + 16 + 17


async def test_a_snapshot_by_other_code_is_ignored(
    postgres_log: EventLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await _long_account(postgres_log, monkeypatch)
    _plant(postgres_log, account)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE ledgertwin.snapshots SET fingerprint = 'older' WHERE stream_id = %s", [account]
        )
    assert state_of(postgres_log, account).ledger == 17 * 18 // 2


def _plant(log: EventLog, account: UUID) -> None:
    """A snapshot at version 16 that differs from the events in its balance."""
    events = [r for r in log.stream(account) if r.version <= 17]
    state = Account()
    for r in events[:16]:
        state = state.evolve(log.codec.decode(r.topic, r.state).data)
    head = log.codec.decode(events[16].topic, events[16].state).prev
    planted = replace(state, ledger=1_000_000)
    log.save([Snapshot(account, 16, head, Account, planted)])
    log.save([Snapshot(account, 15, head, Account, planted)])
    log.save([Snapshot(account, 16, head, Account, planted)])


# --- the end --------------------------------------------------------------------------------------


async def test_closing_answers_everybody(log: EventLog) -> None:
    async with bank_over(log) as bank:
        account = await opened_account(bank)
        callers = [
            asyncio.create_task(bank.execute(deposit(account, 1), clerk())) for _ in range(300)
        ]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*callers)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert state_of(log, account).ledger == 300


async def test_a_closed_bank_takes_no_commands(log: EventLog) -> None:
    async with bank_over(log) as bank:
        account = await opened_account(bank)
    with pytest.raises(Unavailable):
        await bank.execute(deposit(account, 1), clerk())


async def test_a_bank_whose_loop_was_stopped_answers_everybody(log: EventLog) -> None:
    watched = WatchedLog(log)
    bank = await bank_over(watched).__aenter__()
    account = await opened_account(bank)
    held = Held(watched)
    callers = [asyncio.create_task(bank.execute(deposit(account, 1), clerk())) for _ in range(3)]
    await held.reached()
    (worker,) = [task for task in asyncio.all_tasks() if task.get_name() == "bank"]
    worker.cancel()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*callers, return_exceptions=True)
    held.release()
    with pytest.raises(asyncio.CancelledError):
        await bank.__aexit__()
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await bank.execute(deposit(account, 1), clerk())


# --- the database goes away -----------------------------------------------------------------------


async def _patiently(bank: Bank, asked: Any, origin: Origin) -> Any:
    """As a client does: the same id again until there is an answer."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await bank.execute(asked, origin)
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_a_write_lost_before_the_commit_leaves_nothing(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        debtor, creditor = await opened_accounts(bank, 2, limit=5)
        before = log.head()
        watched.before = lost
        with pytest.raises(Unavailable):
            await bank.execute(transfer(debtor, creditor, 1), clerk())
    assert log.head() == before


@pytest.mark.parametrize("committed", [False, True])
async def test_a_lost_write_takes_effect_once_when_it_is_retried(
    log: EventLog, committed: bool
) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        asked = deposit(await opened_account(bank), 5), clerk()
        setattr(watched, "after" if committed else "before", lost)
        with pytest.raises(Unavailable):
            await bank.execute(*asked)
        watched.before = watched.after = lambda _: None
        outcome = await bank.execute(*asked)
    assert isinstance(outcome, Accepted)
    assert outcome.replayed is committed
    assert state_of(log, asked[0].account_id).ledger == 5


@pytest.mark.parametrize("committed", [False, True])
async def test_what_was_judged_on_a_lost_write_is_lost_with_it(
    log: EventLog, committed: bool
) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account = await opened_account(bank)
        held = Held(watched, then=(lambda _: None) if committed else lost)
        deposited = asyncio.create_task(bank.execute(deposit(account, 5), clerk()))
        await held.reached()
        withdrawn = asyncio.create_task(bank.execute(withdraw(account, 5), clerk()))
        await asyncio.sleep(0.05)
        if committed:
            watched.after = lost
        held.release()
        answers = await asyncio.gather(deposited, withdrawn, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert state_of(log, account).ledger == (5 if committed else 0)


async def test_what_a_lost_write_would_have_moved_cannot_be_reversed(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account, movement = await opened_account(bank), uuid4()
        watched.before = lost
        with pytest.raises(Unavailable):
            await bank.execute(deposit(account, 5, movement), clerk(movement))
        watched.heal()
        outcome = await bank.execute(reverse(account, movement), clerk())
    assert isinstance(outcome, Refused)
    assert outcome.code == "NOT_FOUND"


async def test_a_retry_of_a_lost_write_under_another_body_is_a_reused_id(log: EventLog) -> None:
    watched = WatchedLog(log)
    async with bank_over(watched) as bank:
        account, origin = await opened_account(bank), clerk()
        watched.after = lost
        with pytest.raises(Unavailable):
            await bank.execute(deposit(account, 5), origin)
        watched.after = lambda _: None
        with pytest.raises(CommandIdReused):
            await bank.execute(deposit(account, 6), origin)


async def test_the_database_may_vanish_while_commands_are_judged_again(log: EventLog) -> None:
    """A conflict, and then the database is lost in the middle of the second judgement."""
    watched = WatchedLog(log)
    async with bank_over(log) as other, bank_over(watched) as bank:
        account = await opened_account(bank)
        await other.execute(deposit(account, 5), clerk())
        appends: list[Append] = []

        def lose_the_second(batch: Append) -> None:
            appends.append(batch)
            if len(appends) == 2:
                raise LogUnavailable("the connection was lost")

        watched.before = lose_the_second
        origin = clerk()
        with pytest.raises(Unavailable):
            await bank.execute(withdraw(account, 5), origin)
        assert isinstance(await bank.execute(withdraw(account, 5), origin), Accepted)
    assert state_of(log, account).ledger == 0


async def test_a_database_that_cannot_be_read_makes_everybody_unavailable_at_once(
    log: EventLog,
) -> None:
    """Not one after the other, each after a timeout of his own."""
    async with bank_over(log) as bank:
        accounts = await opened_accounts(bank, 20)
    watched = WatchedLog(log)
    tried = []

    def gone(stream_ids: Any) -> None:
        tried.append(stream_ids)
        raise LogUnavailable("nobody answers")

    watched.before_load = gone
    async with bank_over(watched) as bank:
        answers = await asyncio.gather(
            *(bank.execute(deposit(account, 1), clerk()) for account in accounts),
            return_exceptions=True,
        )
    assert [type(answer) for answer in answers] == [Unavailable] * 20
    assert len(tried) <= 2


async def test_a_connection_cut_while_commands_are_judged_again_leaves_them_in_doubt(
    database: str,
) -> None:
    log = open_log(bank_codec(), url=database)
    watched = WatchedLog(log)
    async with bank_over(log) as other, bank_over(watched) as bank:
        account = await opened_account(bank)
        await other.execute(deposit(account, 5), clerk())

        def cut(_: Any) -> None:
            watched.before_load = lambda _: None
            _cut_connections(database)

        def cut_at_the_next_load(_: Append) -> None:
            watched.before = lambda _: None
            watched.before_load = cut

        watched.before = cut_at_the_next_load
        asked = withdraw(account, 5), clerk()
        with pytest.raises(Unavailable):
            await bank.execute(*asked)
        assert isinstance(await _patiently(bank, *asked), Accepted)
    log.close()


async def test_every_connection_may_be_cut_at_any_moment(database: str) -> None:
    log = open_log(bank_codec(), url=database)
    async with bank_over(log) as bank:
        account = await opened_account(bank)
        done = threading.Event()
        cutting = asyncio.create_task(asyncio.to_thread(_cut_often, database, done))
        asked = [(deposit(account, 1), clerk()) for _ in range(300)]
        outcomes = []
        for i in range(0, 300, 10):
            outcomes += await asyncio.gather(*(_patiently(bank, *one) for one in asked[i : i + 10]))
            await asyncio.sleep(0.02)
        done.set()
        assert await cutting > 3
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert [(await _patiently(bank, *one)).replayed for one in asked] == [True] * 300
    log.close()
    log = open_log(bank_codec(), url=database)
    assert state_of(log, account).ledger == 300
    log.close()


async def test_a_server_that_is_killed_and_one_that_is_stopped_for_a_while_are_waited_for(
    tmp_path: Path,
) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        migrate(server.url)
        log = open_log(bank_codec(), url=server.url)
        async with bank_over(log) as bank:
            account = await opened_account(bank)

            async def load() -> None:
                outcomes = await asyncio.gather(
                    *(_patiently(bank, deposit(account, 1), clerk()) for _ in range(50))
                )
                assert all(isinstance(outcome, Accepted) for outcome in outcomes)

            loading = asyncio.create_task(load())
            await asyncio.sleep(0.01)
            os.kill(_postmaster(tmp_path), signal.SIGKILL)
            await loading
            await asyncio.to_thread(server.stop)
            with pytest.raises(Unavailable):
                await bank.execute(deposit(account, 1), clerk())
            loading = asyncio.create_task(load())
            await asyncio.to_thread(server.start)
            await loading
        log.close()
        log = open_log(bank_codec(), url=server.url)
        assert state_of(log, account).ledger == 100
        log.close()


def _postmaster(home: Path) -> int:
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    return int(pid_file.read_text().partition("\n")[0])


def _cut_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _cut_often(url: str, done: threading.Event) -> int:
    times = 0
    while not done.wait(0.15):
        _cut_connections(url)
        times += 1
    return times
