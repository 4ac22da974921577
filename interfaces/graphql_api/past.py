"""What became of a customer: what happened, what it changed, who said so, and what would be if.

Everything here is told by the twin's paths (projections/twin.py), and read from the records of the
customer's own streams: it costs some 80 us for each of them, and keeps nothing.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import UUID

import strawberry

from domain.aggregate import permanent_name
from domain.recorded import Recorded
from interfaces.access.caller import Scope
from interfaces.graphql_api.as_of import AsOf
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import After, First, field
from interfaces.graphql_api.happened import CustomerEvent, TwinChange
from interfaces.graphql_api.paging import Connection, Cursors, checked_first
from interfaces.graphql_api.simulating import Beneath, Simulation, simulated
from projections.moment import Moment, stand_of_position
from projections.read_models import Snapshot
from projections.supposed import Supposed
from projections.twin import difference, sources, streams_of

if TYPE_CHECKING:
    from interfaces.graphql_api.simulated_commands import SimulatedCommand

T = TypeVar("T")

PATHS_MAX: Final = 100
"""How many paths are asked about at once."""

ASIDE: Final = 500
"""More records than these are folded in a thread, so that others are answered too."""

Types = Annotated[
    list[str] | None,
    strawberry.argument(description="Only these, by their permanent names; left out, all."),
]


@strawberry.type(description="Where a value of a customer's twin comes from.")
class FieldProvenance:
    path: str = strawberry.field(description="The place in the twin: a JSON Pointer.")
    event: CustomerEvent = strawberry.field(description="The event that made it what it is.")
    source: str = strawberry.field(
        description="Who said so: a source outside the bank by its name, or `bank`."
    )
    confidence: float = strawberry.field(
        description="How sure it is, from 0 to 1: what the source says of it; of what the bank "
        "recorded by itself, 1."
    )

    @field("Who sent the command.")
    async def actor(self, info: Info) -> str | None:
        return await self.event.actor(info)


@strawberry.type
class WithHistory:
    """The part of a customer that tells of other moments than the one that is shown."""

    if TYPE_CHECKING:
        uuid: UUID  # the customer's own

    @field("What happened around it, the latest first.", costs=5)
    async def timeline(
        self, info: Info, first: First = 50, after: After = None, types: Types = None
    ) -> Connection[CustomerEvent]:
        return await _timeline(info.context, self.uuid, first, after, types)

    @field(
        "Where values of its twin come from. An entry for each value at these places or beneath "
        "them.",
        costs=25,
    )
    async def provenance(
        self,
        info: Info,
        paths: Annotated[
            list[str],
            strawberry.argument(
                description="JSON Pointers, as in `diff`: `/email`, `/accounts/0190...`; at most "
                "100. The empty one is the whole twin."
            ),
        ],
    ) -> list[FieldProvenance]:
        return await _provenance(info.context, self.uuid, paths)

    @field("What is not the same at two moments, by the paths of the twin.", costs=50)
    async def diff(
        self,
        info: Info,
        from_: Annotated[AsOf, strawberry.argument(name="from", description="The one moment.")],
        to: Annotated[AsOf, strawberry.argument(description="The other one.")],
    ) -> list[TwinChange]:
        return await _diff(info.context, self.uuid, from_, to)

    @field(
        "What commands would come to, one after the other, if they were sent now: judged as in "
        "earnest, and nothing is recorded. Their command ids stay free.",
        needs=Scope.WRITE,
        costs=50,
        extensions=[Beneath()],
    )
    async def simulate(
        self,
        info: Info,
        commands: Annotated[
            list[
                Annotated[
                    "SimulatedCommand",
                    strawberry.lazy("interfaces.graphql_api.simulated_commands"),
                ]
            ],
            strawberry.argument(description="At most 20, in their order."),
        ],
    ) -> Simulation:
        # Here, as it knows all mutations, and they show customers.
        from interfaces.graphql_api.simulated_commands import mutation_of  # noqa: PLC0415

        return await simulated(info.context, self.uuid, [mutation_of(said) for said in commands])


# --- how it is read -------------------------------------------------------------------------------


async def _records(now: Snapshot, context: Context, customer_id: UUID) -> Sequence[Recorded]:
    """All that happened around a customer up to the moment that is shown."""
    streams = await streams_of(now, customer_id)
    if isinstance(now, Supposed):
        told = [r for r in now.supposed if r.stream_id in streams]
        return [*await now.records(streams), *told]
    if not isinstance(now, Moment):
        await now.begun()
        now = Moment(now, context.decode, await stand_of_position(now, now.position))
    return await now.records(streams)


async def _aside(fold: Callable[[], T], records: int) -> T:
    return await asyncio.to_thread(fold) if records > ASIDE else fold()


async def _timeline(
    context: Context, customer_id: UUID, first: int, after: str | None, types: list[str] | None
) -> Connection[CustomerEvent]:
    codec = context.system.log.codec
    unknown = sorted({*(types or ())} - codec.names)
    if unknown:
        raise BadUserInput(f"no event is called {unknown[0][:60]!r}")
    wanted = None if types is None else codec.names_of(map(codec.read_as, types))
    cursors = Cursors(context, "timeline", customer_id, *sorted(wanted or ()))
    key = cursors.key(after, int)
    before = key[0] if key else None
    rows = checked_first(first) + 1
    now = await context.snapshot()
    found: Sequence[Recorded]
    if isinstance(now, Moment) and (now.stand.effective_at or isinstance(now, Supposed)):
        found = _latest(await _records(now, context, customer_id), rows, before, wanted)
    else:
        found = await _latest_read(now, context, customer_id, rows, before, wanted)
    nodes = [((recorded.position,), CustomerEvent.of(recorded)) for recorded in found[:first]]
    return cursors.page(nodes, has_more=len(found) > first, after=after, meta=await context.meta())


def _latest(
    records: Sequence[Recorded], rows: int, before: int | None, types: Collection[str] | None
) -> list[Recorded]:
    found = (
        recorded
        for recorded in reversed(records)
        if (before is None or recorded.position < before)
        and (types is None or permanent_name(type(recorded.event)) in types)
    )
    return list(islice(found, rows))


# Stream by stream from its end, and never through all of the log in the order of positions.
_LATEST: Final = """
SELECT record.* FROM unnest(%s::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
    FROM ledgertwin.bank_events AS e
    WHERE e.originator_id = wanted.id AND e.notification_id < %s::bigint
    AND (%s::text[] IS NULL OR e.topic = ANY(%s::text[]))
    ORDER BY e.originator_version DESC LIMIT %s
) AS record ORDER BY record.notification_id DESC LIMIT %s
"""


async def _latest_read(  # noqa: PLR0913, PLR0917 -- the parts of one question
    now: Snapshot,
    context: Context,
    customer_id: UUID,
    rows: int,
    before: int | None,
    types: Collection[str] | None,
) -> Sequence[Recorded]:
    streams = list(await streams_of(now, customer_id))
    await now.begun()
    until = now.position + 1
    named = None if types is None else sorted(types)
    bound = until if before is None else min(before, until)
    return context.decode(await now.ask(_LATEST, [streams, bound, named, named, rows, rows]))


async def _provenance(
    context: Context, customer_id: UUID, paths: Sequence[str]
) -> list[FieldProvenance]:
    if len(paths) > PATHS_MAX:
        raise BadUserInput(f"at most {PATHS_MAX} paths at once")
    if any(path and not path.startswith("/") for path in paths):
        raise BadUserInput("a path is a JSON Pointer, which begins with a slash")
    now = await context.snapshot()
    records = await _records(now, context, customer_id)
    found = await _aside(lambda: sources(customer_id, records), len(records))
    return [
        FieldProvenance(
            path=path,
            event=CustomerEvent.of(recorded),
            source=_source(recorded.event),
            confidence=_confidence(recorded.event),
        )
        for path, recorded in sorted(found.items())
        if any(path == asked or path.startswith(f"{asked}/") for asked in paths)
    ]


BANK: Final = "bank"
"""The source of what nobody outside has said."""


def _source(event: Any) -> str:
    """Whoever said so: of what a source outside told, it."""
    said = getattr(event, "report", event)
    source: str | None = getattr(said, "source", None)
    return BANK if source is None else source


def _confidence(event: Any) -> float:
    said = getattr(event, "report", event)
    confidence: float = getattr(said, "confidence", 1.0)
    return confidence


async def _diff(context: Context, customer_id: UUID, one: AsOf, other: AsOf) -> list[TwinChange]:
    streams = await streams_of(await context.snapshot(), customer_id)
    first, second = await asyncio.gather(
        *(_records_at(context, as_of, customer_id, streams) for as_of in (one, other))
    )
    differing = await _aside(
        lambda: difference(customer_id, first, second), len(first) + len(second)
    )
    return [TwinChange.of(found, found.by) for found in differing]


async def _records_at(
    context: Context, as_of: AsOf, customer_id: UUID, streams: Collection[UUID]
) -> Sequence[Recorded]:
    moment = await context.at(as_of, customer_id).snapshot()
    assert isinstance(moment, Moment)
    return await moment.records(streams)
