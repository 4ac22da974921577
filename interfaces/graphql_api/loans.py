"""Loans over GraphQL: each case on its way, who vouches for it, and what its desks do."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain import loan
from domain.loan import (
    AcceptLoanOffer,
    AddLoanGuarantor,
    ApplyForLoan,
    ApproveLoan,
    BeginUnderwriting,
    DeclineLoan,
    DisburseLoan,
    DraftLoan,
    LoanPurpose,
    LoanStage,
    ReceiveLoanDocument,
    ReleaseLoanGuarantor,
    RequestLoanDocuments,
    WithdrawLoan,
)
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections import loans
from projections.loans import GUARANTEES, LOANS, GuaranteeRow, LoanRow
from projections.read_models import Where

if TYPE_CHECKING:
    from interfaces.graphql_api.accounts import Account
    from interfaces.graphql_api.customers import Customer

LazyCustomer = Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]

strawberry.enum(LoanStage, description="Where a loan is on its way.")
strawberry.enum(LoanPurpose, description="What a loan is for.")


@strawberry.type(description="A document that an application for a loan needs.")
class LoanDocument:
    kind: str = strawberry.field(description="What kind of document it is.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    received_at: datetime | None = strawberry.field(description="When it came; null: it has not.")
    document_id: UUID | None = strawberry.field(description="Its id, if it has come.")
    doc_hash: str | None = strawberry.field(description="SHA-256 of it, in hexadecimal.")
    maker: str | None = strawberry.field(description="Who took it in.")

    @classmethod
    def of(cls, document: loans.LoanDocument) -> Self:
        return cls(
            kind=document.kind,
            requested_at=document.requested_at,
            received_at=document.received_at,
            document_id=document.document_id,
            doc_hash=document.doc_hash,
            maker=document.maker,
        )


@strawberry.type(description="Another customer who vouches for a loan.")
class LoanGuarantor:
    amount: MoneyShown = strawberry.field(description="For as much as this.")
    since: datetime = strawberry.field(description="Since when.")
    customer_id: strawberry.Private[UUID]

    @field("Who vouches.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)


@strawberry.type(description="What the bank would lend.")
class LoanOffer:
    amount: MoneyShown = strawberry.field(description="How much.")
    rate_basis_points: int = strawberry.field(
        description="Interest a year, in hundredths of a percent."
    )
    term_months: int = strawberry.field(description="In how many months it is paid back.")
    valid_until: date = strawberry.field(description="The last day on which it can be accepted.")
    underwriter: str = strawberry.field(description="Who has judged it.")
    approver: str = strawberry.field(description="Who has approved it: somebody else.")
    offered_at: datetime = strawberry.field(description="When it was made.")
    accepted_at: datetime | None = strawberry.field(description="When it was accepted, if it was.")

    @classmethod
    def of(cls, offer: loans.LoanOffer, currency: str) -> Self:
        return cls(
            amount=MoneyShown.of(offer.amount, currency),
            rate_basis_points=offer.rate_basis_points,
            term_months=offer.term_months,
            valid_until=offer.valid_until,
            underwriter=offer.underwriter,
            approver=offer.approver,
            offered_at=offer.offered_at,
            accepted_at=offer.accepted_at,
        )


@strawberry.type(description="A stage that a loan came to.")
class LoanStep:
    stage: LoanStage = strawberry.field(description="The stage.")
    entered_at: datetime = strawberry.field(description="When it came there.")


@strawberry.type(
    description="A loan on its way from the application to the money.", directives=FOR_READERS
)
class LoanCase(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    stage: LoanStage = strawberry.field(description="Where it is on its way.")
    entered_stage_at: datetime = strawberry.field(description="Since when.")
    steps: list[LoanStep] = strawberry.field(description="How it came there.")
    requested: MoneyShown = strawberry.field(description="What was asked for.")
    term_months: int = strawberry.field(description="For how many months.")
    purpose: LoanPurpose = strawberry.field(description="What it is for.")
    documents: list[LoanDocument] = strawberry.field(description="What was to be shown.")
    guarantors: list[LoanGuarantor] = strawberry.field(description="Who vouches for it.")
    underwriter: str | None = strawberry.field(description="Who judges it, or has done so last.")
    offer: LoanOffer | None = strawberry.field(description="What the bank would lend.")
    reviewer: str | None = strawberry.field(description="Who has declined it.")
    reasons: list[str] = strawberry.field(description="Why it was declined or withdrawn.")
    movement_id: UUID | None = strawberry.field(
        description="The movement that has paid it, if it was paid."
    )
    drafted_at: datetime = strawberry.field(description="When it was drafted.")
    ended_at: datetime | None = strawberry.field(
        description="When it was paid, declined or withdrawn."
    )
    position: Position = strawberry.field(description="Where it was drafted in the log.")
    customer_id: strawberry.Private[UUID]
    account_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: LoanRow) -> Self:
        return cls(
            id=global_id("LoanCase", row.case_id),
            uuid=row.case_id,
            version=row.version,
            stage=row.stage,
            entered_stage_at=row.entered_at,
            steps=[LoanStep(stage=s.stage, entered_at=s.entered_at) for s in row.steps],
            requested=MoneyShown.of(row.requested, row.currency),
            term_months=row.term_months,
            purpose=row.purpose,
            documents=[LoanDocument.of(document) for document in row.documents],
            guarantors=[
                LoanGuarantor(
                    amount=MoneyShown.of(guarantor.amount, row.currency),
                    since=guarantor.since,
                    customer_id=guarantor.customer_id,
                )
                for guarantor in row.guarantors
            ],
            underwriter=row.underwriter,
            offer=LoanOffer.of(row.offer, row.currency) if row.offer is not None else None,
            reviewer=row.reviewer,
            reasons=list(row.reasons),
            movement_id=row.movement_id,
            drafted_at=row.drafted_at,
            ended_at=row.ended_at,
            position=Position(row.position),
            customer_id=row.customer_id,
            account_id=row.account_id,
        )

    @field("Who borrows.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)

    @field("Where it is paid to.")
    async def account(
        self, info: Info
    ) -> Annotated["Account", strawberry.lazy("interfaces.graphql_api.accounts")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import accounts  # noqa: PLC0415

        return await accounts.load(info.context, self.account_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


@strawberry.type(description="A customer vouches for a loan of another one.")
class Guarantee:
    amount: MoneyShown = strawberry.field(description="For as much as this.")
    since: datetime = strawberry.field(description="Since when.")
    released_at: datetime | None = strawberry.field(
        description="When the customer was released from it, if that was done."
    )
    case_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: GuaranteeRow) -> Self:
        return cls(
            amount=MoneyShown.of(row.amount, row.currency),
            since=row.since,
            released_at=row.released_at,
            case_id=row.case_id,
        )

    @field("The loan.")
    async def loan_case(self, info: Info) -> LoanCase | None:
        return await load(info.context, self.case_id)


@strawberry.type
class WithLoans:
    """What a customer has borrowed or wants to, and vouches for."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field("What it has borrowed or asked for, the newest first.")
    async def loans(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LoanCase]:
        cursors = Cursors(info.context, "loans", self.uuid)
        of = ("customer_id", self.uuid)
        return await newest(
            info.context, cursors, LOANS, LoanCase.of, of=of, first=first, after=after
        )

    @field("What it vouches for, or has vouched for, the newest first.")
    async def guarantees(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Guarantee]:
        cursors = Cursors(info.context, "guarantees", self.uuid)
        of = ("guarantor_id", self.uuid)
        return await newest(
            info.context, cursors, GUARANTEES, Guarantee.of, of=of, first=first, after=after
        )


async def load(context: Context, case_id: UUID) -> LoanCase | None:
    row = await context.row(LOANS, case_id)
    return LoanCase.of(row) if row is not None else None


async def _customer(context: Context, customer_id: UUID) -> "Customer | None":
    from interfaces.graphql_api import customers  # noqa: PLC0415

    return await customers.load(context, customer_id)


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class LoanQueries:
    @field("One loan on its way; null if there is none of that id.")
    async def loan_case(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> LoanCase | None:
        case_id = uuid_argument(id, "LoanCase")
        await info.context.at_least(consistency)
        return await load(info.context, case_id)

    @field("Loans, those that were drafted last first.")
    async def loan_cases(
        self,
        info: Info,
        first: First,
        after: After = None,
        stage: Annotated[
            LoanStage | None, strawberry.argument(description="Only those that stand so now.")
        ] = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[LoanCase]:
        await info.context.at_least(consistency)
        cursors = Cursors(info.context, "loan cases")
        asked = [] if stage is None else [Where("stage", "=", stage)]
        return await newest(
            info.context, cursors, LOANS, LoanCase.of, asked, first=first, after=after
        )


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a loan.")
class LoanChanged(Showing):
    aggregate = loan.LoanCase

    @field(
        "The loan with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def loan_case(self, info: Info) -> LoanCase | None:
        return await self.shown(info, load, self.subjects[0])


LOAN_ANSWER: Final = Answer(name="LoanResult", success=LoanChanged)

LoanMutations = mutations(
    "LoanMutations",
    LOAN_ANSWER,
    {
        DraftLoan: Offered(
            description="Write down what a customer would borrow, and where it is to be paid to.",
            made=("case_id",),
        ),
        ApplyForLoan: Offered(description="Make an application of a draft."),
        AddLoanGuarantor: Offered(description="Let another active customer vouch for a loan."),
        ReleaseLoanGuarantor: Offered(
            description="Release who vouches for a loan, before it is offered.",
            nodes={"guarantor_id": "Customer"},
        ),
        RequestLoanDocuments: Offered(
            description="Ask for documents. A loan that is being underwritten goes back to that."
        ),
        ReceiveLoanDocument: Offered(
            description="Take in a document that was asked for.", made=("document_id",)
        ),
        BeginUnderwriting: Offered(description="Begin to judge a loan whose documents are there."),
        ApproveLoan: Offered(
            description="Make an offer. Whoever has underwritten the loan cannot approve it.",
            given=("valid_until",),
        ),
        AcceptLoanOffer: Offered(description="Note that the customer has accepted the offer."),
        DeclineLoan: Offered(description="Decline an application."),
        WithdrawLoan: Offered(
            description="Note that the customer does not want the loan any more."
        ),
        DisburseLoan: Offered(
            description="Pay an accepted offer to the account: all at once, in one decision."
        ),
    },
    {
        "case_id": "The loan.",
        "customer_id": "Who borrows.",
        "account_id": "Where it is paid to: an account that the customer owns.",
        "requested": "What is asked for, in the account's currency.",
        "term_months": "In how many months it is paid back.",
        "purpose": "What it is for.",
        "occurred_at": "When it happened.",
        "guarantor_id": "Who vouches for it.",
        "amount": "How much, more than zero, in the currency of the loan.",
        "kinds": "Codes of capitals, digits and _, such as PAYSLIP.",
        "document_id": "The document.",
        "kind": "Which of the documents that were asked for it is.",
        "doc_hash": "SHA-256 of the document, which is kept elsewhere: 64 hexadecimal digits.",
        "maker": "Who takes it in.",
        "underwriter": "Who judges it: somebody else must approve.",
        "approver": "Who approves it: not who has underwritten it.",
        "rate_basis_points": "Interest a year, in hundredths of a percent.",
        "valid_until": "The last day on which the offer can be accepted.",
        "reviewer": "Who declines it.",
        "reasons": "Why, in codes or words that say nothing of persons.",
        "reason": "Why.",
    },
)


PART = Part(
    queries=LoanQueries,
    mutations=LoanMutations,
    answer=LOAN_ANSWER,
    nodes={"LoanCase": by_uuid(load)},
)
