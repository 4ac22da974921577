"""Customers are found by what is personal, without anything of it standing anywhere, and by how
they stand."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

FIND = """
    query Find($filter: CustomerFilter!, $first: Int! = 100, $after: String) {
        customers(first: $first, after: $after, filter: $filter) {
            edges { node { id: uuid } } pageInfo { hasNextPage endCursor }
        }
    }
"""
DEADLINE = 20.0


def found(bank: Served, **filter: Any) -> list[str]:
    page = bank.ask(FIND, filter=filter)["customers"]
    return [edge["node"]["id"] for edge in page["edges"]]


def eventually(bank: Served, number: int, **filter: Any) -> list[str]:
    until = time.monotonic() + DEADLINE
    while len(ids := found(bank, **filter)) != number and time.monotonic() < until:
        time.sleep(0.02)
    return ids


def unheard_of() -> str:
    """A word that is in no other test's names."""
    return "".join(chr(ord("a") + int(digit, 16)) for digit in uuid4().hex)


@pytest.fixture(scope="module")
def word() -> str:
    return unheard_of()


@pytest.fixture(scope="module")
def customer(bank: Served, word: str) -> str:
    customer = active_customer(
        bank,
        f"Žofie {word} Nováková",
        email=f"{word}@example.org",
        phone="+420 601 123 456",
        nationalId=f"ID {word} 7",
    )
    assert eventually(bank, 1, name=word) == [customer]
    return customer


@pytest.mark.parametrize(
    "spelling", ["Žofie {} Nováková", "{}", "novakova {}", "  ZOFIE   {}", "NOVÁKOVÁ, {}"]
)
def test_a_name_is_found_by_its_words_in_any_spelling(
    bank: Served, customer: str, word: str, spelling: str
) -> None:
    assert found(bank, name=spelling.format(word)) == [customer]


@pytest.mark.parametrize("other", ["{} Svobodová", "Žof {}", "x{}"])
def test_a_word_that_is_not_of_the_name_finds_nobody(
    bank: Served, customer: str, word: str, other: str
) -> None:
    assert found(bank, name=other.format(word)) == []


def test_an_address_a_number_and_a_document_find_their_customer(
    bank: Served, customer: str, word: str
) -> None:
    assert found(bank, email=f" {word.upper()}@EXAMPLE.org") == [customer]
    assert customer in found(bank, phone="00420601123456".removeprefix("00"))
    assert found(bank, nationalId=f"id-{word}-7") == [customer]
    assert found(bank, nationalId=f"id-{word}-8") == []


def test_an_account_s_number_finds_its_owner(bank: Served, customer: str) -> None:
    opened = bank.send(
        "openAccount",
        "... on AccountChanged { account { iban } }",
        customerId=customer,
        product="CURRENT",
        currency="EUR",
        iban="CZ65 0800 0000 1920 0014 5399",
    )
    assert opened["account"]["iban"] == "CZ6508000000192000145399"
    assert eventually(bank, 1, iban="cz65 08000000192000145399") == [customer]


def test_who_has_changed_his_address_is_found_by_the_new_one_alone(bank: Served) -> None:
    word, new = unheard_of(), unheard_of()
    customer = active_customer(bank, word, email=f"{word}@example.org", phone="1")
    assert eventually(bank, 1, email=f"{word}@example.org") == [customer]
    bank.send("updateContact", customerId=customer, email=f"{new}@example.org")
    assert eventually(bank, 1, email=f"{new}@example.org") == [customer]
    assert found(bank, email=f"{word}@example.org") == []
    assert found(bank, name=word, phone="1") == [customer]


def test_all_of_it_must_be_so(bank: Served, customer: str, word: str) -> None:
    assert found(bank, name=word, segment="RETAIL", kind="PERSON", status="ACTIVE") == [customer]
    for other in ({"segment": "PRIVATE"}, {"kind": "BUSINESS"}, {"riskBand": "HIGH"}):
        assert found(bank, name=word, **other) == []


def test_customers_are_found_by_what_their_accounts_hold_together(bank: Served) -> None:
    word = unheard_of()
    customer = active_customer(bank, word)
    assert eventually(bank, 1, name=word) == [customer]
    for amount in ("70.00", "50.00"):
        account = open_account(bank, customer)
        sent = bank.send(
            "depositCash",
            "... on AccountChanged { account { version } }",
            accountId=account,
            amount=eur(amount),
        )
        assert sent["account"]

    def holding(**bounds: Any) -> list[str]:
        return found(bank, name=word, balance={"currency": "EUR", **bounds})

    assert holding(least="120.00", most="120.00") == [customer]
    assert holding(least="120") == [customer]
    assert holding(most="119.99") == []
    assert holding(least="120.01") == []
    assert found(bank, name=word, balance={"currency": "USD"}) == []


def test_many_of_one_name_are_paged(bank: Served) -> None:
    word = unheard_of()
    customers = {active_customer(bank, f"{word} {n}") for n in range(5)}
    assert set(eventually(bank, 5, name=word)) == customers
    after, pages = None, []
    while True:
        page = bank.ask(FIND, filter={"name": word}, first=2, after=after)["customers"]
        pages.append([edge["node"]["id"] for edge in page["edges"]])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {node for page in pages for node in page} == customers


@pytest.mark.parametrize("nothing", ["", "  ", "---"])
def test_what_says_nothing_finds_nobody(bank: Served, customer: str, nothing: str) -> None:
    assert found(bank, name=nothing) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b c d e f g h i"},
        {"balance": {"currency": "XXX"}},
        {"balance": {"currency": "EUR", "least": "1.001"}},
    ],
)
def test_what_cannot_be_looked_for_is_refused(bank: Served, wrong: dict[str, Any]) -> None:
    assert bank.errors(FIND, filter=wrong)[0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_nothing_of_what_is_found_by_stands_in_the_table(
    bank: Served, customer: str, word: str
) -> None:
    with psycopg.connect(bank.database) as connection:
        rows = connection.execute("SELECT t::text FROM ledgertwin.blind_indexes AS t").fetchall()
    table = "\n".join(row for (row,) in rows).casefold()
    assert len(rows) > 5
    assert not any(text in table for text in (word, word.encode().hex(), "nov", "601123456"))


def test_whoever_was_found_is_on_record(bank: Served, customer: str, word: str) -> None:
    name = f"Find{unheard_of()}"
    bank.ask(FIND.replace("query Find", f"query {name}"), filter={"name": word})
    document = """
        query ($id: ID!) { customer(id: $id) {
            personalDataReads(first: 5) { edges { node { operations fields } } } } }
    """
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        reads = bank.ask(document, id=customer)["customer"]["personalDataReads"]["edges"]
        if reads and reads[0]["node"]["operations"] == [name]:
            break
        time.sleep(0.02)
    assert reads[0]["node"] == {"operations": [name], "fields": ["name"]}
