"""Card numbers, security codes and PINs over HTTP: they come in as variables, and go no further."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from domain.sensitive import passes_luhn
from tests.interfaces.graphql_api.serving import Served, active_customer, open_account

NUMBER = "4111111111111111"
OTHER = "4012888888881881"
PIN = "482613"
EXPIRY = {"year": 2099, "month": 1}
CARD = "card { uuid status brand bin last4 pinStatus }"
CHANGED = f"... on CardChanged {{ receipt {{ replayed }} {CARD} }}"
SHOWN = "... on CardNumberShown { receipt { replayed events { version } } number securityCode }"
TRIED = f"... on PinTried {{ correct {CARD} }}"
CHECKED = "... on CodeChecked { matches }"


@pytest.fixture(scope="module")
def holding(bank: Served) -> dict[str, str]:
    """Whose card it is, and on which account."""
    customer = active_customer(bank)
    return {"customerId": customer, "accountId": open_account(bank, customer)}


def issued(bank: Served, holding: dict[str, str], **said: Any) -> dict[str, Any]:
    asked = {"cardType": "VIRTUAL", "expiry": EXPIRY, "activate": True, **holding, **said}
    return bank.send("issueCard", CHANGED, **asked)


@pytest.fixture
def card(bank: Served, holding: dict[str, str]) -> str:
    """The UUID of an active card with a number that the bank has made."""
    uuid: str = issued(bank, holding, bin="411111")["card"]["uuid"]
    return uuid


def shown(bank: Served, card: str, scope: str = "NUMBER_AND_CODE") -> dict[str, Any]:
    return bank.send("detokenizeCard", SHOWN, cardId=card, reason="dispute 17", scope=scope)


def rules(answer: dict[str, Any]) -> list[tuple[list[str], str]]:
    assert answer["__typename"] == "ValidationFailed", answer
    return [(issue["path"], issue["rule"]) for issue in answer["issues"]]


# --- issuing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bin_", ["411111", "41111122"])
def test_the_bank_makes_a_number_from_a_bin(
    bank: Served, holding: dict[str, str], bin_: str
) -> None:
    card = issued(bank, holding, bin=bin_)["card"]
    number = shown(bank, card["uuid"])["number"]
    assert (card["brand"], card["bin"], card["last4"]) == ("VISA", bin_, number[-4:])
    assert number.startswith(bin_)
    assert passes_luhn(number)


def test_a_number_that_is_given_is_shown_again_after_the_record_of_it(
    bank: Served, holding: dict[str, str]
) -> None:
    card = issued(bank, holding, number="5555 5555 5555 4444")["card"]
    assert (card["brand"], card["bin"], card["last4"]) == ("MASTERCARD", "555555", "4444")
    assert shown(bank, card["uuid"])["number"] == "5555555555554444"


def test_a_card_sent_for_again_is_the_same_card(bank: Served, holding: dict[str, str]) -> None:
    asked = {"meta": {"commandId": str(uuid4())}, "bin": "411111"}
    first, again = issued(bank, holding, **asked), issued(bank, holding, **asked)
    assert first["card"] == again["card"]
    assert again["receipt"]["replayed"]


def test_a_card_sent_for_many_times_at_once_is_one_card(
    bank: Served, holding: dict[str, str]
) -> None:
    asked = {"meta": {"commandId": str(uuid4())}, "bin": "411111"}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: issued(bank, holding, **asked), range(8)))
    assert {answer["__typename"] for answer in answers} == {"CardChanged"}
    assert len({answer["card"]["last4"] for answer in answers}) == 1


def test_another_number_under_the_same_command_id_is_refused(
    bank: Served, holding: dict[str, str]
) -> None:
    meta = {"commandId": str(uuid4())}
    issued(bank, holding, meta=meta, number="4242424242424242")
    answer = issued(bank, holding, meta=meta, number="4000056655665556")
    assert answer["__typename"] == "CommandIdReused"


def test_a_number_is_of_one_card(bank: Served, holding: dict[str, str]) -> None:
    issued(bank, holding, number=NUMBER)
    assert rules(issued(bank, holding, number=NUMBER)) == [(["number"], "taken")]


def test_a_number_whose_card_was_refused_may_be_given_again(
    bank: Served, holding: dict[str, str]
) -> None:
    expired = {"year": 2020, "month": 1}
    refused = issued(bank, holding, number=OTHER, expiry=expired)
    assert refused["code"] == "CARD_EXPIRED"
    assert issued(bank, holding, number=OTHER)["__typename"] == "CardChanged"


def test_whoever_keeps_the_number_has_a_token_of_his_own(
    bank: Served, holding: dict[str, str]
) -> None:
    own = {"token": "tok_mine", "brand": "VISA", "bin": "411111", "last4": "1234"}
    card = issued(bank, holding, **own)["card"]
    assert card["last4"] == "1234"
    answer = shown(bank, card["uuid"])
    assert (answer["__typename"], answer["number"]) == ("CardNumberShown", None)


@pytest.mark.parametrize(
    ("said", "path", "rule"),
    [
        ({}, "bin", "required"),
        ({"bin": "41111"}, "bin", "bin"),
        ({"bin": "4242", "number": NUMBER}, "bin", "bin"),
        ({"number": "4111111111111112"}, "number", "luhn"),
        ({"number": "41111111111"}, "number", "length"),
        ({"number": "4111x11111111111"}, "number", "digits"),
        ({"number": 4111111111111111}, "number", "string"),
        ({"number": [NUMBER]}, "number", "string"),
        ({"number": NUMBER, "token": "tok_1"}, "number", "token"),
        ({"number": NUMBER, "last4": "1111"}, "last4", "token"),
        ({"bin": "411111", "brand": "VISA"}, "brand", "token"),
        ({"token": "tok_1", "bin": "411111", "brand": "VISA"}, "last4", "required"),
    ],
    ids=lambda said: str(list(said)) if isinstance(said, dict) else None,
)
def test_half_a_number_is_refused_and_not_repeated(
    bank: Served, holding: dict[str, str], said: dict[str, Any], path: str, rule: str
) -> None:
    answer = issued(bank, holding, **said)
    assert rules(answer) == [([path], rule)]
    assert "4111111" not in json.dumps(answer)


# --- replacing ------------------------------------------------------------------------------------


def replaced(bank: Served, card: str, **said: Any) -> dict[str, Any]:
    asked = {"cardId": card, "reason": "LOST", "expiry": EXPIRY, **said}
    return bank.send("replaceCard", CHANGED, **asked)


def test_a_replacement_has_another_number_of_the_same_bin(bank: Served, card: str) -> None:
    new = replaced(bank, card)["card"]
    numbers = [shown(bank, uuid)["number"] for uuid in (card, new["uuid"])]
    assert new["bin"] == "411111"
    assert len(set(numbers)) == 2
    assert all(number.startswith("411111") for number in numbers)


def test_a_replacement_may_be_given_its_number(bank: Served, card: str) -> None:
    new = replaced(bank, card, number="4000056655665556")["card"]
    assert shown(bank, new["uuid"])["number"] == "4000056655665556"


def test_a_replacement_is_of_the_same_network(bank: Served, card: str) -> None:
    assert rules(replaced(bank, card, number="378282246310005")) == [(["number"], "brand")]


def test_a_card_that_is_not_there_is_not_replaced(bank: Served) -> None:
    assert replaced(bank, str(uuid4()), bin="411111")["code"] == "NOT_FOUND"


# --- showing --------------------------------------------------------------------------------------


def test_the_code_is_shown_only_within_its_scope(bank: Served, card: str) -> None:
    assert len(shown(bank, card)["securityCode"]) == 3
    assert shown(bank, card, "NUMBER")["securityCode"] is None


def test_a_number_is_shown_once(bank: Served, card: str) -> None:
    asked = {"meta": {"commandId": str(uuid4())}, "cardId": card, "reason": "dispute 17"}
    first = bank.send("detokenizeCard", SHOWN, **asked)
    again = bank.send("detokenizeCard", SHOWN, **asked)
    assert len(first["number"]) == 16
    assert (again["receipt"]["replayed"], again["number"]) == (True, None)


def test_an_answer_that_was_lost_is_found_without_the_number(bank: Served, card: str) -> None:
    command = str(uuid4())
    bank.send("detokenizeCard", meta={"commandId": command}, cardId=card, reason="dispute 17")
    document = f"query ($id: UUID!) {{ command(id: $id) {{ __typename {SHOWN} }} }}"
    found = bank.ask(document, id=command)["command"]
    assert (found["__typename"], found["number"]) == ("CardNumberShown", None)


def test_a_number_is_not_shown_without_a_reason(bank: Served, card: str) -> None:
    answer = bank.send("detokenizeCard", SHOWN, cardId=card, reason=" ")
    assert answer["code"] == "DETOKENIZING_UNEXPLAINED"


def test_no_answer_may_be_cached(bank: Served) -> None:
    response = bank.http.post("/graphql", json={"query": "{ __typename }"})
    assert response.headers["cache-control"] == "no-store"


# --- PINs -----------------------------------------------------------------------------------------


def tried(bank: Served, card: str, pin: str) -> dict[str, Any]:
    return bank.send("tryPin", TRIED, cardId=card, pin=pin)


def test_a_pin_is_set_and_verified(bank: Served, card: str) -> None:
    answer = bank.send("setPin", CHANGED, cardId=card, pin=PIN)
    assert answer["card"]["pinStatus"] == "OK"
    assert tried(bank, card, PIN)["correct"] is True


def test_the_third_wrong_pin_in_a_row_blocks_it_until_the_bank_unblocks_it(
    bank: Served, card: str
) -> None:
    bank.send("setPin", cardId=card, pin=PIN)
    standings = [
        (answer["correct"], answer["card"]["pinStatus"])
        for answer in [tried(bank, card, wrong) for wrong in ("0000", "1111", "2222")]
    ]
    assert standings == [(False, "OK"), (False, "OK"), (False, "BLOCKED")]
    assert tried(bank, card, PIN)["code"] == "PIN_BLOCKED"
    bank.send("unblockPin", cardId=card, reason="she showed her passport")
    assert tried(bank, card, PIN)["correct"] is True


def test_a_pin_is_changed(bank: Served, card: str) -> None:
    for pin in (PIN, "9753"):
        bank.send("setPin", cardId=card, pin=pin)
    assert tried(bank, card, PIN)["correct"] is False
    assert tried(bank, card, "9753")["correct"] is True


def test_a_pin_that_is_sent_again_is_set_once(bank: Served, card: str) -> None:
    asked = {"meta": {"commandId": str(uuid4())}, "cardId": card}
    bank.send("setPin", CHANGED, **asked, pin=PIN)
    assert bank.send("setPin", CHANGED, **asked, pin=PIN)["receipt"]["replayed"]
    assert bank.send("setPin", CHANGED, **asked, pin="1234")["__typename"] == "CommandIdReused"


def test_a_card_without_a_pin_has_none_to_try(bank: Served, card: str) -> None:
    assert tried(bank, card, PIN)["code"] == "PIN_NOT_SET"


@pytest.mark.parametrize("mutation", ["setPin", "tryPin"])
def test_a_card_that_is_not_there_has_no_pin(bank: Served, mutation: str) -> None:
    assert bank.send(mutation, cardId=str(uuid4()), pin=PIN)["code"] == "NOT_FOUND"


@pytest.mark.parametrize(("pin", "rule"), [("123", "digits"), ("12a4", "digits"), (4826, "string")])
def test_what_is_no_pin_is_refused(bank: Served, card: str, pin: Any, rule: str) -> None:
    assert rules(bank.send("setPin", cardId=card, pin=pin)) == [(["pin"], rule)]


# --- security codes -------------------------------------------------------------------------------


def test_a_security_code_is_verified(bank: Served, card: str) -> None:
    right = shown(bank, card)["securityCode"]
    wrong = f"{(int(right) + 1) % 1000:03}"
    answers = [bank.send("checkCode", CHECKED, cardId=card, code=code) for code in (right, wrong)]
    assert [answer["matches"] for answer in answers] == [True, False]


def test_a_code_is_not_verified_where_the_bank_does_not_keep_the_number(
    bank: Served, holding: dict[str, str]
) -> None:
    own = {"token": "tok_kept_elsewhere", "brand": "VISA", "bin": "411111", "last4": "1234"}
    card = issued(bank, holding, **own)["card"]["uuid"]
    assert rules(bank.send("checkCode", cardId=card, code="123")) == [(["cardId"], "number")]


def test_a_card_that_is_not_there_has_no_code(bank: Served) -> None:
    assert bank.send("checkCode", cardId=str(uuid4()), code="123")["code"] == "NOT_FOUND"


# --- tokens in wallets ----------------------------------------------------------------------------


def test_a_token_in_a_wallet_is_shown_with_its_card(bank: Served, card: str) -> None:
    tokens = "... on CardChanged { card { walletTokens { id wallet deviceRef status } } }"
    asked = {"cardId": card, "wallet": "APPLE_PAY", "deviceRef": "device-7"}
    (token,) = bank.send("requestToken", tokens, **asked)["card"]["walletTokens"]
    assert (token["wallet"], token["deviceRef"], token["status"]) == (
        "APPLE_PAY",
        "device-7",
        "PENDING_2FA",
    )
    named = {"cardId": card, "tokenId": token["id"]}
    for mutation, more, status in (
        ("confirmToken", {}, "PENDING_ACTIVATION"),
        ("activateToken", {}, "ACTIVE"),
        ("suspendToken", {"reason": "lost"}, "PAUSED"),
        ("resumeToken", {}, "ACTIVE"),
        ("deactivateToken", {"reason": "sold"}, "DEACTIVATED"),
    ):
        (token,) = bank.send(mutation, tokens, **named, **more)["card"]["walletTokens"]
        assert token["status"] == status


# --- what is wrong with a request, and what is said of it -----------------------------------------


def test_a_secret_is_not_taken_from_a_document(bank: Served, card: str) -> None:
    document = (
        f'mutation {{ setPin(input: {{ meta: {{ commandId: "{uuid4()}" }}, cardId: "{card}",'
        f' pin: "{PIN}" }}) {{ __typename }} }}'
    )
    (error,) = bank.errors(document)
    assert error["extensions"]["code"] == "SECRET_IN_DOCUMENT"
    assert PIN not in json.dumps(error)


SET_PIN = "mutation ($input: SetPinInput!) { setPin(input: $input) { __typename } }"
ISSUE = "mutation ($input: IssueCardInput!) { issueCard(input: $input) { __typename } }"


@pytest.mark.parametrize(
    ("document", "given"),
    [
        (SET_PIN, {"pin": PIN}),
        (SET_PIN, {"meta": {"commandId": "x"}, "cardId": "c", "pin": PIN}),
        (SET_PIN, {"meta": {"commandId": str(uuid4())}, "cardId": "c", "pin": PIN, "pinn": PIN}),
        (SET_PIN, {"meta": {"commandId": str(uuid4())}, "cardId": {"pin": PIN}, "pin": PIN}),
        (SET_PIN, [PIN]),
        (SET_PIN, PIN),
        (ISSUE, {"number": NUMBER}),
        (ISSUE, {"meta": {"commandId": NUMBER}, "number": NUMBER}),
        (ISSUE, {"meta": {"commandId": str(uuid4())}, "bin": 4111111111111111}),
        (ISSUE, {"meta": {"commandId": str(uuid4())}, "cardType": NUMBER}),
        (ISSUE, {"meta": {"commandId": str(uuid4())}, "activate": NUMBER}),
        (ISSUE, {"meta": {"commandId": str(uuid4())}, "expiry": {"year": NUMBER, "month": PIN}}),
        (ISSUE.replace("$input)", f'"{NUMBER}")'), {}),
        (f"{ISSUE} {NUMBER}", {}),
        (f"{{ card(id: {NUMBER}.0) {{ id }} }}", {}),
    ],
)
def test_no_error_sends_back_what_was_sent(bank: Served, document: str, given: Any) -> None:
    answer = json.dumps(bank.post(document, input=given))
    assert '"errors"' in answer
    assert not [secret for secret in (NUMBER, PIN) if secret in answer]


def test_what_is_wrong_is_still_said(bank: Served) -> None:
    (error, *_) = bank.errors(SET_PIN, input={"pin": PIN})
    assert error["message"].startswith("Variable '$input' has invalid value: Expected value of ")
    assert "required field 'meta'" in error["message"]


@pytest.mark.parametrize("mutation", ["blockCard", "detokenizeCard"])
def test_a_number_within_a_reason_is_refused(bank: Served, card: str, mutation: str) -> None:
    answer = bank.send(mutation, cardId=card, reason=f"is it {NUMBER}?")
    assert answer["code"] == "CARD_NUMBER_REFUSED"
    assert NUMBER not in json.dumps(answer)
