"""What customers, merchants and the network do with the demo bank's cards, in the order of time."""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    ClearCardRefund,
    ClearCardTransaction,
    CompleteChallenge,
    ExpireAuthorization,
    Proof,
    ReverseAuthorization,
)
from domain.card import EntryMode
from domain.money import Money
from domain.spending import AuthorizationKind
from domain.value import value
from interfaces.demo.merchants import BRANCHES, ONLINE, Shop, Trade
from interfaces.demo.steps import Became
from interfaces.demo.teller import END_OF_DAY, Teller

NETWORK: Final = "demo:card-network"
CUSTOMER: Final = "demo:customer"

FUEL_HELD: Final = 8_000
"""What a pump asks for before it gives any, in cents."""

WITH_PIN_ABOVE: Final = 5_000
"""From so many cents on a card is put in, and not held to the terminal."""

CHOICE: Final = (
    *(Trade.GROCERIES,) * 7,
    *(Trade.ONLINE,) * 4,
    *(Trade.CAFE,) * 3,
    *(Trade.KIOSK,) * 2,
    *(Trade.FUEL,) * 2,
    Trade.PHARMACY,
    Trade.CINEMA,
)
"""How often people go where."""


@value
class Carried:
    """A card, as whoever has it knows it: where he shops, and the fingerprints of the device and
    the address that he shops from on the internet."""

    card_id: UUID
    account_id: UUID
    country: str
    device: str
    address: str


class Cards:
    """Whoever does something with a card here goes on later by what became of it: so what follows
    stands in a diary, and `until` does all that is due."""

    def __init__(self, random: Random, teller: Teller) -> None:
        self._random = random
        self._teller = teller
        self._diary: list[tuple[datetime, int, Callable[[datetime], object]]] = []
        self._entries = count()
        self._customers: dict[str, dict[UUID, Carried]] = {}
        self.judged = False
        """Whether risk is judged. Until it is, funds alone decide, and the story knows them: then
        nobody has to wait for what the bank says."""

    def plan(self, at: datetime, act: Callable[[datetime], object]) -> None:
        heappush(self._diary, (at, next(self._entries), act))

    def until(self, end: datetime) -> None:
        """Do all that is planned before `end`, and what that leads to before it."""
        while self._diary and self._diary[0][0] < end:
            at, _, act = heappop(self._diary)
            act(at)

    def customers_of(self, shop: Shop) -> Iterable[Carried]:
        """All cards that were ever used there, in the order of their first use."""
        return self._customers.get(shop.merchant.merchant_id, {}).values()

    # What people do.

    def goes_shopping(self, carried: Carried, day: date, allowance: int) -> None:
        """Somewhere, some time on that day, if there is enough on the account then."""
        trade = self._random.choice(CHOICE)
        shops = ONLINE if trade is Trade.ONLINE else BRANCHES[trade, carried.country]
        shop = self._random.choice(shops)
        minor = self._random.randrange(shop.cheapest, shop.dearest)
        at = _moment(day, self._random.randrange(7 * 3600, 21 * 3600))

        def shops_there(at: datetime) -> None:
            asked = FUEL_HELD if trade is Trade.FUEL else minor
            if self._teller.funds[carried.account_id] - allowance < asked:
                return
            if trade is Trade.FUEL:
                self.fuels(carried, shop, minor, at)
            else:
                self.buys(carried, shop, minor, at)

        self.plan(at, shops_there)

    def draws_cash(self, carried: Carried, minor: int, day: date, allowance: int) -> None:
        (machine,) = BRANCHES[Trade.CASH, carried.country]

        def draws(at: datetime) -> None:
            if self._teller.funds[carried.account_id] - allowance >= minor:
                self.asks(carried, machine, minor, at, kind=AuthorizationKind.FINANCIAL)
                self._teller.funds[carried.account_id] -= minor

        self.plan(_moment(day, self._random.randrange(8 * 3600, 20 * 3600)), draws)

    def buys(self, carried: Carried, shop: Shop, minor: int, at: datetime) -> UUID:
        """An ordinary purchase, and mostly nothing else comes of it but its clearing."""
        asked = self.pays(carried, shop, minor, at)
        fate = self._random.random()
        if shop.trade is Trade.ONLINE and fate < 0.10:
            self.clears_in_parts(carried, shop, asked, minor, at)
        elif shop.trade is Trade.CAFE and fate < 0.3:
            tip = minor // 10
            self.clears(carried, shop, asked, minor, at + self._some_days(), cleared=minor + tip)
        elif fate > 0.98:
            self.plan(
                at + timedelta(minutes=4), lambda at: self.reverses(carried, asked, minor, at)
            )
        else:
            self.clears(carried, shop, asked, minor, at + self._some_days())
            if shop.trade is Trade.ONLINE and fate > 0.94:
                back = at + timedelta(days=9)
                self.plan(back, lambda at: self.refunds(carried, shop, asked, minor, at))
        return asked

    def fuels(self, carried: Carried, shop: Shop, minor: int, at: datetime) -> UUID:
        """More is held than anybody tanks; the pump then says how much it was."""
        asked = self.pays(carried, shop, FUEL_HELD, at, kind=AuthorizationKind.PREAUTHORIZATION)

        def advises(at: datetime) -> None:
            advice = self._teller.id("command")
            self._if_approved(
                asked,
                AdviseAuthorization(
                    card_id=carried.card_id,
                    advice_id=advice,
                    authorization_id=asked,
                    amount=self._money(minor),
                    merchant=shop.merchant,
                    entry_mode=EntryMode.CHIP,
                    channel=shop.channel,
                    occurred_at=at,
                ),
                advice,
            )
            self._teller.funds[carried.account_id] += FUEL_HELD - minor

        self.plan(at + timedelta(minutes=5), advises)
        self.clears(carried, shop, asked, minor, at + self._some_days())
        return asked

    def stays(self, carried: Carried, shop: Shop, minor: int, nights: int, at: datetime) -> UUID:
        """A hotel asks for a night, for each further one the evening before, and at last is paid
        for all and the breakfasts."""
        asked = self.pays(carried, shop, minor, at, kind=AuthorizationKind.PREAUTHORIZATION)

        def adds(at: datetime) -> None:
            self.asks(carried, shop, minor, at, increments=asked, only_if=asked)
            self._teller.funds[carried.account_id] -= minor

        for night in range(1, nights):
            self.plan(at + timedelta(days=night), adds)
        out = at + timedelta(days=nights) - timedelta(hours=11)
        self.clears(carried, shop, asked, minor * nights, out, cleared=minor * nights + 1_450)
        return asked

    # What the network says.

    def pays(  # noqa: PLR0913 -- the message has more
        self,
        carried: Carried,
        shop: Shop,
        minor: int,
        at: datetime,
        *,
        kind: AuthorizationKind = AuthorizationKind.PURCHASE,
        passes: bool = True,
        **more: Any,
    ) -> UUID:
        """Ask, and count the money as gone. Who is challenged shows who he is: the customer can.

        He does so within a minute; the bank hears all of a day's answers together, as it would have
        to be asked after each payment whether there is to be one."""
        asked = self.asks(carried, shop, minor, at, kind=kind, **more)
        self._teller.funds[carried.account_id] -= minor
        if self.judged:
            answered = at + timedelta(minutes=1)
            evening = max(at, _moment(at.date(), 86_399))
            self.plan(evening, lambda _: self.answers(carried, asked, answered, passes=passes))
        return asked

    def asks(  # noqa: PLR0913 -- the message has more
        self,
        carried: Carried,
        shop: Shop,
        minor: int,
        at: datetime,
        *,
        kind: AuthorizationKind = AuthorizationKind.PURCHASE,
        only_if: UUID | None = None,
        **more: Any,
    ) -> UUID:
        """An authorization; `more` are further fields, in place of those that are usual there."""
        asked = self._teller.id("command")
        known = self._customers.setdefault(shop.merchant.merchant_id, {})
        known.setdefault(carried.card_id, carried)
        command = AuthorizeCard(
            card_id=carried.card_id,
            authorization_id=asked,
            amount=self._money(minor),
            merchant=shop.merchant,
            channel=shop.channel,
            occurred_at=at,
            kind=kind,
            **{**_usual(carried, shop, minor), **more},
        )
        if only_if is None:
            self._teller.give(command, NETWORK, asked)
        else:
            self._if_approved(only_if, command, asked)
        return asked

    def answers(self, carried: Carried, asked: UUID, at: datetime, *, passes: bool) -> None:
        completion = self._teller.id("command")
        command = CompleteChallenge(
            card_id=carried.card_id,
            completion_id=completion,
            authorization_id=asked,
            passed=passes,
            at=at,
        )
        self._teller.give_if(asked, Became.CHALLENGED, command, CUSTOMER, completion)

    def clears(  # noqa: PLR0913, PLR0917 -- what is cleared of what
        self,
        carried: Carried,
        shop: Shop,
        asked: UUID,
        held: int,
        at: datetime,
        cleared: int | None = None,
        *,
        final: bool = True,
    ) -> None:
        """The merchant is to be paid then; perhaps less or more than is held."""
        minor = held if cleared is None else cleared
        self._teller.funds[carried.account_id] -= max(minor - held, 0)

        def clears_it(at: datetime) -> None:
            clearing = self._teller.id("command")
            command = ClearCardTransaction(
                card_id=carried.card_id,
                clearing_id=clearing,
                authorization_id=asked,
                amount=self._money(minor),
                merchant=shop.merchant,
                occurred_at=at,
                booking_date=at.date(),
                final=final,
                channel=shop.channel,
            )
            self._if_approved(asked, command, clearing)
            self._teller.funds[carried.account_id] += max(held - minor, 0)

        self.plan(at, clears_it)

    def clears_in_parts(
        self, carried: Carried, shop: Shop, asked: UUID, minor: int, at: datetime
    ) -> None:
        """Two parcels, each paid for when it is sent."""
        first = minor // 3
        self.clears(carried, shop, asked, first, at + timedelta(days=1), final=False)
        self.clears(carried, shop, asked, minor - first, at + timedelta(days=3))

    def reverses(self, carried: Carried, asked: UUID, minor: int, at: datetime) -> None:
        reversal = self._teller.id("command")
        command = ReverseAuthorization(
            card_id=carried.card_id, reversal_id=reversal, authorization_id=asked, occurred_at=at
        )
        self._if_approved(asked, command, reversal)
        self._teller.funds[carried.account_id] += minor

    def refunds(self, carried: Carried, shop: Shop, asked: UUID, minor: int, at: datetime) -> None:
        refund = self._teller.id("command")
        command = ClearCardRefund(
            card_id=carried.card_id,
            clearing_id=refund,
            authorization_id=asked,
            amount=self._money(minor),
            merchant=shop.merchant,
            occurred_at=at,
            booking_date=at.date(),
        )
        self._if_approved(asked, command, refund)
        self._teller.funds[carried.account_id] += minor

    def expires(self, carried: Carried, asked: UUID, minor: int, at: datetime) -> None:
        command = ExpireAuthorization(card_id=carried.card_id, authorization_id=asked, at=at)
        self._if_approved(asked, command, self._teller.id("command"), END_OF_DAY)
        self._teller.funds[carried.account_id] += minor

    def _if_approved(
        self, asked: UUID, command: Any, command_id: UUID, actor: str = NETWORK
    ) -> None:
        if self.judged:
            self._teller.give_if(asked, Became.APPROVED, command, actor, command_id)
        else:
            self._teller.give(command, actor, command_id)

    def _some_days(self) -> timedelta:
        return timedelta(days=self._random.choice((1, 1, 2)))

    def _money(self, minor: int) -> Money:
        return Money(minor=minor, currency="EUR")


def fingerprint(what: str) -> str:
    """What a network would send in place of a device or an address: nobody could read it."""
    return sha256(what.encode()).hexdigest()[:24]


def _usual(carried: Carried, shop: Shop, minor: int) -> dict[str, Any]:
    """How a card is read there, and what the message says of where."""
    if shop.place is None:
        return {
            "entry_mode": EntryMode.ECOMMERCE,
            "device": carried.device,
            "address": carried.address,
        }
    where = {"latitude": shop.place.latitude, "longitude": shop.place.longitude}
    if shop.trade is Trade.CASH or minor > WITH_PIN_ABOVE:
        return {"entry_mode": EntryMode.CHIP, "pin": Proof.CORRECT, **where}
    return {"entry_mode": EntryMode.CONTACTLESS, **where}


def _moment(day: date, second: int) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(seconds=second)
