"""Every movement on every account, as a statement lists them."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.account import (
    AccountEscheated,
    CashDeposited,
    CashWithdrawn,
    FeeCharged,
    FeeWaived,
    HoldCaptured,
    MoneyCredited,
    MoneyDebited,
    Movement,
    MovementKind,
    MovementReversed,
)
from domain.aggregate import permanent_name
from domain.personal import Personal
from domain.postings import customer_leg
from domain.recorded import Recorded
from domain.value import value
from projections.projection import Feed, Minor


@value
class Transaction:
    """One movement: `amount` is what it did to the account's ledger balance, plus or minus.

    `event` is the permanent name of what was recorded. `counterparty` and `reference` are what it
    says in plain: of a transfer the other account, of a fee its code, of a reversal its reason.
    What is `sealed_...` is said by the event's field of that name, and the vault has it. `undoes`
    is the movement that a reversal or a waiver undid, `hold_id` the hold that was captured.
    """

    account_id: UUID
    position: int
    version: int
    movement_id: UUID
    event: str
    kind: MovementKind
    amount: Minor
    currency: str
    balance_after: Minor
    booking_date: date
    value_date: date
    counterparty: str | None
    reference: str | None
    sealed_counterparty: bool
    sealed_reference: bool
    undoes: UUID | None
    hold_id: UUID | None
    recorded_at: datetime


class Transactions(Feed[Transaction]):
    """Paged by position, per account."""

    name = "transactions"
    row = Transaction
    key = ("account_id", "position")
    events = get_args(Movement)
    indexes = (("account_id", "booking_date"),)
    fixed = tuple(f.name for f in fields(Transaction))

    def rows(self, recorded: Recorded) -> Sequence[Transaction]:
        event: Movement = recorded.event
        kind, counterparty, reference, undoes, hold_id = _told(event)
        transaction = Transaction(
            account_id=recorded.stream_id,
            position=recorded.position,
            version=recorded.version,
            movement_id=event.movement_id,
            event=permanent_name(type(event)),
            kind=kind,
            amount=customer_leg(event.postings),
            currency=event.balance_after.currency,
            balance_after=event.balance_after.minor,
            booking_date=event.booking_date,
            value_date=event.value_date,
            counterparty=counterparty if isinstance(counterparty, str) else None,
            reference=reference if isinstance(reference, str) else None,
            sealed_counterparty=isinstance(counterparty, Personal),
            sealed_reference=isinstance(reference, Personal),
            undoes=undoes,
            hold_id=hold_id,
            recorded_at=recorded.at,
        )
        return (transaction,)


TRANSACTIONS: Final = Transactions()

_Said = str | Personal[str] | None
_Told = tuple[MovementKind, _Said, _Said, UUID | None, UUID | None]


def _told(event: Movement) -> _Told:  # noqa: PLR0911 -- one flat match over every movement
    """What each kind of movement says of itself: kind, counterparty, reference, undoes, hold."""
    match event:
        case MoneyCredited() | MoneyDebited():
            other = event.counterparty_account
            whom = event.plain_counterparty if other is None else str(other)
            said = event.counterparty or whom, event.reference or event.plain_reference
            return event.kind, *said, None, None
        case CashDeposited() | CashWithdrawn():
            return MovementKind.CASH, None, None, None, None
        case HoldCaptured():
            said = (
                event.counterparty or event.plain_counterparty,
                event.reference or event.plain_reference,
            )
            return event.kind, *said, None, event.hold_id
        case FeeCharged():
            return MovementKind.FEE, None, event.fee_code, None, None
        case FeeWaived():
            return MovementKind.FEE, None, None, event.original_id, None
        case MovementReversed():
            return MovementKind.REVERSAL, None, event.reason, event.original_id, None
        case AccountEscheated():
            return MovementKind.ESCHEAT, event.authority, None, None, None
        case _:
            assert_never(event)
