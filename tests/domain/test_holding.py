from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.account import (
    AccountActivated,
    AccountClosed,
    AccountIsClosed,
    AccountIsRestricted,
    AccountOpened,
    AccountRestricted,
    AccountRestrictionLifted,
    AlreadyHolder,
    DepositCash,
    HolderAdded,
    HolderRole,
    LimitNegative,
    Product,
    SecondPersonNeeded,
)
from domain.customer import (
    AccountLinked,
    CustomerClosed,
    CustomerHasOpenAccounts,
    CustomerIsClosed,
    CustomerIsRestricted,
    CustomerNotActive,
    CustomerNotOffboarding,
    CustomerOffboardingStarted,
    CustomerRestricted,
    CustomerRestrictionLifted,
    CustomerScreened,
    KycIsExpired,
    ScreeningMatch,
    ScreeningOutcome,
)
from domain.holding import (
    AddHolder,
    CloseCustomer,
    CurrencyUnknown,
    LiftCustomerRestriction,
    OpenAccount,
    RecordScreeningResult,
    RestrictCustomer,
)
from domain.iban import IbanMalformed
from domain.money import CurrencyMismatch, Money
from domain.personal import Personal, Retention, Unsealed
from domain.postings import GL_MAP_VERSION
from domain.refusal import AlreadyExists, NotFound
from domain.restriction import Direction, RestrictionExists, RestrictionUnknown
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    DAY,
    MOVEMENT,
    OPENED,
    OTHER_ACCOUNT,
    OTHER_RESTRICTION,
    RESTRICTION,
    VALID_UNTIL,
    active,
    eur,
    opened,
    owning,
    registered,
)
from tests.scenario import Written, given, on

OPEN = OpenAccount(
    account_id=ACCOUNT,
    customer_id=ADA,
    product=Product.SAVINGS,
    currency="EUR",
    opened_on=DAY,
)
ADD_BOB = AddHolder(account_id=ACCOUNT, customer_id=BOB, role=HolderRole.AUTHORIZED, on=DAY)
RESTRICT = RestrictCustomer(
    customer_id=ADA,
    restriction_id=RESTRICTION,
    direction=Direction.DEBIT,
    reason_code="FRAUD_SUSPECTED",
    legal_basis="AML act, section 20",
)
LIFT = LiftCustomerRestriction(customer_id=ADA, restriction_id=RESTRICTION)
CLOSE = CloseCustomer(customer_id=ADA, on=DAY)
RESTRICTED = CustomerRestricted(
    restriction_id=RESTRICTION,
    direction=Direction.DEBIT,
    reason_code="FRAUD_SUSPECTED",
    legal_basis="AML act, section 20",
)
ACCOUNT_RESTRICTED = AccountRestricted(
    restriction_id=RESTRICTION,
    direction=Direction.DEBIT,
    reason="CUSTOMER_RESTRICTED",
    customer_id=ADA,
)
LIFTED = CustomerRestrictionLifted(restriction_id=RESTRICTION)
ACCOUNT_CLOSED = AccountClosed(reason="END_USER_REQUEST", on=DAY)
LEAVING = CustomerOffboardingStarted(reason="END_USER_REQUEST", on=DAY)
EXPECTED = AccountOpened(
    customer_id=ADA,
    product=Product.SAVINGS,
    currency="EUR",
    overdraft_limit=eur(0),
    opened_on=DAY,
    fees_may_overdraw=False,
    gl_map_version=GL_MAP_VERSION,
)
LINKED = AccountLinked(account_id=ACCOUNT, role=HolderRole.OWNER, on=DAY)


def ada(*accounts: UUID, then: tuple[Any, ...] = ()) -> Written:
    """Ada, who is active and owns `accounts`."""
    return on(ADA, *active(), *owning(*accounts), *then)


# --- opening an account ---------------------------------------------------------------------------


def test_an_account_is_opened_for_an_active_customer_and_linked_to_him() -> None:
    given(ada()).when(OPEN).then(on(ACCOUNT, EXPECTED, AccountActivated(on=DAY)), on(ADA, LINKED))


def test_an_account_s_number_is_its_owner_s_and_kept_as_long_as_who_he_is() -> None:
    number: Personal[str] = Unsealed(clear="CZ65 0800 0000 1920 0014 5399")
    numbered = Unsealed(subject=ADA, retention=Retention.IDENTITY, clear="CZ6508000000192000145399")
    given(ada()).when(replace(OPEN, iban=number)).then(
        on(ACCOUNT, replace(EXPECTED, iban=numbered), AccountActivated(on=DAY)), on(ADA, LINKED)
    )


def test_an_account_s_number_has_its_check_digits() -> None:
    wrong = replace(OPEN, iban=Unsealed(clear="CZ66 0800 0000 1920 0014 5399"))
    given(ada()).when(wrong).refused(IbanMalformed)


def test_an_account_may_wait_for_its_activation() -> None:
    given(ada()).when(replace(OPEN, activate=False)).then(on(ACCOUNT, EXPECTED), on(ADA, LINKED))


def test_nobody_grants_an_overdraft_alone_by_opening_an_account_with_one() -> None:
    given(ada()).when(replace(OPEN, overdraft_limit=eur(50_00))).refused(SecondPersonNeeded)
    given(ada()).when(replace(OPEN, overdraft_limit=eur(0))).then(
        on(ACCOUNT, EXPECTED, AccountActivated(on=DAY)), on(ADA, LINKED)
    )
    given(ada()).when(replace(OPEN, overdraft_limit=Money(minor=1, currency="USD"))).refused(
        CurrencyMismatch
    )
    given(ada()).when(replace(OPEN, overdraft_limit=eur(-1))).refused(LimitNegative)


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "XAU", "BTC"])
def test_an_account_holds_a_currency_of_iso_4217(currency: str) -> None:
    given(ada()).when(replace(OPEN, currency=currency)).refused(CurrencyUnknown)


def test_an_account_id_is_taken_once() -> None:
    given(ada(ACCOUNT), on(ACCOUNT, *OPENED)).when(OPEN).refused(AlreadyExists)


def test_no_account_is_opened_for_a_stranger_a_prospect_or_a_restricted_customer() -> None:
    given().when(OPEN).refused(NotFound)
    given(on(ADA, registered())).when(OPEN).refused(CustomerNotActive)
    given(ada(then=(RESTRICTED,))).when(OPEN).refused(CustomerIsRestricted)


def test_no_account_is_opened_after_the_approval_has_expired() -> None:
    given(ada()).when(replace(OPEN, opened_on=VALID_UNTIL)).outcome()
    given(ada()).when(replace(OPEN, opened_on=VALID_UNTIL.replace(day=3))).refused(KycIsExpired)


# --- holders --------------------------------------------------------------------------------------


def test_adding_a_holder_is_recorded_on_the_account_and_on_the_customer() -> None:
    given(on(BOB, *active(BOB)), on(ACCOUNT, *OPENED)).when(ADD_BOB).then(
        on(ACCOUNT, HolderAdded(customer_id=BOB, role=HolderRole.AUTHORIZED, on=DAY)),
        on(BOB, AccountLinked(account_id=ACCOUNT, role=HolderRole.AUTHORIZED, on=DAY)),
    )


def test_a_holder_is_added_once_and_must_be_active() -> None:
    bob = HolderAdded(customer_id=BOB, role=HolderRole.OWNER)
    given(on(BOB, *active(BOB)), on(ACCOUNT, *OPENED, bob)).when(ADD_BOB).refused(AlreadyHolder)
    given(on(BOB, registered(BOB)), on(ACCOUNT, *OPENED)).when(ADD_BOB).refused(CustomerNotActive)
    given(on(ACCOUNT, *OPENED)).when(ADD_BOB).refused(NotFound)


def test_nobody_is_added_to_an_account_that_is_unknown_or_closed() -> None:
    given(on(BOB, *active(BOB))).when(ADD_BOB).refused(NotFound)
    given(on(BOB, *active(BOB)), on(ACCOUNT, *OPENED, ACCOUNT_CLOSED)).when(ADD_BOB).refused(
        AccountIsClosed
    )


# --- restricting a customer -----------------------------------------------------------------------


def test_a_customer_s_restriction_is_in_force_on_every_living_account_that_he_owns() -> None:
    pending, closed, authorized = UUID(int=1), UUID(int=2), UUID(int=3)
    history = (
        ada(
            ACCOUNT,
            pending,
            closed,
            then=(AccountLinked(account_id=authorized, role=HolderRole.AUTHORIZED),),
        ),
        on(ACCOUNT, *OPENED),
        on(pending, opened()),
        on(closed, *OPENED, ACCOUNT_CLOSED),
        on(authorized, opened(customer=BOB), AccountActivated()),
    )

    given(*history).when(RESTRICT).then(
        on(ADA, RESTRICTED), on(ACCOUNT, ACCOUNT_RESTRICTED), on(pending, ACCOUNT_RESTRICTED)
    )


def test_the_account_of_a_restricted_customer_gives_nothing_out() -> None:
    frozen = replace(ACCOUNT_RESTRICTED, direction=Direction.ALL)
    given(on(ACCOUNT, *OPENED, frozen)).when(
        DepositCash(account_id=ACCOUNT, movement_id=MOVEMENT, amount=eur(1), booking_date=DAY)
    ).refused(AccountIsRestricted)


def test_a_restriction_id_is_in_force_once() -> None:
    given(ada(then=(RESTRICTED,))).when(RESTRICT).refused(RestrictionExists)
    by_court = replace(ACCOUNT_RESTRICTED, customer_id=None)
    given(ada(ACCOUNT), on(ACCOUNT, *OPENED, by_court)).when(RESTRICT).refused(RestrictionExists)


def test_only_a_customer_of_the_bank_is_restricted() -> None:
    given().when(RESTRICT).refused(NotFound)
    given(ada(then=(LEAVING, CustomerClosed(on=DAY)))).when(RESTRICT).refused(CustomerIsClosed)


def test_lifting_a_customer_s_restriction_lifts_it_on_his_accounts() -> None:
    given(
        ada(ACCOUNT, OTHER_ACCOUNT, then=(RESTRICTED,)),
        on(ACCOUNT, *OPENED, ACCOUNT_RESTRICTED),
        on(OTHER_ACCOUNT, *OPENED, ACCOUNT_RESTRICTED),
    ).when(LIFT).then(
        on(ADA, LIFTED),
        on(ACCOUNT, AccountRestrictionLifted(restriction_id=RESTRICTION)),
        on(OTHER_ACCOUNT, AccountRestrictionLifted(restriction_id=RESTRICTION)),
    )


def test_lifting_leaves_other_restrictions_and_closed_accounts_alone() -> None:
    by_court = AccountRestricted(
        restriction_id=OTHER_RESTRICTION, direction=Direction.ALL, reason="COURT"
    )
    given(
        ada(ACCOUNT, OTHER_ACCOUNT, then=(RESTRICTED,)),
        on(ACCOUNT, *OPENED, by_court),
        on(OTHER_ACCOUNT, *OPENED, ACCOUNT_RESTRICTED, ACCOUNT_CLOSED),
    ).when(LIFT).then(on(ADA, LIFTED))


def test_a_restriction_that_is_not_in_force_is_not_lifted() -> None:
    given(ada()).when(LIFT).refused(RestrictionUnknown)
    given(ada(then=(RESTRICTED, LIFTED))).when(LIFT).refused(RestrictionUnknown)


# --- screening ------------------------------------------------------------------------------------


def screening(outcome: ScreeningOutcome) -> RecordScreeningResult:
    return RecordScreeningResult(
        customer_id=ADA,
        screening_id=RESTRICTION,
        list_version="OFAC 2024-03-01",
        outcome=outcome,
        matches=(ScreeningMatch(list_name="OFAC", entity_id="123", score=91),),
    )


def screened(outcome: ScreeningOutcome) -> CustomerScreened:
    return CustomerScreened(
        screening_id=RESTRICTION,
        list_version="OFAC 2024-03-01",
        outcome=outcome,
        matches=(ScreeningMatch(list_name="OFAC", entity_id="123", score=91),),
    )


@pytest.mark.parametrize("outcome", [ScreeningOutcome.CLEAR, ScreeningOutcome.POTENTIAL_MATCH])
def test_a_screening_without_a_confirmed_match_restricts_nothing(
    outcome: ScreeningOutcome,
) -> None:
    given(ada(ACCOUNT), on(ACCOUNT, *OPENED)).when(screening(outcome)).then(
        on(ADA, screened(outcome))
    )


def test_a_confirmed_match_freezes_the_customer_and_his_accounts() -> None:
    given(ada(ACCOUNT), on(ACCOUNT, *OPENED)).when(
        screening(ScreeningOutcome.CONFIRMED_MATCH)
    ).then(
        on(
            ADA,
            screened(ScreeningOutcome.CONFIRMED_MATCH),
            CustomerRestricted(
                restriction_id=RESTRICTION,
                direction=Direction.ALL,
                reason_code="SCREENING_CONFIRMED_MATCH",
                legal_basis="OFAC 2024-03-01",
            ),
        ),
        on(ACCOUNT, replace(ACCOUNT_RESTRICTED, direction=Direction.ALL)),
    )


def test_the_account_s_history_does_not_tell_why_its_customer_is_restricted() -> None:
    written = dict(
        given(ada(ACCOUNT), on(ACCOUNT, *OPENED))
        .when(screening(ScreeningOutcome.CONFIRMED_MATCH))
        .outcome()
    )

    assert "SCREENING" not in repr(written[ACCOUNT])
    assert "OFAC" not in repr(written[ACCOUNT])


def test_nobody_screens_a_stranger_or_a_closed_customer() -> None:
    clear = screening(ScreeningOutcome.CLEAR)
    given().when(clear).refused(NotFound)
    given(ada(then=(LEAVING, CustomerClosed(on=DAY)))).when(clear).refused(CustomerIsClosed)


# --- closing a customer ---------------------------------------------------------------------------


def test_a_customer_is_closed_after_all_accounts_that_he_owns() -> None:
    history = (
        ada(ACCOUNT, then=(LEAVING,)),
        on(ACCOUNT, *OPENED, ACCOUNT_CLOSED),
    )
    given(*history).when(CLOSE).then(on(ADA, CustomerClosed(on=DAY)))


def test_a_customer_with_a_living_account_is_not_closed() -> None:
    given(
        ada(ACCOUNT, OTHER_ACCOUNT, then=(LEAVING,)),
        on(ACCOUNT, *OPENED, ACCOUNT_CLOSED),
        on(OTHER_ACCOUNT, *OPENED),
    ).when(CLOSE).refused(CustomerHasOpenAccounts, accounts=[str(OTHER_ACCOUNT)])


def test_somebody_else_s_account_does_not_keep_a_customer() -> None:
    authorized = AccountLinked(account_id=ACCOUNT, role=HolderRole.AUTHORIZED)
    given(ada(then=(authorized, LEAVING)), on(ACCOUNT, *OPENED)).when(CLOSE).then(
        on(ADA, CustomerClosed(on=DAY))
    )


def test_a_customer_is_closed_only_while_leaving() -> None:
    given(ada()).when(CLOSE).refused(CustomerNotOffboarding)
    given().when(CLOSE).refused(NotFound)
