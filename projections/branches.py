"""The twin of each branch, now: who works there, who is inside, who waits and for how long."""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from math import inf
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.branch import (
    CALLED_FIRST,
    BranchCapacityChanged,
    BranchClosed,
    BranchEvent,
    BranchOpened,
    BranchRegistered,
    BranchServicesChanged,
    CounterClosed,
    CounterOpened,
    Rostered,
    StaffArrived,
    StaffLeft,
    StaffRole,
    StaffScheduled,
    TicketCalled,
    TicketCancelled,
    TicketEvent,
    TicketIssued,
    TicketNoShow,
    TicketPriority,
    TicketServed,
    TicketServing,
    TicketStatus,
    TicketTransferred,
    VisitorsCounted,
)
from domain.recorded import Recorded
from domain.value import changed, value
from projections.projection import Document, Key

OBSERVED: Final = 30
"""So many of the last tickets of a service say how long one takes: an hour or so of a queue, so
that the estimate follows the day, and enough for one long talk not to decide it."""


@value
class Roster:
    """Who is to be there on a day."""

    day: date
    roster: tuple[Rostered, ...]


@value
class Present:
    """Somebody of the staff who is there."""

    employee: str
    role: StaffRole
    since: datetime


@value
class OpenCounterRow:
    counter: str
    employee: str
    services: tuple[str, ...]
    since: datetime


@value
class QueuedTicket:
    """One that is not closed yet, in the order of issue."""

    ticket_id: UUID
    number: int
    service: str
    priority: TicketPriority
    status: TicketStatus
    issued_at: datetime
    called_at: datetime | None
    since: datetime
    counter: str | None
    customer_id: UUID | None


@value
class Observed:
    """What the last tickets of a service took, in seconds, the newest last: `waited` from issue to
    call, `occupied` the counter from call to close (those who did not come, too)."""

    waited: tuple[float, ...] = ()
    occupied: tuple[float, ...] = ()


@value
class DayCounts:
    """What became of the tickets of the last day on which it was open."""

    issued: int = 0
    served: int = 0
    no_show: int = 0
    transferred: int = 0
    cancelled: int = 0
    visitors: int = 0


@value
class BranchRow:
    """`day` is that for which it is open (None: it is closed), `last_day` the last such one.

    `occurred_at` is when the last thing that concerns its day happened, by who reported it.
    """

    branch_id: UUID
    name: str
    city: str
    country: str
    capacity: int
    services: tuple[str, ...]
    registered_on: date
    day: date | None
    last_day: date | None
    occupancy: int
    rosters: tuple[Roster, ...]
    staff: tuple[Present, ...]
    counters: tuple[OpenCounterRow, ...]
    tickets: tuple[QueuedTicket, ...]
    observed: Mapping[str, Observed]
    counts: DayCounts
    occurred_at: datetime | None
    version: int
    position: int


class Branches(Document[BranchRow]):
    name = "branches"
    row = BranchRow
    key = ("branch_id",)
    events = get_args(BranchEvent)
    fixed = ("country", "registered_on")

    def fold(self, row: BranchRow | None, recorded: Recorded, key: Key) -> BranchRow:
        event: BranchEvent = recorded.event
        if isinstance(event, BranchRegistered):
            return _registered(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been registered"
        times = (row.occurred_at, getattr(event, "occurred_at", None))
        return changed(
            _after(row, event),
            occurred_at=max((at for at in times if at is not None), default=None),
            version=recorded.version,
            position=recorded.position,
        )


BRANCHES: Final = Branches()


def _registered(event: BranchRegistered, recorded: Recorded) -> BranchRow:
    return BranchRow(
        branch_id=recorded.stream_id,
        name=event.name,
        city=event.city,
        country=event.country,
        capacity=event.capacity,
        services=event.services,
        registered_on=event.registered_on,
        day=None,
        last_day=None,
        occupancy=0,
        rosters=(),
        staff=(),
        counters=(),
        tickets=(),
        observed={},
        counts=DayCounts(),
        occurred_at=None,
        version=recorded.version,
        position=recorded.position,
    )


def _after(  # noqa: C901, PLR0911, PLR0912 -- one flat match over every event, as in the domain
    row: BranchRow, event: BranchEvent
) -> BranchRow:
    match event:
        case BranchRegistered():
            return row
        case BranchCapacityChanged(capacity=capacity):
            return changed(row, capacity=capacity)
        case BranchServicesChanged(services=services):
            return changed(row, services=services)
        case StaffScheduled(day=day, roster=roster):
            others = [known for known in row.rosters if known.day != day]
            rosters = [*others, Roster(day=day, roster=roster)]
            return changed(row, rosters=_kept(rosters, row.day or row.last_day))
        case BranchOpened(on=on):
            return changed(
                row,
                day=on,
                last_day=on,
                occupancy=0,
                rosters=_kept(row.rosters, on),
                counts=DayCounts(),
            )
        case BranchClosed():
            return changed(row, day=None, occupancy=0, counters=(), tickets=())
        case StaffArrived(employee=employee, role=role, occurred_at=at):
            arrived = Present(employee=employee, role=role, since=at)
            return changed(row, staff=(*row.staff, arrived))
        case StaffLeft(employee=gone):
            return changed(row, staff=tuple(p for p in row.staff if p.employee != gone))
        case CounterOpened():
            opened = OpenCounterRow(
                counter=event.counter,
                employee=event.employee,
                services=event.services,
                since=event.occurred_at,
            )
            return changed(row, counters=(*row.counters, opened))
        case CounterClosed(counter=closed):
            return changed(row, counters=tuple(c for c in row.counters if c.counter != closed))
        case VisitorsCounted(entered=entered, inside=inside):
            counts = changed(row.counts, visitors=row.counts.visitors + entered)
            return changed(row, occupancy=inside, counts=counts)
        case TicketIssued():
            return _issued(row, event)
        case TicketCalled():
            return _called(row, event)
        case TicketServing(ticket_id=ticket_id, occurred_at=at):
            serving = changed(_ticket(row, ticket_id), status=TicketStatus.SERVING, since=at)
            return _with(row, serving)
        case TicketServed() | TicketNoShow() | TicketTransferred() | TicketCancelled():
            return _closed(row, event)
        case _:
            assert_never(event)


def _kept(rosters: Sequence[Roster], since: date | None) -> tuple[Roster, ...]:
    """Those that are not over, by their days."""
    lasting = [r for r in rosters if since is None or r.day >= since]
    return tuple(sorted(lasting, key=lambda roster: roster.day))


def _issued(row: BranchRow, event: TicketIssued) -> BranchRow:
    queued = QueuedTicket(
        ticket_id=event.ticket_id,
        number=event.number,
        service=event.service,
        priority=event.priority,
        status=TicketStatus.ISSUED,
        issued_at=event.occurred_at,
        called_at=None,
        since=event.occurred_at,
        counter=None,
        customer_id=event.customer_id,
    )
    counts = changed(row.counts, issued=row.counts.issued + 1)
    return changed(row, tickets=(*row.tickets, queued), counts=counts)


def _called(row: BranchRow, event: TicketCalled) -> BranchRow:
    at, ticket = event.occurred_at, _ticket(row, event.ticket_id)
    seen = row.observed.get(ticket.service, Observed())
    waited = (*seen.waited, (at - ticket.issued_at).total_seconds())[-OBSERVED:]
    called = changed(
        ticket, status=TicketStatus.CALLED, since=at, called_at=at, counter=event.counter
    )
    observed = {**row.observed, ticket.service: changed(seen, waited=waited)}
    return changed(_with(row, called), observed=observed)


_BECAME: Final = {
    TicketServed: "served",
    TicketNoShow: "no_show",
    TicketTransferred: "transferred",
    TicketCancelled: "cancelled",
}


def _closed(
    row: BranchRow, event: TicketServed | TicketNoShow | TicketTransferred | TicketCancelled
) -> BranchRow:
    ticket, observed = _ticket(row, event.ticket_id), row.observed
    if ticket.called_at is not None:
        seen = observed.get(ticket.service, Observed())
        took = (event.occurred_at - ticket.called_at).total_seconds()
        occupied = (*seen.occupied, took)[-OBSERVED:]
        observed = {**observed, ticket.service: changed(seen, occupied=occupied)}
    became = _BECAME[type(event)]
    return changed(
        row,
        tickets=tuple(t for t in row.tickets if t.ticket_id != event.ticket_id),
        observed=observed,
        counts=changed(row.counts, **{became: getattr(row.counts, became) + 1}),
    )


def _ticket(row: BranchRow, ticket_id: UUID) -> QueuedTicket:
    return next(ticket for ticket in row.tickets if ticket.ticket_id == ticket_id)


def _with(row: BranchRow, ticket: QueuedTicket) -> BranchRow:
    tickets = (ticket if t.ticket_id == ticket.ticket_id else t for t in row.tickets)
    return changed(row, tickets=tuple(tickets))


# --- what follows from a row ----------------------------------------------------------------------


@value
class Queue:
    """Who waits for one service. Waits are seconds; None: nobody can say.

    `estimated_wait` is that of somebody of the last class who would come now, `observed_wait` the
    mean of those who were called last. `counters` are open and serve it, perhaps among others.
    """

    service: str
    length: int
    counters: int
    estimated_wait: float | None
    observed_wait: float | None


def queues(row: BranchRow) -> tuple[Queue, ...]:
    """One for each service that is offered, in the order in which the branch names them."""
    estimated = estimated_waits(row)
    return tuple(
        Queue(
            service=service,
            length=sum(t.service == service for t in waiting(row)),
            counters=sum(service in counter.services for counter in row.counters),
            estimated_wait=estimated[service],
            observed_wait=_mean(row.observed.get(service, Observed()).waited),
        )
        for service in row.services
    )


def waiting(row: BranchRow) -> tuple[QueuedTicket, ...]:
    """All who wait, in the order in which they will be called."""
    issued = [ticket for ticket in row.tickets if ticket.status is TicketStatus.ISSUED]
    return tuple(sorted(issued, key=lambda ticket: CALLED_FIRST[ticket.priority]))


def estimated_waits(row: BranchRow) -> dict[str, float | None]:
    """By service, the seconds until somebody of the last class who came now would be called.

    What is played through is what the branch does (see Branch.next_for): every counter calls the
    next one whom it serves until it finds nobody, and then it would call whoever came now. Each
    ticket takes the mean of the last of its service; one that is being served already takes the
    mean residual time of a renewal process, E[S^2] / 2 E[S] (Kleinrock, Queueing Systems, volume 1,
    1975, section 5.2), so that no clock is needed. A service of which nothing was observed takes
    what the others take; None if nothing was observed at all, or no counter serves it.
    """
    idle_at = _idle_at(row)
    waits: dict[str, float | None] = {}
    for service in row.services:
        soonest = [at for counter, at in idle_at if service in counter.services]
        wait = min(soonest, default=inf)
        waits[service] = None if wait == inf else wait
    return waits


def _idle_at(row: BranchRow) -> list[tuple[OpenCounterRow, float]]:
    """When each counter would have called all whom it serves, if nobody came any more."""
    queue = list(waiting(row))
    busy = {ticket.counter: ticket for ticket in row.tickets if ticket.counter is not None}
    free_at = [
        (_residual(row, busy[counter.counter].service) if counter.counter in busy else 0.0, number)
        for number, counter in enumerate(row.counters)
    ]
    heapq.heapify(free_at)
    idle_at = []
    while free_at:
        at, number = heapq.heappop(free_at)
        counter = row.counters[number]
        called = next((t for t in queue if t.service in counter.services), None)
        if called is None:
            idle_at.append((counter, at))
        else:
            queue.remove(called)
            heapq.heappush(free_at, (at + _duration(row, called.service), number))
    return idle_at


def _durations(row: BranchRow, service: str) -> Sequence[float]:
    seen = row.observed.get(service, Observed()).occupied
    return seen or [s for observed in row.observed.values() for s in observed.occupied]


def _duration(row: BranchRow, service: str) -> float:
    mean = _mean(_durations(row, service))
    return inf if mean is None else mean


def _residual(row: BranchRow, service: str) -> float:
    seen = _durations(row, service)
    if not seen:
        return inf
    return sum(s * s for s in seen) / (2 * sum(seen)) if any(seen) else 0.0


def _mean(seconds: Sequence[float]) -> float | None:
    return sum(seconds) / len(seconds) if seconds else None


@value
class StaffOfRole:
    role: StaffRole
    present: int
    scheduled: int


def staff_of(row: BranchRow) -> tuple[StaffOfRole, ...]:
    """Of each role that is there or should be: how many are, and how many should be on the last day
    that it was open."""
    today = next((r.roster for r in row.rosters if r.day == row.last_day), ())
    scheduled = {rostered.role: rostered.number for rostered in today}
    present = Counter(person.role for person in row.staff)
    return tuple(
        StaffOfRole(role=role, present=present[role], scheduled=scheduled.get(role, 0))
        for role in StaffRole
        if present[role] or scheduled.get(role)
    )


# --- tickets --------------------------------------------------------------------------------------


@value
class TicketRow:
    """One ticket, for as long as the log is kept. `ended_at` is when it was served, or what else
    became of it; `reason` why it was cancelled."""

    ticket_id: UUID
    branch_id: UUID
    number: int
    service: str
    priority: TicketPriority
    status: TicketStatus
    customer_id: UUID | None
    counter: str | None
    employee: str | None
    issued_at: datetime
    called_at: datetime | None
    serving_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    transferred_from: UUID | None
    transferred_to: UUID | None
    position: int
    last_position: int


class Tickets(Document[TicketRow]):
    """Paged by `position`, where a ticket was issued, which never changes."""

    name = "tickets"
    row = TicketRow
    key = ("ticket_id",)
    events = get_args(TicketEvent)
    indexes = (("branch_id", "position"), ("customer_id", "position"))
    fixed = ("branch_id", "service", "priority", "customer_id", "issued_at", "position")

    def streams(self, row: TicketRow) -> Collection[UUID]:
        return (row.branch_id,)

    def keys(self, recorded: Recorded) -> Sequence[Key]:
        return ((recorded.event.ticket_id,),)

    def fold(self, row: TicketRow | None, recorded: Recorded, key: Key) -> TicketRow:
        event: TicketEvent = recorded.event
        if isinstance(event, TicketIssued):
            return _first(event, recorded)
        assert row is not None, f"ticket {key[0]} begins without having been issued"
        return changed(_later(row, event), last_position=recorded.position)


TICKETS: Final = Tickets()


def _first(event: TicketIssued, recorded: Recorded) -> TicketRow:
    return TicketRow(
        ticket_id=event.ticket_id,
        branch_id=recorded.stream_id,
        number=event.number,
        service=event.service,
        priority=event.priority,
        status=TicketStatus.ISSUED,
        customer_id=event.customer_id,
        counter=None,
        employee=None,
        issued_at=event.occurred_at,
        called_at=None,
        serving_at=None,
        ended_at=None,
        reason=None,
        transferred_from=event.transferred_from,
        transferred_to=None,
        position=recorded.position,
        last_position=recorded.position,
    )


def _later(row: TicketRow, event: TicketEvent) -> TicketRow:  # noqa: PLR0911 -- one flat match
    match event:
        case TicketIssued():
            return row
        case TicketCalled(counter=counter, employee=employee, occurred_at=at):
            called = TicketStatus.CALLED
            return changed(row, status=called, counter=counter, employee=employee, called_at=at)
        case TicketServing(occurred_at=at):
            return changed(row, status=TicketStatus.SERVING, serving_at=at)
        case TicketServed(occurred_at=at):
            return changed(row, status=TicketStatus.SERVED, ended_at=at)
        case TicketNoShow(occurred_at=at):
            return changed(row, status=TicketStatus.NO_SHOW, ended_at=at)
        case TicketTransferred(new_ticket_id=to, occurred_at=at):
            return changed(row, status=TicketStatus.TRANSFERRED, ended_at=at, transferred_to=to)
        case TicketCancelled(reason=reason, occurred_at=at):
            return changed(row, status=TicketStatus.CANCELLED, ended_at=at, reason=reason)
        case _:
            assert_never(event)
