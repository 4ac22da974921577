"""Customers as resources: the same as GraphQL shows of them, for programs that do not speak it."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served, eur
from tests.interfaces.rest_api.resources import Spender, code_of, get, spender, suspicious_use


@pytest.fixture(scope="module")
def ada(bank: Served) -> Spender:
    return spender(bank, email="ada@example.org")


def twin_of(bank: Served, ada: Spender) -> Any:
    return get(bank, f"/customers/{ada.customer}", atLeast=ada.token)


def test_a_twin_shows_its_accounts_cards_and_risk(bank: Served, ada: Spender) -> None:
    answer = twin_of(bank, ada)
    assert answer.status_code == 200, answer.text
    twin = answer.json()
    assert (twin["uuid"], twin["name"], twin["email"]) == (
        ada.customer,
        "Ada Spender",
        "ada@example.org",
    )
    assert [held["account"]["uuid"] for held in twin["accounts"]] == [ada.account]
    assert [card["uuid"] for card in twin["cards"]] == [ada.card]
    assert twin["riskProfile"]["score"] == 0.8


def test_a_twin_is_what_graphql_shows_of_it(bank: Served, ada: Spender) -> None:
    document = "query ($id: ID!) { customer(id: $id) { uuid version status kycTier name email } }"
    shown = bank.ask(document, id=ada.customer)["customer"]
    twin = twin_of(bank, ada).json()
    assert {name: twin[name] for name in shown} == shown


def test_a_twin_is_found_by_its_global_id_as_well(bank: Served, ada: Spender) -> None:
    twin = twin_of(bank, ada).json()
    assert get(bank, f"/customers/{twin['id']}").json() == twin


def test_an_answer_says_how_fresh_it_is_and_is_kept_by_nobody(bank: Served, ada: Spender) -> None:
    headers = twin_of(bank, ada).headers
    assert int(headers["ledger-position"]) > 0
    assert int(headers["ledger-lag-ms"]) >= 0
    assert headers["ledger-as-of"].endswith("Z")
    assert headers["cache-control"] == "no-store"


def test_what_has_not_changed_is_not_sent_again(bank: Served, ada: Spender) -> None:
    first = twin_of(bank, ada)
    tag = first.headers["etag"]
    again = get(bank, f"/customers/{ada.customer}", headers={"if-none-match": f'"x", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


def test_a_tag_begins_with_the_version(bank: Served, ada: Spender) -> None:
    answer = twin_of(bank, ada)
    assert answer.headers["etag"].startswith(f'"{answer.json()["version"]}.')


def test_money_that_comes_in_makes_it_another_answer_though_not_another_version(
    bank: Served, ada: Spender
) -> None:
    before = twin_of(bank, ada)
    paid = bank.send(
        "depositCash",
        "... on AccountChanged { receipt { consistencyToken } }",
        accountId=ada.account,
        amount=eur("1.00"),
    )
    after = get(
        bank,
        f"/customers/{ada.customer}",
        headers={"if-none-match": before.headers["etag"]},
        atLeast=paid["receipt"]["consistencyToken"],
    )
    assert (after.status_code, after.json()["version"]) == (200, before.json()["version"])


@pytest.mark.parametrize("path", ["/customers/{}", "/risk-scores/{}", "/customers/{}/export"])
def test_who_is_nowhere_is_not_found(bank: Served, path: str) -> None:
    assert code_of(get(bank, path.format(uuid4()))) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/customers/{}", "/risk-scores/{}", "/customers/{}/export"])
def test_what_is_no_id_is_refused_with_the_code_that_graphql_has(bank: Served, path: str) -> None:
    errors = bank.errors('{ customer(id: "nonsense") { uuid } }')
    refused = code_of(get(bank, path.format("nonsense")))
    assert refused == (400, errors[0]["extensions"]["code"])


def test_a_token_of_somebody_else_s_making_is_refused(bank: Served, ada: Spender) -> None:
    answer = get(bank, f"/customers/{ada.customer}", atLeast="mine")
    assert code_of(answer) == (400, "BAD_USER_INPUT")


# --- the past -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["", "effective:", "position:", "version:"])
def test_the_past_is_shown_as_graphql_shows_it(bank: Served, ada: Spender, way: str) -> None:
    shown = "name version accounts { account { balance { amount } } } meta { position asOf }"
    now = bank.ask(f"query ($id: ID!) {{ customer(id: $id) {{ {shown} }} }}", id=ada.customer)
    meta, version = now["customer"]["meta"], now["customer"]["version"]
    moment = {
        "": {"recordedAt": meta["asOf"]},
        "effective:": {"effectiveAt": meta["asOf"]},
        "position:": {"position": str(int(meta["position"]) - 3)},
        "version:": {"version": version - 1},
    }[way]
    document = f"query ($id: ID!, $at: AsOf) {{ customer(id: $id, asOf: $at) {{ {shown} }} }}"
    then = bank.ask(document, id=ada.customer, at=moment)["customer"]
    (said,) = moment.values()
    answer = get(bank, f"/customers/{ada.customer}", asOf=f"{way}{said}")
    if way != "effective:":  # what had taken effect by then is told as the bank knows it now
        assert answer.headers["ledger-position"] == then["meta"]["position"]
    twin = answer.json()
    assert (twin["name"], twin["version"]) == (then["name"], then["version"])
    assert [held["account"]["balance"]["amount"] for held in twin["accounts"]] == [
        held["account"]["balance"]["amount"] for held in then["accounts"]
    ]


def test_who_did_not_exist_then_is_not_found(bank: Served, ada: Spender) -> None:
    assert code_of(get(bank, f"/customers/{ada.customer}", asOf="position:0"))[0] == 404


@pytest.mark.parametrize(
    "moment", ["yesterday", "2026-01-31", "position:-1", "version:x", f"position:{2**62}"]
)
def test_what_is_no_moment_of_the_past_is_refused(bank: Served, ada: Spender, moment: str) -> None:
    answer = get(bank, f"/customers/{ada.customer}", asOf=moment)
    assert code_of(answer) == (400, "BAD_USER_INPUT")


# --- risk -----------------------------------------------------------------------------------------


def test_a_risk_score_says_what_it_rests_on(bank: Served, ada: Spender) -> None:
    answer = get(bank, f"/risk-scores/{ada.customer}", atLeast=ada.token)
    assert answer.json()["score"] == 0.8
    assert [factor["code"] for factor in answer.json()["factors"]] == ["ABOVE_80"]
    assert answer.headers["etag"].startswith(f'"{answer.json()["position"]}.')


def test_whose_card_was_never_used_has_no_risk_score(bank: Served) -> None:
    registered = bank.send(
        "registerCustomer",
        "... on CustomerChanged { customer { uuid } }",
        kind="PERSON",
        name="New",
        country="CZ",
        taxResidence="CZ",
    )
    answer = get(bank, f"/risk-scores/{registered['customer']['uuid']}")
    assert code_of(answer) == (404, "NOT_FOUND")


# --- export ---------------------------------------------------------------------------------------


def test_a_record_leaves_out_what_others_have_done(bank: Served, ada: Spender) -> None:
    """An account that she may dispose of, and that somebody else owns."""
    owner = spender(bank, "Owner")
    added = bank.send(
        "addHolder", accountId=owner.account, customerId=ada.customer, role="AUTHORIZED"
    )
    assert added["__typename"] == "AccountChanged", added
    token = suspicious_use(bank, owner.card)
    twin = get(bank, f"/customers/{ada.customer}", atLeast=token).json()
    assert owner.account in [held["account"]["uuid"] for held in twin["accounts"]]
    text = get(bank, f"/customers/{ada.customer}/export").text
    movements = [json.loads(line).get("movement") for line in text.splitlines()]
    assert {each["account"] for each in movements if each} == {ada.account}
