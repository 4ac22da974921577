"""The general ledger: what each account of it was debited and credited, by day."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final, get_args
from uuid import UUID

from domain.account import Movement
from domain.postings import GL, Side
from domain.recorded import Recorded
from domain.spending import CardMovementSuspended
from domain.value import value
from projections.projection import Document, Key, Minor


@value
class LedgerDay:
    """All that was posted to one general-ledger account in one currency on one booking date."""

    gl: GL
    currency: str
    booking_date: date
    debit: Minor
    credit: Minor
    position: int


class Ledger(Document[LedgerDay]):
    name = "ledger"
    row = LedgerDay
    key = ("gl", "currency", "booking_date")
    events = (*get_args(Movement), CardMovementSuspended)
    """All that moves money: on an account, or between two of the bank's own."""

    def streams(self, row: LedgerDay) -> Collection[UUID]:
        """A day of the bank is in any stream there is: it is folded from all of the log."""
        raise LookupError("the general ledger is of all streams")

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        event: Movement | CardMovementSuspended = recorded.event
        on = event.booking_date
        return tuple({(leg.gl, leg.currency, on): None for leg in event.postings})

    def fold(self, row: LedgerDay | None, recorded: Recorded, key: Key) -> LedgerDay:
        return self.fold_all(row, (recorded,), key)

    def fold_all(self, row: LedgerDay | None, happened: Sequence[Recorded], key: Key) -> LedgerDay:
        """Every movement is posted to one of very few days: so they are added up, and the day is
        made once."""
        gl, currency, booking_date = key
        debit, credit = (row.debit, row.credit) if row is not None else (0, 0)
        for recorded in happened:
            for leg in recorded.event.postings:
                if leg.gl is gl and leg.currency == currency:
                    if leg.side is Side.DEBIT:
                        debit += leg.minor
                    else:
                        credit += leg.minor
        return LedgerDay(
            gl=gl,
            currency=currency,
            booking_date=booking_date,
            debit=debit,
            credit=credit,
            position=happened[-1].position,
        )


LEDGER: Final = Ledger()
