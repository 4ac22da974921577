"""Who has read what of customers' personal data, over GraphQL, for those who govern."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID

import strawberry

from domain.access import Shown
from interfaces.access.caller import Scope
from interfaces.graphql_api.context import Info
from interfaces.graphql_api.fields import After, First, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.scalars import Position
from projections.personal_reads import PERSONAL_READS, UNUSUAL_READS, PersonalRead, UnusualRead
from projections.read_models import Where

strawberry.enum(Shown, name="ShownAs", description="How personal data was shown.")


@strawberry.type(
    description="That somebody was shown personal data of a customer, which was on record before "
    "he was."
)
class PersonalDataRead:
    position: Position = strawberry.field(description="Where the record stands in the log.")
    customer_id: strawberry.ID = strawberry.field(description="The customer's global id.")
    reader: str = strawberry.field(description="Who.")
    client: str = strawberry.field(description="With which program.")
    purpose: str | None = strawberry.field(description="Why, if that was said.")
    at: datetime = strawberry.field(description="When.")
    until: datetime | None = strawberry.field(
        description="Before when what the reader asked for again is not told again, a few seconds "
        "later; null: everything was."
    )
    operations: list[str] = strawberry.field(
        description="By which operations: their names, or the fields at their roots."
    )
    fields: list[str] = strawberry.field(description="Which values, by their names.")
    shown: Shown = strawberry.field(description="In clear, or masked.")

    @classmethod
    def of(cls, row: PersonalRead) -> Self:
        return cls(
            position=Position(row.position),
            customer_id=global_id("Customer", row.customer_id),
            reader=row.reader,
            client=row.client,
            purpose=row.purpose,
            at=row.at,
            until=row.until,
            operations=list(row.operations),
            fields=list(row.fields),
            shown=row.shown,
        )


@strawberry.type(description="That somebody read of many more customers in an hour than it does.")
class UnusualReading:
    position: Position = strawberry.field(description="Where the record stands in the log.")
    reader: str = strawberry.field(description="Who.")
    hour: datetime = strawberry.field(description="When the hour began.")
    customers: int = strawberry.field(
        description="Of about how many different customers, when it was noticed."
    )
    usual: float = strawberry.field(
        description="The median of the hours before in which it read anything."
    )

    @classmethod
    def of(cls, row: UnusualRead) -> Self:
        return cls(
            position=Position(row.position),
            reader=row.reader,
            hour=row.hour,
            customers=row.customers,
            usual=row.usual,
        )


@strawberry.type
class WithReads:
    """The part of a customer that says who has read of it."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field("Who was shown personal data of it, the latest first.", needs=Scope.ADMIN, costs=1)
    async def personal_data_reads(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[PersonalDataRead]:
        return await _reads(info, Where("customer_id", "=", self.uuid), first, after)


@strawberry.type
class ReadQueries:
    @field("Whose personal data somebody was shown, the latest first.", needs=Scope.ADMIN)
    async def personal_data_reads(
        self,
        info: Info,
        reader: Annotated[str, strawberry.argument(description="Who: the subject of his token.")],
        first: First,
        after: After = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[PersonalDataRead]:
        await info.context.at_least(consistency)
        return await _reads(info, Where("reader", "=", reader), first, after)

    @field(
        "Who has read of unusually many customers in an hour, the latest first.", needs=Scope.ADMIN
    )
    async def unusual_readings(
        self, info: Info, first: First, after: After = None, consistency: ReadAtLeast = None
    ) -> Connection[UnusualReading]:
        context = info.context
        await context.at_least(consistency)
        cursors = Cursors(context, "unusual readings")
        return await newest(
            context, cursors, UNUSUAL_READS, UnusualReading.of, first=first, after=after
        )


async def _reads(
    info: Info, of: Where, first: int, after: str | None
) -> Connection[PersonalDataRead]:
    """By position and customer: one record tells of several."""
    context = info.context
    cursors = Cursors(context, "reads", of.column, of.value)
    key = cursors.key(after, int, UUID)
    page = await (await context.snapshot()).page(
        PERSONAL_READS,
        [of],
        first=checked_first(first),
        after=key,
        order=("position", "customer_id"),
        descending=True,
    )
    nodes = [((row.position, row.customer_id), PersonalDataRead.of(row)) for row in page.rows]
    return cursors.page(nodes, has_more=page.has_more, after=after, meta=await context.meta())


PART = Part(queries=ReadQueries)
