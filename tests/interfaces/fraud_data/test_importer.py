"""The files, sent through a whole bank on a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from application.event_log import EventLog, open_log
from domain.account import Account, MoneyDebited
from domain.authorizing import alert_of
from domain.card import Card, CardStatus
from domain.customer import Customer, CustomerStatus
from domain.risk.policy import PublishRules, RulesPublished
from domain.risk.rules import DEFAULT_RULES, Rule
from domain.spending import (
    CardAuthorizationApproved,
    CardAuthorizationChallenged,
    CardAuthorizationDeclined,
    FraudLabelRecorded,
)
from interfaces.fraud_data.files import FraudDataError, Selection, Transactions
from interfaces.fraud_data.importer import Fate, Importer, Kind, Tally
from interfaces.fraud_data.mapping import (
    SALARY,
    account_id,
    authorization_id,
    card_id,
    customer_id,
)
from interfaces.settings import Settings
from interfaces.system import System, bank_codec, open_system
from tests.application.banking import clerk
from tests.interfaces.fraud_data.parquet import NAME, folder_with, row

T = TypeVar("T")

LARGE = 25_000
"""Minor units: above what the rules that a bank begins with let pass unchallenged."""


class Bank:
    """One bank for the imports of a test."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._settings = Settings(home=home)
        self.told: list[str] = []
        self.advanced = 0

    def imports(
        self,
        folder: Path,
        *,
        rules: bool = True,
        delay: timedelta = timedelta(days=7),
        **selection: Any,
    ) -> Tally:
        async def bring_in(system: System) -> Tally:
            with Transactions.opened(folder, Selection(**selection)) as transactions:
                importer = Importer(
                    transactions,
                    system.bank.execute,
                    system.log,
                    report=self.told.append,
                    advance=self._advance,
                    label_delay=delay,
                )
                await system.risk_desk.caught_up()
                if rules:
                    await importer.publish_rules()
                await importer.bring_in()
                return importer.tally

        return self._with(bring_in)

    def publishes(self, rule: Rule) -> None:
        async def publish(system: System) -> None:
            command = PublishRules(rules=(rule,), publisher="somebody")
            await system.bank.execute(command, clerk())

        self._with(publish)

    def events(self, *kinds: type[Any]) -> Sequence[Any]:
        with self._log() as log:
            events = [recorded.event for recorded in log.read(0, 100_000).records]
        return [event for event in events if isinstance(event, kinds)]

    def records(self) -> int:
        with self._log() as log:
            return log.head()

    def state(self, stream_id: UUID) -> Any:
        with self._log() as log, log.session() as session:
            return session.load([stream_id])[stream_id].state

    @contextmanager
    def _log(self) -> Iterator[EventLog]:
        log = open_log(bank_codec(), url=self._url)
        try:
            yield log
        finally:
            log.close()

    def _with(self, act: Callable[[System], Awaitable[T]]) -> T:
        async def run() -> T:
            async with open_system(self._url, self._settings) as system:
                return await act(system)

        return asyncio.run(run())

    def _advance(self) -> None:
        self.advanced += 1


@pytest.fixture
def bank(database: str, tmp_path: Path) -> Bank:
    return Bank(database, tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


def test_a_customer_is_somebody_whom_the_bank_knows_with_a_card_older_than_the_files(
    bank: Bank, folder: Path
) -> None:
    bank.imports(folder_with(folder, row(1, "2018-04-01")))
    customer: Customer = bank.state(customer_id(7))
    card: Card = bank.state(card_id(7))
    assert (customer.status, customer.country) == (CustomerStatus.ACTIVE, "BE")
    assert (card.status, card.account_id) == (CardStatus.ACTIVE, account_id(7))
    assert card.issued_on == date(2017, 1, 1)


def test_a_transaction_is_posted_at_once_and_nothing_stays_held(bank: Bank, folder: Path) -> None:
    tally = bank.imports(folder_with(folder, row(1, "2018-04-01 10:00:00", minor=1250)))
    (approved,) = bank.events(CardAuthorizationApproved)
    account: Account = bank.state(account_id(7))
    assert tally.approved == 1
    assert approved.attempt.occurred_at == datetime(2018, 4, 1, 10, tzinfo=UTC)
    assert approved.attempt.merchant.merchant_id == "T3"
    assert account.ledger == account.available == SALARY - 1250


def test_there_is_a_salary_in_each_month_in_which_the_card_is_used(
    bank: Bank, folder: Path
) -> None:
    rows = [row(1, "2018-04-03"), row(2, "2018-04-09"), row(3, "2018-06-01", minor=SALARY)]
    tally = bank.imports(folder_with(folder, *rows), rules=False)
    assert tally.approved == 3
    assert bank.state(account_id(7)).ledger == SALARY - 2 * 1250


def test_what_only_asks_whether_the_card_is_good_is_approved(bank: Bank, folder: Path) -> None:
    tally = bank.imports(folder_with(folder, row(1, "2018-04-01", minor=0)))
    assert (tally.approved, bank.events(MoneyDebited)) == (1, [])


def test_what_the_funds_do_not_suffice_for_is_declined_and_counted(
    bank: Bank, folder: Path
) -> None:
    tally = bank.imports(folder_with(folder, row(1, "2018-04-01", minor=SALARY + 1)), rules=False)
    assert tally.declined == {"INSUFFICIENT_FUNDS": 1}
    assert tally.complete


def test_a_card_is_used_in_the_order_of_the_file(bank: Bank, folder: Path) -> None:
    rows = [row(n, f"2018-04-01 00:00:{59 - n}", customer=n % 3) for n in range(50)]
    bank.imports(folder_with(folder, *rows))
    attempts = [event.attempt for event in bank.events(CardAuthorizationApproved)]
    for customer in range(3):
        times = [a.occurred_at for a in attempts if a.customer_id == customer_id(customer)]
        assert times == sorted(times)


def test_a_customer_who_is_challenged_passes_and_a_fraudster_fails(
    bank: Bank, folder: Path
) -> None:
    tally = bank.imports(
        folder_with(
            folder,
            row(1, "2018-04-01", minor=LARGE),
            row(2, "2018-04-02", minor=LARGE, fraud=1, customer=8),
        )
    )
    assert (tally.challenged, tally.approved, tally.alerts) == (2, 0, 2)
    assert tally.answered == {"approved": 1, "declined: CHALLENGE_FAILED": 1}
    assert len(bank.events(CardAuthorizationChallenged)) == 2
    assert len(bank.events(CardAuthorizationDeclined)) == 1
    assert bank.state(alert_of(authorization_id(1))) is not None
    assert bank.state(account_id(7)).ledger == SALARY - LARGE


def test_frauds_are_learnt_of_after_the_delay_and_between_what_happens_then(
    bank: Bank, folder: Path
) -> None:
    folder_with(
        folder,
        row(1, "2018-04-01 12:00:00", fraud=1),
        row(2, "2018-04-03 11:00:00"),
        row(3, "2018-04-03 13:00:00"),
    )
    tally = bank.imports(folder, delay=timedelta(days=2))
    told = bank.events(CardAuthorizationApproved, FraudLabelRecorded)
    assert [type(event) for event in told] == [
        CardAuthorizationApproved,
        CardAuthorizationApproved,
        FraudLabelRecorded,
        CardAuthorizationApproved,
    ]
    label = told[2]
    assert label.learnt_at == datetime(2018, 4, 3, 12, tzinfo=UTC)
    assert (label.authorization_id, label.fraudulent) == (authorization_id(1), True)
    assert tally.fates[Kind.LABEL] == {Fate.NEW: 1}


def test_what_is_learnt_on_the_last_day_is_told_and_nothing_later(bank: Bank, folder: Path) -> None:
    folder_with(
        folder,
        row(1, "2018-04-01 23:00:00", fraud=1),
        row(2, "2018-04-02 00:00:00", fraud=1),
        row(3, "2018-04-03 01:00:00"),
    )
    bank.imports(folder, delay=timedelta(days=2))
    labels = bank.events(FraudLabelRecorded)
    assert [label.authorization_id for label in labels] == [authorization_id(1)]


def test_a_second_run_records_nothing_and_tells_the_same(bank: Bank, folder: Path) -> None:
    folder_with(
        folder,
        row(1, "2018-04-01", minor=LARGE, fraud=1),
        row(2, "2018-04-02", minor=0),
        row(3, "2018-04-20"),
    )
    first, before = bank.imports(folder), bank.records()
    second = bank.imports(folder)
    assert bank.records() == before
    assert second.total(Fate.NEW) == 0
    assert second.fates[Kind.TRANSACTION] == {Fate.THERE: 3}
    told = [(t.approved, t.declined, t.challenged, t.answered, t.alerts) for t in (first, second)]
    assert told[0] == told[1]


def test_a_second_run_to_a_later_day_goes_on_where_the_first_one_ended(
    bank: Bank, folder: Path
) -> None:
    folder_with(folder, row(1, "2018-04-01", fraud=1), row(2, "2018-04-09"), row(3, "2018-04-10"))
    bank.imports(folder, until=date(2018, 4, 1))
    tally = bank.imports(folder)
    assert tally.fates[Kind.TRANSACTION] == {Fate.THERE: 1, Fate.NEW: 2}
    assert [type(e) for e in bank.events(CardAuthorizationApproved, FraudLabelRecorded)] == [
        CardAuthorizationApproved,
        FraudLabelRecorded,
        CardAuthorizationApproved,
        CardAuthorizationApproved,
    ]


def test_a_broken_row_is_told_and_the_others_are_in_the_bank(bank: Bank, folder: Path) -> None:
    folder_with(
        folder,
        row(1, "2018-04-01"),
        row(2, "2018-04-01", minor=-1),
        row(3, None),
        row(4, "2018-04-02"),
    )
    tally = bank.imports(folder)
    assert sorted(bank.told) == [
        f"{NAME}:2: amount_minor is below zero: -1",
        f"{NAME}:3: occurred_at is missing, or endless",
    ]
    assert tally.fates[Kind.TRANSACTION] == {Fate.NEW: 2, Fate.BROKEN: 2}
    assert not tally.complete
    assert bank.advanced == 5  # a cardholder and four rows


def test_a_number_that_says_two_things_is_told(bank: Bank, folder: Path) -> None:
    folder_with(folder, row(1, "2018-04-01"), row(1, "2018-04-02"))
    tally = bank.imports(folder)
    assert bank.told == [f"{NAME}:2: was imported before, and said something else then"]
    assert tally.fates[Kind.TRANSACTION] == {Fate.NEW: 1, Fate.BROKEN: 1}


def test_of_files_of_which_one_was_cut_short_nothing_is_imported(bank: Bank, folder: Path) -> None:
    folder_with(folder, row(1, "2018-04-01"), name="handbook_good.parquet")
    path = folder_with(folder, row(2, "2018-04-01")) / NAME
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FraudDataError):
        bank.imports(folder)
    assert bank.records() == 0


def test_the_first_rules_are_published_once(bank: Bank, folder: Path) -> None:
    folder_with(folder, row(1, "2018-04-01"))
    bank.imports(folder)
    bank.imports(folder)
    (published,) = bank.events(RulesPublished)
    assert len(published.rules) == len(DEFAULT_RULES)


def test_rules_that_a_bank_has_are_left_as_they_are(bank: Bank, folder: Path) -> None:
    rule = Rule(code="ANY", words="any", when="amount > 100000000", owner="risk", floor=0.6)
    bank.publishes(rule)
    bank.imports(folder_with(folder, row(1, "2018-04-01", minor=LARGE)))
    (published,) = bank.events(RulesPublished)
    assert [rule.code for rule in published.rules] == ["ANY"]


def test_fewer_customers_bring_in_theirs_alone(bank: Bank, folder: Path) -> None:
    folder_with(folder, row(1, "2018-04-01", customer=5), row(2, "2018-04-01", customer=6))
    tally = bank.imports(folder, customers=1)
    assert tally.fates[Kind.CARDHOLDER] == {Fate.NEW: 1}
    (approved,) = bank.events(CardAuthorizationApproved)
    assert approved.attempt.card_id == card_id(5)
