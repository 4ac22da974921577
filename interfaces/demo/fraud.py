"""What is done with the demo bank's cards that should not be, and what comes of it.

Nothing here says what the bank decides: its rules and its model do that. What is told is how each
would go on by it: customers pass challenges and thieves do not, and analysts look at alerts.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final
from uuid import UUID

from domain.authorizing import RecordFraudLabel, alert_of
from domain.risk.alert import ConfirmAlert, DismissAlert, InvestigateAlert
from domain.value import changed
from interfaces.demo.cards import CUSTOMER, Cards, Carried, fingerprint
from interfaces.demo.merchants import BRANCHES, FILMS, PHONES, POSTERS, Shop, Trade
from interfaces.demo.steps import Became
from interfaces.demo.teller import Teller

ANALYST: Final = "demo:analyst"

LEAKED: Final = date(2025, 11, 3)
"""Since then somebody has the numbers of the cards that were used at POSTERS."""
LEAK_DAYS: Final = 18
COMPLAINT: Final = timedelta(days=4)
"""So long it takes customers to look at their statements, or to answer."""
HARVEST: Final = LEAKED + timedelta(days=14)
"""The day on which many of those cards are used within an hour."""

STOLEN: Final = date(2025, 12, 4)
NEW_DEVICES: Final = date(2025, 11, 27)


class Fraud:
    """Three affairs of the last quarter. `stolen_card` is told of when the card's owner notices."""

    def __init__(self, random: Random, teller: Teller, cards: Cards) -> None:
        self._random = random
        self._teller = teller
        self._cards = cards

    # A shop on the internet whose customers' card numbers have leaked.

    def leak(self, day: date, victims: Sequence[Carried]) -> None:
        """Somebody pays with those cards there, what others pay there; the device is his own."""
        if not LEAKED <= day < LEAKED + timedelta(days=LEAK_DAYS):
            return
        self._teller.notice()
        if day == HARVEST:
            for i, victim in enumerate(victims[:8]):
                self._cards.plan(_at(day, 3, 4 * i), self._pays_with(victim))
            self._cards.plan(_at(day, 3, 4 * 5 - 1), lambda _: self._teller.notice())
            self._cards.plan(_at(day, 9), self._looked_into)
        for _ in range(self._random.choice((1, 2, 2))):
            victim = self._random.choice(victims)
            at = _at(day, self._random.randrange(1, 22), self._random.randrange(60))
            self._cards.plan(at, self._pays_with(victim))

    def _pays_with(self, victim: Carried) -> Callable[[datetime], object]:
        thief = changed(
            victim, device=fingerprint("a thief's device"), address=fingerprint("a thief's address")
        )

        def pays(at: datetime) -> None:
            minor = self._random.randrange(POSTERS.cheapest, POSTERS.dearest)
            if self._teller.funds[victim.account_id] < minor:
                return
            asked = self._last = self._cards.pays(thief, POSTERS, minor, at, passes=False)
            self._cards.clears(thief, POSTERS, asked, minor, at + timedelta(days=1))
            self._cards.plan(at + COMPLAINT, lambda at: self._complains(victim, asked, at))

        return pays

    def _complains(self, victim: Carried, asked: UUID, at: datetime) -> None:
        """Of what is on his statement, and of what the bank stopped and asks him about."""
        label = RecordFraudLabel(
            card_id=victim.card_id,
            authorization_id=asked,
            fraudulent=True,
            source="customer",
            learnt_at=at,
        )
        self._teller.give(label, CUSTOMER)

    def _looked_into(self, at: datetime) -> None:
        """The last of that night, by an analyst who is not done with it yet."""
        command = InvestigateAlert(alert_id=alert_of(self._last), analyst=ANALYST, at=at)
        self._teller.give_if(self._last, Became.ALERTED, command, ANALYST)

    # A stolen card.

    def theft(self, carried: Carried, far: str, noticed: Callable[[datetime], object]) -> None:
        """An hour after its owner used it, far from there, and then on the internet: large amounts,
        from several devices, until she notices."""
        at = _at(STOLEN, 14, 2)
        (cafe,) = BRANCHES[Trade.CAFE, carried.country]
        kiosk, *_ = BRANCHES[Trade.GROCERIES, far]
        self._cards.plan(at, lambda at: self._buys(carried, cafe, 1_150, at))
        attempts: list[UUID] = []

        def tries(minute: int, minor: int, device: int | None) -> None:
            shop = kiosk if device is None else PHONES
            thief = changed(
                carried,
                device=fingerprint(f"stolen phone {device}"),
                address=fingerprint(f"cafe {device}"),
            )

            def pays(at: datetime) -> None:
                attempts.append(self._cards.asks(thief, shop, minor, at))
                self._cards.answers(thief, attempts[-1], at + timedelta(minutes=1), passes=False)

            self._cards.plan(at + timedelta(minutes=minute), pays)

        for minute, minor, device in (
            (55, 9_400, None),
            (61, 24_900, 1),
            (64, 38_900, 1),
            (67, 38_900, 2),
            (71, 29_900, 2),
            (76, 45_900, 3),
            (78, 19_900, 4),
            (83, 51_900, 5),
        ):
            tries(minute, minor, device)
        self._cards.plan(at + timedelta(minutes=100), noticed)

        def tells(at: datetime) -> None:
            """An analyst asks her about the first, and she says of the others too what they are."""
            self._confirmed(attempts[0], "the customer is at home", at)
            for asked in attempts[1:]:
                self._complains(carried, asked, at)

        self._cards.plan(at + timedelta(hours=3), tells)

    def _buys(self, carried: Carried, shop: Shop, minor: int, at: datetime) -> None:
        self._cards.buys(carried, shop, minor, at)

    def _confirmed(self, asked: UUID, note: str, at: datetime) -> None:
        command = ConfirmAlert(alert_id=alert_of(asked), analyst=ANALYST, at=at, note=note)
        self._teller.give_if(asked, Became.ALERTED, command, ANALYST)

    # No fraud, though it looks like one.

    def new_devices(self, carried: Carried) -> None:
        """A family watches films: the card is used on four devices on one evening."""
        attempts: list[UUID] = []

        def pays(number: int) -> Callable[[datetime], object]:
            used = changed(carried, device=fingerprint(f"{carried.device}, screen {number}"))

            def pay(at: datetime) -> None:
                attempts.append(self._cards.pays(used, FILMS, FILMS.cheapest, at))
                self._cards.clears(
                    used, FILMS, attempts[-1], FILMS.cheapest, at + timedelta(days=1)
                )

            return pay

        for number in range(1, 5):
            self._cards.plan(_at(NEW_DEVICES, 18, 9 * number), pays(number))
        self._cards.plan(_at(NEW_DEVICES, 20), lambda at: self._dismissed(attempts[-1], at))

    def _dismissed(self, asked: UUID, at: datetime) -> None:
        note = "a new television: the customer confirmed it"
        command = DismissAlert(alert_id=alert_of(asked), analyst=ANALYST, at=at, note=note)
        self._teller.give_if(asked, Became.ALERTED, command, ANALYST)


def _at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour), UTC) + timedelta(minutes=minute)
