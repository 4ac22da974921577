"""What is shown of a branch: after any history it is what the branch itself says."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.codec import Codec
from domain.branch import (
    Branch,
    BranchClosed,
    BranchOpened,
    CallNextTicket,
    CancelTicket,
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
    Rostered,
    ScheduleStaff,
    StaffArrived,
    StaffRole,
    StaffScheduled,
    StartServing,
    TicketCalled,
    TicketIssued,
    TicketPriority,
    TicketServed,
    TicketServing,
    TicketStatus,
    TransferTicket,
)
from projections.branches import (
    BRANCHES,
    OBSERVED,
    TICKETS,
    BranchRow,
    DayCounts,
    Observed,
    Queue,
    StaffOfRole,
    TicketRow,
    estimated_waits,
    queues,
    staff_of,
)
from projections.effective import in_effect
from projections.projection import fold_records
from tests.domain.test_branch import (
    BRANCH,
    DAY,
    NINE,
    REGISTERED,
    WORKING,
    at,
    called,
    issued,
    serving,
)
from tests.projections.histories import Chronicle, recorded

TICKET = uuid5(BRANCH, "ticket")


def row_after(*events: Any) -> BranchRow:
    return fold_records(BRANCHES, recorded(BRANCH, *events))[BRANCH,]


def tickets_after(*events: Any) -> dict[UUID, TicketRow]:
    rows = fold_records(TICKETS, recorded(BRANCH, *events))
    return {ticket_id: row for (ticket_id,), row in rows.items()}


# --- the row says what the aggregate says ---------------------------------------------------------

TICKET_STEPS = (StartServing, FinishServing, RecordNoShow, CancelTicket, TransferTicket)
STEPS = (
    *(IssueTicket, CallNextTicket, *TICKET_STEPS) * 3,
    *(CountVisitors, RecordStaffArrival, RecordStaffDeparture, OpenCounter, CloseCounter),
    *(CloseBranch, OpenBranch, ScheduleStaff),
)


def step(draw: st.DrawFn, cls: type[Any], number: int, state: Branch) -> Any:
    """A command about what there is, mostly."""

    def one(*choices: Any) -> Any:
        return draw(st.sampled_from(choices))

    given: dict[type[Any], Callable[[], dict[str, Any]]] = {
        IssueTicket: lambda: {
            "ticket_id": UUID(int=number),
            "service": one("CASH", "ADVICE", "CARDS"),
            "priority": one(*TicketPriority),
        },
        CallNextTicket: lambda: {"counter": one("1", "2", "3")},
        CountVisitors: lambda: {"entered": one(0, 2), "left": one(0, 1)},
        RecordStaffArrival: lambda: {"employee": one("ann", "cid"), "role": one(*StaffRole)},
        RecordStaffDeparture: lambda: {"employee": one("ann", "ben", "cid")},
        OpenCounter: lambda: {"counter": one("1", "3"), "employee": one("ann", "cid")},
        CloseCounter: lambda: {"counter": one("1", "2", "3")},
        OpenBranch: lambda: {"on": DAY + timedelta(days=one(0, 1, 2, 3))},
        ScheduleStaff: lambda: {
            "day": DAY + timedelta(days=one(-1, 0, 1, 2)),
            "roster": one((), (Rostered(role=StaffRole.TELLER, number=2),)),
        },
    }
    said = given.get(cls, dict)()
    if cls in TICKET_STEPS:
        said["ticket_id"] = one(*reversed(list(state.tickets)), UUID(int=0))
    if cls is CancelTicket:
        said["reason"] = "went home"
    if cls is TransferTicket:
        said |= {"new_ticket_id": UUID(int=number), "service": one("CASH", "ADVICE")}
    if cls is not ScheduleStaff:
        said["occurred_at"] = at(one(number, number, number, 0, 600))
    return cls(branch_id=BRANCH, **said)


@st.composite
def days(draw: st.DrawFn) -> Chronicle:
    """A branch at work, and whatever came of arbitrary commands."""
    chronicle = Chronicle()
    chronicle.write(BRANCH, *WORKING)
    for number, cls in enumerate(
        draw(st.lists(st.sampled_from(STEPS), min_size=20, max_size=50)), start=1
    ):
        state = chronicle.history.state(Branch, BRANCH)
        chronicle.execute(step(draw, cls, number, state), UUID(int=number))
    return chronicle


@given(days())
def test_a_branch_is_shown_as_it_is(chronicle: Chronicle) -> None:
    known = chronicle.history.state(Branch, BRANCH)
    row = fold_records(BRANCHES, chronicle.records)[BRANCH,]

    assert (row.capacity, row.services) == (known.capacity, known.services)
    assert (row.day, row.occupancy) == (known.day, known.inside)
    assert {p.employee: p.role for p in row.staff} == known.staff
    assert {c.counter: (c.employee, c.services) for c in row.counters} == {
        name: (counter.employee, counter.services) for name, counter in known.counters.items()
    }
    assert [
        (t.ticket_id, t.number, t.service, t.priority, t.status, t.since, t.counter)
        for t in row.tickets
    ] == [
        (ticket_id, t.number, t.service, t.priority, t.status, t.since, t.counter)
        for ticket_id, t in known.tickets.items()
    ]
    assert row.version == len(chronicle.history.streams[BRANCH])


@given(days())
def test_every_ticket_is_shown_as_what_became_of_it(chronicle: Chronicle) -> None:
    tickets = {key[0]: row for key, row in fold_records(TICKETS, chronicle.records).items()}
    branch = fold_records(BRANCHES, chronicle.records)[BRANCH,]

    open_tickets = {t.ticket_id: t.status for t in branch.tickets}
    ended = {
        TicketStatus.SERVED,
        TicketStatus.NO_SHOW,
        TicketStatus.TRANSFERRED,
        TicketStatus.CANCELLED,
    }
    assert {t: row.status for t, row in tickets.items() if row.status not in ended} == open_tickets
    for row in tickets.values():
        times = [row.issued_at, row.called_at, row.serving_at, row.ended_at]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert (row.ended_at is not None) is (row.status in ended)
        assert row.branch_id == BRANCH


@given(days())
def test_the_day_s_tickets_are_counted(chronicle: Chronicle) -> None:
    row = fold_records(BRANCHES, chronicle.records)[BRANCH,]
    since = max(r.position for r in chronicle.records if isinstance(r.event, BranchOpened))
    today = [r for r in chronicle.records if r.position > since]
    tickets = fold_records(TICKETS, today).values()
    became = Counter(ticket.status for ticket in tickets)

    assert row.counts.issued == len(tickets)
    assert row.counts.served == became[TicketStatus.SERVED]
    assert row.counts.no_show == became[TicketStatus.NO_SHOW]
    assert row.counts.transferred == became[TicketStatus.TRANSFERRED]
    assert row.counts.cancelled == became[TicketStatus.CANCELLED]


@given(days())
def test_a_branch_is_shown_at_any_time_of_its_day(chronicle: Chronicle) -> None:
    """Of what was told later, too, only that which had happened by then."""
    for minutes in range(0, 60, 6):
        then = list(in_effect(chronicle.records, at(minutes)))
        for row in fold_records(BRANCHES, then).values():
            assert sum(queue.length for queue in queues(row)) <= row.counts.issued
        for ticket in fold_records(TICKETS, then).values():
            assert ticket.issued_at <= at(minutes)


@given(days())
def test_a_snapshot_of_a_branch_calls_the_same_ticket_next(chronicle: Chronicle) -> None:
    codec, state = Codec((Branch,)), chronicle.history.state(Branch, BRANCH)
    restored: Any = codec.decode_state("Branch", codec.encode_state(state))
    assert restored == state
    for counter in state.counters.values():
        assert restored.next_for(counter) == state.next_for(counter)


# --- waits ----------------------------------------------------------------------------------------

FIVE_MINUTES = 300.0


def observed(*seconds: float) -> Observed:
    return Observed(occupied=seconds)


def branch(
    *waiting: TicketIssued, at_counter: tuple[Any, ...] = (), took: Observed | None = None
) -> BranchRow:
    """Ann at 1 serves cash, Ben at 2 everything; cash takes what it `took`."""
    row = row_after(*WORKING, *at_counter, *waiting)
    return replace(row, observed={"CASH": took or observed(FIVE_MINUTES)})


def test_nobody_waits_where_a_counter_is_free() -> None:
    assert estimated_waits(branch()) == {"CASH": 0.0, "ADVICE": 0.0}


def test_one_in_the_queue_is_called_by_the_free_counter() -> None:
    waits = estimated_waits(branch(issued(UUID(int=1), 1)))
    assert waits["CASH"] == 0.0  # Ben is free still


def test_the_wait_is_that_until_a_counter_finds_nobody_else() -> None:
    three = [issued(UUID(int=n), n) for n in (1, 2, 3)]
    assert estimated_waits(branch(*three))["CASH"] == FIVE_MINUTES
    four = [*three, issued(UUID(int=4), 4)]
    assert estimated_waits(branch(*four))["CASH"] == 2 * FIVE_MINUTES


def test_whoever_is_served_already_takes_the_rest_of_his_time() -> None:
    """Half of it, if all take the same; more, if some take long: those are met more often."""
    busy = (issued(UUID(int=1), 1), called(UUID(int=1)), serving(UUID(int=1)))
    other = (issued(UUID(int=2), 2), called(UUID(int=2), counter="2"))
    at_counter = (*busy, *other)

    same = branch(at_counter=at_counter, took=observed(300.0, 300.0))
    assert estimated_waits(same)["CASH"] == 150.0
    mixed = branch(at_counter=at_counter, took=observed(100.0, 500.0))
    assert estimated_waits(mixed)["CASH"] == pytest.approx((100.0**2 + 500.0**2) / 1200.0)


def test_a_service_without_a_counter_has_no_wait_to_tell() -> None:
    row = row_after(*WORKING[:5], issued(UUID(int=1), 1))  # Ben has no counter
    assert estimated_waits(row)["ADVICE"] is None


def test_nothing_is_estimated_from_nothing() -> None:
    waiting = [issued(UUID(int=n), n) for n in (1, 2)]
    assert estimated_waits(row_after(*WORKING, *waiting)) == {"CASH": None, "ADVICE": None}


def test_what_was_never_seen_takes_what_the_others_take() -> None:
    waiting = [issued(UUID(int=n), n, "ADVICE") for n in (1, 2)]
    assert estimated_waits(branch(*waiting))["ADVICE"] == 2 * FIVE_MINUTES


services = st.sampled_from(["CASH", "ADVICE"])
DURATIONS = {"CASH": 240.0, "ADVICE": 1500.0}


@given(
    st.lists(st.tuples(services, st.sampled_from(TicketPriority)), max_size=12),
    services,
    st.booleans(),
)
def test_the_estimate_is_how_long_the_branch_itself_would_take(
    queue: list[tuple[str, TicketPriority]], service: str, alone: bool
) -> None:
    """The branch is played through, with commands, for somebody who comes after all others."""
    working = WORKING[:5] if alone else WORKING
    open_counters = ["1"] if alone else ["1", "2"]
    waiting = [
        issued(UUID(int=n), n, of, priority, minutes=0)
        for n, (of, priority) in enumerate(queue, start=1)
    ]
    row = replace(
        row_after(*working, *waiting),
        observed={of: observed(seconds) for of, seconds in DURATIONS.items()},
    )
    me = UUID(int=99)
    state = Branch().after((*working, *waiting, issued(me, 99, service, minutes=0)))
    service_of = {ticket_id: ticket.service for ticket_id, ticket in state.tickets.items()}
    free = [(0.0, counter) for counter in open_counters]
    heapq.heapify(free)
    actual = None
    while free and actual is None:
        now, counter = heapq.heappop(free)
        if state.next_for(state.counters[counter]) is None:
            continue
        moment = NINE + timedelta(seconds=now)
        (call,) = state.decide(
            CallNextTicket(branch_id=BRANCH, counter=counter, occurred_at=moment)
        )
        assert isinstance(call, TicketCalled)
        if call.ticket_id == me:
            actual = now
        state = state.after((call, TicketServed(ticket_id=call.ticket_id, occurred_at=moment)))
        heapq.heappush(free, (now + DURATIONS[service_of[call.ticket_id]], counter))

    assert estimated_waits(row)[service] == actual


def test_waits_and_times_are_observed_of_the_last_tickets() -> None:
    first = UUID(int=1)
    row = row_after(
        *WORKING,
        issued(first, 1, minutes=1),
        called(first, minutes=5),
        serving(first, minutes=6),
        TicketServed(ticket_id=first, occurred_at=at(11)),
    )
    assert row.observed["CASH"] == Observed(waited=(240.0,), occupied=(360.0,))

    many = [
        event
        for n in range(2, OBSERVED + 10)
        for event in (
            issued(UUID(int=n), n, minutes=20),
            called(UUID(int=n), minutes=20 + n),
            TicketServing(ticket_id=UUID(int=n), occurred_at=at(20 + n)),
            TicketServed(ticket_id=UUID(int=n), occurred_at=at(20 + n)),
        )
    ]
    row = row_after(*WORKING, *many)
    assert len(row.observed["CASH"].waited) == OBSERVED
    assert row.observed["CASH"].waited[-1] == 60.0 * (OBSERVED + 9)


def test_a_queue_tells_who_waits_and_how_long() -> None:
    row = branch(*[issued(UUID(int=n), n) for n in (1, 2, 3)])
    row = replace(row, observed={"CASH": Observed(waited=(60.0, 120.0), occupied=(300.0,))})
    cash, advice = queues(row)
    assert cash == Queue(
        service="CASH", length=3, counters=2, estimated_wait=300.0, observed_wait=90.0
    )
    assert (advice.length, advice.counters, advice.observed_wait) == (0, 1, None)


# --- staff and days -------------------------------------------------------------------------------


def test_staff_are_those_who_are_there_beside_those_who_should_be() -> None:
    scheduled = StaffScheduled(day=DAY, roster=(Rostered(role=StaffRole.TELLER, number=3),))
    assert staff_of(row_after(REGISTERED, scheduled, *WORKING[1:])) == (
        StaffOfRole(role=StaffRole.TELLER, present=1, scheduled=3),
        StaffOfRole(role=StaffRole.ADVISER, present=1, scheduled=0),
    )


def test_a_roster_is_kept_until_its_day_is_over() -> None:
    days = [DAY, DAY + timedelta(days=1)]
    roster = (Rostered(role=StaffRole.TELLER, number=3),)
    row = row_after(
        REGISTERED,
        *(StaffScheduled(day=day, roster=roster) for day in reversed(days)),
        *WORKING[1:],
        BranchClosed(on=DAY, occurred_at=at(480)),
        BranchOpened(on=days[1], occurred_at=at(1440)),
    )
    assert [kept.day for kept in row.rosters] == days[1:]


def test_a_new_day_counts_anew() -> None:
    row = row_after(
        *WORKING,
        issued(TICKET, 1),
        BranchClosed(on=DAY, occurred_at=at(480)),
        BranchOpened(on=DAY + timedelta(days=1), occurred_at=at(1440)),
    )
    assert row.counts == DayCounts()


def test_somebody_who_stays_overnight_is_still_there() -> None:
    row = row_after(
        REGISTERED, StaffArrived(employee="ann", role=StaffRole.TELLER, occurred_at=NINE)
    )
    assert [person.employee for person in row.staff] == ["ann"]
