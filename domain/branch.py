"""A branch: who works there today, who is inside, and who waits for what.

A branch is open or closed by the day. A ticket waits in the queue of one service:

    ISSUED -> CALLED -> SERVING -> SERVED
    CALLED -> NO_SHOW      CALLED | SERVING -> TRANSFERRED      ISSUED | CALLED -> CANCELLED

Nobody chooses whom to call: a counter asks for the next one, and the branch answers by priority
class and, within a class, in the order of issue. So a ticket is called once, however many counters
ask at the same moment. Whoever is sent on to another service gets a new ticket at the end of its
queue, and the old one is closed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime
from enum import StrEnum, unique
from typing import Final, Self, TypeVar, assert_never, get_args
from uuid import UUID

from domain.aggregate import Aggregate, command, recorded_as
from domain.refusal import AlreadyExists, HappenedBefore, NotFound, Refusal
from domain.value import changed, value

K = TypeVar("K")
V = TypeVar("V")

_SERVICE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_COUNTRY = re.compile(r"[A-Z]{2}")


@unique
class StaffRole(StrEnum):
    TELLER = "TELLER"
    ADVISER = "ADVISER"
    LOAN_OFFICER = "LOAN_OFFICER"
    MANAGER = "MANAGER"


@unique
class TicketPriority(StrEnum):
    """Classes in the order in which they are called."""

    ASSISTED = "ASSISTED"  # who must not be kept standing: with a disability, of great age
    APPOINTMENT = "APPOINTMENT"
    REGULAR = "REGULAR"


@unique
class TicketStatus(StrEnum):
    ISSUED = "ISSUED"
    CALLED = "CALLED"
    SERVING = "SERVING"
    SERVED = "SERVED"
    NO_SHOW = "NO_SHOW"
    TRANSFERRED = "TRANSFERRED"
    CANCELLED = "CANCELLED"


CALLED_FIRST: Final[Mapping[TicketPriority, int]] = {
    priority: rank for rank, priority in enumerate(TicketPriority)
}
"""The lower, the earlier."""

PEOPLE_MAX: Final = 100_000
"""More than that are in no branch: whoever says so has counted wrongly."""

CLOSING: Final = "BRANCH_CLOSED"
"""Why tickets are cancelled that nobody has called by the end of the day."""


@value
class Rostered:
    """So many of a role are to be there."""

    role: StaffRole
    number: int


# --- events ---------------------------------------------------------------------------------------


@recorded_as("branch.registered.v1")
class BranchRegistered:
    """`capacity` is how many may be inside at once; `services` are codes such as CASH."""

    name: str
    city: str
    country: str
    capacity: int
    services: tuple[str, ...]
    registered_on: date


@recorded_as("branch.capacity_changed.v1")
class BranchCapacityChanged:
    capacity: int


@recorded_as("branch.services_changed.v1")
class BranchServicesChanged:
    """All that it offers from now on."""

    services: tuple[str, ...]


@recorded_as("branch.staff_scheduled.v1")
class StaffScheduled:
    """Who is to be there on a day, in place of what was said of that day before."""

    day: date
    roster: tuple[Rostered, ...]


@recorded_as("branch.opened.v1")
class BranchOpened:
    on: date
    occurred_at: datetime


@recorded_as("branch.closed.v1")
class BranchClosed:
    """Counters are closed with it, and nobody is inside any more."""

    on: date
    occurred_at: datetime


@recorded_as("branch.staff_arrived.v1")
class StaffArrived:
    """`employee` is whatever the bank's rosters call somebody, and no name."""

    employee: str
    role: StaffRole
    occurred_at: datetime


@recorded_as("branch.staff_left.v1")
class StaffLeft:
    employee: str
    occurred_at: datetime


@recorded_as("branch.counter_opened.v1")
class CounterOpened:
    counter: str
    employee: str
    services: tuple[str, ...]
    occurred_at: datetime


@recorded_as("branch.counter_closed.v1")
class CounterClosed:
    counter: str
    occurred_at: datetime


@recorded_as("branch.visitors_counted.v1")
class VisitorsCounted:
    """What the door counted since it last said anything; `inside` is who is there by that."""

    entered: int
    left: int
    inside: int
    occurred_at: datetime


@recorded_as("branch.ticket_issued.v1")
class TicketIssued:
    """`number` is what is shown on the wall, from 1 each day."""

    ticket_id: UUID
    number: int
    service: str
    priority: TicketPriority
    occurred_at: datetime
    customer_id: UUID | None = None
    transferred_from: UUID | None = None


@recorded_as("branch.ticket_called.v1")
class TicketCalled:
    ticket_id: UUID
    counter: str
    employee: str
    occurred_at: datetime


@recorded_as("branch.ticket_serving.v1")
class TicketServing:
    """Whoever was called is at the counter."""

    ticket_id: UUID
    occurred_at: datetime


@recorded_as("branch.ticket_served.v1")
class TicketServed:
    ticket_id: UUID
    occurred_at: datetime


@recorded_as("branch.ticket_no_show.v1")
class TicketNoShow:
    """Nobody came when it was called."""

    ticket_id: UUID
    occurred_at: datetime


@recorded_as("branch.ticket_transferred.v1")
class TicketTransferred:
    """It goes on as `new_ticket_id`, in the queue of `service`."""

    ticket_id: UUID
    new_ticket_id: UUID
    service: str
    occurred_at: datetime


@recorded_as("branch.ticket_cancelled.v1")
class TicketCancelled:
    ticket_id: UUID
    reason: str
    occurred_at: datetime


TicketEvent = (
    TicketIssued
    | TicketCalled
    | TicketServing
    | TicketServed
    | TicketNoShow
    | TicketTransferred
    | TicketCancelled
)

BranchEvent = (
    BranchRegistered
    | BranchCapacityChanged
    | BranchServicesChanged
    | StaffScheduled
    | BranchOpened
    | BranchClosed
    | StaffArrived
    | StaffLeft
    | CounterOpened
    | CounterClosed
    | VisitorsCounted
    | TicketEvent
)


# --- commands -------------------------------------------------------------------------------------


@command("branch.register")
class RegisterBranch:
    branch_id: UUID
    name: str
    city: str
    country: str
    capacity: int
    services: tuple[str, ...]
    registered_on: date


@command("branch.change_capacity")
class ChangeBranchCapacity:
    branch_id: UUID
    capacity: int


@command("branch.change_services")
class ChangeBranchServices:
    branch_id: UUID
    services: tuple[str, ...]


@command("branch.schedule_staff")
class ScheduleStaff:
    branch_id: UUID
    day: date
    roster: tuple[Rostered, ...]


@command("branch.open")
class OpenBranch:
    """`on` is the business day, which is the branch's own and not that of the instant in UTC."""

    branch_id: UUID
    on: date
    occurred_at: datetime


@command("branch.close")
class CloseBranch:
    """Whoever waits still is sent home: the tickets are cancelled."""

    branch_id: UUID
    occurred_at: datetime


@command("branch.record_staff_arrival")
class RecordStaffArrival:
    branch_id: UUID
    employee: str
    role: StaffRole
    occurred_at: datetime


@command("branch.record_staff_departure")
class RecordStaffDeparture:
    branch_id: UUID
    employee: str
    occurred_at: datetime


@command("branch.open_counter")
class OpenCounter:
    """Without `services` it serves all that the branch offers."""

    branch_id: UUID
    counter: str
    employee: str
    occurred_at: datetime
    services: tuple[str, ...] = ()


@command("branch.close_counter")
class CloseCounter:
    branch_id: UUID
    counter: str
    occurred_at: datetime


@command("branch.count_visitors")
class CountVisitors:
    branch_id: UUID
    entered: int
    left: int
    occurred_at: datetime


@command("branch.issue_ticket")
class IssueTicket:
    """`customer_id` is who waits, if the branch was told."""

    branch_id: UUID
    ticket_id: UUID
    service: str
    occurred_at: datetime
    priority: TicketPriority = TicketPriority.REGULAR
    customer_id: UUID | None = None


@command("branch.call_next_ticket")
class CallNextTicket:
    """Which ticket that is, the branch decides."""

    branch_id: UUID
    counter: str
    occurred_at: datetime


@command("branch.start_serving")
class StartServing:
    branch_id: UUID
    ticket_id: UUID
    occurred_at: datetime


@command("branch.finish_serving")
class FinishServing:
    branch_id: UUID
    ticket_id: UUID
    occurred_at: datetime


@command("branch.record_no_show")
class RecordNoShow:
    branch_id: UUID
    ticket_id: UUID
    occurred_at: datetime


@command("branch.transfer_ticket")
class TransferTicket:
    branch_id: UUID
    ticket_id: UUID
    new_ticket_id: UUID
    service: str
    occurred_at: datetime


@command("branch.cancel_ticket")
class CancelTicket:
    branch_id: UUID
    ticket_id: UUID
    reason: str
    occurred_at: datetime


BranchCommand = (
    RegisterBranch
    | ChangeBranchCapacity
    | ChangeBranchServices
    | ScheduleStaff
    | OpenBranch
    | CloseBranch
    | RecordStaffArrival
    | RecordStaffDeparture
    | OpenCounter
    | CloseCounter
    | CountVisitors
    | IssueTicket
    | CallNextTicket
    | StartServing
    | FinishServing
    | RecordNoShow
    | TransferTicket
    | CancelTicket
)


# --- refusals -------------------------------------------------------------------------------------


class CapacityImpossible(Refusal):
    code = "CAPACITY_IMPOSSIBLE"
    message = "a branch has room for one person at least, and for 100,000 at most"


class BranchCountryMalformed(Refusal):
    code = "BRANCH_COUNTRY_MALFORMED"
    message = "a branch stands in a country of two capital letters of ISO 3166-1"


class ServicesMalformed(Refusal):
    code = "SERVICES_MALFORMED"
    message = "services are one or more different codes of capitals, digits and _"


class ServiceNotOffered(Refusal):
    code = "SERVICE_NOT_OFFERED"
    message = "the branch does not offer that service"


class ServiceAwaited(Refusal):
    code = "SERVICE_AWAITED"
    message = "somebody waits for a service that would not be offered any more"


class RosterMalformed(Refusal):
    code = "ROSTER_MALFORMED"
    message = "a roster names each role once, with 0 to 100,000 of it"


class BranchNotOpen(Refusal):
    code = "BRANCH_NOT_OPEN"
    message = "the branch is closed"


class BranchIsOpen(Refusal):
    code = "BRANCH_OPEN"
    message = "the branch is open already"


class BranchDayOver(Refusal):
    code = "BRANCH_DAY_OVER"
    message = "a branch opens once a day, and never for a day that has passed"


class StillServing(Refusal):
    code = "STILL_SERVING"
    message = "somebody is still being served"


class StaffPresent(Refusal):
    code = "STAFF_PRESENT"
    message = "that employee is there already"


class StaffAbsent(Refusal):
    code = "STAFF_ABSENT"
    message = "that employee is not there"


class StaffAtCounter(Refusal):
    code = "STAFF_AT_COUNTER"
    message = "that employee is at a counter: close it first"


class CounterIsOpen(Refusal):
    code = "COUNTER_OPEN"
    message = "that counter is open already"


class CounterNotOpen(Refusal):
    code = "COUNTER_NOT_OPEN"
    message = "that counter is not open"


class CounterBusy(Refusal):
    code = "COUNTER_BUSY"
    message = "the counter has called somebody who is not finished with"


class VisitorsMalformed(Refusal):
    code = "VISITORS_MALFORMED"
    message = "somebody came or went, no more went than were inside, and no crowd is that large"


class TicketNotOpen(Refusal):
    code = "TICKET_NOT_OPEN"
    message = "no ticket of that id waits, or is being served"


class TicketNotThere(Refusal):
    code = "TICKET_STATUS_WRONG"
    message = "the ticket is not at that stage of its way"


class NobodyWaits(Refusal):
    code = "NOBODY_WAITS"
    message = "nobody waits for what the counter serves"


class NameMissing(Refusal):
    code = "NAME_MISSING"
    message = "it needs a name, and one that is not blank"


# --- the aggregate --------------------------------------------------------------------------------


@value
class Ticket:
    """One that is still open. `since` is when it came to its status; `counter` has called it."""

    number: int
    service: str
    priority: TicketPriority
    status: TicketStatus
    since: datetime
    counter: str | None = None
    customer_id: UUID | None = None


@value
class Counter:
    employee: str
    services: tuple[str, ...]


@value
class Branch(Aggregate[BranchCommand, BranchEvent]):
    """Only open tickets are kept, and those of today: closed ones are history."""

    commands = get_args(BranchCommand)
    events = get_args(BranchEvent)
    identity = "branch_id"
    weight = 16
    """A hundred open tickets take some 20 kB."""

    capacity: int = 0
    """0 if there is no such branch."""
    services: tuple[str, ...] = ()
    day: date | None = None
    """The day for which it is open; None: it is closed."""
    last_day: date = date.min
    inside: int = 0
    staff: Mapping[str, StaffRole] = field(default_factory=dict)
    counters: Mapping[str, Counter] = field(default_factory=dict)
    tickets: Mapping[UUID, Ticket] = field(default_factory=dict)
    last_number: int = 0
    since: datetime = datetime.min.replace(tzinfo=UTC)
    """When it was last opened or closed."""

    def decide(self, command: BranchCommand) -> Sequence[BranchEvent]:
        if isinstance(command, RegisterBranch):
            return [self._register(command)]
        if not self.capacity:
            raise NotFound
        match command:
            case ChangeBranchCapacity(capacity=capacity):
                _require_capacity(capacity)
                return [BranchCapacityChanged(capacity=capacity)]
            case ChangeBranchServices(services=services):
                _require_services(services)
                if any(t.service not in services for t in self.tickets.values()):
                    raise ServiceAwaited
                return [BranchServicesChanged(services=services)]
            case ScheduleStaff(day=day, roster=roster):
                _require_roster(roster)
                return [StaffScheduled(day=day, roster=roster)]
            case OpenBranch(on=on, occurred_at=at):
                if self.day is not None:
                    raise BranchIsOpen(day=self.day.isoformat())
                if on <= self.last_day:
                    raise BranchDayOver(last_day=self.last_day.isoformat())
                _require_order(self.since, at)
                return [BranchOpened(on=on, occurred_at=at)]
            case CloseBranch():
                return self._close(command)
            case RecordStaffArrival(employee=employee, role=role, occurred_at=at):
                _require_name(employee)
                if employee in self.staff:
                    raise StaffPresent
                return [StaffArrived(employee=employee, role=role, occurred_at=at)]
            case RecordStaffDeparture(employee=employee, occurred_at=at):
                self._require_present(employee)
                if any(c.employee == employee for c in self.counters.values()):
                    raise StaffAtCounter
                return [StaffLeft(employee=employee, occurred_at=at)]
            case OpenCounter():
                return [self._open_counter(command)]
            case CloseCounter(counter=counter, occurred_at=at):
                self._counter(counter)
                self._require_free(counter)
                return [CounterClosed(counter=counter, occurred_at=at)]
            case CountVisitors():
                return [self._count(command)]
            case IssueTicket():
                return [self._issue(command)]
            case CallNextTicket(counter=counter, occurred_at=at):
                return [self._call(counter, at)]
            case StartServing(ticket_id=ticket_id, occurred_at=at):
                self._ticket(ticket_id, at, TicketStatus.CALLED)
                return [TicketServing(ticket_id=ticket_id, occurred_at=at)]
            case FinishServing(ticket_id=ticket_id, occurred_at=at):
                self._ticket(ticket_id, at, TicketStatus.SERVING)
                return [TicketServed(ticket_id=ticket_id, occurred_at=at)]
            case RecordNoShow(ticket_id=ticket_id, occurred_at=at):
                self._ticket(ticket_id, at, TicketStatus.CALLED)
                return [TicketNoShow(ticket_id=ticket_id, occurred_at=at)]
            case TransferTicket():
                return self._transfer(command)
            case CancelTicket(ticket_id=ticket_id, reason=reason, occurred_at=at):
                self._ticket(ticket_id, at, TicketStatus.ISSUED, TicketStatus.CALLED)
                return [TicketCancelled(ticket_id=ticket_id, reason=reason, occurred_at=at)]
            case _:
                assert_never(command)

    def evolve(self, event: BranchEvent) -> Self:
        match event:
            case BranchRegistered(capacity=capacity, services=services):
                return changed(self, capacity=capacity, services=services)
            case BranchCapacityChanged(capacity=capacity):
                return changed(self, capacity=capacity)
            case BranchServicesChanged(services=services):
                return changed(self, services=services)
            case StaffScheduled():
                return self
            case BranchOpened(on=on, occurred_at=at):
                return changed(self, day=on, last_day=on, inside=0, last_number=0, since=at)
            case BranchClosed(occurred_at=at):
                return changed(self, day=None, inside=0, counters={}, tickets={}, since=at)
            case StaffArrived(employee=employee, role=role):
                return changed(self, staff={**self.staff, employee: role})
            case StaffLeft(employee=employee):
                return changed(self, staff=_without(self.staff, employee))
            case CounterOpened():
                counter = Counter(employee=event.employee, services=event.services)
                return changed(self, counters={**self.counters, event.counter: counter})
            case CounterClosed(counter=closed):
                return changed(self, counters=_without(self.counters, closed))
            case VisitorsCounted(inside=inside):
                return changed(self, inside=inside)
            case TicketIssued():
                ticket = Ticket(
                    number=event.number,
                    service=event.service,
                    priority=event.priority,
                    status=TicketStatus.ISSUED,
                    since=event.occurred_at,
                    customer_id=event.customer_id,
                )
                tickets = {**self.tickets, event.ticket_id: ticket}
                return changed(self, tickets=tickets, last_number=event.number)
            case TicketCalled(ticket_id=ticket_id, occurred_at=at, counter=by):
                return self._with(ticket_id, status=TicketStatus.CALLED, since=at, counter=by)
            case TicketServing(ticket_id=ticket_id, occurred_at=at):
                return self._with(ticket_id, status=TicketStatus.SERVING, since=at)
            case (
                TicketServed(ticket_id=ended)
                | TicketNoShow(ticket_id=ended)
                | TicketTransferred(ticket_id=ended)
                | TicketCancelled(ticket_id=ended)
            ):
                return changed(self, tickets=_without(self.tickets, ended))
            case _:
                assert_never(event)

    def next_for(self, counter: Counter) -> UUID | None:
        """Whom a counter has to call: by class and, within it, in the order of issue."""
        waiting = [
            (CALLED_FIRST[ticket.priority], ticket.number, ticket_id)
            for ticket_id, ticket in self.tickets.items()
            if ticket.status is TicketStatus.ISSUED and ticket.service in counter.services
        ]
        return min(waiting)[2] if waiting else None

    # Deciding.

    def _register(self, command: RegisterBranch) -> BranchRegistered:
        if self.capacity:
            raise AlreadyExists
        _require_name(command.name)
        if not _COUNTRY.fullmatch(command.country):
            raise BranchCountryMalformed
        _require_capacity(command.capacity)
        _require_services(command.services)
        return BranchRegistered(
            name=command.name,
            city=command.city,
            country=command.country,
            capacity=command.capacity,
            services=command.services,
            registered_on=command.registered_on,
        )

    def _close(self, command: CloseBranch) -> Sequence[BranchEvent]:
        day, at = self._open_day(), command.occurred_at
        _require_order(self.since, at)
        if any(t.status is TicketStatus.SERVING for t in self.tickets.values()):
            raise StillServing
        for ticket in self.tickets.values():
            _require_order(ticket.since, at)
        cancelled = [
            TicketCancelled(ticket_id=ticket_id, reason=CLOSING, occurred_at=at)
            for ticket_id in self.tickets
        ]
        return [*cancelled, BranchClosed(on=day, occurred_at=at)]

    def _open_counter(self, command: OpenCounter) -> CounterOpened:
        self._open_day()
        _require_name(command.counter)
        if command.counter in self.counters:
            raise CounterIsOpen
        self._require_present(command.employee)
        if any(c.employee == command.employee for c in self.counters.values()):
            raise StaffAtCounter
        for service in command.services:
            self._require_offered(service)
        return CounterOpened(
            counter=command.counter,
            employee=command.employee,
            services=command.services or self.services,
            occurred_at=command.occurred_at,
        )

    def _count(self, command: CountVisitors) -> VisitorsCounted:
        """More than the capacity is a fact that the door reports, and no reason to refuse it."""
        self._open_day()
        entered, left = command.entered, command.left
        inside = self.inside + entered - left
        if min(entered, left, inside) < 0 or inside > PEOPLE_MAX or not (entered or left):
            raise VisitorsMalformed(inside=self.inside)
        return VisitorsCounted(
            entered=entered, left=left, inside=inside, occurred_at=command.occurred_at
        )

    def _issue(self, command: IssueTicket) -> TicketIssued:
        self._open_day()
        self._require_offered(command.service)
        _require_order(self.since, command.occurred_at)
        if command.ticket_id in self.tickets:
            raise AlreadyExists
        return TicketIssued(
            ticket_id=command.ticket_id,
            number=self.last_number + 1,
            service=command.service,
            priority=command.priority,
            occurred_at=command.occurred_at,
            customer_id=command.customer_id,
        )

    def _call(self, counter: str, at: datetime) -> TicketCalled:
        self._open_day()
        calling = self._counter(counter)
        self._require_free(counter)
        ticket_id = self.next_for(calling)
        if ticket_id is None:
            raise NobodyWaits
        _require_order(self.tickets[ticket_id].since, at)
        return TicketCalled(
            ticket_id=ticket_id, counter=counter, employee=calling.employee, occurred_at=at
        )

    def _transfer(self, command: TransferTicket) -> Sequence[BranchEvent]:
        at, to = command.occurred_at, command.service
        ticket = self._ticket(command.ticket_id, at, TicketStatus.CALLED, TicketStatus.SERVING)
        self._require_offered(to)
        if command.new_ticket_id in self.tickets:
            raise AlreadyExists
        return [
            TicketTransferred(
                ticket_id=command.ticket_id,
                new_ticket_id=command.new_ticket_id,
                service=to,
                occurred_at=at,
            ),
            TicketIssued(
                ticket_id=command.new_ticket_id,
                number=self.last_number + 1,
                service=to,
                priority=ticket.priority,
                occurred_at=at,
                customer_id=ticket.customer_id,
                transferred_from=command.ticket_id,
            ),
        ]

    # Judging.

    def _open_day(self) -> date:
        if self.day is None:
            raise BranchNotOpen
        return self.day

    def _require_offered(self, service: str) -> None:
        if service not in self.services:
            raise ServiceNotOffered(offered=list(self.services))

    def _require_present(self, employee: str) -> None:
        if employee not in self.staff:
            raise StaffAbsent

    def _counter(self, counter: str) -> Counter:
        try:
            return self.counters[counter]
        except KeyError:
            raise CounterNotOpen from None

    def _require_free(self, counter: str) -> None:
        """A ticket names a counter from when it is called until it is closed."""
        if any(ticket.counter == counter for ticket in self.tickets.values()):
            raise CounterBusy

    def _ticket(self, ticket_id: UUID, at: datetime, *statuses: TicketStatus) -> Ticket:
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            raise TicketNotOpen
        if ticket.status not in statuses:
            raise TicketNotThere(status=ticket.status)
        _require_order(ticket.since, at)
        return ticket

    def _with(self, ticket_id: UUID, **changes: object) -> Self:
        ticket = changed(self.tickets[ticket_id], **changes)
        return changed(self, tickets={**self.tickets, ticket_id: ticket})


def _without(kept: Mapping[K, V], key: K) -> Mapping[K, V]:
    return {k: v for k, v in kept.items() if k != key}


def _require_name(name: str) -> None:
    if not name.strip():
        raise NameMissing


def _require_capacity(capacity: int) -> None:
    if not 1 <= capacity <= PEOPLE_MAX:
        raise CapacityImpossible


def _require_services(services: Sequence[str]) -> None:
    if not services or len(set(services)) < len(services):
        raise ServicesMalformed
    if not all(_SERVICE.fullmatch(service) for service in services):
        raise ServicesMalformed


def _require_roster(roster: Iterable[Rostered]) -> None:
    numbers = [rostered.number for rostered in roster]
    roles = {rostered.role for rostered in roster}
    if len(roles) < len(numbers) or not all(0 <= number <= PEOPLE_MAX for number in numbers):
        raise RosterMalformed


def _require_order(before: datetime, at: datetime) -> None:
    if at < before:
        raise HappenedBefore(not_before=before.isoformat())
