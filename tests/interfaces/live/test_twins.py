"""What is told of customers, branches and alerts, over real sockets."""

from typing import Any
from uuid import uuid4

import pytest

from application.event_log import open_log
from interfaces.access.caller import Scope
from interfaces.system import bank_codec
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account
from tests.interfaces.graphql_api.test_authorizations import NOON, RULES, authorize, issued
from tests.interfaces.graphql_api.test_branches import Day, at
from tests.interfaces.live.listening import Socket, listening, positions

CUSTOMER = """
subscription Followed($id: ID!, $after: Position) {
  customerChanged(id: $id, after: $after) {
    position
    changes { path before after event { type actor } }
    customer { uuid name version accounts { account { balance { amount } } } }
  }
}
"""


def head(bank: Served) -> int:
    """The position of the last record: of what this test has written, nothing comes after it."""
    log = open_log(bank_codec(), url=bank.database)
    try:
        return log.head()
    finally:
        log.close()


def followed(socket: Socket, customer: str, after: int) -> None:
    socket.subscribe("1", CUSTOMER, id=customer, after=str(after))


def update(socket: Socket) -> dict[str, Any]:
    told: dict[str, Any] = socket.next()["data"]["customerChanged"]
    return told


def changes(told: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["path"]: (change["before"], change["after"]) for change in told["changes"]}


def test_a_customer_s_twin_changes_with_the_accounts(bank: Served) -> None:
    customer = active_customer(bank)
    account = open_account(bank, customer, deposit="10.00")
    with listening(bank.address) as socket:
        followed(socket, customer, head(bank))
        bank.send("depositCash", accountId=account, amount=eur("2.50"))
        told = update(socket)
    balance = f"/accounts/{account}/ledger"
    assert changes(told)[balance] == ("10.00", "12.50")
    assert told["changes"][0]["event"] == {
        "type": "account.cash_deposited.v1",
        "actor": "anonymous",
    }


def test_the_customer_is_told_as_it_is_then(bank: Served) -> None:
    customer = active_customer(bank, "Ada Lovelace")
    after = head(bank)
    with listening(bank.address) as socket:
        bank.send("updateContact", customerId=customer, email="ada@example.org")
        bank.send("updateContact", customerId=customer, email="ada@example.com")
        followed(socket, customer, after)
        first, second = update(socket), update(socket)
    assert first["customer"]["version"] + 1 == second["customer"]["version"]
    assert changes(first)["/email"] == (None, "ada@example.org")
    assert changes(second)["/email"] == ("ada@example.org", "ada@example.com")


def test_what_happens_on_an_account_that_is_opened_later_is_told(bank: Served) -> None:
    customer = active_customer(bank)
    with listening(bank.address) as socket:
        followed(socket, customer, head(bank))
        account = open_account(bank, customer, deposit="1.00")
        told = [update(socket)]
        while f"/accounts/{account}/ledger" not in changes(told[-1]):
            told.append(update(socket))
        while changes(told[-1]).get(f"/accounts/{account}/ledger", (None, None))[1] != "1.00":
            told.append(update(socket))
    places = [int(each["position"]) for each in told]
    assert places == sorted(set(places))


def test_what_happens_to_others_is_not_told(bank: Served) -> None:
    customer, other = active_customer(bank), active_customer(bank)
    account = open_account(bank, other, deposit="10.00")
    with listening(bank.address) as socket:
        followed(socket, customer, head(bank))
        bank.send("depositCash", accountId=account, amount=eur("2.50"))
        bank.send("updateContact", customerId=customer, phone="+420123456789")
        told = update(socket)
    assert list(changes(told)) == ["/phone"]


def test_who_comes_again_is_told_the_rest_and_nothing_twice(bank: Served) -> None:
    customer = active_customer(bank)
    account = open_account(bank, customer)
    after = head(bank)
    for _ in range(4):
        bank.send("depositCash", accountId=account, amount=eur("1.00"))
    with listening(bank.address) as socket:
        followed(socket, customer, after)
        first = [update(socket) for _ in range(4)]
    with listening(bank.address) as socket:
        followed(socket, customer, int(first[1]["position"]))
        rest = [update(socket) for _ in range(2)]
    assert [each["position"] for each in rest] == [each["position"] for each in first[2:]]
    assert [each["changes"] for each in rest] == [each["changes"] for each in first[2:]]


def test_a_customer_that_is_not_there_cannot_be_followed(bank: Served) -> None:
    with listening(bank.address) as socket:
        followed(socket, str(uuid4()), 0)
        refused = socket.hear()
    assert refused["payload"][0]["message"] == "there is no customer of that id"


# --- who sees what --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(guarded: Guarded) -> Served:
    return guarded.as_somebody_with(Scope.READ, Scope.WRITE, Scope.PERSONAL_CLEAR)


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        ((Scope.READ,), None),
        ((Scope.READ, Scope.PERSONAL_MASKED), "g***@e***.org"),
        ((Scope.READ, Scope.PERSONAL_CLEAR), "grace@example.org"),
    ],
    ids=["nothing", "masked", "clear"],
)
def test_each_is_told_what_he_may_see(
    guarded: Guarded, ours: Served, scopes: tuple[Scope, ...], seen: str | None
) -> None:
    customer = active_customer(ours, "Grace Hopper")
    after = head(ours)
    token = {"authorization": f"Bearer {guarded.token(*scopes)}"}
    with listening(guarded.bank.address, token) as socket:
        followed(socket, customer, after)
        ours.send("updateContact", customerId=customer, email="grace@example.org")
        told = update(socket)
    assert changes(told)["/email"] == (None, seen)


READS = """
query ($id: ID!, $token: ConsistencyToken!) {
  customer(id: $id, consistency: { atLeast: $token, timeoutMs: 9000 }) {
    personalDataReads(first: 20) { edges { node { reader purpose operations } } }
  }
}
"""


def reads_of(guarded: Guarded, customer: str, token: str) -> list[dict[str, Any]]:
    """Who has read of a customer, as those who govern are told."""
    found = guarded.as_somebody_with(Scope.READ, Scope.ADMIN).ask(READS, id=customer, token=token)
    edges = found["customer"]["personalDataReads"]["edges"]
    return [edge["node"] for edge in edges]


def test_everybody_who_is_told_is_on_record(guarded: Guarded, ours: Served) -> None:
    customer = active_customer(ours, "Grace Hopper")
    after = head(ours)
    readers = [f"reader {uuid4()}" for _ in range(2)]
    for reader in readers:
        token = guarded.token(Scope.READ, Scope.PERSONAL_CLEAR, subject=reader)
        said = {"authorization": f"Bearer {token}", "x-purpose": "a complaint"}
        with listening(guarded.bank.address, said) as socket:
            followed(socket, customer, after)
            ours.send("updateContact", customerId=customer, email="grace@example.org")
            update(socket)
    written = ours.send(
        "updateContact",
        "... on CustomerChanged { receipt { consistencyToken } }",
        customerId=customer,
        phone="+420123456789",
    )
    found = reads_of(guarded, customer, written["receipt"]["consistencyToken"])
    told = {read["reader"]: read["purpose"] for read in found if "Followed" in read["operations"]}
    assert told == dict.fromkeys(readers, "a complaint")


# --- branches and alerts --------------------------------------------------------------------------

BRANCH = """
subscription ($id: ID!, $after: Position) {
  branchChanged(id: $id, after: $after) {
    position version queues { service length } tickets(first: 5) { edges { node { status } } }
  }
}
"""


def test_a_branch_is_told_as_it_is_after_each_thing_that_happens(bank: Served) -> None:
    day = Day(bank)
    after = head(bank)
    day.issue(1)
    day.issue(2)
    day.send("callNextTicket", counter="1", occurredAt=at(3))
    with listening(bank.address) as socket:
        socket.subscribe("1", BRANCH, id=day.branch, after=str(after))
        told = [socket.next()["data"]["branchChanged"] for _ in range(3)]
    lengths = [each["queues"][0]["length"] for each in told]
    assert lengths == [1, 2, 1]
    assert [each["version"] for each in told] == [told[0]["version"] + n for n in range(3)]


def test_a_branch_that_is_followed_from_now_on_begins_where_it_stands(bank: Served) -> None:
    day = Day(bank)
    day.issue(1)
    with listening(bank.address) as socket:
        socket.subscribe("1", BRANCH, id=day.branch, after=str(head(bank)))
        day.issue(2)
        told = socket.next()["data"]["branchChanged"]
    assert told["queues"][0]["length"] == 2


ALERTS = """
subscription ($least: AlertSeverity!, $after: Position) {
  fraudAlertRaised(minSeverity: $least, after: $after) {
    uuid severity status position customer { uuid }
  }
}
"""


@pytest.fixture(scope="module")
def card(bank: Served) -> str:
    rules = [{**rule, "owner": "risk"} for rule in RULES]
    bank.send("publishRules", rules=rules, publisher="officer")
    customer = active_customer(bank, "Ada Spender")
    return issued(bank, customer, open_account(bank, customer, deposit="1000.00"))


@pytest.mark.parametrize(
    ("least", "severities"), [("MEDIUM", ["MEDIUM", "HIGH"]), ("HIGH", ["HIGH"])]
)
def test_alerts_are_told_by_how_urgent_they_are(
    bank: Served, card: str, least: str, severities: list[str]
) -> None:
    after = head(bank)
    with listening(bank.address) as socket:
        socket.subscribe("1", ALERTS, least=least, after=str(after))
        for amount in ("1.00", "85.00", "92.00"):
            authorize(bank, card, amount)
        told = [socket.next()["data"]["fraudAlertRaised"] for _ in severities]
    assert [(each["severity"], each["status"]) for each in told] == [
        (severity, "OPEN") for severity in severities
    ]


def test_an_alert_is_told_as_it_was_raised_to_who_comes_later(bank: Served, card: str) -> None:
    after = head(bank)
    raised = authorize(bank, card, "92.00")
    with listening(bank.address) as socket:
        socket.subscribe("1", ALERTS, least="HIGH", after=str(after))
        first = socket.next()
    alert = first["data"]["fraudAlertRaised"]["uuid"]
    bank.send("dismissAlert", alertId=alert, analyst="ann", at=NOON)
    with listening(bank.address) as socket:
        socket.subscribe("1", ALERTS, least="HIGH", after=str(after))
        assert socket.next() == first
    assert positions(first) <= int(raised["receipt"]["position"])
