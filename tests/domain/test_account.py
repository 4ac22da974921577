from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.account import (
    Account,
    AccountActivated,
    AccountBecameDormant,
    AccountClosed,
    AccountDormant,
    AccountEscheated,
    AccountIsClosed,
    AccountIsRestricted,
    AccountNotDormant,
    AccountNotEmpty,
    AccountNotOpen,
    AccountReactivated,
    AccountRestricted,
    AccountRestrictionLifted,
    ActivateAccount,
    AdjustHold,
    BookedBeforeOpening,
    CaptureHold,
    CashDeposited,
    CashWithdrawn,
    ChargeFee,
    CloseAccount,
    CollectFunds,
    CreditAccount,
    DebitAccount,
    DepositCash,
    DirectionNotAllowed,
    EscheatAccount,
    ExpireHold,
    FeeCharged,
    FundsCollected,
    HoldAdjusted,
    HoldCaptured,
    HoldExceeded,
    HoldExists,
    HoldExpired,
    HoldNotExpired,
    HoldNotOpen,
    HoldPlaced,
    HoldReleased,
    InsufficientFunds,
    KindNotAllowed,
    LiftAccountRestriction,
    LimitNegative,
    MarkDormant,
    MoneyCredited,
    MoneyDebited,
    MovementKind,
    NothingToCollect,
    OverdraftLimitSet,
    PlaceHold,
    ReactivateAccount,
    RecentlyActive,
    ReleaseHold,
    RestrictAccount,
    SecondPersonNeeded,
    SetOverdraftLimit,
    Status,
    WithdrawCash,
)
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.personal import Unsealed
from domain.postings import GL, transfer_postings
from domain.refusal import NotFound, Refusal
from domain.restriction import (
    Direction,
    RestrictionExists,
    RestrictionOfCustomer,
    RestrictionUnknown,
)
from tests.examples import (
    ACCOUNT,
    ADA,
    CORRECTION,
    DAY,
    HOLD,
    MOVEMENT,
    NOBODY_KNOWN,
    OPENED,
    OPENING_DAY,
    OTHER_RESTRICTION,
    RESTRICTION,
    deposited,
    eur,
    opened,
    said,
)
from tests.scenario import given

TEN = eur(10_00)
EXPIRY = datetime(2024, 3, 8, 12, tzinfo=UTC)
FROZEN = AccountRestricted(restriction_id=RESTRICTION, direction=Direction.ALL, reason="COURT")
DORMANT = (*OPENED, AccountBecameDormant(on=OPENING_DAY + timedelta(days=400)))
CLOSED = (*OPENED, AccountClosed(reason="END_USER_REQUEST", on=DAY))
HELD = HoldPlaced(hold_id=HOLD, amount=eur(60_00), kind=MovementKind.PAYMENT, expires_at=EXPIRY)


def deposit(amount: Money, booking_date: date = DAY) -> DepositCash:
    return DepositCash(
        account_id=ACCOUNT, movement_id=MOVEMENT, amount=amount, booking_date=booking_date
    )


def withdraw(amount: Money, booking_date: date = DAY) -> WithdrawCash:
    return WithdrawCash(
        account_id=ACCOUNT, movement_id=MOVEMENT, amount=amount, booking_date=booking_date
    )


def credit(
    kind: MovementKind, amount: Money = TEN, value_date: date | None = None
) -> CreditAccount:
    return CreditAccount(
        account_id=ACCOUNT,
        movement_id=MOVEMENT,
        kind=kind,
        amount=amount,
        booking_date=DAY,
        value_date=value_date,
    )


def debit(kind: MovementKind, amount: Money = TEN) -> DebitAccount:
    return DebitAccount(
        account_id=ACCOUNT, movement_id=MOVEMENT, kind=kind, amount=amount, booking_date=DAY
    )


def fee(amount: Money) -> ChargeFee:
    return ChargeFee(
        account_id=ACCOUNT, movement_id=CORRECTION, fee_code="SMS", amount=amount, booking_date=DAY
    )


def hold(amount: Money, hold_id: UUID = HOLD) -> PlaceHold:
    return PlaceHold(
        account_id=ACCOUNT,
        hold_id=hold_id,
        amount=amount,
        kind=MovementKind.PAYMENT,
        expires_at=EXPIRY,
        reference=Unsealed(clear="hotel"),
    )


def capture(amount: Money, *, final: bool = True) -> CaptureHold:
    return CaptureHold(
        account_id=ACCOUNT,
        hold_id=HOLD,
        movement_id=CORRECTION,
        amount=amount,
        booking_date=DAY,
        final=final,
    )


def adjust(minor: int) -> AdjustHold:
    return AdjustHold(account_id=ACCOUNT, hold_id=HOLD, delta=eur(minor))


def debited(kind: MovementKind, against: GL, minor: int, balance_after: int) -> MoneyDebited:
    return MoneyDebited(
        movement_id=MOVEMENT,
        kind=kind,
        amount=eur(minor),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, against, minor, "EUR"),
        balance_after=eur(balance_after),
    )


def credited(minor: int, value_date: date = DAY) -> MoneyCredited:
    return MoneyCredited(
        movement_id=MOVEMENT,
        kind=MovementKind.PAYMENT,
        amount=eur(minor),
        booking_date=DAY,
        value_date=value_date,
        postings=transfer_postings(GL.NOSTRO, GL.CUSTOMER_DEPOSITS, minor, "EUR"),
        balance_after=eur(minor),
    )


# --- opening --------------------------------------------------------------------------------------


def test_an_account_is_activated_once() -> None:
    given(Account, opened()).when(ActivateAccount(account_id=ACCOUNT)).then(AccountActivated())
    given(Account, *OPENED).when(ActivateAccount(account_id=ACCOUNT)).refused(AccountNotOpen)


def test_nothing_moves_before_activation() -> None:
    given(Account, opened()).when(deposit(eur(1))).refused(AccountNotOpen, status=Status.PENDING)


@pytest.mark.parametrize(
    "command",
    [deposit(eur(1)), MarkDormant(account_id=ACCOUNT, on=DAY), hold(eur(1))],
    ids=lambda command: type(command).__name__,
)
def test_an_account_that_was_never_opened_is_not_found(command: Any) -> None:
    given(Account).when(command).refused(NotFound)


# --- cash -----------------------------------------------------------------------------------------


def test_depositing_cash() -> None:
    given(Account, *OPENED).when(deposit(eur(100_00))).then(deposited(100_00))


def test_withdrawing_down_to_the_overdraft_limit() -> None:
    given(Account, *OPENED, deposited(100_00)).when(withdraw(eur(150_00))).then(
        CashWithdrawn(
            movement_id=MOVEMENT,
            amount=eur(150_00),
            booking_date=DAY,
            value_date=DAY,
            postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.TILL_CASH, 150_00, "EUR"),
            balance_after=eur(-50_00),
        )
    )


def test_withdrawing_past_the_overdraft_limit_is_refused() -> None:
    given(Account, *OPENED, deposited(100_00)).when(withdraw(eur(150_01))).refused(
        InsufficientFunds, available={"minor": 150_00, "currency": "EUR"}
    )


@pytest.mark.parametrize("minor", [0, -1])
def test_an_amount_is_more_than_zero(minor: int) -> None:
    given(Account, *OPENED).when(deposit(eur(minor))).refused(AmountNotPositive)
    given(Account, *OPENED).when(withdraw(eur(minor))).refused(AmountNotPositive)


def test_an_amount_is_in_the_currency_of_the_account() -> None:
    dollars = Money(minor=1, currency="USD")
    given(Account, *OPENED).when(deposit(dollars)).refused(
        CurrencyMismatch, expected="EUR", given="USD"
    )


def test_nothing_is_booked_before_the_account_was_opened() -> None:
    eve = OPENING_DAY - timedelta(days=1)
    given(Account, *OPENED).when(deposit(eur(1), eve)).refused(BookedBeforeOpening)
    given(Account, *OPENED).when(withdraw(eur(1), eve)).refused(BookedBeforeOpening)
    given(Account, *OPENED).when(deposit(eur(1), OPENING_DAY)).outcome()


# --- credits and debits ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "against"),
    [
        (MovementKind.PAYMENT, GL.NOSTRO),
        (MovementKind.CARD, GL.CARD_SETTLEMENT),
        (MovementKind.LOAN, GL.LOAN_PRINCIPAL),
        (MovementKind.ACH_RETURN, GL.ACH_RETURNS),
        (MovementKind.CHARGEBACK, GL.DISPUTE_RECEIVABLE),
        (MovementKind.LEGAL, GL.SUSPENSE),
    ],
)
def test_a_credit_is_posted_against_what_it_comes_from(kind: MovementKind, against: GL) -> None:
    given(Account, *OPENED).when(credit(kind)).then(
        replace(
            credited(10_00),
            kind=kind,
            postings=transfer_postings(against, GL.CUSTOMER_DEPOSITS, 10_00, "EUR"),
        )
    )


def test_interest_is_accrued_and_capitalized_at_once() -> None:
    given(Account, *OPENED).when(credit(MovementKind.INTEREST)).then(
        replace(
            credited(10_00),
            kind=MovementKind.INTEREST,
            postings=(
                *transfer_postings(GL.INTEREST_EXPENSE, GL.INTEREST_PAYABLE, 10_00, "EUR"),
                *transfer_postings(GL.INTEREST_PAYABLE, GL.CUSTOMER_DEPOSITS, 10_00, "EUR"),
            ),
        )
    )


@pytest.mark.parametrize(
    ("kind", "against"),
    [
        (MovementKind.PAYMENT, GL.NOSTRO),
        (MovementKind.CARD, GL.CARD_SETTLEMENT),
        (MovementKind.OVERDRAFT_INTEREST, GL.LOAN_INTEREST_INCOME),
        (MovementKind.TAX, GL.TAX_WITHHELD),
        (MovementKind.LOAN, GL.LOAN_PRINCIPAL),
        (MovementKind.FORCE_POST, GL.CARD_SETTLEMENT),
        (MovementKind.ACH_RETURN, GL.ACH_RETURNS),
        (MovementKind.CHARGEBACK, GL.DISPUTE_RECEIVABLE),
        (MovementKind.LEGAL, GL.SUSPENSE),
    ],
)
def test_a_debit_is_posted_against_where_it_goes(kind: MovementKind, against: GL) -> None:
    given(Account, *OPENED, deposited(100_00)).when(debit(kind)).then(
        debited(kind, against, 10_00, 90_00)
    )


@pytest.mark.parametrize(
    "kind",
    [
        MovementKind.CASH,
        MovementKind.TRANSFER,
        MovementKind.FEE,
        MovementKind.REVERSAL,
        MovementKind.ESCHEAT,
        MovementKind.TAX,
        MovementKind.OVERDRAFT_INTEREST,
        MovementKind.FORCE_POST,
    ],
)
def test_a_kind_that_is_no_credit_is_refused(kind: MovementKind) -> None:
    given(Account, *OPENED).when(credit(kind)).refused(KindNotAllowed)


@pytest.mark.parametrize(
    "kind",
    [
        MovementKind.CASH,
        MovementKind.TRANSFER,
        MovementKind.FEE,
        MovementKind.REVERSAL,
        MovementKind.ESCHEAT,
        MovementKind.INTEREST,
    ],
)
def test_a_kind_that_is_no_debit_is_refused(kind: MovementKind) -> None:
    given(Account, *OPENED, deposited(100_00)).when(debit(kind)).refused(KindNotAllowed)


@pytest.mark.parametrize("kind", ["PAYMENT", "CARD", "OVERDRAFT_INTEREST", "TAX", "LOAN"])
def test_an_ordinary_debit_takes_no_more_than_is_available(kind: str) -> None:
    given(Account, *OPENED).when(debit(MovementKind(kind), eur(50_01))).refused(InsufficientFunds)


@pytest.mark.parametrize("kind", ["FORCE_POST", "ACH_RETURN", "CHARGEBACK", "LEGAL"])
def test_a_forced_debit_is_posted_whatever_is_available_and_flagged(kind: str) -> None:
    ((_, [event]),) = (
        given(Account, *OPENED, FROZEN).when(debit(MovementKind(kind), eur(50_01))).outcome()
    )

    assert event.overdrawn
    assert event.balance_after == eur(-50_01)


def test_a_forced_debit_within_what_is_available_is_not_flagged() -> None:
    ((_, [event]),) = given(Account, *OPENED).when(debit(MovementKind.LEGAL, eur(50_00))).outcome()

    assert not event.overdrawn


def test_a_forced_debit_still_needs_a_positive_amount_a_date_and_a_living_account() -> None:
    forced = debit(MovementKind.LEGAL)
    given(Account, *OPENED).when(replace(forced, amount=eur(0))).refused(AmountNotPositive)
    given(Account, *OPENED).when(replace(forced, booking_date=date(2020, 1, 1))).refused(
        BookedBeforeOpening
    )
    given(Account, *CLOSED).when(forced).refused(AccountIsClosed)


# --- uncollected funds ----------------------------------------------------------------------------


def test_a_credit_of_a_later_value_date_is_on_the_ledger_but_not_available() -> None:
    account = (
        given(Account, opened(overdraft=0), AccountActivated())
        .when(credit(MovementKind.PAYMENT, value_date=DAY + timedelta(days=2)))
        .leaves(Account)
    )

    assert (account.ledger, account.uncollected, account.available) == (10_00, 10_00, 0)


@pytest.mark.parametrize("value_date", [None, DAY, DAY - timedelta(days=2)])
def test_a_credit_of_that_day_or_an_earlier_value_date_is_available_at_once(
    value_date: date | None,
) -> None:
    account = (
        given(Account, opened(overdraft=0), AccountActivated())
        .when(credit(MovementKind.PAYMENT, value_date=value_date))
        .leaves(Account)
    )

    assert account.available == 10_00


def test_funds_are_collected_on_their_value_date() -> None:
    late = credited(10_00, value_date=DAY + timedelta(days=2))
    later = replace(
        credited(5_00, value_date=DAY + timedelta(days=9)),
        movement_id=CORRECTION,
        balance_after=eur(15_00),
    )
    on = DAY + timedelta(days=2)
    asked = given(Account, *OPENED, late, later).when(CollectFunds(account_id=ACCOUNT, on=on))

    asked.then(FundsCollected(amount=eur(10_00), movement_ids=(MOVEMENT,), on=on))


def test_there_is_nothing_to_collect_before_the_value_date() -> None:
    late = credited(10_00, value_date=DAY + timedelta(days=2))
    day_before = CollectFunds(account_id=ACCOUNT, on=DAY + timedelta(days=1))
    given(Account, *OPENED, late).when(day_before).refused(NothingToCollect)


# --- holds ----------------------------------------------------------------------------------------


def test_placing_a_hold_keeps_the_ledger_and_lowers_what_is_available() -> None:
    asked = given(Account, *OPENED, deposited(100_00)).when(hold(eur(60_00)))
    account = asked.leaves(Account)

    assert (account.ledger, account.held, account.available) == (100_00, 60_00, 90_00)


def test_a_hold_is_recorded_as_it_was_asked_for() -> None:
    given(Account, *OPENED, deposited(100_00)).when(hold(eur(60_00))).then(
        replace(HELD, reference=said("hotel"))
    )


def test_a_hold_is_for_no_more_than_is_available() -> None:
    given(Account, *OPENED).when(hold(eur(50_01))).refused(InsufficientFunds)
    given(Account, *OPENED).when(hold(eur(50_00))).outcome()


def test_a_hold_of_an_open_id_is_refused() -> None:
    given(Account, *OPENED, deposited(100_00), HELD).when(hold(eur(1))).refused(HoldExists)


@pytest.mark.parametrize("kind", ["TRANSFER", "FEE", "LEGAL", "INTEREST"])
def test_money_is_held_for_cash_payments_and_cards_only(kind: str) -> None:
    given(Account, *OPENED).when(replace(hold(eur(1)), kind=MovementKind(kind))).refused(
        KindNotAllowed
    )


def test_a_hold_is_raised_within_what_is_available() -> None:
    history = (*OPENED, deposited(20_00), HELD)
    given(Account, *history).when(adjust(10_00)).then(
        HoldAdjusted(hold_id=HOLD, delta=eur(10_00), new_amount=eur(70_00))
    )
    given(Account, *history).when(adjust(10_01)).refused(InsufficientFunds)


def test_a_hold_is_lowered_but_not_to_nothing() -> None:
    history = (*OPENED, deposited(20_00), HELD)
    given(Account, *history).when(adjust(-59_99)).then(
        HoldAdjusted(hold_id=HOLD, delta=eur(-59_99), new_amount=eur(1))
    )
    given(Account, *history).when(adjust(-60_00)).refused(HoldExceeded)
    given(Account, *history).when(adjust(0)).refused(AmountNotPositive)


def test_a_hold_on_a_frozen_account_is_lowered_but_not_raised() -> None:
    history = (*OPENED, deposited(100_00), HELD, FROZEN)
    given(Account, *history).when(adjust(1)).refused(AccountIsRestricted)
    given(Account, *history).when(adjust(-1)).outcome()


def captured(minor: int, *, released: int, remaining: int) -> HoldCaptured:
    return HoldCaptured(
        hold_id=HOLD,
        movement_id=CORRECTION,
        kind=MovementKind.PAYMENT,
        captured=eur(minor),
        released=eur(released),
        remaining=eur(remaining),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.NOSTRO, minor, "EUR"),
        balance_after=eur(100_00 - minor),
    )


A_CARDS = HoldPlaced(hold_id=HOLD, amount=eur(60_00), kind=MovementKind.CARD, expires_at=EXPIRY)


@pytest.mark.parametrize(
    "command",
    [
        adjust(-1),
        capture(TEN),
        ReleaseHold(account_id=ACCOUNT, hold_id=HOLD, reason="asked for"),
        ExpireHold(account_id=ACCOUNT, hold_id=HOLD, at=EXPIRY),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_a_card_holds_goes_with_its_authorization_alone(command: Any) -> None:
    given(Account, *OPENED, deposited(100_00), A_CARDS).when(command).refused(KindNotAllowed)


def test_nobody_holds_money_for_a_card_but_by_authorizing_it() -> None:
    by_hand = replace(hold(TEN), kind=MovementKind.CARD)
    given(Account, *OPENED, deposited(100_00)).when(by_hand).refused(KindNotAllowed)


def test_a_final_capture_frees_the_rest() -> None:
    given(Account, *OPENED, deposited(100_00), HELD).when(capture(eur(40_00))).then(
        captured(40_00, released=20_00, remaining=0)
    )


def test_a_capture_that_is_not_final_keeps_the_rest() -> None:
    given(Account, *OPENED, deposited(100_00), HELD).when(capture(eur(40_00), final=False)).then(
        captured(40_00, released=0, remaining=20_00)
    )


def test_what_remains_of_a_hold_is_captured_later() -> None:
    part = captured(40_00, released=0, remaining=20_00)
    history = (*OPENED, deposited(100_00), HELD, part)
    given(Account, *history).when(capture(eur(20_01))).refused(HoldExceeded)
    account = given(Account, *history).when(capture(eur(20_00), final=False)).leaves(Account)

    assert (account.ledger, account.held, account.holds) == (40_00, 0, {})


def test_a_hold_is_captured_though_a_forced_debit_has_overdrawn_the_account() -> None:
    forced = debited(MovementKind.LEGAL, GL.SUSPENSE, 200_00, -100_00)
    account = (
        given(Account, *OPENED, deposited(100_00), HELD, forced)
        .when(capture(eur(60_00)))
        .leaves(Account)
    )

    assert account.ledger == -160_00


def test_a_capture_is_refused_on_a_frozen_account() -> None:
    given(Account, *OPENED, deposited(100_00), HELD, FROZEN).when(capture(eur(1))).refused(
        AccountIsRestricted
    )


def test_a_capture_is_not_booked_before_the_account_was_opened() -> None:
    early = replace(capture(eur(1)), booking_date=date(2020, 1, 1))
    given(Account, *OPENED, deposited(100_00), HELD).when(early).refused(BookedBeforeOpening)


def test_releasing_a_hold() -> None:
    given(Account, *OPENED, deposited(100_00), HELD).when(
        ReleaseHold(account_id=ACCOUNT, hold_id=HOLD, reason="REVERSED")
    ).then(HoldReleased(hold_id=HOLD, amount=eur(60_00), reason="REVERSED"))


def test_a_hold_expires_at_its_time_and_not_before() -> None:
    history = (*OPENED, deposited(100_00), HELD)
    at_expiry = ExpireHold(account_id=ACCOUNT, hold_id=HOLD, at=EXPIRY)
    given(Account, *history).when(at_expiry).then(HoldExpired(hold_id=HOLD, amount=eur(60_00)))
    given(Account, *history).when(
        replace(at_expiry, at=EXPIRY - timedelta(microseconds=1))
    ).refused(HoldNotExpired)


def test_a_hold_without_an_expiry_never_expires() -> None:
    endless = replace(HELD, expires_at=None)
    given(Account, *OPENED, deposited(100_00), endless).when(
        ExpireHold(account_id=ACCOUNT, hold_id=HOLD, at=EXPIRY)
    ).refused(HoldNotExpired)


@pytest.mark.parametrize(
    "command",
    [
        adjust(1),
        capture(eur(1)),
        ReleaseHold(account_id=ACCOUNT, hold_id=HOLD, reason="AGAIN"),
        ExpireHold(account_id=ACCOUNT, hold_id=HOLD, at=EXPIRY),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_resolved_hold_is_inert(command: Any) -> None:
    released = HoldReleased(hold_id=HOLD, amount=eur(60_00), reason="REVERSED")
    given(Account, *OPENED, deposited(100_00), HELD, released).when(command).refused(HoldNotOpen)


# --- limits and restrictions ----------------------------------------------------------------------


def test_an_overdraft_limit_is_zero_or_more_and_in_the_account_s_currency() -> None:
    def limit(money: Money) -> SetOverdraftLimit:
        return SetOverdraftLimit(account_id=ACCOUNT, limit=money)

    given(Account, *OPENED).when(limit(eur(0))).then(OverdraftLimitSet(limit=eur(0)))
    given(Account, *OPENED).when(limit(eur(50_00))).then(OverdraftLimitSet(limit=eur(50_00)))
    given(Account, *OPENED).when(limit(eur(-1))).refused(LimitNegative)
    given(Account, *OPENED).when(limit(Money(minor=1, currency="USD"))).refused(CurrencyMismatch)


def test_nobody_raises_an_overdraft_limit_alone() -> None:
    more = SetOverdraftLimit(account_id=ACCOUNT, limit=eur(50_01))
    given(Account, *OPENED).when(more).refused(SecondPersonNeeded)


def restrict(direction: Direction, amount: Money | None = None) -> RestrictAccount:
    return RestrictAccount(
        account_id=ACCOUNT,
        restriction_id=RESTRICTION,
        direction=direction,
        reason="COURT",
        amount=amount,
    )


def test_restricting_an_account() -> None:
    given(Account, *OPENED).when(restrict(Direction.ALL)).then(FROZEN)
    given(Account, *OPENED, FROZEN).when(restrict(Direction.ALL)).refused(RestrictionExists)


def test_an_account_is_restricted_before_it_is_activated_but_not_after_it_has_ended() -> None:
    given(Account, opened()).when(restrict(Direction.DEBIT)).outcome()
    given(Account, *CLOSED).when(restrict(Direction.DEBIT)).refused(AccountIsClosed)


@pytest.mark.parametrize(
    ("direction", "forbidden", "allowed"),
    [
        (Direction.DEBIT, withdraw(eur(1)), deposit(eur(1))),
        (Direction.CREDIT, deposit(eur(1)), withdraw(eur(1))),
    ],
)
def test_a_restriction_forbids_its_direction_only(
    direction: Direction, forbidden: Any, allowed: Any
) -> None:
    restricted = AccountRestricted(restriction_id=RESTRICTION, direction=direction, reason="COURT")
    history = (*OPENED, restricted)
    given(Account, *history).when(forbidden).refused(AccountIsRestricted, direction=direction)
    given(Account, *history).when(allowed).outcome()


@pytest.mark.parametrize(
    "command",
    [
        deposit(eur(1)),
        withdraw(eur(1)),
        credit(MovementKind.PAYMENT),
        debit(MovementKind.PAYMENT),
        hold(eur(1)),
        fee(eur(1)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_ordinary_moves_on_a_frozen_account(command: Any) -> None:
    given(Account, *OPENED, deposited(100_00), FROZEN).when(command).refused(AccountIsRestricted)


def test_part_of_a_balance_is_blocked_against_debits() -> None:
    blocked = replace(FROZEN, direction=Direction.DEBIT, amount=eur(30_00))
    given(Account, *OPENED).when(restrict(Direction.DEBIT, eur(30_00))).then(blocked)
    given(Account, *OPENED, blocked).when(withdraw(eur(20_01))).refused(InsufficientFunds)
    given(Account, *OPENED, blocked).when(withdraw(eur(20_00))).outcome()


def test_a_blocked_amount_is_positive_in_the_account_s_currency_and_against_debits() -> None:
    given(Account, *OPENED).when(restrict(Direction.DEBIT, eur(0))).refused(AmountNotPositive)
    given(Account, *OPENED).when(restrict(Direction.DEBIT, Money(minor=1, currency="USD"))).refused(
        CurrencyMismatch
    )
    given(Account, *OPENED).when(restrict(Direction.ALL, eur(1))).refused(DirectionNotAllowed)


def test_one_lift_does_not_free_what_another_authority_froze() -> None:
    other = replace(FROZEN, restriction_id=OTHER_RESTRICTION)
    lift = LiftAccountRestriction(account_id=ACCOUNT, restriction_id=RESTRICTION)
    lifted = AccountRestrictionLifted(restriction_id=RESTRICTION)
    given(Account, *OPENED, FROZEN, other).when(lift).then(lifted)
    given(Account, *OPENED, FROZEN, other, lifted).when(deposit(eur(1))).refused(
        AccountIsRestricted
    )
    given(Account, *OPENED, FROZEN, lifted).when(deposit(eur(1))).outcome()


def test_a_restriction_that_is_not_in_force_is_not_lifted() -> None:
    lift = LiftAccountRestriction(account_id=ACCOUNT, restriction_id=RESTRICTION)
    given(Account, *OPENED).when(lift).refused(RestrictionUnknown)


def test_a_customer_s_restriction_is_not_lifted_on_the_account() -> None:
    lift = LiftAccountRestriction(account_id=ACCOUNT, restriction_id=RESTRICTION)
    given(Account, *OPENED, replace(FROZEN, customer_id=ADA)).when(lift).refused(
        RestrictionOfCustomer
    )


# --- fees -----------------------------------------------------------------------------------------


def charged(minor: int, balance_after: int, *, overdrawn: bool = False) -> FeeCharged:
    return FeeCharged(
        movement_id=CORRECTION,
        fee_code="SMS",
        amount=eur(minor),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.FEE_INCOME, minor, "EUR"),
        balance_after=eur(balance_after),
        overdrawn=overdrawn,
    )


def test_charging_a_fee() -> None:
    given(Account, *OPENED, deposited(10_00)).when(fee(eur(3_00))).then(charged(3_00, 7_00))


def test_a_fee_does_not_overdraw_an_account_unless_its_product_says_so() -> None:
    forced = (opened(fees_may_overdraw=True), AccountActivated())
    given(Account, *OPENED).when(fee(eur(50_01))).refused(InsufficientFunds)
    given(Account, *forced).when(fee(eur(50_01))).then(charged(50_01, -50_01, overdrawn=True))


def test_a_fee_needs_a_living_account_a_positive_amount_and_a_date_after_opening() -> None:
    given(Account, *CLOSED).when(fee(eur(1))).refused(AccountIsClosed)
    given(Account, *OPENED).when(fee(eur(0))).refused(AmountNotPositive)
    given(Account, *OPENED).when(replace(fee(eur(1)), booking_date=date(2020, 1, 1))).refused(
        BookedBeforeOpening
    )


# --- dormancy -------------------------------------------------------------------------------------


def test_an_account_becomes_dormant_after_a_year_without_the_customer() -> None:
    active = (*OPENED, deposited(1_00))
    year_later = DAY + timedelta(days=365)
    given(Account, *active).when(MarkDormant(account_id=ACCOUNT, on=year_later)).then(
        AccountBecameDormant(on=year_later)
    )
    given(Account, *active).when(
        MarkDormant(account_id=ACCOUNT, on=year_later - timedelta(days=1))
    ).refused(RecentlyActive)


def test_fees_and_interest_are_not_the_customer_s_activity() -> None:
    interest = replace(
        credited(10_00),
        kind=MovementKind.INTEREST,
        booking_date=DAY,
    )
    a_year_after_opening = OPENING_DAY + timedelta(days=365)
    given(Account, *OPENED, interest, charged(1_00, 9_00)).when(
        MarkDormant(account_id=ACCOUNT, on=a_year_after_opening)
    ).outcome()


def test_a_dormant_account_takes_money_in_but_gives_none_out() -> None:
    given(Account, *DORMANT).when(deposit(eur(1))).outcome()
    given(Account, *DORMANT).when(withdraw(eur(1))).refused(AccountDormant)
    given(Account, *DORMANT).when(hold(eur(1))).refused(AccountDormant)


def test_a_dormant_account_is_reactivated() -> None:
    reactivate = ReactivateAccount(account_id=ACCOUNT, on=DAY)
    given(Account, *DORMANT).when(reactivate).then(AccountReactivated(on=DAY))
    given(Account, *OPENED).when(reactivate).refused(AccountNotDormant)


def test_a_reactivated_account_is_not_dormant_again_at_once() -> None:
    reactivated = AccountReactivated(on=date(2025, 6, 1))
    given(Account, *DORMANT, reactivated).when(
        MarkDormant(account_id=ACCOUNT, on=date(2025, 6, 2))
    ).refused(RecentlyActive)


ESCHEAT = EscheatAccount(
    account_id=ACCOUNT, movement_id=CORRECTION, authority="Treasury", booking_date=DAY
)
ABANDONED = (
    *OPENED,
    deposited(7_00),
    AccountBecameDormant(on=DAY + timedelta(days=365)),
)


def test_the_state_takes_all_that_is_left_on_a_dormant_account() -> None:
    given(Account, *ABANDONED).when(ESCHEAT).then(
        AccountEscheated(
            movement_id=CORRECTION,
            authority="Treasury",
            amount=eur(7_00),
            booking_date=DAY,
            value_date=DAY,
            postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.ESCHEAT, 7_00, "EUR"),
            balance_after=eur(0),
        )
    )


def test_the_state_takes_nothing_from_an_account_in_use_empty_held_or_blocked() -> None:
    dormant = ABANDONED[-1]
    blocked = replace(FROZEN, direction=Direction.DEBIT, amount=eur(1))
    given(Account, *OPENED, deposited(7_00)).when(ESCHEAT).refused(AccountNotDormant)
    given(Account, *DORMANT).when(ESCHEAT).refused(AmountNotPositive)
    given(Account, *OPENED, deposited(100_00), HELD, dormant).when(ESCHEAT).refused(AccountNotEmpty)
    given(Account, *ABANDONED, FROZEN).when(ESCHEAT).refused(AccountIsRestricted)
    given(Account, *ABANDONED, blocked).when(ESCHEAT).refused(AccountIsRestricted)


# --- closing --------------------------------------------------------------------------------------

CLOSE = CloseAccount(account_id=ACCOUNT, reason="END_USER_REQUEST", on=DAY)


@pytest.mark.parametrize("history", [(opened(),), OPENED, DORMANT])
def test_an_empty_account_is_closed(history: tuple[Any, ...]) -> None:
    given(Account, *history).when(CLOSE).then(AccountClosed(reason="END_USER_REQUEST", on=DAY))


@pytest.mark.parametrize(
    "left",
    [
        (deposited(1),),
        (debited(MovementKind.PAYMENT, GL.NOSTRO, 1, -1),),
        (HELD,),
        (
            credited(1, value_date=DAY + timedelta(days=1)),
            replace(debited(MovementKind.PAYMENT, GL.NOSTRO, 1, 0), movement_id=uuid4()),
        ),
    ],
    ids=["money", "debt", "a hold", "uncollected funds"],
)
def test_an_account_with_anything_on_it_is_not_closed(left: tuple[Any, ...]) -> None:
    given(Account, *OPENED, *left).when(CLOSE).refused(AccountNotEmpty)


def test_an_account_is_not_closed_before_it_was_opened() -> None:
    given(Account, *OPENED).when(replace(CLOSE, on=date(2020, 1, 1))).refused(BookedBeforeOpening)


@pytest.mark.parametrize(
    "command",
    [
        deposit(eur(1)),
        withdraw(eur(1)),
        credit(MovementKind.PAYMENT),
        debit(MovementKind.LEGAL),
        hold(eur(1)),
        fee(eur(1)),
        SetOverdraftLimit(account_id=ACCOUNT, limit=eur(0)),
        ActivateAccount(account_id=ACCOUNT),
        MarkDormant(account_id=ACCOUNT, on=date(2030, 1, 1)),
        CLOSE,
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_closed_account_is_closed_for_everything(command: Any) -> None:
    given(Account, *CLOSED).when(command).refused(AccountIsClosed)


def test_an_escheated_account_is_closed_too() -> None:
    ((_, escheated),) = given(Account, *ABANDONED).when(ESCHEAT).outcome()
    given(Account, *ABANDONED, *escheated).when(deposit(eur(1))).refused(AccountIsClosed)


# --- what the state keeps -------------------------------------------------------------------------


def test_the_state_of_an_old_account_is_no_larger_than_that_of_a_new_one() -> None:
    def day_of_use(n: int) -> list[Any]:
        placed = replace(HELD, hold_id=UUID(int=n), amount=eur(1))
        released = HoldReleased(hold_id=UUID(int=n), amount=eur(1), reason="REVERSED")
        return [replace(deposited(1), movement_id=UUID(int=n)), placed, released]

    old = Account().after([*OPENED, *(event for n in range(1, 200) for event in day_of_use(n))])
    new = Account().after([*OPENED, deposited(1_99)])

    assert old == new


@pytest.mark.parametrize("refusal", [NotFound, InsufficientFunds])
def test_a_refusal_reads_as_its_message(refusal: type[Refusal]) -> None:
    assert str(refusal(account_id=str(NOBODY_KNOWN))) == refusal.message


def test_every_deposit_is_an_event_of_its_own() -> None:
    ((_, [event]),) = given(Account, *OPENED, deposited(5_00)).when(deposit(eur(5_00))).outcome()

    assert isinstance(event, CashDeposited)
    assert event.balance_after == eur(10_00)
