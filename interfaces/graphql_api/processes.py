"""Processes over GraphQL: how many loans, alerts and risk updates stand where, and for how long;
and the risk updates themselves."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, Self
from uuid import UUID

import strawberry

from domain.customer import RiskRating
from domain.risk import update
from domain.risk.update import (
    CarryOutRiskUpdate,
    RequestRiskUpdateForAlert,
    RequestRiskUpdateForScore,
    RiskUpdateCause,
    RiskUpdateStage,
    WhyNeedless,
)
from interfaces.access.caller import Scope
from interfaces.graphql_api.answers import Answer, Showing
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import global_id, uuid_argument
from interfaces.graphql_api.listing import newest
from interfaces.graphql_api.mutations import Offered, mutations
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.scalars import Position
from interfaces.graphql_api.values import Node, ReadMeta
from projections import processes
from projections.processes import FINAL, PROCESSES, STAGES, Process, ProcessRow
from projections.read_models import Where
from projections.risk_updates import RISK_UPDATES, RiskUpdateRow

if TYPE_CHECKING:
    from interfaces.graphql_api.customers import Customer
    from interfaces.graphql_api.risk import FraudAlert

LazyCustomer = Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")]

strawberry.enum(Process, description="What the bank is busy with.")
strawberry.enum(RiskUpdateCause, description="What became known of a customer.")
strawberry.enum(RiskUpdateStage, description="Where a risk update is on its way.")
strawberry.enum(WhyNeedless, description="Why a customer was not rated anew.")

MEASURED: Final = 500
"""How long it takes is told by so many instances, those that began last."""

_SHOWN_AS: Final = {
    Process.LOAN: "LoanCase",
    Process.FRAUD_ALERT: "FraudAlert",
    Process.RISK_UPDATE: "RiskUpdate",
}


# --- processes ------------------------------------------------------------------------------------


@strawberry.type(description="How many instances of a process are at one stage.")
class ProcessStage:
    stage: str = strawberry.field(description="The stage.")
    final: bool = strawberry.field(description="Whether nothing leaves it.")
    count: int = strawberry.field(description="How many are at it.")
    waiting_since: datetime | None = strawberry.field(
        description="Since when the one has been there that has been there for longest; null if "
        "none is, or the stage is final."
    )


@strawberry.type(
    description="How long instances stayed at a stage before they went on, in seconds."
)
class StageDuration:
    stage: str = strawberry.field(description="The stage.")
    count: int = strawberry.field(description="How many have left it.")
    mean_seconds: int = strawberry.field(description="The mean.")
    median_seconds: int = strawberry.field(description="Half of them took no longer.")
    ninth_decile_seconds: int = strawberry.field(description="Nine of ten took no longer.")

    @classmethod
    def of(cls, duration: processes.StageDuration) -> Self:
        return cls(
            stage=duration.stage,
            count=duration.count,
            mean_seconds=_whole(duration.mean),
            median_seconds=_whole(duration.median),
            ninth_decile_seconds=_whole(duration.ninth_decile),
        )


@strawberry.type(description="A stage that an instance came to.")
class ProcessStep:
    stage: str = strawberry.field(description="The stage.")
    entered_at: datetime = strawberry.field(description="When it came there.")


@strawberry.type(
    description="One loan, alert or risk update, as an instance of its process.",
    directives=FOR_READERS,
)
class ProcessInstance:
    process: Process = strawberry.field(description="Which process.")
    node_id: strawberry.ID = strawberry.field(
        description="The global id of what it is: `node` finds it."
    )
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    stage: str = strawberry.field(description="Where it is.")
    entered_at: datetime = strawberry.field(description="Since when.")
    began_at: datetime = strawberry.field(description="When it began.")
    ended_at: datetime | None = strawberry.field(description="When it ended, if it has.")
    steps: list[ProcessStep] = strawberry.field(description="How it came there.")
    position: Position = strawberry.field(description="Where it began in the log.")
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: ProcessRow) -> Self:
        return cls(
            process=row.process,
            node_id=global_id(_SHOWN_AS[row.process], row.instance_id),
            uuid=row.instance_id,
            stage=row.stage,
            entered_at=row.entered_at,
            began_at=row.began_at,
            ended_at=row.ended_at,
            steps=[ProcessStep(stage=s.stage, entered_at=s.entered_at) for s in row.steps],
            position=Position(row.position),
            customer_id=row.customer_id,
        )

    @field("For how many seconds it has been where it is; until it ended, if that is final.")
    async def seconds_at_stage(self, info: Info) -> int:
        return await _seconds_since(info.context, self.entered_at, self.ended_at)

    @field("For how many seconds it has been under way, or was.")
    async def seconds_under_way(self, info: Info) -> int:
        return await _seconds_since(info.context, self.began_at, self.ended_at)

    @field("Whom it is about.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)


async def _seconds_since(context: Context, since: datetime, ended_at: datetime | None) -> int:
    """Until it ended, or the moment that is asked about."""
    until = ended_at
    if until is None:
        until = (await context.meta()).as_of if context.is_past else context.clock()
    return _whole(max((until or since) - since, timedelta(0)).total_seconds())


def _whole(seconds: float) -> int:
    """A GraphQL Int ends at 68 years, which somebody may say that something took."""
    return min(round(seconds), 2**31 - 1)


@strawberry.type(description="A process: where its instances are, and how long they take.")
class ProcessTwin:
    process: Process = strawberry.field(description="Which process.")

    @field("How many are under way.", costs=5)
    async def under_way(self, info: Info) -> int:
        counts = await _counts(info.context, self.process)
        return sum(n for stage, n in counts.items() if stage not in FINAL)

    @field("How many are at each stage, in the order of the stages.", costs=5)
    async def stages(self, info: Info) -> list[ProcessStage]:
        counts = await _counts(info.context, self.process)
        return [
            ProcessStage(
                stage=stage,
                final=stage in FINAL,
                count=count,
                waiting_since=await _waiting_since(info.context, self.process, stage),
            )
            for stage, count in counts.items()
        ]

    @field(
        f"How long instances stayed at each stage that they have left: of the {MEASURED} that "
        "began last.",
        costs=50,
    )
    async def durations(self, info: Info) -> list[StageDuration]:
        now = await info.context.snapshot()
        page = await now.page_of(
            PROCESSES,
            "process",
            self.process,
            first=MEASURED,
            order=("position",),
            descending=True,
        )
        return [StageDuration.of(d) for d in processes.durations(self.process, page.rows)]

    @field("Its instances, those that began last first.", needs=Scope.READ)
    async def instances(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        stage: Annotated[
            str | None, strawberry.argument(description="Only those that are there now.")
        ] = None,
    ) -> Connection[ProcessInstance]:
        if stage is not None and stage not in STAGES[self.process]:
            raise BadUserInput(f"{self.process} has the stages {', '.join(STAGES[self.process])}")
        return await newest(
            info.context,
            Cursors(info.context, "instances", self.process),
            PROCESSES,
            ProcessInstance.of,
            [] if stage is None else [Where("stage", "=", stage)],
            of=("process", self.process),
            first=first,
            after=after,
        )

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def _counts(context: Context, process: Process) -> dict[str, int]:
    now = await context.snapshot()
    stages = STAGES[process]
    counts = await now.counts(PROCESSES, "stage", stages, [Where("process", "=", process)])
    return dict(zip(stages, counts, strict=True))


async def _waiting_since(context: Context, process: Process, stage: str) -> datetime | None:
    """When the one entered the stage that has been there for longest."""
    if stage in FINAL:
        return None
    now = await context.snapshot()
    asked = [Where("process", "=", process)]
    order = ("entered_at", "instance_id")
    page = await now.page_of(PROCESSES, "stage", stage, asked, first=1, order=order)
    return page.rows[0].entered_at if page.rows else None


# --- risk updates ---------------------------------------------------------------------------------


@strawberry.type(
    description="Something became known of a customer that its risk rating should follow.",
    directives=FOR_READERS,
)
class RiskUpdate(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    stage: RiskUpdateStage = strawberry.field(description="Where it is on its way.")
    cause: RiskUpdateCause = strawberry.field(description="What became known.")
    rating: RiskRating = strawberry.field(description="What the customer is to be rated at least.")
    factors: list[str] = strawberry.field(description="What that rests on.")
    before: RiskRating | None = strawberry.field(
        description="What the customer was rated before that was carried out; null if not at all."
    )
    why_needless: WhyNeedless | None = strawberry.field(
        description="Why nothing was to be done, if nothing was."
    )
    requested_at: datetime = strawberry.field(description="When it was requested.")
    ended_at: datetime | None = strawberry.field(description="When it ended, if it has.")
    customer_id: strawberry.Private[UUID]
    alert_id: strawberry.Private[UUID | None]

    @classmethod
    def of(cls, row: RiskUpdateRow) -> Self:
        return cls(
            id=global_id("RiskUpdate", row.update_id),
            uuid=row.update_id,
            version=row.version,
            stage=row.stage,
            cause=row.cause,
            rating=row.rating,
            factors=list(row.factors),
            before=row.before,
            why_needless=row.why_needless,
            requested_at=row.requested_at,
            ended_at=row.ended_at,
            customer_id=row.customer_id,
            alert_id=row.alert_id,
        )

    @field("Whom it is about.")
    async def customer(self, info: Info) -> LazyCustomer | None:
        return await _customer(info.context, self.customer_id)

    @field("The alert that was its cause, if one was.")
    async def alert(
        self, info: Info
    ) -> Annotated["FraudAlert", strawberry.lazy("interfaces.graphql_api.risk")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import risk  # noqa: PLC0415

        return None if self.alert_id is None else await risk.load(info.context, self.alert_id)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, update_id: UUID) -> RiskUpdate | None:
    row = await context.row(RISK_UPDATES, update_id)
    return RiskUpdate.of(row) if row is not None else None


async def _customer(context: Context, customer_id: UUID) -> "Customer | None":
    from interfaces.graphql_api import customers  # noqa: PLC0415

    return await customers.load(context, customer_id)


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class ProcessQueries:
    @field("What the bank is busy with: every process.", needs=Scope.AGGREGATES)
    async def processes(self, info: Info, consistency: ReadAtLeast = None) -> list[ProcessTwin]:
        await info.context.at_least(consistency)
        return [ProcessTwin(process=process) for process in Process]

    @field("One process.", needs=Scope.AGGREGATES)
    async def process(
        self,
        info: Info,
        process: Annotated[Process, strawberry.argument(description="Which one.")],
        consistency: ReadAtLeast = None,
    ) -> ProcessTwin:
        await info.context.at_least(consistency)
        return ProcessTwin(process=process)

    @field("One risk update; null if there is none of that id.")
    async def risk_update(
        self, info: Info, id: Id, consistency: ReadAtLeast = None
    ) -> RiskUpdate | None:
        update_id = uuid_argument(id, "RiskUpdate")
        await info.context.at_least(consistency)
        return await load(info.context, update_id)


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a risk update.")
class RiskUpdateChanged(Showing):
    aggregate = update.RiskUpdate

    @field(
        "The update with what the command changed. Null if the read models are too far behind to "
        "show it: see `note`."
    )
    async def risk_update(self, info: Info) -> RiskUpdate | None:
        return await self.shown(info, load, self.subjects[0])


UPDATE_ANSWER: Final = Answer(name="RiskUpdateResult", success=RiskUpdateChanged)

UpdateMutations = mutations(
    "UpdateMutations",
    UPDATE_ANSWER,
    {
        RequestRiskUpdateForAlert: Offered(
            description="Have a customer rated anew because an alert was confirmed. The bank does "
            "that by itself, under an id of its own.",
            made=("update_id",),
        ),
        RequestRiskUpdateForScore: Offered(
            description="Have a customer rated anew because of a bureau's score. The bank does "
            "that by itself when one is reported, under an id of its own.",
            made=("update_id",),
        ),
        CarryOutRiskUpdate: Offered(
            description="Rate the customer, or find that it is needless: a rating is only raised."
        ),
    },
    {
        "update_id": "The update.",
        "alert_id": "The alert that was confirmed.",
        "customer_id": "The customer.",
        "score": "The score; in it, what it is.",
        "BureauScore": "A bureau's score on its own scale: the higher, the better.",
        "bureau": "The bureau's code.",
        "lowest": "The lowest score of the bureau's scale.",
        "highest": "The highest score of the bureau's scale.",
        "as_of": "The day on which the bureau reckoned it.",
        "occurred_at": "When it happened.",
    },
)


PART = Part(
    queries=ProcessQueries,
    mutations=UpdateMutations,
    answer=UPDATE_ANSWER,
    nodes={"RiskUpdate": by_uuid(load)},
)
