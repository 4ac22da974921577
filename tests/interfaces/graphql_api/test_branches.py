"""Branches over HTTP: a day of a branch, told by its staff, its door and its ticket machine."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer

NOW = datetime.now(UTC).replace(microsecond=0)
TWIN = """
    query ($id: ID!) { branch(id: $id) {
        __typename id uuid name city country open capacity occupancy services
        queues { service length counters estimatedWaitSeconds observedWaitSeconds }
        staff { role present scheduled }
        counters { counter employee services }
        today { issued served noShow transferred cancelled visitors }
        meta { position }
    } }
"""
CHANGED = (
    "... on BranchChanged { receipt { version } branch { uuid } ticket { uuid number status } }"
)


def at(minutes: float) -> str:
    """So many minutes after the day began, which is some hours ago."""
    moment = NOW - timedelta(hours=8) + timedelta(minutes=minutes)
    return moment.isoformat().replace("+00:00", "Z")


class Day:
    """A branch that is open, with Ann at counter 1 and Ben at counter 2."""

    def __init__(self, bank: Served) -> None:
        self.bank = bank
        self.branch = str(uuid4())
        self.send(
            "registerBranch",
            name="Old Town",
            city="Praha",
            country="CZ",
            capacity=40,
            services=["CASH", "ADVICE"],
        )
        roster = [{"role": "TELLER", "number": 2}]
        self.send("scheduleStaff", day=NOW.date().isoformat(), roster=roster)
        self.send("openBranch", occurredAt=at(0))
        for employee, role in (("ann", "TELLER"), ("ben", "ADVISER")):
            self.send("recordStaffArrival", employee=employee, role=role, occurredAt=at(0))
        self.send("openCounter", counter="1", employee="ann", services=["CASH"], occurredAt=at(0))
        self.send("openCounter", counter="2", employee="ben", occurredAt=at(0))

    def send(self, mutation: str, **fields: Any) -> dict[str, Any]:
        answer = self.bank.send(mutation, CHANGED, branchId=self.branch, **fields)
        assert answer["__typename"] == "BranchChanged", answer
        return answer

    def issue(self, minutes: float, service: str = "CASH", **more: Any) -> str:
        answer = self.send("issueTicket", service=service, occurredAt=at(minutes), **more)
        ticket: str = answer["ticket"]["uuid"]
        return ticket

    def twin(self) -> dict[str, Any]:
        found: dict[str, Any] = self.bank.ask(TWIN, id=self.branch)["branch"]
        return found


@pytest.fixture
def day(bank: Served) -> Day:
    return Day(bank)


def test_a_branch_is_shown_with_its_staff_and_queues(day: Day) -> None:
    day.send("countVisitors", entered=5, left=1, occurredAt=at(1))
    day.issue(1)

    twin = day.twin()

    assert (twin["name"], twin["city"], twin["open"]) == ("Old Town", "Praha", True)
    assert (twin["occupancy"], twin["capacity"]) == (4, 40)
    assert twin["staff"] == [
        {"role": "TELLER", "present": 1, "scheduled": 2},
        {"role": "ADVISER", "present": 1, "scheduled": 0},
    ]
    assert [(c["counter"], c["employee"], c["services"]) for c in twin["counters"]] == [
        ("1", "ann", ["CASH"]),
        ("2", "ben", ["CASH", "ADVICE"]),
    ]
    assert [(q["service"], q["length"], q["counters"]) for q in twin["queues"]] == [
        ("CASH", 1, 2),
        ("ADVICE", 0, 1),
    ]
    assert (twin["today"]["issued"], twin["today"]["visitors"]) == (1, 5)


def test_the_answer_to_a_call_says_whose_turn_it_is(day: Day) -> None:
    day.issue(1)
    second = day.issue(2, priority="ASSISTED")

    called = day.send("callNextTicket", counter="1", occurredAt=at(5))

    assert called["ticket"] == {"uuid": second, "number": 2, "status": "CALLED"}


def test_a_retried_call_is_the_same_call(day: Day) -> None:
    day.issue(1)
    day.issue(2)
    call = {"counter": "1", "occurredAt": at(5), "meta": {"commandId": str(uuid4())}}

    first, again = day.send("callNextTicket", **call), day.send("callNextTicket", **call)

    assert first["ticket"] == again["ticket"]
    assert day.twin()["queues"][0]["length"] == 1


def test_an_empty_queue_is_refused_by_name(bank: Served, day: Day) -> None:
    answer = bank.send("callNextTicket", branchId=day.branch, counter="1", occurredAt=at(5))
    assert (answer["code"], answer["retryable"]) == ("NOBODY_WAITS", False)


def test_waits_are_estimated_from_what_was_observed(day: Day) -> None:
    for n in range(3):
        ticket = day.issue(10 * n)
        day.send("callNextTicket", counter="1", occurredAt=at(10 * n + 4))
        day.send("startServing", ticketId=ticket, occurredAt=at(10 * n + 5))
        day.send("finishServing", ticketId=ticket, occurredAt=at(10 * n + 9))
    for n in range(3):
        day.issue(60 + n)

    cash = day.twin()["queues"][0]

    assert cash["observedWaitSeconds"] == 240
    assert cash["estimatedWaitSeconds"] == 300
    assert day.twin()["today"]["served"] == 3


def test_whoever_is_sent_on_gets_a_new_ticket(bank: Served, day: Day) -> None:
    first = day.issue(1)
    day.send("callNextTicket", counter="1", occurredAt=at(2))

    sent_on = day.send("transferTicket", ticketId=first, service="ADVICE", occurredAt=at(3))

    assert (sent_on["ticket"]["number"], sent_on["ticket"]["status"]) == (2, "ISSUED")
    asked = """query ($id: ID!) { branch(id: $id) { tickets(first: 10) { edges { node {
        uuid service status transferredFrom { uuid } transferredTo { uuid } branch { name }
    } } } } }"""
    new, old = (
        edge["node"] for edge in bank.ask(asked, id=day.branch)["branch"]["tickets"]["edges"]
    )
    assert (new["service"], new["transferredFrom"]["uuid"]) == ("ADVICE", first)
    assert (old["status"], old["transferredTo"]["uuid"]) == ("TRANSFERRED", new["uuid"])
    assert old["branch"] == {"name": "Old Town"}


def test_tickets_are_paged_and_found_by_their_status(bank: Served, day: Day) -> None:
    tickets = [day.issue(n) for n in range(5)]
    day.send("cancelTicket", ticketId=tickets[1], reason="went home", occurredAt=at(9))
    asked = """query ($id: ID!, $after: String, $status: TicketStatus) { branch(id: $id) {
        tickets(first: 2, after: $after, status: $status) {
            edges { node { uuid reason } } pageInfo { hasNextPage endCursor }
    } } }"""
    seen: list[str] = []
    after, more = None, True
    while more:
        page = bank.ask(asked, id=day.branch, after=after)["branch"]["tickets"]
        seen += [edge["node"]["uuid"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert seen == tickets[::-1]
    (cancelled,) = bank.ask(asked, id=day.branch, status="CANCELLED")["branch"]["tickets"]["edges"]
    assert cancelled["node"] == {"uuid": tickets[1], "reason": "went home"}


def test_a_ticket_is_a_node_that_knows_who_waits(bank: Served, day: Day) -> None:
    customer = active_customer(bank)
    ticket = day.issue(1, customerId=customer)
    asked = (
        """query ($id: ID!) { branch(id: $id) { tickets(first: 1) { edges { node { id } } } } }"""
    )
    (edge,) = bank.ask(asked, id=day.branch)["branch"]["tickets"]["edges"]

    node = bank.ask(
        "query ($id: ID!) { node(id: $id) { ... on Ticket { uuid customer { uuid } } } }",
        id=edge["node"]["id"],
    )["node"]

    assert node == {"uuid": ticket, "customer": {"uuid": customer}}


def test_a_customer_shows_its_visits(bank: Served, day: Day) -> None:
    customer = active_customer(bank)
    tickets = [day.issue(n, customerId=customer) for n in (1, 2)]
    day.issue(3)
    asked = """query ($id: ID!) { customer(id: $id) { branchTickets(first: 5) {
        edges { node { uuid service branch { uuid } } }
    } } }"""

    edges = bank.ask(asked, id=customer)["customer"]["branchTickets"]["edges"]

    assert [edge["node"]["uuid"] for edge in edges] == tickets[::-1]
    assert {edge["node"]["branch"]["uuid"] for edge in edges} == {day.branch}


def test_branches_are_listed_and_closed(bank: Served, day: Day) -> None:
    day.issue(1)
    day.send("closeBranch", occurredAt=at(300))
    asked = """query ($after: String) { branches(first: 50, after: $after) {
        edges { node { uuid open today { cancelled } queues { length } } }
        pageInfo { hasNextPage endCursor }
    } }"""
    page = bank.ask(asked)["branches"]
    found = {edge["node"]["uuid"]: edge["node"] for edge in page["edges"]}[day.branch]
    assert (found["open"], found["today"]["cancelled"]) == (False, 1)
    assert [queue["length"] for queue in found["queues"]] == [0, 0]


def test_what_has_not_happened_yet_is_not_believed(bank: Served, day: Day) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    answer = bank.send("countVisitors", branchId=day.branch, entered=1, left=0, occurredAt=tomorrow)
    assert [issue["path"] for issue in answer["issues"]] == [["occurredAt"]]
