"""A year in the life of a small bank, as the commands that make it: a pure function of a seed.

No clock, and no chance but the seed's: the same seed gives the same commands under the same ids, so
a demo that is started again adds nothing to the bank that is there.
"""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.account import (
    CloseAccount,
    HolderRole,
    MarkDormant,
    Product,
    RestrictAccount,
)
from domain.authorizing import HELD_DAYS, Proof
from domain.card import (
    CardEndReason,
    FreezeCard,
    Only,
    ReplaceCard,
    SetPin,
    SetSpendControl,
    SpendControl,
    SpendWindow,
    UnblockPin,
)
from domain.customer import ChangeRiskRating, CustomerKind, GrantConsent, RiskRating
from domain.holding import AddHolder, RestrictCustomer
from domain.restriction import Direction
from domain.spending import AuthorizationKind
from domain.transfer import ReverseMovement, WaiveFee
from domain.value import changed, value
from interfaces.demo.branches import Branches
from interfaces.demo.cards import Cards, Carried, fingerprint
from interfaces.demo.fraud import NEW_DEVICES, STOLEN, Fraud
from interfaces.demo.loans import Lending
from interfaces.demo.merchants import (
    BRANCHES,
    CARS,
    CLOCKS,
    DICE,
    FILMS,
    POSTERS,
    THIMBLE,
    Shop,
    Trade,
)
from interfaces.demo.people import COUNTRIES, Person, people
from interfaces.demo.risk import adopt_policy
from interfaces.demo.signals import Signals
from interfaces.demo.steps import Step
from interfaces.demo.teller import CARD_BIN, CARD_EXPIRY, END_OF_DAY, Teller

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
ROBBED: Final = 17
IN_TROUBLE: Final = (15, 16)
"""Whom the courts forbid to spend, all or a part: nobody lends to them."""
RISK_SINCE: Final = date(2025, 10, 1)
"""Since when the bank judges the risk of what cards are used for: a policy of rules and a model."""
SHOPPING: Final = 0.16
CASH: Final = 0.05
KINDNESS: Final = 0.011
TRAVELLING: Final = 0.003
"""How likely a person is to do it on a day."""
PREAUTHORIZATION: Final = AuthorizationKind.PREAUTHORIZATION
PURCHASE: Final = AuthorizationKind.PURCHASE
FINANCIAL: Final = AuthorizationKind.FINANCIAL
STATEMENT_FEE: Final = 570
SAVINGS_RATE: Final = 24
"""Interest a year, in tenths of a percent: 2.4 %."""


@value
class Story:
    """The bank that comes of it: what to show to whoever sees it first."""

    steps: tuple[Step, ...]
    customers: int
    accounts: int
    customer_to_show: UUID
    account_to_show: UUID
    card_to_show: UUID
    """The stolen one."""
    victim_to_show: UUID
    """Whose card that was."""
    model: str
    """The SHA-256 of the artefact that judges cards."""
    branch_to_show: UUID
    loan_to_show: UUID


@value
class Journey:
    """Of somebody who leaves home on the first day and is there again on the last."""

    first: date
    last: date
    country: str


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
        self._carried: dict[int, Carried] = {}
        self._journeys: dict[int, Journey] = {}
        """The latest of each."""
        self._cards = Cards(self._random, self._teller)
        self._fraud = Fraud(self._random, self._teller, self._cards)
        self._signals = Signals(seed, self._teller, self._people, self._customers)
        self._branches = Branches(seed, self._teller, self._customers)
        self._lending = Lending(seed, self._teller, self._customers, self._current)
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
            RISK_SINCE: self._a_risk_policy,
            date(2025, 10, 3): self._a_subscription_on_a_frozen_card,
            date(2025, 10, 7): self._what_cards_may_not,
            date(2025, 10, 11): self._what_they_try,
            date(2025, 10, 16): self._a_payment_in_spite_of_the_court,
            date(2025, 10, 20): self._a_pin_remembered,
            date(2025, 11, 5): self._a_pin_forgotten,
            NEW_DEVICES: self._new_devices,
            STOLEN: self._a_stolen_card,
        }

    def told(self) -> Story:
        for person in self._people:
            self._arrives(person)
        self._signals.begin(OPENED)
        self._branches.begin(OPENED)
        borrowers = [p for p in self._people if p.kind is CustomerKind.PERSON]
        sound = [p for p in borrowers if p.number not in IN_TROUBLE]
        self._lending.begin(sound, FIRST_DAY, LAST_DAY)
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
            steps=tuple(teller.steps),
            customers=len(self._customers),
            accounts=len(teller.funds),
            customer_to_show=self._customers[1],
            account_to_show=self._current[1],
            card_to_show=self._stolen,
            victim_to_show=self._customers[ROBBED],
            model=self._model,
            branch_to_show=self._branches.branches[0],
            loan_to_show=self._lending.cases[0],
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
            self._carried[number] = Carried(
                card_id=teller.issue_card(customer, current, OPENED),
                account_id=current,
                country=self._people[number - 1].country,
                device=fingerprint(f"device of customer {number}"),
                address=fingerprint(f"address of customer {number}"),
            )
        if number % 2:
            savings = teller.open(customer, Product.SAVINGS, "EUR", since)
            self._savings[number] = savings
            teller.transfer(current, savings, 15_000, since, "for a start")
        if number % 4 == 1 or number in (6, 18):
            currency = "JPY" if number % 12 == 1 else "USD"
            self._foreign[number] = teller.open(customer, Product.CURRENT, currency, OPENED)
        if number % 9 == 4:
            teller.grant_overdraft(current, 50_000)
        if number % 5 == 2:
            consent = GrantConsent(
                customer_id=customer, purpose="newsletter", version="1", granted_on=OPENED
            )
            teller.give(consent)

    # Day by day.

    def _passes(self, day: date) -> None:
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
        self._fraud.leak(day, tuple(self._cards.customers_of(POSTERS)))
        self._cards.until(_at(day + timedelta(days=1)))
        self._signals.passes(day)
        self._lending.passes(day)
        self._branches.passes(day)

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
        carried = self._carried.get(person.number)
        if carried is not None and self._random.random() < TRAVELLING:
            self._travels(person, carried, day)
        away = self._whereabouts(person, day)
        if carried is not None and away is not None and self._random.random() < SHOPPING:
            self._cards.goes_shopping(changed(carried, country=away), day, ALLOWANCE)
        if self._random.random() < CASH:
            self._draws_cash(person, carried, day)
        if self._random.random() < KINDNESS:
            friend = self._current[self._random.randrange(1, 37)]
            minor = self._random.randrange(500, 8_000, 50)
            if friend != account and self._affords(account, minor):
                self._teller.transfer(account, friend, minor, day, "thank you")

    def _whereabouts(self, person: Person, day: date) -> str | None:
        """A country; None on the days of coming and going, and on that of losing a card."""
        if person.number == ROBBED and day == STOLEN:
            return None
        journey = self._journeys.get(person.number)
        if journey is None or not journey.first <= day <= journey.last:
            return person.country
        return journey.country if journey.first < day < journey.last else None

    def _travels(self, person: Person, carried: Carried, day: date) -> None:
        """Three nights in a hotel in another country; but who is robbed was never away."""
        country = self._random.choice([c for c in COUNTRIES if c != person.country])
        (hotel,) = BRANCHES[Trade.HOTEL, country]
        minor, nights = self._random.randrange(hotel.cheapest, hotel.dearest, 500), 3
        latest = self._journeys.get(person.number)
        away = latest is not None and day <= latest.last
        if (
            away
            or person.number == ROBBED
            or not self._affords(carried.account_id, 2 * minor * nights)
        ):
            return
        last = day + timedelta(days=nights)
        self._journeys[person.number] = Journey(first=day, last=last, country=country)
        self._cards.plan(
            _at(day, 18), lambda at: self._cards.stays(carried, hotel, minor, nights, at)
        )

    def _draws_cash(self, person: Person, carried: Carried | None, day: date) -> None:
        """From a machine with a card, and over the counter without."""
        account = self._current[person.number]
        minor = self._random.choice((2_000, 3_000, 5_000, 5_000, 8_000))
        where = self._whereabouts(person, day)
        if carried is not None and where is not None:
            self._cards.draws_cash(changed(carried, country=where), minor, day, ALLOWANCE)
        elif self._affords(account, minor):
            self._teller.cash_out(account, minor, day)

    def _pays(self, person: Person, minor: int, day: date, whom: str, what: str) -> None:
        account = self._current[person.number]
        if self._affords(account, minor):
            self._teller.pay_out(account, minor, day, whom, what)

    def _affords(self, account: UUID, minor: int) -> bool:
        return self._teller.funds[account] - ALLOWANCE >= minor

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
        carried, (hotel,) = self._carried[8], BRANCHES[Trade.HOTEL, "PT"]

        def books(at: datetime) -> None:
            asked = self._cards.pays(carried, hotel, 18_000, at, kind=PREAUTHORIZATION)
            cancelled = at + timedelta(hours=3)
            self._cards.plan(cancelled, lambda at: self._cards.reverses(carried, asked, 18_000, at))

        self._cards.plan(_at(day, 11), books)

    def _a_lost_card(self, day: date) -> None:
        """Paid with in the morning, replaced in the evening, and cleared two days later."""
        self._pays_online(self._carried[10], THIMBLE, 6_400, _at(day, 9))

        def replaces(at: datetime) -> None:
            self._replaced(10, CardEndReason.LOST, "4242", at.date())
            limit = SpendControl(
                control_id=self._teller.id("control"),
                window=SpendWindow.DAY,
                amount=self._teller.money(self._current[10], 50_000),
            )
            self._teller.give(SetSpendControl(card_id=self._carried[10].card_id, control=limit))

        self._cards.plan(_at(day, 23), replaces)

    def _pays_online(self, carried: Carried, shop: Shop, minor: int, at: datetime) -> None:
        def pays(at: datetime) -> None:
            asked = self._cards.pays(carried, shop, minor, at)
            self._cards.clears(carried, shop, asked, minor, at + timedelta(days=2))

        self._cards.plan(at, pays)

    def _replaced(self, number: int, reason: CardEndReason, last4: str, day: date) -> None:
        """A new card, with which its owner goes on."""
        new_card = self._teller.id("card")
        self._teller.give(
            ReplaceCard(
                card_id=self._carried[number].card_id,
                new_card_id=new_card,
                reason=reason,
                token=self._teller.token(),
                bin=CARD_BIN,
                last4=last4,
                expiry=CARD_EXPIRY,
                replaced_on=day,
                activate=True,
            )
        )
        self._teller.give(SetPin(card_id=new_card, pvv_ref=self._teller.id("pin")))
        self._carried[number] = changed(self._carried[number], card_id=new_card)

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
        carried = self._carried[14]

        def reserves(at: datetime) -> None:
            asked = self._cards.pays(carried, CARS, 18_000, at, kind=PREAUTHORIZATION)
            self._cards.plan(
                at + HELD_DAYS[PREAUTHORIZATION],
                lambda at: self._cards.expires(carried, asked, 18_000, at),
            )

        self._cards.plan(_at(day, 10), reserves)

    def _a_frozen_card(self, day: date) -> None:
        self._teller.give(FreezeCard(card_id=self._carried[13].card_id))
        self._frozen = self._carried.pop(13)

    # What the cards' rules, secrets and owners say no to.

    def _a_risk_policy(self, _: date) -> None:
        self._model = adopt_policy(self._teller)
        self._teller.notice()
        self._cards.judged = True

    def _a_subscription_on_a_frozen_card(self, day: date) -> None:
        self._tries(self._frozen, FILMS, FILMS.cheapest, _at(day, 4))

    def _what_cards_may_not(self, _: date) -> None:
        """No games of chance, nothing from overseas, and no more than so much a week."""
        nothing = self._teller.money(self._current[22], 0)
        some = self._teller.money(self._current[28], 15_000)
        for number, rule in (
            (22, {"amount": nothing, "mcc": Only(include=(DICE.merchant.mcc,))}),
            (26, {"amount": nothing, "country": Only(exclude=COUNTRIES)}),
            (28, {"amount": some}),
        ):
            control = SpendControl(
                control_id=self._teller.id("control"), window=SpendWindow.WEEK, **rule
            )
            self._teller.give(
                SetSpendControl(card_id=self._carried[number].card_id, control=control)
            )

    def _what_they_try(self, day: date) -> None:
        self._tries(self._carried[22], DICE, 2_000, _at(day, 21))
        self._tries(self._carried[26], CLOCKS, 4_000, _at(day, 16))
        self._pays_online(self._carried[28], THIMBLE, 9_000, _at(day, 10))
        self._pays_online(self._carried[28], THIMBLE, 8_000, _at(day, 11))

    def _a_payment_in_spite_of_the_court(self, day: date) -> None:
        self._tries(self._carried[15], THIMBLE, 3_000, _at(day, 12))

    def _a_pin_remembered(self, day: date) -> None:
        """Wrong, wrong, right."""
        carried = self._carried[31]
        (machine,) = BRANCHES[Trade.CASH, carried.country]
        for minute in (0, 1):
            self._tries(carried, machine, 5_000, _at(day, 12, minute), pin=Proof.INCORRECT)
        self._cards.draws_cash(carried, 5_000, day, 0)

    def _a_pin_forgotten(self, day: date) -> None:
        """Wrong three times: the bank has to help."""
        carried = self._carried[34]
        (machine,) = BRANCHES[Trade.CASH, carried.country]
        for minute in (0, 1, 3):
            self._tries(carried, machine, 5_000, _at(day, 22, minute), pin=Proof.INCORRECT)
        self._cards.plan(
            _at(day, 22, 40),
            lambda _: self._teller.give(
                UnblockPin(card_id=carried.card_id, reason="identified by telephone")
            ),
        )

    def _tries(
        self, carried: Carried, shop: Shop, minor: int, at: datetime, pin: Proof | None = None
    ) -> None:
        """What the bank will decline, so that nothing comes of it."""
        more: dict[str, Any] = {} if pin is None else {"pin": pin}
        kind = FINANCIAL if shop.trade is Trade.CASH else PURCHASE
        self._cards.plan(
            at, lambda at: self._cards.asks(carried, shop, minor, at, kind=kind, **more)
        )

    # What is no doing of theirs.

    def _new_devices(self, _: date) -> None:
        self._fraud.new_devices(self._carried[21])

    def _a_stolen_card(self, _: date) -> None:
        carried = self._carried[ROBBED]
        self._stolen = carried.card_id

        def notices(at: datetime) -> None:
            self._teller.give(FreezeCard(card_id=carried.card_id))
            self._replaced(ROBBED, CardEndReason.STOLEN, "1717", at.date())

        self._fraud.theft(carried, "PT" if carried.country == "FI" else "FI", notices)

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


def _at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), UTC)
