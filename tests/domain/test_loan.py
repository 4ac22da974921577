from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.account import (
    AccountIsRestricted,
    AccountRestricted,
    AccountRestrictionLifted,
    HolderAdded,
    HolderRole,
    MoneyCredited,
    MovementKind,
    NotHolder,
    NotReversible,
)
from domain.customer import (
    CustomerIsRestricted,
    CustomerNotActive,
    CustomerRestricted,
    DocumentHashMalformed,
)
from domain.duties import MakerIsChecker, NobodyNamed
from domain.loan import (
    AcceptLoanOffer,
    AddLoanGuarantor,
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    BorrowerIsGuarantor,
    DeclineLoan,
    DisburseLoan,
    DocumentKindsMalformed,
    DocumentNotRequested,
    DocumentsMissing,
    DraftLoan,
    GuarantorExists,
    GuarantorUnknown,
    LoanApplied,
    LoanCase,
    LoanDeclined,
    LoanDisbursed,
    LoanDocumentReceived,
    LoanDocumentsRequested,
    LoanDrafted,
    LoanGuarantorAdded,
    LoanGuarantorReleased,
    LoanOfferAccepted,
    LoanOffered,
    LoanPurpose,
    LoanRateImpossible,
    LoanStage,
    LoanStageWrong,
    LoanTermImpossible,
    LoanUnderwritingBegun,
    LoanWithdrawn,
    OfferAccepted,
    OfferExceedsRequest,
    OfferNotAccepted,
    OfferPast,
    ReasonMissing,
    ReceiveLoanDocument,
    ReleaseLoanGuarantor,
    RequestLoanDocuments,
    WithdrawLoan,
)
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.postings import GL, transfer_postings
from domain.refusal import AlreadyExists, HappenedBefore, NotFound, Refusal
from domain.restriction import Direction
from domain.transfer import ReverseMovement
from tests.examples import (
    ACCOUNT,
    ADA,
    BOB,
    CORRECTION,
    DOC_HASH,
    MOVEMENT,
    OPENED,
    RESTRICTION,
    active,
    eur,
    owning,
    registered,
)
from tests.scenario import given, on

CASE = UUID("00000000-0000-4000-8000-00000000001c")
DOCUMENT = UUID("00000000-0000-4000-8000-0000000000dc")
MONDAY = datetime(2024, 3, 4, 9, tzinfo=UTC)


def day(number: int) -> datetime:
    """So many days after a Monday."""
    return MONDAY + timedelta(days=number)


DRAFTED = LoanDrafted(
    customer_id=ADA,
    account_id=ACCOUNT,
    requested=eur(10_000_00),
    term_months=60,
    purpose=LoanPurpose.VEHICLE,
    occurred_at=day(0),
)
APPLIED = LoanApplied(occurred_at=day(1))
VOUCHED = LoanGuarantorAdded(guarantor_id=BOB, amount=eur(2_000_00), occurred_at=day(1))
ASKED = LoanDocumentsRequested(kinds=("PAYSLIP", "LEASE"), occurred_at=day(2))
PAYSLIP = LoanDocumentReceived(
    document_id=DOCUMENT, kind="PAYSLIP", doc_hash=DOC_HASH, maker="clerk", occurred_at=day(3)
)
LEASE = replace(PAYSLIP, kind="LEASE")
BEGUN = LoanUnderwritingBegun(underwriter="una", occurred_at=day(4))
OFFERED = LoanOffered(
    amount=eur(8_000_00),
    rate_basis_points=590,
    term_months=72,
    valid_until=date(2024, 4, 1),
    underwriter="una",
    approver="ava",
    occurred_at=day(5),
)
ACCEPTED = LoanOfferAccepted(occurred_at=day(6))
DISBURSED = LoanDisbursed(
    movement_id=MOVEMENT,
    account_id=ACCOUNT,
    amount=eur(8_000_00),
    booking_date=day(7).date(),
    occurred_at=day(7),
)
PAID = MoneyCredited(
    movement_id=MOVEMENT,
    kind=MovementKind.LOAN,
    amount=eur(8_000_00),
    booking_date=day(7).date(),
    value_date=day(7).date(),
    postings=transfer_postings(GL.LOAN_PRINCIPAL, GL.CUSTOMER_DEPOSITS, 8_000_00, "EUR"),
    balance_after=eur(8_000_00),
    plain_reference=f"loan {CASE}",
)
DECLINED = LoanDeclined(reviewer="una", reasons=("INCOME_TOO_LOW",), occurred_at=day(9))
WITHDRAWN = LoanWithdrawn(reason="borrowed elsewhere", occurred_at=day(9))

IN_DOCUMENTS = (DRAFTED, APPLIED, ASKED)
IN_UNDERWRITING = (*IN_DOCUMENTS, PAYSLIP, LEASE, BEGUN)
IN_OFFER = (*IN_UNDERWRITING, OFFERED)
READY = (*IN_OFFER, ACCEPTED)

DRAFT = DraftLoan(
    case_id=CASE,
    customer_id=ADA,
    account_id=ACCOUNT,
    requested=eur(10_000_00),
    term_months=60,
    purpose=LoanPurpose.VEHICLE,
    occurred_at=day(0),
)
APPLY = ApplyForLoan(case_id=CASE, occurred_at=day(1))
VOUCH = AddLoanGuarantor(case_id=CASE, guarantor_id=BOB, amount=eur(2_000_00), occurred_at=day(1))
RELEASE = ReleaseLoanGuarantor(case_id=CASE, guarantor_id=BOB, occurred_at=day(9))
ASK = RequestLoanDocuments(case_id=CASE, kinds=("PAYSLIP", "LEASE"), occurred_at=day(2))
RECEIVE = ReceiveLoanDocument(
    case_id=CASE,
    document_id=DOCUMENT,
    kind="PAYSLIP",
    doc_hash=DOC_HASH,
    maker="clerk",
    occurred_at=day(3),
)
BEGIN = BeginUnderwriting(case_id=CASE, underwriter="una", occurred_at=day(4))
APPROVE = ApproveLoan(
    case_id=CASE,
    approver="ava",
    amount=eur(8_000_00),
    rate_basis_points=590,
    term_months=72,
    valid_until=date(2024, 4, 1),
    occurred_at=day(5),
)
ACCEPT = AcceptLoanOffer(case_id=CASE, occurred_at=day(6))
DISBURSE = DisburseLoan(
    case_id=CASE, movement_id=MOVEMENT, booking_date=day(7).date(), occurred_at=day(7)
)
DECLINE = DeclineLoan(case_id=CASE, reviewer="una", reasons=("INCOME_TOO_LOW",), occurred_at=day(9))
WITHDRAW = WithdrawLoan(case_id=CASE, reason="borrowed elsewhere", occurred_at=day(9))

ADA_BANKS = (on(ADA, *active(), *owning(ACCOUNT)), on(ACCOUNT, *OPENED))
"""An active customer and her account."""


# --- the application ------------------------------------------------------------------------------


def test_a_loan_is_drafted_for_a_customer_and_the_account_that_it_is_paid_to() -> None:
    given(*ADA_BANKS).when(DRAFT).then(on(CASE, DRAFTED))


def test_a_case_is_drafted_once() -> None:
    given(*ADA_BANKS, on(CASE, DRAFTED)).when(DRAFT).refused(AlreadyExists)


def test_nobody_is_lent_to_whom_the_bank_does_not_know() -> None:
    given(on(ADA, registered()), on(ACCOUNT, *OPENED)).when(DRAFT).refused(CustomerNotActive)


def test_a_loan_is_paid_to_an_account_of_the_borrower_s_own() -> None:
    authorized = HolderAdded(customer_id=BOB, role=HolderRole.AUTHORIZED)
    banks = (on(BOB, *active(BOB)), on(ACCOUNT, *OPENED, authorized))
    given(*banks).when(replace(DRAFT, customer_id=BOB)).refused(NotHolder)
    given(on(ADA, *active())).when(DRAFT).refused(NotFound)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"requested": Money(minor=1, currency="USD")}, CurrencyMismatch),
        ({"requested": eur(0)}, AmountNotPositive),
        ({"term_months": 0}, LoanTermImpossible),
        ({"term_months": 481}, LoanTermImpossible),
    ],
)
def test_what_cannot_be_lent_is_not_drafted(wrong: dict[str, Any], refusal: type[Refusal]) -> None:
    given(*ADA_BANKS).when(replace(DRAFT, **wrong)).refused(refusal)


def test_a_draft_becomes_an_application() -> None:
    given(LoanCase, DRAFTED).when(APPLY).then(APPLIED)
    given(LoanCase, DRAFTED, APPLIED).when(APPLY).refused(LoanStageWrong)
    given(LoanCase).when(APPLY).refused(NotFound)


def test_nothing_happens_before_what_it_follows() -> None:
    given(LoanCase, DRAFTED).when(replace(APPLY, occurred_at=day(-1))).refused(HappenedBefore)


# --- guarantors -----------------------------------------------------------------------------------


def test_another_customer_vouches_until_an_offer_is_made() -> None:
    bob = on(BOB, *active(BOB))
    given(on(CASE, DRAFTED), bob).when(VOUCH).then(on(CASE, VOUCHED))
    given(on(CASE, *IN_OFFER), bob).when(replace(VOUCH, occurred_at=day(9))).refused(LoanStageWrong)


def test_who_vouches_is_an_active_customer_and_not_the_borrower() -> None:
    given(on(CASE, DRAFTED), on(BOB, registered(BOB))).when(VOUCH).refused(CustomerNotActive)
    given(on(CASE, DRAFTED)).when(VOUCH).refused(NotFound)
    given(on(CASE, DRAFTED), on(ADA, *active())).when(replace(VOUCH, guarantor_id=ADA)).refused(
        BorrowerIsGuarantor
    )


def test_one_vouches_once_and_in_the_currency_of_the_loan() -> None:
    bob = on(BOB, *active(BOB))
    given(on(CASE, DRAFTED, VOUCHED), bob).when(VOUCH).refused(GuarantorExists)
    given(on(CASE, DRAFTED), bob).when(
        replace(VOUCH, amount=Money(minor=1, currency="USD"))
    ).refused(CurrencyMismatch)


def test_who_vouches_is_released_until_an_offer_is_made() -> None:
    released = LoanGuarantorReleased(guarantor_id=BOB, occurred_at=day(9))
    given(LoanCase, DRAFTED, VOUCHED).when(RELEASE).then(released)
    given(LoanCase, DRAFTED).when(RELEASE).refused(GuarantorUnknown)
    given(LoanCase, DRAFTED, VOUCHED, *IN_OFFER[1:]).when(RELEASE).refused(LoanStageWrong)


# --- documents and underwriting -------------------------------------------------------------------


def test_documents_are_asked_for_and_come() -> None:
    given(LoanCase, DRAFTED, APPLIED).when(ASK).then(ASKED)
    given(LoanCase, *IN_DOCUMENTS).when(RECEIVE).then(PAYSLIP)


def test_only_what_is_missing_is_received() -> None:
    given(LoanCase, *IN_DOCUMENTS, PAYSLIP).when(RECEIVE).refused(DocumentNotRequested)
    given(LoanCase, *IN_DOCUMENTS).when(replace(RECEIVE, kind="DIPLOMA")).refused(
        DocumentNotRequested
    )
    given(LoanCase, *IN_DOCUMENTS).when(replace(RECEIVE, doc_hash="a picture")).refused(
        DocumentHashMalformed
    )


@pytest.mark.parametrize("kinds", [(), ("payslip",), ("PAYSLIP", "")])
def test_documents_are_asked_for_by_their_codes(kinds: tuple[str, ...]) -> None:
    given(LoanCase, DRAFTED, APPLIED).when(replace(ASK, kinds=kinds)).refused(
        DocumentKindsMalformed
    )


def test_underwriting_begins_when_nothing_is_missing() -> None:
    given(LoanCase, *IN_DOCUMENTS, PAYSLIP).when(BEGIN).refused(DocumentsMissing)
    given(LoanCase, *IN_DOCUMENTS, PAYSLIP, LEASE).when(BEGIN).then(BEGUN)
    given(LoanCase, *IN_DOCUMENTS, PAYSLIP, LEASE).when(replace(BEGIN, underwriter=" ")).refused(
        NobodyNamed
    )


def test_an_underwriter_may_ask_for_more() -> None:
    more = LoanDocumentsRequested(kinds=("TAX_RETURN",), occurred_at=day(5))
    asked = given(LoanCase, *IN_UNDERWRITING)
    asked.when(replace(ASK, kinds=("TAX_RETURN",), occurred_at=day(5))).then(more)
    given(LoanCase, *IN_UNDERWRITING, more).when(APPROVE).refused(LoanStageWrong)
    given(LoanCase, *IN_UNDERWRITING, more).when(replace(BEGIN, occurred_at=day(6))).refused(
        DocumentsMissing
    )


# --- the offer ------------------------------------------------------------------------------------


def test_somebody_else_than_the_underwriter_approves() -> None:
    given(LoanCase, *IN_UNDERWRITING).when(APPROVE).then(OFFERED)
    given(LoanCase, *IN_UNDERWRITING).when(replace(APPROVE, approver="una")).refused(MakerIsChecker)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"approver": ""}, NobodyNamed),
        ({"amount": eur(10_000_01)}, OfferExceedsRequest),
        ({"amount": eur(0)}, AmountNotPositive),
        ({"amount": Money(minor=1, currency="USD")}, CurrencyMismatch),
        ({"term_months": 0}, LoanTermImpossible),
        ({"rate_basis_points": -1}, LoanRateImpossible),
        ({"rate_basis_points": 10_001}, LoanRateImpossible),
        ({"valid_until": date(2024, 3, 8)}, OfferPast),
    ],
)
def test_what_cannot_be_offered_is_not_approved(
    wrong: dict[str, Any], refusal: type[Refusal]
) -> None:
    given(LoanCase, *IN_UNDERWRITING).when(replace(APPROVE, **wrong)).refused(refusal)


def test_an_offer_is_accepted_once_and_while_it_is_valid() -> None:
    on_the_last_day = datetime(2024, 4, 1, 23, 59, tzinfo=UTC)

    given(LoanCase, *IN_OFFER).when(ACCEPT).then(ACCEPTED)
    given(LoanCase, *IN_OFFER).when(replace(ACCEPT, occurred_at=on_the_last_day)).then(
        LoanOfferAccepted(occurred_at=on_the_last_day)
    )
    given(LoanCase, *IN_OFFER).when(
        replace(ACCEPT, occurred_at=on_the_last_day + timedelta(minutes=1))
    ).refused(OfferPast)
    given(LoanCase, *READY).when(ACCEPT).refused(OfferAccepted)
    given(LoanCase, *IN_UNDERWRITING).when(ACCEPT).refused(LoanStageWrong)


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history", [(DRAFTED, APPLIED), IN_DOCUMENTS, IN_UNDERWRITING], ids=["first", "then", "last"]
)
def test_a_loan_is_declined_until_an_offer_is_made(history: tuple[Any, ...]) -> None:
    given(LoanCase, *history).when(DECLINE).then(DECLINED)


def test_a_loan_is_declined_by_somebody_and_for_a_reason() -> None:
    given(LoanCase, *IN_UNDERWRITING).when(replace(DECLINE, reviewer="")).refused(NobodyNamed)
    given(LoanCase, *IN_UNDERWRITING).when(replace(DECLINE, reasons=(" ",))).refused(ReasonMissing)
    given(LoanCase, *IN_OFFER).when(DECLINE).refused(LoanStageWrong)


@pytest.mark.parametrize("history", [(DRAFTED,), IN_UNDERWRITING, IN_OFFER, READY])
def test_a_customer_may_change_his_mind_until_the_money_is_paid(history: tuple[Any, ...]) -> None:
    given(LoanCase, *history).when(WITHDRAW).then(WITHDRAWN)


@pytest.mark.parametrize("end", [DECLINED, WITHDRAWN, DISBURSED], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    "command",
    [APPLY, ASK, BEGIN, APPROVE, ACCEPT, DECLINE, WITHDRAW],
    ids=lambda c: type(c).__name__,
)
def test_what_has_ended_stays_so(command: Any, end: Any) -> None:
    later = replace(command, occurred_at=day(20))
    given(LoanCase, *READY, end).when(later).refused(LoanStageWrong)


# --- the money ------------------------------------------------------------------------------------


def test_an_accepted_offer_is_paid_to_the_account_by_one_decision() -> None:
    given(*ADA_BANKS, on(CASE, *READY)).when(DISBURSE).then(on(CASE, DISBURSED), on(ACCOUNT, PAID))


def test_nothing_is_paid_that_was_not_offered_and_accepted() -> None:
    given(*ADA_BANKS, on(CASE, *IN_UNDERWRITING)).when(DISBURSE).refused(LoanStageWrong)
    given(*ADA_BANKS, on(CASE, *IN_OFFER)).when(DISBURSE).refused(OfferNotAccepted)
    given(*ADA_BANKS).when(DISBURSE).refused(NotFound)


def test_a_loan_is_paid_once() -> None:
    paid = (on(CASE, *READY, DISBURSED), on(ADA, *active()), on(ACCOUNT, *OPENED, PAID))
    given(*paid).when(replace(DISBURSE, movement_id=CORRECTION)).refused(LoanStageWrong)


def test_nothing_is_paid_to_whom_it_must_not_be() -> None:
    restricted = CustomerRestricted(
        restriction_id=RESTRICTION,
        direction=Direction.DEBIT,
        reason_code="COURT",
        legal_basis="order",
    )
    given(
        on(ADA, *active(), *owning(ACCOUNT), restricted), on(ACCOUNT, *OPENED), on(CASE, *READY)
    ).when(DISBURSE).refused(CustomerIsRestricted)


def test_nothing_is_paid_to_an_account_that_takes_nothing() -> None:
    frozen = AccountRestricted(
        restriction_id=RESTRICTION, direction=Direction.CREDIT, reason="garnishment"
    )
    lifted = AccountRestrictionLifted(restriction_id=RESTRICTION)
    ada, ready = on(ADA, *active()), on(CASE, *READY)
    given(ada, ready, on(ACCOUNT, *OPENED, frozen)).when(DISBURSE).refused(AccountIsRestricted)
    given(ada, ready, on(ACCOUNT, *OPENED, frozen, lifted)).when(DISBURSE).then(
        on(CASE, DISBURSED), on(ACCOUNT, PAID)
    )


def test_what_was_lent_is_not_undone_as_if_it_were_a_mistake() -> None:
    paid = (
        on(ADA, *active()),
        on(CASE, *READY),
        on(CASE, DISBURSED, by=MOVEMENT),
        on(ACCOUNT, *OPENED),
        on(ACCOUNT, PAID, by=MOVEMENT),
    )
    given(*paid).when(
        ReverseMovement(
            account_id=ACCOUNT,
            movement_id=CORRECTION,
            original_id=MOVEMENT,
            reason="a mistake",
            booking_date=day(8).date(),
        )
    ).refused(NotReversible)


@pytest.mark.parametrize(
    ("history", "stage"),
    [
        ((), None),
        ((DRAFTED,), LoanStage.DRAFT),
        ((DRAFTED, APPLIED), LoanStage.APPLIED),
        (IN_DOCUMENTS, LoanStage.DOCUMENTS),
        (IN_UNDERWRITING, LoanStage.UNDERWRITING),
        (IN_OFFER, LoanStage.OFFER),
        (READY, LoanStage.OFFER),
        ((*READY, DISBURSED), LoanStage.DISBURSED),
        ((*IN_DOCUMENTS, DECLINED), LoanStage.DECLINED),
        ((*IN_DOCUMENTS, WITHDRAWN), LoanStage.WITHDRAWN),
    ],
)
def test_the_stage_of_a_loan(history: tuple[Any, ...], stage: LoanStage | None) -> None:
    assert LoanCase().after(history).stage is stage
