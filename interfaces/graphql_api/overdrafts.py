"""Overdrafts over GraphQL: what was proposed for an account, and what somebody else decided."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain.overdraft import (
    ApproveOverdraft,
    DeclineOverdraft,
    OverdraftProposal,
    ProposalStage,
    ProposeOverdraft,
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
from projections.overdrafts import PROPOSED_OVERDRAFTS, ProposedOverdraft
from projections.read_models import Where

if TYPE_CHECKING:
    from interfaces.graphql_api.accounts import Account

LazyAccount = Annotated["Account", strawberry.lazy("interfaces.graphql_api.accounts")]

strawberry.enum(ProposalStage, description="Whether a proposal was decided on, and how.")


@strawberry.type(
    name="OverdraftProposal",
    description="A proposal to let a customer owe more: two people answer for it.",
    directives=FOR_READERS,
)
class Proposal(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    stage: ProposalStage = strawberry.field(description="Whether it was decided on, and how.")
    limit: MoneyShown = strawberry.field(
        description="How far below zero ordinary debits may take the account, if it is approved."
    )
    maker: str = strawberry.field(description="Who has proposed it.")
    proposed_at: datetime = strawberry.field(description="When that was recorded.")
    reviewer: str | None = strawberry.field(description="Who has approved or declined it.")
    decided_at: datetime | None = strawberry.field(description="When that was recorded.")
    position: Position = strawberry.field(description="Where it was proposed in the log.")
    account_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: ProposedOverdraft) -> Self:
        return cls(
            id=global_id("OverdraftProposal", row.proposal_id),
            uuid=row.proposal_id,
            version=row.version,
            stage=row.stage,
            limit=MoneyShown.of(row.limit, row.currency),
            maker=row.maker,
            proposed_at=row.proposed_at,
            reviewer=row.reviewer,
            decided_at=row.decided_at,
            position=Position(row.position),
            account_id=row.account_id,
        )

    @field("The account.")
    async def account(self, info: Info) -> LazyAccount | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import accounts  # noqa: PLC0415

        return await accounts.load(info.context, self.account_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, proposal_id: UUID) -> Proposal | None:
    row = await context.row(PROPOSED_OVERDRAFTS, proposal_id)
    return Proposal.of(row) if row is not None else None


@strawberry.type
class OverdraftQueries:
    @field("One proposal to let a customer owe more; null if there is none of that id.")
    async def overdraft_proposal(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> Proposal | None:
        proposal_id = uuid_argument(id, "OverdraftProposal")
        await info.context.at_least(consistency)
        return await load(info.context, proposal_id)

    @field("Proposals to let customers owe more, the latest first.")
    async def overdraft_proposals(
        self,
        info: Info,
        first: First,
        after: After = None,
        stage: Annotated[
            ProposalStage | None, strawberry.argument(description="Only those that stand so now.")
        ] = None,
        consistency: ReadAtLeast = None,
    ) -> Connection[Proposal]:
        cursors = Cursors(info.context, "overdraft proposals", stage)
        await info.context.at_least(consistency)
        where = [] if stage is None else [Where("stage", "=", stage)]
        return await newest(
            info.context,
            cursors,
            PROPOSED_OVERDRAFTS,
            Proposal.of,
            where,
            first=first,
            after=after,
        )


@strawberry.type(description="The command took effect on a proposal.")
class OverdraftChanged(Showing):
    aggregate = OverdraftProposal

    @field(
        "The proposal with what the command changed. Null if the read models are too far behind "
        "to show it: see `note`."
    )
    async def proposal(self, info: Info) -> Proposal | None:
        return await self.shown(info, load, self.subjects[0])


OVERDRAFT_ANSWER: Final = Answer(name="OverdraftResult", success=OverdraftChanged)

OverdraftMutations = mutations(
    "OverdraftMutations",
    OVERDRAFT_ANSWER,
    {
        ProposeOverdraft: Offered(
            description="Propose to let debits go further below zero. Somebody else decides.",
            made=("proposal_id",),
        ),
        ApproveOverdraft: Offered(
            description="Let debits go as far below zero as was proposed, from now on. Whoever has "
            "proposed it cannot approve it.",
        ),
        DeclineOverdraft: Offered(description="Decline such a proposal, or take it back."),
    },
    {
        "proposal_id": "The proposal.",
        "account_id": "The account.",
        "limit": "How far below zero, in the account's currency.",
        "maker": "Who proposes it: somebody else must approve.",
        "approver": "Who approves it: not who has proposed it.",
        "reviewer": "Who declines it.",
    },
)


PART = Part(
    queries=OverdraftQueries,
    mutations=OverdraftMutations,
    answer=OVERDRAFT_ANSWER,
    nodes={"OverdraftProposal": by_uuid(load)},
)
