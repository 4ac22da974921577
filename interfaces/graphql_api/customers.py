"""Customers over GraphQL: a first twin of who the bank deals with.

Personal fields are opened at the moment of answering, and are null once a person is erased. Nothing
of them is kept anywhere in between.
"""

import asyncio
from datetime import date
from operator import itemgetter
from typing import Annotated, Self
from uuid import UUID

import strawberry

from application.vault import PersonalRef
from domain import customer
from domain.account import HolderRole
from domain.customer import (
    ApproveKyc,
    AssignSegment,
    ChangeRiskRating,
    ExpireKyc,
    GrantConsent,
    LiftLegalHold,
    OffboardCustomer,
    PlaceLegalHold,
    RegisterCustomer,
    RejectKyc,
    RequestMoreKyc,
    ScreeningOutcome,
    SubmitKycEvidence,
    UpdateContact,
    WithdrawConsent,
)
from domain.holding import (
    CloseCustomer,
    LiftCustomerRestriction,
    RecordScreeningResult,
    RestrictCustomer,
)
from domain.restriction import Direction
from interfaces.access.caller import Scope
from interfaces.access.masking import Policy
from interfaces.graphql_api import accounts, cards
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.authorizations import Authorization, authorizations_of
from interfaces.graphql_api.behaviour import Behaving
from interfaces.graphql_api.branches import WithVisits
from interfaces.graphql_api.consents import WithProcessing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.enums import CustomerKind, CustomerStatus, RiskRating, Segment
from interfaces.graphql_api.erasures import WithErasures
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.finding import CustomerFilter, found
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import by_id
from interfaces.graphql_api.loans import WithLoans
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.own_access import WithAccess
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.past import WithHistory
from interfaces.graphql_api.reads import WithReads
from interfaces.graphql_api.risk import FraudAlert, RiskProfile, alerts_of, profile_of
from interfaces.graphql_api.values import Node, ReadMeta
from projections.customers import CUSTOMERS, CustomerTwin

strawberry.enum(ScreeningOutcome, description="What a search in the lists of sanctions gave.")


@strawberry.type(description="An account that a customer may dispose of.")
class HeldAccount:
    role: HolderRole = strawberry.field(description="Owner, or authorised by the owner.")
    account_id: strawberry.Private[UUID]

    @field("The account.")
    async def account(self, info: Info) -> accounts.Account | None:
        return await accounts.load(info.context, self.account_id)


@strawberry.type(description="The latest word on one purpose of using a customer's data.")
class Consent:
    purpose: str = strawberry.field(description="What the data may be used for.")
    version: str = strawberry.field(description="The version of the text that was consented to.")
    granted_on: date = strawberry.field(description="When it was granted.")
    scope: str | None = strawberry.field(description="What it is limited to.")
    valid_until: date | None = strawberry.field(description="The last day on which it is good.")
    withdrawn_on: date | None = strawberry.field(description="When it was withdrawn, if it was.")


@strawberry.type(
    description="What is forbidden to a customer. Never to be shown to the customer: the reason "
    "may be one that the law forbids to tell."
)
class CustomerRestriction:
    id: UUID = strawberry.field(description="Its id, by which it is lifted.")
    direction: Direction = strawberry.field(description="What is forbidden.")
    reason: strawberry.Private[str]
    basis: strawberry.Private[str]

    @field("Why.", masked=Policy.CONFIDENTIAL)
    def reason_code(self, info: Info) -> str | None:
        return info.context.confidential(self.reason)

    @field("By which law or contract.", masked=Policy.CONFIDENTIAL)
    def legal_basis(self, info: Info) -> str | None:
        return info.context.confidential(self.basis)


@strawberry.type(
    description="A person or a business that the bank deals with.", directives=FOR_READERS
)
class Customer(
    Behaving,
    WithProcessing,
    WithHistory,
    WithReads,
    WithLoans,
    WithVisits,
    WithErasures,
    WithAccess,
    Node,
):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    kind: CustomerKind = strawberry.field(description="Whether it is a person or a business.")
    status: CustomerStatus = strawberry.field(description="Where it is in dealing with the bank.")
    country: str = strawberry.field(description="Where it lives, by ISO 3166-1 alpha-2.")
    tax_residence: str = strawberry.field(description="Where it pays taxes, likewise.")
    registered_on: date = strawberry.field(description="The day on which it was registered.")
    kyc_tier: int = strawberry.field(
        description="How well the bank knows it: 0 not at all, 1 basic, 2 full, 3 enhanced."
    )
    kyc_valid_until: date | None = strawberry.field(
        description="The last day on which that tier is good."
    )
    kyc_open: list[str] = strawberry.field(
        description="What the reviewer still asks for, or the reasons of a rejection."
    )
    screening: ScreeningOutcome | None = strawberry.field(
        description="What the latest search in the lists of sanctions gave."
    )
    risk: RiskRating | None = strawberry.field(description="How much risk the bank sees in it.")
    segment: Segment = strawberry.field(description="How the bank serves it.")
    consents: list[Consent] = strawberry.field(description="The latest word on each purpose.")
    restrictions: list[CustomerRestriction] = strawberry.field(
        description="What is forbidden. Never to be shown to the customer."
    )
    accounts: list[HeldAccount] = strawberry.field(description="Accounts it may dispose of.")
    personal: strawberry.Private[dict[str, int]]

    @classmethod
    def of(cls, row: CustomerTwin) -> Self:
        return cls(
            id=global_id("Customer", row.customer_id),
            uuid=row.customer_id,
            version=row.version,
            kind=row.kind,
            status=row.status,
            country=row.country,
            tax_residence=row.tax_residence,
            registered_on=row.registered_on,
            kyc_tier=row.kyc_tier,
            kyc_valid_until=row.kyc_valid_until,
            kyc_open=list(row.kyc_open),
            screening=row.screening,
            risk=row.risk,
            segment=row.segment,
            consents=[
                Consent(
                    purpose=purpose,
                    version=consent.version,
                    granted_on=consent.granted_on,
                    scope=consent.scope,
                    valid_until=consent.valid_until,
                    withdrawn_on=consent.withdrawn_on,
                )
                for purpose, consent in sorted(row.consents.items(), key=itemgetter(0))
            ],
            restrictions=[
                CustomerRestriction(
                    id=restriction.restriction_id,
                    direction=restriction.direction,
                    reason=restriction.reason_code,
                    basis=restriction.legal_basis,
                )
                for restriction in row.restrictions
            ],
            # In an order of their own: tables do not keep the one of mappings.
            accounts=[
                HeldAccount(role=role, account_id=account_id)
                for account_id, role in sorted(row.accounts.items())
            ],
            personal=dict(row.personal),
        )

    @field("Personal: null if it was erased.", masked=Policy.PERSONAL)
    async def name(self, info: Info) -> str | None:
        return await self._opened(info, "name")

    @field("Personal: null if it is not known, or was erased.", masked=Policy.PERSONAL)
    async def birth_date(self, info: Info) -> str | None:
        return await self._opened(info, "birth_date")

    @field("Personal: null if it is not known, or was erased.", masked=Policy.IDENTIFYING)
    async def national_id(self, info: Info) -> str | None:
        return await self._opened(info, "national_id")

    @field("Personal: null if it is not known, or was erased.", masked=Policy.PERSONAL)
    async def email(self, info: Info) -> str | None:
        return await self._opened(info, "email")

    @field("Personal: null if it is not known, or was erased.", masked=Policy.PERSONAL)
    async def phone(self, info: Info) -> str | None:
        return await self._opened(info, "phone")

    @field("Personal: null if it is not known, or was erased.", masked=Policy.PERSONAL)
    async def address(self, info: Info) -> str | None:
        return await self._opened(info, "address")

    @field("Its cards, in the order of their ids.")
    async def cards(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[cards.Card]:
        return await cards.cards_of(info.context, self.uuid, first, after)

    @field("Attempts to pay with its cards, the newest first.")
    async def authorizations(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Authorization]:
        return await authorizations_of(info.context, "customer_id", self.uuid, first, after)

    @field("How risky its cards have been used of late; null if they never were.")
    async def risk_profile(self, info: Info) -> RiskProfile | None:
        return await profile_of(info.context, self.uuid)

    @field("Alerts about its cards, the newest first.")
    async def fraud_alerts(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[FraudAlert]:
        return await alerts_of(info.context, self.uuid, first, after)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()

    async def _opened(self, info: Info, field: str) -> str | None:
        version = self.personal.get(field)
        if version is None:
            return None
        ref = PersonalRef(stream_id=self.uuid, version=version, field=field)
        return await info.context.personal(ref)


async def load(context: Context, customer_id: UUID) -> Customer | None:
    row = await context.row(CUSTOMERS, customer_id)
    return Customer.of(row) if row is not None else None


# --- queries --------------------------------------------------------------------------------------

Filter = Annotated[
    CustomerFilter | None, strawberry.argument(description="Only those of whom all of it is so.")
]


@strawberry.type
class CustomerQueries:
    @field("One customer; null if there is none of that id.")
    async def customer(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> Customer | None:
        customer_id = uuid_argument(id, "Customer")
        await info.context.at_least(consistency)
        return await load(info.context, customer_id)

    @field("All customers, or those of whom something is so, in the order of their ids.")
    async def customers(
        self,
        info: Info,
        first: First,
        after: After = None,
        consistency: ReadAtLeast = None,
        filter: Filter = None,
    ) -> Connection[Customer]:
        await info.context.at_least(consistency)
        cursors = Cursors(info.context, "customers")
        if filter is not None:
            return await _found(info.context, cursors, filter, first, after)
        return await by_id(info.context, cursors, CUSTOMERS, Customer.of, first=first, after=after)


async def _found(
    context: Context, cursors: Cursors, wanted: CustomerFilter, first: int, after: str | None
) -> Connection[Customer]:
    key = cursors.key(after, UUID)
    ids, has_more = await found(context, wanted, checked_first(first), key[0] if key else None)
    customers = await asyncio.gather(*(load(context, customer_id) for customer_id in ids))
    nodes = [((c.uuid,), c) for c in customers if c is not None]
    return cursors.page(nodes, has_more=has_more, after=after, meta=await context.meta())


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a customer.")
class CustomerChanged(Showing):
    aggregate = customer.Customer

    @field(
        "The customer with what the command changed. Null if the read models are too "
        "far behind to show it: see `note`."
    )
    async def customer(self, info: Info) -> Customer | None:
        return await self.shown(info, load, self.subjects[0])


CUSTOMER_ANSWER = Answer(name="CustomerResult", success=CustomerChanged)

GLOSSARY = {
    "customer_id": "The customer.",
    "kind": "Whether it is a person or a business.",
    "name": "Personal: the full name.",
    "country": "Where it lives: two letters of ISO 3166-1.",
    "tax_residence": "Where it pays taxes: two letters of ISO 3166-1.",
    "birth_date": "Personal: the date of birth.",
    "national_id": "Personal: the number of its identity document or register.",
    "email": "Personal: the e-mail address.",
    "phone": "Personal: the telephone number.",
    "address": "Personal: the postal address.",
    "evidence_id": "The piece of evidence.",
    "doc_type": "What kind of document it is.",
    "issuer_country": "Who issued it: two letters of ISO 3166-1.",
    "expires_on": "The last day on which it is good; left out, it does not expire.",
    "doc_hash": "SHA-256 of the document, which is kept elsewhere: 64 hexadecimal digits.",
    "maker": "Who submits it: somebody else must approve.",
    "tier": "How well the bank now knows the customer: 1 basic, 2 full, 3 enhanced.",
    "valid_until": "The last day on which it is good.",
    "reviewer": "Who decided.",
    "reasons": "Why.",
    "items": "What is asked for.",
    "rating": "How much risk the bank sees.",
    "segment": "How the bank serves the customer.",
    "factors": "What that rests on.",
    "purpose": "What the customer's data may be used for.",
    "version": "The version of the text that is consented to.",
    "scope": "What it is limited to.",
    "reason": "Why.",
    "restriction_id": "The restriction.",
    "legal_hold_id": "The hold.",
    "review_on": "When somebody has to look whether it is still needed.",
    "direction": "What is forbidden.",
    "reason_code": "Why. Never shown to the customer.",
    "legal_basis": "By which law or contract.",
    "screening_id": "The search; of a confirmed match, the id of the restriction it brings.",
    "list_version": "The version of the lists that were searched.",
    "outcome": "What was found.",
    "matches": "The entries that resemble the customer.",
    "list_name": "The list.",
    "entity_id": "The entry's id in it.",
    "score": "How much the entry resembles the customer, from 0 to 100.",
    "ScreeningMatch": "One entry of a list that resembles the customer.",
}

CustomerMutations = mutations(
    "CustomerMutations",
    CUSTOMER_ANSWER,
    {
        RegisterCustomer: Offered(
            description="Register a customer. No account or card is given before KYC is approved.",
            made=("customer_id",),
        ),
        UpdateContact: Offered(description="Change how a customer is reached."),
        SubmitKycEvidence: Offered(
            description="Submit a document that says who a customer is.",
            made=("evidence_id",),
            given=("expires_on",),
        ),
        RecordScreeningResult: Offered(
            description="Record a search in the lists of sanctions. A confirmed match restricts "
            "the customer and all accounts at once.",
            made=("screening_id",),
        ),
        ApproveKyc: Offered(
            description="Approve a customer. Whoever submitted the evidence cannot approve it.",
            given=("valid_until",),
        ),
        RejectKyc: Offered(description="Reject a customer."),
        RequestMoreKyc: Offered(description="Ask for more evidence."),
        ExpireKyc: Offered(description="Note that an approval has run out."),
        ChangeRiskRating: Offered(description="Rate how much risk a customer is."),
        AssignSegment: Offered(
            description="Assign a customer to a segment. Until then a person is RETAIL, and a "
            "business SME."
        ),
        GrantConsent: Offered(
            description="Note what a customer agreed to.",
            given=("valid_until",),
        ),
        WithdrawConsent: Offered(description="Note what a customer no longer agrees to."),
        RestrictCustomer: Offered(
            description="Forbid debits, credits or both on all accounts that a customer owns.",
            made=("restriction_id",),
        ),
        LiftCustomerRestriction: Offered(
            description="Lift one restriction of a customer, and with it that of the accounts.",
            given=("restriction_id",),
        ),
        PlaceLegalHold: Offered(
            description="Forbid to erase anything of a customer, whoever asks.",
            needs=Scope.ADMIN,
            made=("legal_hold_id",),
            given=("review_on",),
        ),
        LiftLegalHold: Offered(
            description="Lift one legal hold.", needs=Scope.ADMIN, given=("legal_hold_id",)
        ),
        OffboardCustomer: Offered(description="Begin to part with a customer."),
        CloseCustomer: Offered(description="End dealing with a customer who has no account left."),
    },
    GLOSSARY,
)


PART = Part(
    queries=CustomerQueries,
    mutations=CustomerMutations,
    answer=CUSTOMER_ANSWER,
    nodes={"Customer": by_uuid(load)},
)
