"""With whom a customer deals regularly, read off what was moved on his accounts.

Pure functions over rows of the feed of transactions: they keep nothing, so that moving money does
not take longer for them. The clock is that of the accounts: the months that end with the newest
movement, as an account may have come to rest long ago.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from operator import attrgetter
from typing import Final

from domain.account import MovementKind
from domain.value import value
from projections.behaviour import month_of
from projections.transactions import Transaction

MONTHS: Final = 13
"""So many months are looked at, to the newest movement: what comes once a year comes twice."""
REGULAR_FROM: Final = 3
"""Who was dealt with in at least so many different months is dealt with regularly."""
MOVEMENTS_READ: Final = 1_000
"""Of each account, the newest ones."""
NAME_TOLD: Final = 140
"""So many characters of a name tell counterparties apart: no payment scheme carries more."""

_DEALT: Final = frozenset({MovementKind.PAYMENT, MovementKind.TRANSFER, MovementKind.CARD})


@value
class Counterparty:
    """Amounts in minor units of `currency`. `confidence` is how likely it is that the next month
    brings another movement: see `regular`. `latest` is the movement that named it last."""

    name: str
    currency: str
    count: int
    paid_in: int
    paid_out: int
    months: int
    since: date
    last: date
    latest: Transaction
    confidence: float


def regular(movements: Sequence[Transaction]) -> list[Counterparty]:
    """With whom a customer deals regularly, by the newest movements on accounts of one currency,
    whose counterparties are given in clear.

    The confidence is Laplace's rule of succession, (months in which there was a movement + 1) /
    (months since the first one + 2): of a rent that was paid in twelve months of twelve, 0.93.
    """
    if not movements:
        return []
    newest = max(m.booking_date for m in movements)
    dealt: dict[str, list[Transaction]] = {}
    for movement in movements:
        name = named(movement.counterparty)
        if name and movement.kind in _DEALT and _months(movement.booking_date, newest) <= MONTHS:
            dealt.setdefault(name, []).append(movement)
    found = [_counterparty(name, with_it, newest) for name, with_it in dealt.items()]
    return [one for one in found if one.months >= REGULAR_FROM]


def named(counterparty: str | None) -> str:
    """A counterparty as it is told apart: without what only looks different."""
    return " ".join((counterparty or "").split())[:NAME_TOLD]


def _counterparty(name: str, movements: Iterable[Transaction], newest: date) -> Counterparty:
    movements = list(movements)
    days = sorted(m.booking_date for m in movements)
    latest = max(movements, key=attrgetter("position"))
    months = len({month_of(day) for day in days})
    return Counterparty(
        name=name,
        currency=movements[0].currency,
        count=len(movements),
        paid_in=sum(m.amount for m in movements if m.amount > 0),
        paid_out=-sum(m.amount for m in movements if m.amount < 0),
        months=months,
        since=days[0],
        last=days[-1],
        latest=latest,
        confidence=(months + 1) / (_months(days[0], newest) + 2),
    )


def _months(first: date, last: date) -> int:
    """How many calendar months there are from one day's to another's, both counted."""
    return (last.year - first.year) * 12 + last.month - first.month + 1
