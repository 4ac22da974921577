"""What becomes of an authorization, message by message, whatever has become of card and account."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from domain.account import (
    AccountBecameDormant,
    AccountClosed,
    AccountNotEmpty,
    AccountReactivated,
    AccountRestricted,
    BookedBeforeOpening,
    CashWithdrawn,
    CloseAccount,
    HoldAdjusted,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    MoneyCredited,
    MoneyDebited,
    MovementKind,
    NotReversible,
)
from domain.authorizing import (
    CHALLENGE_LASTS,
    AlreadyLabelled,
    AmountNegative,
    AuthorizationNotExpired,
    AuthorizationUnknown,
    MerchantMalformed,
    NoChallengeOpen,
    OverReversalAttempted,
    Proof,
    ReversalUnmatched,
    TimeMalformed,
    alert_of,
)
from domain.card import (
    CardActivated,
    CardBlocked,
    CardClosed,
    CardEndReason,
    CardExpired,
    CardFrozen,
    CardReplaced,
    CardType,
    CardUnfrozen,
    Only,
    PinBlocked,
    PinSet,
    PinTryFailed,
    PinVerified,
    SpendWindow,
)
from domain.customer import CustomerRestricted
from domain.money import MINOR_MAX, AmountNotPositive, CurrencyMismatch, Money
from domain.postings import GL, transfer_postings
from domain.refusal import NotFound
from domain.restriction import Direction
from domain.risk.alert import (
    AlertClosed,
    AlertStatus,
    ConfirmAlert,
    DismissAlert,
    RiskAlertRaised,
)
from domain.risk.assessment import AlertSeverity, RiskDecision
from domain.spending import (
    ENDED_KEPT,
    AuthorizationKind,
    AuthorizationStatus,
    CardAuthorizationAdvised,
    CardAuthorizationApproved,
    CardAuthorizationDeclined,
    CardAuthorizationExpired,
    CardAuthorizationIncremented,
    CardAuthorizationReversed,
    CardForcePosted,
    CardMovementSuspended,
    CardRefundCleared,
    CardTransactionCleared,
    DeclineReason,
    FraudLabelRecorded,
)
from domain.transfer import ReverseMovement
from tests.cards import (
    BAKER,
    BOOKED,
    CASH_MACHINE,
    GROCER,
    HOTEL,
    NOON,
    OTHER_CARD,
    RISK_BY_AMOUNT,
    CardBank,
    cards_of_ada,
    issued,
)
from tests.examples import (
    ACCOUNT,
    ADA,
    CARD,
    CORRECTION,
    DAY,
    NEW_CARD,
    NOBODY_KNOWN,
    RESTRICTION,
    eur,
)

PREAUTHORIZATION = AuthorizationKind.PREAUTHORIZATION
FINANCIAL = AuthorizationKind.FINANCIAL
WEEK = timedelta(days=7)
MONTH = timedelta(days=31)

FROZEN_BY_COURT = AccountRestricted(
    restriction_id=RESTRICTION, direction=Direction.ALL, reason="COURT"
)
CUSTOMER_RESTRICTED = CustomerRestricted(
    restriction_id=RESTRICTION, direction=Direction.DEBIT, reason_code="COURT", legal_basis="ORDER"
)
RESTRICTED_WITH_CUSTOMER = AccountRestricted(
    restriction_id=RESTRICTION, direction=Direction.DEBIT, reason="COURT", customer_id=ADA
)
DORMANT = AccountBecameDormant(on=DAY + timedelta(days=400))
CLOSED = AccountClosed(reason="END_USER_REQUEST", on=BOOKED)


def emptied(minor: int) -> CashWithdrawn:
    return CashWithdrawn(
        movement_id=NOBODY_KNOWN,
        amount=eur(minor),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.TILL_CASH, minor, "EUR"),
        balance_after=eur(0),
    )


def closed_account() -> CardBank:
    """The card has been used before, and everything on the account has come to its end."""
    bank = cards_of_ada(funds=100_00)
    bank.happened(ACCOUNT, emptied(100_00), CLOSED)
    return bank


def status(bank: CardBank, authorization_id: UUID) -> AuthorizationStatus:
    return bank.authorization(authorization_id).status


# --- authorization --------------------------------------------------------------------------------


def test_an_authorization_holds_the_money_and_moves_none() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    placed = asked.the(HoldPlaced)
    assert (placed.hold_id, placed.amount, placed.kind) == (asked.id, eur(40_00), MovementKind.CARD)
    assert bank.money == (100_00, 40_00, 60_00)
    assert bank.general_ledger == {GL.TILL_CASH: 100_00, GL.CUSTOMER_DEPOSITS: -100_00}


def test_an_approval_has_a_code_of_six_digits() -> None:
    code = cards_of_ada().authorize(1).the(CardAuthorizationApproved).code
    assert len(code) == 6
    assert code.isdecimal()


def test_all_that_is_available_may_be_authorized_and_no_cent_more() -> None:
    bank = cards_of_ada(funds=100_00, overdraft=50_00)
    assert bank.authorize(150_01).reasons == (DeclineReason.INSUFFICIENT_FUNDS,)
    assert bank.authorize(150_00).approved == 150_00
    assert bank.money == (100_00, 150_00, 0)


@pytest.mark.parametrize(
    ("kind", "held_for"), [(AuthorizationKind.PURCHASE, WEEK), (PREAUTHORIZATION, MONTH)]
)
def test_how_long_it_is_held_goes_by_its_kind(kind: AuthorizationKind, held_for: timedelta) -> None:
    asked = cards_of_ada().authorize(1_00, kind=kind)
    assert asked.the(CardAuthorizationApproved).expires_at == NOON + held_for
    assert asked.the(HoldPlaced).expires_at == NOON + held_for


def test_part_of_it_is_approved_where_that_is_allowed() -> None:
    bank = cards_of_ada(funds=30_00)
    asked = bank.authorize(40_00, partial_allowed=True)
    assert (asked.approved, asked.the(CardAuthorizationApproved).partial) == (30_00, True)
    assert bank.money == (30_00, 30_00, 0)


def test_part_of_it_is_more_than_nothing() -> None:
    asked = cards_of_ada(funds=0).authorize(40_00, partial_allowed=True)
    assert asked.reasons == (DeclineReason.INSUFFICIENT_FUNDS,)


def test_all_of_it_is_approved_though_part_would_do() -> None:
    asked = cards_of_ada(funds=40_00).authorize(40_00, partial_allowed=True)
    assert (asked.approved, asked.the(CardAuthorizationApproved).partial) == (40_00, False)


def test_whether_a_card_is_good_holds_nothing() -> None:
    bank = cards_of_ada(funds=0)
    asked = bank.authorize(0)
    assert asked.approved == 0
    assert bank.money == (0, 0, 0)
    assert bank.spending.authorization(asked.id) is None


def test_a_card_is_not_good_when_it_is_frozen() -> None:
    bank = cards_of_ada()
    bank.happened(CARD, CardFrozen())
    assert bank.authorize(0).reasons == (DeclineReason.CARD_FROZEN,)


def test_an_authorization_is_not_below_zero() -> None:
    bank = cards_of_ada()
    bank.refused(AmountNegative, bank.authorize, -1)


def test_an_authorization_is_in_the_card_s_currency() -> None:
    bank = cards_of_ada()
    bank.refused(CurrencyMismatch, bank.authorize, 1, amount=Money(minor=1, currency="USD"))


def test_an_unknown_card_is_no_decline() -> None:
    bank = cards_of_ada()
    bank.refused(NotFound, bank.authorize, 1, card_id=NOBODY_KNOWN)


# --- why it is declined ---------------------------------------------------------------------------


DECLINES: dict[str, tuple[tuple[tuple[UUID, Any], ...], DeclineReason]] = {
    "a blocked card": (((CARD, CardBlocked(reason="case 1")),), DeclineReason.CARD_NOT_ACTIVE),
    "a closed card": (
        ((CARD, CardClosed(reason=CardEndReason.LOST, on=DAY)),),
        DeclineReason.CARD_NOT_ACTIVE,
    ),
    "a replaced card": (
        ((CARD, CardReplaced(new_card_id=NEW_CARD, reason=CardEndReason.DAMAGED, on=DAY)),),
        DeclineReason.CARD_NOT_ACTIVE,
    ),
    "a frozen card": (((CARD, CardFrozen()),), DeclineReason.CARD_FROZEN),
    "an expired card": (((CARD, CardExpired(on=DAY)),), DeclineReason.CARD_EXPIRED),
    "a restricted account": (((ACCOUNT, FROZEN_BY_COURT),), DeclineReason.ACCOUNT_RESTRICTED),
    "a dormant account": (((ACCOUNT, DORMANT),), DeclineReason.ACCOUNT_NOT_OPEN),
    "a restricted customer": (
        ((ADA, CUSTOMER_RESTRICTED), (ACCOUNT, RESTRICTED_WITH_CUSTOMER)),
        DeclineReason.CUSTOMER_RESTRICTED,
    ),
}


@pytest.mark.parametrize(("happened", "reason"), DECLINES.values(), ids=DECLINES)
def test_it_is_declined_and_nothing_is_held(
    happened: tuple[tuple[UUID, Any], ...], reason: DeclineReason
) -> None:
    bank = cards_of_ada()
    for stream, event in happened:
        bank.happened(stream, event)
    assert bank.authorize(1_00).reasons == (reason,)
    assert bank.money == (1_000_00, 0, 1_000_00)


def test_a_card_is_good_after_it_was_activated_and_not_before() -> None:
    bank = cards_of_ada()
    bank.happened(NEW_CARD, issued())
    assert bank.authorize(1, card_id=NEW_CARD).reasons == (DeclineReason.CARD_NOT_ACTIVE,)
    bank.happened(NEW_CARD, CardActivated(on=DAY))
    assert bank.authorize(1, card_id=NEW_CARD).approved == 1


def test_a_closed_account_has_no_money_either() -> None:
    assert closed_account().authorize(1_00).reasons == (
        DeclineReason.ACCOUNT_NOT_OPEN,
        DeclineReason.INSUFFICIENT_FUNDS,
    )


def test_what_only_keeps_money_out_lets_it_be_spent() -> None:
    bank = cards_of_ada()
    no_credits = replace(FROZEN_BY_COURT, direction=Direction.CREDIT)
    bank.happened(ACCOUNT, no_credits)
    assert bank.authorize(1_00).approved == 1_00


def test_a_blocked_part_of_the_balance_is_not_there_to_be_spent() -> None:
    bank = cards_of_ada(funds=100_00)
    part = replace(FROZEN_BY_COURT, direction=Direction.DEBIT, amount=eur(60_00))
    bank.happened(ACCOUNT, part)
    assert bank.authorize(40_01).reasons == (DeclineReason.INSUFFICIENT_FUNDS,)
    assert bank.authorize(40_00).approved == 40_00


def test_a_card_is_good_to_the_last_instant_of_its_month() -> None:
    bank = cards_of_ada()
    last = datetime(2027, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    assert bank.authorize(1, occurred_at=last).approved == 1
    after = last + timedelta.resolution
    assert bank.authorize(1, occurred_at=after).reasons == (DeclineReason.CARD_EXPIRED,)


def test_the_month_of_a_card_ends_in_utc() -> None:
    bank = cards_of_ada()
    east = timezone(timedelta(hours=3))
    still_february = datetime(2027, 3, 1, 2, 59, tzinfo=east)
    assert bank.authorize(1, occurred_at=still_february).approved == 1


def test_three_wrong_pins_block_the_pin() -> None:
    bank = cards_of_ada()
    bank.happened(CARD, PinSet(pvv_ref=NOBODY_KNOWN))
    tries = [bank.authorize(1, pin=Proof.INCORRECT) for _ in range(3)]
    after = bank.authorize(1, pin=Proof.CORRECT)
    assert [asked.reasons for asked in (*tries, after)] == [
        (DeclineReason.PIN_INCORRECT,),
        (DeclineReason.PIN_INCORRECT,),
        (DeclineReason.PIN_TRIES_EXCEEDED,),
        (DeclineReason.PIN_TRIES_EXCEEDED,),
    ]
    assert [asked.has(PinTryFailed) for asked in tries] == [True] * 3
    assert tries[-1].has(PinBlocked)


def test_the_right_pin_forgives_the_wrong_ones_though_there_is_no_money() -> None:
    bank = cards_of_ada(funds=0)
    bank.happened(CARD, PinSet(pvv_ref=NOBODY_KNOWN))
    bank.authorize(1, pin=Proof.INCORRECT)
    asked = bank.authorize(1, pin=Proof.CORRECT)
    assert asked.has(PinVerified)
    assert asked.reasons == (DeclineReason.INSUFFICIENT_FUNDS,)


def test_a_wrong_security_code_declines_it() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(1, security_code=Proof.INCORRECT)
    assert asked.reasons == (DeclineReason.SECURITY_CODE_INCORRECT,)
    assert bank.authorize(1, security_code=Proof.CORRECT).approved == 1


def test_what_the_network_sends_twice_is_declined_the_second_time() -> None:
    bank = cards_of_ada()
    bank.authorize(1_00, network_reference="0301120000")
    assert bank.authorize(1_00, network_reference="0301120000").reasons == (
        DeclineReason.DUPLICATE,
    )
    assert bank.authorize(1_00, network_reference="0301120001").approved == 1_00
    assert bank.money == (1_000_00, 2_00, 998_00)


def test_what_is_bought_twice_is_no_duplicate() -> None:
    bank = cards_of_ada()
    assert [bank.authorize(1_00).approved for _ in range(2)] == [1_00, 1_00]


def test_a_duplicate_is_known_when_the_first_one_has_been_cleared() -> None:
    bank = cards_of_ada()
    bank.clear(bank.authorize(1_00, network_reference="1").id, 1_00)
    assert bank.authorize(1_00, network_reference="1").reasons == (DeclineReason.DUPLICATE,)


def test_two_cards_may_have_one_reference() -> None:
    bank = cards_of_ada()
    bank.authorize(1_00, network_reference="1")
    assert bank.authorize(1_00, network_reference="1", card_id=OTHER_CARD).approved == 1_00


def test_what_was_declined_may_be_tried_again_under_the_same_reference() -> None:
    bank = cards_of_ada(funds=1_00)
    bank.authorize(2_00, network_reference="1")
    assert bank.authorize(1_00, network_reference="1").approved == 1_00


def test_all_that_speaks_against_it_is_recorded_in_order_and_risk_last() -> None:
    bank = cards_of_ada(funds=1, card_type=CardType.SINGLE_USE, rules=RISK_BY_AMOUNT)
    bank.authorize(1, network_reference="1")
    bank.control(window=SpendWindow.AUTHORIZATION, amount=eur(10_00))
    bank.control(window=SpendWindow.ALL_TIME, count=1)
    bank.control(window=SpendWindow.ALL_TIME, amount=eur(0), mcc=Only(include=("7011",)))
    bank.control(window=SpendWindow.ALL_TIME, amount=eur(0), country=Only(include=("HR",)))
    bank.happened(CARD, PinSet(pvv_ref=NOBODY_KNOWN), CardFrozen())
    bank.happened(ADA, CUSTOMER_RESTRICTED)
    bank.happened(ACCOUNT, RESTRICTED_WITH_CUSTOMER)
    bank.happened(ACCOUNT, replace(FROZEN_BY_COURT, restriction_id=NOBODY_KNOWN), DORMANT)
    asked = bank.authorize(
        1_000_00,
        merchant=HOTEL,
        network_reference="1",
        pin=Proof.INCORRECT,
        security_code=Proof.INCORRECT,
    )
    assert asked.reasons == (
        DeclineReason.PIN_INCORRECT,
        DeclineReason.SECURITY_CODE_INCORRECT,
        DeclineReason.CARD_FROZEN,
        DeclineReason.DUPLICATE,
        DeclineReason.CUSTOMER_RESTRICTED,
        DeclineReason.ACCOUNT_RESTRICTED,
        DeclineReason.ACCOUNT_NOT_OPEN,
        DeclineReason.SINGLE_USE_REUSED,
        DeclineReason.SPEND_LIMIT,
        DeclineReason.VELOCITY,
        DeclineReason.MCC_BLOCKED,
        DeclineReason.COUNTRY_BLOCKED,
        DeclineReason.INSUFFICIENT_FUNDS,
        DeclineReason.RISK,
    )


def test_a_decline_is_remembered_by_what_the_card_has_done() -> None:
    bank = cards_of_ada(funds=0)
    bank.authorize(1)
    behaviour = bank.spending.line(CARD).behaviour
    assert sum(declined for *_, declined in behaviour.hours) == 1


# --- cards of one use and of one merchant ---------------------------------------------------------


def test_a_single_use_card_is_used_once() -> None:
    bank = cards_of_ada(card_type=CardType.SINGLE_USE)
    first = bank.authorize(1_00)
    bank.reverse(first.id)
    assert bank.authorize(1_00).reasons == (DeclineReason.SINGLE_USE_REUSED,)


def test_a_decline_and_a_look_whether_it_is_good_use_no_card_up() -> None:
    bank = cards_of_ada(funds=10_00, card_type=CardType.SINGLE_USE)
    bank.authorize(11_00)
    bank.authorize(0)
    assert bank.authorize(10_00).approved == 10_00


def test_a_card_is_locked_to_the_first_merchant_that_it_paid() -> None:
    bank = cards_of_ada(card_type=CardType.MERCHANT_LOCKED)
    bank.authorize(0, merchant=HOTEL)
    bank.authorize(1_00, merchant=BAKER)
    assert bank.authorize(1_00).reasons == (DeclineReason.MERCHANT_LOCKED,)
    assert bank.authorize(1_00, merchant=BAKER).approved == 1_00


@pytest.mark.parametrize(
    ("card_type", "reason"),
    [
        (CardType.SINGLE_USE, DeclineReason.SINGLE_USE_REUSED),
        (CardType.MERCHANT_LOCKED, DeclineReason.MERCHANT_LOCKED),
    ],
)
def test_a_card_that_replaces_another_goes_on_where_that_one_stopped(
    card_type: CardType, reason: DeclineReason
) -> None:
    bank = cards_of_ada(card_type=card_type)
    bank.authorize(1_00, merchant=BAKER)
    bank.replace(CARD, NEW_CARD)
    assert bank.authorize(1_00, card_id=NEW_CARD).reasons == (reason,)


# --- increments -----------------------------------------------------------------------------------


def test_an_increment_adds_to_what_is_held() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    more = bank.authorize(10_00, increments=asked.id)
    assert more.the(CardAuthorizationIncremented).amount == eur(50_00)
    assert (more.the(HoldAdjusted).hold_id, more.the(HoldAdjusted).forced) == (asked.id, None)
    assert bank.money == (100_00, 50_00, 50_00)


def test_an_increment_is_for_no_more_than_is_available() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    more = bank.authorize(60_01, increments=asked.id)
    assert more.reasons == (DeclineReason.INSUFFICIENT_FUNDS,)
    assert not more.has(HoldAdjusted)
    assert bank.money == (100_00, 40_00, 60_00)


def test_all_that_speaks_against_an_increment_is_recorded() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.happened(CARD, CardFrozen())
    bank.happened(ACCOUNT, FROZEN_BY_COURT)
    bank.control(window=SpendWindow.DAY, amount=eur(50_00))
    more = bank.authorize(60_01, increments=asked.id)
    assert more.reasons == (
        DeclineReason.CARD_FROZEN,
        DeclineReason.ACCOUNT_RESTRICTED,
        DeclineReason.SPEND_LIMIT,
        DeclineReason.INSUFFICIENT_FUNDS,
    )


def test_an_increment_of_nothing_makes_no_sense() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(1_00)
    bank.refused(AmountNotPositive, bank.authorize, 0, increments=asked.id)


def ended_by(how: str) -> Callable[[CardBank, UUID], Any]:
    return {
        "clearing": lambda bank, asked: bank.clear(asked, 40_00),
        "reversal": lambda bank, asked: bank.reverse(asked),
        "expiry": lambda bank, asked: bank.expire(asked, NOON + WEEK),
    }[how]


ENDS = ("clearing", "reversal", "expiry")


@pytest.mark.parametrize("how", ENDS)
def test_an_increment_of_what_has_ended_is_judged_as_one_of_its_own(how: str) -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    ended_by(how)(bank, asked.id)
    more = bank.authorize(10_00, increments=asked.id)
    assert more.approved == 10_00
    assert bank.authorization(more.id).held == 10_00


def test_an_increment_of_what_should_have_expired_is_judged_as_one_of_its_own() -> None:
    for late, of_its_own in ((timedelta.resolution, False), (timedelta(0), True)):
        bank = cards_of_ada()
        asked = bank.authorize(40_00)
        more = bank.authorize(10_00, increments=asked.id, occurred_at=NOON + WEEK - late)
        assert more.has(CardAuthorizationApproved) is of_its_own


def test_an_increment_of_what_nobody_knows_is_judged_as_one_of_its_own() -> None:
    bank = cards_of_ada(funds=10_00)
    assert bank.authorize(10_00, increments=NOBODY_KNOWN).approved == 10_00


def test_an_increment_of_another_card_s_authorization_is_judged_as_one_of_its_own() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    more = bank.authorize(10_00, increments=asked.id, card_id=OTHER_CARD)
    assert (more.approved, bank.authorization(asked.id).held) == (10_00, 40_00)


def test_an_authorization_is_not_raised_above_its_limit_bit_by_bit() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.AUTHORIZATION, amount=eur(50_00))
    asked = bank.authorize(40_00)
    bank.authorize(10_00, increments=asked.id)
    assert bank.authorize(1, increments=asked.id).reasons == (DeclineReason.SPEND_LIMIT,)


def test_the_limit_of_a_day_is_not_passed_by_increments_on_the_next() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, amount=eur(50_00))
    asked = bank.authorize(40_00)
    tomorrow = NOON + timedelta(days=1)
    assert bank.authorize(10_00, increments=asked.id, occurred_at=tomorrow).has(HoldAdjusted)
    beyond = bank.authorize(1, increments=asked.id, occurred_at=tomorrow)
    assert beyond.reasons == (DeclineReason.SPEND_LIMIT,)
    assert bank.authorize(50_00, occurred_at=tomorrow).approved == 50_00


def test_an_increment_is_no_second_use() -> None:
    bank = cards_of_ada()
    bank.control(window=SpendWindow.DAY, count=1)
    asked = bank.authorize(1_00)
    assert bank.authorize(1_00, increments=asked.id).has(CardAuthorizationIncremented)
    assert bank.authorize(1_00).reasons == (DeclineReason.VELOCITY,)


# --- advice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [25_00, 80_00, 500_00], ids=["less", "more", "not available"])
def test_an_advice_says_what_is_held_whatever_is_available(minor: int) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(50_00)
    advised = bank.advise(minor, asked.id)
    assert advised.the(CardAuthorizationAdvised).amount == eur(minor)
    assert advised.the(HoldAdjusted).forced is True
    assert bank.money == (100_00, minor, 100_00 - minor)


def test_an_advice_of_what_is_held_anyway_changes_nothing_on_the_account() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(50_00)
    assert not bank.advise(50_00, asked.id).has(HoldAdjusted)


def test_an_advice_of_what_was_decided_elsewhere_is_held_though_there_is_nothing() -> None:
    bank = cards_of_ada(funds=0)
    advised = bank.advise(50_00)
    approved = advised.the(CardAuthorizationApproved)
    assert (approved.stand_in, approved.assessment) == (True, None)
    assert advised.the(HoldPlaced).forced is True
    assert bank.money == (0, 50_00, -50_00)


@pytest.mark.parametrize(
    ("cleared", "status"), [(0, AuthorizationStatus.REVERSED), (30_00, AuthorizationStatus.CLEARED)]
)
def test_an_advice_of_nothing_frees_what_is_held(cleared: int, status: AuthorizationStatus) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(50_00)
    if cleared:
        bank.clear(asked.id, cleared, final=False)
    assert bank.advise(0, asked.id).the(HoldReleased).amount == eur(50_00 - cleared)
    assert bank.money == (100_00 - cleared, 0, 100_00 - cleared)
    assert bank.authorization(asked.id).status is status


@pytest.mark.parametrize("how", ENDS)
def test_an_advice_on_what_has_ended_is_taken_for_one_decided_elsewhere(how: str) -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    ended_by(how)(bank, asked.id)
    advised = bank.advise(10_00, asked.id)
    assert advised.the(CardAuthorizationApproved).stand_in
    assert bank.authorization(advised.id).held == 10_00


def test_an_advice_of_cash_drawn_elsewhere_is_debited() -> None:
    bank = cards_of_ada(funds=0)
    advised = bank.advise(50_00, kind=FINANCIAL, merchant=CASH_MACHINE)
    debited = advised.the(MoneyDebited)
    assert (debited.kind, debited.overdrawn) == (MovementKind.FORCE_POST, True)
    assert bank.money == (-50_00, 0, -50_00)


def test_an_advice_for_a_closed_account_holds_nothing() -> None:
    bank = closed_account()
    assert bank.advise(50_00).approved == 0
    assert bank.money == (0, 0, 0)


def test_an_advice_of_cash_drawn_from_a_closed_account_waits_in_suspense() -> None:
    bank = closed_account()
    assert bank.advise(50_00, kind=FINANCIAL).has(CardMovementSuspended)
    assert bank.general_ledger == {GL.SUSPENSE: 50_00, GL.CARD_SETTLEMENT: -50_00}


def test_an_advice_after_part_was_cleared_says_what_is_still_held() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(50_00)
    bank.clear(asked.id, 30_00, final=False)
    bank.advise(10_00, asked.id)
    assert bank.money == (70_00, 10_00, 60_00)
    known = bank.authorization(asked.id)
    assert (known.approved, known.cleared, known.held) == (40_00, 30_00, 10_00)


# --- reversal -------------------------------------------------------------------------------------


def test_a_reversal_releases_all_that_is_held() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    reversed_ = bank.reverse(asked.id)
    assert reversed_.the(HoldReleased).amount == eur(40_00)
    assert bank.money == (100_00, 0, 100_00)
    assert status(bank, asked.id) is AuthorizationStatus.REVERSED


def test_a_reversal_of_part_leaves_the_rest_held() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    reversed_ = bank.reverse(asked.id, 15_00).the(CardAuthorizationReversed)
    assert (reversed_.amount, reversed_.remaining) == (eur(15_00), eur(25_00))
    assert bank.money == (100_00, 25_00, 75_00)
    assert status(bank, asked.id) is AuthorizationStatus.PENDING


def test_no_more_is_reversed_than_is_left() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    bank.reverse(asked.id, 15_00)
    refused = bank.refused(OverReversalAttempted, bank.reverse, asked.id, 25_01)
    assert refused.details == {"left": {"minor": 25_00, "currency": "EUR"}}


@pytest.mark.parametrize("how", ENDS)
def test_what_has_ended_is_not_reversed(how: str) -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    ended_by(how)(bank, asked.id)
    bank.refused(ReversalUnmatched, bank.reverse, asked.id)


def test_what_nobody_knows_is_not_reversed() -> None:
    bank = cards_of_ada()
    bank.refused(ReversalUnmatched, bank.reverse, NOBODY_KNOWN)


def test_what_was_declined_is_not_reversed() -> None:
    bank = cards_of_ada(funds=0)
    asked = bank.authorize(1_00)
    bank.refused(ReversalUnmatched, bank.reverse, asked.id)


def test_another_card_s_authorization_is_not_reversed() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(1_00)
    bank.refused(ReversalUnmatched, bank.reverse, asked.id, card=OTHER_CARD)


def test_a_replaced_card_s_authorization_is_reversed_under_either_card() -> None:
    for card in (CARD, NEW_CARD):
        bank = cards_of_ada()
        asked = bank.authorize(1_00)
        bank.replace(CARD, NEW_CARD)
        assert bank.reverse(asked.id, card=card).has(HoldReleased)


def test_a_reversal_after_part_was_cleared_frees_the_rest_and_leaves_it_cleared() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 15_00, final=False)
    bank.reverse(asked.id)
    assert bank.money == (85_00, 0, 85_00)
    assert status(bank, asked.id) is AuthorizationStatus.CLEARED


def test_a_reversal_is_of_more_than_nothing() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(1_00)
    bank.refused(AmountNotPositive, bank.reverse, asked.id, 0)
    bank.refused(AmountNotPositive, bank.reverse, asked.id, -1)


# --- single messages ------------------------------------------------------------------------------


def test_a_single_message_holds_nothing_and_posts_at_once() -> None:
    bank = cards_of_ada(funds=100_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL, merchant=CASH_MACHINE)
    debited = drawn.the(MoneyDebited)
    assert (debited.movement_id, debited.kind) == (drawn.id, MovementKind.CARD)
    assert bank.money == (60_00, 0, 60_00)
    assert status(bank, drawn.id) is AuthorizationStatus.CLEARED
    assert bank.general_ledger == {
        GL.TILL_CASH: 100_00,
        GL.CUSTOMER_DEPOSITS: -60_00,
        GL.CARD_SETTLEMENT: -40_00,
    }


def test_a_single_message_needs_the_money_to_be_there() -> None:
    bank = cards_of_ada(funds=39_99)
    assert bank.authorize(40_00, kind=FINANCIAL).reasons == (DeclineReason.INSUFFICIENT_FUNDS,)


def test_a_single_message_may_be_approved_in_part() -> None:
    bank = cards_of_ada(funds=39_99)
    assert bank.authorize(40_00, kind=FINANCIAL, partial_allowed=True).approved == 39_99
    assert bank.money == (0, 0, 0)


def test_a_reversed_single_message_is_paid_back() -> None:
    bank = cards_of_ada(funds=100_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL)
    back = bank.reverse(drawn.id)
    assert back.the(MoneyCredited).amount == eur(40_00)
    assert bank.money == (100_00, 0, 100_00)
    assert status(bank, drawn.id) is AuthorizationStatus.REVERSED
    bank.refused(ReversalUnmatched, bank.reverse, drawn.id)


def test_a_cash_machine_that_gave_out_part_reverses_the_rest() -> None:
    bank = cards_of_ada(funds=100_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL)
    assert bank.reverse(drawn.id, 15_00).the(CardAuthorizationReversed).remaining == eur(25_00)
    assert bank.money == (75_00, 0, 75_00)
    bank.refused(OverReversalAttempted, bank.reverse, drawn.id, 25_01)


def test_a_single_message_is_not_paid_back_twice_by_refund_and_reversal() -> None:
    bank = cards_of_ada(funds=100_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL)
    assert bank.refund(drawn.id, 30_00).the(CardRefundCleared).unmatched == eur(0)
    bank.refused(OverReversalAttempted, bank.reverse, drawn.id, 10_01)
    bank.reverse(drawn.id, 10_00)
    assert bank.money == (100_00, 0, 100_00)


def test_a_single_message_of_a_closed_account_is_paid_back_into_suspense() -> None:
    bank = cards_of_ada(funds=40_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL)
    bank.happened(ACCOUNT, CLOSED)
    assert bank.reverse(drawn.id).has(CardMovementSuspended)
    assert bank.general_ledger == {GL.TILL_CASH: 40_00, GL.SUSPENSE: -40_00}


def test_a_single_message_is_not_paid_back_what_came_in_by_force() -> None:
    bank = cards_of_ada(funds=100_00)
    drawn = bank.authorize(40_00, kind=FINANCIAL)
    bank.clear(drawn.id, 5_00)
    bank.refused(OverReversalAttempted, bank.reverse, drawn.id, 40_01)


# --- expiry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "held_for"), [(AuthorizationKind.PURCHASE, WEEK), (PREAUTHORIZATION, MONTH)]
)
def test_what_was_not_cleared_is_released_at_its_time_and_not_before(
    kind: AuthorizationKind, held_for: timedelta
) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00, kind=kind)
    just_before = NOON + held_for - timedelta.resolution
    bank.refused(AuthorizationNotExpired, bank.expire, asked.id, just_before)
    expired = bank.expire(asked.id, NOON + held_for)
    assert expired.the(CardAuthorizationExpired).amount == eur(40_00)
    assert bank.money == (100_00, 0, 100_00)
    assert status(bank, asked.id) is AuthorizationStatus.EXPIRED


def test_what_is_left_after_a_clearing_expires() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 15_00, final=False)
    bank.expire(asked.id, NOON + WEEK)
    assert bank.money == (85_00, 0, 85_00)


@pytest.mark.parametrize("how", ENDS)
def test_what_has_ended_does_not_expire(how: str) -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    ended_by(how)(bank, asked.id)
    bank.refused(AuthorizationUnknown, bank.expire, asked.id, NOON + MONTH)


def test_another_card_s_authorization_does_not_expire_here() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    bank.refused(AuthorizationUnknown, bank.expire, asked.id, NOON + MONTH, OTHER_CARD)


# --- clearing -------------------------------------------------------------------------------------


def test_a_clearing_of_what_is_held_takes_it() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    cleared = bank.clear(asked.id, 40_00)
    captured = cleared.the(HoldCaptured)
    assert (captured.movement_id, captured.captured) == (cleared.id, eur(40_00))
    assert bank.money == (60_00, 0, 60_00)
    assert bank.general_ledger == {
        GL.TILL_CASH: 100_00,
        GL.CUSTOMER_DEPOSITS: -60_00,
        GL.CARD_SETTLEMENT: -40_00,
    }


def test_a_clearing_of_less_frees_the_rest() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 35_00)
    assert bank.money == (65_00, 0, 65_00)


def test_a_clearing_of_more_is_one_movement_though_nothing_is_left() -> None:
    bank = cards_of_ada(funds=40_00)
    asked = bank.authorize(40_00)
    cleared = bank.clear(asked.id, 48_00)
    assert cleared.the(HoldAdjusted).forced is True
    assert cleared.the(HoldCaptured).captured == eur(48_00)
    assert cleared.the(CardTransactionCleared).held == eur(40_00)
    assert bank.money == (-8_00, 0, -8_00)


def test_several_clearings_take_what_is_held_bit_by_bit() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 15_00, final=False)
    assert bank.money == (85_00, 25_00, 60_00)
    bank.clear(asked.id, 10_00, final=False)
    assert bank.money == (75_00, 15_00, 60_00)
    bank.clear(asked.id, 5_00)
    assert bank.money == (70_00, 0, 70_00)
    assert bank.authorization(asked.id).cleared == 30_00


def test_the_second_part_may_be_more_than_is_left() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 30_00, final=False)
    bank.clear(asked.id, 25_00, final=False)
    assert bank.money == (45_00, 0, 45_00)
    assert status(bank, asked.id) is AuthorizationStatus.CLEARED


def test_a_clearing_that_is_not_final_may_be_the_last_all_the_same() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 40_00, final=False)
    assert status(bank, asked.id) is AuthorizationStatus.CLEARED
    assert bank.clear(asked.id, 1_00).has(CardForcePosted)


@pytest.mark.parametrize("how", ENDS)
def test_a_clearing_of_what_has_ended_is_posted_by_force(how: str) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    ended_by(how)(bank, asked.id)
    before = bank.account.ledger
    late = bank.clear(asked.id, 10_00)
    assert late.the(CardForcePosted).authorization_id == asked.id
    assert late.the(MoneyDebited).kind is MovementKind.FORCE_POST
    assert bank.account.ledger == before - 10_00
    assert status(bank, asked.id) is AuthorizationStatus.CLEARED


def test_a_clearing_of_nothing_that_was_asked_for_is_posted_by_force() -> None:
    bank = cards_of_ada(funds=10_00)
    late = bank.clear(None, 25_00)
    assert late.the(CardForcePosted).amount == eur(25_00)
    assert late.the(MoneyDebited).overdrawn is True
    assert bank.money == (-15_00, 0, -15_00)


def test_a_clearing_of_another_card_s_authorization_leaves_that_one_held() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    assert bank.clear(asked.id, 40_00, card_id=OTHER_CARD).has(CardForcePosted)
    assert bank.money == (60_00, 40_00, 20_00)


def test_a_clearing_of_what_another_card_has_ended_is_not_that_one_s() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.reverse(asked.id)
    bank.clear(asked.id, 40_00, card_id=OTHER_CARD)
    assert status(bank, asked.id) is AuthorizationStatus.REVERSED
    assert bank.refund(asked.id, 1_00).the(CardRefundCleared).unmatched == eur(1_00)


OBSTACLES: dict[str, tuple[UUID, Any]] = {
    "a frozen card": (CARD, CardFrozen()),
    "a blocked card": (CARD, CardBlocked(reason="case 1")),
    "an expired card": (CARD, CardExpired(on=DAY)),
    "a closed card": (CARD, CardClosed(reason=CardEndReason.STOLEN, on=DAY)),
    "a restricted account": (ACCOUNT, FROZEN_BY_COURT),
    "a dormant account": (ACCOUNT, DORMANT),
}


@pytest.mark.parametrize(("stream", "event"), OBSTACLES.values(), ids=OBSTACLES)
@pytest.mark.parametrize("authorized", [True, False], ids=["authorized", "unauthorized"])
def test_a_clearing_is_posted_whatever_has_happened(
    stream: UUID, event: Any, authorized: bool
) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00).id if authorized else None
    bank.happened(stream, event)
    bank.clear(asked, 40_00)
    assert bank.money == (60_00, 0, 60_00)


@pytest.mark.parametrize(("stream", "event"), OBSTACLES.values(), ids=OBSTACLES)
def test_a_refund_is_posted_whatever_has_happened(stream: UUID, event: Any) -> None:
    bank = cards_of_ada(funds=100_00)
    bank.happened(stream, event)
    bank.refund(None, 40_00)
    assert bank.money == (140_00, 0, 140_00)


@pytest.mark.parametrize(("stream", "event"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_is_held_is_released_whatever_has_happened(stream: UUID, event: Any) -> None:
    for release in ("reversal", "expiry"):
        bank = cards_of_ada(funds=100_00)
        asked = bank.authorize(40_00)
        bank.happened(stream, event)
        ended_by(release)(bank, asked.id)
        assert bank.money == (100_00, 0, 100_00)


@pytest.mark.parametrize(("stream", "event"), OBSTACLES.values(), ids=OBSTACLES)
def test_an_advice_is_taken_whatever_has_happened(stream: UUID, event: Any) -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.happened(stream, event)
    bank.advise(60_00, asked.id)
    bank.advise(70_00)
    assert bank.money == (100_00, 130_00, -30_00)


def test_a_clearing_for_a_closed_account_waits_in_suspense() -> None:
    bank = closed_account()
    cleared = bank.clear(None, 25_00)
    assert cleared.the(CardMovementSuspended).movement_id == cleared.id
    assert bank.money == (0, 0, 0)
    assert bank.general_ledger == {GL.SUSPENSE: 25_00, GL.CARD_SETTLEMENT: -25_00}


def test_a_clearing_is_booked_on_no_day_before_the_account_was_opened() -> None:
    bank = cards_of_ada()
    bank.refused(BookedBeforeOpening, bank.clear, None, 1_00, booking_date=date(2024, 1, 1))


@pytest.mark.parametrize("minor", [0, -1])
def test_a_clearing_and_a_refund_are_of_more_than_nothing(minor: int) -> None:
    bank = cards_of_ada()
    bank.refused(AmountNotPositive, bank.clear, None, minor)
    bank.refused(AmountNotPositive, bank.refund, None, minor)
    bank.refused(AmountNotPositive, bank.advise, minor)


def test_a_clearing_is_in_the_card_s_currency() -> None:
    bank = cards_of_ada()
    dollars = Money(minor=1_00, currency="USD")
    asked = bank.authorize(1_00)
    bank.refused(CurrencyMismatch, bank.clear, asked.id, 1_00, amount=dollars)
    bank.refused(CurrencyMismatch, bank.refund, asked.id, 1_00, amount=dollars)
    bank.refused(CurrencyMismatch, bank.advise, 1_00, asked.id, amount=dollars)


@pytest.mark.parametrize(
    "wrong", [{"mcc": "541"}, {"mcc": "grocery"}, {"country": "cz"}, {"merchant_id": ""}]
)
def test_a_merchant_has_an_id_a_category_and_a_country(wrong: dict[str, str]) -> None:
    bank, odd = cards_of_ada(), replace(GROCER, **wrong)
    asked = bank.authorize(1_00)
    bank.refused(MerchantMalformed, bank.authorize, 1_00, merchant=odd)
    bank.refused(MerchantMalformed, bank.advise, 1_00, merchant=odd)
    bank.refused(MerchantMalformed, bank.clear, asked.id, 1_00, merchant=odd)
    bank.refused(MerchantMalformed, bank.refund, asked.id, 1_00, merchant=odd)


# --- refunds --------------------------------------------------------------------------------------


def test_a_refund_of_what_was_cleared_is_credited() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 40_00)
    refunded = bank.refund(asked.id, 15_00)
    assert refunded.the(CardRefundCleared).unmatched == eur(0)
    assert refunded.the(MoneyCredited).kind is MovementKind.CARD
    assert bank.money == (75_00, 0, 75_00)


def test_what_is_refunded_beyond_what_was_cleared_is_flagged() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 40_00)
    refunds = [bank.refund(asked.id, 30_00).the(CardRefundCleared) for _ in range(3)]
    assert [refund.unmatched.minor for refund in refunds] == [0, 20_00, 30_00]
    assert bank.authorization(asked.id).refunded == 40_00


def test_a_refund_of_what_nobody_knows_is_credited_and_flagged() -> None:
    for known in (None, NOBODY_KNOWN):
        bank = cards_of_ada(funds=0)
        assert bank.refund(known, 15_00).the(CardRefundCleared).unmatched == eur(15_00)
        assert bank.money == (15_00, 0, 15_00)


def test_a_refund_that_comes_before_its_clearing_takes_nothing_from_later_ones() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    assert bank.refund(asked.id, 40_00).the(CardRefundCleared).unmatched == eur(40_00)
    bank.clear(asked.id, 40_00)
    assert bank.refund(asked.id, 40_00).the(CardRefundCleared).unmatched == eur(0)


def test_a_refund_on_another_card_s_purchase_is_flagged_and_is_not_that_one_s() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 40_00)
    refunded = bank.refund(asked.id, 40_00, card_id=OTHER_CARD)
    assert refunded.the(CardRefundCleared).unmatched == eur(40_00)
    assert bank.authorization(asked.id).refunded == 0


def test_a_refund_finds_what_a_replaced_card_has_paid() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.clear(asked.id, 40_00)
    bank.replace(CARD, NEW_CARD)
    refunded = bank.refund(asked.id, 40_00, card_id=NEW_CARD)
    assert refunded.the(CardRefundCleared).unmatched == eur(0)


def test_a_refund_of_what_was_posted_by_force_is_no_surprise() -> None:
    bank = cards_of_ada(funds=100_00)
    asked = bank.authorize(40_00)
    bank.expire(asked.id, NOON + WEEK)
    bank.clear(asked.id, 40_00)
    assert bank.refund(asked.id, 40_00).the(CardRefundCleared).unmatched == eur(0)


def test_a_refund_for_a_closed_account_waits_in_suspense() -> None:
    bank = closed_account()
    assert bank.refund(None, 15_00).has(CardMovementSuspended)
    assert bank.general_ledger == {GL.SUSPENSE: -15_00, GL.CARD_SETTLEMENT: 15_00}


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [30_00, 40_00, 50_00], ids=["less", "all", "more"])
@pytest.mark.parametrize("other", ["reversal", "expiry"])
def test_whichever_comes_first_the_ledger_is_the_same(minor: int, other: str) -> None:
    ledgers = set()
    for order in permutations(("clearing", other)):
        bank = cards_of_ada(funds=100_00)
        asked = bank.authorize(40_00)
        for step in order:
            try:
                if step == "clearing":
                    bank.clear(asked.id, minor)
                else:
                    ended_by(other)(bank, asked.id)
            except (ReversalUnmatched, AuthorizationUnknown):
                assert order[0] == "clearing"
        ledgers.add((bank.money, tuple(sorted(bank.general_ledger.items()))))
    assert len(ledgers) == 1
    assert ledgers.pop()[0] == (100_00 - minor, 0, 100_00 - minor)


@pytest.mark.parametrize("what", ["clearing", "cash"])
def test_what_a_card_has_paid_is_not_undone_behind_its_back(what: str) -> None:
    bank = cards_of_ada(funds=100_00)
    if what == "cash":
        movement = bank.authorize(40_00, kind=FINANCIAL, merchant=CASH_MACHINE).id
    else:
        movement = bank.clear(bank.authorize(40_00).id, 40_00).id
    undo = ReverseMovement(
        account_id=ACCOUNT,
        movement_id=CORRECTION,
        original_id=movement,
        reason="a mistake",
        booking_date=DAY,
    )
    bank.refused(NotReversible, bank.execute, undo, CORRECTION)


# --- challenges -----------------------------------------------------------------------------------


def challenged(funds: int = 1_000_00, **more: Any) -> tuple[CardBank, UUID]:
    bank = cards_of_ada(funds=funds, rules=RISK_BY_AMOUNT)
    asked = bank.authorize(450_00, **more)
    assert asked.challenged
    return bank, asked.id


def test_nothing_is_held_while_the_customer_is_asked() -> None:
    bank, asked = challenged()
    assert status(bank, asked) is AuthorizationStatus.CHALLENGED
    assert bank.money == (1_000_00, 0, 1_000_00)


def test_a_merchant_who_takes_it_back_ends_the_question() -> None:
    bank, asked = challenged()
    bank.refused(OverReversalAttempted, bank.reverse, asked, 450_01)
    taken_back = bank.reverse(asked)
    assert taken_back.reasons == (DeclineReason.CHALLENGE_FAILED,)
    bank.refused(NoChallengeOpen, bank.complete, asked, passed=True)
    assert bank.money == (1_000_00, 0, 1_000_00)


def test_a_passed_challenge_holds_the_money_for_as_long_as_any_other() -> None:
    bank, asked = challenged()
    passed = bank.complete(asked, passed=True)
    approved = passed.the(CardAuthorizationApproved)
    assert (approved.challenged, approved.attempt.strong_authentication) == (True, True)
    assert passed.the(HoldPlaced).hold_id == asked
    assert approved.expires_at == NOON + WEEK
    assert bank.money == (1_000_00, 450_00, 550_00)


def test_a_failed_challenge_declines_it() -> None:
    bank, asked = challenged()
    assert bank.complete(asked, passed=False).reasons == (DeclineReason.CHALLENGE_FAILED,)
    assert bank.spending.authorization(asked) is None


def test_a_challenge_is_passed_before_its_time_is_over() -> None:
    for late, approved in ((timedelta.resolution, True), (timedelta(0), False)):
        bank, asked = challenged()
        done = bank.complete(asked, passed=True, at=NOON + CHALLENGE_LASTS - late)
        assert done.has(CardAuthorizationApproved) is approved
        assert done.has(CardAuthorizationDeclined) is not approved


def test_a_challenge_that_nobody_answers_expires_as_failed() -> None:
    bank, asked = challenged()
    just_before = NOON + CHALLENGE_LASTS - timedelta.resolution
    bank.refused(AuthorizationNotExpired, bank.expire, asked, just_before)
    expired = bank.expire(asked, NOON + CHALLENGE_LASTS)
    assert expired.reasons == (DeclineReason.CHALLENGE_FAILED,)
    bank.refused(NoChallengeOpen, bank.complete, asked, passed=True)


def test_the_money_may_be_gone_when_the_challenge_is_passed() -> None:
    bank, asked = challenged(funds=450_00)
    bank.authorize(1, card_id=OTHER_CARD)
    assert bank.complete(asked, passed=True).reasons == (DeclineReason.INSUFFICIENT_FUNDS,)


def test_the_card_may_be_frozen_when_the_challenge_is_passed() -> None:
    bank, asked = challenged()
    bank.happened(CARD, CardFrozen())
    assert bank.complete(asked, passed=True).reasons == (DeclineReason.CARD_FROZEN,)


def test_the_limit_may_be_reached_when_the_challenge_is_passed() -> None:
    bank, asked = challenged()
    bank.control(window=SpendWindow.DAY, amount=eur(450_00))
    bank.authorize(1)
    assert bank.complete(asked, passed=True).reasons == (DeclineReason.SPEND_LIMIT,)


def test_a_challenge_is_passed_once() -> None:
    bank, asked = challenged()
    bank.complete(asked, passed=True)
    for passed in (True, False):
        bank.refused(NoChallengeOpen, bank.complete, asked, passed=passed)


def test_a_challenge_is_not_passed_with_another_card() -> None:
    bank, asked = challenged()
    bank.happened(CARD, CardBlocked(reason="case 1"))
    bank.refused(NoChallengeOpen, bank.complete, asked, passed=True, card=OTHER_CARD)


def test_a_challenge_of_a_card_that_was_replaced_meanwhile_is_of_no_use() -> None:
    bank, asked = challenged()
    bank.replace(CARD, NEW_CARD, CardEndReason.STOLEN)
    bank.refused(NoChallengeOpen, bank.complete, asked, passed=True, card=NEW_CARD)
    assert bank.complete(asked, passed=True).reasons == (DeclineReason.CARD_NOT_ACTIVE,)


def test_a_challenge_is_not_open_that_was_never_made() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(1_00)
    bank.refused(NoChallengeOpen, bank.complete, asked.id, passed=True)
    bank.refused(NoChallengeOpen, bank.complete, NOBODY_KNOWN, passed=True)


def test_who_has_proved_who_he_is_is_not_asked_again() -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    assert bank.authorize(450_00, strong_authentication=True).approved == 450_00


def test_a_challenged_single_message_is_posted_when_it_is_passed() -> None:
    bank, asked = challenged(kind=FINANCIAL)
    passed = bank.complete(asked, passed=True)
    assert passed.the(MoneyDebited).movement_id == passed.id
    assert bank.money == (550_00, 0, 550_00)
    assert bank.reverse(asked).has(MoneyCredited)


def test_what_is_challenged_is_not_incremented() -> None:
    bank, asked = challenged()
    assert bank.authorize(1_00, increments=asked).approved == 1_00


def test_a_challenge_counts_as_one_use_however_it_ends() -> None:
    for passed in (True, False):
        bank, asked = challenged()
        bank.complete(asked, passed=passed)
        assert sum(uses for _, uses in bank.spending.line(CARD).behaviour.minutes) == 1


def test_an_account_may_be_closed_while_its_holder_is_asked() -> None:
    bank, asked = challenged(funds=450_00)
    bank.happened(ACCOUNT, emptied(450_00), CLOSED)
    assert bank.complete(asked, passed=True).reasons == (
        DeclineReason.ACCOUNT_NOT_OPEN,
        DeclineReason.INSUFFICIENT_FUNDS,
    )


# --- risk, alerts and labels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "decision", "severity"),
    [
        (200_00, RiskDecision.APPROVE, None),
        (200_01, RiskDecision.REVIEW, None),
        (300_01, RiskDecision.REVIEW, AlertSeverity.MEDIUM),
        (400_01, RiskDecision.CHALLENGE, AlertSeverity.MEDIUM),
        (500_01, RiskDecision.CHALLENGE, AlertSeverity.HIGH),
        (900_01, RiskDecision.BLOCK, AlertSeverity.HIGH),
    ],
)
def test_the_score_decides_and_raises_the_alert(
    minor: int, decision: RiskDecision, severity: AlertSeverity | None
) -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    asked = bank.authorize(minor)
    judged = next(e.assessment for e in asked.events if getattr(e, "assessment", None))
    assert judged.decision is decision
    assert asked.has(RiskAlertRaised) is (severity is not None)
    if severity is not None:
        raised = asked.the(RiskAlertRaised)
        assert (raised.severity, raised.authorization_id) == (severity, asked.id)
        assert bank.alert(asked.id).status is AlertStatus.OPEN


def test_what_is_too_risky_is_declined() -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    assert bank.authorize(900_01).reasons == (DeclineReason.RISK,)


def test_an_alert_is_raised_though_there_was_no_money_anyway() -> None:
    bank = cards_of_ada(funds=0, rules=RISK_BY_AMOUNT)
    asked = bank.authorize(900_01)
    assert asked.reasons == (DeclineReason.INSUFFICIENT_FUNDS, DeclineReason.RISK)
    assert asked.has(RiskAlertRaised)


@pytest.mark.parametrize(
    ("close", "fraudulent", "ended"),
    [
        (ConfirmAlert, True, AlertStatus.CONFIRMED),
        (DismissAlert, False, AlertStatus.DISMISSED),
    ],
)
def test_what_an_analyst_finds_is_a_label(
    close: type[Any], fraudulent: bool, ended: AlertStatus
) -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    asked = bank.authorize(350_00)
    closing = close(alert_id=alert_of(asked.id), analyst="Grace", at=NOON)
    label = bank.execute(closing).the(FraudLabelRecorded)
    assert (label.authorization_id, label.fraudulent, label.source) == (
        asked.id,
        fraudulent,
        "analyst Grace",
    )
    assert bank.alert(asked.id).status is ended
    bank.refused(AlertClosed, bank.execute, closing)


def test_what_is_known_already_is_no_second_label() -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    asked = bank.authorize(350_00)
    bank.label(asked.id)
    confirmed = bank.execute(ConfirmAlert(alert_id=alert_of(asked.id), analyst="Grace", at=NOON))
    assert not confirmed.has(FraudLabelRecorded)


def test_a_label_says_what_it_is_about() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00, merchant=BAKER)
    label = bank.label(asked.id).the(FraudLabelRecorded)
    assert (label.card_id, label.merchant_id, label.amount, label.occurred_at) == (
        CARD,
        BAKER.merchant_id,
        eur(40_00),
        NOON,
    )


def test_what_is_known_is_not_labelled_again_but_may_turn_out_otherwise() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    bank.label(asked.id)
    bank.refused(AlreadyLabelled, bank.label, asked.id)
    assert bank.label(asked.id, fraudulent=False).has(FraudLabelRecorded)


def test_a_decline_and_an_old_authorization_are_labelled_too() -> None:
    bank = cards_of_ada(funds=1_00)
    declined = bank.authorize(40_00)
    old = bank.authorize(1)
    bank.reverse(old.id)
    for _ in range(ENDED_KEPT):
        bank.reverse(bank.authorize(1).id)
    assert bank.spending.authorization(old.id) is None
    assert bank.label(declined.id).has(FraudLabelRecorded)
    assert bank.label(old.id).has(FraudLabelRecorded)


def test_a_label_is_of_an_authorization_of_that_card() -> None:
    bank = cards_of_ada()
    asked = bank.authorize(40_00)
    bank.refused(AuthorizationUnknown, bank.label, asked.id, OTHER_CARD)
    bank.refused(AuthorizationUnknown, bank.label, NOBODY_KNOWN)


# --- what is held when a card has gone ------------------------------------------------------------


def test_an_account_is_not_closed_while_a_closed_card_holds_money_on_it() -> None:
    bank = cards_of_ada(funds=0, overdraft=40_00)
    asked = bank.authorize(40_00)
    bank.happened(CARD, CardClosed(reason=CardEndReason.END_USER_REQUEST, on=DAY))
    close = CloseAccount(account_id=ACCOUNT, reason="asked for", on=BOOKED)
    bank.refused(AccountNotEmpty, bank.execute, close)
    bank.expire(asked.id, NOON + WEEK)
    assert bank.execute(close).has(AccountClosed)


def test_a_replaced_card_s_hold_is_cleared_under_either_card() -> None:
    for card in (CARD, NEW_CARD):
        bank = cards_of_ada(funds=100_00)
        asked = bank.authorize(40_00)
        bank.replace(CARD, NEW_CARD)
        bank.clear(asked.id, 40_00, card_id=card)
        assert bank.money == (60_00, 0, 60_00)


def test_what_was_frozen_and_is_no_more_is_good_again() -> None:
    bank = cards_of_ada()
    bank.happened(CARD, CardFrozen(), CardUnfrozen())
    bank.happened(ACCOUNT, DORMANT, AccountReactivated(on=DAY + timedelta(days=401)))
    assert bank.authorize(1_00).approved == 1_00


# --- nonsense -------------------------------------------------------------------------------------

NAIVE = datetime(2024, 3, 1, 12)  # noqa: DTZ001 -- that is the point


@pytest.mark.parametrize(
    "at",
    [NAIVE, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)],
    ids=["without an offset", "the end of time", "its beginning"],
)
def test_a_time_that_cannot_be_reckoned_with_is_refused(at: datetime) -> None:
    bank = cards_of_ada(rules=RISK_BY_AMOUNT)
    held, asked = bank.authorize(1_00).id, bank.authorize(450_00).id
    for ask in (
        lambda: bank.authorize(1_00, occurred_at=at),
        lambda: bank.authorize(1_00, increments=held, occurred_at=at),
        lambda: bank.advise(1_00, occurred_at=at),
        lambda: bank.advise(1_00, held, occurred_at=at),
        lambda: bank.clear(held, 1_00, occurred_at=at),
        lambda: bank.clear(None, 1_00, occurred_at=at),
        lambda: bank.refund(None, 1_00, occurred_at=at),
        lambda: bank.reverse(held, at=at),
        lambda: bank.expire(held, at),
        lambda: bank.complete(asked, passed=True, at=at),
    ):
        bank.refused(TimeMalformed, ask)


def test_times_are_recorded_in_utc() -> None:
    bank = cards_of_ada()
    west = datetime(2024, 3, 1, 22, tzinfo=timezone(timedelta(hours=-5)))
    drawn = bank.authorize(1_00, kind=FINANCIAL, occurred_at=west)
    assert drawn.the(CardAuthorizationApproved).attempt.occurred_at.tzinfo is UTC
    assert drawn.the(MoneyDebited).booking_date == date(2024, 3, 2)


def test_what_is_larger_than_anything_is_posted_to_the_cent() -> None:
    bank = cards_of_ada(funds=0)
    for _ in range(3):
        bank.clear(None, MINOR_MAX)
    advised = bank.advise(MINOR_MAX)
    bank.clear(advised.id, MINOR_MAX)
    assert bank.money == (-4 * MINOR_MAX, 0, -4 * MINOR_MAX)


def test_what_is_forgotten_is_posted_all_the_same() -> None:
    bank = cards_of_ada(funds=100_00)
    old = bank.authorize(10_00)
    bank.clear(old.id, 10_00)
    for _ in range(ENDED_KEPT):
        bank.reverse(bank.authorize(1).id)
    assert len(bank.spending.ended) == ENDED_KEPT
    assert bank.refund(old.id, 10_00).the(CardRefundCleared).unmatched == eur(10_00)
    assert bank.clear(old.id, 10_00).has(CardForcePosted)
    bank.refused(ReversalUnmatched, bank.reverse, old.id)
    assert bank.money == (90_00, 0, 90_00)


@pytest.mark.parametrize("card", [NOBODY_KNOWN])
def test_an_unknown_card_has_nothing_to_be_cleared(card: UUID) -> None:
    bank = cards_of_ada()
    for ask in (bank.clear, bank.refund):
        bank.refused(NotFound, ask, None, 1_00, card_id=card)
    bank.refused(NotFound, bank.expire, card, NOON, card)
