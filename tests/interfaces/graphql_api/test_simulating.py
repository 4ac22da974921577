"""What would be if: commands simulated over HTTP, and what then really happens."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import (
    Served,
    active_customer,
    agreeing,
    eur,
    open_account,
)

CUSTOMER = """
    version status country segment kycTier email
    consents { purpose grantedOn withdrawnOn }
    restrictions { id direction }
    accounts {
        role
        account {
            version status
            balance { amount currency } available { amount } held { amount }
            holds { id kind remaining { amount } }
            transactions(first: 50) {
                edges { node { amount { amount } balanceAfter { amount } kind bookingDate } }
            }
        }
    }
    cards(first: 20) { edges { node { id version status bin expiresOn } } }
    authorizations(first: 20) { edges { node { id status approved { amount } } } }
    riskProfile { score band }
    fraudAlerts(first: 20) { edges { node { id status } } }
    signals(first: 20) { edges { node { kind source } } }
"""
SIMULATE = f"""
    query ($id: ID!, $commands: [SimulatedCommand!]!, $asOf: AsOf) {{
        customer(id: $id, asOf: $asOf) {{
            version
            simulate(commands: $commands) {{
                accepted
                refusals {{ __typename code message retryable }}
                outcomes {{
                    commandId accepted
                    refusal {{
                        code
                        ... on ValidationFailed {{ issues {{ path rule }} }}
                        ... on InsufficientFunds {{ available {{ amount }} }}
                        ... on VersionConflict {{ expected actual }}
                    }}
                }}
                changes {{ path before after event {{ type position commandId }} }}
                customer {{ {CUSTOMER} timeline(first: 5) {{ edges {{ node {{ type }} }} }} }}
            }}
        }}
    }}
"""


def simulate(bank: Served, customer: str, *commands: dict[str, Any], **given: Any) -> Any:
    found = bank.ask(SIMULATE, id=customer, commands=commands, **given)
    return found["customer"]["simulate"]


def asked(mutation: str, /, **fields: Any) -> dict[str, Any]:
    """A command as a simulation takes it."""
    return {mutation: {"meta": {"commandId": str(uuid4())}, **fields}}


def shown(bank: Served, customer: str, token: str) -> Any:
    """The customer, once what that token is of is shown."""
    document = f"""
        query ($id: ID!, $token: ConsistencyToken!) {{
            customer(id: $id, consistency: {{ atLeast: $token, timeoutMs: 10000 }}) {{ {CUSTOMER} }}
        }}
    """
    return bank.ask(document, id=customer, token=token)["customer"]


def deposit(bank: Served, account: str, amount: str, **given: Any) -> Any:
    """Pay in in earnest: the receipt."""
    selection = "... on AccountChanged { receipt { consistencyToken replayed } }"
    paid = bank.send("depositCash", selection, accountId=account, amount=eur(amount), **given)
    return paid["receipt"]


@pytest.fixture
def customer(bank: Served) -> str:
    return active_customer(bank, "Grace Hopper", email="grace@example.org")


@pytest.fixture
def account(bank: Served, customer: str) -> str:
    return open_account(bank, customer, "10.00")


def paths(simulation: Any) -> dict[str, Any]:
    return {change["path"]: change["after"] for change in simulation["changes"]}


# --- what it tells --------------------------------------------------------------------------------


def test_an_accepted_command_shows_the_customer_as_it_would_be(
    bank: Served, customer: str, account: str
) -> None:
    found = simulate(bank, customer, asked("withdrawCash", accountId=account, amount=eur("4.00")))
    assert found["accepted"] is True
    assert found["refusals"] == []
    (held,) = found["customer"]["accounts"]
    assert held["account"]["balance"]["amount"] == "6.00"
    newest = held["account"]["transactions"]["edges"][0]["node"]
    assert newest["amount"]["amount"] == "-4.00"


def test_it_tells_what_would_change(bank: Served, customer: str, account: str) -> None:
    command = asked("withdrawCash", accountId=account, amount=eur("4.00"))
    found = simulate(bank, customer, command)
    changes = {change["path"]: change for change in found["changes"]}
    balance = changes[f"/accounts/{account}/ledger"]
    assert (balance["before"], balance["after"]) == ("10.00", "6.00")
    assert balance["event"]["type"] == "account.cash_withdrawn.v1"
    assert balance["event"]["commandId"] == command["withdrawCash"]["meta"]["commandId"]


def test_a_refused_command_says_why(bank: Served, customer: str, account: str) -> None:
    found = simulate(bank, customer, asked("withdrawCash", accountId=account, amount=eur("11.00")))
    assert found["accepted"] is False
    (refusal,) = found["refusals"]
    assert (refusal["__typename"], refusal["code"]) == ("InsufficientFunds", "INSUFFICIENT_FUNDS")
    assert found["outcomes"][0]["refusal"]["available"] == {"amount": "10.00"}
    assert found["changes"] == []


def test_commands_build_on_each_other(bank: Served, customer: str, account: str) -> None:
    found = simulate(
        bank,
        customer,
        asked("withdrawCash", accountId=account, amount=eur("11.00")),
        asked("depositCash", accountId=account, amount=eur("1.00")),
        asked("withdrawCash", accountId=account, amount=eur("11.00")),
    )
    assert [outcome["accepted"] for outcome in found["outcomes"]] == [False, True, True]
    assert paths(found)[f"/accounts/{account}/ledger"] == "0.00"


def test_what_is_no_command_is_told_with_its_issues(
    bank: Served, customer: str, account: str
) -> None:
    found = simulate(
        bank,
        customer,
        asked("withdrawCash", accountId="nothing", amount=eur("1.00")),
        asked("withdrawCash", accountId=account, amount=eur("1.00")),
    )
    malformed, right = found["outcomes"]
    assert malformed["refusal"]["issues"] == [{"path": ["accountId"], "rule": "id"}]
    assert right["accepted"] is True
    assert found["accepted"] is False


def test_a_version_that_has_changed_is_a_conflict(
    bank: Served, customer: str, account: str
) -> None:
    given = asked("depositCash", accountId=account, amount=eur("1.00"))
    given["depositCash"]["meta"]["expectedVersion"] = 1
    (outcome,) = simulate(bank, customer, given)["outcomes"]
    assert outcome["refusal"] == {"code": "VERSION_CONFLICT", "expected": 1, "actual": 3}


def test_a_command_id_that_was_used_is_told(bank: Served, customer: str, account: str) -> None:
    meta = {"commandId": str(uuid4())}
    bank.send("depositCash", accountId=account, amount=eur("1.00"), meta=meta)
    again = {"depositCash": {"accountId": account, "amount": eur("2.00"), "meta": meta}}
    assert simulate(bank, customer, again)["refusals"][0]["code"] == "COMMAND_ID_REUSED"


def test_what_others_would_hold_is_no_change_of_the_customer(
    bank: Served, customer: str, account: str
) -> None:
    other = open_account(bank, active_customer(bank))
    given = {"fromAccountId": account, "toAccountId": other, "amount": eur("1.00")}
    found = simulate(bank, customer, asked("transfer", **given))
    assert found["accepted"] is True
    assert all(path.startswith(f"/accounts/{account}/") for path in paths(found))


def test_what_would_be_opened_is_shown(bank: Served, customer: str) -> None:
    account = str(uuid4())
    given = {"customerId": customer, "product": "CURRENT", "currency": "EUR"}
    found = simulate(
        bank,
        customer,
        asked("openAccount", accountId=account, **given),
        asked("depositCash", accountId=account, amount=eur("3.00")),
    )
    (held,) = found["customer"]["accounts"]
    assert held["account"]["balance"] == {"amount": "3.00", "currency": "EUR"}
    assert paths(found)[f"/accounts/{account}/role"] == "OWNER"


def test_an_account_that_would_be_shared_comes_with_its_past(
    bank: Served, customer: str, account: str
) -> None:
    joining = active_customer(bank)
    given = {"accountId": account, "customerId": joining, "role": "AUTHORIZED"}
    found = paths(simulate(bank, joining, asked("addHolder", **given)))
    assert found[f"/accounts/{account}/ledger"] == "10.00"
    assert sum("/transactions/" in path for path in found) == 1


def test_what_a_source_would_tell_is_shown(bank: Served, customer: str) -> None:
    login = {"channel": "MOBILE_APP", "succeeded": True, "device": "Grace's", "country": "CZ"}
    given = {
        "source": "mobile-app",
        "sourceEventId": "e1",
        "occurredAt": "2025-03-01T07:30:00Z",
        "event": {"login": login},
    }
    found = simulate(bank, customer, asked("pushEvent", customerId=customer, **given))
    (edge,) = found["customer"]["signals"]["edges"]
    assert edge["node"] == {"kind": "LOGIN", "source": "mobile-app"}
    assert paths(found)["/engagement/channels/MOBILE_APP/logins"] == 1


def test_what_becomes_of_a_card_that_there_is_already_is_told(
    bank: Served, customer: str, account: str
) -> None:
    card = str(uuid4())
    given = {"cardType": "VIRTUAL", "bin": "411111", "expiry": {"year": 2031, "month": 1}}
    bank.send(
        "issueCard",
        "... on CardChanged { card { version } }",
        cardId=card,
        accountId=account,
        customerId=customer,
        activate=True,
        **given,
    )
    found = simulate(bank, customer, asked("freezeCard", cardId=card))
    assert paths(found) == {f"/cards/{card}/status": "FROZEN", f"/cards/{card}/frozen": True}


def test_a_card_that_would_be_issued_has_a_number_of_no_card(
    bank: Served, customer: str, account: str
) -> None:
    given = {
        "accountId": account,
        "customerId": customer,
        "cardType": "VIRTUAL",
        "bin": "411111",
        "expiry": {"year": 2031, "month": 1},
    }
    found = simulate(bank, customer, asked("issueCard", **given))
    (edge,) = found["customer"]["cards"]["edges"]
    assert edge["node"]["bin"] == "411111"
    assert found["customer"]["timeline"]["edges"][0]["node"]["type"].startswith("card.")
    receipt = deposit(bank, account, "1.00")
    assert shown(bank, customer, receipt["consistencyToken"])["cards"]["edges"] == []


@pytest.mark.parametrize("pin", [{"pin": "1234"}, {"securityCode": "123"}])
def test_no_secret_is_tried(bank: Served, customer: str, account: str, pin: dict[str, str]) -> None:
    """Or whoever has stolen a card could try them all, and nobody would know."""
    given = {
        "cardId": str(uuid4()),
        "amount": eur("1.00"),
        "merchant": {"merchantId": "M", "name": "Baker", "mcc": "5462", "country": "CZ"},
        "entryMode": "CHIP",
        "channel": "POINT_OF_SALE",
        "occurredAt": "2025-01-01T00:00:00Z",
    }
    (outcome,) = simulate(bank, customer, asked("authorizeCard", **given, **pin))["outcomes"]
    (name,) = pin
    assert outcome["refusal"]["issues"] == [{"path": [name], "rule": "simulated"}]


def test_a_personal_value_would_be_what_was_given(
    bank: Served, customer: str, account: str
) -> None:
    given = {"customerId": customer, "email": "hopper@example.org"}
    found = simulate(bank, customer, asked("updateContact", **given))
    assert found["customer"]["email"] == "hopper@example.org"
    assert {"path": "/email", "before": "grace@example.org", "after": "hopper@example.org"} in [
        {name: change[name] for name in ("path", "before", "after")} for change in found["changes"]
    ]
    receipt = deposit(bank, account, "1.00")
    assert shown(bank, customer, receipt["consistencyToken"])["email"] == "grace@example.org"


# --- what it leaves -------------------------------------------------------------------------------


def test_what_would_be_said_of_payments_tells_whom_a_customer_would_deal_with(
    bank: Served, customer: str, account: str
) -> None:
    document = """query ($id: ID!, $commands: [SimulatedCommand!]!) { customer(id: $id) {
        simulate(commands: $commands) { customer {
            accounts { account { transactions(first: 1) { edges { node { reference } } } } }
            relationships(first: 5) { edges { node { kind name count } } }
        } }
    } }"""
    said = {"counterparty": "Fairview Homes", "reference": "rent", "kind": "PAYMENT"}
    agreeing(bank, customer)
    then = datetime.now(UTC)
    paid = [
        asked(
            "creditAccount",
            accountId=account,
            amount=eur("1.00"),
            **said,
            meta={
                "commandId": str(uuid4()),
                "effectiveAt": f"{then + timedelta(days=n):%FT%TZ}",
            },
        )
        for n in (0, 31, 62)
    ]

    found = bank.ask(document, id=customer, commands=paid)["customer"]["simulate"]["customer"]

    (held,) = found["accounts"]
    assert held["account"]["transactions"]["edges"][0]["node"] == {"reference": "rent"}
    (with_whom,) = found["relationships"]["edges"]
    assert with_whom["node"] == {"kind": "COUNTERPARTY", "name": "Fairview Homes", "count": 3}


def test_nothing_is_recorded(bank: Served, customer: str, account: str) -> None:
    token = deposit(bank, account, "1.00")["consistencyToken"]
    before = shown(bank, customer, token)
    simulate(bank, customer, asked("withdrawCash", accountId=account, amount=eur("4.00")))
    assert shown(bank, customer, token) == before


def test_the_id_of_a_simulated_command_is_still_free(
    bank: Served, customer: str, account: str
) -> None:
    command = asked("depositCash", accountId=account, amount=eur("4.00"))
    simulate(bank, customer, command)
    assert deposit(bank, account, "5.00", meta=command["depositCash"]["meta"])["replayed"] is False


def test_the_rest_of_the_answer_is_of_now(bank: Served, customer: str, account: str) -> None:
    document = """
        query ($id: ID!, $commands: [SimulatedCommand!]!) {
            customer(id: $id) {
                simulate(commands: $commands) { customer { accounts { account { version } } } }
                accounts { account { version } }
            }
        }
    """
    shown(bank, customer, deposit(bank, account, "1.00")["consistencyToken"])
    command = asked("depositCash", accountId=account, amount=eur("4.00"))
    found = bank.ask(document, id=customer, commands=[command])["customer"]
    versions = [
        of["accounts"][0]["account"]["version"] for of in (found["simulate"]["customer"], found)
    ]
    assert versions == [5, 4]


# --- the law: what is simulated is what then happens ----------------------------------------------


def test_the_real_commands_make_the_customer_that_was_simulated(
    bank: Served, customer: str, account: str
) -> None:
    other = open_account(bank, active_customer(bank), "20.00")
    card = str(uuid4())
    commands = [
        asked("withdrawCash", accountId=account, amount=eur("4.00")),
        asked("withdrawCash", accountId=account, amount=eur("100.00")),
        asked("transfer", fromAccountId=other, toAccountId=account, amount=eur("2.50")),
        asked("placeHold", accountId=account, amount=eur("1.00"), kind="CASH"),
        asked("updateContact", customerId=customer, email="hopper@example.org"),
        asked("grantConsent", customerId=customer, purpose="a/b", version="1"),
        asked("assignSegment", customerId=customer, segment="AFFLUENT"),
        asked(
            "issueCard",
            cardId=card,
            accountId=account,
            customerId=customer,
            cardType="VIRTUAL",
            bin="411111",
            expiry={"year": 2031, "month": 1},
            activate=True,
        ),
        asked(
            "authorizeCard",
            cardId=card,
            amount=eur("3.00"),
            merchant={"merchantId": "M", "name": "Baker", "mcc": "5462", "country": "CZ"},
            entryMode="ECOMMERCE",
            channel="ECOMMERCE",
            occurredAt="2025-01-01T00:00:00Z",
        ),
        asked("freezeCard", cardId=card),
        asked(
            "restrictCustomer",
            customerId=customer,
            direction="CREDIT",
            reasonCode="COURT",
            legalBasis="ORDER",
        ),
        asked("depositCash", accountId=account, amount=eur("1.00")),
    ]
    foreseen = simulate(bank, customer, *commands)
    refused = []
    for command in commands:
        ((mutation, given),) = command.items()
        refused.append(bank.send(mutation, **given).get("code"))
    assert [(o["refusal"] or {}).get("code") for o in foreseen["outcomes"]] == refused
    assert len([code for code in refused if code]) == 2
    del foreseen["customer"]["timeline"]
    token = deposit(bank, other, "1.00")["consistencyToken"]
    happened = shown(bank, customer, token)
    for told in (foreseen["customer"], happened):
        for held in told["accounts"]:  # in no order
            held["account"]["holds"].sort(key=lambda hold: hold["id"])
    assert foreseen["customer"] == happened


# --- who may --------------------------------------------------------------------------------------


def test_whoever_may_only_read_may_not_simulate(guarded: Guarded) -> None:
    reader = guarded.as_somebody_with(Scope.READ)
    given = {"id": str(uuid4()), "commands": []}
    (error,) = reader.errors(SIMULATE, **given)
    assert error["extensions"]["missingScope"] == Scope.WRITE


def test_what_governs_is_simulated_by_who_may_govern(guarded: Guarded) -> None:
    teller = guarded.as_somebody_with(Scope.READ, Scope.WRITE)
    customer = active_customer(guarded.as_somebody_with(*Scope))
    given = {"artefactSha256": "ab" * 32, "approver": "me", "reason": "it is old"}
    (error,) = teller.errors(SIMULATE, id=customer, commands=[asked("retireModel", **given)])
    assert error["extensions"] == {"code": "FORBIDDEN", "missingScope": Scope.ADMIN}


def test_nobody_acts_for_another_in_a_simulation(guarded: Guarded) -> None:
    everybody = guarded.as_somebody_with(*Scope)
    customer = active_customer(everybody)
    teller = guarded.as_somebody_with(Scope.READ, Scope.WRITE)
    command = asked("rejectKyc", customerId=customer, reviewer="chief", reasons=["why"])
    (outcome,) = simulate(teller, customer, command)["outcomes"]
    assert outcome["refusal"]["issues"] == [{"path": ["reviewer"], "rule": "on-behalf"}]


def test_what_is_masked_is_masked_in_what_would_be(guarded: Guarded) -> None:
    customer = active_customer(guarded.as_somebody_with(*Scope), email="grace@example.org")
    analyst = guarded.as_somebody_with(Scope.READ, Scope.WRITE, Scope.PERSONAL_MASKED)
    given = {"customerId": customer, "email": "hopper@example.org"}
    found = simulate(analyst, customer, asked("updateContact", **given))
    assert found["customer"]["email"] == "h***@e***.org"
    (change,) = found["changes"]
    assert (change["before"], change["after"]) == ("g***@e***.org", "h***@e***.org")


# --- what is asked wrongly ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 21])
def test_a_simulation_is_of_some_commands(bank: Served, customer: str, count: int) -> None:
    commands = [asked("grantConsent", customerId=customer, purpose="a", version="1")] * count
    (error,) = bank.errors(SIMULATE, id=customer, commands=commands)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_the_past_is_not_simulated(bank: Served, customer: str) -> None:
    command = asked("grantConsent", customerId=customer, purpose="a", version="1")
    given = {"id": customer, "commands": [command], "asOf": {"version": 1}}
    (error,) = bank.errors(SIMULATE, **given)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_command_is_of_one_kind(bank: Served, customer: str) -> None:
    two = {**asked("freezeCard", cardId=customer), **asked("unfreezeCard", cardId=customer)}
    (error,) = bank.errors(SIMULATE, id=customer, commands=[two])
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_what_tries_a_secret_is_no_simulated_command(bank: Served) -> None:
    document = '{ __type(name: "SimulatedCommand") { isOneOf inputFields { name } } }'
    kind = bank.ask(document)["__type"]
    names = {field["name"] for field in kind["inputFields"]}
    assert kind["isOneOf"] is True
    assert {"transfer", "issueCard", "authorizeCard", "approveKyc"} <= names
    assert not names & {"setPin", "tryPin", "checkCode"}
