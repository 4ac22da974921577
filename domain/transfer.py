"""Movements over several accounts at once: transfers, and what undoes an earlier movement.

A transfer is one atomic append to both accounts, in the order of their ids, one leg each against
2290 Transfers in transit, which is therefore zero after every transfer.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

from domain.account import (
    Account,
    FeeCharged,
    Movement,
    MovementKind,
    NotReversible,
)
from domain.aggregate import command
from domain.decision import Decision, History, deciding
from domain.loan import LoanEvent
from domain.money import Money
from domain.personal import Personal
from domain.refusal import NotFound, Refusal
from domain.spending import CardSpendingEvent

# --- commands -------------------------------------------------------------------------------------


@command("account.transfer")
class Transfer:
    """`transfer_id` is the movement id of both legs. `reference` is said on both, and is sealed
    for the owner of each."""

    transfer_id: UUID
    from_account_id: UUID
    to_account_id: UUID
    amount: Money
    booking_date: date
    reference: Personal[str] | None = None


@command("account.reverse_movement")
class ReverseMovement:
    """Undo all that the command `original_id` moved, on every account that it touched."""

    account_id: UUID
    movement_id: UUID
    original_id: UUID
    reason: str
    booking_date: date


@command("account.waive_fee")
class WaiveFee:
    account_id: UUID
    movement_id: UUID
    original_id: UUID
    booking_date: date


# --- refusals -------------------------------------------------------------------------------------


class SameAccount(Refusal):
    code = "SAME_ACCOUNT"
    message = "a transfer is between two accounts"


# --- decisions ------------------------------------------------------------------------------------


@deciding(Transfer, from_account_id=Account, to_account_id=Account)
def make_transfer(command: Transfer, history: History) -> Decision:
    if command.from_account_id == command.to_account_id:
        raise SameAccount
    debtor = history.state(Account, command.from_account_id)
    creditor = history.state(Account, command.to_account_id)
    debtor.require_known()
    creditor.require_known()
    debited = debtor.debit(
        movement_id=command.transfer_id,
        kind=MovementKind.TRANSFER,
        amount=command.amount,
        booking_date=command.booking_date,
        counterparty_account=command.to_account_id,
        reference=command.reference,
    )
    credited = creditor.credit(
        movement_id=command.transfer_id,
        kind=MovementKind.TRANSFER,
        amount=command.amount,
        booking_date=command.booking_date,
        counterparty_account=command.from_account_id,
        reference=command.reference,
    )
    return sorted(
        [(command.from_account_id, [debited]), (command.to_account_id, [credited])],
        key=lambda written: written[0],
    )


@deciding(ReverseMovement, account_id=Account)
def reverse_movement(command: ReverseMovement, history: History) -> Decision:
    history.state(Account, command.account_id).require_known()
    written = history.written_by(command.original_id)
    if any(isinstance(event, CardSpendingEvent | LoanEvent) for _, event in written):
        # Merchants reverse and refund, and what was borrowed is paid back: the card's spending, or
        # the loan, must know of it.
        raise NotReversible
    originals = list(_movements(written))
    if all(account_id != command.account_id for account_id, _ in originals):
        raise NotFound
    return [
        (
            account_id,
            [
                history.state(Account, account_id).reverse(
                    original,
                    movement_id=command.movement_id,
                    reason=command.reason,
                    booking_date=command.booking_date,
                )
            ],
        )
        for account_id, original in sorted(originals, key=lambda written: written[0])
    ]


@deciding(WaiveFee, account_id=Account)
def waive_fee(command: WaiveFee, history: History) -> Decision:
    account = history.state(Account, command.account_id)
    account.require_known()
    movements = _movements(history.written_by(command.original_id))
    original = next((m for account_id, m in movements if account_id == command.account_id), None)
    if original is None:
        raise NotFound
    if not isinstance(original, FeeCharged):
        raise NotReversible
    waived = account.waive(
        original, movement_id=command.movement_id, booking_date=command.booking_date
    )
    return [(command.account_id, [waived])]


def _movements(written: Iterable[tuple[UUID, Any]]) -> Iterator[tuple[UUID, Movement]]:
    """What an earlier command moved: at most one movement an account."""
    for stream_id, event in written:
        if isinstance(event, Movement):
            yield stream_id, event
