from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.consent import Purpose
from domain.customer import (
    ApproveKyc,
    AssignSegment,
    ChangeRiskRating,
    ConsentAlreadyGranted,
    ConsentGranted,
    ConsentNotGranted,
    ConsentWithdrawn,
    CountryMalformed,
    Customer,
    CustomerClosed,
    CustomerContactChanged,
    CustomerIsClosed,
    CustomerIsRestricted,
    CustomerKind,
    CustomerNotActive,
    CustomerOffboarding,
    CustomerOffboardingStarted,
    CustomerRegistered,
    CustomerRestricted,
    CustomerRestrictionLifted,
    CustomerRiskRated,
    CustomerScreened,
    CustomerSegmentAssigned,
    CustomerStatus,
    DocumentHashMalformed,
    ExpireKyc,
    GrantConsent,
    KycApproved,
    KycEvidenceExpired,
    KycEvidenceMissing,
    KycExpired,
    KycInformationRequested,
    KycIsExpired,
    KycNotExpired,
    KycNotOpen,
    KycRejected,
    KycTierUnknown,
    KycValidityPast,
    NothingToChange,
    OffboardCustomer,
    RegisterCustomer,
    RejectKyc,
    RequestMoreKyc,
    RiskRating,
    ScreeningOutcome,
    ScreeningUnresolved,
    Segment,
    SubmitKycEvidence,
    UpdateContact,
    WithdrawConsent,
)
from domain.duties import MakerIsChecker
from domain.personal import Retention, Unsealed
from domain.refusal import AlreadyExists, NotFound
from domain.restriction import Direction
from tests.examples import (
    ADA,
    APPROVED,
    BOB,
    DAY,
    DOC_HASH,
    EVIDENCE,
    EVIDENCE_SUBMITTED,
    OPENING_DAY,
    RESTRICTION,
    VALID_UNTIL,
    active,
    registered,
)
from tests.scenario import given

REGISTER = RegisterCustomer(
    customer_id=ADA,
    kind=CustomerKind.PERSON,
    name=Unsealed(clear="Ada Nováková"),
    country="CZ",
    tax_residence="CZ",
    registered_on=OPENING_DAY,
)
SUBMIT = SubmitKycEvidence(
    customer_id=ADA,
    evidence_id=EVIDENCE,
    doc_type="PASSPORT",
    issuer_country="CZ",
    doc_hash=DOC_HASH,
    maker="clerk",
    submitted_on=OPENING_DAY,
)
APPROVE = ApproveKyc(
    customer_id=ADA, tier=2, valid_until=VALID_UNTIL, reviewer="officer", on=OPENING_DAY
)
REJECT = RejectKyc(customer_id=ADA, reasons=("FORGED",), reviewer="officer", on=DAY)
ASK_FOR_MORE = RequestMoreKyc(customer_id=ADA, items=("PROOF_OF_ADDRESS",), reviewer="x", on=DAY)
OFFBOARD = OffboardCustomer(customer_id=ADA, reason="END_USER_REQUEST", on=DAY)
GRANT = GrantConsent(customer_id=ADA, purpose="MARKETING", version="2024-01", granted_on=DAY)
GRANTED = ConsentGranted(purpose="MARKETING", version="2024-01", granted_on=DAY)
WITHDRAW = WithdrawConsent(
    customer_id=ADA, purpose="MARKETING", version="2024-01", withdrawn_on=DAY
)
RESTRICTED = CustomerRestricted(
    restriction_id=RESTRICTION, direction=Direction.DEBIT, reason_code="FRAUD", legal_basis="AML"
)
REJECTED = KycRejected(reasons=("FORGED",), reviewer="officer", on=DAY)
LEAVING = CustomerOffboardingStarted(reason="END_USER_REQUEST", on=DAY)


def screened(outcome: ScreeningOutcome) -> CustomerScreened:
    return CustomerScreened(screening_id=uuid4(), list_version="2024-01", outcome=outcome)


# --- registering ----------------------------------------------------------------------------------


def test_registering_a_customer_with_a_name_alone() -> None:
    given(Customer).when(REGISTER).then(
        CustomerRegistered(
            kind=CustomerKind.PERSON,
            name=Unsealed(subject=ADA, retention=Retention.IDENTITY, clear="Ada Nováková"),
            country="CZ",
            tax_residence="CZ",
            registered_on=OPENING_DAY,
        )
    )


def test_identity_and_contact_are_kept_under_their_own_retention() -> None:
    full = replace(
        REGISTER,
        birth_date=Unsealed(clear="1990-05-01"),
        national_id=Unsealed(clear="905101/1234"),
        email=Unsealed(clear="ada@example.org"),
        phone=Unsealed(clear="+420 123"),
        address=Unsealed(clear="Praha 1"),
    )
    ((_, [identity, contact]),) = given(Customer).when(full).outcome()

    assert identity.birth_date == Unsealed(
        subject=ADA, retention=Retention.IDENTITY, clear="1990-05-01"
    )
    assert identity.national_id == Unsealed(
        subject=ADA, retention=Retention.IDENTITY, clear="905101/1234"
    )
    assert contact == CustomerContactChanged(
        email=Unsealed(subject=ADA, retention=Retention.CONTACT, clear="ada@example.org"),
        phone=Unsealed(subject=ADA, retention=Retention.CONTACT, clear="+420 123"),
        address=Unsealed(subject=ADA, retention=Retention.CONTACT, clear="Praha 1"),
    )


def test_a_customer_is_registered_once() -> None:
    given(Customer, registered()).when(REGISTER).refused(AlreadyExists)


@pytest.mark.parametrize("country", ["cz", "CZE", "", "C1", "CZ\n"])
def test_a_country_is_two_capital_letters(country: str) -> None:
    given(Customer).when(replace(REGISTER, country=country)).refused(CountryMalformed)
    given(Customer).when(replace(REGISTER, tax_residence=country)).refused(CountryMalformed)


@pytest.mark.parametrize(
    "command", [SUBMIT, APPROVE, OFFBOARD, GRANT], ids=lambda command: type(command).__name__
)
def test_a_customer_who_was_never_registered_is_not_found(command: Any) -> None:
    given(Customer).when(command).refused(NotFound)


def test_only_what_changed_of_the_contact_is_recorded() -> None:
    update = UpdateContact(customer_id=ADA, phone=Unsealed(clear="+420 456"))
    given(Customer, registered()).when(update).then(
        CustomerContactChanged(
            phone=Unsealed(subject=ADA, retention=Retention.CONTACT, clear="+420 456")
        )
    )


def test_an_update_that_changes_nothing_is_refused() -> None:
    given(Customer, registered()).when(UpdateContact(customer_id=ADA)).refused(NothingToChange)


# --- knowing the customer -------------------------------------------------------------------------


def test_a_prospect_who_submits_evidence_is_pending() -> None:
    asked = given(Customer, registered()).when(SUBMIT)
    assert asked.leaves(Customer).status is CustomerStatus.KYC_PENDING
    given(Customer, registered()).when(SUBMIT).then(EVIDENCE_SUBMITTED)


def test_evidence_is_submitted_once() -> None:
    given(Customer, registered(), EVIDENCE_SUBMITTED).when(SUBMIT).refused(AlreadyExists)


@pytest.mark.parametrize("doc_hash", ["", "AB" * 32, "ab" * 31, "Ada's passport"])
def test_a_document_is_named_by_its_hash_only(doc_hash: str) -> None:
    given(Customer, registered()).when(replace(SUBMIT, doc_hash=doc_hash)).refused(
        DocumentHashMalformed
    )


def test_a_document_is_issued_by_a_country() -> None:
    given(Customer, registered()).when(replace(SUBMIT, issuer_country="Bohemia")).refused(
        CountryMalformed
    )


def test_a_document_may_expire_today_but_not_yesterday() -> None:
    def expiring(on: date) -> SubmitKycEvidence:
        return replace(SUBMIT, expires_on=on)

    given(Customer, registered()).when(expiring(OPENING_DAY)).outcome()
    given(Customer, registered()).when(expiring(OPENING_DAY - timedelta(days=1))).refused(
        KycEvidenceExpired
    )


def test_approval_makes_a_customer_active() -> None:
    pending = (registered(), EVIDENCE_SUBMITTED)
    given(Customer, *pending).when(APPROVE).then(APPROVED)
    customer = given(Customer, *pending).when(APPROVE).leaves(Customer)

    assert (customer.status, customer.kyc_tier) == (CustomerStatus.ACTIVE, 2)


def test_whoever_submitted_evidence_may_not_approve_it() -> None:
    second = replace(EVIDENCE_SUBMITTED, evidence_id=uuid4(), maker="officer")
    given(Customer, registered(), EVIDENCE_SUBMITTED, second).when(APPROVE).refused(MakerIsChecker)


def test_a_maker_of_evidence_that_was_decided_on_may_approve_the_next() -> None:
    next_year = replace(EVIDENCE_SUBMITTED, evidence_id=uuid4(), maker="officer")
    by_clerk = replace(APPROVE, reviewer="clerk")
    given(Customer, *active(), next_year).when(by_clerk).then(replace(APPROVED, reviewer="clerk"))


@pytest.mark.parametrize("tier", [0, 4, -1])
def test_a_tier_is_one_two_or_three(tier: int) -> None:
    given(Customer, registered(), EVIDENCE_SUBMITTED).when(replace(APPROVE, tier=tier)).refused(
        KycTierUnknown
    )


def test_an_approval_is_valid_beyond_its_day() -> None:
    pending = (registered(), EVIDENCE_SUBMITTED)
    given(Customer, *pending).when(replace(APPROVE, valid_until=OPENING_DAY)).refused(
        KycValidityPast
    )


def test_an_active_customer_is_approved_anew_with_new_evidence_only() -> None:
    anew = replace(APPROVE, valid_until=date(2030, 1, 1), on=DAY)
    given(Customer, *active()).when(anew).refused(KycEvidenceMissing)
    renewed = (*active(), replace(EVIDENCE_SUBMITTED, evidence_id=uuid4()))
    customer = given(Customer, *renewed).when(anew).leaves(Customer)

    assert (customer.status, customer.kyc_valid_until) == (
        CustomerStatus.ACTIVE,
        date(2030, 1, 1),
    )


@pytest.mark.parametrize(
    "outcome", [ScreeningOutcome.POTENTIAL_MATCH, ScreeningOutcome.CONFIRMED_MATCH]
)
def test_nobody_is_approved_whose_screening_is_not_clear(outcome: ScreeningOutcome) -> None:
    history = (registered(), EVIDENCE_SUBMITTED, screened(outcome))
    given(Customer, *history).when(APPROVE).refused(ScreeningUnresolved)
    given(Customer, *history, screened(ScreeningOutcome.CLEAR)).when(APPROVE).then(APPROVED)


def test_rejecting_a_customer() -> None:
    given(Customer, registered(), EVIDENCE_SUBMITTED).when(REJECT).then(REJECTED)


def test_asking_for_more_puts_a_customer_under_review() -> None:
    pending = (registered(), EVIDENCE_SUBMITTED)
    asked_for_more = KycInformationRequested(items=("PROOF_OF_ADDRESS",), reviewer="x", on=DAY)
    given(Customer, *pending).when(ASK_FOR_MORE).then(asked_for_more)
    assert Customer().after([*pending, asked_for_more]).status is CustomerStatus.KYC_REVIEW
    given(Customer, *pending, asked_for_more).when(APPROVE).then(APPROVED)
    given(Customer, *pending, asked_for_more).when(REJECT).then(REJECTED)


@pytest.mark.parametrize(
    "command", [APPROVE, REJECT, ASK_FOR_MORE], ids=lambda command: type(command).__name__
)
def test_nothing_is_decided_about_a_prospect(command: Any) -> None:
    given(Customer, registered()).when(command).refused(KycNotOpen, status="PROSPECT")


@pytest.mark.parametrize(
    "command", [SUBMIT, APPROVE, REJECT, ASK_FOR_MORE], ids=lambda command: type(command).__name__
)
def test_a_rejection_is_final(command: Any) -> None:
    given(Customer, registered(), EVIDENCE_SUBMITTED, REJECTED).when(command).refused(KycNotOpen)


def test_an_approval_expires_after_its_last_day() -> None:
    def expire(on: date) -> ExpireKyc:
        return ExpireKyc(customer_id=ADA, on=on)

    day_after = VALID_UNTIL + timedelta(days=1)
    given(Customer, *active()).when(expire(day_after)).then(KycExpired(on=day_after))
    given(Customer, *active()).when(expire(VALID_UNTIL)).refused(KycNotExpired)
    given(Customer, registered()).when(expire(day_after)).refused(CustomerNotActive)


def test_a_customer_whose_approval_expired_is_under_review_without_a_tier() -> None:
    customer = Customer().after([*active(), KycExpired(on=DAY)])

    assert (customer.status, customer.kyc_tier) == (CustomerStatus.KYC_REVIEW, 0)


def test_rating_a_customer_s_risk() -> None:
    rate = ChangeRiskRating(customer_id=ADA, rating=RiskRating.HIGH, factors=("PEP",))
    given(Customer, registered()).when(rate).then(
        CustomerRiskRated(rating=RiskRating.HIGH, factors=("PEP",))
    )


# --- segments -------------------------------------------------------------------------------------


def test_assigning_a_customer_to_another_segment() -> None:
    assign = AssignSegment(customer_id=ADA, segment=Segment.AFFLUENT, factors=("ASSETS",))
    given(Customer, registered()).when(assign).then(
        CustomerSegmentAssigned(segment=Segment.AFFLUENT, factors=("ASSETS",))
    )


def test_a_customer_is_assigned_to_no_segment_twice() -> None:
    again = AssignSegment(customer_id=ADA, segment=Segment.PRIVATE)
    assigned = CustomerSegmentAssigned(segment=Segment.PRIVATE)
    given(Customer, registered(), assigned).when(again).refused(NothingToChange)


def test_a_person_is_in_retail_and_a_business_among_small_ones_until_assigned() -> None:
    business = replace(registered(), kind=CustomerKind.BUSINESS)
    first = [Customer().after([event]).segment for event in (registered(), business)]
    assert first == [Segment.RETAIL, Segment.SME]


# --- consents -------------------------------------------------------------------------------------


def test_granting_a_consent_and_its_next_version() -> None:
    given(Customer, registered()).when(GRANT).then(GRANTED)
    given(Customer, registered(), GRANTED).when(replace(GRANT, version="2025-01")).then(
        replace(GRANTED, version="2025-01")
    )
    given(Customer, registered(), GRANTED).when(GRANT).refused(ConsentAlreadyGranted)


def test_withdrawing_a_consent() -> None:
    withdrawn = ConsentWithdrawn(purpose="MARKETING", version="2024-01", withdrawn_on=DAY)
    given(Customer, registered(), GRANTED).when(WITHDRAW).then(withdrawn)
    given(Customer, registered(), GRANTED, withdrawn).when(WITHDRAW).refused(ConsentNotGranted)
    given(Customer, registered(), GRANTED, withdrawn).when(GRANT).then(GRANTED)


def test_only_the_version_in_force_is_withdrawn() -> None:
    given(Customer, registered(), GRANTED).when(replace(WITHDRAW, version="1")).refused(
        ConsentNotGranted
    )


# --- being active ---------------------------------------------------------------------------------


def test_a_customer_is_active_to_the_last_day_of_his_approval() -> None:
    customer = Customer().after(active())
    customer.require_active(VALID_UNTIL)
    with pytest.raises(KycIsExpired):
        customer.require_active(VALID_UNTIL + timedelta(days=1))


def test_a_prospect_is_not_active() -> None:
    with pytest.raises(CustomerNotActive) as refused:
        Customer().after([registered()]).require_active(DAY)

    assert refused.value.details == {"status": "PROSPECT"}


def test_a_restricted_customer_is_not_active_until_every_restriction_is_lifted() -> None:
    customer = Customer().after([*active(), RESTRICTED, replace(RESTRICTED, restriction_id=BOB)])
    assert customer.status is CustomerStatus.RESTRICTED
    with pytest.raises(CustomerIsRestricted):
        customer.require_active(DAY)

    customer = customer.evolve(CustomerRestrictionLifted(restriction_id=RESTRICTION))
    assert customer.status is CustomerStatus.RESTRICTED
    customer = customer.evolve(CustomerRestrictionLifted(restriction_id=BOB))
    assert customer.status is CustomerStatus.ACTIVE
    customer.require_active(DAY)


def test_a_refusal_does_not_tell_a_customer_why_he_is_restricted() -> None:
    with pytest.raises(CustomerIsRestricted) as refused:
        Customer().after([*active(), RESTRICTED]).require_active(DAY)

    assert refused.value.details == {}


# --- leaving --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [(registered(),), active(), (*active(), RESTRICTED), (registered(), REJECTED)],
    ids=["prospect", "active", "restricted", "rejected"],
)
def test_offboarding_starts_from_wherever_the_customer_is(history: tuple[Any, ...]) -> None:
    given(Customer, *history).when(OFFBOARD).then(LEAVING)


def test_offboarding_starts_once_and_ends_the_examination() -> None:
    given(Customer, *active(), LEAVING).when(OFFBOARD).refused(CustomerOffboarding)
    given(Customer, *active(), LEAVING).when(SUBMIT).refused(KycNotOpen)
    given(Customer, *active(), LEAVING).when(APPROVE).refused(KycNotOpen)


@pytest.mark.parametrize(
    "command",
    [SUBMIT, APPROVE, OFFBOARD, GRANT, UpdateContact(customer_id=ADA)],
    ids=lambda command: type(command).__name__,
)
def test_the_bank_no_longer_deals_with_a_closed_customer(command: Any) -> None:
    closed = CustomerClosed(on=DAY)
    given(Customer, *active(), LEAVING, closed).when(command).refused(CustomerIsClosed)


# --- what the state keeps -------------------------------------------------------------------------


def test_no_state_holds_a_personal_value() -> None:
    state = given(Customer).when(REGISTER).leaves(Customer)

    assert "Ada" not in repr(state)
    assert state == Customer(stage=CustomerStatus.PROSPECT, country="CZ", segment=Segment.RETAIL)


def test_the_state_of_an_old_customer_is_no_larger_than_that_of_a_new_one() -> None:
    def year(n: int) -> list[Any]:
        return [
            replace(EVIDENCE_SUBMITTED, evidence_id=uuid4(), maker=f"clerk {n}"),
            APPROVED,
            replace(GRANTED, version=str(n)),
            ConsentWithdrawn(purpose="MARKETING", version=str(n), withdrawn_on=DAY),
            replace(RESTRICTED, restriction_id=ADA),
            CustomerRestrictionLifted(restriction_id=ADA),
        ]

    old = Customer().after([registered(), *(event for n in range(50) for event in year(n))])

    withdrawn = frozenset({Purpose.MARKETING})
    assert old == replace(Customer().after(active()), withdrawn=withdrawn)


def test_an_approval_names_who_reviewed_it() -> None:
    ((_, [approved]),) = given(Customer, registered(), EVIDENCE_SUBMITTED).when(APPROVE).outcome()

    assert isinstance(approved, KycApproved)
    assert approved.reviewer == "officer"
