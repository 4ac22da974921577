"""Cards to pay with, and what is paid with them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID, uuid4

from application.bank import Bank
from bench.founding import CURRENCY, DAY, obeyed, open_customers
from domain.authorizing import AuthorizeCard, ClearCardTransaction
from domain.card import (
    CardExpiry,
    CardType,
    Channel,
    EntryMode,
    IssueCard,
    SetSpendControl,
    SpendControl,
    SpendWindow,
)
from domain.money import Money
from domain.spending import Merchant
from domain.value import value

BEGINNING: Final = datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=1)
USES_A_DAY: Final = 2
"""Of a card, as in the labelled transactions. By the clock of who measures, a card would be used
several times a second, and everything would be suspicious."""

SUSPICIOUS: Final = 1 / 150
"""The share of amounts for which a rule has the customer asked and the reasons explained."""

SUSPICIOUS_MINOR: Final = 25_000
LARGEST_MINOR: Final = 15_000
TERMINALS: Final = 10_000
COUNTRY: Final = "CZ"
"""That of the customers."""

_EXPIRY: Final = CardExpiry(year=2099, month=12)


@value
class PaymentCard:
    card_id: UUID
    account_id: UUID
    customer_id: UUID


async def open_cards(bank: Bank, cards: int) -> list[PaymentCard]:
    """Customers with an account, money and a card each: with two limits, which nobody reaches."""
    opened = [
        PaymentCard(card_id=uuid4(), account_id=account, customer_id=customer.customer_id)
        for customer in await open_customers(bank, cards, 1)
        for account in customer.accounts
    ]
    await obeyed(bank, map(_issue, opened))
    for control in (
        SpendControl(control_id=uuid4(), window=SpendWindow.DAY, amount=_money(10**11)),
        SpendControl(control_id=uuid4(), window=SpendWindow.MONTH, count=10**6),
    ):
        await obeyed(bank, (SetSpendControl(card_id=c.card_id, control=control) for c in opened))
    return opened


class Purchases:
    """One after the other by any of these cards, at any terminal, at a rate of life's own."""

    def __init__(self, cards: Sequence[PaymentCard], random: Random) -> None:
        self._cards = cards
        self._random = random
        self._step = timedelta(days=1) / (USES_A_DAY * len(cards))
        self._at = BEGINNING
        self._merchants = [
            Merchant(merchant_id=f"T{n}", name=f"Terminal {n}", mcc="5411", country=COUNTRY)
            for n in range(TERMINALS)
        ]

    def next(self) -> AuthorizeCard:
        self._at += self._step
        draw = self._random.random
        return AuthorizeCard(
            card_id=self._cards[int(draw() * len(self._cards))].card_id,
            authorization_id=uuid4(),
            amount=_money(
                SUSPICIOUS_MINOR if draw() < SUSPICIOUS else 1 + int(draw() * LARGEST_MINOR)
            ),
            merchant=self._merchants[int(draw() * TERMINALS)],
            entry_mode=EntryMode.CHIP,
            channel=Channel.POINT_OF_SALE,
            occurred_at=self._at,
        )


def clearing(purchase: AuthorizeCard) -> ClearCardTransaction | None:
    """What comes some days later; nothing if the customer was asked, and has not answered."""
    if purchase.amount.minor == SUSPICIOUS_MINOR:
        return None
    return ClearCardTransaction(
        card_id=purchase.card_id,
        clearing_id=uuid4(),
        amount=purchase.amount,
        merchant=purchase.merchant,
        occurred_at=purchase.occurred_at,
        booking_date=purchase.occurred_at.date(),
        authorization_id=purchase.authorization_id,
    )


def _issue(card: PaymentCard) -> IssueCard:
    return IssueCard(
        card_id=card.card_id,
        account_id=card.account_id,
        customer_id=card.customer_id,
        card_type=CardType.PHYSICAL,
        token=f"tok_{card.card_id.hex}",
        brand="debit",
        bin="000000",
        last4="0000",
        expiry=_EXPIRY,
        issued_on=DAY,
        activate=True,
    )


def _money(minor: int) -> Money:
    return Money(minor=minor, currency=CURRENCY)
