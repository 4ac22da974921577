"""Branches over GraphQL: the twin of each one now, and what its staff, its door and its machines
report."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain import branch
from domain.branch import (
    CallNextTicket,
    CancelTicket,
    ChangeBranchCapacity,
    ChangeBranchServices,
    CloseBranch,
    CloseCounter,
    CountVisitors,
    FinishServing,
    IssueTicket,
    OpenBranch,
    OpenCounter,
    RecordNoShow,
    RecordStaffArrival,
    RecordStaffDeparture,
    RegisterBranch,
    ScheduleStaff,
    StaffRole,
    StartServing,
    TicketEvent,
    TicketPriority,
    TicketStatus,
    TransferTicket,
)
from interfaces.access.caller import Scope
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import by_id, newest
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import Node, ReadMeta
from projections import branches
from projections.branches import BRANCHES, TICKETS, BranchRow, TicketRow
from projections.read_models import Where

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer

strawberry.enum(StaffRole, description="What somebody of the staff does.")
strawberry.enum(
    TicketPriority,
    description="The class of a ticket. All of a class are called before any of the next one.",
)
strawberry.enum(TicketStatus, description="Where a ticket is on its way.")


# --- tickets --------------------------------------------------------------------------------------


@strawberry.type(
    description="A place in the queue of a service. It is called once.", directives=FOR_READERS
)
class Ticket(Node):
    uuid: UUID = strawberry.field(description="Its plain id: that of the command that issued it.")
    number: int = strawberry.field(description="What is shown on the wall, from 1 each day.")
    service: str = strawberry.field(description="What it waits for.")
    priority: TicketPriority = strawberry.field(description="Its class.")
    status: TicketStatus = strawberry.field(description="Where it is on its way.")
    counter: str | None = strawberry.field(description="The counter that has called it.")
    issued_at: datetime = strawberry.field(description="When it was issued.")
    called_at: datetime | None = strawberry.field(description="When it was called.")
    serving_at: datetime | None = strawberry.field(
        description="When whoever was called came to the counter."
    )
    ended_at: datetime | None = strawberry.field(
        description="When it was served, or what else became of it."
    )
    reason: str | None = strawberry.field(description="Why it was cancelled, if it was.")
    position: Position = strawberry.field(description="Where it was issued in the log.")
    branch_id: strawberry.Private[UUID]
    customer_id: strawberry.Private[UUID | None]
    transferred_from_id: strawberry.Private[UUID | None]
    transferred_to_id: strawberry.Private[UUID | None]

    @classmethod
    def of(cls, row: TicketRow) -> Self:
        return cls(
            id=global_id("Ticket", row.ticket_id),
            uuid=row.ticket_id,
            number=row.number,
            service=row.service,
            priority=row.priority,
            status=row.status,
            counter=row.counter,
            issued_at=row.issued_at,
            called_at=row.called_at,
            serving_at=row.serving_at,
            ended_at=row.ended_at,
            reason=row.reason,
            position=Position(row.position),
            branch_id=row.branch_id,
            customer_id=row.customer_id,
            transferred_from_id=row.transferred_from,
            transferred_to_id=row.transferred_to,
        )

    @field("Where it was issued.")
    async def branch(self, info: Info) -> "Branch | None":
        return await load(info.context, self.branch_id)

    @field("Who waits; null if the branch was not told.")
    async def customer(
        self, info: Info
    ) -> Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import customers  # noqa: PLC0415

        if self.customer_id is None:
            return None
        return await customers.load(info.context, self.customer_id)

    @field("The ticket that it was before it was sent on to another service.")
    async def transferred_from(self, info: Info) -> "Ticket | None":
        return await _ticket(info.context, self.transferred_from_id)

    @field("The ticket that it has become in the queue of another service.")
    async def transferred_to(self, info: Info) -> "Ticket | None":
        return await _ticket(info.context, self.transferred_to_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def _ticket(context: Context, ticket_id: UUID | None) -> Ticket | None:
    if ticket_id is None:
        return None
    row = await context.row(TICKETS, ticket_id)
    return Ticket.of(row) if row is not None else None


@strawberry.type
class WithVisits:
    """The part of a customer that says when it came to a branch."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field("Its tickets at branches that were told who it is, the newest first.")
    async def branch_tickets(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Ticket]:
        cursors = Cursors(info.context, "visits", self.uuid)
        of = ("customer_id", self.uuid)
        return await newest(
            info.context, cursors, TICKETS, Ticket.of, of=of, first=first, after=after
        )


# --- branches -------------------------------------------------------------------------------------


@strawberry.type(description="Who waits for one service of a branch.")
class Queue:
    service: str = strawberry.field(description="The service.")
    length: int = strawberry.field(description="How many wait and have not been called.")
    counters: int = strawberry.field(
        description="How many open counters serve it, perhaps among other services."
    )
    estimated_wait_seconds: int | None = strawberry.field(
        description="How long somebody who came now would wait to be called, by what the last "
        "tickets took. Null if no counter serves it, or none has served anybody yet."
    )
    observed_wait_seconds: int | None = strawberry.field(
        description="How long those have waited who were called last; null if nobody was."
    )

    @classmethod
    def of(cls, queue: branches.Queue) -> Self:
        return cls(
            service=queue.service,
            length=queue.length,
            counters=queue.counters,
            estimated_wait_seconds=_seconds(queue.estimated_wait),
            observed_wait_seconds=_seconds(queue.observed_wait),
        )


def _seconds(exact: float | None) -> int | None:
    return None if exact is None else round(exact)


@strawberry.type(description="How many of a role are there, and how many should be.")
class StaffPresence:
    role: StaffRole = strawberry.field(description="The role.")
    present: int = strawberry.field(description="How many are there.")
    scheduled: int = strawberry.field(
        description="How many should be, on the last day on which the branch was open."
    )


@strawberry.type(description="An open counter.")
class BranchCounter:
    counter: str = strawberry.field(description="What is written above it.")
    services: list[str] = strawberry.field(description="What it serves.")
    since: datetime = strawberry.field(description="When it was opened.")
    employee_code: strawberry.Private[str]

    @field("Who is there: a code of the bank's rosters.", needs=Scope.READ)
    async def employee(self, info: Info) -> str:
        return self.employee_code


@strawberry.type(description="What became of the tickets of the last day that a branch was open.")
class BranchDay:
    issued: int = strawberry.field(description="How many were issued, those of transfers too.")
    served: int = strawberry.field(description="How many were served to the end.")
    no_show: int = strawberry.field(description="How many were called and nobody came.")
    transferred: int = strawberry.field(description="How many were sent on to another service.")
    cancelled: int = strawberry.field(description="How many were cancelled.")
    visitors: int = strawberry.field(description="How many came in at the door.")


@strawberry.type(description="A branch as it is now.")
class Branch(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    name: str = strawberry.field(description="Its name.")
    city: str = strawberry.field(description="Where it is.")
    country: str = strawberry.field(description="Likewise, by ISO 3166-1 alpha-2.")
    services: list[str] = strawberry.field(description="What it offers.")
    capacity: int = strawberry.field(description="How many may be inside at once.")
    occupancy: int = strawberry.field(
        description="How many visitors are inside, by what the door has counted."
    )
    open: bool = strawberry.field(description="Whether it is open.")
    day: date | None = strawberry.field(description="The day for which it is open.")
    last_day: date | None = strawberry.field(description="The last day on which it was open.")
    queues: list[Queue] = strawberry.field(description="Who waits, by service.")
    staff: list[StaffPresence] = strawberry.field(description="Who is there, by role.")
    counters: list[BranchCounter] = strawberry.field(description="Open counters.")
    today: BranchDay = strawberry.field(description="The last day on which it was open, so far.")
    occurred_at: datetime | None = strawberry.field(
        description="When the last thing happened that it tells of."
    )
    position: Position = strawberry.field(description="Where that stands in the log.")

    @classmethod
    def of(cls, row: BranchRow) -> Self:
        return cls(
            id=global_id("Branch", row.branch_id),
            uuid=row.branch_id,
            version=row.version,
            name=row.name,
            city=row.city,
            country=row.country,
            services=list(row.services),
            capacity=row.capacity,
            occupancy=row.occupancy,
            open=row.day is not None,
            day=row.day,
            last_day=row.last_day,
            queues=[Queue.of(queue) for queue in branches.queues(row)],
            staff=[
                StaffPresence(role=of.role, present=of.present, scheduled=of.scheduled)
                for of in branches.staff_of(row)
            ],
            counters=[
                BranchCounter(
                    counter=counter.counter,
                    services=list(counter.services),
                    since=counter.since,
                    employee_code=counter.employee,
                )
                for counter in row.counters
            ],
            today=_day(row),
            occurred_at=row.occurred_at,
            position=Position(row.position),
        )

    @field("Its tickets, the newest first.", needs=Scope.READ)
    async def tickets(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        status: Annotated[
            TicketStatus | None, strawberry.argument(description="Only those that stand so now.")
        ] = None,
    ) -> Connection[Ticket]:
        return await newest(
            info.context,
            Cursors(info.context, "tickets", self.uuid),
            TICKETS,
            Ticket.of,
            [] if status is None else [Where("status", "=", status)],
            of=("branch_id", self.uuid),
            first=first,
            after=after,
        )

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


def _day(row: BranchRow) -> BranchDay:
    counts = row.counts
    return BranchDay(
        issued=counts.issued,
        served=counts.served,
        no_show=counts.no_show,
        transferred=counts.transferred,
        cancelled=counts.cancelled,
        visitors=counts.visitors,
    )


async def load(context: Context, branch_id: UUID) -> Branch | None:
    row = await context.row(BRANCHES, branch_id)
    return Branch.of(row) if row is not None else None


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class BranchQueries:
    @field("One branch; null if there is none of that id.", needs=Scope.AGGREGATES)
    async def branch(self, info: Info, id: Id, consistency: ReadAtLeast = None) -> Branch | None:
        branch_id = uuid_argument(id, "Branch")
        await info.context.at_least(consistency)
        return await load(info.context, branch_id)

    @field("All branches, in the order of their ids.", needs=Scope.AGGREGATES)
    async def branches(
        self, info: Info, first: First, after: After = None, consistency: ReadAtLeast = None
    ) -> Connection[Branch]:
        await info.context.at_least(consistency)
        cursors = Cursors(info.context, "branches")
        return await by_id(info.context, cursors, BRANCHES, Branch.of, first=first, after=after)


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a branch.")
class BranchChanged(Showing):
    aggregate = branch.Branch

    @field(
        "The branch with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def branch(self, info: Info) -> Branch | None:
        return await self.shown(info, load, self.subjects[0])

    @field(
        "The ticket that the command was about: the one that was called, or that which another one "
        "became. Null if it was about none, or cannot be shown yet."
    )
    async def ticket(self, info: Info) -> Ticket | None:
        written = await info.context.written_by(self.receipt.command_id)
        last: Sequence[UUID] = [
            event.ticket_id for _, event in written[-1:] if isinstance(event, TicketEvent)
        ]
        return await self.shown(info, _ticket, last[0]) if last else None


BRANCH_ANSWER = Answer(name="BranchResult", success=BranchChanged)

_OF_A_TICKET: Final = {"ticket_id": "Ticket"}

BranchMutations = mutations(
    "BranchMutations",
    BRANCH_ANSWER,
    {
        RegisterBranch: Offered(description="Register a branch.", made=("branch_id",)),
        ChangeBranchCapacity: Offered(description="Change how many may be inside at once."),
        ChangeBranchServices: Offered(
            description="Change what a branch offers. Whatever somebody waits for stays."
        ),
        ScheduleStaff: Offered(
            description="Say who is to be there on a day, in place of what was said of that day.",
            given=("day",),
        ),
        OpenBranch: Offered(
            description="Open a branch for the day of `meta.effectiveAt`, once a day."
        ),
        CloseBranch: Offered(
            description="Close a branch for the day. Tickets that still wait are cancelled."
        ),
        RecordStaffArrival: Offered(description="Note that somebody of the staff has come."),
        RecordStaffDeparture: Offered(description="Note that somebody of the staff has gone."),
        OpenCounter: Offered(
            description="Open a counter, with somebody of the staff who is there."
        ),
        CloseCounter: Offered(description="Close a counter that serves nobody."),
        CountVisitors: Offered(description="Note how many came and went since the last count."),
        IssueTicket: Offered(
            description="Put somebody into the queue of a service. The ticket's id is the "
            "command's.",
            command_id=("ticket_id",),
            nodes={"customer_id": "Customer"},
        ),
        CallNextTicket: Offered(
            description="Call the next one whom a counter serves: by class and, within it, in the "
            "order of issue. The answer's `ticket` says who that is."
        ),
        StartServing: Offered(
            description="Note that whoever was called has come to the counter.",
            nodes=_OF_A_TICKET,
        ),
        FinishServing: Offered(
            description="Note that somebody was served to the end.", nodes=_OF_A_TICKET
        ),
        RecordNoShow: Offered(
            description="Note that nobody came who was called.", nodes=_OF_A_TICKET
        ),
        TransferTicket: Offered(
            description="Send somebody on to another service, where a new ticket waits in the same "
            "class. Its id is the command's.",
            command_id=("new_ticket_id",),
            nodes=_OF_A_TICKET,
        ),
        CancelTicket: Offered(
            description="Cancel a ticket that waits or was called.", nodes=_OF_A_TICKET
        ),
    },
    {
        "branch_id": "The branch.",
        "name": "What it is called.",
        "city": "Where it is.",
        "country": "Likewise: two letters of ISO 3166-1.",
        "capacity": "How many may be inside at once.",
        "services": "Codes of capitals, digits and _, such as CASH.",
        "day": "The day.",
        "roster": "How many of each role.",
        "Rostered": "So many of a role are to be there.",
        "role": "The role.",
        "number": "How many.",
        "occurred_at": "When it happened.",
        "employee": "A code of the bank's rosters: no name.",
        "counter": "What is written above the counter.",
        "entered": "How many came in.",
        "left": "How many went out.",
        "service": "What is waited for.",
        "priority": "The class.",
        "customer_id": "Who waits, if that is known.",
        "ticket_id": "The ticket.",
        "reason": "Why.",
    },
)


PART = Part(
    queries=BranchQueries,
    mutations=BranchMutations,
    answer=BRANCH_ANSWER,
    nodes={"Branch": by_uuid(load), "Ticket": by_uuid(_ticket)},
)
