"""Every loan on its way, and who vouches for whom."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.loan import (
    ENDED,
    LoanApplied,
    LoanDeclined,
    LoanDisbursed,
    LoanDocumentReceived,
    LoanDocumentsRequested,
    LoanDrafted,
    LoanEvent,
    LoanGuarantorAdded,
    LoanGuarantorReleased,
    LoanOfferAccepted,
    LoanOffered,
    LoanPurpose,
    LoanStage,
    LoanUnderwritingBegun,
    LoanWithdrawn,
)
from domain.recorded import Recorded
from domain.value import changed, value
from projections.projection import Document, Key, Minor


@value
class LoanDocument:
    """One that was asked for; what is None has not come yet."""

    kind: str
    requested_at: datetime
    document_id: UUID | None = None
    doc_hash: str | None = None
    maker: str | None = None
    received_at: datetime | None = None


@value
class Guarantor:
    """A customer who vouches for `amount` minor units of the loan's currency."""

    customer_id: UUID
    amount: int
    since: datetime


@value
class LoanOffer:
    """`amount` is in minor units of the loan's currency, the rate in hundredths of a percent."""

    amount: int
    rate_basis_points: int
    term_months: int
    valid_until: date
    underwriter: str
    approver: str
    offered_at: datetime
    accepted_at: datetime | None = None


@value
class LoanStep:
    """A stage that the loan came to, and when."""

    stage: LoanStage
    entered_at: datetime


@value
class LoanRow:
    """`requested` is in minor units of `currency`. `position` is where it was drafted and never
    changes; `reasons` are why it was declined or withdrawn."""

    case_id: UUID
    customer_id: UUID
    account_id: UUID
    stage: LoanStage
    entered_at: datetime
    requested: Minor
    currency: str
    term_months: int
    purpose: LoanPurpose
    documents: tuple[LoanDocument, ...]
    guarantors: tuple[Guarantor, ...]
    underwriter: str | None
    offer: LoanOffer | None
    reviewer: str | None
    reasons: tuple[str, ...]
    movement_id: UUID | None
    steps: tuple[LoanStep, ...]
    drafted_at: datetime
    ended_at: datetime | None
    version: int
    position: int
    last_position: int


class Loans(Document[LoanRow]):
    name = "loans"
    row = LoanRow
    key = ("case_id",)
    events = get_args(LoanEvent)
    indexes = (("position",), ("stage", "position"), ("customer_id", "position"))
    fixed = ("customer_id", "account_id", "currency", "purpose", "drafted_at", "position")

    def fold(self, row: LoanRow | None, recorded: Recorded, key: Key) -> LoanRow:
        event: LoanEvent = recorded.event
        if isinstance(event, LoanDrafted):
            return _drafted(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been drafted"
        return changed(
            _after(row, event), version=recorded.version, last_position=recorded.position
        )


LOANS: Final = Loans()


def _drafted(event: LoanDrafted, recorded: Recorded) -> LoanRow:
    return LoanRow(
        case_id=recorded.stream_id,
        customer_id=event.customer_id,
        account_id=event.account_id,
        stage=LoanStage.DRAFT,
        entered_at=event.occurred_at,
        requested=event.requested.minor,
        currency=event.requested.currency,
        term_months=event.term_months,
        purpose=event.purpose,
        documents=(),
        guarantors=(),
        underwriter=None,
        offer=None,
        reviewer=None,
        reasons=(),
        movement_id=None,
        steps=(LoanStep(stage=LoanStage.DRAFT, entered_at=event.occurred_at),),
        drafted_at=event.occurred_at,
        ended_at=None,
        version=recorded.version,
        position=recorded.position,
        last_position=recorded.position,
    )


def _after(  # noqa: C901, PLR0911, PLR0912 -- one flat match over every event, as in the domain
    row: LoanRow, event: LoanEvent
) -> LoanRow:
    match event:
        case LoanDrafted():
            return row
        case LoanApplied():
            return _entered(row, LoanStage.APPLIED, event.occurred_at)
        case LoanGuarantorAdded(guarantor_id=customer_id, amount=amount, occurred_at=at):
            added = Guarantor(customer_id=customer_id, amount=amount.minor, since=at)
            return changed(row, guarantors=(*row.guarantors, added))
        case LoanGuarantorReleased(guarantor_id=released):
            left = tuple(g for g in row.guarantors if g.customer_id != released)
            return changed(row, guarantors=left)
        case LoanDocumentsRequested():
            return _asked(row, event)
        case LoanDocumentReceived():
            return changed(row, documents=_received(row, event))
        case LoanUnderwritingBegun(underwriter=underwriter, occurred_at=at):
            entered = _entered(row, LoanStage.UNDERWRITING, at)
            return changed(entered, underwriter=underwriter)
        case LoanOffered():
            offer = LoanOffer(
                amount=event.amount.minor,
                rate_basis_points=event.rate_basis_points,
                term_months=event.term_months,
                valid_until=event.valid_until,
                underwriter=event.underwriter,
                approver=event.approver,
                offered_at=event.occurred_at,
            )
            return changed(_entered(row, LoanStage.OFFER, event.occurred_at), offer=offer)
        case LoanOfferAccepted(occurred_at=at):
            assert row.offer is not None
            return changed(row, offer=changed(row.offer, accepted_at=at))
        case LoanDeclined(reviewer=reviewer, reasons=reasons, occurred_at=at):
            declined = _entered(row, LoanStage.DECLINED, at)
            return changed(declined, reviewer=reviewer, reasons=reasons)
        case LoanWithdrawn(reason=reason, occurred_at=at):
            return changed(_entered(row, LoanStage.WITHDRAWN, at), reasons=(reason,))
        case LoanDisbursed(movement_id=movement_id, occurred_at=at):
            return changed(_entered(row, LoanStage.DISBURSED, at), movement_id=movement_id)
        case _:
            assert_never(event)


def _entered(row: LoanRow, stage: LoanStage, at: datetime) -> LoanRow:
    """As it is at that stage, which it may be at already."""
    if row.stage is stage:
        return row
    return changed(
        row,
        stage=stage,
        entered_at=at,
        ended_at=at if stage in ENDED else None,
        steps=(*row.steps, LoanStep(stage=stage, entered_at=at)),
    )


def _asked(row: LoanRow, event: LoanDocumentsRequested) -> LoanRow:
    awaited = {d.kind for d in row.documents if d.received_at is None}
    new = [
        LoanDocument(kind=kind, requested_at=event.occurred_at)
        for kind in dict.fromkeys(event.kinds)
        if kind not in awaited
    ]
    entered = _entered(row, LoanStage.DOCUMENTS, event.occurred_at)
    return changed(entered, documents=(*row.documents, *new))


def _received(row: LoanRow, event: LoanDocumentReceived) -> tuple[LoanDocument, ...]:
    """There is one of each kind at most that has not come."""
    return tuple(
        changed(
            document,
            document_id=event.document_id,
            doc_hash=event.doc_hash,
            maker=event.maker,
            received_at=event.occurred_at,
        )
        if document.kind == event.kind and document.received_at is None
        else document
        for document in row.documents
    )


# --- who vouches ----------------------------------------------------------------------------------


@value
class GuaranteeRow:
    """One customer vouches for a loan of another: `amount` in minor units of its currency."""

    case_id: UUID
    guarantor_id: UUID
    amount: Minor
    currency: str
    since: datetime
    released_at: datetime | None
    position: int


class Guarantees(Document[GuaranteeRow]):
    """To be found by who vouches: a loan's own row has its guarantors too."""

    name = "guarantees"
    row = GuaranteeRow
    key = ("case_id", "guarantor_id")
    events = (LoanGuarantorAdded, LoanGuarantorReleased)
    indexes = (("guarantor_id", "position"),)
    fixed = ("currency",)

    def streams(self, row: GuaranteeRow) -> Collection[UUID]:
        return (row.case_id,)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        return ((recorded.stream_id, recorded.event.guarantor_id),)

    def fold(self, row: GuaranteeRow | None, recorded: Recorded, key: Key) -> GuaranteeRow:
        event: LoanGuarantorAdded | LoanGuarantorReleased = recorded.event
        if isinstance(event, LoanGuarantorReleased):
            assert row is not None, f"{event.guarantor_id} is released without having vouched"
            return changed(row, released_at=event.occurred_at)
        return GuaranteeRow(
            case_id=recorded.stream_id,
            guarantor_id=event.guarantor_id,
            amount=event.amount.minor,
            currency=event.amount.currency,
            since=event.occurred_at,
            released_at=None,
            position=recorded.position,
        )


GUARANTEES: Final = Guarantees()
