"""How customers deal with their money: what comes in and goes out, and what cards are used for.

The clock is that of what happened: booking dates, and when a card was used (UTC). How much of a
month is the customer's own money on its way between his own accounts is not known to one account:
whoever shows all of a customer's leaves that out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.account import (
    BY_CUSTOMER,
    AccountEscheated,
    AccountOpened,
    CashDeposited,
    CashWithdrawn,
    FeeCharged,
    FeeWaived,
    HoldCaptured,
    MoneyCredited,
    MoneyDebited,
    Movement,
    MovementReversed,
)
from domain.consent import LAWFUL, Processing
from domain.customer import ConsentGranted, ConsentWithdrawn
from domain.postings import customer_leg
from domain.recorded import Recorded
from domain.spending import CardAuthorizationApproved, spending_of
from domain.value import changed, value
from projections.projection import Document, Key

MONTHS_KEPT: Final = 24
"""So many months with movements, the latest ones."""

HOURS: Final = 24
WEEKDAYS: Final = 7

Flow = tuple[int, int, int, int]
"""What came in and what went out, in minor units, and how many movements each. What is undone is
taken off again where it was counted, in the month in which it is undone."""

Spent = tuple[int, int]
"""How often, and how much in minor units."""

NO_FLOW: Final[Flow] = (0, 0, 0, 0)
NOT_SPENT: Final[Spent] = (0, 0)


# --- what comes in and goes out -------------------------------------------------------------------


@value
class AccountFlow:
    """`months` are written as 2025-03. `initiated_on` is when the owner, or whom he authorised,
    last moved money of his own accord."""

    account_id: UUID
    customer_id: UUID
    currency: str
    months: Mapping[str, Flow]
    initiated_on: date | None
    position: int


class AccountFlows(Document[AccountFlow]):
    name = "account_flows"
    row = AccountFlow
    key = ("account_id",)
    events = (AccountOpened, *get_args(Movement))
    indexes = (("customer_id", "account_id"),)
    fixed = ("customer_id",)

    def fold(self, row: AccountFlow | None, recorded: Recorded, key: Key) -> AccountFlow | None:
        return self.fold_all(row, [recorded], key)

    def fold_all(
        self, row: AccountFlow | None, happened: Sequence[Recorded], key: Key
    ) -> AccountFlow | None:
        """Of a busy account many at once: the months are copied once for all of them."""
        first, *rest = happened
        if isinstance(first.event, AccountOpened):
            row = _opened(first.event, first)
        else:
            rest = [first, *rest]
        assert row is not None, f"{first.stream_id} begins without having been opened"
        if not rest:
            return row
        months, initiated_on = dict(row.months), row.initiated_on
        for recorded in rest:
            event: Movement = recorded.event
            month = month_of(event.booking_date)
            months[month] = added(months.get(month, NO_FLOW), event)
            if _initiated(event) and (initiated_on is None or event.booking_date > initiated_on):
                initiated_on = event.booking_date
        kept = sorted(months)[-MONTHS_KEPT:]
        return changed(
            row,
            months={month: months[month] for month in kept},
            initiated_on=initiated_on,
            position=happened[-1].position,
        )


ACCOUNT_FLOWS: Final = AccountFlows()


def month_of(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"


def added(flow: Flow, event: Movement) -> Flow:
    """With one movement more. An undone movement is less of what it was, and no movement of its
    own."""
    leg = customer_leg(event.postings)
    came, went, ins, outs = flow
    if isinstance(event, FeeWaived | MovementReversed):
        return (came, went - leg, ins, outs) if leg > 0 else (came + leg, went, ins, outs)
    if leg >= 0:
        return came + leg, went, ins + 1, outs
    return came, went - leg, ins, outs + 1


def _opened(event: AccountOpened, recorded: Recorded) -> AccountFlow:
    return AccountFlow(
        account_id=recorded.stream_id,
        customer_id=event.customer_id,
        currency=event.currency,
        months={},
        initiated_on=None,
        position=recorded.position,
    )


def _initiated(event: Movement) -> bool:
    """Whether the customer moved it, as the account itself judges activity."""
    match event:
        case CashDeposited() | CashWithdrawn() | HoldCaptured():
            return True
        case MoneyDebited(kind=kind):
            return kind in BY_CUSTOMER
        case MoneyCredited() | FeeCharged() | FeeWaived() | MovementReversed():
            return False
        case AccountEscheated():
            return False
        case _:
            assert_never(event)


# --- what cards are used for ----------------------------------------------------------------------


@value
class Pattern:
    """What was allowed to be spent with cards in one currency, as it was first approved: by
    category of merchant (ISO 18245), by hour of the day and by day of the week, Monday first (UTC).
    `total` is of all."""

    total: Spent
    categories: Mapping[str, Spent]
    hours: tuple[Spent, ...]
    weekdays: tuple[Spent, ...]
    first_at: datetime
    last_at: datetime


@value
class Spending:
    """What one customer's cards are used for, by currency: of what was spent while he agreed to
    have such patterns made, since he last began to. `until` is the last day of that, if it has one.

    That a card was used at all, when last and on which `accounts`, is kept whatever he agrees to:
    who uses a card is not dormant.
    """

    customer_id: UUID
    agreed: bool
    until: date | None
    patterns: Mapping[str, Pattern]
    accounts: tuple[UUID, ...]
    last_at: datetime | None
    position: int


class Spendings(Document[Spending]):
    """No pattern is made of what is spent while the customer does not agree (see consent.py), and
    those that were made are forgotten when he withdraws."""

    name = "spendings"
    row = Spending
    key = ("customer_id",)
    events = (CardAuthorizationApproved, ConsentGranted, ConsentWithdrawn)

    def streams(self, row: Spending) -> Sequence[UUID]:
        return (row.customer_id, *map(spending_of, row.accounts))

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        """Whoever only asks whether a card is good spends nothing."""
        event: CardAuthorizationApproved | ConsentGranted | ConsentWithdrawn = recorded.event
        if isinstance(event, CardAuthorizationApproved):
            return ((event.attempt.customer_id,),) if event.amount.minor else ()
        return ((recorded.stream_id,),) if event.purpose in _NEEDED else ()

    def fold(self, row: Spending | None, recorded: Recorded, key: Key) -> Spending:
        event: CardAuthorizationApproved | ConsentGranted | ConsentWithdrawn = recorded.event
        known = changed(row or _nothing_spent(key), position=recorded.position)
        match event:
            case ConsentGranted(valid_until=until):
                return changed(known, agreed=True, until=until)
            case ConsentWithdrawn():
                return changed(known, agreed=False, until=None, patterns={})
            case CardAuthorizationApproved():
                return _spent(known, event)
            case _:
                assert_never(event)


SPENDINGS: Final = Spendings()

_NEEDED: Final = LAWFUL[Processing.SPENDING_PATTERN].purposes
assert len(_NEEDED) == 1, "of several, a row would have to know each"


def _nothing_spent(key: Key) -> Spending:
    (customer_id,) = key
    return Spending(
        customer_id=customer_id,
        agreed=False,
        until=None,
        patterns={},
        accounts=(),
        last_at=None,
        position=0,
    )


def _spent(row: Spending, event: CardAuthorizationApproved) -> Spending:
    at, account_id = event.attempt.occurred_at.astimezone(UTC), event.attempt.account_id
    used = changed(
        row,
        accounts=row.accounts if account_id in row.accounts else (*row.accounts, account_id),
        last_at=at if row.last_at is None else max(row.last_at, at),
    )
    if not row.agreed or (row.until is not None and at.date() > row.until):
        return used
    minor, mcc, currency = event.amount.minor, event.attempt.merchant.mcc, event.amount.currency
    known = row.patterns.get(currency) or _unspent(at)
    pattern = Pattern(
        total=_more(known.total, minor),
        categories={**known.categories, mcc: _more(known.categories.get(mcc, NOT_SPENT), minor)},
        hours=_counted(known.hours, at.hour, minor),
        weekdays=_counted(known.weekdays, at.weekday(), minor),
        first_at=min(known.first_at, at),
        last_at=max(known.last_at, at),
    )
    return changed(used, patterns={**row.patterns, currency: pattern})


def _unspent(at: datetime) -> Pattern:
    return Pattern(
        total=NOT_SPENT,
        categories={},
        hours=(NOT_SPENT,) * HOURS,
        weekdays=(NOT_SPENT,) * WEEKDAYS,
        first_at=at,
        last_at=at,
    )


def _more(spent: Spent, minor: int) -> Spent:
    return spent[0] + 1, spent[1] + minor


def _counted(spent: tuple[Spent, ...], place: int, minor: int) -> tuple[Spent, ...]:
    return (*spent[:place], _more(spent[place], minor), *spent[place + 1 :])
