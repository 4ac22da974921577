"""Erasures over GraphQL: what a customer has asked for, what the law keeps, and what is gone."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain import erasure
from domain.erasure import (
    ApproveErasure,
    DeclineErasure,
    ErasureGround,
    ErasureStage,
    RequestErasure,
)
from domain.personal import Retention
from domain.retention import KeptClass
from interfaces.access.caller import Scope
from interfaces.access.masking import Policy
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.inputs import Given, malformed
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import Node, ReadMeta
from projections.customers import CUSTOMERS
from projections.erasures import ERASURES, ErasureRow
from projections.read_models import Where

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer
    from interfaces.graphql_api.inputs import CommandMeta

LazyCustomer = Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]

strawberry.enum(Retention, description="How long personal data has to be kept: its class.")
strawberry.enum(ErasureGround, description="By which point of article 17(1) of the GDPR.")
strawberry.enum(ErasureStage, description="Where an erasure is on its way.")


@strawberry.type(description="A class of personal data that may not be erased yet.")
class KeptData:
    retention: Retention = strawberry.field(description="The class.")
    ground: str = strawberry.field(description="What obliges the bank to keep it.")
    until: date | None = strawberry.field(
        description="The last day on which it is kept; null while the bank deals with the customer."
    )

    @classmethod
    def of(cls, kept: KeptClass) -> Self:
        return cls(retention=kept.retention, ground=kept.ground, until=kept.until)


@strawberry.type(description="A key that was destroyed, and with it all that it had sealed.")
class DestroyedDataKey:
    id: UUID = strawberry.field(description="Its id: the log's stream of it says which key it was.")
    retention: Retention = strawberry.field(description="The class of data that it had sealed.")


@strawberry.type(
    description="A request of a customer to be erased, and what became of it.",
    directives=FOR_READERS,
)
class Erasure(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    stage: ErasureStage = strawberry.field(description="Where it is on its way.")
    ground: ErasureGround = strawberry.field(description="Why.")
    requested: list[Retention] = strawberry.field(description="The classes that it is about.")
    erased: list[Retention] = strawberry.field(description="Those that nobody can read any more.")
    kept: list[KeptData] = strawberry.field(description="Those that may not be erased yet.")
    keys: list[DestroyedDataKey] = strawberry.field(description="The keys that were destroyed.")
    values: int = strawberry.field(description="How many values they had sealed.")
    cards: list[UUID] = strawberry.field(
        description="The cards whose numbers, and what their PINs were verified with, the card "
        "vault has forgotten."
    )
    backups_open_with: list[str] = strawberry.field(
        description="The key-encryption keys with which a backup could still be opened: it is "
        "final once they are destroyed."
    )
    maker: str = strawberry.field(description="Who has taken the request in.")
    reviewer: str | None = strawberry.field(description="Who has approved or declined it.")
    reason: str | None = strawberry.field(description="Why it was declined.")
    requested_on: date = strawberry.field(description="The day on which it was requested.")
    requested_at: datetime = strawberry.field(description="When that was recorded.")
    erased_at: datetime | None = strawberry.field(description="When keys were last destroyed.")
    final_at: datetime | None = strawberry.field(
        description="When no backup could be opened any more."
    )
    position: Position = strawberry.field(description="Where it was requested in the log.")
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: ErasureRow) -> Self:
        return cls(
            id=global_id("Erasure", row.erasure_id),
            uuid=row.erasure_id,
            version=row.version,
            stage=row.stage,
            ground=row.ground,
            requested=list(row.requested),
            erased=list(row.erased),
            kept=[
                KeptData(retention=k.retention, ground=k.ground, until=k.until) for k in row.kept
            ],
            keys=[DestroyedDataKey(id=key.dek, retention=key.retention) for key in row.keys],
            values=row.values,
            cards=list(row.cards),
            backups_open_with=list(row.wrapped_under),
            maker=row.maker,
            reviewer=row.reviewer,
            reason=row.reason,
            requested_on=row.requested_on,
            requested_at=row.requested_at,
            erased_at=row.erased_at,
            final_at=row.final_at,
            position=Position(row.position),
            customer_id=row.customer_id,
        )

    @field("Whom it is about.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import customers  # noqa: PLC0415

        return await customers.load(info.context, self.customer_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


@strawberry.type(
    description="What forbids to erase anything of a customer. Never to be shown to the customer."
)
class LegalHold:
    id: UUID = strawberry.field(description="Its id, by which it is lifted.")
    placed_on: date = strawberry.field(description="The day on which it was placed.")
    review_on: date | None = strawberry.field(
        description="When somebody has to look whether it is still needed."
    )
    reason: strawberry.Private[str]
    basis: strawberry.Private[str]

    @field("Why.", masked=Policy.CONFIDENTIAL)
    def reason_code(self, info: Info) -> str | None:
        return info.context.confidential(self.reason)

    @field("By which law, court or contract.", masked=Policy.CONFIDENTIAL)
    def legal_basis(self, info: Info) -> str | None:
        return info.context.confidential(self.basis)


@strawberry.type
class WithErasures:
    """What a customer has asked to be erased, and what stands against it."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field("What was asked to be erased, the latest first.")
    async def erasures(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Erasure]:
        cursors = Cursors(info.context, "erasures", self.uuid)
        of = ("customer_id", self.uuid)
        return await newest(
            info.context, cursors, ERASURES, Erasure.of, of=of, first=first, after=after
        )

    @field("Holds in force: while there is one, nothing is erased.", needs=Scope.ADMIN)
    async def legal_holds(self, info: Info) -> list[LegalHold]:
        row = await info.context.row(CUSTOMERS, self.uuid)
        return [
            LegalHold(
                id=hold.hold_id,
                placed_on=hold.placed_on,
                review_on=hold.review_on,
                reason=hold.reason_code,
                basis=hold.legal_basis,
            )
            for hold in (row.legal_holds if row is not None else ())
        ]


async def load(context: Context, erasure_id: UUID) -> Erasure | None:
    row = await context.row(ERASURES, erasure_id)
    return Erasure.of(row) if row is not None else None


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class ErasureQueries:
    @field("One erasure; null if there is none of that id.")
    async def erasure(self, info: Info, id: Id, consistency: ReadAtLeast = None) -> Erasure | None:
        erasure_id = uuid_argument(id, "Erasure")
        await info.context.at_least(consistency)
        return await load(info.context, erasure_id)

    @field("Erasures, the latest requests first.")
    async def erasures(
        self,
        info: Info,
        first: First,
        after: After = None,
        stage: Annotated[
            ErasureStage | None, strawberry.argument(description="Only those that stand so now.")
        ] = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[Erasure]:
        cursors = Cursors(info.context, "all erasures")
        await info.context.at_least(consistency)
        where = [] if stage is None else [Where("stage", "=", stage)]
        return await newest(
            info.context, cursors, ERASURES, Erasure.of, where, first=first, after=after
        )


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on an erasure.")
class ErasureChanged(Showing):
    aggregate = erasure.Erasure

    @field(
        "The erasure with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def erasure(self, info: Info) -> Erasure | None:
        return await self.shown(info, load, self.subjects[0])


ERASURE_ANSWER: Final = Answer(name="ErasureResult", success=ErasureChanged)


def not_ahead_of_time(context: Context, _: Given, values: Given) -> Given:
    """The domain has no clock: whoever decides in the name of a day to come would erase what the
    law still has the bank keep."""
    if values["on"] > context.clock().date():
        raise malformed("meta", "past", "an erasure is not decided on ahead of its day")
    return {}


async def _not_ahead_of_time(
    context: Context, _: "CommandMeta", given: Given, values: Given
) -> Given:
    return not_ahead_of_time(context, given, values)


ErasureMutations = mutations(
    "ErasureMutations",
    ERASURE_ANSWER,
    {
        RequestErasure: Offered(
            description="Take in that a customer asks to be erased. Somebody else approves it.",
            made=("erasure_id",),
        ),
        ApproveErasure: Offered(
            description="Erase what may be erased, now, and the rest at the end of its period. "
            "Whoever took the request in cannot approve it.",
            needs=Scope.ADMIN,
            fill=_not_ahead_of_time,
            suppose=not_ahead_of_time,
        ),
        DeclineErasure: Offered(description="Decline a request to be erased.", needs=Scope.ADMIN),
    },
    {
        "erasure_id": "The erasure.",
        "customer_id": "The customer.",
        "ground": "By which point of article 17(1) of the GDPR.",
        "classes": "The classes of data that it is about; all of them if left out.",
        "maker": "Who takes it in: somebody else must approve.",
        "approver": "Who approves it: not who has taken it in.",
        "reviewer": "Who declines it.",
        "reason": "Why, in words that say nothing of persons.",
    },
)


PART = Part(
    queries=ErasureQueries,
    mutations=ErasureMutations,
    answer=ERASURE_ANSWER,
    nodes={"Erasure": by_uuid(load)},
)
