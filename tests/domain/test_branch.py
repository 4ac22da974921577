from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.branch import (
    CLOSING,
    Branch,
    BranchCapacityChanged,
    BranchClosed,
    BranchCountryMalformed,
    BranchDayOver,
    BranchIsOpen,
    BranchNotOpen,
    BranchOpened,
    BranchRegistered,
    BranchServicesChanged,
    CallNextTicket,
    CancelTicket,
    CapacityImpossible,
    ChangeBranchCapacity,
    ChangeBranchServices,
    CloseBranch,
    CloseCounter,
    CounterBusy,
    CounterClosed,
    CounterIsOpen,
    CounterNotOpen,
    CounterOpened,
    CountVisitors,
    FinishServing,
    IssueTicket,
    NameMissing,
    NobodyWaits,
    OpenBranch,
    OpenCounter,
    RecordNoShow,
    RecordStaffArrival,
    RecordStaffDeparture,
    RegisterBranch,
    Rostered,
    RosterMalformed,
    ScheduleStaff,
    ServiceAwaited,
    ServiceNotOffered,
    ServicesMalformed,
    StaffAbsent,
    StaffArrived,
    StaffAtCounter,
    StaffLeft,
    StaffPresent,
    StaffRole,
    StaffScheduled,
    StartServing,
    StillServing,
    TicketCalled,
    TicketCancelled,
    TicketIssued,
    TicketNoShow,
    TicketNotOpen,
    TicketNotThere,
    TicketPriority,
    TicketServed,
    TicketServing,
    TicketTransferred,
    TransferTicket,
    VisitorsCounted,
    VisitorsMalformed,
)
from domain.refusal import AlreadyExists, HappenedBefore, NotFound, Refusal
from tests.examples import ADA
from tests.scenario import given

BRANCH = UUID("00000000-0000-4000-8000-0000000000bb")
FIRST, SECOND, THIRD = (UUID(int=n) for n in (1, 2, 3))
DAY = date(2025, 3, 3)
NINE = datetime(2025, 3, 3, 9, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after nine."""
    return NINE + timedelta(minutes=minutes)


REGISTERED = BranchRegistered(
    name="Old Town",
    city="Praha",
    country="CZ",
    capacity=40,
    services=("CASH", "ADVICE"),
    registered_on=DAY,
)
REGISTER = RegisterBranch(
    branch_id=BRANCH,
    name="Old Town",
    city="Praha",
    country="CZ",
    capacity=40,
    services=("CASH", "ADVICE"),
    registered_on=DAY,
)
OPENED = BranchOpened(on=DAY, occurred_at=NINE)
ANN_IS_THERE = StaffArrived(employee="ann", role=StaffRole.TELLER, occurred_at=NINE)
BEN_IS_THERE = StaffArrived(employee="ben", role=StaffRole.ADVISER, occurred_at=NINE)
CASH_COUNTER = CounterOpened(counter="1", employee="ann", services=("CASH",), occurred_at=NINE)
BOTH_COUNTER = CounterOpened(
    counter="2", employee="ben", services=("CASH", "ADVICE"), occurred_at=NINE
)
WORKING = (REGISTERED, OPENED, ANN_IS_THERE, BEN_IS_THERE, CASH_COUNTER, BOTH_COUNTER)
"""It is open, Ann serves cash at counter 1, and Ben everything at counter 2."""


def issued(
    ticket_id: UUID,
    number: int,
    service: str = "CASH",
    priority: TicketPriority = TicketPriority.REGULAR,
    minutes: float = 1,
) -> TicketIssued:
    return TicketIssued(
        ticket_id=ticket_id,
        number=number,
        service=service,
        priority=priority,
        occurred_at=at(minutes),
    )


def called(ticket_id: UUID, minutes: float = 5, counter: str = "1") -> TicketCalled:
    employee = "ann" if counter == "1" else "ben"
    return TicketCalled(
        ticket_id=ticket_id, counter=counter, employee=employee, occurred_at=at(minutes)
    )


def serving(ticket_id: UUID, minutes: float = 6) -> TicketServing:
    return TicketServing(ticket_id=ticket_id, occurred_at=at(minutes))


CALL = CallNextTicket(branch_id=BRANCH, counter="1", occurred_at=at(5))
CALL_AT_BOTH = replace(CALL, counter="2")
ISSUE = IssueTicket(branch_id=BRANCH, ticket_id=FIRST, service="CASH", occurred_at=at(1))
START = StartServing(branch_id=BRANCH, ticket_id=FIRST, occurred_at=at(6))
FINISH = FinishServing(branch_id=BRANCH, ticket_id=FIRST, occurred_at=at(10))
NO_SHOW = RecordNoShow(branch_id=BRANCH, ticket_id=FIRST, occurred_at=at(7))
CANCEL = CancelTicket(branch_id=BRANCH, ticket_id=FIRST, reason="went home", occurred_at=at(7))
TRANSFER = TransferTicket(
    branch_id=BRANCH, ticket_id=FIRST, new_ticket_id=SECOND, service="ADVICE", occurred_at=at(8)
)
CLOSE = CloseBranch(branch_id=BRANCH, occurred_at=at(480))


# --- the branch itself ----------------------------------------------------------------------------


def test_a_branch_is_registered_once() -> None:
    given(Branch).when(REGISTER).then(REGISTERED)
    given(Branch, REGISTERED).when(REGISTER).refused(AlreadyExists)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"name": " "}, NameMissing),
        ({"country": "cz"}, BranchCountryMalformed),
        ({"capacity": 0}, CapacityImpossible),
        ({"services": ()}, ServicesMalformed),
        ({"services": ("CASH", "CASH")}, ServicesMalformed),
        ({"services": ("cash",)}, ServicesMalformed),
    ],
)
def test_a_branch_that_cannot_be_is_not_registered(
    wrong: dict[str, Any], refusal: type[Refusal]
) -> None:
    given(Branch).when(replace(REGISTER, **wrong)).refused(refusal)


@pytest.mark.parametrize(
    "command",
    [
        ChangeBranchCapacity(branch_id=BRANCH, capacity=10),
        OpenBranch(branch_id=BRANCH, on=DAY, occurred_at=NINE),
        ISSUE,
        CLOSE,
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_happens_at_a_branch_that_is_not_there(command: Any) -> None:
    given(Branch).when(command).refused(NotFound)


def test_what_a_branch_has_room_for_and_offers_changes() -> None:
    given(Branch, REGISTERED).when(ChangeBranchCapacity(branch_id=BRANCH, capacity=35)).then(
        BranchCapacityChanged(capacity=35)
    )
    given(Branch, REGISTERED).when(
        ChangeBranchServices(branch_id=BRANCH, services=("CASH", "LOANS"))
    ).then(BranchServicesChanged(services=("CASH", "LOANS")))


def test_a_service_that_somebody_waits_for_is_not_withdrawn() -> None:
    given(Branch, *WORKING, issued(FIRST, 1, "ADVICE")).when(
        ChangeBranchServices(branch_id=BRANCH, services=("CASH",))
    ).refused(ServiceAwaited)


def test_a_day_s_staff_is_scheduled() -> None:
    roster = (Rostered(role=StaffRole.TELLER, number=2),)
    schedule = ScheduleStaff(branch_id=BRANCH, day=DAY, roster=roster)
    given(Branch, REGISTERED).when(schedule).then(StaffScheduled(day=DAY, roster=roster))
    given(Branch, REGISTERED).when(replace(schedule, roster=roster * 2)).refused(RosterMalformed)


def test_a_branch_opens_once_a_day() -> None:
    opening = OpenBranch(branch_id=BRANCH, on=DAY, occurred_at=NINE)
    closed = BranchClosed(on=DAY, occurred_at=at(480))
    tomorrow = replace(opening, on=DAY + timedelta(days=1), occurred_at=at(24 * 60))

    given(Branch, REGISTERED).when(opening).then(OPENED)
    given(Branch, REGISTERED, OPENED).when(tomorrow).refused(BranchIsOpen)
    given(Branch, REGISTERED, OPENED, closed).when(replace(opening, occurred_at=at(490))).refused(
        BranchDayOver
    )
    given(Branch, REGISTERED, OPENED, closed).when(tomorrow).then(
        BranchOpened(on=tomorrow.on, occurred_at=tomorrow.occurred_at)
    )


def test_whoever_waits_at_closing_time_is_sent_home() -> None:
    given(Branch, *WORKING, issued(FIRST, 1), issued(SECOND, 2)).when(CLOSE).then(
        TicketCancelled(ticket_id=FIRST, reason=CLOSING, occurred_at=at(480)),
        TicketCancelled(ticket_id=SECOND, reason=CLOSING, occurred_at=at(480)),
        BranchClosed(on=DAY, occurred_at=at(480)),
    )


def test_a_branch_does_not_close_on_whom_it_serves() -> None:
    history = (*WORKING, issued(FIRST, 1), called(FIRST), serving(FIRST))
    given(Branch, *history).when(CLOSE).refused(StillServing)


def test_a_closed_branch_has_nobody_inside_and_no_counter() -> None:
    closed = Branch().after(
        (
            *WORKING,
            VisitorsCounted(entered=3, left=0, inside=3, occurred_at=at(2)),
            BranchClosed(on=DAY, occurred_at=at(480)),
        )
    )
    assert (closed.inside, closed.counters, closed.day) == (0, {}, None)


# --- staff, counters and visitors -----------------------------------------------------------------


def test_staff_come_and_go() -> None:
    come = RecordStaffArrival(
        branch_id=BRANCH, employee="ann", role=StaffRole.TELLER, occurred_at=NINE
    )
    go = RecordStaffDeparture(branch_id=BRANCH, employee="ann", occurred_at=at(9))

    given(Branch, REGISTERED).when(come).then(ANN_IS_THERE)
    given(Branch, REGISTERED, ANN_IS_THERE).when(come).refused(StaffPresent)
    given(Branch, REGISTERED).when(go).refused(StaffAbsent)
    given(Branch, REGISTERED, ANN_IS_THERE).when(go).then(
        StaffLeft(employee="ann", occurred_at=at(9))
    )
    given(Branch, *WORKING).when(go).refused(StaffAtCounter)


def test_a_counter_opens_with_somebody_who_is_there() -> None:
    opening = OpenCounter(
        branch_id=BRANCH, counter="1", employee="ann", services=("CASH",), occurred_at=NINE
    )

    given(Branch, REGISTERED, ANN_IS_THERE).when(opening).refused(BranchNotOpen)
    given(Branch, REGISTERED, OPENED).when(opening).refused(StaffAbsent)
    given(Branch, REGISTERED, OPENED, ANN_IS_THERE).when(opening).then(CASH_COUNTER)
    given(Branch, *WORKING).when(opening).refused(CounterIsOpen)
    given(Branch, *WORKING).when(replace(opening, counter="3")).refused(StaffAtCounter)
    given(Branch, REGISTERED, OPENED, ANN_IS_THERE).when(
        replace(opening, services=("CARDS",))
    ).refused(ServiceNotOffered)


def test_a_counter_serves_everything_if_nothing_else_is_said() -> None:
    given(Branch, REGISTERED, OPENED, ANN_IS_THERE).when(
        OpenCounter(branch_id=BRANCH, counter="1", employee="ann", occurred_at=NINE)
    ).then(replace(CASH_COUNTER, services=("CASH", "ADVICE")))


def test_a_counter_closes_when_it_serves_nobody() -> None:
    closing = CloseCounter(branch_id=BRANCH, counter="1", occurred_at=at(9))

    given(Branch, *WORKING).when(closing).then(CounterClosed(counter="1", occurred_at=at(9)))
    given(Branch, *WORKING).when(replace(closing, counter="7")).refused(CounterNotOpen)
    given(Branch, *WORKING, issued(FIRST, 1), called(FIRST)).when(closing).refused(CounterBusy)


def test_the_door_counts_who_is_inside() -> None:
    counted = CountVisitors(branch_id=BRANCH, entered=5, left=2, occurred_at=at(3))
    three = VisitorsCounted(entered=5, left=2, inside=3, occurred_at=at(3))

    given(Branch, *WORKING).when(counted).then(three)
    given(Branch, *WORKING, three).when(replace(counted, entered=0, left=4)).refused(
        VisitorsMalformed
    )
    given(Branch, *WORKING).when(replace(counted, entered=0, left=0)).refused(VisitorsMalformed)


def test_more_than_there_is_room_for_are_counted_all_the_same() -> None:
    crowd = CountVisitors(branch_id=BRANCH, entered=41, left=0, occurred_at=at(3))
    given(Branch, *WORKING).when(crowd).then(
        VisitorsCounted(entered=41, left=0, inside=41, occurred_at=at(3))
    )


# --- tickets --------------------------------------------------------------------------------------


def test_tickets_are_numbered_from_one_each_day() -> None:
    given(Branch, *WORKING).when(ISSUE).then(issued(FIRST, 1))
    given(Branch, *WORKING, issued(SECOND, 1)).when(ISSUE).then(issued(FIRST, 2))
    closed = BranchClosed(on=DAY, occurred_at=at(480))
    reopened = BranchOpened(on=DAY + timedelta(days=1), occurred_at=at(1440))
    tomorrow = replace(ISSUE, occurred_at=at(1441))
    given(Branch, *WORKING, issued(SECOND, 1), closed, reopened).when(tomorrow).then(
        issued(FIRST, 1, minutes=1441)
    )


def test_a_ticket_says_who_waits_if_that_is_known() -> None:
    given(Branch, *WORKING).when(replace(ISSUE, customer_id=ADA)).then(
        replace(issued(FIRST, 1), customer_id=ADA)
    )


def test_no_ticket_is_issued_for_nothing() -> None:
    given(Branch, REGISTERED).when(ISSUE).refused(BranchNotOpen)
    given(Branch, *WORKING).when(replace(ISSUE, service="CARDS")).refused(ServiceNotOffered)
    given(Branch, *WORKING, issued(FIRST, 1)).when(ISSUE).refused(AlreadyExists)
    given(Branch, *WORKING).when(replace(ISSUE, occurred_at=at(-1))).refused(HappenedBefore)


def test_who_came_first_is_called_first() -> None:
    given(Branch, *WORKING, issued(SECOND, 1), issued(FIRST, 2)).when(CALL).then(called(SECOND))


def test_a_class_is_called_before_the_next_one() -> None:
    given(
        Branch,
        *WORKING,
        issued(FIRST, 1),
        issued(SECOND, 2, priority=TicketPriority.APPOINTMENT),
        issued(THIRD, 3, priority=TicketPriority.ASSISTED),
    ).when(CALL).then(called(THIRD))


def test_a_counter_calls_only_whom_it_serves() -> None:
    history = (*WORKING, issued(FIRST, 1, "ADVICE"), issued(SECOND, 2))

    given(Branch, *history).when(CALL).then(called(SECOND))
    given(Branch, *history).when(CALL_AT_BOTH).then(called(FIRST, counter="2"))
    given(Branch, *WORKING, issued(FIRST, 1, "ADVICE")).when(CALL).refused(NobodyWaits)


def test_two_counters_never_call_the_same_ticket() -> None:
    given(Branch, *WORKING, issued(FIRST, 1), called(FIRST)).when(CALL_AT_BOTH).refused(NobodyWaits)


def test_a_counter_has_one_at_a_time() -> None:
    history = (*WORKING, issued(FIRST, 1), issued(SECOND, 2), called(FIRST))
    given(Branch, *history).when(CALL).refused(CounterBusy)


def test_whoever_is_called_is_served_or_does_not_come() -> None:
    history = (*WORKING, issued(FIRST, 1), called(FIRST))

    given(Branch, *history).when(START).then(serving(FIRST))
    given(Branch, *history).when(NO_SHOW).then(TicketNoShow(ticket_id=FIRST, occurred_at=at(7)))
    given(Branch, *history).when(FINISH).refused(TicketNotThere)
    given(Branch, *history, serving(FIRST)).when(FINISH).then(
        TicketServed(ticket_id=FIRST, occurred_at=at(10))
    )
    given(Branch, *history, serving(FIRST)).when(NO_SHOW).refused(TicketNotThere)
    given(Branch, *WORKING, issued(FIRST, 1)).when(START).refused(TicketNotThere)


def test_nothing_happens_before_what_it_follows() -> None:
    history = (*WORKING, issued(FIRST, 1, minutes=4), called(FIRST, 5))
    given(Branch, *WORKING, issued(FIRST, 1, minutes=6)).when(CALL).refused(HappenedBefore)
    given(Branch, *history).when(replace(START, occurred_at=at(4))).refused(HappenedBefore)


def test_a_closed_ticket_stays_closed() -> None:
    history = (*WORKING, issued(FIRST, 1), called(FIRST), serving(FIRST))
    served = TicketServed(ticket_id=FIRST, occurred_at=at(10))
    for command in (START, FINISH, NO_SHOW, CANCEL, TRANSFER):
        given(Branch, *history, served).when(command).refused(TicketNotOpen)


def test_a_ticket_is_cancelled_until_it_is_served() -> None:
    cancelled = TicketCancelled(ticket_id=FIRST, reason="went home", occurred_at=at(7))

    given(Branch, *WORKING, issued(FIRST, 1)).when(CANCEL).then(cancelled)
    given(Branch, *WORKING, issued(FIRST, 1), called(FIRST)).when(CANCEL).then(cancelled)
    given(Branch, *WORKING, issued(FIRST, 1), called(FIRST), serving(FIRST)).when(
        replace(CANCEL, occurred_at=at(9))
    ).refused(TicketNotThere)


def test_whoever_is_sent_on_waits_again_in_the_same_class() -> None:
    appointment = replace(issued(FIRST, 1, priority=TicketPriority.APPOINTMENT), customer_id=ADA)
    given(Branch, *WORKING, appointment, called(FIRST)).when(TRANSFER).then(
        TicketTransferred(
            ticket_id=FIRST, new_ticket_id=SECOND, service="ADVICE", occurred_at=at(8)
        ),
        replace(
            issued(SECOND, 2, "ADVICE", TicketPriority.APPOINTMENT, minutes=8),
            customer_id=ADA,
            transferred_from=FIRST,
        ),
    )


def test_only_whom_a_counter_has_is_sent_on() -> None:
    given(Branch, *WORKING, issued(FIRST, 1)).when(TRANSFER).refused(TicketNotThere)
    given(Branch, *WORKING, issued(FIRST, 1), called(FIRST)).when(
        replace(TRANSFER, service="CARDS")
    ).refused(ServiceNotOffered)


# --- the law of the queue -------------------------------------------------------------------------


class QueueLaws(RuleBasedStateMachine):
    """A branch beside the plainest queues there can be: a list for each class and service.

    Whatever is asked, the branch calls whom those would, each ticket once; a counter has one at a
    time; nobody is lost; and who is inside is who came less who went.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branch = Branch().after(WORKING)
        self.clock = 1.0
        self.issued = 0
        self.waiting: dict[tuple[TicketPriority, str], list[UUID]] = {}
        self.order: dict[UUID, int] = {}
        self.at_counter: dict[str, UUID] = {}
        self.once: set[UUID] = set()
        self.closed = 0
        self.inside = 0

    def tell(self, command: Any) -> Sequence[Any]:
        self.clock += 1
        events = self.branch.decide(replace(command, occurred_at=at(self.clock)))
        self.branch = self.branch.after(events)
        return events

    def joins(self, event: TicketIssued) -> None:
        self.issued += 1
        assert event.number == self.issued
        self.order[event.ticket_id] = self.issued
        self.waiting.setdefault((event.priority, event.service), []).append(event.ticket_id)

    @initialize()
    def somebody_waits(self) -> None:
        self.somebody_comes("CASH", TicketPriority.REGULAR)

    @rule(service=st.sampled_from(["CASH", "ADVICE"]), priority=st.sampled_from(TicketPriority))
    def somebody_comes(self, service: str, priority: TicketPriority) -> None:
        ticket_id = UUID(int=self.issued + 1)
        (event,) = self.tell(
            replace(ISSUE, ticket_id=ticket_id, service=service, priority=priority)
        )
        self.joins(event)

    @rule(counter=st.sampled_from(["1", "2"]))
    def a_counter_calls(self, counter: str) -> None:
        serves = ("CASH",) if counter == "1" else ("CASH", "ADVICE")
        expected = None
        for priority in ("ASSISTED", "APPOINTMENT", "REGULAR"):
            heads = [
                queue[0]
                for (of, service), queue in self.waiting.items()
                if of == priority and service in serves and queue
            ]
            if heads:
                expected = min(heads, key=self.order.__getitem__)
                break
        if counter in self.at_counter or expected is None:
            with pytest.raises(CounterBusy if counter in self.at_counter else NobodyWaits):
                self.tell(replace(CALL, counter=counter))
            return
        (event,) = self.tell(replace(CALL, counter=counter))
        assert event.ticket_id == expected
        assert event.ticket_id not in self.once
        self.once.add(event.ticket_id)
        self.at_counter[counter] = event.ticket_id
        for queue in self.waiting.values():
            if event.ticket_id in queue:
                queue.remove(event.ticket_id)

    @rule(
        counter=st.sampled_from(["1", "2"]), end=st.sampled_from(["served", "no show", "sent on"])
    )
    def a_counter_is_done(self, counter: str, end: str) -> None:
        ticket_id = self.at_counter.pop(counter, None)
        if ticket_id is None:
            return
        self.closed += 1
        match end:
            case "served":
                self.tell(replace(START, ticket_id=ticket_id))
                self.tell(replace(FINISH, ticket_id=ticket_id))
            case "no show":
                self.tell(replace(NO_SHOW, ticket_id=ticket_id))
            case _:
                new = UUID(int=self.issued + 1)
                _, event = self.tell(replace(TRANSFER, ticket_id=ticket_id, new_ticket_id=new))
                self.joins(event)

    @rule(pick=st.integers(0, 5))
    def somebody_gives_up(self, pick: int) -> None:
        queues = [queue for queue in self.waiting.values() if queue]
        if queues:
            queue = queues[pick % len(queues)]
            self.tell(replace(CANCEL, ticket_id=queue.pop(pick % len(queue))))
            self.closed += 1

    @rule(entered=st.integers(0, 3), left=st.integers(0, 3))
    def the_door_counts(self, entered: int, left: int) -> None:
        command = CountVisitors(branch_id=BRANCH, entered=entered, left=left, occurred_at=NINE)
        try:
            self.tell(command)
        except VisitorsMalformed:
            assert entered + left == 0 or self.inside + entered < left
        else:
            self.inside += entered - left

    @invariant()
    def nobody_is_lost(self) -> None:
        waiting = sum(map(len, self.waiting.values()))
        assert len(self.branch.tickets) == waiting + len(self.at_counter)
        assert self.issued == waiting + len(self.at_counter) + self.closed

    @invariant()
    def who_is_inside_came_and_did_not_go(self) -> None:
        assert self.branch.inside == self.inside


TestTheLawsOfTheQueue = QueueLaws.TestCase
