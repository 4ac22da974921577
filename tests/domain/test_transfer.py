from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.account import (
    AccountActivated,
    AccountClosed,
    AccountIsClosed,
    AccountIsRestricted,
    AccountNotOpen,
    AccountRestricted,
    AlreadyReversed,
    BookedBeforeOpening,
    CashDeposited,
    CashWithdrawn,
    FeeCharged,
    FeeWaived,
    InsufficientFunds,
    MoneyCredited,
    MoneyDebited,
    MovementKind,
    MovementReversed,
    NotReversible,
)
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.personal import Unsealed
from domain.postings import GL, mirrored, transfer_postings
from domain.refusal import NotFound
from domain.restriction import Direction
from domain.transfer import ReverseMovement, SameAccount, Transfer, WaiveFee
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    CORRECTION,
    DAY,
    MOVEMENT,
    NOBODY_KNOWN,
    OPENED,
    OTHER_ACCOUNT,
    RESTRICTION,
    deposited,
    eur,
    opened,
    said,
)
from tests.scenario import Written, given, on

DEPOSIT = uuid4()
TRANSFER = Transfer(
    transfer_id=MOVEMENT,
    from_account_id=ACCOUNT,
    to_account_id=OTHER_ACCOUNT,
    amount=eur(30_00),
    booking_date=DAY,
    reference=Unsealed(clear="rent"),
)
OUT = MoneyDebited(
    movement_id=MOVEMENT,
    kind=MovementKind.TRANSFER,
    amount=eur(30_00),
    booking_date=DAY,
    value_date=DAY,
    postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.TRANSFERS_IN_TRANSIT, 30_00, "EUR"),
    balance_after=eur(70_00),
    counterparty_account=OTHER_ACCOUNT,
    reference=said("rent", ADA),
)
IN = MoneyCredited(
    movement_id=MOVEMENT,
    kind=MovementKind.TRANSFER,
    amount=eur(30_00),
    booking_date=DAY,
    value_date=DAY,
    postings=transfer_postings(GL.TRANSFERS_IN_TRANSIT, GL.CUSTOMER_DEPOSITS, 30_00, "EUR"),
    balance_after=eur(30_00),
    counterparty_account=ACCOUNT,
    reference=said("rent", BOB),
)
FROZEN = AccountRestricted(restriction_id=RESTRICTION, direction=Direction.ALL, reason="COURT")
CLOSED = AccountClosed(reason="END_USER_REQUEST", on=DAY)
REVERSE = ReverseMovement(
    account_id=ACCOUNT,
    movement_id=CORRECTION,
    original_id=MOVEMENT,
    reason="ERROR",
    booking_date=DAY,
)
WAIVE = WaiveFee(account_id=ACCOUNT, movement_id=CORRECTION, original_id=MOVEMENT, booking_date=DAY)


def funded(*then: Any) -> Written:
    return on(ACCOUNT, *OPENED, replace(deposited(100_00), movement_id=DEPOSIT), *then)


def other(*then: Any) -> Written:
    return on(OTHER_ACCOUNT, opened(customer=BOB), AccountActivated(), *then)


TRANSFERRED = (
    funded(),
    other(),
    on(ACCOUNT, OUT, by=MOVEMENT),
    on(OTHER_ACCOUNT, IN, by=MOVEMENT),
)


def reversed_(original: Any, *, minor: int, balance_after: int) -> MovementReversed:
    return MovementReversed(
        movement_id=CORRECTION,
        original_id=original.movement_id,
        amount=eur(minor),
        reason="ERROR",
        booking_date=DAY,
        value_date=DAY,
        postings=mirrored(original.postings),
        balance_after=eur(balance_after),
    )


# --- transfers ------------------------------------------------------------------------------------


def test_a_transfer_debits_one_account_and_credits_the_other() -> None:
    given(funded(), other()).when(TRANSFER).then(on(ACCOUNT, OUT), on(OTHER_ACCOUNT, IN))


def test_a_transfer_is_written_in_the_order_of_the_accounts_ids() -> None:
    back = replace(TRANSFER, from_account_id=OTHER_ACCOUNT, to_account_id=ACCOUNT)
    there = given(funded(), other()).when(TRANSFER).outcome()
    and_back = given(funded(), other()).when(back).outcome()

    assert [stream for stream, _ in there] == [ACCOUNT, OTHER_ACCOUNT]
    assert [stream for stream, _ in and_back] == [ACCOUNT, OTHER_ACCOUNT]


def test_a_transfer_is_between_two_accounts_that_exist() -> None:
    given(funded()).when(replace(TRANSFER, to_account_id=ACCOUNT)).refused(SameAccount)
    given(funded()).when(TRANSFER).refused(NotFound)
    given(other()).when(TRANSFER).refused(NotFound)


def test_a_transfer_takes_no_more_than_is_available() -> None:
    given(funded(), other()).when(replace(TRANSFER, amount=eur(150_00))).outcome()
    given(funded(), other()).when(replace(TRANSFER, amount=eur(150_01))).refused(InsufficientFunds)


def test_a_transfer_is_of_a_positive_amount_in_the_currency_of_both_accounts() -> None:
    dollars = replace(opened(), currency="USD", overdraft_limit=Money(minor=0, currency="USD"))
    given(funded(), other()).when(replace(TRANSFER, amount=eur(0))).refused(AmountNotPositive)
    given(funded(), on(OTHER_ACCOUNT, dollars, AccountActivated())).when(TRANSFER).refused(
        CurrencyMismatch, expected="USD"
    )
    given(funded(), other()).when(replace(TRANSFER, amount=Money(minor=1, currency="USD"))).refused(
        CurrencyMismatch
    )


def test_neither_account_of_a_transfer_may_be_frozen_closed_or_pending() -> None:
    given(funded(FROZEN), other()).when(TRANSFER).refused(AccountIsRestricted)
    given(funded(), other(FROZEN)).when(TRANSFER).refused(AccountIsRestricted)
    given(funded(), other(CLOSED)).when(TRANSFER).refused(AccountIsClosed)
    given(funded(), on(OTHER_ACCOUNT, opened())).when(TRANSFER).refused(AccountNotOpen)


def test_a_transfer_is_not_booked_before_either_account_was_opened() -> None:
    given(funded(), other()).when(replace(TRANSFER, booking_date=date(2020, 1, 1))).refused(
        BookedBeforeOpening
    )


# --- reversals ------------------------------------------------------------------------------------


def test_a_reversal_posts_the_same_legs_on_the_other_side() -> None:
    deposit = deposited(100_00)
    given(on(ACCOUNT, *OPENED), on(ACCOUNT, deposit, by=MOVEMENT)).when(REVERSE).then(
        on(ACCOUNT, reversed_(deposit, minor=100_00, balance_after=0))
    )


def test_reversing_a_debit_gives_the_money_back() -> None:
    withdrawn = CashWithdrawn(
        movement_id=MOVEMENT,
        amount=eur(40_00),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.TILL_CASH, 40_00, "EUR"),
        balance_after=eur(60_00),
    )
    given(funded(), on(ACCOUNT, withdrawn, by=MOVEMENT)).when(REVERSE).then(
        on(ACCOUNT, reversed_(withdrawn, minor=40_00, balance_after=100_00))
    )


@pytest.mark.parametrize("asked_on", [ACCOUNT, OTHER_ACCOUNT])
def test_reversing_either_leg_of_a_transfer_reverses_both(asked_on: UUID) -> None:
    given(*TRANSFERRED).when(replace(REVERSE, account_id=asked_on)).then(
        on(ACCOUNT, reversed_(OUT, minor=30_00, balance_after=100_00)),
        on(OTHER_ACCOUNT, reversed_(IN, minor=30_00, balance_after=0)),
    )


def test_a_reversal_is_written_in_the_order_of_the_accounts_ids() -> None:
    out, into = TRANSFERRED[2:]
    written = given(funded(), other(), into, out).when(REVERSE).outcome()

    assert [stream for stream, _ in written] == [ACCOUNT, OTHER_ACCOUNT]


def test_a_transfer_is_not_reversed_by_halves() -> None:
    given(*TRANSFERRED, on(OTHER_ACCOUNT, FROZEN)).when(REVERSE).refused(AccountIsRestricted)
    given(*TRANSFERRED, on(ACCOUNT, FROZEN)).when(REVERSE).refused(AccountIsRestricted)


def test_a_movement_is_reversed_once() -> None:
    deposit = deposited(100_00)
    first = reversed_(deposit, minor=100_00, balance_after=0)
    history = (on(ACCOUNT, *OPENED), on(ACCOUNT, deposit, by=MOVEMENT), on(ACCOUNT, first))
    given(*history).when(replace(REVERSE, movement_id=uuid4())).refused(AlreadyReversed)


def test_a_reversal_is_not_reversed() -> None:
    deposit = deposited(100_00)
    first = reversed_(deposit, minor=100_00, balance_after=0)
    history = (
        on(ACCOUNT, *OPENED),
        on(ACCOUNT, deposit, by=MOVEMENT),
        on(ACCOUNT, first, by=CORRECTION),
    )
    given(*history).when(replace(REVERSE, movement_id=uuid4(), original_id=CORRECTION)).refused(
        NotReversible
    )


def test_what_the_command_never_moved_on_that_account_is_not_found() -> None:
    frozen_by_command = on(ACCOUNT, FROZEN, by=MOVEMENT)
    given(funded(), other()).when(REVERSE).refused(NotFound)
    given(funded(), frozen_by_command).when(REVERSE).refused(NotFound)
    given(funded(), other(), on(OTHER_ACCOUNT, IN, by=MOVEMENT)).when(REVERSE).refused(NotFound)
    given().when(replace(REVERSE, account_id=NOBODY_KNOWN)).refused(NotFound)


def test_a_reversal_takes_back_only_what_is_still_available() -> None:
    deposit = deposited(100_00)
    spent = replace(
        OUT,
        movement_id=DEPOSIT,
        amount=eur(51_00),
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.NOSTRO, 51_00, "EUR"),
        balance_after=eur(49_00),
    )
    history = (on(ACCOUNT, *OPENED), on(ACCOUNT, deposit, by=MOVEMENT), on(ACCOUNT, spent))
    given(*history).when(REVERSE).refused(InsufficientFunds)


def test_an_uncollected_credit_is_taken_back_even_from_an_overdrawn_account() -> None:
    late = replace(
        IN,
        kind=MovementKind.PAYMENT,
        value_date=DAY + timedelta(days=9),
        postings=transfer_postings(GL.NOSTRO, GL.CUSTOMER_DEPOSITS, 30_00, "EUR"),
    )
    forced = replace(
        OUT,
        kind=MovementKind.LEGAL,
        movement_id=DEPOSIT,
        amount=eur(90_00),
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.SUSPENSE, 90_00, "EUR"),
        balance_after=eur(-60_00),
        overdrawn=True,
    )
    history = (on(ACCOUNT, *OPENED), on(ACCOUNT, late, by=MOVEMENT), on(ACCOUNT, forced))
    given(*history).when(REVERSE).then(
        on(ACCOUNT, reversed_(late, minor=30_00, balance_after=-90_00))
    )


def test_a_reversed_credit_is_not_collected_any_more() -> None:
    late = replace(IN, value_date=DAY + timedelta(days=9))
    asked = given(on(ACCOUNT, *OPENED), on(ACCOUNT, late, by=MOVEMENT)).when(REVERSE)
    asked.outcome()
    account: Any = asked.history.states[ACCOUNT]

    assert (account.ledger, account.uncollected, account.awaiting) == (0, 0, ())


@pytest.mark.parametrize(
    ("direction", "original"),
    [(Direction.DEBIT, deposited(1_00)), (Direction.CREDIT, replace(OUT, movement_id=MOVEMENT))],
)
def test_a_reversal_moves_nothing_that_a_restriction_forbids(
    direction: Direction, original: CashDeposited | MoneyDebited
) -> None:
    restricted = replace(FROZEN, direction=direction)
    history = (funded(), on(ACCOUNT, original, by=MOVEMENT), on(ACCOUNT, restricted))
    given(*history).when(REVERSE).refused(AccountIsRestricted)


def test_nothing_is_reversed_on_a_closed_account() -> None:
    history = (on(ACCOUNT, *OPENED), on(ACCOUNT, deposited(1), by=MOVEMENT), on(ACCOUNT, CLOSED))
    given(*history).when(REVERSE).refused(AccountIsClosed)


def test_a_reversal_is_not_booked_before_the_account_was_opened() -> None:
    history = (on(ACCOUNT, *OPENED), on(ACCOUNT, deposited(1), by=MOVEMENT))
    given(*history).when(replace(REVERSE, booking_date=date(2020, 1, 1))).refused(
        BookedBeforeOpening
    )


# --- waivers --------------------------------------------------------------------------------------

FEE = FeeCharged(
    movement_id=MOVEMENT,
    fee_code="SMS",
    amount=eur(3_00),
    booking_date=DAY,
    value_date=DAY,
    postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.FEE_INCOME, 3_00, "EUR"),
    balance_after=eur(97_00),
)
WAIVED = FeeWaived(
    movement_id=CORRECTION,
    original_id=MOVEMENT,
    amount=eur(3_00),
    booking_date=DAY,
    value_date=DAY,
    postings=mirrored(FEE.postings),
    balance_after=eur(100_00),
)


def test_waiving_a_fee_gives_it_back() -> None:
    given(funded(), on(ACCOUNT, FEE, by=MOVEMENT)).when(WAIVE).then(on(ACCOUNT, WAIVED))


def test_a_fee_is_given_back_once_whether_waived_or_reversed() -> None:
    waived = (funded(), on(ACCOUNT, FEE, by=MOVEMENT), on(ACCOUNT, WAIVED, by=CORRECTION))
    given(*waived).when(replace(WAIVE, movement_id=uuid4())).refused(AlreadyReversed)
    given(*waived).when(replace(REVERSE, movement_id=uuid4())).refused(AlreadyReversed)


def test_only_a_fee_is_waived() -> None:
    given(on(ACCOUNT, *OPENED), on(ACCOUNT, deposited(1), by=MOVEMENT)).when(WAIVE).refused(
        NotReversible
    )


def test_a_fee_that_was_never_charged_to_that_account_is_not_found() -> None:
    given(funded()).when(WAIVE).refused(NotFound)
    given(funded(), other(), on(OTHER_ACCOUNT, FEE, by=MOVEMENT)).when(WAIVE).refused(NotFound)
    given().when(WAIVE).refused(NotFound)


def test_a_waiver_is_not_itself_undone() -> None:
    waived = (funded(), on(ACCOUNT, FEE, by=MOVEMENT), on(ACCOUNT, WAIVED, by=CORRECTION))
    given(*waived).when(replace(REVERSE, original_id=CORRECTION, movement_id=uuid4())).refused(
        NotReversible
    )
