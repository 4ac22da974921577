from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.account import (
    Account,
    AccountBecameDormant,
    AccountClosed,
    AccountEscheated,
    AccountRestricted,
    FeeCharged,
    FeeWaived,
    HoldCaptured,
    HolderAdded,
    HolderRole,
    HoldPlaced,
    MoneyCredited,
    MovementKind,
    Status,
)
from domain.card import (
    Card,
    CardActivated,
    CardBlocked,
    CardClosed,
    CardCodeChecked,
    CardDetokenized,
    CardEndReason,
    CardEvent,
    CardExpired,
    CardExpiry,
    CardFrozen,
    CardIssued,
    CardNumberErased,
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
    DetokenizeScope,
    PinBlocked,
    PinSet,
    PinTryFailed,
    PinUnblocked,
    PinVerified,
    SpendControl,
    SpendWindow,
    Wallet,
)
from domain.customer import (
    ConsentGranted,
    ConsentWithdrawn,
    Customer,
    CustomerClosed,
    CustomerContactChanged,
    CustomerEvent,
    CustomerOffboardingStarted,
    CustomerRestricted,
    CustomerRestrictionLifted,
    CustomerRiskRated,
    CustomerScreened,
    CustomerStatus,
    KycExpired,
    KycInformationRequested,
    KycRejected,
    RiskRating,
    ScreeningOutcome,
)
from domain.personal import Retention
from domain.postings import GL, transfer_postings
from domain.restriction import Direction
from domain.value import changed
from projections import PROJECTIONS
from projections.balance import BALANCES, Balance, OpenHold
from projections.cards import CARDS, CardRow
from projections.customers import CUSTOMERS, CustomerTwin
from projections.ledger import LEDGER
from projections.projection import Document, fold_records, rows_of
from projections.transactions import TRANSACTIONS, Transaction
from tests.examples import (
    ACCOUNT,
    ADA,
    APPROVED,
    BOB,
    CARD,
    DAY,
    EVIDENCE_SUBMITTED,
    HOLD,
    MOVEMENT,
    NEW_CARD,
    OPENED,
    OPENING_DAY,
    OTHER_ACCOUNT,
    RESTRICTION,
    active,
    deposited,
    eur,
    owning,
    registered,
    sealed,
)
from tests.projections.histories import Chronicle, chronicles, recorded

ISSUED = CardIssued(
    account_id=ACCOUNT,
    customer_id=ADA,
    currency="EUR",
    card_type=CardType.PHYSICAL,
    token="tok-1",  # noqa: S106 -- it stands for a number, it opens nothing
    brand="VISA",
    bin="400000",
    last4="1234",
    expiry=CardExpiry(year=2027, month=2),
    issued_on=DAY,
)


def balance_after(*events: Any) -> Balance:
    return fold_records(BALANCES, recorded(ACCOUNT, *OPENED, *events))[ACCOUNT,]


def transactions_of(*events: Any) -> list[Transaction]:
    return rows_of(TRANSACTIONS, recorded(ACCOUNT, *OPENED, *events))


def ledger_after(*events: Any) -> dict[tuple[GL, str], tuple[int, int]]:
    rows = fold_records(LEDGER, recorded(ACCOUNT, *OPENED, *events)).values()
    return {(row.gl, row.currency): (row.debit, row.credit) for row in rows}


def customer_after(*events: Any) -> CustomerTwin:
    return fold_records(CUSTOMERS, recorded(ADA, *active(), *events))[ADA,]


def card_after(*events: Any) -> CardRow:
    return fold_records(CARDS, recorded(CARD, ISSUED, *events))[CARD,]


def credited(minor: int, balance_after: int, days_later: int = 0) -> MoneyCredited:
    return MoneyCredited(
        movement_id=MOVEMENT,
        kind=MovementKind.PAYMENT,
        amount=eur(minor),
        booking_date=DAY,
        value_date=DAY + timedelta(days=days_later),
        postings=transfer_postings(GL.NOSTRO, GL.CUSTOMER_DEPOSITS, minor, "EUR"),
        balance_after=eur(balance_after),
        plain_counterparty="Corner Grocery",
        reference=sealed(ADA, Retention.PAYMENT),
    )


HELD = HoldPlaced(hold_id=HOLD, amount=eur(30_00), kind=MovementKind.PAYMENT)


def captured(minor: int, remaining: int, balance_after: int) -> HoldCaptured:
    return HoldCaptured(
        hold_id=HOLD,
        movement_id=MOVEMENT,
        kind=MovementKind.PAYMENT,
        captured=eur(minor),
        released=eur(0),
        remaining=eur(remaining),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.NOSTRO, minor, "EUR"),
        balance_after=eur(balance_after),
    )


def test_an_opened_account_has_its_overdraft_available() -> None:
    row = balance_after()
    assert (row.status, row.ledger, row.available) == (Status.OPEN, 0, 50_00)


def test_a_deposit_raises_ledger_and_available() -> None:
    row = balance_after(deposited(100_00))
    assert (row.ledger, row.available) == (100_00, 150_00)


def test_a_hold_lowers_only_what_is_available() -> None:
    row = balance_after(deposited(100_00), HELD)
    assert (row.ledger, row.held, row.available) == (100_00, 30_00, 120_00)


def test_a_hold_captured_in_part_keeps_the_rest_held() -> None:
    row = balance_after(deposited(100_00), HELD, captured(10_00, 20_00, 90_00))
    assert row.holds == {
        HOLD: OpenHold(
            remaining=20_00,
            kind=MovementKind.PAYMENT,
            expires_at=None,
            reference=None,
            reference_in=None,
        )
    }
    assert (row.ledger, row.held, row.available) == (90_00, 20_00, 120_00)


def test_a_credit_with_a_later_value_date_is_not_yet_available() -> None:
    row = balance_after(credited(100_00, 100_00, days_later=2))
    assert (row.ledger, row.uncollected, row.available) == (100_00, 100_00, 50_00)


def test_a_blocked_amount_is_not_available() -> None:
    blocked = AccountRestricted(
        restriction_id=RESTRICTION, direction=Direction.DEBIT, reason="COURT", amount=eur(20_00)
    )
    row = balance_after(deposited(100_00), blocked)
    assert (row.blocked, row.available) == (20_00, 130_00)


def test_a_joint_holder_does_not_become_the_owner() -> None:
    row = balance_after(HolderAdded(customer_id=BOB, role=HolderRole.AUTHORIZED))
    assert row.customer_id == ADA
    assert row.holders == {ADA: HolderRole.OWNER, BOB: HolderRole.AUTHORIZED}


def test_a_closed_account_says_so() -> None:
    assert balance_after(AccountClosed(reason="moved", on=DAY)).status is Status.CLOSED


@given(chronicles())
def test_every_balance_is_what_its_account_says(chronicle: Chronicle) -> None:
    rows = fold_records(BALANCES, chronicle.records)
    assert len(rows) == 2
    for (account_id,), row in rows.items():
        account = chronicle.history.state(Account, account_id)
        assert _as_row(row) == _as_account(account)
        assert row.version == len(chronicle.history.streams[account_id])


def _as_row(row: Balance) -> tuple[Any, ...]:
    return (
        row.status,
        row.currency,
        row.ledger,
        row.held,
        row.uncollected,
        row.blocked,
        row.overdraft_limit,
        row.available,
        row.holders,
        {hold_id: (hold.remaining, hold.kind) for hold_id, hold in row.holds.items()},
        [(a.movement_id, a.minor, a.value_date) for a in row.awaited],
        [(r.restriction_id, r.direction, r.amount, r.customer_id) for r in row.restrictions],
    )


def _as_account(account: Account) -> tuple[Any, ...]:
    return (
        account.status,
        account.currency,
        account.ledger,
        account.held,
        account.uncollected,
        account.blocked,
        account.overdraft_limit,
        account.available,
        account.holders,
        {hold_id: (hold.remaining, hold.kind) for hold_id, hold in account.holds.items()},
        [(a.movement_id, a.minor, a.value_date) for a in account.awaiting],
        [(r.restriction_id, r.direction, r.amount, r.customer_id) for r in account.restrictions],
    )


def test_a_movement_is_one_line_of_the_statement() -> None:
    (first, second) = transactions_of(deposited(100_00), credited(20_00, 120_00))
    assert (first.kind, first.amount, first.balance_after) == (MovementKind.CASH, 100_00, 100_00)
    assert (second.event, second.balance_after) == ("account.credited.v2", 120_00)
    assert (second.counterparty, second.sealed_counterparty) == ("Corner Grocery", False)
    assert (second.reference, second.sealed_reference) == (None, True)


def test_a_debit_is_negative_on_the_statement() -> None:
    (_, line) = transactions_of(deposited(100_00), HELD, captured(10_00, 20_00, 90_00))
    assert (line.amount, line.hold_id) == (-10_00, HOLD)


@given(chronicles())
def test_a_statement_adds_up_to_the_balance(chronicle: Chronicle) -> None:
    sums = dict.fromkeys((ACCOUNT, OTHER_ACCOUNT), 0)
    for line in rows_of(TRANSACTIONS, chronicle.records):
        sums[line.account_id] += line.amount
        assert line.balance_after == sums[line.account_id]
    balances = fold_records(BALANCES, chronicle.records)
    assert {(account,): total for account, total in sums.items()} == {
        key: row.ledger for key, row in balances.items()
    }


def test_every_leg_is_posted_to_its_account_of_the_ledger() -> None:
    assert ledger_after(deposited(100_00), captured(10_00, 0, 90_00)) == {
        (GL.TILL_CASH, "EUR"): (100_00, 0),
        (GL.CUSTOMER_DEPOSITS, "EUR"): (10_00, 100_00),
        (GL.NOSTRO, "EUR"): (0, 10_00),
    }


def test_the_ledger_keeps_each_booking_day_apart() -> None:
    later = replace(deposited(5_00, 105_00), booking_date=DAY + timedelta(days=1))
    rows = fold_records(LEDGER, recorded(ACCOUNT, *OPENED, deposited(100_00), later))
    assert {(row.gl, row.booking_date): row.debit for row in rows.values() if row.debit} == {
        (GL.TILL_CASH, DAY): 100_00,
        (GL.TILL_CASH, DAY + timedelta(days=1)): 5_00,
    }


@given(chronicles())
def test_debits_equal_credits_and_2010_equals_the_accounts(chronicle: Chronicle) -> None:
    rows = list(fold_records(LEDGER, chronicle.records).values())
    assert sum(row.debit for row in rows) == sum(row.credit for row in rows)
    deposits = [row for row in rows if row.gl is GL.CUSTOMER_DEPOSITS]
    balances = fold_records(BALANCES, chronicle.records).values()
    assert sum(row.credit - row.debit for row in deposits) == sum(row.ledger for row in balances)


def test_an_approved_customer_is_active() -> None:
    row = customer_after()
    assert (row.status, row.kyc_tier, row.evidence) == (CustomerStatus.ACTIVE, 2, 0)


def test_a_restricted_customer_is_active_again_when_the_restriction_is_lifted() -> None:
    restricted = CustomerRestricted(
        restriction_id=RESTRICTION,
        direction=Direction.ALL,
        reason_code="COURT",
        legal_basis="ORDER",
    )
    assert customer_after(restricted).status is CustomerStatus.RESTRICTED
    lifted = CustomerRestrictionLifted(restriction_id=RESTRICTION)
    assert customer_after(restricted, lifted).status is CustomerStatus.ACTIVE


def test_a_personal_value_is_found_by_the_version_that_set_it() -> None:
    email = CustomerContactChanged(email=sealed(ADA, Retention.CONTACT))
    again = CustomerContactChanged(email=sealed(ADA, Retention.CONTACT))
    assert customer_after(email, again).personal == {"name": 1, "email": 5}


def test_a_customer_shows_which_accounts_he_holds() -> None:
    assert customer_after(*owning(ACCOUNT)).accounts == {ACCOUNT: HolderRole.OWNER}


def test_a_withdrawn_consent_says_since_when() -> None:
    granted = ConsentGranted(purpose="marketing", version="1", granted_on=OPENING_DAY)
    withdrawn = ConsentWithdrawn(purpose="marketing", version="1", withdrawn_on=DAY)
    assert customer_after(granted, withdrawn).consents["marketing"].withdrawn_on == DAY


def test_a_card_that_was_frozen_before_it_was_blocked_is_frozen_still() -> None:
    events = [CardActivated(on=DAY), CardFrozen(), CardBlocked(reason="fraud")]
    assert card_after(*events).status is CardStatus.BLOCKED
    assert card_after(*events, CardUnblocked(reason="cleared")).status is CardStatus.FROZEN


def test_a_replaced_card_is_closed_and_names_its_successor() -> None:
    replaced = CardReplaced(new_card_id=NEW_CARD, reason=CardEndReason.LOST, on=DAY)
    row = card_after(CardActivated(on=DAY), replaced)
    assert (row.status, row.replaced_by) == (CardStatus.CLOSED, NEW_CARD)


CARD_EVENTS: list[CardEvent] = [
    CardActivated(on=DAY),
    CardFrozen(),
    CardUnfrozen(),
    CardBlocked(reason="fraud"),
    CardUnblocked(reason="cleared"),
    CardExpired(on=DAY),
    CardClosed(reason=CardEndReason.LOST, on=DAY),
    CardSpendControlSet(control=SpendControl(control_id=HOLD, window=SpendWindow.DAY, count=3)),
    CardSpendControlRemoved(control_id=HOLD),
]


@given(st.lists(st.sampled_from(CARD_EVENTS), max_size=8))
def test_a_card_is_what_its_aggregate_says(happened: list[CardEvent]) -> None:
    row = card_after(*happened)
    card = Card().after([ISSUED, *happened])
    assert row.status is card.status
    assert row.spend_controls == tuple(card.spend_controls.values())


WALLETS: list[CardEvent] = [
    CardTokenRequested(
        token_id=token, wallet=Wallet.APPLE_PAY, device_ref="device-7", second_factor=pending
    )
    for token, pending in ((HOLD, True), (MOVEMENT, False))
]
PIN_AND_WALLET_EVENTS: list[CardEvent] = [
    PinSet(pvv_ref=HOLD),
    PinTryFailed(tries=2),
    PinVerified(),
    PinBlocked(),
    PinUnblocked(reason="she came"),
    CardCodeChecked(matches=False),
    CardDetokenized(reason="dispute 17", scope=DetokenizeScope.NUMBER),
    *(CardTokenConfirmed(token_id=token) for token in (HOLD, MOVEMENT)),
    *(CardTokenActivated(token_id=token) for token in (HOLD, MOVEMENT)),
    *(CardTokenSuspended(token_id=token, reason="lost") for token in (HOLD, MOVEMENT)),
    CardTokenResumed(token_id=HOLD),
    CardTokenDeactivated(token_id=HOLD, reason="sold"),
]


# A card whose number is forgotten is closed in the same decision, so its PIN comes to nothing more.
@given(
    st.lists(st.sampled_from(PIN_AND_WALLET_EVENTS), max_size=8),
    st.sampled_from([[], [CardNumberErased(erasure_id=HOLD)]]),
)
def test_a_pin_and_the_tokens_in_wallets_are_what_the_card_says(
    happened: list[CardEvent], at_last: list[CardEvent]
) -> None:
    history = [PinSet(pvv_ref=MOVEMENT), *WALLETS, *happened, *at_last]
    row, card = card_after(*history), Card().after([ISSUED, *history])
    assert (row.pin_status, row.pin_tries) == (card.pin_status, card.pin_tries)
    assert row.wallet_tokens == tuple(card.wallet_tokens.values())


def test_a_card_is_of_the_line_that_it_names_and_the_first_of_its_own() -> None:
    assert card_after().line == CARD
    (row,) = fold_records(CARDS, recorded(NEW_CARD, changed(ISSUED, line=CARD))).values()
    assert (row.line, row.token) == (CARD, ISSUED.token)


CUSTOMER_EVENTS: list[CustomerEvent] = [
    EVIDENCE_SUBMITTED,
    APPROVED,
    KycRejected(reasons=("blurred",), reviewer="officer", on=DAY),
    KycInformationRequested(items=("passport",), reviewer="officer", on=DAY),
    KycExpired(on=DAY),
    CustomerScreened(screening_id=HOLD, list_version="1", outcome=ScreeningOutcome.POTENTIAL_MATCH),
    CustomerRiskRated(rating=RiskRating.HIGH, factors=("cash",)),
    ConsentGranted(purpose="marketing", version="1", granted_on=DAY),
    CustomerRestricted(
        restriction_id=RESTRICTION, direction=Direction.ALL, reason_code="C", legal_basis="L"
    ),
    CustomerRestrictionLifted(restriction_id=RESTRICTION),
    CustomerOffboardingStarted(reason="moves", on=DAY),
    CustomerClosed(on=DAY),
]


@given(st.lists(st.sampled_from(CUSTOMER_EVENTS), max_size=10))
def test_a_customer_is_what_its_aggregate_says(happened: list[CustomerEvent]) -> None:
    (row,) = fold_records(CUSTOMERS, recorded(ADA, registered(), *happened)).values()
    customer = Customer().after([registered(), *happened])
    shown = (row.status, row.stage, row.kyc_tier, row.screening, row.risk)
    known = (customer.status, customer.stage, customer.kyc_tier, customer.screening, customer.risk)
    assert shown == known
    restrictions = [restriction.restriction_id for restriction in customer.restrictions]
    assert [restriction.restriction_id for restriction in row.restrictions] == restrictions
    in_force = {p: c.version for p, c in row.consents.items() if c.withdrawn_on is None}
    assert in_force == customer.consents


def test_a_dormant_account_can_be_escheated() -> None:
    escheated = AccountEscheated(
        movement_id=MOVEMENT,
        authority="State",
        amount=eur(5_00),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.ESCHEAT, 5_00, "EUR"),
        balance_after=eur(0),
    )
    row = balance_after(deposited(5_00), AccountBecameDormant(on=DAY), escheated)
    assert (row.status, row.ledger) == (Status.ESCHEATED, 0)


def test_a_waived_fee_names_the_fee_it_gives_back() -> None:
    fee = FeeCharged(
        movement_id=HOLD,
        fee_code="MONTHLY",
        amount=eur(1_00),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.CUSTOMER_DEPOSITS, GL.FEE_INCOME, 1_00, "EUR"),
        balance_after=eur(-1_00),
    )
    waived = FeeWaived(
        movement_id=MOVEMENT,
        original_id=HOLD,
        amount=eur(1_00),
        booking_date=DAY,
        value_date=DAY,
        postings=transfer_postings(GL.FEE_INCOME, GL.CUSTOMER_DEPOSITS, 1_00, "EUR"),
        balance_after=eur(0),
    )
    charged, given_back = transactions_of(fee, waived)
    assert (charged.reference, charged.amount) == ("MONTHLY", -1_00)
    assert (given_back.undoes, given_back.amount) == (HOLD, 1_00)


def test_a_changed_row_is_another_row_and_leaves_the_first_as_it_was() -> None:
    row = balance_after(deposited(100_00))
    other = changed(row, ledger=1, version=9)
    assert other == replace(row, ledger=1, version=9)
    assert row.ledger == 100_00


@given(chronicles())
def test_several_records_at_once_are_one_after_the_other(chronicle: Chronicle) -> None:
    for document in (p for p in PROJECTIONS if isinstance(p, Document)):
        happened: dict[Any, list[Any]] = {}
        for record in chronicle.records:
            if isinstance(record.event, tuple(document.events)):
                for key in document.keys(record):
                    happened.setdefault(key, []).append(record)
        at_once = {key: document.fold_all(None, some, key) for key, some in happened.items()}
        assert at_once == fold_records(document, chronicle.records)
