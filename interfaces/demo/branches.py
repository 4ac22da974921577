"""Two branches at work on the last days of the year: who comes, waits, is served and goes.

The story asks the branch itself whose turn it is, as a ticket machine would: its decisions are
pure, so the same seed still tells the same story. On the last day it ends before noon, with people
in the queues: so there is something to see.
"""
# ruff: noqa: PLR2004 -- a story is full of numbers that mean nothing else anywhere

import heapq
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.branch import (
    Branch,
    CallNextTicket,
    CloseBranch,
    CountVisitors,
    FinishServing,
    IssueTicket,
    OpenBranch,
    OpenCounter,
    RecordNoShow,
    RecordStaffArrival,
    RecordStaffDeparture,
    RegisterBranch,
    Rostered,
    ScheduleStaff,
    StaffRole,
    StartServing,
    TicketCalled,
    TicketPriority,
    TransferTicket,
)
from domain.value import value
from interfaces.demo.teller import Teller

LAST_DAYS: Final = (date(2025, 12, 29), date(2025, 12, 30), date(2025, 12, 31))
"""On which the branches are shown at work; on the last one until `SHOWN_UNTIL`."""
OPENS: Final = time(9)
LAST_ENTRY: Final = time(15, 30)
CLOSES: Final = time(16)
SHOWN_UNTIL: Final = time(11, 40)

FLOOR_STAFF: Final = "demo:branch"
TICKET_MACHINE: Final = "demo:ticket-machine"
DOOR: Final = "demo:door"

MINUTES: Final[Mapping[str, float]] = {"CASH": 4.0, "CARDS": 7.0, "ADVICE": 22.0, "LOANS": 30.0}
"""What one of a service takes, on average."""
DEMAND: Final = ("CASH", "CASH", "CASH", "CASH", "CARDS", "CARDS", "ADVICE", "LOANS")


@value
class Place:
    """A branch to be: its counters, with who is there and what is served."""

    name: str
    city: str
    country: str
    capacity: int
    services: tuple[str, ...]
    counters: tuple[tuple[str, str, StaffRole, tuple[str, ...]], ...]
    every_minutes: float
    """How often somebody comes, on average."""


PLACES: Final = (
    Place(
        name="Millrace Square",
        city="Millrace",
        country="AT",
        capacity=60,
        services=("CASH", "CARDS", "ADVICE", "LOANS"),
        counters=(
            ("1", "teller-11", StaffRole.TELLER, ("CASH", "CARDS")),
            ("2", "teller-12", StaffRole.TELLER, ("CASH", "CARDS")),
            ("3", "adviser-13", StaffRole.ADVISER, ("ADVICE",)),
            ("4", "officer-14", StaffRole.LOAN_OFFICER, ("LOANS", "ADVICE")),
        ),
        every_minutes=3.4,
    ),
    Place(
        name="Northcove Harbour",
        city="Northcove",
        country="PT",
        capacity=25,
        services=("CASH", "CARDS", "ADVICE"),
        counters=(
            ("1", "teller-21", StaffRole.TELLER, ("CASH", "CARDS")),
            ("2", "adviser-22", StaffRole.ADVISER, ("ADVICE", "CARDS")),
        ),
        every_minutes=4.5,
    ),
)


class Branches:
    """Has a chance of its own, so that nothing else in the story depends on it."""

    def __init__(self, seed: int, teller: Teller, customers: Mapping[int, UUID]) -> None:
        self._random = Random(f"{seed}:branches")  # noqa: S311 -- to be the same is the point
        self._teller = teller
        self._customers = customers
        self._open: list[_Floor] = []
        self.branches: list[UUID] = []

    def begin(self, on: date) -> None:
        """The branches are there before the year begins."""
        for place in PLACES:
            branch_id = self._teller.id("branch")
            self.branches.append(branch_id)
            floor = _Floor(branch_id, place, self._teller, self._random, self._customers)
            self._open.append(floor)
            floor.tell(
                RegisterBranch(
                    branch_id=branch_id,
                    name=place.name,
                    city=place.city,
                    country=place.country,
                    capacity=place.capacity,
                    services=place.services,
                    registered_on=on,
                ),
                FLOOR_STAFF,
            )

    def passes(self, day: date) -> None:
        if day in LAST_DAYS:
            last = day == LAST_DAYS[-1]
            for floor in self._open:
                floor.works(day, until=SHOWN_UNTIL if last else None)


class _Floor:
    """One branch, as those who work there tell of it."""

    def __init__(
        self,
        branch_id: UUID,
        place: Place,
        teller: Teller,
        random: Random,
        customers: Mapping[int, UUID],
    ) -> None:
        self._branch_id = branch_id
        self._place = place
        self._teller = teller
        self._random = random
        self._customers = customers
        self._state = Branch()
        self._order = count()
        self._next: list[tuple[datetime, int, Any]] = []
        self._idle: list[str] = []
        self._come = self._gone = 0

    def tell(self, command: Any, actor: str, command_id: UUID | None = None) -> Sequence[Any]:
        """Give a command, and what the branch will make of it."""
        events = self._state.decide(command)
        self._state = self._state.after(events)
        self._teller.give(command, actor, command_id)
        return events

    def works(self, day: date, until: time | None) -> None:
        """A day, or the part of it that is shown."""
        self._opens(day)
        at = _at(day, OPENS)
        while (at := at + self._spell(self._place.every_minutes)) < _at(day, LAST_ENTRY):
            self._plan(at, self._somebody_comes)
        for half_hour in range(1, 14):
            self._plan(_at(day, OPENS) + timedelta(minutes=30 * half_hour), self._the_door_counts)
        at = _at(day, OPENS)
        while self._next and (until is None or self._next[0][0] < _at(day, until)):
            at, _, happens = heapq.heappop(self._next)
            happens(at)
        if until is None:
            self._closes(max(at + timedelta(minutes=1), _at(day, CLOSES)))

    def _opens(self, day: date) -> None:
        at = _at(day, OPENS)
        roles = [role for _, _, role, _ in self._place.counters]
        roster = tuple(
            Rostered(role=role, number=roles.count(role)) for role in StaffRole if role in roles
        )
        about = {"branch_id": self._branch_id}
        self.tell(ScheduleStaff(day=day, roster=roster, **about), FLOOR_STAFF)
        self.tell(OpenBranch(on=day, occurred_at=at, **about), FLOOR_STAFF)
        for counter, employee, role, services in self._place.counters:
            self.tell(
                RecordStaffArrival(employee=employee, role=role, occurred_at=at, **about),
                FLOOR_STAFF,
            )
            self.tell(
                OpenCounter(
                    counter=counter,
                    employee=employee,
                    services=services,
                    occurred_at=at,
                    **about,
                ),
                FLOOR_STAFF,
            )
        self._idle = [counter for counter, *_ in self._place.counters]
        self._next, self._come, self._gone = [], 0, 0

    def _closes(self, at: datetime) -> None:
        about: dict[str, Any] = {"branch_id": self._branch_id, "occurred_at": at}
        self.tell(CloseBranch(**about), FLOOR_STAFF)
        for employee in self._state.staff:
            self.tell(RecordStaffDeparture(employee=employee, **about), FLOOR_STAFF)

    def _plan(self, at: datetime, happens: Any) -> None:
        heapq.heappush(self._next, (at, next(self._order), happens))

    def _spell(self, minutes: float) -> timedelta:
        """At random, so long on average."""
        return timedelta(seconds=round(self._random.expovariate(1 / minutes) * 60) + 1)

    # What happens.

    def _somebody_comes(self, at: datetime) -> None:
        services = [service for service in DEMAND if service in self._place.services]
        ticket_id = self._teller.id("ticket")
        known = self._random.random() < 0.4
        number = self._random.choice(sorted(self._customers))
        issue = IssueTicket(
            branch_id=self._branch_id,
            ticket_id=ticket_id,
            service=self._random.choice(services),
            occurred_at=at,
            priority=self._priority(),
            customer_id=self._customers[number] if known else None,
        )
        self.tell(issue, TICKET_MACHINE, ticket_id)
        self._come += 1
        self._call(at)

    def _priority(self) -> TicketPriority:
        chance = self._random.random()
        if chance < 0.07:
            return TicketPriority.ASSISTED
        return TicketPriority.APPOINTMENT if chance < 0.2 else TicketPriority.REGULAR

    def _call(self, at: datetime) -> None:
        """Every idle counter calls whoever is next for it, until the branch closes."""
        if at.time() >= CLOSES:
            return
        for counter in list(self._idle):
            if self._state.next_for(self._state.counters[counter]) is None:
                continue
            call = CallNextTicket(branch_id=self._branch_id, counter=counter, occurred_at=at)
            (called,) = self.tell(call, FLOOR_STAFF)
            self._idle.remove(counter)
            self._follows(called)

    def _follows(self, called: TicketCalled) -> None:
        about: dict[str, Any] = {"branch_id": self._branch_id, "ticket_id": called.ticket_id}
        came = called.occurred_at + timedelta(seconds=self._random.randrange(15, 70))
        if self._random.random() < 0.04:
            missed = called.occurred_at + timedelta(minutes=2)
            self._plan(missed, lambda at: self._done(RecordNoShow(occurred_at=at, **about), called))
            return
        service = self._state.tickets[called.ticket_id].service
        left = came + self._spell(MINUTES[service])
        self._plan(came, lambda at: self.tell(StartServing(occurred_at=at, **about), FLOOR_STAFF))
        elsewhere = [s for s in self._place.services if s not in ("CASH", service)]
        if service == "CASH" and elsewhere and self._random.random() < 0.06:
            new = self._teller.id("ticket")
            to = self._random.choice(elsewhere)
            self._plan(
                left,
                lambda at: self._done(
                    TransferTicket(new_ticket_id=new, service=to, occurred_at=at, **about),
                    called,
                    new,
                ),
            )
            return
        self._plan(left, lambda at: self._done(FinishServing(occurred_at=at, **about), called))

    def _done(self, command: Any, called: TicketCalled, command_id: UUID | None = None) -> None:
        self.tell(command, FLOOR_STAFF, command_id)
        self._gone += command_id is None
        self._idle.append(called.counter)
        self._call(command.occurred_at)

    def _the_door_counts(self, at: datetime) -> None:
        come, gone = self._come, self._gone
        if come or gone:
            count = CountVisitors(
                branch_id=self._branch_id, entered=come, left=gone, occurred_at=at
            )
            self.tell(count, DOOR)
            self._come = self._gone = 0


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, UTC)
