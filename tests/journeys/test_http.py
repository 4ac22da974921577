"""A client's day, with a GraphQL library, against `ledgertwin serve` in a home of its own."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from gql import Client, gql
from gql.transport.httpx import HTTPXTransport

from tests.interfaces.cli.ledgertwin import Ledgertwin, free_port, wait_for

RECEIPT: Final = "receipt { commandId position replayed consistencyToken }"
ACCOUNT: Final = "account { id uuid balance { amount } available { amount } held { amount } }"
ERROR: Final = "... on CommandError { code message retryable }"
CHANGED: Final = {
    "customer": f"... on CustomerChanged {{ {RECEIPT} customer {{ id uuid status }} }}",
    "account": f"... on AccountChanged {{ {RECEIPT} {ACCOUNT} }}",
    "card": f"... on CardChanged {{ {RECEIPT} card {{ id uuid status last4 }} }}",
    "transfer": f"... on Transferred {{ {RECEIPT} fromAccount {{ balance {{ amount }} }} }}",
}
TWIN: Final = gql(
    """
    query Twin($id: ID!, $token: ConsistencyToken!) {
        customer(id: $id, consistency: { atLeast: $token, timeoutMs: 10000 }) {
            name
            status
            email
            accounts { account { uuid balance { amount currency } held { amount } } }
            cards { edges { node { last4 status account { uuid } } } }
            meta { position }
        }
    }
    """
)
STATEMENT: Final = gql(
    """
    query Statement($id: ID!, $after: String) {
        transactions(accountId: $id, first: 2, after: $after) {
            edges { node { kind amount { amount } balanceAfter { amount } position } }
            pageInfo { hasNextPage endCursor }
        }
    }
    """
)
ANSWER: Final = gql(
    """
    query Answer($id: UUID!) {
        command(id: $id) {
            __typename
            ... on Transferred { receipt { position replayed } }
            ... on InsufficientFunds { code available { amount } }
        }
    }
    """
)


class Teller:
    """Sends commands as a client of the library does."""

    def __init__(self, address: str) -> None:
        transport = HTTPXTransport(f"{address}/graphql", timeout=30)
        self.client = Client(transport=transport, fetch_schema_from_transport=True)

    def ask(self, query: Any, **variables: Any) -> dict[str, Any]:
        query.variable_values = variables
        answer: dict[str, Any] = self.client.execute(query)
        return answer

    def send(self, mutation: str, shown: str, **fields: Any) -> dict[str, Any]:
        query = gql(
            f"mutation ($input: {mutation[0].upper()}{mutation[1:]}Input!) {{"
            f" {mutation}(input: $input) {{ __typename {CHANGED[shown]} {ERROR} }} }}"
        )
        meta = {"commandId": fields.pop("command_id", None) or str(uuid4())}
        answer: dict[str, Any] = self.ask(query, input={"meta": meta, **fields})[mutation]
        return answer

    def statement(self, account: str) -> list[dict[str, Any]]:
        """All pages of it."""
        lines: list[dict[str, Any]] = []
        after = None
        while True:
            page = self.ask(STATEMENT, id=account, after=after)["transactions"]
            assert len(page["edges"]) <= 2
            lines += [edge["node"] for edge in page["edges"]]
            if not page["pageInfo"]["hasNextPage"]:
                return lines
            after = page["pageInfo"]["endCursor"]


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    bank = Ledgertwin(tmp_path_factory.mktemp("home"))
    with bank.started("serve", "--open", "--port", str(port)) as process:
        wait_for(lambda: _answers(address), seconds=60)
        yield Teller(address)
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/readyz").status_code == httpx.codes.OK
    return False


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def test_a_customer_s_first_day(teller: Teller) -> None:
    # A customer is registered, examined and approved.
    person = {"kind": "PERSON", "name": "Grace Hopper", "email": "grace@example.org"}
    registered = teller.send(
        "registerCustomer", "customer", country="CZ", taxResidence="CZ", **person
    )
    customer = registered["customer"]["uuid"]
    passport = {"docType": "PASSPORT", "issuerCountry": "CZ", "docHash": "ab" * 32}
    teller.send("submitKycEvidence", "customer", customerId=customer, maker="clerk", **passport)
    approval = {"tier": 2, "validUntil": "2099-12-31", "reviewer": "officer"}
    approved = teller.send("approveKyc", "customer", customerId=customer, **approval)
    assert approved["customer"]["status"] == "ACTIVE"

    # She gets two accounts and a card.
    current, savings = (
        teller.send("openAccount", "account", customerId=customer, product=product, currency="EUR")[
            "account"
        ]["uuid"]
        for product in ("CURRENT", "SAVINGS")
    )
    issued = teller.send(
        "issueCard",
        "card",
        accountId=current,
        customerId=customer,
        cardType="VIRTUAL",
        token="tok_1",  # noqa: S106
        brand="VISA",
        bin="411111",
        last4="1234",
        expiry={"year": 2099, "month": 1},
        activate=True,
    )
    assert issued["card"]["status"] == "ACTIVE"

    # Money comes in, some of it is saved, some is held for a payment and then taken.
    teller.send("depositCash", "account", accountId=current, amount=eur("100.00"))
    saving = {"fromAccountId": current, "toAccountId": savings, "amount": eur("30.00")}
    transfer_id = str(uuid4())
    saved = teller.send("transfer", "transfer", command_id=transfer_id, **saving)
    assert saved["fromAccount"]["balance"]["amount"] == "70.00"
    hold_id = str(uuid4())
    held = teller.send(
        "placeHold",
        "account",
        command_id=hold_id,
        accountId=current,
        amount=eur("20.00"),
        kind="PAYMENT",
    )
    assert (held["account"]["held"]["amount"], held["account"]["available"]["amount"]) == (
        "20.00",
        "50.00",
    )
    captured = teller.send(
        "captureHold", "account", accountId=current, holdId=hold_id, amount=eur("15.50")
    )
    assert captured["account"]["balance"]["amount"] == "54.50"

    # What she asks too much of is refused, and stays refused when the money is there.
    refused_id = str(uuid4())
    greedy = {"fromAccountId": savings, "toAccountId": current, "amount": eur("30.01")}
    refused = teller.send("transfer", "transfer", command_id=refused_id, **greedy)
    assert (refused["__typename"], refused["code"]) == ("InsufficientFunds", "INSUFFICIENT_FUNDS")
    paid = teller.send("depositCash", "account", accountId=savings, amount=eur("0.01"))
    again = teller.send("transfer", "transfer", command_id=refused_id, **greedy)
    assert again["code"] == "INSUFFICIENT_FUNDS"

    # An answer that was lost is found again, and a command sent again is done once.
    found = teller.ask(ANSWER, id=transfer_id)["command"]
    assert (found["__typename"], found["receipt"]["position"]) == (
        "Transferred",
        saved["receipt"]["position"],
    )
    repeated = teller.send("transfer", "transfer", command_id=transfer_id, **saving)
    assert (repeated["receipt"]["replayed"], repeated["receipt"]["position"]) == (
        True,
        saved["receipt"]["position"],
    )
    assert teller.ask(ANSWER, id=refused_id)["command"]["__typename"] == "InsufficientFunds"
    assert teller.ask(ANSWER, id=str(uuid4()))["command"] is None

    # Her twin shows all of it, at least as far as she has written.
    token = paid["receipt"]["consistencyToken"]
    twin = teller.ask(TWIN, id=customer, token=token)["customer"]
    assert int(twin["meta"]["position"]) >= int(paid["receipt"]["position"])
    assert (twin["name"], twin["email"], twin["status"]) == (
        "Grace Hopper",
        "grace@example.org",
        "ACTIVE",
    )
    balances = {a["account"]["uuid"]: a["account"]["balance"]["amount"] for a in twin["accounts"]}
    assert balances == {current: "54.50", savings: "30.01"}
    (card,) = [edge["node"] for edge in twin["cards"]["edges"]]
    assert (card["last4"], card["account"]["uuid"]) == ("1234", current)

    # Her statement comes page by page, the latest first, without a gap.
    lines = teller.statement(current)
    assert [(line["kind"], line["amount"]["amount"]) for line in lines] == [
        ("PAYMENT", "-15.50"),
        ("TRANSFER", "-30.00"),
        ("CASH", "100.00"),
    ]
    assert [line["balanceAfter"]["amount"] for line in lines] == ["54.50", "70.00", "100.00"]
