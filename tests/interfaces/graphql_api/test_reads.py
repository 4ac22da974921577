"""Who was shown personal data is on record before he is, for those who govern to see."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from interfaces.graphql_api.ids import global_id
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

NODE = "edges { node { reader client purpose operations fields shown customerId } }"
READS = f"query ($id: ID!) {{ customer(id: $id) {{ personalDataReads(first: 10) {{ {NODE} }} }} }}"
DEADLINE = 20.0


def reads(bank: Served, customer: str) -> list[dict[str, Any]]:
    page = bank.ask(READS, id=customer)["customer"]["personalDataReads"]
    return [edge["node"] for edge in page["edges"]]


def eventually(found: Callable[[], list[Any]], number: int) -> list[Any]:
    """What is found once there is so much; read models follow the log."""
    until = time.monotonic() + DEADLINE
    while len(now := found()) < number and time.monotonic() < until:
        time.sleep(0.02)
    return now


@pytest.fixture
def customer(bank: Served) -> str:
    return active_customer(bank, "Ada Lovelace", email="ada@example.org")


def test_a_named_query_is_recorded_with_the_fields_that_it_showed(
    bank: Served, customer: str
) -> None:
    bank.ask("query Complaint($id: ID!) { customer(id: $id) { name email phone } }", id=customer)
    assert eventually(lambda: reads(bank, customer), 1) == [
        {
            "reader": "anonymous",
            "client": "anonymous",
            "purpose": None,
            "operations": ["Complaint"],
            "fields": ["email", "name"],  # a phone number was never given, so none was shown
            "shown": "CLEAR",
            "customerId": global_id("Customer", UUID(customer)),
        }
    ]


def test_a_query_without_a_name_is_called_by_what_it_asks_for(bank: Served, customer: str) -> None:
    bank.ask("query ($id: ID!) { x: customer(id: $id) { name } }", id=customer)
    assert eventually(lambda: reads(bank, customer), 1)[0]["operations"] == ["customer"]


def test_what_is_not_personal_leaves_no_record(bank: Served, customer: str) -> None:
    bank.ask("query ($id: ID!) { customer(id: $id) { status accounts { role } } }", id=customer)
    bank.ask("query Later($id: ID!) { customer(id: $id) { name } }", id=customer)
    assert [r["operations"] for r in eventually(lambda: reads(bank, customer), 1)] == [["Later"]]


def test_what_the_executor_answers_is_recorded_as_well(bank: Served, customer: str) -> None:
    """A document of which one part fails is answered without a compiled plan."""
    document = """
        query Partly($id: ID!) {
            customer(id: $id) { email }
            nothing: customer(id: "no id") { id }
        }
    """
    answer = bank.post(document, id=customer)
    assert answer["errors"]
    assert answer["data"]["customer"]["email"] == "ada@example.org"
    assert eventually(lambda: reads(bank, customer), 1)[0]["operations"] == ["Partly"]


@pytest.mark.parametrize("edge", ["node", "cursor node"], ids=["written", "made"])
def test_what_movements_say_is_recorded_however_their_page_is_put_together(
    bank: Served, customer: str, edge: str
) -> None:
    account = open_account(bank, customer)
    paid = {"amount": eur("5.00"), "kind": "PAYMENT", "counterparty": "Fairview Homes"}
    shown = "... on AccountChanged { account { version } }"
    bank.send("creditAccount", shown, accountId=account, reference="rent", **paid)
    document = f"""query Statement($id: ID!) {{ account(id: $id) {{
        transactions(first: 5) {{ edges {{ {edge} {{ counterparty reference }} }} }}
    }} }}"""

    (movement,) = bank.ask(document, id=account)["account"]["transactions"]["edges"]

    assert movement["node"] == {"counterparty": "Fairview Homes", "reference": "rent"}
    (read,) = eventually(lambda: reads(bank, customer), 1)
    assert (read["operations"], read["fields"]) == (["Statement"], ["counterparty", "reference"])


def test_everybody_on_a_page_is_on_record_and_can_be_paged_by_who_read(
    bank: Served, customer: str
) -> None:
    name = f"Page{uuid4().hex}"
    document = f"query {name} {{ customers(first: 100) {{ edges {{ node {{ id name }} }} }} }}"
    shown = {e["node"]["id"] for e in bank.ask(document)["customers"]["edges"] if e["node"]["name"]}

    def found() -> list[dict[str, Any]]:
        after, nodes = None, []
        while True:
            page = bank.ask(
                "query ($after: String) { personalDataReads("
                f'reader: "anonymous", first: 7, after: $after) {{ {NODE} '
                "pageInfo { hasNextPage endCursor } } }",
                after=after,
            )["personalDataReads"]
            nodes += [edge["node"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return [node for node in nodes if node["operations"] == [name]]

    assert {node["customerId"] for node in eventually(found, len(shown))} == shown


def test_nobody_reads_of_more_than_a_hundred_without_being_noticed(bank: Served) -> None:
    for n in range(101):
        sent = bank.send(
            "registerCustomer",
            "... on CustomerChanged { receipt { position } }",
            kind="PERSON",
            name=f"Person {n}",
            country="CZ",
            taxResidence="CZ",
        )
        assert sent["receipt"]

    def noticed() -> list[dict[str, Any]]:
        page = bank.ask("{ unusualReadings(first: 1) { edges { node { reader customers } } } }")
        return [edge["node"] for edge in page["unusualReadings"]["edges"]]

    after = None
    for _ in range(2):
        page = bank.ask(
            "query ($after: String) { customers(first: 100, after: $after)"
            " { edges { node { name } } pageInfo { endCursor } } }",
            after=after,
        )["customers"]
        after = page["pageInfo"]["endCursor"]
    unusual = eventually(noticed, 1)[0]
    assert unusual["reader"] == "anonymous"
    assert unusual["customers"] > 100
