"""A customer: who the bank deals with, how well it knows them, and what they agreed to.

    PROSPECT -> KYC_PENDING -> ACTIVE | KYC_REVIEW | REJECTED      ACTIVE <-> RESTRICTED
    any of these -> OFFBOARDING -> CLOSED

Personal data stands in events as commitments (see personal.py) and in no state at all. What also
concerns the customer's accounts is decided in holding.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID

from domain.account import HolderRole
from domain.aggregate import Aggregate, command, recorded_as
from domain.consent import (
    PURPOSES,
    Processing,
    ProcessingNotConsented,
    Purpose,
    PurposeMisspelt,
    stopped,
)
from domain.personal import Personal, Retention, about
from domain.refusal import AlreadyExists, NotFound, Refusal
from domain.restriction import (
    Direction,
    Restriction,
    RestrictionExists,
    RestrictionUnknown,
    in_force,
)
from domain.value import changed, value

KYC_TIERS: Final = (1, 2, 3)
"""Basic, full, enhanced. Without one (0) there is no movement of money."""

_COUNTRY = re.compile(r"[A-Z]{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


FIELDS: Final[Mapping[Retention, tuple[str, ...]]] = {
    Retention.IDENTITY: ("name", "birth_date", "national_id"),
    Retention.CONTACT: ("email", "phone", "address"),
}
"""What is said of a customer in each class: they are erased together."""


@unique
class CustomerKind(StrEnum):
    PERSON = "PERSON"
    BUSINESS = "BUSINESS"


@unique
class CustomerStatus(StrEnum):
    PROSPECT = "PROSPECT"
    KYC_PENDING = "KYC_PENDING"
    KYC_REVIEW = "KYC_REVIEW"
    REJECTED = "REJECTED"
    ACTIVE = "ACTIVE"
    RESTRICTED = "RESTRICTED"  # active, with a restriction in force
    OFFBOARDING = "OFFBOARDING"
    CLOSED = "CLOSED"


@unique
class ScreeningOutcome(StrEnum):
    CLEAR = "CLEAR"
    POTENTIAL_MATCH = "POTENTIAL_MATCH"
    CONFIRMED_MATCH = "CONFIRMED_MATCH"


@unique
class RiskRating(StrEnum):
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


@unique
class Segment(StrEnum):
    """How the bank serves a customer."""

    RETAIL = "RETAIL"
    AFFLUENT = "AFFLUENT"
    PRIVATE = "PRIVATE"
    SME = "SME"


def first_segment(kind: CustomerKind) -> Segment:
    """Where a customer belongs until somebody says otherwise."""
    return Segment.SME if kind is CustomerKind.BUSINESS else Segment.RETAIL


@value
class ScreeningMatch:
    """One entry of a watch list that resembles the customer; `score` is 0 to 100."""

    list_name: str
    entity_id: str
    score: int


# --- events ---------------------------------------------------------------------------------------


@recorded_as("customer.registered.v1")
class CustomerRegistered:
    kind: CustomerKind
    name: Personal[str]
    birth_date: Personal[str] | None = None
    national_id: Personal[str] | None = None
    country: str
    tax_residence: str
    registered_on: date


@recorded_as("customer.contact_changed.v1")
class CustomerContactChanged:
    """Only what changed: None leaves a value as an earlier event set it."""

    email: Personal[str] | None = None
    phone: Personal[str] | None = None
    address: Personal[str] | None = None


@recorded_as("customer.kyc_evidence_submitted.v1")
class KycEvidenceSubmitted:
    """`doc_hash` is hexadecimal SHA-256 of the document, which is kept elsewhere."""

    evidence_id: UUID
    doc_type: str
    issuer_country: str
    expires_on: date | None = None
    doc_hash: str
    maker: str
    submitted_on: date


@recorded_as("customer.screened.v1")
class CustomerScreened:
    screening_id: UUID
    list_version: str
    outcome: ScreeningOutcome
    matches: tuple[ScreeningMatch, ...] = ()


@recorded_as("customer.kyc_approved.v1")
class KycApproved:
    tier: int
    valid_until: date
    reviewer: str
    on: date


@recorded_as("customer.kyc_rejected.v1")
class KycRejected:
    reasons: tuple[str, ...]
    reviewer: str
    on: date


@recorded_as("customer.kyc_information_requested.v1")
class KycInformationRequested:
    items: tuple[str, ...]
    reviewer: str
    on: date


@recorded_as("customer.kyc_expired.v1")
class KycExpired:
    on: date


@recorded_as("customer.risk_rated.v1")
class CustomerRiskRated:
    rating: RiskRating
    factors: tuple[str, ...] = ()


@recorded_as("customer.segment_assigned.v1")
class CustomerSegmentAssigned:
    segment: Segment
    factors: tuple[str, ...] = ()


@recorded_as("customer.consent_granted.v1")
class ConsentGranted:
    purpose: str
    version: str
    granted_on: date
    scope: str | None = None
    valid_until: date | None = None


@recorded_as("customer.consent_withdrawn.v1")
class ConsentWithdrawn:
    purpose: str
    version: str
    withdrawn_on: date


@recorded_as("customer.restricted.v1")
class CustomerRestricted:
    """Never to be shown to the customer: the reason may be one that he must not be told."""

    restriction_id: UUID
    direction: Direction
    reason_code: str
    legal_basis: str


@recorded_as("customer.restriction_lifted.v1")
class CustomerRestrictionLifted:
    restriction_id: UUID


@recorded_as("customer.account_linked.v1")
class AccountLinked:
    account_id: UUID
    role: HolderRole
    on: date | None = None


@recorded_as("customer.offboarding_started.v1")
class CustomerOffboardingStarted:
    reason: str
    on: date


@recorded_as("customer.closed.v1")
class CustomerClosed:
    on: date


@recorded_as("customer.legal_hold_placed.v1")
class CustomerLegalHoldPlaced:
    """Nothing of the customer may be erased, whoever asks: a court, an authority or a dispute needs
    it. Never to be shown to the customer, for the same reason as a restriction."""

    hold_id: UUID
    reason_code: str
    legal_basis: str
    maker: str
    on: date
    review_on: date | None = None


@recorded_as("customer.legal_hold_lifted.v1")
class CustomerLegalHoldLifted:
    hold_id: UUID
    reviewer: str
    on: date


@recorded_as("customer.erased.v1")
class CustomerErased:
    """What was said of the customer in these classes, up to here, can be read by nobody any more.
    The erasure's own stream says the rest."""

    erasure_id: UUID
    classes: tuple[Retention, ...]


CustomerEvent = (
    CustomerRegistered
    | CustomerContactChanged
    | KycEvidenceSubmitted
    | CustomerScreened
    | KycApproved
    | KycRejected
    | KycInformationRequested
    | KycExpired
    | CustomerRiskRated
    | CustomerSegmentAssigned
    | ConsentGranted
    | ConsentWithdrawn
    | CustomerRestricted
    | CustomerRestrictionLifted
    | AccountLinked
    | CustomerOffboardingStarted
    | CustomerClosed
    | CustomerLegalHoldPlaced
    | CustomerLegalHoldLifted
    | CustomerErased
)


# --- commands -------------------------------------------------------------------------------------


@command("customer.register")
class RegisterCustomer:
    """Personal values come in clear, as Unsealed. Countries are ISO 3166-1 alpha-2."""

    customer_id: UUID
    kind: CustomerKind
    name: Personal[str]
    country: str
    tax_residence: str
    registered_on: date
    birth_date: Personal[str] | None = None
    national_id: Personal[str] | None = None
    email: Personal[str] | None = None
    phone: Personal[str] | None = None
    address: Personal[str] | None = None


@command("customer.update_contact")
class UpdateContact:
    """None leaves a value as it is."""

    customer_id: UUID
    email: Personal[str] | None = None
    phone: Personal[str] | None = None
    address: Personal[str] | None = None


@command("customer.submit_kyc_evidence")
class SubmitKycEvidence:
    """`maker` is the actor who submits: somebody else must approve."""

    customer_id: UUID
    evidence_id: UUID
    doc_type: str
    issuer_country: str
    doc_hash: str
    maker: str
    submitted_on: date
    expires_on: date | None = None


@command("customer.approve_kyc")
class ApproveKyc:
    """`valid_until` is the last day on which the tier is in force."""

    customer_id: UUID
    tier: int
    valid_until: date
    reviewer: str
    on: date


@command("customer.reject_kyc")
class RejectKyc:
    customer_id: UUID
    reasons: tuple[str, ...]
    reviewer: str
    on: date


@command("customer.request_more_kyc")
class RequestMoreKyc:
    customer_id: UUID
    items: tuple[str, ...]
    reviewer: str
    on: date


@command("customer.expire_kyc")
class ExpireKyc:
    customer_id: UUID
    on: date


@command("customer.change_risk_rating")
class ChangeRiskRating:
    customer_id: UUID
    rating: RiskRating
    factors: tuple[str, ...] = ()


@command("customer.assign_segment")
class AssignSegment:
    customer_id: UUID
    segment: Segment
    factors: tuple[str, ...] = ()


@command("customer.grant_consent")
class GrantConsent:
    customer_id: UUID
    purpose: str
    version: str
    granted_on: date
    scope: str | None = None
    valid_until: date | None = None


@command("customer.withdraw_consent")
class WithdrawConsent:
    customer_id: UUID
    purpose: str
    version: str
    withdrawn_on: date


@command("customer.offboard")
class OffboardCustomer:
    customer_id: UUID
    reason: str
    on: date


@command("customer.place_legal_hold")
class PlaceLegalHold:
    """`review_on` is when somebody has to look whether it is still needed."""

    customer_id: UUID
    legal_hold_id: UUID
    reason_code: str
    legal_basis: str
    maker: str
    on: date
    review_on: date | None = None


@command("customer.lift_legal_hold")
class LiftLegalHold:
    customer_id: UUID
    legal_hold_id: UUID
    reviewer: str
    on: date


CustomerCommand = (
    RegisterCustomer
    | UpdateContact
    | SubmitKycEvidence
    | ApproveKyc
    | RejectKyc
    | RequestMoreKyc
    | ExpireKyc
    | ChangeRiskRating
    | AssignSegment
    | GrantConsent
    | WithdrawConsent
    | OffboardCustomer
    | PlaceLegalHold
    | LiftLegalHold
)


# --- refusals -------------------------------------------------------------------------------------


class CustomerIsClosed(Refusal):
    code = "CUSTOMER_CLOSED"
    message = "the bank no longer deals with this customer"


class CustomerNotActive(Refusal):
    code = "CUSTOMER_NOT_ACTIVE"
    message = "the customer is not active"


class CustomerIsRestricted(Refusal):
    code = "CUSTOMER_RESTRICTED"
    message = "that is not possible for this customer at present"


class CustomerOffboarding(Refusal):
    code = "CUSTOMER_OFFBOARDING"
    message = "the customer is already leaving"


class CustomerNotOffboarding(Refusal):
    code = "CUSTOMER_NOT_OFFBOARDING"
    message = "a customer is closed only after offboarding has started"


class CustomerHasOpenAccounts(Refusal):
    code = "CUSTOMER_HAS_OPEN_ACCOUNTS"
    message = "a customer is closed only after all accounts that he owns"


class CountryMalformed(Refusal):
    code = "COUNTRY_MALFORMED"
    message = "a country is two capital letters of ISO 3166-1"


class NothingToChange(Refusal):
    code = "NOTHING_TO_CHANGE"
    message = "the command changes nothing"


class KycNotOpen(Refusal):
    code = "KYC_NOT_OPEN"
    message = "nothing is being examined for this customer"


class KycEvidenceMissing(Refusal):
    code = "KYC_EVIDENCE_MISSING"
    message = "nothing was submitted since the last decision"


class KycEvidenceExpired(Refusal):
    code = "KYC_EVIDENCE_EXPIRED"
    message = "the document had expired when it was submitted"


class DocumentHashMalformed(Refusal):
    code = "DOCUMENT_HASH_MALFORMED"
    message = "a document is named by 64 hexadecimal digits of SHA-256"


class ScreeningUnresolved(Refusal):
    code = "SCREENING_UNRESOLVED"
    message = "the latest screening is not clear"


class KycTierUnknown(Refusal):
    code = "KYC_TIER_UNKNOWN"
    message = "a tier is 1, 2 or 3"


class KycValidityPast(Refusal):
    code = "KYC_VALIDITY_PAST"
    message = "an approval is valid beyond the day on which it is given"


class KycNotExpired(Refusal):
    code = "KYC_NOT_EXPIRED"
    message = "the approved tier is still valid on that day"


class KycIsExpired(Refusal):
    code = "KYC_EXPIRED"
    message = "the approved tier is no longer valid"


class ConsentAlreadyGranted(Refusal):
    code = "CONSENT_ALREADY_GRANTED"
    message = "that version is already consented to"


class ConsentNotGranted(Refusal):
    code = "CONSENT_NOT_GRANTED"
    message = "no consent of that purpose and version is in force"


class LegalHoldExists(Refusal):
    code = "LEGAL_HOLD_EXISTS"
    message = "a legal hold of that id was placed before"


class LegalHoldUnknown(Refusal):
    code = "LEGAL_HOLD_UNKNOWN"
    message = "no legal hold of that id is in force"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Customer(Aggregate[CustomerCommand, CustomerEvent]):
    """Keeps what is in force only: evidence until it is decided on, consents until withdrawn."""

    commands = get_args(CustomerCommand)
    events = get_args(CustomerEvent)
    identity = "customer_id"

    stage: CustomerStatus | None = None
    country: str = ""
    kyc_tier: int = 0
    kyc_valid_until: date = date.min
    evidence: Mapping[UUID, str] = field(default_factory=dict)
    """Evidence not yet decided on, and who submitted it."""
    screening: ScreeningOutcome | None = None
    risk: RiskRating | None = None
    segment: Segment | None = None
    consents: Mapping[str, str] = field(default_factory=dict)
    """Purpose -> the version consented to."""
    granted: Mapping[Purpose, date | None] = field(default_factory=dict)
    """Of these, the purposes that something depends on, and the last day of each if it has one."""
    withdrawn: frozenset[Purpose] = frozenset()
    """Such purposes that were withdrawn, and not agreed to again."""
    restrictions: tuple[Restriction, ...] = ()
    accounts: Mapping[UUID, HolderRole] = field(default_factory=dict)
    closed_on: date | None = None
    legal_holds: Mapping[UUID, str] = field(default_factory=dict)
    """Legal holds in force, and who placed them."""

    @property
    def status(self) -> CustomerStatus | None:
        """The stage, and RESTRICTED for as long as an active customer has any restriction."""
        if self.stage is CustomerStatus.ACTIVE and self.restrictions:
            return CustomerStatus.RESTRICTED
        return self.stage

    @property
    def owned_accounts(self) -> tuple[UUID, ...]:
        return tuple(
            account_id for account_id, role in self.accounts.items() if role is HolderRole.OWNER
        )

    def decide(self, command: CustomerCommand) -> Sequence[CustomerEvent]:
        if isinstance(command, RegisterCustomer):
            return self._register(command)
        if isinstance(command, PlaceLegalHold | LiftLegalHold):
            return [self._hold(command)]  # of a customer who has left, too
        self.require_alive()
        match command:
            case UpdateContact():
                changed = _contact(command)
                if not changed:
                    raise NothingToChange
                return changed
            case SubmitKycEvidence():
                return [self._submit_evidence(command)]
            case ApproveKyc():
                return [self._approve(command)]
            case RejectKyc(reasons=reasons, reviewer=reviewer, on=on):
                self._require_stage(CustomerStatus.KYC_PENDING, CustomerStatus.KYC_REVIEW)
                return [KycRejected(reasons=reasons, reviewer=reviewer, on=on)]
            case RequestMoreKyc(items=items, reviewer=reviewer, on=on):
                self._require_stage(CustomerStatus.KYC_PENDING, CustomerStatus.KYC_REVIEW)
                return [KycInformationRequested(items=items, reviewer=reviewer, on=on)]
            case ExpireKyc(on=on):
                if self.stage is not CustomerStatus.ACTIVE:
                    raise CustomerNotActive(status=self.status)
                if on <= self.kyc_valid_until:
                    raise KycNotExpired(valid_until=self.kyc_valid_until.isoformat())
                return [KycExpired(on=on)]
            case ChangeRiskRating(rating=rating, factors=factors):
                return [CustomerRiskRated(rating=rating, factors=factors)]
            case AssignSegment(segment=segment, factors=factors):
                if segment is self.segment:
                    raise NothingToChange
                self.require_lawful(Processing.SEGMENTATION, date.max)
                return [CustomerSegmentAssigned(segment=segment, factors=factors)]
            case GrantConsent():
                if command.purpose not in PURPOSES and command.purpose.upper() in PURPOSES:
                    raise PurposeMisspelt
                if self.consents.get(command.purpose) == command.version:
                    raise ConsentAlreadyGranted
                return [
                    ConsentGranted(
                        purpose=command.purpose,
                        version=command.version,
                        granted_on=command.granted_on,
                        scope=command.scope,
                        valid_until=command.valid_until,
                    )
                ]
            case WithdrawConsent(purpose=purpose, version=version, withdrawn_on=on):
                if self.consents.get(purpose) != version:
                    raise ConsentNotGranted
                return [ConsentWithdrawn(purpose=purpose, version=version, withdrawn_on=on)]
            case OffboardCustomer(reason=reason, on=on):
                if self.stage is CustomerStatus.OFFBOARDING:
                    raise CustomerOffboarding
                return [CustomerOffboardingStarted(reason=reason, on=on)]
            case _:
                assert_never(command)

    def evolve(self, event: CustomerEvent) -> Self:
        match event:
            case CustomerRegistered(country=country, kind=kind):
                return changed(
                    self,
                    stage=CustomerStatus.PROSPECT,
                    country=country,
                    segment=first_segment(kind),
                )
            case CustomerContactChanged():
                return self
            case KycEvidenceSubmitted():
                first = self.stage is CustomerStatus.PROSPECT
                return changed(
                    self,
                    stage=CustomerStatus.KYC_PENDING if first else self.stage,
                    evidence={**self.evidence, event.evidence_id: event.maker},
                )
            case CustomerScreened(outcome=outcome):
                return changed(self, screening=outcome)
            case KycApproved():
                return changed(
                    self,
                    stage=CustomerStatus.ACTIVE,
                    kyc_tier=event.tier,
                    kyc_valid_until=event.valid_until,
                    evidence={},
                )
            case KycRejected():
                return changed(self, stage=CustomerStatus.REJECTED, evidence={})
            case KycInformationRequested():
                return changed(self, stage=CustomerStatus.KYC_REVIEW)
            case KycExpired():
                return changed(self, stage=CustomerStatus.KYC_REVIEW, kyc_tier=0)
            case CustomerRiskRated(rating=rating):
                return changed(self, risk=rating)
            case CustomerSegmentAssigned(segment=segment):
                return changed(self, segment=segment)
            case ConsentGranted(purpose=purpose, version=version):
                return changed(
                    self,
                    consents={**self.consents, purpose: version},
                    granted={
                        **self.granted,
                        **{p: event.valid_until for p in Purpose if p == purpose},
                    },
                    withdrawn=self.withdrawn - {purpose},
                )
            case ConsentWithdrawn(purpose=withdrawn):
                return changed(
                    self,
                    consents={p: v for p, v in self.consents.items() if p != withdrawn},
                    granted={p: until for p, until in self.granted.items() if p != withdrawn},
                    withdrawn=self.withdrawn | {p for p in Purpose if p == withdrawn},
                )
            case CustomerRestricted(restriction_id=restriction_id, direction=direction):
                restriction = Restriction(restriction_id=restriction_id, direction=direction)
                return changed(self, restrictions=(*self.restrictions, restriction))
            case CustomerRestrictionLifted(restriction_id=lifted):
                kept = tuple(r for r in self.restrictions if r.restriction_id != lifted)
                return changed(self, restrictions=kept)
            case AccountLinked(account_id=account_id, role=role):
                return changed(self, accounts={**self.accounts, account_id: role})
            case CustomerOffboardingStarted():
                return changed(self, stage=CustomerStatus.OFFBOARDING)
            case CustomerClosed(on=on):
                return changed(self, stage=CustomerStatus.CLOSED, closed_on=on)
            case CustomerLegalHoldPlaced(hold_id=hold_id, maker=maker):
                return changed(self, legal_holds={**self.legal_holds, hold_id: maker})
            case CustomerLegalHoldLifted(hold_id=lifted):
                holds = {i: maker for i, maker in self.legal_holds.items() if i != lifted}
                return changed(self, legal_holds=holds)
            case CustomerErased():
                return self
            case _:
                assert_never(event)

    # What commands over several streams ask of one customer (see holding.py and card.py).

    def require_alive(self) -> None:
        if self.stage is None:
            raise NotFound
        if self.stage is CustomerStatus.CLOSED:
            raise CustomerIsClosed

    def require_active(self, on: date) -> None:
        """Known well enough, on that day, to be given an account or a card."""
        self.require_alive()
        if self.stage is not CustomerStatus.ACTIVE:
            raise CustomerNotActive(status=self.stage)
        if on > self.kyc_valid_until:
            raise KycIsExpired(valid_until=self.kyc_valid_until.isoformat())
        if self.restrictions:
            raise CustomerIsRestricted

    def require_lawful(self, processing: Processing, on: date) -> None:
        """His data may be used so, on that day."""
        found = stopped(processing, self.granted, self.withdrawn, on)
        if found is not None:
            raise ProcessingNotConsented(
                processing=processing, purpose=found.purpose, because=found.hindrance
            )

    def require_offboarding(self) -> None:
        self.require_alive()
        if self.stage is not CustomerStatus.OFFBOARDING:
            raise CustomerNotOffboarding(status=self.status)

    def restrict(
        self, *, restriction_id: UUID, direction: Direction, reason_code: str, legal_basis: str
    ) -> CustomerRestricted:
        self.require_alive()
        if in_force(self.restrictions, restriction_id):
            raise RestrictionExists
        return CustomerRestricted(
            restriction_id=restriction_id,
            direction=direction,
            reason_code=reason_code,
            legal_basis=legal_basis,
        )

    def lift(self, restriction_id: UUID) -> CustomerRestrictionLifted:
        self.require_alive()
        if not in_force(self.restrictions, restriction_id):
            raise RestrictionUnknown
        return CustomerRestrictionLifted(restriction_id=restriction_id)

    def _register(self, command: RegisterCustomer) -> Sequence[CustomerEvent]:
        if self.stage is not None:
            raise AlreadyExists
        _require_country(command.country)
        _require_country(command.tax_residence)
        customer = command.customer_id
        registered = CustomerRegistered(
            kind=command.kind,
            name=about(command.name, customer, Retention.IDENTITY),
            birth_date=about(command.birth_date, customer, Retention.IDENTITY),
            national_id=about(command.national_id, customer, Retention.IDENTITY),
            country=command.country,
            tax_residence=command.tax_residence,
            registered_on=command.registered_on,
        )
        return [registered, *_contact(command)]

    def _hold(
        self, command: PlaceLegalHold | LiftLegalHold
    ) -> CustomerLegalHoldPlaced | CustomerLegalHoldLifted:
        if self.stage is None:
            raise NotFound
        if isinstance(command, LiftLegalHold):
            if command.legal_hold_id not in self.legal_holds:
                raise LegalHoldUnknown
            return CustomerLegalHoldLifted(
                hold_id=command.legal_hold_id, reviewer=command.reviewer, on=command.on
            )
        if command.legal_hold_id in self.legal_holds:
            raise LegalHoldExists
        return CustomerLegalHoldPlaced(
            hold_id=command.legal_hold_id,
            reason_code=command.reason_code,
            legal_basis=command.legal_basis,
            maker=command.maker,
            on=command.on,
            review_on=command.review_on,
        )

    def _submit_evidence(self, command: SubmitKycEvidence) -> KycEvidenceSubmitted:
        self._require_stage(
            CustomerStatus.PROSPECT,
            CustomerStatus.KYC_PENDING,
            CustomerStatus.KYC_REVIEW,
            CustomerStatus.ACTIVE,
        )
        if command.evidence_id in self.evidence:
            raise AlreadyExists
        _require_country(command.issuer_country)
        if not _SHA256.fullmatch(command.doc_hash):
            raise DocumentHashMalformed
        if command.expires_on is not None and command.expires_on < command.submitted_on:
            raise KycEvidenceExpired
        return KycEvidenceSubmitted(
            evidence_id=command.evidence_id,
            doc_type=command.doc_type,
            issuer_country=command.issuer_country,
            expires_on=command.expires_on,
            doc_hash=command.doc_hash,
            maker=command.maker,
            submitted_on=command.submitted_on,
        )

    def _approve(self, command: ApproveKyc) -> KycApproved:
        """An active customer is approved anew before the tier in force runs out."""
        self._require_stage(
            CustomerStatus.KYC_PENDING, CustomerStatus.KYC_REVIEW, CustomerStatus.ACTIVE
        )
        if command.tier not in KYC_TIERS:
            raise KycTierUnknown
        if command.valid_until <= command.on:
            raise KycValidityPast
        if not self.evidence:
            raise KycEvidenceMissing
        if self.screening not in (None, ScreeningOutcome.CLEAR):
            raise ScreeningUnresolved
        return KycApproved(
            tier=command.tier,
            valid_until=command.valid_until,
            reviewer=command.reviewer,
            on=command.on,
        )

    def _require_stage(self, *stages: CustomerStatus) -> None:
        if self.stage not in stages:
            raise KycNotOpen(status=self.status)


def _contact(command: RegisterCustomer | UpdateContact) -> list[CustomerEvent]:
    """What the command says about how to reach the customer: an event, or nothing."""
    if command.email is None and command.phone is None and command.address is None:
        return []
    customer = command.customer_id
    return [
        CustomerContactChanged(
            email=about(command.email, customer, Retention.CONTACT),
            phone=about(command.phone, customer, Retention.CONTACT),
            address=about(command.address, customer, Retention.CONTACT),
        )
    ]


def _require_country(country: str) -> None:
    if not _COUNTRY.fullmatch(country):
        raise CountryMalformed
