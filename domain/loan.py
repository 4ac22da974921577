"""A loan on its way from a wish to the money: what was asked for, shown, judged, offered and paid.

    DRAFT -> APPLIED -> DOCUMENTS -> UNDERWRITING -> OFFER -> DISBURSED
    APPLIED | DOCUMENTS | UNDERWRITING -> DECLINED      any before DISBURSED -> WITHDRAWN

An underwriter may ask for more, and then it goes back to DOCUMENTS. Whoever has underwritten a loan
cannot approve it. Who borrows and who vouches are judged with the case, and the money is paid by
the same decision that ends it: 1100 Loan principal is debited, and 2010 credited in the stream of
the account.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime
from enum import StrEnum, unique
from typing import Final, Self, assert_never, get_args
from uuid import UUID

from domain.account import Account, HolderRole, MovementKind, NotHolder
from domain.aggregate import Aggregate, command, recorded_as
from domain.customer import Customer, DocumentHashMalformed
from domain.decision import Decision, History, deciding
from domain.money import AmountNotPositive, CurrencyMismatch, Money
from domain.refusal import AlreadyExists, HappenedBefore, NotFound, Refusal
from domain.value import changed, value

TERM_MONTHS: Final = range(1, 481)
"""Forty years at most."""

RATE_BASIS_POINTS: Final = range(10_001)
"""A year's interest, in hundredths of a percent: 100 % at most."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KIND: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


@unique
class LoanStage(StrEnum):
    DRAFT = "DRAFT"
    APPLIED = "APPLIED"
    DOCUMENTS = "DOCUMENTS"
    UNDERWRITING = "UNDERWRITING"
    OFFER = "OFFER"
    DISBURSED = "DISBURSED"
    DECLINED = "DECLINED"
    WITHDRAWN = "WITHDRAWN"


ENDED: Final = frozenset({LoanStage.DISBURSED, LoanStage.DECLINED, LoanStage.WITHDRAWN})
"""Nothing becomes of it any more."""


@unique
class LoanPurpose(StrEnum):
    HOME = "HOME"
    VEHICLE = "VEHICLE"
    EDUCATION = "EDUCATION"
    CONSUMPTION = "CONSUMPTION"
    BUSINESS = "BUSINESS"


# --- events ---------------------------------------------------------------------------------------


@recorded_as("loan.drafted.v1")
class LoanDrafted:
    """It is to be paid to `account_id`, which the customer owns."""

    customer_id: UUID
    account_id: UUID
    requested: Money
    term_months: int
    purpose: LoanPurpose
    occurred_at: datetime


@recorded_as("loan.applied.v1")
class LoanApplied:
    occurred_at: datetime


@recorded_as("loan.guarantor_added.v1")
class LoanGuarantorAdded:
    """Another customer vouches for as much as `amount`."""

    guarantor_id: UUID
    amount: Money
    occurred_at: datetime


@recorded_as("loan.guarantor_released.v1")
class LoanGuarantorReleased:
    guarantor_id: UUID
    occurred_at: datetime


@recorded_as("loan.documents_requested.v1")
class LoanDocumentsRequested:
    """`kinds` are codes such as PAYSLIP, in addition to those asked for before."""

    kinds: tuple[str, ...]
    occurred_at: datetime


@recorded_as("loan.document_received.v1")
class LoanDocumentReceived:
    """`doc_hash` is hexadecimal SHA-256 of the document, which is kept elsewhere."""

    document_id: UUID
    kind: str
    doc_hash: str
    maker: str
    occurred_at: datetime


@recorded_as("loan.underwriting_begun.v1")
class LoanUnderwritingBegun:
    underwriter: str
    occurred_at: datetime


@recorded_as("loan.offered.v1")
class LoanOffered:
    """It can be accepted until `valid_until`; `approver` is somebody else than `underwriter`."""

    amount: Money
    rate_basis_points: int
    term_months: int
    valid_until: date
    underwriter: str
    approver: str
    occurred_at: datetime


@recorded_as("loan.offer_accepted.v1")
class LoanOfferAccepted:
    occurred_at: datetime


@recorded_as("loan.declined.v1")
class LoanDeclined:
    reviewer: str
    reasons: tuple[str, ...]
    occurred_at: datetime


@recorded_as("loan.withdrawn.v1")
class LoanWithdrawn:
    reason: str
    occurred_at: datetime


@recorded_as("loan.disbursed.v1")
class LoanDisbursed:
    """The account's stream holds the movement, with its postings, under the same `movement_id`."""

    movement_id: UUID
    account_id: UUID
    amount: Money
    booking_date: date
    occurred_at: datetime


LoanEvent = (
    LoanDrafted
    | LoanApplied
    | LoanGuarantorAdded
    | LoanGuarantorReleased
    | LoanDocumentsRequested
    | LoanDocumentReceived
    | LoanUnderwritingBegun
    | LoanOffered
    | LoanOfferAccepted
    | LoanDeclined
    | LoanWithdrawn
    | LoanDisbursed
)


# --- commands -------------------------------------------------------------------------------------


@command("loan.draft")
class DraftLoan:
    case_id: UUID
    customer_id: UUID
    account_id: UUID
    requested: Money
    term_months: int
    purpose: LoanPurpose
    occurred_at: datetime


@command("loan.apply")
class ApplyForLoan:
    case_id: UUID
    occurred_at: datetime


@command("loan.add_guarantor")
class AddLoanGuarantor:
    case_id: UUID
    guarantor_id: UUID
    amount: Money
    occurred_at: datetime


@command("loan.release_guarantor")
class ReleaseLoanGuarantor:
    case_id: UUID
    guarantor_id: UUID
    occurred_at: datetime


@command("loan.request_documents")
class RequestLoanDocuments:
    case_id: UUID
    kinds: tuple[str, ...]
    occurred_at: datetime


@command("loan.receive_document")
class ReceiveLoanDocument:
    """`maker` is who takes it in."""

    case_id: UUID
    document_id: UUID
    kind: str
    doc_hash: str
    maker: str
    occurred_at: datetime


@command("loan.begin_underwriting")
class BeginUnderwriting:
    case_id: UUID
    underwriter: str
    occurred_at: datetime


@command("loan.approve")
class ApproveLoan:
    """`approver` is somebody else than who has underwritten it."""

    case_id: UUID
    approver: str
    amount: Money
    rate_basis_points: int
    term_months: int
    valid_until: date
    occurred_at: datetime


@command("loan.accept_offer")
class AcceptLoanOffer:
    case_id: UUID
    occurred_at: datetime


@command("loan.decline")
class DeclineLoan:
    case_id: UUID
    reviewer: str
    reasons: tuple[str, ...]
    occurred_at: datetime


@command("loan.withdraw")
class WithdrawLoan:
    """The customer does not want it any more."""

    case_id: UUID
    reason: str
    occurred_at: datetime


@command("loan.disburse")
class DisburseLoan:
    case_id: UUID
    movement_id: UUID
    booking_date: date
    occurred_at: datetime


LoanCommand = (
    ApplyForLoan
    | ReleaseLoanGuarantor
    | RequestLoanDocuments
    | ReceiveLoanDocument
    | BeginUnderwriting
    | ApproveLoan
    | AcceptLoanOffer
    | DeclineLoan
    | WithdrawLoan
)
"""What the case judges by itself: the others concern customers and an account as well."""


# --- refusals -------------------------------------------------------------------------------------


class LoanStageWrong(Refusal):
    code = "LOAN_STAGE_WRONG"
    message = "the loan is not at that stage of its way"


class LoanTermImpossible(Refusal):
    code = "LOAN_TERM_IMPOSSIBLE"
    message = "a loan is paid back in 1 to 480 months"


class LoanRateImpossible(Refusal):
    code = "LOAN_RATE_IMPOSSIBLE"
    message = "a loan bears 0 to 10,000 hundredths of a percent a year"


class OfferExceedsRequest(Refusal):
    code = "OFFER_EXCEEDS_REQUEST"
    message = "nobody is offered more than he asked for"


class OfferPast(Refusal):
    code = "OFFER_PAST"
    message = "the offer is not valid on that day"


class OfferNotAccepted(Refusal):
    code = "OFFER_NOT_ACCEPTED"
    message = "the customer has not accepted the offer"


class OfferAccepted(Refusal):
    code = "OFFER_ACCEPTED"
    message = "the customer has accepted the offer already"


class DocumentKindsMalformed(Refusal):
    code = "DOCUMENT_KINDS_MALFORMED"
    message = "kinds of documents are one or more codes of capitals, digits and _"


class DocumentNotRequested(Refusal):
    code = "DOCUMENT_NOT_REQUESTED"
    message = "no document of that kind is missing"


class DocumentsMissing(Refusal):
    code = "DOCUMENTS_MISSING"
    message = "documents that were asked for have not been received"


class BorrowerIsGuarantor(Refusal):
    code = "BORROWER_IS_GUARANTOR"
    message = "nobody vouches for himself"


class GuarantorExists(Refusal):
    code = "GUARANTOR_EXISTS"
    message = "that customer vouches for the loan already"


class GuarantorUnknown(Refusal):
    code = "GUARANTOR_UNKNOWN"
    message = "that customer does not vouch for the loan"


class ReasonMissing(Refusal):
    code = "REASON_MISSING"
    message = "a loan is declined for at least one reason"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Offer:
    """What the bank would lend."""

    amount: Money
    valid_until: date
    accepted: bool = False


@value
class LoanCase(Aggregate[LoanCommand, LoanEvent]):
    """One application. Who borrows and who vouches is judged by the decisions below."""

    commands = get_args(LoanCommand)
    events = get_args(LoanEvent)
    identity = "case_id"

    stage: LoanStage | None = None
    customer_id: UUID | None = None
    account_id: UUID | None = None
    requested: Money | None = None
    missing: tuple[str, ...] = ()
    """Kinds of documents that were asked for and have not been received."""
    guarantors: Mapping[UUID, Money] = field(default_factory=dict)
    underwriter: str = ""
    offer: Offer | None = None
    since: datetime = datetime.min.replace(tzinfo=UTC)
    """When the last thing happened to it."""

    def decide(self, command: LoanCommand) -> Sequence[LoanEvent]:
        at = command.occurred_at
        self.require_open(at)
        match command:
            case ApplyForLoan():
                self._require_stage(LoanStage.DRAFT)
                return [LoanApplied(occurred_at=at)]
            case ReleaseLoanGuarantor(guarantor_id=guarantor_id):
                self.require_before_offer()
                if guarantor_id not in self.guarantors:
                    raise GuarantorUnknown
                return [LoanGuarantorReleased(guarantor_id=guarantor_id, occurred_at=at)]
            case RequestLoanDocuments(kinds=kinds):
                self._require_stage(LoanStage.APPLIED, LoanStage.DOCUMENTS, LoanStage.UNDERWRITING)
                if not kinds or not all(_KIND.fullmatch(kind) for kind in kinds):
                    raise DocumentKindsMalformed
                return [LoanDocumentsRequested(kinds=kinds, occurred_at=at)]
            case ReceiveLoanDocument():
                return [self._receive(command)]
            case BeginUnderwriting(underwriter=underwriter):
                self._require_stage(LoanStage.DOCUMENTS)
                if self.missing:
                    raise DocumentsMissing(missing=list(self.missing))
                return [LoanUnderwritingBegun(underwriter=underwriter, occurred_at=at)]
            case ApproveLoan():
                return [self._approve(command)]
            case AcceptLoanOffer():
                offer = self._offer()
                if offer.accepted:
                    raise OfferAccepted
                if _day(at) > offer.valid_until:
                    raise OfferPast(valid_until=offer.valid_until.isoformat())
                return [LoanOfferAccepted(occurred_at=at)]
            case DeclineLoan(reviewer=reviewer, reasons=reasons):
                self._require_stage(LoanStage.APPLIED, LoanStage.DOCUMENTS, LoanStage.UNDERWRITING)
                if not any(reason.strip() for reason in reasons):
                    raise ReasonMissing
                return [LoanDeclined(reviewer=reviewer, reasons=reasons, occurred_at=at)]
            case WithdrawLoan(reason=reason):
                return [LoanWithdrawn(reason=reason, occurred_at=at)]
            case _:
                assert_never(command)

    def evolve(self, event: LoanEvent) -> Self:
        at = event.occurred_at
        match event:
            case LoanDrafted():
                return changed(
                    self,
                    stage=LoanStage.DRAFT,
                    customer_id=event.customer_id,
                    account_id=event.account_id,
                    requested=event.requested,
                    since=at,
                )
            case LoanApplied():
                return changed(self, stage=LoanStage.APPLIED, since=at)
            case LoanGuarantorAdded(guarantor_id=guarantor_id, amount=amount):
                guarantors = {**self.guarantors, guarantor_id: amount}
                return changed(self, guarantors=guarantors, since=at)
            case LoanGuarantorReleased(guarantor_id=released):
                left = {g: amount for g, amount in self.guarantors.items() if g != released}
                return changed(self, guarantors=left, since=at)
            case LoanDocumentsRequested(kinds=kinds):
                missing = tuple(dict.fromkeys((*self.missing, *kinds)))
                return changed(self, stage=LoanStage.DOCUMENTS, missing=missing, since=at)
            case LoanDocumentReceived(kind=received):
                missing = tuple(kind for kind in self.missing if kind != received)
                return changed(self, missing=missing, since=at)
            case LoanUnderwritingBegun(underwriter=underwriter):
                stage = LoanStage.UNDERWRITING
                return changed(self, stage=stage, underwriter=underwriter, since=at)
            case LoanOffered(amount=amount, valid_until=valid_until):
                offer = Offer(amount=amount, valid_until=valid_until)
                return changed(self, stage=LoanStage.OFFER, offer=offer, since=at)
            case LoanOfferAccepted():
                return changed(self, offer=changed(self._offer(), accepted=True), since=at)
            case LoanDeclined():
                return changed(self, stage=LoanStage.DECLINED, since=at)
            case LoanWithdrawn():
                return changed(self, stage=LoanStage.WITHDRAWN, since=at)
            case LoanDisbursed():
                return changed(self, stage=LoanStage.DISBURSED, since=at)
            case _:
                assert_never(event)

    # What decisions over several streams ask of one case.

    def require_open(self, at: datetime) -> None:
        if self.stage is None:
            raise NotFound
        if self.stage in ENDED:
            raise LoanStageWrong(stage=self.stage)
        if at < self.since:
            raise HappenedBefore(not_before=self.since.isoformat())

    def require_before_offer(self) -> None:
        self._require_stage(
            LoanStage.DRAFT, LoanStage.APPLIED, LoanStage.DOCUMENTS, LoanStage.UNDERWRITING
        )

    def accepted_offer(self) -> Offer:
        offer = self._offer()
        if not offer.accepted:
            raise OfferNotAccepted
        return offer

    # Deciding.

    def _receive(self, command: ReceiveLoanDocument) -> LoanDocumentReceived:
        self._require_stage(LoanStage.DOCUMENTS)
        if command.kind not in self.missing:
            raise DocumentNotRequested(missing=list(self.missing))
        if not _SHA256.fullmatch(command.doc_hash):
            raise DocumentHashMalformed
        return LoanDocumentReceived(
            document_id=command.document_id,
            kind=command.kind,
            doc_hash=command.doc_hash,
            maker=command.maker,
            occurred_at=command.occurred_at,
        )

    def _approve(self, command: ApproveLoan) -> LoanOffered:
        self._require_stage(LoanStage.UNDERWRITING)
        assert self.requested is not None
        _require_amount(command.amount, self.requested.currency)
        if self.requested < command.amount:
            raise OfferExceedsRequest
        _require_term(command.term_months)
        if command.rate_basis_points not in RATE_BASIS_POINTS:
            raise LoanRateImpossible
        if command.valid_until < _day(command.occurred_at):
            raise OfferPast(valid_until=command.valid_until.isoformat())
        return LoanOffered(
            amount=command.amount,
            rate_basis_points=command.rate_basis_points,
            term_months=command.term_months,
            valid_until=command.valid_until,
            underwriter=self.underwriter,
            approver=command.approver,
            occurred_at=command.occurred_at,
        )

    def _offer(self) -> Offer:
        if self.offer is None:
            raise LoanStageWrong(stage=self.stage)
        return self.offer

    def _require_stage(self, *stages: LoanStage) -> None:
        if self.stage not in stages:
            raise LoanStageWrong(stage=self.stage)


# --- decisions ------------------------------------------------------------------------------------


@deciding(DraftLoan, case_id=LoanCase, customer_id=Customer, account_id=Account)
def draft_loan(command: DraftLoan, history: History) -> Decision:
    if history.state(LoanCase, command.case_id).stage is not None:
        raise AlreadyExists
    history.state(Customer, command.customer_id).require_active(_day(command.occurred_at))
    account = history.state(Account, command.account_id)
    account.require_known()
    if account.holders.get(command.customer_id) is not HolderRole.OWNER:
        raise NotHolder
    account.require_open()
    _require_amount(command.requested, account.currency)
    _require_term(command.term_months)
    drafted = LoanDrafted(
        customer_id=command.customer_id,
        account_id=command.account_id,
        requested=command.requested,
        term_months=command.term_months,
        purpose=command.purpose,
        occurred_at=command.occurred_at,
    )
    return [(command.case_id, [drafted])]


@deciding(AddLoanGuarantor, case_id=LoanCase, guarantor_id=Customer)
def add_loan_guarantor(command: AddLoanGuarantor, history: History) -> Decision:
    case = history.state(LoanCase, command.case_id)
    case.require_open(command.occurred_at)
    case.require_before_offer()
    if command.guarantor_id == case.customer_id:
        raise BorrowerIsGuarantor
    if command.guarantor_id in case.guarantors:
        raise GuarantorExists
    assert case.requested is not None
    _require_amount(command.amount, case.requested.currency)
    history.state(Customer, command.guarantor_id).require_active(_day(command.occurred_at))
    added = LoanGuarantorAdded(
        guarantor_id=command.guarantor_id,
        amount=command.amount,
        occurred_at=command.occurred_at,
    )
    return [(command.case_id, [added])]


def _paid_to(command: DisburseLoan, history: History) -> Iterable[UUID]:
    case = history.state(LoanCase, command.case_id)
    return [stream for stream in (case.account_id, case.customer_id) if stream is not None]


@deciding(DisburseLoan, _paid_to, case_id=LoanCase)
def disburse_loan(command: DisburseLoan, history: History) -> Decision:
    case = history.state(LoanCase, command.case_id)
    case.require_open(command.occurred_at)
    offer = case.accepted_offer()
    assert case.account_id is not None
    assert case.customer_id is not None
    history.state(Customer, case.customer_id).require_active(command.booking_date)
    credited = history.state(Account, case.account_id).credit(
        movement_id=command.movement_id,
        kind=MovementKind.LOAN,
        amount=offer.amount,
        booking_date=command.booking_date,
        plain_reference=f"loan {command.case_id}",
    )
    disbursed = LoanDisbursed(
        movement_id=command.movement_id,
        account_id=case.account_id,
        amount=offer.amount,
        booking_date=command.booking_date,
        occurred_at=command.occurred_at,
    )
    return [(command.case_id, [disbursed]), (case.account_id, [credited])]


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _require_term(months: int) -> None:
    if months not in TERM_MONTHS:
        raise LoanTermImpossible


def _require_amount(amount: Money, currency: str) -> None:
    if amount.currency != currency:
        raise CurrencyMismatch(expected=currency, given=amount.currency)
    if amount.minor <= 0:
        raise AmountNotPositive
