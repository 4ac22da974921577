"""A year in the life of a small bank, as the commands that make it: a pure function of a seed.

No clock, and no chance but the seed's: the same seed gives the same commands under the same ids, so
a demo that is started again adds nothing to the bank that is there.
"""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from domain.account import (
    CaptureHold,
    CloseAccount,
    ExpireHold,
    HolderRole,
    MarkDormant,
    MovementKind,
    PlaceHold,
    Product,
    ReleaseHold,
    RestrictAccount,
    SetOverdraftLimit,
)
from domain.card import (
    CardEndReason,
    FreezeCard,
    ReplaceCard,
    SetSpendControl,
    SpendControl,
    SpendWindow,
)
from domain.customer import ChangeRiskRating, CustomerKind, GrantConsent, RiskRating
from domain.holding import AddHolder, RestrictCustomer
from domain.restriction import Direction
from domain.transfer import ReverseMovement, WaiveFee
from domain.value import value
from interfaces.demo.people import MERCHANTS, Person, people
from interfaces.demo.teller import CARD_BIN, CARD_EXPIRY, END_OF_DAY, Teller
from interfaces.instruction import Instruction

SEED: Final = 2025
FIRST_DAY: Final = date(2025, 1, 1)
LAST_DAY: Final = date(2025, 12, 31)
OPENED: Final = date(2024, 12, 2)
OPENED_LONG_AGO: Final = date(2024, 2, 12)

ALLOWANCE: Final = 4_000
"""What a careful person leaves on the account when going shopping, in cents."""
FORGETFUL: Final = 7
"""Whose savings account nobody has touched since it was opened."""
LANDLORD: Final = 20
SHOPPING: Final = 0.16
CASH: Final = 0.05
KINDNESS: Final = 0.011
"""How likely a person is to do it on a day."""
STATEMENT_FEE: Final = 570
SAVINGS_RATE: Final = 24
"""Interest a year, in tenths of a percent: 2.4 %."""


@value
class Story:
    """The bank that comes of it: what to show to whoever sees it first."""

    instructions: tuple[Instruction, ...]
    customers: int
    accounts: int
    customer_to_show: UUID
    account_to_show: UUID


@value
class Purchase:
    """A card payment that is held, and will be captured when the shop sends it in."""

    account_id: UUID
    hold_id: UUID
    held: int
    cleared: int
    merchant: str


def story(seed: int = SEED) -> Story:
    """The whole year."""
    return _Year(seed).told()


class _Year:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 -- to be the same each time is the point
        self._teller = Teller(seed)
        self._people = people(self._random)
        self._customers: dict[int, UUID] = {}
        self._current: dict[int, UUID] = {}
        self._savings: dict[int, UUID] = {}
        self._foreign: dict[int, UUID] = {}
        self._cards: dict[int, UUID] = {}
        self._purchases: list[Purchase] = []
        self._fees: dict[int, UUID] = {}
        """The latest fee of each."""
        self._restrained: set[int] = set()
        """Who may not spend any more."""
        self._episodes: Mapping[date, Callable[[date], None]] = {
            date(2025, 2, 20): self._a_forgotten_account,
            date(2025, 3, 11): self._a_payment_made_twice,
            date(2025, 4, 8): self._a_waived_fee,
            date(2025, 5, 6): self._a_hotel,
            date(2025, 6, 17): self._a_lost_card,
            date(2025, 7, 9): self._more_than_there_is,
            date(2025, 8, 12): self._a_rental_car_never_fetched,
            date(2025, 9, 23): self._a_frozen_card,
            date(2025, 10, 14): self._a_court_order,
            date(2025, 11, 18): self._a_closed_account,
        }

    def told(self) -> Story:
        for person in self._people:
            self._arrives(person)
        teller = self._teller
        teller.give(
            AddHolder(
                account_id=self._current[2],
                customer_id=self._customers[3],
                role=HolderRole.AUTHORIZED,
                on=OPENED,
            )
        )
        for day in _days(FIRST_DAY, LAST_DAY):
            self._passes(day)
        return Story(
            instructions=tuple(teller.instructions),
            customers=len(self._customers),
            accounts=len(teller.funds),
            customer_to_show=self._customers[1],
            account_to_show=self._current[1],
        )

    # Before the year begins.

    def _arrives(self, person: Person) -> None:
        teller, number = self._teller, person.number
        since = OPENED_LONG_AGO if number == FORGETFUL else OPENED
        customer = self._customers[number] = teller.register(person, since)
        current = self._current[number] = teller.open(customer, Product.CURRENT, "EUR", since)
        opening = person.income // 2 + self._random.randrange(20_000, 90_000, 100)
        teller.pay_in(current, opening, since, "the bank before", "opening balance")
        if person.kind is CustomerKind.PERSON:
            self._furnish(number, customer, current, since)

    def _furnish(self, number: int, customer: UUID, current: UUID, since: date) -> None:
        """A card for most, savings for half, another currency for some, an overdraft for a few."""
        teller = self._teller
        if number % 6:
            self._cards[number] = teller.issue_card(customer, current, OPENED)
        if number % 2:
            savings = teller.open(customer, Product.SAVINGS, "EUR", since)
            self._savings[number] = savings
            teller.transfer(current, savings, 15_000, since, "for a start")
        if number % 4 == 1 or number in (6, 18):
            currency = "JPY" if number % 12 == 1 else "USD"
            self._foreign[number] = teller.open(customer, Product.CURRENT, currency, OPENED)
        if number % 9 == 4:
            limit = teller.money(current, 50_000)
            teller.give(SetOverdraftLimit(account_id=current, limit=limit))
            teller.funds[current] += limit.minor
        if number % 5 == 2:
            consent = GrantConsent(
                customer_id=customer, purpose="newsletter", version="1", granted_on=OPENED
            )
            teller.give(consent)

    # Day by day.

    def _passes(self, day: date) -> None:
        self._settle_purchases(day)
        if day in self._episodes:
            self._episodes[day](day)
        for person in self._people:
            self._month_of(person, day)
        if day.weekday() == 0:
            self._takings(day)
        if (day + timedelta(days=1)).day == 1:
            self._month_end(day)
        for person in self._spenders():
            self._spends(person, day)

    def _spenders(self) -> Iterator[Person]:
        return (
            p
            for p in self._people
            if p.kind is CustomerKind.PERSON and p.number not in self._restrained
        )

    def _month_of(self, person: Person, day: date) -> None:
        """What happens to everybody on the same day of each month."""
        if day.day == 25 and person.kind is CustomerKind.PERSON:
            self._salary(person, day)
        elif person.number in self._restrained:
            return
        elif day.day == 2:
            self._rent(person, day)
        elif day.day == 15:
            self._pays(
                person, self._random.randrange(9_000, 24_000), day, "City Works", "utilities"
            )
        elif day.day == 27 and person.number in self._savings:
            self._saves(person, day)
        elif day.day == 10 and person.number in self._foreign:
            self._earns_abroad(person, day)

    def _salary(self, person: Person, day: date) -> None:
        """From a shop that banks here too, for some; from elsewhere for the others."""
        shop = self._current[len(self._people) - person.number % 4]
        account = self._current[person.number]
        if person.number % 4 == 3 and self._affords(shop, person.income):
            self._teller.transfer(shop, account, person.income, day, "salary")
        else:
            self._teller.pay_in(account, person.income, day, "Example Works Ltd", "salary")

    def _rent(self, person: Person, day: date) -> None:
        landlord = self._current[LANDLORD]
        account = self._current[person.number]
        if person.number % 7 == 1 and self._affords(account, person.rent):
            self._teller.transfer(account, landlord, person.rent, day, "rent")
        elif person.number != LANDLORD:
            self._pays(person, person.rent, day, "Fairview Homes", "rent")

    def _saves(self, person: Person, day: date) -> None:
        account, minor = self._current[person.number], int(person.income * person.thrift)
        if person.number != FORGETFUL and self._affords(account, minor):
            self._teller.transfer(account, self._savings[person.number], minor, day, "savings")

    def _earns_abroad(self, person: Person, day: date) -> None:
        account = self._foreign[person.number]
        earned = self._random.randrange(30_000, 120_000, 500)
        self._teller.pay_in(account, earned, day, "Faraway Press", f"invoice {day:%Y-%m}")
        spent = earned // 3
        self._teller.pay_out(account, spent, day, "Faraway Hosting", "subscription")

    def _takings(self, day: date) -> None:
        """A shop brings its cash, and gets what was paid by card."""
        for shop in self._people:
            if shop.kind is CustomerKind.BUSINESS:
                account, cash = self._current[shop.number], shop.income // 4
                self._teller.cash_in(account, cash + self._random.randrange(0, 20_000, 500), day)
                by_card = shop.income - cash + self._random.randrange(0, 40_000)
                self._teller.pay_in(account, by_card, day, "Card acquirer", f"week {day:%V}")

    def _month_end(self, day: date) -> None:
        for number, account in self._savings.items():
            interest = self._teller.funds[account] * SAVINGS_RATE // 12_000
            if interest:
                self._teller.interest(account, interest, day)
            free = number in self._restrained or not self._affords(
                self._current[number], STATEMENT_FEE
            )
            if day.month % 3 == 0 and not free:
                self._fees[number] = self._teller.fee(self._current[number], STATEMENT_FEE, day)

    def _spends(self, person: Person, day: date) -> None:
        account = self._current[person.number]
        if person.number in self._cards and self._random.random() < SHOPPING:
            self._shops(account)
        if self._random.random() < CASH:
            self._draws_cash(account, day)
        if self._random.random() < KINDNESS:
            friend = self._current[self._random.randrange(1, 37)]
            minor = self._random.randrange(500, 8_000, 50)
            if friend != account and self._affords(account, minor):
                self._teller.transfer(account, friend, minor, day, "thank you")

    def _shops(self, account: UUID) -> None:
        """The amount is held now and captured tomorrow; at the pump, less than was held."""
        merchant = self._random.choice(MERCHANTS)
        cleared = self._random.randrange(350, 9_500)
        held = 10_000 if "Fuel" in merchant else cleared
        if self._affords(account, held):
            hold = self._held(account, held, merchant)
            purchase = Purchase(
                account_id=account, hold_id=hold, held=held, cleared=cleared, merchant=merchant
            )
            self._purchases.append(purchase)

    def _settle_purchases(self, day: date) -> None:
        for purchase in self._purchases:
            movement_id = self._teller.id("command")
            self._teller.funds[purchase.account_id] += purchase.held - purchase.cleared
            self._teller.give(
                CaptureHold(
                    account_id=purchase.account_id,
                    hold_id=purchase.hold_id,
                    movement_id=movement_id,
                    amount=self._teller.money(purchase.account_id, purchase.cleared),
                    booking_date=day,
                    counterparty=purchase.merchant,
                ),
                END_OF_DAY,
                movement_id,
            )
        self._purchases.clear()

    def _draws_cash(self, account: UUID, day: date) -> None:
        minor = self._random.choice((2_000, 5_000, 5_000, 10_000, 20_000))
        if self._affords(account, minor):
            self._teller.cash_out(account, minor, day)

    def _pays(self, person: Person, minor: int, day: date, whom: str, what: str) -> None:
        account = self._current[person.number]
        if self._affords(account, minor):
            self._teller.pay_out(account, minor, day, whom, what)

    def _affords(self, account: UUID, minor: int) -> bool:
        return self._teller.funds[account] - ALLOWANCE >= minor

    def _held(
        self, account: UUID, minor: int, reference: str, expires_at: datetime | None = None
    ) -> UUID:
        hold_id = self._teller.id("command")
        self._teller.funds[account] -= minor
        self._teller.give(
            PlaceHold(
                account_id=account,
                hold_id=hold_id,
                amount=self._teller.money(account, minor),
                kind=MovementKind.CARD,
                expires_at=expires_at,
                reference=reference,
            ),
            command_id=hold_id,
        )
        return hold_id

    # What happens once in the year.

    def _a_forgotten_account(self, day: date) -> None:
        dormant = MarkDormant(account_id=self._savings[FORGETFUL], on=day)
        self._teller.give(dormant, END_OF_DAY)

    def _a_payment_made_twice(self, day: date) -> None:
        teller, account = self._teller, self._current[5]
        for _ in range(2):
            twice = teller.pay_out(account, 8_450, day, "City Works", "water, first quarter")
        reversal = teller.id("command")
        teller.funds[account] += 8_450
        teller.give(
            ReverseMovement(
                account_id=account,
                movement_id=reversal,
                original_id=twice,
                reason="paid twice",
                booking_date=day,
            ),
            command_id=reversal,
        )

    def _a_waived_fee(self, day: date) -> None:
        waiver = self._teller.id("command")
        self._teller.funds[self._current[1]] += STATEMENT_FEE
        self._teller.give(
            WaiveFee(
                account_id=self._current[1],
                movement_id=waiver,
                original_id=self._fees[1],
                booking_date=day,
            ),
            command_id=waiver,
        )

    def _a_hotel(self, day: date) -> None:
        account = self._current[8]
        hold = self._held(account, 18_000, "Sea View Hotel")
        self._teller.give(ReleaseHold(account_id=account, hold_id=hold, reason="cancelled"))
        self._teller.funds[account] += 18_000

    def _a_lost_card(self, day: date) -> None:
        new_card = self._teller.id("card")
        self._teller.give(
            ReplaceCard(
                card_id=self._cards[10],
                new_card_id=new_card,
                reason=CardEndReason.LOST,
                token=self._teller.token(),
                bin=CARD_BIN,
                last4="4242",
                expiry=CARD_EXPIRY,
                replaced_on=day,
                activate=True,
            )
        )
        self._cards[10] = new_card
        control = SpendControl(
            control_id=self._teller.id("control"),
            window=SpendWindow.DAY,
            amount=self._teller.money(self._current[10], 50_000),
        )
        self._teller.give(SetSpendControl(card_id=new_card, control=control))

    def _more_than_there_is(self, day: date) -> None:
        """Two that the bank refuses: there is a record of these too."""
        account = self._current[3]
        much = self._teller.funds[account] + 10_000
        self._teller.cash_out(account, much, day)
        self._teller.funds[account] += much
        self._teller.transfer(account, self._foreign[5], 1_000, day, "euros for dollars")
        self._teller.funds[account] += 1_000
        self._teller.funds[self._foreign[5]] -= 1_000

    def _a_rental_car_never_fetched(self, day: date) -> None:
        account, expiry = self._current[14], datetime(2025, 8, 19, 12, tzinfo=UTC)
        hold = self._held(account, 25_000, "Open Road Car Hire", expiry)
        self._teller.give(ExpireHold(account_id=account, hold_id=hold, at=expiry), END_OF_DAY)
        self._teller.funds[account] += 25_000

    def _a_frozen_card(self, day: date) -> None:
        self._teller.give(FreezeCard(card_id=self._cards.pop(13)))

    def _a_court_order(self, day: date) -> None:
        """One customer may not spend, of another's money a part is blocked."""
        teller, account = self._teller, self._current[15]
        teller.give(
            RestrictCustomer(
                customer_id=self._customers[15],
                restriction_id=teller.id("restriction"),
                direction=Direction.DEBIT,
                reason_code="COURT_ORDER",
                legal_basis="example order 2025/1",
            )
        )
        self._restrained.add(15)
        rating = ChangeRiskRating(customer_id=self._customers[15], rating=RiskRating.HIGH)
        teller.give(rating)
        teller.pay_out(account, 2_500, day, "City Works", "refused by the restriction")
        teller.funds[account] += 2_500
        blocked = teller.money(self._current[16], 30_000)
        teller.give(
            RestrictAccount(
                account_id=self._current[16],
                restriction_id=teller.id("restriction"),
                direction=Direction.DEBIT,
                reason="garnishment",
                amount=blocked,
            )
        )
        teller.funds[self._current[16]] -= blocked.minor

    def _a_closed_account(self, day: date) -> None:
        teller, savings = self._teller, self._savings.pop(11)
        teller.transfer(savings, self._current[11], teller.funds[savings], day, "closing")
        teller.give(CloseAccount(account_id=savings, reason="no longer needed", on=day))


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))
