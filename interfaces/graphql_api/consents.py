"""What is made of a customer's data, on which ground, and what is not done because the customer
does not agree to it: at the moment that the answer is of."""

from datetime import UTC, date
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

import strawberry

from domain.consent import (
    LAWFUL,
    PURPOSES,
    Ground,
    Hindrance,
    Processing,
    Purpose,
    Stopped,
    stopped,
)
from domain.signals import NEEDS, SignalKind
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.fields import field
from projections.customers import CUSTOMERS
from projections.moment import Moment

strawberry.enum(Purpose, description="What a customer may agree to, and something depends on.")
strawberry.enum(
    Ground, description="Why it is lawful: the GDPR's article 6(1), (a), (b), (c), (f)."
)
strawberry.enum(Hindrance, description="Why a purpose does not carry what needs it.")

_WHAT: Final = {
    Processing.SPENDING_PATTERN: "What cards are used for: `behaviour.spending`.",
    Processing.REGULAR_COUNTERPARTIES: "With whom it deals regularly: of `relationships`.",
    Processing.LIFE_EVENTS: "What changes in its life: `behaviour.lifeEvents`, `pushEvent`.",
    Processing.CHURN_RISK: "Whether it leaves: `behaviour.churnRisk`, `pushEvent`.",
    Processing.SEGMENTATION: "How it is to be served: `assignSegment`.",
    Processing.ACCOUNT_KEEPING: "Accounts, payments and what they come to.",
    Processing.CUSTOMER_SERVICE: "What it turns to the bank for: contacts, topics of the CRM.",
    Processing.ACCESS_SECURITY: "Logins and devices.",
    Processing.FRAUD_PREVENTION: "Risk scores and alerts of what is paid by card.",
    Processing.MONEY_LAUNDERING_PREVENTION: "Who it is, screening, and its risk rating.",
    Processing.CREDITWORTHINESS: "Scores of bureaus, and loans.",
}

strawberry.enum(
    Processing,
    description="What the bank makes of what it knows of a customer. "
    + " ".join(f"{processing}: {what}" for processing, what in _WHAT.items()),
)


@strawberry.type(description="One thing that is made of a customer's data, or is not.")
class ProcessingOfData:
    processing: Processing = strawberry.field(description="What it is.")
    ground: Ground = strawberry.field(description="Why it is lawful.")
    source: str = strawberry.field(description="Where that is found: articles of the GDPR first.")
    purposes: list[Purpose] = strawberry.field(
        description="What the customer must agree to; of a legitimate interest, must not have "
        "withdrawn."
    )
    done: bool = strawberry.field(
        description="Whether it is done. If not, nothing new is made so, and nothing is shown."
    )
    missing: Purpose | None = strawberry.field(description="The purpose for want of which not.")
    because: Hindrance | None = strawberry.field(description="Why that purpose is missing.")

    @classmethod
    def of(cls, processing: Processing, found: Stopped | None) -> Self:
        lawful = LAWFUL[processing]
        return cls(
            processing=processing,
            ground=lawful.ground,
            source=lawful.source,
            purposes=list(lawful.purposes),
            done=found is None,
            missing=None if found is None else found.purpose,
            because=None if found is None else found.hindrance,
        )


@strawberry.type
class WithProcessing:
    """The part of a customer that says what is made of its data."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field(
        "What is made of its data, on which ground, and what is not done, and why: on the day that "
        "the answer is of."
    )
    async def processing(self, info: Info) -> list[ProcessingOfData]:
        return [
            ProcessingOfData.of(each, await not_done(info.context, self.uuid, each))
            for each in Processing
        ]


async def not_done(context: Context, customer_id: UUID, processing: Processing) -> Stopped | None:
    """Why that is not made of its data, on the day that the answer is of; None if it is."""
    if not LAWFUL[processing].purposes:
        return None
    row = await context.row(CUSTOMERS, customer_id)
    known = {PURPOSES[p]: c for p, c in row.consents.items() if p in PURPOSES} if row else {}
    granted = {p: c.valid_until for p, c in known.items() if c.withdrawn_on is None}
    return stopped(processing, granted, known.keys() - granted.keys(), await today(context))


async def withheld(context: Context, customer_id: UUID, kind: SignalKind) -> bool:
    """Whether such a signal is not shown, as the customer does not agree to what is made of it."""
    made = NEEDS.get(kind)
    return made is not None and await not_done(context, customer_id, made) is not None


async def today(context: Context) -> date:
    """The day that an answer is of: today, or that of the moment that it shows."""
    now = await context.snapshot()
    if isinstance(now, Moment):
        at = now.stand.effective_at or now.stand.recorded_at
        if at is not None:
            return at.astimezone(UTC).date()
    return context.clock().astimezone(UTC).date()
