"""A log that older code began: what it says in plain text is shown beside what is sealed today."""

import json
from uuid import UUID, uuid4

import pytest

from application.commands import CommandAccepted
from application.event_log import Append, open_log
from application.record import GENESIS, Record, envelope, record_hash
from interfaces.system import bank_codec
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

CODEC = bank_codec()
STATEMENT = """
    query ($id: ID!) { account(id: $id) { transactions(first: 5) { edges {
        EDGE { type counterparty reference amount { amount } }
    } } } }
"""
TIMELINE = """
    query ($id: ID!, $types: [String!]) { customer(id: $id) {
        timeline(first: 9, types: $types) { edges { node { type data } } }
    } }
"""
SHOWN = "... on AccountChanged { account { version } }"


def credited_by_older_code(url: str, account: UUID) -> None:
    """Five euros, as they were recorded before what is said of a movement was sealed."""
    log = open_log(CODEC, url=url)
    by, at = uuid4(), "2024-03-01T12:00:00.000000+00:00"
    last = log.stream(account)[-1]
    money = {"minor": 5_00, "currency": "EUR"}
    data = {
        "movement_id": str(by),
        "kind": "PAYMENT",
        "amount": money,
        "booking_date": "2024-03-01",
        "value_date": "2024-03-01",
        "postings": [{"gl": "1020", "side": "D", **money}, {"gl": "2010", "side": "C", **money}],
        "balance_after": money,
        "counterparty": "Fairview Homes",
        "reference": "deposit returned",
    }
    prev = record_hash(account, last.version, last.topic, last.state)
    state = envelope(at=at, by=str(by), data=json.dumps(data).encode(), prev=prev)
    moved = Record(account, last.version + 1, "account.credited.v1", state)
    accepted = CommandAccepted(
        actor="clerk", command="account.credit", fingerprint="", wrote=((account, moved.version),)
    )
    topic, said = CODEC.encode(accepted)
    own = Record(by, 1, topic, envelope(at=at, by=str(by), data=said, prev=GENESIS))
    with log.session() as session:
        session.append(Append([moved, own]))
    log.close()


@pytest.fixture
def account(bank: Served) -> tuple[str, str]:
    """A customer, and an account of his on which money came in before and after."""
    customer = active_customer(bank)
    account = open_account(bank, customer)
    credited_by_older_code(bank.database, UUID(account))
    said = {"counterparty": "City Works", "reference": "refund"}
    paid = {"amount": eur("3.00"), "kind": "PAYMENT", **said}
    sent = bank.send("creditAccount", SHOWN, accountId=account, **paid)
    assert sent["account"]["version"] == 4, sent
    return customer, account


@pytest.mark.parametrize("edge", ["node", "cursor node"], ids=["written", "made"])
def test_both_are_shown_alike(bank: Served, account: tuple[str, str], edge: str) -> None:
    _, id_ = account
    found = bank.ask(STATEMENT.replace("EDGE", edge), id=id_)["account"]["transactions"]["edges"]
    newer, older = (edge["node"] for edge in found)
    assert older == {
        "type": "account.credited.v2",  # as it is read today
        "counterparty": "Fairview Homes",
        "reference": "deposit returned",
        "amount": {"amount": "5.00"},
    }
    assert (newer["type"], newer["counterparty"]) == ("account.credited.v2", "City Works")


@pytest.mark.parametrize("name", ["account.credited.v1", "account.credited.v2"])
def test_whoever_asks_for_either_name_is_shown_both(
    bank: Served, account: tuple[str, str], name: str
) -> None:
    customer, _ = account
    found = bank.ask(TIMELINE, id=customer, types=[name])["customer"]["timeline"]["edges"]
    newer, older = (edge["node"]["data"] for edge in found)
    assert (newer["counterparty"], newer["reference"]) == ("City Works", "refund")
    assert (older["plain_counterparty"], older["plain_reference"]) == (
        "Fairview Homes",
        "deposit returned",
    )
