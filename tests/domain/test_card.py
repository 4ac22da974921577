from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from domain.account import (
    AccountBecameDormant,
    AccountClosed,
    AccountDormant,
    AccountIsClosed,
    HolderAdded,
    HolderRole,
    NotHolder,
)
from domain.card import (
    ActivateCard,
    ActivateToken,
    BlockCard,
    Card,
    CardActivated,
    CardAlreadyActive,
    CardBlocked,
    CardClosed,
    CardCodeChecked,
    CardDetailsMalformed,
    CardDetokenized,
    CardEndReason,
    CardExpired,
    CardExpiry,
    CardFrozen,
    CardIsBlocked,
    CardIsClosed,
    CardIsExpired,
    CardIssued,
    CardNotActive,
    CardNotBlocked,
    CardNotExpired,
    CardNotFrozen,
    CardNumberErased,
    CardNumberIsErased,
    CardNumberRefused,
    CardReplaced,
    CardSpendControlRemoved,
    CardSpendControlSet,
    CardStatus,
    CardTokenActivated,
    CardTokenConfirmed,
    CardTokenDeactivated,
    CardTokenRequested,
    CardTokenResumed,
    CardTokenSuspended,
    CardType,
    CardUnblocked,
    CardUnfrozen,
    CheckCode,
    CloseCard,
    ConfirmToken,
    DeactivateToken,
    DetokenizeCard,
    DetokenizeScope,
    DetokenizingUnexplained,
    ExpireCard,
    FreezeCard,
    IssueCard,
    MalformedExpiry,
    Only,
    PinBlocked,
    PinIsBlocked,
    PinNotBlocked,
    PinNotSet,
    PinSet,
    PinStatus,
    PinTryFailed,
    PinUnblocked,
    PinVerified,
    RemoveSpendControl,
    ReplaceCard,
    RequestToken,
    ResumeToken,
    SetPin,
    SetSpendControl,
    SpendControl,
    SpendControlMalformed,
    SpendControlUnknown,
    SpendWindow,
    SuspendToken,
    TokenDeactivated,
    TokenNotActive,
    TokenNotConfirmed,
    TokenNotPending,
    TokenNotSuspended,
    TokenUnknown,
    TryPin,
    UnblockCard,
    UnblockPin,
    UnfreezeCard,
    Wallet,
    WalletTokenStatus,
)
from domain.customer import CustomerIsRestricted, CustomerNotActive, CustomerRestricted
from domain.money import CurrencyMismatch, Money
from domain.refusal import AlreadyExists, NotFound
from domain.restriction import Direction
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    CARD,
    DAY,
    NEW_CARD,
    OPENED,
    OTHER_RESTRICTION,
    RESTRICTION,
    active,
    eur,
    registered,
)
from tests.scenario import Written, given, on

HOLDER_S_ERASURE = UUID(int=0xE)
SURROGATE = "tok_5f3a9c"
NEW_SURROGATE = "tok_77aa"
EXPIRY = CardExpiry(year=2027, month=2)
ISSUE = IssueCard(
    card_id=CARD,
    account_id=ACCOUNT,
    customer_id=ADA,
    card_type=CardType.PHYSICAL,
    token=SURROGATE,
    brand="VISA",
    bin="411111",
    last4="1111",
    expiry=EXPIRY,
    issued_on=DAY,
)
ISSUED = CardIssued(
    account_id=ACCOUNT,
    customer_id=ADA,
    currency="EUR",
    card_type=CardType.PHYSICAL,
    token=SURROGATE,
    brand="VISA",
    bin="411111",
    last4="1111",
    expiry=EXPIRY,
    issued_on=DAY,
)
ACTIVE = (ISSUED, CardActivated(on=DAY))
ACTIVATE = ActivateCard(card_id=CARD, on=DAY)
FREEZE = FreezeCard(card_id=CARD)
UNFREEZE = UnfreezeCard(card_id=CARD)
BLOCK = BlockCard(card_id=CARD, reason="FRAUD")
UNBLOCK = UnblockCard(card_id=CARD, reason="CLEARED")
CLOSE = CloseCard(card_id=CARD, reason=CardEndReason.END_USER_REQUEST, on=DAY)
CLOSED = CardClosed(reason=CardEndReason.END_USER_REQUEST, on=DAY)
BLOCKED = CardBlocked(reason="FRAUD")
REPLACE = ReplaceCard(
    card_id=CARD,
    new_card_id=NEW_CARD,
    reason=CardEndReason.STOLEN,
    token=NEW_SURROGATE,
    bin="41111122",
    last4="2222",
    expiry=CardExpiry(year=2028, month=12),
    replaced_on=DAY,
)
REPLACED = CardReplaced(new_card_id=NEW_CARD, reason=CardEndReason.STOLEN, on=DAY)
REPLACEMENT = replace(
    ISSUED,
    token=NEW_SURROGATE,
    bin="41111122",
    last4="2222",
    expiry=CardExpiry(year=2028, month=12),
    replaces=CARD,
    line=CARD,
)
MONTHLY = SpendControl(control_id=RESTRICTION, window=SpendWindow.MONTH, amount=eur(500_00))
SET_MONTHLY = SetSpendControl(card_id=CARD, control=MONTHLY)
PVV = UUID("00000000-0000-4000-8000-0000000000e7")
SET_PIN = SetPin(card_id=CARD, pvv_ref=PVV)
UNBLOCK_PIN = UnblockPin(card_id=CARD, reason="the holder showed her passport")
PIN_SET = PinSet(pvv_ref=PVV)
FAILED_TWICE = (PinTryFailed(tries=1), PinTryFailed(tries=2))
PIN_BLOCKED = (PIN_SET, *FAILED_TWICE, PinTryFailed(tries=3), PinBlocked())
TOKEN = UUID("00000000-0000-4000-8000-0000000000e8")
REQUEST_TOKEN = RequestToken(
    card_id=CARD, token_id=TOKEN, wallet=Wallet.APPLE_PAY, device_ref="device-7"
)
REQUESTED = CardTokenRequested(
    token_id=TOKEN, wallet=Wallet.APPLE_PAY, device_ref="device-7", second_factor=True
)
CONFIRM_TOKEN = ConfirmToken(card_id=CARD, token_id=TOKEN)
ACTIVATE_TOKEN = ActivateToken(card_id=CARD, token_id=TOKEN)
SUSPEND_TOKEN = SuspendToken(card_id=CARD, token_id=TOKEN, reason="the phone is lost")
RESUME_TOKEN = ResumeToken(card_id=CARD, token_id=TOKEN)
DEACTIVATE_TOKEN = DeactivateToken(card_id=CARD, token_id=TOKEN, reason="the phone is sold")
CONFIRMED = CardTokenConfirmed(token_id=TOKEN)
TOKEN_ACTIVE = (REQUESTED, CONFIRMED, CardTokenActivated(token_id=TOKEN))
SUSPENDED = CardTokenSuspended(token_id=TOKEN, reason="the phone is lost")
RESUMED = CardTokenResumed(token_id=TOKEN)
DEACTIVATED = CardTokenDeactivated(token_id=TOKEN, reason="the phone is sold")
DETOKENIZE = DetokenizeCard(card_id=CARD, reason="dispute 17")


def world(
    *card: Any, customer: tuple[Any, ...] = (), account: tuple[Any, ...] = ()
) -> list[Written]:
    """Ada, her account, and a card that this has happened to."""
    people = [on(ADA, *active(), *customer), on(ACCOUNT, *OPENED, *account)]
    return [*people, on(CARD, *card)] if card else people


# --- issuing --------------------------------------------------------------------------------------


def test_a_card_is_issued_and_waits_for_its_activation() -> None:
    given(*world()).when(ISSUE).then(on(CARD, ISSUED))
    assert Card().after([ISSUED]).status is CardStatus.PENDING_ACTIVATION


def test_a_card_that_need_not_travel_is_active_at_once() -> None:
    virtual = replace(ISSUE, card_type=CardType.VIRTUAL, activate=True)
    given(*world()).when(virtual).then(
        on(CARD, replace(ISSUED, card_type=CardType.VIRTUAL), CardActivated(on=DAY))
    )


def test_a_card_id_is_taken_once() -> None:
    given(*world(ISSUED)).when(ISSUE).refused(AlreadyExists)


def test_a_card_is_issued_on_an_open_account() -> None:
    closed = AccountClosed(reason="END_USER_REQUEST", on=DAY)
    given(on(ADA, *active())).when(ISSUE).refused(NotFound)
    given(*world(account=(closed,))).when(ISSUE).refused(AccountIsClosed)
    given(*world(account=(AccountBecameDormant(on=DAY),))).when(ISSUE).refused(AccountDormant)


def test_a_card_is_issued_to_a_holder_whether_or_not_he_owns_the_account() -> None:
    for_bob = replace(ISSUE, customer_id=BOB)
    bob = HolderAdded(customer_id=BOB, role=HolderRole.AUTHORIZED)
    given(*world(), on(BOB, *active(BOB))).when(for_bob).refused(NotHolder)
    given(*world(account=(bob,)), on(BOB, *active(BOB))).when(for_bob).then(
        on(CARD, replace(ISSUED, customer_id=BOB))
    )


def test_a_card_is_issued_to_an_active_customer() -> None:
    restricted = CustomerRestricted(
        restriction_id=RESTRICTION, direction=Direction.ALL, reason_code="X", legal_basis="Y"
    )
    given(*world(customer=(restricted,))).when(ISSUE).refused(CustomerIsRestricted)
    given(on(ADA, registered()), on(ACCOUNT, *OPENED)).when(ISSUE).refused(CustomerNotActive)


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "1" * 12, "1" * 19],
)
def test_what_is_shaped_like_a_card_number_is_refused(number: str) -> None:
    given(*world()).when(replace(ISSUE, token=number)).refused(CardNumberRefused)
    given(*world()).when(replace(ISSUE, brand=number)).refused(CardNumberRefused)


@pytest.mark.parametrize("token", ["1" * 11, "1" * 20, "tok_4111111111111111x", "a" * 16])
def test_a_token_of_another_shape_is_taken(token: str) -> None:
    given(*world()).when(replace(ISSUE, token=token)).then(on(CARD, replace(ISSUED, token=token)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bin": "41111"},
        {"bin": "4111111"},
        {"bin": "411111111"},
        {"bin": "41111a"},
        {"last4": "111"},
        {"last4": "11111"},
        {"token": ""},
    ],
    ids=str,
)
def test_a_bin_is_of_6_or_8_digits_and_the_last_digits_are_4(wrong: dict[str, str]) -> None:
    given(*world()).when(replace(ISSUE, **wrong)).refused(CardDetailsMalformed)  # type: ignore[arg-type]


def test_a_card_is_issued_to_the_last_day_of_its_month() -> None:
    month = CardExpiry(year=2024, month=3)
    given(*world()).when(replace(ISSUE, expiry=month, issued_on=date(2024, 3, 31))).outcome()
    given(*world()).when(replace(ISSUE, expiry=month, issued_on=date(2024, 4, 1))).refused(
        CardIsExpired, expiry="2024-03"
    )


@pytest.mark.parametrize(("year", "month"), [(2024, 0), (2024, 13), (1999, 1), (24, 1)])
def test_an_expiry_is_a_month_of_this_century(year: int, month: int) -> None:
    with pytest.raises(MalformedExpiry):
        CardExpiry(year=year, month=month)


# --- the customer's switch and the bank's ---------------------------------------------------------


def test_a_card_is_activated_once_and_in_time() -> None:
    given(Card, ISSUED).when(ACTIVATE).then(CardActivated(on=DAY))
    given(Card, *ACTIVE).when(ACTIVATE).refused(CardAlreadyActive)
    given(Card, ISSUED).when(replace(ACTIVATE, on=date(2027, 3, 1))).refused(CardIsExpired)


def test_a_card_that_was_never_issued_is_not_found() -> None:
    given(Card).when(ACTIVATE).refused(NotFound)


def test_a_customer_freezes_and_unfreezes_an_active_card() -> None:
    given(Card, *ACTIVE).when(FREEZE).then(CardFrozen())
    given(Card, *ACTIVE, CardFrozen()).when(UNFREEZE).then(CardUnfrozen())
    given(Card, ISSUED).when(FREEZE).refused(CardNotActive)
    given(Card, *ACTIVE, CardFrozen()).when(FREEZE).refused(CardNotActive)
    given(Card, *ACTIVE).when(UNFREEZE).refused(CardNotFrozen)


def test_the_bank_blocks_and_unblocks_a_card() -> None:
    given(Card, *ACTIVE).when(BLOCK).then(BLOCKED)
    given(Card, *ACTIVE, CardFrozen()).when(BLOCK).then(BLOCKED)
    given(Card, *ACTIVE, BLOCKED).when(UNBLOCK).then(CardUnblocked(reason="CLEARED"))
    given(Card, ISSUED).when(BLOCK).refused(CardNotActive)
    given(Card, *ACTIVE, BLOCKED).when(BLOCK).refused(CardIsBlocked)
    given(Card, *ACTIVE).when(UNBLOCK).refused(CardNotBlocked)


def test_the_customer_cannot_turn_back_the_bank_s_switch() -> None:
    given(Card, *ACTIVE, CardFrozen(), BLOCKED).when(UNFREEZE).refused(CardIsBlocked)
    given(Card, *ACTIVE, BLOCKED).when(FREEZE).refused(CardIsBlocked)


def test_an_unblocked_card_that_the_customer_froze_is_frozen_still() -> None:
    unblocked = CardUnblocked(reason="CLEARED")

    assert Card().after([*ACTIVE, CardFrozen(), BLOCKED, unblocked]).status is CardStatus.FROZEN


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((), None),
        ((ISSUED,), CardStatus.PENDING_ACTIVATION),
        (ACTIVE, CardStatus.ACTIVE),
        ((*ACTIVE, CardFrozen()), CardStatus.FROZEN),
        ((*ACTIVE, CardFrozen(), CardUnfrozen()), CardStatus.ACTIVE),
        ((*ACTIVE, CardFrozen(), BLOCKED), CardStatus.BLOCKED),
        ((*ACTIVE, BLOCKED, CardExpired(on=DAY)), CardStatus.EXPIRED),
        ((*ACTIVE, CardExpired(on=DAY), CLOSED), CardStatus.CLOSED),
        ((*ACTIVE, REPLACED), CardStatus.CLOSED),
    ],
)
def test_the_status_of_a_card(history: tuple[Any, ...], status: CardStatus | None) -> None:
    assert Card().after(history).status is status


# --- the end of a card ----------------------------------------------------------------------------


def test_a_card_expires_when_its_month_is_over() -> None:
    def expire(on: date) -> ExpireCard:
        return ExpireCard(card_id=CARD, on=on)

    march = date(2027, 3, 1)
    given(Card, ISSUED).when(expire(march)).then(CardExpired(on=march))
    given(Card, ISSUED).when(expire(date(2027, 2, 28))).refused(CardNotExpired, expiry="2027-02")
    given(Card, ISSUED, CardExpired(on=march)).when(expire(march)).refused(CardIsExpired)


@pytest.mark.parametrize(
    "command", [ACTIVATE, FREEZE, UNFREEZE, BLOCK], ids=lambda c: type(c).__name__
)
def test_an_expired_card_is_not_used_again(command: Any) -> None:
    given(Card, ISSUED, CardExpired(on=DAY)).when(command).refused(CardIsExpired)


@pytest.mark.parametrize(
    "history",
    [(ISSUED,), ACTIVE, (*ACTIVE, CardFrozen()), (*ACTIVE, BLOCKED), (ISSUED, CardExpired(on=DAY))],
)
def test_a_card_is_closed_from_wherever_it_stands(history: tuple[Any, ...]) -> None:
    given(Card, *history).when(CLOSE).then(CLOSED)


@pytest.mark.parametrize(
    "command",
    [
        ACTIVATE,
        FREEZE,
        UNFREEZE,
        BLOCK,
        UNBLOCK,
        CLOSE,
        SET_MONTHLY,
        ExpireCard(card_id=CARD, on=date(2030, 1, 1)),
        SET_PIN,
        TryPin(card_id=CARD, correct=True),
        UNBLOCK_PIN,
        CheckCode(card_id=CARD, matches=True),
        REQUEST_TOKEN,
        SuspendToken(card_id=CARD, token_id=TOKEN, reason="LOST"),
    ],
    ids=lambda command: type(command).__name__,
)
@pytest.mark.parametrize("end", [CLOSED, REPLACED], ids=lambda end: type(end).__name__)
def test_a_closed_card_is_closed_for_ever(command: Any, end: Any) -> None:
    given(Card, *ACTIVE, end).when(command).refused(CardIsClosed)


# --- replacement ----------------------------------------------------------------------------------


def test_a_replacement_closes_the_old_card_and_issues_a_new_one() -> None:
    given(*world(*ACTIVE)).when(REPLACE).then(on(CARD, REPLACED), on(NEW_CARD, REPLACEMENT))


def test_a_replacement_may_be_active_at_once() -> None:
    given(*world(*ACTIVE)).when(replace(REPLACE, activate=True)).then(
        on(CARD, REPLACED), on(NEW_CARD, REPLACEMENT, CardActivated(on=DAY))
    )


def test_spend_controls_follow_the_replacement() -> None:
    daily = replace(MONTHLY, control_id=OTHER_RESTRICTION, window=SpendWindow.DAY)
    history = (
        *ACTIVE,
        CardSpendControlSet(control=MONTHLY),
        CardSpendControlSet(control=daily),
        CardSpendControlRemoved(control_id=RESTRICTION),
    )
    inherited = replace(REPLACEMENT, spend_controls=(daily,))
    given(*world(*history)).when(REPLACE).then(on(CARD, REPLACED), on(NEW_CARD, inherited))

    assert Card().after([inherited]).spend_controls == {OTHER_RESTRICTION: daily}


def test_an_expired_and_a_blocked_card_are_replaced_but_a_closed_one_is_not() -> None:
    given(*world(ISSUED, CardExpired(on=DAY))).when(REPLACE).outcome()
    given(*world(*ACTIVE, BLOCKED)).when(REPLACE).outcome()
    given(*world(*ACTIVE, CLOSED)).when(REPLACE).refused(CardIsClosed)
    given(*world(*ACTIVE, REPLACED)).when(REPLACE).refused(CardIsClosed)
    given(*world()).when(REPLACE).refused(NotFound)


def test_a_replacement_takes_an_id_that_is_free() -> None:
    given(*world(*ACTIVE), on(NEW_CARD, ISSUED)).when(REPLACE).refused(AlreadyExists)
    given(*world(*ACTIVE)).when(replace(REPLACE, new_card_id=CARD)).refused(AlreadyExists)


def test_a_replacement_is_judged_like_a_first_card() -> None:
    closed = AccountClosed(reason="END_USER_REQUEST", on=DAY)
    given(*world(*ACTIVE, account=(closed,))).when(REPLACE).refused(AccountIsClosed)
    given(*world(*ACTIVE)).when(replace(REPLACE, token="1" * 16)).refused(CardNumberRefused)


# --- spend controls -------------------------------------------------------------------------------


def test_a_spend_control_is_set_changed_and_removed() -> None:
    tighter = replace(MONTHLY, amount=eur(1_00))
    was_set = CardSpendControlSet(control=MONTHLY)
    given(Card, *ACTIVE).when(SET_MONTHLY).then(was_set)
    given(Card, *ACTIVE, was_set).when(replace(SET_MONTHLY, control=tighter)).then(
        CardSpendControlSet(control=tighter)
    )
    given(Card, *ACTIVE, was_set).when(
        RemoveSpendControl(card_id=CARD, control_id=RESTRICTION)
    ).then(CardSpendControlRemoved(control_id=RESTRICTION))


def test_a_control_of_the_same_id_takes_the_place_of_the_old_one() -> None:
    tighter = replace(MONTHLY, amount=eur(1_00))
    card = Card().after([ISSUED, *(CardSpendControlSet(control=c) for c in (MONTHLY, tighter))])

    assert card.spend_controls == {RESTRICTION: tighter}


def test_a_spend_control_that_was_never_set_is_not_removed() -> None:
    given(Card, *ACTIVE).when(RemoveSpendControl(card_id=CARD, control_id=RESTRICTION)).refused(
        SpendControlUnknown
    )


def test_a_spend_control_is_in_the_currency_of_the_account() -> None:
    dollars = replace(MONTHLY, amount=Money(minor=1, currency="USD"))
    given(Card, *ACTIVE).when(replace(SET_MONTHLY, control=dollars)).refused(CurrencyMismatch)


@pytest.mark.parametrize(
    "control",
    [
        replace(MONTHLY, amount=eur(0)),
        replace(MONTHLY, amount=None, count=0),
        replace(MONTHLY, window=SpendWindow.TRAILING, trailing_seconds=10),
        replace(MONTHLY, window=SpendWindow.TRAILING, trailing_seconds=31 * 86_400),
        replace(MONTHLY, mcc=Only(include=("5411",), exclude=("7995",))),
        replace(MONTHLY, country=Only(exclude=("KP",))),
        replace(MONTHLY, entry_mode=Only(exclude=("MAGNETIC_STRIPE",))),
        replace(MONTHLY, channel=Only(include=("ATM",))),
    ],
    ids=str,
)
def test_a_spend_control_that_makes_sense(control: SpendControl) -> None:
    given(Card, *ACTIVE).when(replace(SET_MONTHLY, control=control)).then(
        CardSpendControlSet(control=control)
    )


@pytest.mark.parametrize(
    "control",
    [
        replace(MONTHLY, amount=None),
        replace(MONTHLY, amount=eur(-1)),
        replace(MONTHLY, count=-1),
        replace(MONTHLY, window=SpendWindow.TRAILING),
        replace(MONTHLY, trailing_seconds=60),
        replace(MONTHLY, window=SpendWindow.TRAILING, trailing_seconds=9),
        replace(MONTHLY, window=SpendWindow.TRAILING, trailing_seconds=31 * 86_400 + 1),
        replace(MONTHLY, mcc=Only(include=("541",))),
        replace(MONTHLY, country=Only(exclude=("kp",))),
        replace(MONTHLY, entry_mode=Only(include=("ATM",))),
        replace(MONTHLY, channel=Only(exclude=("CHIP",))),
    ],
    ids=str,
)
def test_a_spend_control_that_makes_no_sense_is_refused(control: SpendControl) -> None:
    given(Card, *ACTIVE).when(replace(SET_MONTHLY, control=control)).refused(SpendControlMalformed)


# --- the line of replacements ---------------------------------------------------------------------


def test_the_first_card_is_the_line_of_all_that_replace_it() -> None:
    third = UUID("00000000-0000-4000-8000-0000000000d3")
    again = replace(REPLACE, card_id=NEW_CARD, new_card_id=third)
    reissued = replace(REPLACEMENT, replaces=NEW_CARD, line=CARD)
    given(*world(*ACTIVE, REPLACED), on(NEW_CARD, REPLACEMENT)).when(again).then(
        on(NEW_CARD, replace(REPLACED, new_card_id=third)), on(third, reissued)
    )

    assert Card().after([ISSUED]).line_of(CARD) == CARD
    assert Card().after([reissued]).line_of(third) == CARD


# --- the PIN --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((), PinStatus.NOT_SET),
        ((PIN_SET,), PinStatus.OK),
        ((PIN_SET, *FAILED_TWICE), PinStatus.OK),
        (PIN_BLOCKED, PinStatus.BLOCKED),
        ((*PIN_BLOCKED, PinUnblocked(reason="X")), PinStatus.OK),
    ],
)
def test_the_status_of_a_pin(history: tuple[Any, ...], status: PinStatus) -> None:
    assert Card().after([*ACTIVE, *history]).pin_status is status


@pytest.mark.parametrize(
    ("history", "correct", "events", "declined"),
    [
        ((), True, [], "PIN_INCORRECT"),
        ((), False, [], "PIN_INCORRECT"),
        ((PIN_SET,), True, [], None),
        ((PIN_SET,), False, [PinTryFailed(tries=1)], "PIN_INCORRECT"),
        ((PIN_SET, *FAILED_TWICE), True, [PinVerified()], None),
        (
            (PIN_SET, *FAILED_TWICE),
            False,
            [PinTryFailed(tries=3), PinBlocked()],
            "PIN_TRIES_EXCEEDED",
        ),
        (PIN_BLOCKED, True, [], "PIN_TRIES_EXCEEDED"),
        (PIN_BLOCKED, False, [], "PIN_TRIES_EXCEEDED"),
        (
            (PIN_SET, *FAILED_TWICE, PinVerified()),
            False,
            [PinTryFailed(tries=1)],
            "PIN_INCORRECT",
        ),
        (
            (*PIN_BLOCKED, PinUnblocked(reason="X")),
            False,
            [PinTryFailed(tries=1)],
            "PIN_INCORRECT",
        ),
        ((PIN_SET, *FAILED_TWICE, PIN_SET), False, [PinTryFailed(tries=1)], "PIN_INCORRECT"),
    ],
)
def test_three_wrong_pins_in_a_row_block_the_pin(
    history: tuple[Any, ...], correct: bool, events: list[Any], declined: str | None
) -> None:
    assert Card().after([*ACTIVE, *history]).pin_tried(correct) == (events, declined)


def test_a_pin_is_set_and_changed_unless_it_is_blocked() -> None:
    given(Card, ISSUED).when(SET_PIN).then(PIN_SET)
    given(Card, *ACTIVE, PIN_SET).when(SET_PIN).then(PIN_SET)
    given(Card, *ACTIVE, *PIN_BLOCKED).when(SET_PIN).refused(PinIsBlocked)
    given(Card, ISSUED, CardExpired(on=DAY)).when(SET_PIN).refused(CardIsExpired)


def test_a_pin_tried_outside_of_a_payment_counts_like_any_other() -> None:
    right, wrong = TryPin(card_id=CARD, correct=True), TryPin(card_id=CARD, correct=False)
    given(Card, *ACTIVE, PIN_SET).when(right).then(PinVerified())
    given(Card, *ACTIVE, PIN_SET, *FAILED_TWICE).when(wrong).then(
        PinTryFailed(tries=3), PinBlocked()
    )
    given(Card, *ACTIVE, *PIN_BLOCKED).when(right).refused(PinIsBlocked)
    given(Card, *ACTIVE).when(right).refused(PinNotSet)


def test_the_bank_unblocks_a_pin() -> None:
    unblocked = PinUnblocked(reason=UNBLOCK_PIN.reason)
    given(Card, *ACTIVE, *PIN_BLOCKED).when(UNBLOCK_PIN).then(unblocked)
    given(Card, *ACTIVE, PIN_SET).when(UNBLOCK_PIN).refused(PinNotBlocked)


def test_a_comparison_of_the_security_code_is_recorded() -> None:
    compare = CheckCode(card_id=CARD, matches=False)
    given(Card, *ACTIVE).when(compare).then(CardCodeChecked(matches=False))


# --- tokens in wallets ----------------------------------------------------------------------------


def test_a_token_is_requested_confirmed_and_activated() -> None:
    given(Card, *ACTIVE).when(REQUEST_TOKEN).then(REQUESTED)
    given(Card, *ACTIVE, REQUESTED).when(CONFIRM_TOKEN).then(CONFIRMED)
    given(Card, *ACTIVE, REQUESTED, CONFIRMED).when(ACTIVATE_TOKEN).then(TOKEN_ACTIVE[-1])


def test_a_token_is_not_activated_before_the_holder_has_confirmed_it() -> None:
    given(Card, *ACTIVE, REQUESTED).when(ACTIVATE_TOKEN).refused(TokenNotConfirmed)


def test_a_token_that_needs_no_second_factor_waits_for_its_activation_alone() -> None:
    trusted = replace(REQUESTED, second_factor=False)
    given(Card, *ACTIVE, trusted).when(ACTIVATE_TOKEN).then(TOKEN_ACTIVE[-1])
    given(Card, *ACTIVE, trusted).when(CONFIRM_TOKEN).refused(TokenNotPending)


def test_a_token_is_suspended_resumed_and_deactivated_for_ever() -> None:
    given(Card, *ACTIVE, *TOKEN_ACTIVE).when(SUSPEND_TOKEN).then(SUSPENDED)
    given(Card, *ACTIVE, *TOKEN_ACTIVE, SUSPENDED).when(RESUME_TOKEN).then(RESUMED)
    given(Card, *ACTIVE, *TOKEN_ACTIVE, SUSPENDED).when(DEACTIVATE_TOKEN).then(DEACTIVATED)
    given(Card, *ACTIVE, REQUESTED).when(DEACTIVATE_TOKEN).then(DEACTIVATED)


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((REQUESTED,), WalletTokenStatus.PENDING_2FA),
        ((REQUESTED, CONFIRMED), WalletTokenStatus.PENDING_ACTIVATION),
        (TOKEN_ACTIVE, WalletTokenStatus.ACTIVE),
        ((*TOKEN_ACTIVE, SUSPENDED), WalletTokenStatus.PAUSED),
        ((*TOKEN_ACTIVE, SUSPENDED, RESUMED), WalletTokenStatus.ACTIVE),
        ((REQUESTED, DEACTIVATED), WalletTokenStatus.DEACTIVATED),
    ],
)
def test_the_status_of_a_token(history: tuple[Any, ...], status: WalletTokenStatus) -> None:
    assert Card().after([*ACTIVE, *history]).wallet_tokens[TOKEN].status is status


@pytest.mark.parametrize(
    ("history", "command", "refusal"),
    [
        ((), CONFIRM_TOKEN, TokenUnknown),
        ((), SUSPEND_TOKEN, TokenUnknown),
        ((REQUESTED,), REQUEST_TOKEN, AlreadyExists),
        (TOKEN_ACTIVE, CONFIRM_TOKEN, TokenNotPending),
        (TOKEN_ACTIVE, ACTIVATE_TOKEN, TokenNotPending),
        (TOKEN_ACTIVE, RESUME_TOKEN, TokenNotSuspended),
        ((*TOKEN_ACTIVE, SUSPENDED), SUSPEND_TOKEN, TokenNotActive),
        ((REQUESTED, DEACTIVATED), CONFIRM_TOKEN, TokenDeactivated),
        ((*TOKEN_ACTIVE, DEACTIVATED), RESUME_TOKEN, TokenDeactivated),
        ((*TOKEN_ACTIVE, DEACTIVATED), DEACTIVATE_TOKEN, TokenDeactivated),
    ],
)
def test_a_token_does_not_go_where_its_state_does_not_lead(
    history: tuple[Any, ...], command: Any, refusal: Any
) -> None:
    given(Card, *ACTIVE, *history).when(command).refused(refusal)


@pytest.mark.parametrize("command", [REQUEST_TOKEN, CONFIRM_TOKEN, ACTIVATE_TOKEN, RESUME_TOKEN])
def test_no_token_comes_into_use_while_its_card_is_not(command: Any) -> None:
    given(Card, *ACTIVE, REQUESTED, CardFrozen()).when(command).refused(CardNotActive)
    given(Card, *ACTIVE, REQUESTED, BLOCKED).when(command).refused(CardIsBlocked)


def test_a_token_of_a_blocked_card_can_still_be_taken_out_of_use() -> None:
    given(Card, *ACTIVE, *TOKEN_ACTIVE, BLOCKED).when(SUSPEND_TOKEN).then(SUSPENDED)


# --- detokenizing ---------------------------------------------------------------------------------


def test_showing_a_card_s_number_is_recorded_with_its_reason_and_scope() -> None:
    given(Card, *ACTIVE).when(DETOKENIZE).then(
        CardDetokenized(reason="dispute 17", scope=DetokenizeScope.NUMBER)
    )


def test_the_number_of_a_card_that_has_ended_may_be_asked_for() -> None:
    given(Card, *ACTIVE, CLOSED).when(DETOKENIZE).outcome()
    given(Card).when(DETOKENIZE).refused(NotFound)


def test_a_number_that_was_erased_is_never_shown_again() -> None:
    erased = CardNumberErased(erasure_id=HOLDER_S_ERASURE)
    given(Card, *ACTIVE, CLOSED, erased).when(DETOKENIZE).refused(CardNumberIsErased)


@pytest.mark.parametrize("reason", ["", " "])
def test_a_card_s_number_is_not_shown_without_a_reason(reason: str) -> None:
    given(Card, *ACTIVE).when(replace(DETOKENIZE, reason=reason)).refused(DetokenizingUnexplained)


# --- numbers where they do not belong -------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        replace(BLOCK, reason="stolen: 4111 1111 1111 1111"),
        replace(DETOKENIZE, reason="is it 4111111111111111?"),
        replace(REQUEST_TOKEN, device_ref="4111-1111-1111-1111"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_card_s_number_within_a_text_is_refused(command: Any) -> None:
    given(Card, *ACTIVE).when(command).refused(CardNumberRefused)


@pytest.mark.parametrize("reason", ["case 4111111111111112", "1" * 20, "4111 1111"])
def test_another_number_within_a_text_is_taken(reason: str) -> None:
    given(Card, *ACTIVE).when(replace(BLOCK, reason=reason)).then(CardBlocked(reason=reason))
