"""The files, sent through a bank whose log is in memory."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from application.commands import Origin, Outcome, Unavailable
from application.event_log import EventLog, open_log
from domain.account import Account, HolderRole, MoneyCredited, MoneyDebited, MovementKind
from domain.card import Card, CardStatus
from domain.customer import Customer, CustomerStatus
from interfaces.berka.files import Broken
from interfaces.berka.importer import Fate, Importer, Tally
from interfaces.berka.mapping import account_id, card_id, customer_id
from interfaces.instruction import DatabaseAway
from interfaces.system import bank_codec
from tests.application.banking import bank_over, opened, records, state_of
from tests.interfaces.berka.folders import deposit, folder_with, withdrawal

ACCOUNT = account_id(10)


def imported(folder: Path, log: EventLog | None = None) -> tuple[EventLog, Tally, list[str]]:
    log = log or open_log(bank_codec())
    told: list[str] = []

    def tell(broken: Broken) -> None:
        told.append(f"{broken.file}:{broken.line}: {broken.reason}")

    async def run() -> Tally:
        async with bank_over(log) as bank:
            importer = Importer(folder, bank.execute, tell, lambda: None)
            await importer.bring_in()
            return importer.tally

    return log, asyncio.run(run()), told


def events(log: EventLog) -> Sequence[Any]:
    return [recorded.event for recorded in log.read(0, 1_000_000).records]


def test_a_client_becomes_a_customer_whom_the_bank_knows(tmp_path: Path) -> None:
    log, _, _ = imported(folder_with(tmp_path))
    customer: Customer = state_of(log, customer_id(1))
    assert customer.status is CustomerStatus.ACTIVE


def test_an_account_is_opened_on_its_own_day_for_both_who_may_dispose_of_it(
    tmp_path: Path,
) -> None:
    log, _, _ = imported(folder_with(tmp_path))
    account: Account = state_of(log, ACCOUNT)
    assert (account.opened_on, account.currency) == (date(1993, 1, 1), "CZK")
    assert account.holders == {
        customer_id(1): HolderRole.OWNER,
        customer_id(2): HolderRole.AUTHORIZED,
    }


def test_a_card_is_issued_and_activated_without_any_number(tmp_path: Path) -> None:
    log, _, _ = imported(folder_with(tmp_path))
    card: Card = state_of(log, card_id(7))
    assert (card.status, card.account_id) == (CardStatus.ACTIVE, ACCOUNT)


def test_a_transfer_keeps_its_day_its_counterparty_and_its_purpose(tmp_path: Path) -> None:
    row = '1;10;930215;"PRIJEM";"PREVOD Z UCTU";50.00;50.00;"DUCHOD";"YZ";"30300313"'
    log, _, _ = imported(folder_with(tmp_path, trans=[row]))
    (credited,) = [event for event in events(log) if isinstance(event, MoneyCredited)]
    (record,) = [record for record in records(log) if record.topic == "account.credited.v2"]
    assert credited.booking_date == date(1993, 2, 15)
    assert opened(log, record) == {"counterparty": "YZ 30300313", "reference": "pension"}


def test_a_second_run_records_nothing(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    log, _, _ = imported(folder)
    before = records(log)
    _, tally, _ = imported(folder, log)
    assert records(log) == before
    assert tally.total(Fate.NEW) == 0


def test_a_second_run_over_more_rows_records_only_those(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "5.00"), deposit(2, "930102", "5.00", "10.00")]
    log, _, _ = imported(folder_with(tmp_path, trans=rows[:1]))
    _, tally, _ = imported(folder_with(tmp_path, trans=rows), log)
    assert tally.fates["trans.asc"] == {Fate.THERE: 1, Fate.NEW: 1}
    assert state_of(log, ACCOUNT).ledger == 1000


def test_a_day_is_posted_in_the_order_in_which_the_balances_chain(tmp_path: Path) -> None:
    rows = [withdrawal(1, "930102", "9.00", "1.00"), deposit(2, "930102", "10.00", "10.00")]
    log, tally, _ = imported(folder_with(tmp_path, trans=rows))
    assert tally.overdrafts == 0
    assert state_of(log, ACCOUNT).ledger == 100


def test_what_the_old_bank_let_pass_is_posted_with_an_overdraft_of_just_that(
    tmp_path: Path,
) -> None:
    rows = [
        deposit(1, "930101", "10.00", "10.00"),
        withdrawal(2, "930102", "25.00", "-15.00"),
        withdrawal(3, "930103", "5.00", "-20.00"),
    ]
    log, tally, told = imported(folder_with(tmp_path, trans=rows))
    account: Account = state_of(log, ACCOUNT)
    assert not told
    assert (account.ledger, account.overdraft_limit, tally.overdrafts) == (-2000, 2000, 2)


def test_overdrafts_come_out_the_same_in_a_second_run(tmp_path: Path) -> None:
    rows = [withdrawal(1, "930102", "25.00", "-25.00"), withdrawal(2, "930103", "5.00", "-30.00")]
    folder = folder_with(tmp_path, trans=rows)
    log, _, _ = imported(folder)
    before = records(log)
    imported(folder, log)
    assert records(log) == before


def test_overdraft_interest_is_of_its_own_kind(tmp_path: Path) -> None:
    row = '1;10;930215;"VYDAJ";"VYBER";5.00;-5.00;"SANKC. UROK";;'
    log, _, _ = imported(folder_with(tmp_path, trans=[row]))
    (debited,) = [event for event in events(log) if isinstance(event, MoneyDebited)]
    assert debited.kind is MovementKind.OVERDRAFT_INTEREST


def test_a_row_of_an_unknown_account_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [deposit(1, "930101", "5.00", "5.00", account=99), deposit(2, "930102", "5.00", "5.00")]
    _log, tally, told = imported(folder_with(tmp_path, trans=rows))
    assert told == ["trans.asc:2: there is no account 99"]
    assert tally.fates["trans.asc"] == {Fate.BROKEN: 1, Fate.NEW: 1}
    assert not tally.complete


def test_a_row_that_the_bank_refuses_is_named_with_the_code(tmp_path: Path) -> None:
    rows = [deposit(1, "921231", "5.00", "5.00")]
    _, tally, told = imported(folder_with(tmp_path, trans=rows))
    assert told == [
        (
            "trans.asc:2: refused: the booking date is before the account was opened "
            "(BOOKED_BEFORE_OPENING)"
        )
    ]
    assert tally.fates["trans.asc"] == {Fate.REFUSED: 1}


def test_a_row_that_moves_nothing_is_counted_and_not_posted(tmp_path: Path) -> None:
    _, tally, told = imported(folder_with(tmp_path, trans=[deposit(1, "930101", "0.00", "0.00")]))
    assert not told
    assert tally.fates["trans.asc"] == {Fate.NOTHING: 1}


def test_a_row_that_says_something_else_under_an_old_number_is_broken(tmp_path: Path) -> None:
    log, _, _ = imported(folder_with(tmp_path, trans=[deposit(1, "930101", "5.00", "5.00")]))
    changed = folder_with(tmp_path, trans=[deposit(1, "930101", "6.00", "6.00")])
    _, tally, told = imported(changed, log)
    assert told == ["trans.asc:2: was imported before, and said something else then"]
    assert tally.fates["trans.asc"] == {Fate.BROKEN: 1}


def test_while_the_database_is_away_the_same_command_is_asked_for_again(tmp_path: Path) -> None:
    log = open_log(bank_codec())
    failures = iter([True, True])

    async def run() -> Tally:
        async with bank_over(log) as bank:

            async def now_and_then(command: Any, origin: Origin) -> Outcome:
                if next(failures, False):
                    raise Unavailable
                return await bank.execute(command, origin)

            importer = Importer(folder_with(tmp_path), now_and_then, print, lambda: None)
            await importer.bring_in()
            return importer.tally

    assert asyncio.run(run()).complete


def test_a_database_that_stays_away_ends_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.instruction.PATIENCE", 0.0)

    async def away(_: Any, __: Origin) -> Outcome:
        raise Unavailable

    importer = Importer(folder_with(tmp_path), away, print, lambda: None)
    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(importer.bring_in())
    assert raised.group_contains(DatabaseAway)
