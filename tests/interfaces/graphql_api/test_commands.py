"""Commands over HTTP: what they answer when they are obeyed, refused, repeated or malformed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

RECEIPT = "receipt { commandId position version replayed consistencyToken events { version } }"
CHANGED = f"... on AccountChanged {{ {RECEIPT} account {{ uuid version balance {{ amount }} }} }}"


@pytest.fixture(scope="module")
def customer(bank: Served) -> str:
    return active_customer(bank)


@pytest.fixture
def account(bank: Served, customer: str) -> str:
    """An open account with 100 euros."""
    return open_account(bank, customer, deposit="100.00")


def balance(bank: Served, account: str) -> str:
    found = bank.ask(
        "query ($id: ID!) { account(id: $id) { balance { amount currency } } }", id=account
    )
    amount: str = found["account"]["balance"]["amount"]
    return amount


def test_a_success_shows_the_account_with_what_the_command_changed(
    bank: Served, account: str
) -> None:
    answer = bank.send("depositCash", CHANGED, accountId=account, amount=eur("12.30"))
    assert answer["account"]["balance"] == {"amount": "112.30"}
    assert answer["account"]["version"] == answer["receipt"]["version"]


def test_an_id_that_the_client_leaves_out_is_derived_and_returned(
    bank: Served, customer: str
) -> None:
    meta = {"commandId": str(uuid4())}
    opening = {"meta": meta, "customerId": customer, "product": "CURRENT", "currency": "EUR"}
    first = bank.send("openAccount", CHANGED, **opening)
    again = bank.send("openAccount", CHANGED, **opening)
    assert first["account"]["uuid"] == again["account"]["uuid"]
    assert (first["receipt"]["replayed"], again["receipt"]["replayed"]) == (False, True)


def test_the_same_command_sent_again_takes_effect_once(bank: Served, account: str) -> None:
    deposit = {"meta": {"commandId": str(uuid4())}, "accountId": account, "amount": eur("1.00")}
    answers = [bank.send("depositCash", CHANGED, **deposit) for _ in range(3)]
    assert [a["receipt"]["replayed"] for a in answers] == [False, True, True]
    assert len({a["receipt"]["position"] for a in answers}) == 1
    assert balance(bank, account) == "101.00"


def test_the_same_command_sent_many_times_at_once_takes_effect_once(
    bank: Served, account: str
) -> None:
    deposit = {"meta": {"commandId": str(uuid4())}, "accountId": account, "amount": eur("1.00")}
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: bank.send("depositCash", CHANGED, **deposit), range(16))
        )
    assert {a["__typename"] for a in answers} == {"AccountChanged"}
    assert sum(not a["receipt"]["replayed"] for a in answers) == 1
    assert balance(bank, account) == "101.00"


def test_an_id_used_for_something_else_is_refused(bank: Served, account: str) -> None:
    meta = {"commandId": str(uuid4())}
    bank.send("depositCash", meta=meta, accountId=account, amount=eur("1.00"))
    answer = bank.send("depositCash", meta=meta, accountId=account, amount=eur("2.00"))
    assert answer["__typename"] == "CommandIdReused"
    assert (answer["code"], answer["retryable"]) == ("COMMAND_ID_REUSED", False)


def test_a_retry_after_midnight_is_the_same_command(bank: Served, account: str) -> None:
    """The day of a command that says none is that of its arrival: of a retry, another one."""
    command = {"meta": {"commandId": str(uuid4())}, "accountId": account, "amount": eur("1.00")}
    first = bank.send("depositCash", CHANGED, **command)
    with bank.later(timedelta(days=1)):
        again = bank.send("depositCash", CHANGED, **command)
    assert (first["receipt"]["replayed"], again["receipt"]["replayed"]) == (False, True)


def test_too_little_money_is_refused_with_what_is_available(bank: Served, account: str) -> None:
    answer = bank.send(
        "withdrawCash",
        "... on InsufficientFunds { available { amount currency } }",
        accountId=account,
        amount=eur("100.01"),
    )
    assert answer["__typename"] == "InsufficientFunds"
    assert answer["available"] == {"amount": "100.00", "currency": "EUR"}
    assert answer["code"] == "INSUFFICIENT_FUNDS"


def test_a_refused_command_stays_refused(bank: Served, account: str) -> None:
    withdrawal = {
        "meta": {"commandId": str(uuid4())},
        "accountId": account,
        "amount": eur("100.01"),
    }
    bank.send("withdrawCash", **withdrawal)
    bank.send("depositCash", accountId=account, amount=eur("50.00"))
    assert bank.send("withdrawCash", **withdrawal)["__typename"] == "InsufficientFunds"


def test_a_version_that_has_passed_is_a_conflict(bank: Served, account: str) -> None:
    answer = bank.send(
        "depositCash",
        "... on VersionConflict { expected actual }",
        meta={"commandId": str(uuid4()), "expectedVersion": 2},
        accountId=account,
        amount=eur("1.00"),
    )
    assert (answer["__typename"], answer["expected"], answer["actual"]) == ("VersionConflict", 2, 3)


def test_an_account_that_does_not_exist_is_not_found(bank: Served) -> None:
    answer = bank.send("depositCash", accountId=str(uuid4()), amount=eur("1.00"))
    assert (answer["__typename"], answer["code"]) == ("Refused", "NOT_FOUND")


def test_another_currency_is_refused_with_the_one_expected(bank: Served, account: str) -> None:
    answer = bank.send(
        "depositCash",
        "... on Refused { details }",
        accountId=account,
        amount={"amount": "1.00", "currency": "USD"},
    )
    assert (answer["code"], answer["details"]) == (
        "CURRENCY_MISMATCH",
        {"expected": "EUR", "given": "USD"},
    )


@pytest.mark.parametrize(
    ("amount", "path"),
    [
        ({"amount": "1.001", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "1.5", "currency": "JPY"}, ["amount", "amount"]),
        ({"amount": "ten", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "NaN", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "Infinity", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "1e9", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "1,00", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "\u0663.00", "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "9" * 19, "currency": "EUR"}, ["amount", "amount"]),
        ({"amount": "1.00", "currency": "EURO"}, ["amount", "currency"]),
        ({"amount": "1.00", "currency": "eur"}, ["amount", "currency"]),
        ({"amount": "1.00", "currency": "XAU"}, ["amount", "currency"]),
    ],
)
def test_malformed_money_is_an_issue_with_its_path(
    bank: Served, account: str, amount: dict[str, str], path: list[str]
) -> None:
    answer = bank.send("depositCash", accountId=account, amount=amount)
    assert answer["__typename"] == "ValidationFailed"
    assert [issue["path"] for issue in answer["issues"]] == [path]


def test_all_that_is_wrong_is_said_at_once(bank: Served) -> None:
    answer = bank.send("depositCash", accountId="nonsense", amount=eur("x"), branch="\0")
    assert {(issue["path"][0], issue["rule"]) for issue in answer["issues"]} == {
        ("accountId", "id"),
        ("amount", "amount"),
        ("branch", "text"),
    }


def test_what_was_malformed_leaves_its_command_id_free(bank: Served, account: str) -> None:
    meta = {"commandId": str(uuid4())}
    bank.send("depositCash", meta=meta, accountId=account, amount=eur("x"))
    answer = bank.send("depositCash", CHANGED, meta=meta, accountId=account, amount=eur("1.00"))
    assert answer["receipt"]["replayed"] is False


@pytest.mark.parametrize("text", ["\0", "\ud800", "a\x1bb", "a\x9b31m", "x" * 1001])
def test_what_is_no_text_is_an_issue_and_not_a_defect(bank: Served, text: str) -> None:
    answer = bank.send(
        "registerCustomer", kind="PERSON", name=text, country="CZ", taxResidence="CZ"
    )
    assert [issue["path"] for issue in answer["issues"]] == [["name"]]


def test_what_is_wrong_deep_inside_is_found_there(bank: Served) -> None:
    control = {
        "controlId": str(uuid4()),
        "window": "DAY",
        "amount": eur("1.001"),
        "mcc": {"include": ["5411", "\0"]},
    }
    answer = bank.send("setSpendControl", cardId=str(uuid4()), control=control)
    assert [issue["path"] for issue in answer["issues"]] == [
        ["control", "amount", "amount"],
        ["control", "mcc", "include", "1"],
    ]


def test_a_value_that_cannot_be_is_an_issue(bank: Served, customer: str, account: str) -> None:
    answer = bank.send(
        "issueCard",
        accountId=account,
        customerId=customer,
        cardType="VIRTUAL",
        token="tok",  # noqa: S106 -- it stands for a number, and opens nothing
        brand="VISA",
        bin="400000",
        last4="0002",
        expiry={"year": 2030, "month": 13},
    )
    assert [(issue["path"], issue["rule"]) for issue in answer["issues"]] == [(["expiry"], "value")]


def test_an_id_of_another_type_is_an_issue(bank: Served, customer: str) -> None:
    found = bank.ask("query ($id: ID!) { customer(id: $id) { id } }", id=customer)
    answer = bank.send("depositCash", accountId=found["customer"]["id"], amount=eur("1.00"))
    assert answer["issues"][0]["message"] == (
        "an id of type Customer stands where one of type Account is meant"
    )


def test_a_global_id_does_as_well_as_a_uuid(bank: Served, account: str) -> None:
    receipt = "... on AccountChanged { receipt { consistencyToken } }"
    made = bank.send("depositCash", receipt, accountId=account, amount=eur("1.00"))
    found = bank.ask(
        """query ($id: ID!, $token: ConsistencyToken!) {
            account(id: $id, consistency: { atLeast: $token, timeoutMs: 9000 }) { id }
        }""",
        id=account,
        token=made["receipt"]["consistencyToken"],
    )
    answer = bank.send("depositCash", accountId=found["account"]["id"], amount=eur("1.00"))
    assert answer["__typename"] == "AccountChanged"


def test_a_transfer_shows_both_accounts(bank: Served, customer: str, account: str) -> None:
    other = open_account(bank, customer)
    answer = bank.send(
        "transfer",
        "... on Transferred { fromAccount { uuid balance { amount } }"
        " toAccount { uuid balance { amount } } }",
        fromAccountId=account,
        toAccountId=other,
        amount=eur("30.00"),
    )
    assert answer["fromAccount"] == {"uuid": account, "balance": {"amount": "70.00"}}
    assert answer["toAccount"] == {"uuid": other, "balance": {"amount": "30.00"}}


def test_a_movement_is_undone_by_the_id_of_its_command(bank: Served, account: str) -> None:
    moved = str(uuid4())
    bank.send("depositCash", meta={"commandId": moved}, accountId=account, amount=eur("5.00"))
    answer = bank.send(
        "reverseMovement", CHANGED, accountId=account, originalId=moved, reason="counted twice"
    )
    assert answer["account"]["balance"] == {"amount": "100.00"}


def test_a_hold_has_the_id_of_the_command_that_placed_it(bank: Served, account: str) -> None:
    hold = str(uuid4())
    placed = bank.send(
        "placeHold",
        "... on AccountChanged { account {"
        " available { amount } holds { id remaining { amount } } } }",
        meta={"commandId": hold},
        accountId=account,
        amount=eur("40.00"),
        kind="PAYMENT",
    )
    assert placed["account"] == {
        "available": {"amount": "60.00"},
        "holds": [{"id": hold, "remaining": {"amount": "40.00"}}],
    }


def test_the_booking_date_is_the_day_it_happened_in_utc(bank: Served, account: str) -> None:
    opened = datetime.now(UTC).date()
    happened = f"{opened + timedelta(days=2)}T01:00:00+02:00"
    answer = bank.send(
        "depositCash",
        "... on AccountChanged { account {"
        " transactions(first: 1) { edges { node { bookingDate } } } } }",
        meta={"commandId": str(uuid4()), "effectiveAt": happened},
        accountId=account,
        amount=eur("1.00"),
    )
    (edge,) = answer["account"]["transactions"]["edges"]
    assert edge["node"]["bookingDate"] == str(opened + timedelta(days=1))


def test_two_commands_of_one_request_each_show_their_own_effect(bank: Served, account: str) -> None:
    document = """
        mutation ($a: DepositCashInput!, $b: DepositCashInput!) {
            a: depositCash(input: $a) { ... on AccountChanged { account { balance { amount } } } }
            b: depositCash(input: $b) { ... on AccountChanged { account { balance { amount } } } }
        }
    """
    deposits = {
        name: {
            "meta": {"commandId": str(uuid4())},
            "accountId": account,
            "amount": eur("1.00"),
        }
        for name in ("a", "b")
    }
    answer = bank.ask(document, **deposits)
    assert answer["a"]["account"]["balance"] == {"amount": "101.00"}
    assert answer["b"]["account"]["balance"] == {"amount": "102.00"}


# --- an answer that was lost ----------------------------------------------------------------------

OUTCOME = f"""
    query ($id: UUID!) {{
        command(id: $id) {{
            __typename
            ... on CommandError {{ code }}
            ... on InsufficientFunds {{ available {{ amount }} }}
            {CHANGED}
            ... on Transferred {{ {RECEIPT} fromAccount {{ uuid }} toAccount {{ uuid }} }}
            ... on CardChanged {{ {RECEIPT} card {{ uuid }} }}
            ... on CustomerChanged {{ {RECEIPT} customer {{ uuid }} }}
        }}
    }}
"""


def test_a_lost_answer_is_found_under_the_commands_id(bank: Served, account: str) -> None:
    command = str(uuid4())
    sent = bank.send(
        "depositCash", CHANGED, meta={"commandId": command}, accountId=account, amount=eur("1.00")
    )
    found = bank.ask(OUTCOME, id=command)["command"]
    assert found["receipt"] == {**sent["receipt"], "replayed": True}
    assert found["account"] == sent["account"]


def test_a_lost_transfer_is_found_with_the_accounts_in_their_roles(
    bank: Served, customer: str, account: str
) -> None:
    for source, target in ((account, open_account(bank, customer)),) * 2:
        command = str(uuid4())
        bank.send(
            "transfer",
            meta={"commandId": command},
            fromAccountId=source,
            toAccountId=target,
            amount=eur("1.00"),
        )
        found = bank.ask(OUTCOME, id=command)["command"]
        assert (found["fromAccount"]["uuid"], found["toAccount"]["uuid"]) == (source, target)


def test_a_lost_replacement_is_found_with_the_new_card(
    bank: Served, customer: str, account: str
) -> None:
    details = {
        "token": "tok",
        "bin": "400000",
        "last4": "0002",
        "expiry": {"year": 2060, "month": 1},
    }
    card, command = str(uuid4()), str(uuid4())
    bank.send(
        "issueCard",
        cardId=card,
        accountId=account,
        customerId=customer,
        cardType="VIRTUAL",
        brand="VISA",
        **details,
    )
    replaced = bank.send(
        "replaceCard",
        f"... on CardChanged {{ {RECEIPT} card {{ uuid replaces }} }}",
        meta={"commandId": command},
        cardId=card,
        reason="LOST",
        **details,
    )
    assert replaced["card"]["replaces"] == card
    found = bank.ask(OUTCOME, id=command)["command"]
    assert found["card"]["uuid"] == replaced["card"]["uuid"]


def test_a_lost_refusal_is_found_as_it_was_given(bank: Served, account: str) -> None:
    command = str(uuid4())
    bank.send("withdrawCash", meta={"commandId": command}, accountId=account, amount=eur("100.01"))
    assert bank.ask(OUTCOME, id=command)["command"] == {
        "__typename": "InsufficientFunds",
        "code": "INSUFFICIENT_FUNDS",
        "available": {"amount": "100.00"},
    }


def test_a_command_that_never_came_is_not_found(bank: Served) -> None:
    assert bank.ask(OUTCOME, id=str(uuid4())) == {"command": None}


def test_the_id_of_an_account_is_no_commands_id(bank: Served, account: str) -> None:
    assert bank.ask(OUTCOME, id=account) == {"command": None}
