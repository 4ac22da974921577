"""What can be followed live. Each field at the root says what it listens to; `interfaces.live` does
the listening, once for all who ask for the same.

A field's value is folded from the very records that it tells of, so it is that of its position:
whoever comes again later is told the same. What is asked for beneath it is read where all of that
is shown, which may be a moment later; its `meta` says which moment.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Final, TypeVar, cast
from uuid import UUID

import strawberry

from application.event_log import EventLog
from domain.aggregate import permanent_name
from domain.risk.alert import RiskAlertRaised
from domain.risk.assessment import AlertSeverity
from interfaces.access.caller import Scope
from interfaces.graphql_api.branches import Branch
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.customers import Customer
from interfaces.graphql_api.directives import declared
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.events import Event
from interfaces.graphql_api.fields import AfterPosition, Id
from interfaces.graphql_api.happened import TwinChange
from interfaces.graphql_api.ids import uuid_argument
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.risk import FraudAlert
from interfaces.graphql_api.scalars import Position
from interfaces.live.heard import Heard, Watch
from projections.branches import BRANCHES, BranchRow
from projections.customers import CUSTOMERS
from projections.fraud_alerts import FRAUD_ALERTS
from projections.rows import records_of
from projections.twin import EVENTS, Twin, streams_of

F = TypeVar("F", bound=Callable[..., Any])

STREAMS_MAX: Final = 100
_PATIENCE: Final = 1.0
EVERYTHING: Final = "*"
_SEVERITIES: Final = tuple(AlertSeverity)


class Events(Watch):
    """Records as they are stored, of some streams or of all events of some aggregates."""

    def __init__(self, topics: Collection[str] | None, streams: Collection[UUID] | None) -> None:
        self.topics = topics
        self.streams = streams

    async def told(self, heard: Heard) -> Event:
        return Event.of(heard.stored, heard.envelope)


class FraudAlertsRaised(Watch):
    """Alerts of a severity or a higher one, as they were when they were raised."""

    topics = frozenset({permanent_name(RiskAlertRaised)})

    def __init__(self, least: AlertSeverity) -> None:
        self._wanted = frozenset(_SEVERITIES[_SEVERITIES.index(least) :])

    async def told(self, heard: Heard) -> FraudAlert | None:
        row = FRAUD_ALERTS.fold(None, heard.recorded, (heard.stored.stream_id,))
        return FraudAlert.of(row) if row.severity in self._wanted else None


class BranchChanges(Watch):
    """A branch, after each thing that happened there."""

    topics = frozenset(map(permanent_name, BRANCHES.events))

    def __init__(self, context: Context, branch_id: UUID) -> None:
        self._read_models = context.system.read_models
        self._log = context.system.log
        self._key = self.streams = (branch_id,)
        self._row: BranchRow | None = None

    async def begin(self, position: int) -> None:
        """A branch has thousands of events a day: what is in its row need not be read again, unless
        that is already of a later moment."""
        async with self._read_models.snapshot() as now:
            row = await now.get(BRANCHES, *self._key)
        if row is not None and row.position > position:
            row = None
        self._row = await asyncio.to_thread(self._folded, row, position)

    def _folded(self, row: BranchRow | None, position: int) -> BranchRow | None:
        (branch_id,) = self._key
        for stored in self._log.stream(branch_id, after=row.version if row is not None else 0):
            if stored.position > position:
                break
            row = BRANCHES.fold(row, Heard(stored, self._log.codec).recorded, self._key)
        return row

    async def told(self, heard: Heard) -> Branch:
        self._row = BRANCHES.fold(self._row, heard.recorded, self._key)
        return Branch.of(self._row)


@strawberry.type(description="What one record of the log changed of a customer.")
class CustomerUpdate:
    position: Position = strawberry.field(
        description="Where it stands in the log: the `after` of whoever comes again."
    )
    changes: list[TwinChange] = strawberry.field(description="What it changed, by path.")
    customer: Customer = strawberry.field(
        description="The customer then. What is asked for beneath its own fields is read a moment "
        "later."
    )


class CustomerChanges(Watch):
    """A customer's twin, and what each record changes in it. It is folded from all of the
    customer's records when somebody begins to listen, some 20 us for each, and then kept."""

    topics = frozenset(map(permanent_name, EVENTS))

    def __init__(self, context: Context, customer_id: UUID) -> None:
        self._read_models = context.system.read_models
        self._decode = context.decode
        self._twin = Twin(customer_id)
        self.customer = customer_id
        self.streams = frozenset({customer_id})

    async def begin(self, position: int) -> None:
        while not await self._read_models.wait_for(position, _PATIENCE):
            pass  # by its rows the customer's streams are found: it cannot begin without them
        async with self._read_models.snapshot() as now:
            streams = await streams_of(now, self._twin.customer_id)
            records = await records_of(now, self._decode, streams, until=position)
        self._twin = await asyncio.to_thread(self._twin.fold, records)
        self._know_streams()

    async def told(self, heard: Heard) -> CustomerUpdate | None:
        recorded, twin = heard.recorded, self._twin
        if lacking := twin.lacks(recorded):
            async with self._read_models.snapshot() as now:
                before = recorded.position - 1
                twin.take_in(await records_of(now, self._decode, lacking, until=before))
        if not twin.concerns(recorded):
            return None
        changes = twin.advance(recorded)
        self._know_streams()
        row = twin.rows.row(CUSTOMERS, twin.customer_id)
        if not changes or row is None:
            return None
        return CustomerUpdate(
            position=Position(recorded.position),
            changes=[TwinChange.of(change, recorded) for change in changes],
            customer=Customer.of(row),
        )

    def _know_streams(self) -> None:
        if self._twin.streams != self.streams:
            self.streams = frozenset(self._twin.streams)


# --- fields ---------------------------------------------------------------------------------------


def _subscription(description: str, shown_as: Any, needs: Scope | None = None) -> Callable[[F], F]:
    """The resolver says what is followed; `shown_as` is what is told each time."""
    decorator = strawberry.subscription(
        description=description, graphql_type=shown_as, directives=declared(needs)
    )
    return cast(Callable[[F], F], decorator)


@strawberry.type
class LiveSubscriptions:
    @_subscription(
        "Records of the log, as they are stored, in its order: by the ids of their streams, by the "
        "first word of their types (`account`), or all of them (`*`).",
        Event,
        Scope.ADMIN,
    )
    def events(
        self,
        info: Info,
        streams: Annotated[
            list[str],
            strawberry.argument(description="Ids of streams, or else names: at most 100."),
        ],
        after: AfterPosition = None,
    ) -> Events:
        return _events(info.context.system.log, streams)

    @_subscription(
        "Alerts about uses of cards, as they are raised.",
        FraudAlert,
    )
    def fraud_alert_raised(
        self,
        info: Info,
        min_severity: Annotated[
            AlertSeverity, strawberry.argument(description="This one, or a higher one.")
        ] = AlertSeverity.MEDIUM,
        after: AfterPosition = None,
    ) -> FraudAlertsRaised:
        return FraudAlertsRaised(min_severity)

    @_subscription(
        "A customer, each time that anything changes in its twin.",
        CustomerUpdate,
    )
    async def customer_changed(
        self, info: Info, id: Id, after: AfterPosition = None
    ) -> CustomerChanges:
        customer_id = uuid_argument(id, "Customer")
        await _require(info.context, CUSTOMERS, customer_id, "customer")
        return CustomerChanges(info.context, customer_id)

    @_subscription(
        "A branch, each time that anything happens there.",
        Branch,
        Scope.AGGREGATES,
    )
    async def branch_changed(
        self, info: Info, id: Id, after: AfterPosition = None
    ) -> BranchChanges:
        branch_id = uuid_argument(id, "Branch")
        await _require(info.context, BRANCHES, branch_id, "branch")
        return BranchChanges(info.context, branch_id)


PART: Final = Part(subscriptions=LiveSubscriptions)


async def _require(context: Context, document: Any, key: UUID, what: str) -> None:
    """Or whoever waits for it would wait for ever."""
    if await context.row(document, key) is None:
        raise BadUserInput(f"there is no {what} of that id")


def _events(log: EventLog, named: Sequence[str]) -> Events:
    if not 0 < len(named) <= STREAMS_MAX:
        raise BadUserInput(f"name 1 to {STREAMS_MAX} streams")
    if EVERYTHING in named:
        return Events(None, None)
    ids = [uuid for name in named if (uuid := _uuid(name)) is not None]
    if ids:
        if len(ids) < len(named):
            raise BadUserInput("name streams by their ids or by names, not by both at once")
        return Events(None, frozenset(ids))
    known = log.codec.names
    topics = {topic for topic in known for name in named if topic.startswith(f"{name}.")}
    unknown = [name for name in named if not any(topic.startswith(f"{name}.") for topic in topics)]
    if unknown:
        raise BadUserInput("a stream is named by its id, by the first word of its types, or by *")
    return Events(frozenset(topics), None)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
