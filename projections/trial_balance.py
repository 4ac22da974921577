"""Proves the books: debits equal credits, and customer deposits are what the accounts hold."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, get_args

from domain.account import Movement
from domain.postings import GL, Side, customer_leg
from domain.recorded import Recorded
from domain.value import value
from projections.balance import BALANCES
from projections.ledger import LEDGER
from projections.moment import Moment
from projections.read_models import ReadModels, Snapshot


class NotCaughtUp(Exception):
    """The read model did not reach the position in time; `reached` is where it stands."""

    def __init__(self, position: int, reached: int) -> None:
        super().__init__(f"the ledger stands at position {reached} and not yet at {position}")
        self.position = position
        self.reached = reached


@value
class TrialBalanceLine:
    """One general-ledger account in one currency: totals in minor units."""

    gl: GL
    currency: str
    debit: int
    credit: int


@value
class CurrencyProof:
    """That debits equal credits in one currency, and that 2010 is what the accounts hold.

    `deposits` is the credit balance of 2010 Customer deposits, `accounts` the sum of all accounts'
    ledger balances: None where the two read models stand at different positions, or where the
    ledger was asked about an earlier day.
    """

    currency: str
    debit: int
    credit: int
    deposits: int
    accounts: int | None

    @property
    def balanced(self) -> bool:
        return self.debit == self.credit

    @property
    def reconciled(self) -> bool | None:
        return None if self.accounts is None else self.deposits == self.accounts


@value
class TrialBalance:
    """The ledger as it stood when everything up to `position` had been posted, and nothing else."""

    position: int
    recorded_at: datetime | None
    booked_until: date | None
    lines: tuple[TrialBalanceLine, ...]
    currencies: tuple[CurrencyProof, ...]

    @property
    def proven(self) -> bool:
        return all(c.balanced and c.reconciled is not False for c in self.currencies)


async def trial_balance(
    read_models: ReadModels,
    at_least: int | None = None,
    *,
    booked_until: date | None = None,
    within: float = 10.0,
) -> TrialBalance:
    """The trial balance, once the ledger has reached the position `at_least`.

    NotCaughtUp if it does not get there `within` so many seconds.
    """
    if at_least is not None:
        await read_models.wait_for(at_least, within, [LEDGER])
    async with read_models.snapshot() as now:
        found = await trial_balance_of(now, booked_until=booked_until)
    if at_least is not None and found.position < at_least:
        raise NotCaughtUp(at_least, found.position)
    return found


async def trial_balance_of(now: Snapshot, *, booked_until: date | None = None) -> TrialBalance:
    """The trial balance of one snapshot, so it never sums over a moving target.

    `booked_until` leaves out what is booked later than that day. Of a moment of the past the log
    itself is added up, from its beginning or back from now, whichever is nearer: that takes some
    20 us a record. TooMuchHistory if it is more than one answer may cost.
    """
    if isinstance(now, Moment):
        return await _then(now, booked_until)
    lines = await _lines(now, booked_until)
    stand = now.freshness[LEDGER.name]
    accounts = None
    if booked_until is None and _position(now, BALANCES.name) == stand.position:
        accounts = await _account_totals(now)
    return TrialBalance(
        position=stand.position,
        recorded_at=stand.recorded_at,
        booked_until=booked_until,
        lines=lines,
        currencies=_proofs(lines, accounts),
    )


@value
class _Posted:
    """What was posted, in minor units: by general-ledger account, currency and side; and what that
    did to customers' accounts, by currency."""

    legs: Counter[tuple[GL, str, Side]]
    accounts: Counter[str]

    def add(self, records: Iterable[Recorded], booked_until: date | None, sign: int) -> None:
        for recorded in records:
            event = recorded.event
            if type(event) not in _POSTING:
                continue
            if booked_until is not None and event.booking_date > booked_until:
                continue
            for leg in event.postings:
                self.legs[leg.gl, leg.currency, leg.side] += sign * leg.minor
            if type(event) in _ON_ACCOUNTS:
                currency = event.balance_after.currency
                self.accounts[currency] += sign * customer_leg(event.postings)


_ON_ACCOUNTS: Final = frozenset(get_args(Movement))
_POSTING: Final = frozenset(LEDGER.events)


async def _then(moment: Moment, booked_until: date | None) -> TrialBalance:
    position, recorded_at, effective_at = moment.stand
    shown = moment.live.freshness[LEDGER.name].position
    posted = _Posted(legs=Counter(), accounts=Counter())
    after, until, sign = 0, position, 1
    if effective_at is None and shown - position < position:
        await _begin_with_now(posted, moment.live, booked_until)
        after, until, sign = position, shown, -1
    async for records in moment.stretches(after, until):
        await asyncio.to_thread(posted.add, records, booked_until, sign)
    lines = _lines_of(posted)
    accounts = {currency: total for currency, total in posted.accounts.items() if total}
    return TrialBalance(
        position=position,
        recorded_at=recorded_at,
        booked_until=booked_until,
        lines=lines,
        currencies=_proofs(lines, accounts if booked_until is None else None),
    )


async def _begin_with_now(posted: _Posted, live: Snapshot, booked_until: date | None) -> None:
    for line in await _lines(live, booked_until):
        posted.legs[line.gl, line.currency, Side.DEBIT] = line.debit
        posted.legs[line.gl, line.currency, Side.CREDIT] = line.credit
    posted.accounts.update(await _account_totals(live))


def _lines_of(posted: _Posted) -> tuple[TrialBalanceLine, ...]:
    places = {(currency, gl) for (gl, currency, _), minor in posted.legs.items() if minor}
    return tuple(
        TrialBalanceLine(
            gl=gl,
            currency=currency,
            debit=posted.legs[gl, currency, Side.DEBIT],
            credit=posted.legs[gl, currency, Side.CREDIT],
        )
        for currency, gl in sorted(places)
    )


def _position(now: Snapshot, name: str) -> int | None:
    return now.freshness[name].position if name in now.freshness else None


async def _lines(now: Snapshot, booked_until: date | None) -> tuple[TrialBalanceLine, ...]:
    found = await now.query(
        "SELECT gl, currency, sum(debit), sum(credit) FROM {ledger}"
        " WHERE booking_date <= coalesce(%s, 'infinity'::date)"
        " GROUP BY gl, currency ORDER BY currency, gl",
        [booked_until],
        ledger=LEDGER,
    )
    return tuple(
        TrialBalanceLine(gl=GL(gl), currency=currency, debit=int(debit), credit=int(credit))
        for gl, currency, debit, credit in found
    )


async def _account_totals(now: Snapshot) -> dict[str, int]:
    found = await now.query(
        "SELECT currency, sum(ledger) FROM {balance} GROUP BY currency", balance=BALANCES
    )
    return {currency: int(total) for currency, total in found}


def _proofs(
    lines: Sequence[TrialBalanceLine], accounts: Mapping[str, int] | None
) -> tuple[CurrencyProof, ...]:
    debit: Counter[str] = Counter()
    credit: Counter[str] = Counter()
    deposits: Counter[str] = Counter()
    for line in lines:
        debit[line.currency] += line.debit
        credit[line.currency] += line.credit
        if line.gl is GL.CUSTOMER_DEPOSITS:
            deposits[line.currency] += line.credit - line.debit
    return tuple(
        CurrencyProof(
            currency=currency,
            debit=debit[currency],
            credit=credit[currency],
            deposits=deposits[currency],
            accounts=None if accounts is None else accounts.get(currency, 0),
        )
        for currency in sorted(debit.keys() | credit.keys() | (accounts or {}).keys())
    )
