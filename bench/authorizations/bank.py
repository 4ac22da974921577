"""Through `bank.execute`: a purchase is decided on, money held, and all of it recorded."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import uvloop

from application.bank import Bank
from application.commands import Accepted, Origin
from bench.apart import Orders
from bench.authorizations.cards import PaymentCard, Purchases, clearing
from bench.founding import Refusing, bank_at
from bench.measuring import Work
from bench.transfers.bank import BankOrder, closed, taken
from domain.authorizing import AuthorizeCard
from domain.spending import Attempted
from domain.value import value
from interfaces.garbage import spare_what_stays

_TOGETHER: Final = 500


@value
class AuthorizationOrder:
    """So many callers, each of whom asks again when he is answered."""

    callers: int
    seconds: float
    at_most: int | None = None


@value
class ClearingOrder:
    """Whatever is held is paid, so that the next round begins as the last one did."""


CardOrder = AuthorizationOrder | ClearingOrder | BankOrder


def serve(
    orders: Orders[CardOrder, Work | str],
    url: str,
    home: Path,
    cards: Sequence[PaymentCard],
    model: str,
) -> None:
    # As the server does.
    uvloop.run(_answer(orders, url, home, cards, model))


async def _answer(
    orders: Orders[CardOrder, Work | str],
    url: str,
    home: Path,
    cards: Sequence[PaymentCard],
    model: str,
) -> None:
    random = Random(5)
    accounts = [card.account_id for card in cards]
    async with bank_at(url, home) as system:
        await system.risk_desk.caught_up()
        counter = _Counter(system.bank, Purchases(cards, random), model)
        spare_what_stays()
        orders.answer("ready")
        while (order := await asyncio.to_thread(orders.next)) is not None:
            match order:
                case AuthorizationOrder():
                    orders.answer(await counter.take(order))
                case ClearingOrder():
                    await counter.clear()
                    await system.risk_desk.caught_up()
                    orders.answer("cleared")
                case BankOrder():
                    orders.answer(await taken(system.bank, order, accounts, random))


class _Counter:
    """Where purchases are asked for, and what was held is paid."""

    def __init__(self, bank: Bank, purchases: Purchases, model: str) -> None:
        self._bank = bank
        self._purchases = purchases
        self._model = model
        self._held: list[AuthorizeCard] = []

    async def take(self, order: AuthorizationOrder) -> Work:
        return await closed(
            self._ask, callers=order.callers, seconds=order.seconds, at_most=order.at_most
        )

    async def clear(self) -> None:
        clearings = (c for c in map(clearing, self._held) if c is not None)
        while some := list(islice(clearings, _TOGETHER)):
            outcomes = await asyncio.gather(
                *(self._bank.execute(c, _origin(c.clearing_id)) for c in some)
            )
            for outcome in outcomes:
                if not isinstance(outcome, Accepted):
                    raise Refusing(outcome)
        self._held.clear()

    async def _ask(self) -> None:
        purchase = self._purchases.next()
        outcome = await self._bank.execute(purchase, _origin(purchase.authorization_id))
        if not isinstance(outcome, Accepted) or not outcome.events:
            raise Refusing(outcome)
        _, event = outcome.events[0]
        if not isinstance(event, Attempted) or event.assessment is None:
            raise Refusing(event)
        if event.assessment.model != self._model:
            # Rules alone decide faster, so that would be no measurement.
            raise Refusing(event.assessment.degraded)
        self._held.append(purchase)


def _origin(command_id: UUID) -> Origin:
    return Origin(command_id=command_id, actor="bench")
