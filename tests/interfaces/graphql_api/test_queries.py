"""Queries over HTTP: pages, filters, personal fields, and how fresh all of it is."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from projections.asking import AskingConnection
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

PAGE = """
    query ($id: ID!, $first: Int!, $after: String, $filter: TransactionFilter) {
        transactions(accountId: $id, first: $first, after: $after, filter: $filter) {
            edges { cursor node { id kind amount { amount } bookingDate } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            meta { position asOf lagMs schemaVersion }
        }
    }
"""


NOBODY = "5d7a3c0e-4f0b-4d4e-9d57-0d1f4f1e6b01"


@pytest.fixture(scope="module")
def customer(bank: Served) -> str:
    return active_customer(bank, "Ada Lovelace", email="ada@example.org", birthDate="1815-12-10")


@pytest.fixture(scope="module")
def account(bank: Served, customer: str) -> str:
    """Nine movements: deposits of 1 to 7 euros, a withdrawal of 3 and a fee of 2."""
    account = open_account(bank, customer)
    for amount in range(1, 8):
        bank.send("depositCash", accountId=account, amount=eur(f"{amount}.00"))
    bank.send("withdrawCash", accountId=account, amount=eur("3.00"))
    bank.send(
        "chargeFee",
        "... on AccountChanged { account { version } }",
        accountId=account,
        amount=eur("2.00"),
        feeCode="MONTHLY",
    )
    return account


def page(bank: Served, account: str, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = bank.ask(PAGE, **{"id": account, "first": 100, **given})["transactions"]
    return found


def amounts(page: dict[str, Any]) -> list[str]:
    return [edge["node"]["amount"]["amount"] for edge in page["edges"]]


ALL = ["-2.00", "-3.00", "7.00", "6.00", "5.00", "4.00", "3.00", "2.00", "1.00"]


# --- pages ----------------------------------------------------------------------------------------


def test_movements_are_listed_newest_first(bank: Served, account: str) -> None:
    assert amounts(page(bank, account)) == ALL


@pytest.mark.parametrize("first", [1, 2, 4, 9])
def test_pages_one_after_the_other_are_the_whole_list(
    bank: Served, account: str, first: int
) -> None:
    found, after, more = [], None, True
    while more:
        part = page(bank, account, first=first, after=after)
        found += amounts(part)
        after, more = part["pageInfo"]["endCursor"], part["pageInfo"]["hasNextPage"]
    assert found == ALL


def test_what_is_added_meanwhile_neither_repeats_nor_hides_anything(
    bank: Served, customer: str
) -> None:
    account = open_account(bank, customer)
    for _ in range(2):
        bank.send("depositCash", accountId=account, amount=eur("1.00"))
    read = "... on AccountChanged { account { version } }"
    bank.send("depositCash", read, accountId=account, amount=eur("2.00"))
    top = page(bank, account, first=2)
    bank.send("depositCash", read, accountId=account, amount=eur("3.00"))
    rest = page(bank, account, first=2, after=top["pageInfo"]["endCursor"])
    assert amounts(top) + amounts(rest) == ["2.00", "1.00", "1.00"]


def test_a_page_knows_where_it_stands(bank: Served, account: str) -> None:
    top = page(bank, account, first=5)["pageInfo"]
    last = page(bank, account, first=5, after=top["endCursor"])["pageInfo"]
    assert (top["hasPreviousPage"], top["hasNextPage"]) == (False, True)
    assert (last["hasPreviousPage"], last["hasNextPage"]) == (True, False)


def test_a_changed_cursor_is_refused(bank: Served, account: str) -> None:
    cursor = page(bank, account, first=1)["pageInfo"]["endCursor"]
    flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    (error,) = bank.errors(PAGE, id=account, first=1, after=flipped)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize("cursor", ["", "x", "YWNjb3VudDox", "\u00e9", "=", "AAAA" * 20])
def test_what_is_no_cursor_is_refused(bank: Served, account: str, cursor: str) -> None:
    (error,) = bank.errors(PAGE, id=account, first=1, after=cursor)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


def test_a_cursor_of_another_account_is_refused(bank: Served, customer: str, account: str) -> None:
    cursor = page(bank, account, first=1)["pageInfo"]["endCursor"]
    other = open_account(bank, customer)
    bank.send("depositCash", "... on AccountChanged { note }", accountId=other, amount=eur("1.00"))
    (error,) = bank.errors(PAGE, id=other, first=1, after=cursor)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize("first", [0, -1, 101])
def test_a_page_has_one_to_a_hundred_rows(bank: Served, account: str, first: int) -> None:
    (error,) = bank.errors(PAGE, id=account, first=first)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_list_at_the_root_needs_a_size(bank: Served) -> None:
    (error,) = bank.errors("{ customers { pageInfo { hasNextPage } } }")
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize("root", ["customers", "accounts"])
def test_all_customers_and_accounts_can_be_walked(bank: Served, account: str, root: str) -> None:
    for _ in range(2):
        open_account(bank, active_customer(bank))
    document = f"""
        query ($after: String) {{
            {root}(first: 2, after: $after) {{
                edges {{ node {{ uuid }} }} pageInfo {{ hasNextPage endCursor }}
            }}
        }}
    """
    found: list[str] = []
    after, more = None, True
    while more:
        part = bank.ask(document, after=after)[root]
        found += [edge["node"]["uuid"] for edge in part["edges"]]
        after, more = part["pageInfo"]["endCursor"], part["pageInfo"]["hasNextPage"]
    assert len(found) == len(set(found)) > 2
    assert found == sorted(found)


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"kinds": ["FEE"]}, ["-2.00"]),
        ({"kinds": ["FEE", "CASH"], "minAmount": "5"}, ["7.00", "6.00", "5.00"]),
        ({"kinds": ["TRANSFER"]}, []),
        ({"minAmount": "2.00", "maxAmount": "3.00"}, ["-2.00", "-3.00", "3.00", "2.00"]),
        ({"maxAmount": "0.99"}, []),
        ({"from": "1999-01-01", "to": "1999-12-31"}, []),
        ({"from": "1999-01-01"}, ALL),
        ({"to": "2999-01-01"}, ALL),
        ({}, ALL),
    ],
)
def test_movements_are_filtered(
    bank: Served, account: str, filter: dict[str, Any], expected: list[str]
) -> None:
    assert amounts(page(bank, account, filter=filter)) == expected


def test_a_filtered_list_is_paged_as_well(bank: Served, account: str) -> None:
    large = {"minAmount": "5"}
    top = page(bank, account, first=2, filter=large)
    rest = page(bank, account, first=2, after=top["pageInfo"]["endCursor"], filter=large)
    assert amounts(top) + amounts(rest) == ["7.00", "6.00", "5.00"]


@pytest.mark.parametrize("amount", ["1.001", "x", "NaN"])
def test_a_filter_by_what_is_no_amount_is_refused(bank: Served, account: str, amount: str) -> None:
    (error,) = bank.errors(PAGE, id=account, first=1, filter={"minAmount": amount})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


# --- nodes ----------------------------------------------------------------------------------------


def test_everything_with_a_global_id_is_found_by_it(
    bank: Served, customer: str, account: str
) -> None:
    ids = [
        bank.ask("query ($id: ID!) { customer(id: $id) { id } }", id=customer)["customer"]["id"],
        bank.ask("query ($id: ID!) { account(id: $id) { id } }", id=account)["account"]["id"],
        page(bank, account, first=1)["edges"][0]["node"]["id"],
    ]
    found = bank.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)
    assert found["nodes"] == [
        {"__typename": "Customer", "id": ids[0]},
        {"__typename": "Account", "id": ids[1]},
        {"__typename": "Transaction", "id": ids[2]},
    ]


@pytest.mark.parametrize(
    "key",
    [f"Account:{NOBODY}", "Account:x", f"Transaction:{NOBODY}:1", "Transaction:1", "Card:"],
)
def test_a_node_that_does_not_exist_is_null(bank: Served, key: str) -> None:
    node = base64.urlsafe_b64encode(key.encode()).decode()
    assert bank.ask("query ($id: ID!) { node(id: $id) { id } }", id=node) == {"node": None}


@pytest.mark.parametrize("id", ["", "x", "!!", "Tm9wZTox", NOBODY])
def test_what_is_no_global_id_is_refused(bank: Served, id: str) -> None:
    (error,) = bank.errors("query ($id: ID!) { node(id: $id) { id } }", id=id)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("root", ["customer", "account", "card"])
def test_what_nobody_knows_is_null(bank: Served, root: str) -> None:
    document = f"query ($id: ID!) {{ {root}(id: $id) {{ id }} }}"
    assert bank.ask(document, id=str(uuid4())) == {root: None}


def test_the_movements_of_an_account_that_nobody_knows_are_null(bank: Served) -> None:
    assert bank.ask(PAGE, id=str(uuid4()), first=1) == {"transactions": None}


# --- personal fields ------------------------------------------------------------------------------


def test_personal_fields_are_shown_in_clear(bank: Served, customer: str) -> None:
    found = bank.ask(
        "query ($id: ID!) { customer(id: $id) { name email birthDate phone } }", id=customer
    )
    assert found["customer"] == {
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "birthDate": "1815-12-10",
        "phone": None,
    }


def test_a_changed_field_is_shown_as_it_is_now(bank: Served) -> None:
    customer = active_customer(bank, email="old@example.org", phone="1")
    changed = bank.send(
        "updateContact",
        "... on CustomerChanged { customer { email phone } }",
        customerId=customer,
        email="new@example.org",
    )
    assert changed["customer"] == {"email": "new@example.org", "phone": "1"}


# --- freshness ------------------------------------------------------------------------------------


def test_a_read_says_how_fresh_it_is(bank: Served, account: str) -> None:
    meta = page(bank, account, first=1)["meta"]
    assert int(meta["position"]) > 0
    assert meta["asOf"].endswith("Z")
    assert meta["lagMs"] >= 0


def test_a_read_that_waits_sees_the_write(bank: Served, account: str, customer: str) -> None:
    account = open_account(bank, customer)
    document = """
        query ($id: ID!, $token: ConsistencyToken!) {
            account(id: $id, consistency: { atLeast: $token, timeoutMs: 5000 }) {
                balance { amount } meta { position }
            }
        }
    """
    for deposited in range(1, 6):
        sent = bank.send(
            "depositCash",
            "... on AccountChanged { receipt { position consistencyToken } }",
            accountId=account,
            amount=eur("1.00"),
        )
        token = sent["receipt"]["consistencyToken"]
        found = bank.ask(document, id=account, token=token)["account"]
        assert found["balance"]["amount"] == f"{deposited}.00"
        assert int(found["meta"]["position"]) >= int(sent["receipt"]["position"])


def test_all_fields_at_the_root_are_of_the_moment_that_one_waits_for(
    bank: Served, customer: str
) -> None:
    account = open_account(bank, customer)
    sent = bank.send(
        "depositCash",
        "... on AccountChanged { receipt { consistencyToken } }",
        accountId=account,
        amount=eur("1.00"),
    )
    document = """
        query ($id: ID!, $token: ConsistencyToken!) {
            before: account(id: $id) { balance { amount } meta { position } }
            waiting: account(id: $id, consistency: { atLeast: $token, timeoutMs: 5000 }) {
                balance { amount } meta { position }
            }
            after: account(id: $id) { balance { amount } meta { position } }
        }
    """
    found = bank.ask(document, id=account, token=sent["receipt"]["consistencyToken"])
    assert found["before"] == found["waiting"] == found["after"]
    assert found["before"]["balance"]["amount"] == "1.00"


def test_a_token_that_the_bank_never_gave_out_is_refused(bank: Served, account: str) -> None:
    document = (
        "query ($id: ID!, $token: ConsistencyToken!)"
        " { account(id: $id, consistency: { atLeast: $token }) { id } }"
    )
    cursor = page(bank, account, first=1)["pageInfo"]["endCursor"]
    for token in ("1", cursor):
        (error,) = bank.errors(document, id=account, token=token)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


# --- the trial balance ----------------------------------------------------------------------------


def test_the_books_are_right(bank: Served, account: str) -> None:
    found = bank.ask(
        """{
            trialBalance {
                proven position
                lines { code currency debit { amount } credit { amount } }
                currencies { currency balanced reconciled debit { amount } credit { amount } }
            }
        }"""
    )["trialBalance"]
    (proof,) = found["currencies"]
    assert found["proven"]
    assert (proof["currency"], proof["balanced"], proof["reconciled"]) == ("EUR", True, True)
    assert proof["debit"] == proof["credit"]


# --- how much it costs ----------------------------------------------------------------------------

TWINS = """
    query ($ids: [ID!]!) {
        nodes(ids: $ids) { ... on Customer {
            name email birthDate
            accounts { account {
                balance { amount } owner { name } holders { customer { email } }
                transactions(first: 3) { edges { node { amount { amount } } } }
            } }
            cards(first: 3) { edges { node { last4 account { balance { amount } } } } }
        } }
    }
"""


def test_many_customers_cost_as_many_queries_as_one(bank: Served) -> None:
    ids = []
    for name in ("Bob", "Cyril", "Dora"):
        customer = active_customer(bank, name, email=f"{name}@example.org", birthDate="2000-01-01")
        for _ in range(2):
            account = open_account(bank, customer, deposit="1.00")
            card = bank.send(
                "issueCard",
                "... on CardChanged { card { customer { id } } }",
                accountId=account,
                customerId=customer,
                cardType="VIRTUAL",
                token="tok",  # noqa: S106 -- it stands for a number, and opens nothing
                brand="VISA",
                bin="400000",
                last4="0002",
                expiry={"year": 2060, "month": 1},
            )
        ids.append(card["card"]["customer"]["id"])
    bank.ask(TWINS, ids=ids)  # what is prepared once is prepared by now
    with counted() as one:
        bank.ask(TWINS, ids=ids[:1])
    with counted() as many:
        found = bank.ask(TWINS, ids=ids)["nodes"]
    assert [twin["name"] for twin in found] == ["Bob", "Cyril", "Dora"]
    assert [len(twin["cards"]["edges"]) for twin in found] == [2, 2, 2]
    assert sum("vault_values" in statement for statement in many) == 1
    assert len(many) == len(one), "\n".join(many)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that reads send to the database meanwhile."""
    found: list[str] = []
    put = AskingConnection.put

    def putting(self: Any, question: bytes, parameters: Any = ()) -> Any:
        if question != b"ROLLBACK":  # of an earlier request, whose transaction lingered
            found.append(question.decode())
        return put(self, question, parameters)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AskingConnection, "put", putting)
        yield found
