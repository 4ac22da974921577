"""How a customer behaves, with whom it deals and how much of it is known, over HTTP."""

import time
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
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

BEHAVIOUR = """
    query ($id: ID!) {
        customer(id: $id) {
            segment
            behaviour {
                channels { channel logins failedLogins contacts lastUsedAt }
                devices
                bureauScores { bureau score lowest highest asOf source }
                churnRisk { probability model }
                lifeEvents { kind confidence }
                crm { topic code }
                spending { count }
                dormancy { lastActiveOn days dormant }
            }
        }
    }
"""
SIGNALS = """
    query ($id: ID!, $first: Int, $after: String, $kind: SignalKind) {
        customer(id: $id) {
            signals(first: $first, after: $after, kind: $kind) {
                edges { cursor node { kind value source confidence occurredAt event { version } } }
                pageInfo { hasNextPage }
            }
        }
    }
"""
CASH_FLOW = """
    query ($id: ID!, $months: Int) {
        customer(id: $id) {
            behaviour {
                cashFlow(months: $months) {
                    month income { amount } outgo { amount } net { amount } movements
                }
            }
        }
    }
"""
RELATIONSHIPS = """
    query ($id: ID!, $first: Int, $after: String) {
        customer(id: $id) {
            relationships(first: $first, after: $after) {
                edges {
                    cursor
                    node {
                        kind name since confidence count paidOut { amount }
                        target { ... on Customer { uuid } }
                    }
                }
                pageInfo { hasNextPage }
            }
        }
    }
"""
COMPLETENESS = """
    query ($id: ID!) { customer(id: $id) { completeness { score target missing stale } } }
"""
SHOWN = """
    SELECT (SELECT min(position) FROM ledgertwin.projections)
        >= (SELECT max(notification_id) FROM ledgertwin.bank_events)
"""
LOGIN = {"login": {"channel": "MOBILE_APP", "succeeded": True, "device": "a telephone"}}
DAY = "2025-03-01T07:30:00Z"


@pytest.fixture
def customer(bank: Served) -> str:
    return agreeing(bank, active_customer(bank))


def told(bank: Served, customer: str, event: Any, at: str = DAY, **more: Any) -> None:
    sent = bank.send(
        "pushEvent",
        "... on EventPushed { customer { uuid } }",
        customerId=customer,
        source="crm",
        sourceEventId=str(uuid4()),
        occurredAt=at,
        event=event,
        **more,
    )
    assert sent["customer"]["uuid"] == customer, sent


def asked(bank: Served, document: str, customer: str, **more: Any) -> Any:
    """What the bank answers once its read models show all that was written."""
    deadline = time.monotonic() + 30
    with psycopg.connect(bank.database, autocommit=True) as connection:
        while connection.execute(SHOWN).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    return bank.ask(document, id=customer, **more)["customer"]


def paid(bank: Served, account: str, amount: str, on: str, **more: Any) -> None:
    sent = bank.send(
        "debitAccount",
        "... on AccountChanged { account { uuid } }",
        meta={"commandId": str(uuid4()), "effectiveAt": f"{on}T12:00:00Z"},
        accountId=account,
        kind="PAYMENT",
        amount=eur(amount),
        **more,
    )
    assert sent["__typename"] == "AccountChanged", sent


def opened_in_2024(bank: Served, customer: str, deposit: str) -> str:
    account = str(uuid4())
    then = {"effectiveAt": "2024-01-02T12:00:00Z"}
    bank.send(
        "openAccount",
        meta={"commandId": str(uuid4()), **then},
        accountId=account,
        customerId=customer,
        product="CURRENT",
        currency="EUR",
    )
    sent = bank.send(
        "depositCash",
        "... on AccountChanged { account { uuid } }",
        meta={"commandId": str(uuid4()), **then},
        accountId=account,
        amount=eur(deposit),
    )
    assert sent["__typename"] == "AccountChanged", sent
    return account


# --- signals and what they come to ----------------------------------------------------------------


def test_a_customer_of_whom_nothing_was_told_has_no_behaviour_yet(
    bank: Served, customer: str
) -> None:
    found = asked(bank, BEHAVIOUR, customer)
    assert found["segment"] == "RETAIL"
    dormancy = found["behaviour"].pop("dormancy")
    assert dormancy == {"lastActiveOn": None, "days": 0, "dormant": False}
    assert found["behaviour"] == {
        "channels": [],
        "devices": 0,
        "bureauScores": [],
        "churnRisk": None,
        "lifeEvents": [],
        "crm": [],
        "spending": [],
    }


def test_what_was_told_is_shown_as_what_it_comes_to(bank: Served, customer: str) -> None:
    told(bank, customer, LOGIN)
    told(bank, customer, {"contact": {"channel": "PHONE", "topic": "CARD"}})
    score = {"bureau": "ONE", "score": 640, "lowest": 300, "highest": 850, "asOf": "2025-02-01"}
    told(bank, customer, {"bureauScore": score})
    told(bank, customer, {"churnRisk": {"probability": 0.3, "horizonDays": 90, "model": "M1"}})
    told(bank, customer, {"lifeEvent": {"kind": "CHILD_BORN"}}, confidence=0.7)
    told(bank, customer, {"crmChange": {"topic": "LANGUAGE", "code": "CS"}})

    found = asked(bank, BEHAVIOUR, customer)["behaviour"]
    came = {"logins": 0, "failedLogins": 0, "contacts": 0, "lastUsedAt": DAY}
    assert found["channels"] == [
        {**came, "channel": "MOBILE_APP", "logins": 1},
        {**came, "channel": "PHONE", "contacts": 1},
    ]
    assert found["devices"] == 1
    assert found["bureauScores"] == [{**score, "source": "crm"}]
    assert found["churnRisk"] == {"probability": 0.3, "model": "M1"}
    assert found["lifeEvents"] == [{"kind": "CHILD_BORN", "confidence": 0.7}]
    assert found["crm"] == [{"topic": "LANGUAGE", "code": "CS"}]


def test_signals_are_listed_the_last_told_first_and_by_kind(bank: Served, customer: str) -> None:
    told(bank, customer, LOGIN)
    told(bank, customer, {"lifeEvent": {"kind": "MARRIAGE"}})
    told(bank, customer, {"login": {"channel": "WEB", "succeeded": False}})

    signals = asked(bank, SIGNALS, customer)["signals"]["edges"]
    assert [edge["node"]["kind"] for edge in signals] == ["LOGIN", "LIFE_EVENT", "LOGIN"]
    logins = asked(bank, SIGNALS, customer, kind="LOGIN")["signals"]["edges"]
    assert [edge["node"]["value"]["channel"] for edge in logins] == ["WEB", "MOBILE_APP"]
    assert [edge["node"]["event"]["version"] for edge in logins] == [3, 1]


def test_signals_are_paged(bank: Served, customer: str) -> None:
    for _ in range(3):
        told(bank, customer, LOGIN)
    first = asked(bank, SIGNALS, customer, first=2)["signals"]
    rest = asked(bank, SIGNALS, customer, first=2, after=first["edges"][-1]["cursor"])["signals"]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    versions = [e["node"]["event"]["version"] for e in (*first["edges"], *rest["edges"])]
    assert versions == [3, 2, 1]


# --- money ----------------------------------------------------------------------------------------


def test_each_month_has_what_came_in_and_what_went_out(bank: Served, customer: str) -> None:
    account = opened_in_2024(bank, customer, "1000.00")
    paid(bank, account, "120.00", "2024-02-03", counterparty="City Works")
    paid(bank, account, "30.00", "2024-02-20", counterparty="City Works")

    january, february = asked(bank, CASH_FLOW, customer)["behaviour"]["cashFlow"]
    assert (january["month"], january["income"]["amount"]) == ("2024-01", "1000.00")
    assert february == {
        "month": "2024-02",
        "income": {"amount": "0.00"},
        "outgo": {"amount": "150.00"},
        "net": {"amount": "-150.00"},
        "movements": 2,
    }


def test_only_the_latest_months_are_shown_if_so_many_are_asked_for(
    bank: Served, customer: str
) -> None:
    account = opened_in_2024(bank, customer, "1000.00")
    for month in ("2024-02", "2024-03"):
        paid(bank, account, "1.00", f"{month}-03")
    flow = asked(bank, CASH_FLOW, customer, months=2)["behaviour"]["cashFlow"]
    assert [month["month"] for month in flow] == ["2024-02", "2024-03"]


@pytest.mark.parametrize("undone", [False, True])
def test_what_goes_to_another_account_of_one_s_own_is_neither_income_nor_outgo(
    bank: Served, customer: str, undone: bool
) -> None:
    account = opened_in_2024(bank, customer, "1000.00")
    savings = opened_in_2024(bank, customer, "1.00")
    then = {"commandId": str(uuid4()), "effectiveAt": "2024-02-03T12:00:00Z"}
    bank.send(
        "transfer", meta=then, fromAccountId=account, toAccountId=savings, amount=eur("400.00")
    )
    if undone:
        undo = {"commandId": str(uuid4()), "effectiveAt": "2024-02-04T12:00:00Z"}
        reversal = {"originalId": then["commandId"], "reason": "a mistake"}
        sent = bank.send(
            "reverseMovement",
            "... on AccountChanged { account { uuid } }",
            meta=undo,
            accountId=account,
            **reversal,
        )
        assert sent["__typename"] == "AccountChanged", sent
    paid(bank, account, "10.00", "2024-02-05")

    (_, february) = asked(bank, CASH_FLOW, customer)["behaviour"]["cashFlow"]
    assert (february["income"]["amount"], february["outgo"]["amount"]) == ("0.00", "10.00")
    assert february["movements"] == 1


@pytest.mark.parametrize("months", [0, 25])
def test_so_many_months_are_not_kept(bank: Served, customer: str, months: int) -> None:
    (error,) = bank.errors(CASH_FLOW, id=customer, months=months)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_customer_who_was_last_seen_over_a_year_ago_is_dormant(bank: Served) -> None:
    customer = active_customer(bank)
    last = datetime.now(UTC) - timedelta(days=400)
    told(bank, customer, LOGIN, at=last.strftime("%Y-%m-%dT%H:%M:%SZ"))
    dormancy = asked(bank, BEHAVIOUR, customer)["behaviour"]["dormancy"]
    assert (dormancy["lastActiveOn"], dormancy["dormant"]) == (str(last.date()), True)
    assert dormancy["days"] in (400, 401)


# --- what the customer agrees to ------------------------------------------------------------------

PROCESSING = """
    query ($id: ID!, $asOf: AsOf) {
        customer(id: $id, asOf: $asOf) {
            processing { processing ground purposes done missing because }
            behaviour { churnRisk { probability } lifeEvents { kind } spending { count } }
            relationships { edges { node { kind } } }
            signals { edges { node { kind } } }
        }
    }
"""


def withdrawn(bank: Served, customer: str, purpose: str) -> None:
    sent = bank.send("withdrawConsent", customerId=customer, purpose=purpose, version="1")
    assert sent["__typename"] == "CustomerChanged", sent


def not_done(found: Any) -> dict[str, tuple[str, str]]:
    """What is not done, for want of which purpose, and why."""
    return {
        each["processing"]: (each["missing"], each["because"])
        for each in found["processing"]
        if not each["done"]
    }


def watched(bank: Served, customer: str) -> str:
    """A customer of whom something is known of each kind, and his account."""
    told(bank, customer, LOGIN)
    told(bank, customer, {"lifeEvent": {"kind": "MARRIAGE"}})
    told(bank, customer, {"churnRisk": {"probability": 0.3, "horizonDays": 90, "model": "M1"}})
    account = opened_in_2024(bank, customer, "5000.00")
    for month in range(2, 5):
        paid(bank, account, "700.00", f"2024-{month:02}-02", counterparty="Fairview Homes")
    return account


def kinds(found: Any, part: str) -> list[str]:
    return [edge["node"]["kind"] for edge in found[part]["edges"]]


def test_of_who_agrees_everything_is_done(bank: Served, customer: str) -> None:
    watched(bank, customer)
    found = asked(bank, PROCESSING, customer)
    assert not not_done(found)
    assert found["behaviour"]["churnRisk"] == {"probability": 0.3}
    assert kinds(found, "relationships") == ["COUNTERPARTY"]
    assert kinds(found, "signals") == ["CHURN_RISK", "LIFE_EVENT", "LOGIN"]


def test_of_who_never_agreed_it_is_said_why_nothing_is_shown(bank: Served) -> None:
    found = asked(bank, PROCESSING, active_customer(bank))
    assert not_done(found) == dict.fromkeys(
        ("SPENDING_PATTERN", "REGULAR_COUNTERPARTIES", "LIFE_EVENTS", "CHURN_RISK"),
        ("PROFILING", "NOT_GRANTED"),
    )


def test_what_rests_on_a_consent_is_gone_when_it_is_withdrawn(bank: Served, customer: str) -> None:
    watched(bank, customer)
    withdrawn(bank, customer, "PROFILING")

    found = asked(bank, PROCESSING, customer)
    assert set(not_done(found).values()) == {("PROFILING", "WITHDRAWN")}
    assert found["behaviour"] == {"churnRisk": None, "lifeEvents": [], "spending": []}
    assert kinds(found, "relationships") == []
    assert kinds(found, "signals") == ["LOGIN"]


def test_a_kind_that_is_not_shown_is_not_found_by_asking_for_it(
    bank: Served, customer: str
) -> None:
    watched(bank, customer)
    withdrawn(bank, customer, "PROFILING")
    assert asked(bank, SIGNALS, customer, kind="LIFE_EVENT")["signals"]["edges"] == []


def test_that_something_was_told_stands_in_the_history_and_not_what(
    bank: Served, customer: str
) -> None:
    watched(bank, customer)
    timeline = """query ($id: ID!) {
        customer(id: $id) {
            timeline(types: ["signal.life_event_reported.v1"]) { edges { node { data } } }
        }
    }"""
    (before,) = asked(bank, timeline, customer)["timeline"]["edges"]
    withdrawn(bank, customer, "PROFILING")
    (after,) = asked(bank, timeline, customer)["timeline"]["edges"]
    assert before["node"]["data"]["life_event"] == {"kind": "MARRIAGE"}
    assert after["node"]["data"].keys() == {"report"}


def test_what_was_agreed_to_at_a_moment_is_shown_as_of_it(bank: Served, customer: str) -> None:
    watched(bank, customer)
    then = asked(bank, PROCESSING, customer)
    with psycopg.connect(bank.database) as connection:
        head = "SELECT max(notification_id) FROM ledgertwin.bank_events"
        (position,) = connection.execute(head).fetchone() or (0,)
    withdrawn(bank, customer, "PROFILING")

    at = {"position": str(position)}
    assert asked(bank, PROCESSING, customer, asOf=at) == then
    assert asked(bank, PROCESSING, customer) != then


def test_who_agrees_again_begins_anew(bank: Served, customer: str) -> None:
    watched(bank, customer)
    withdrawn(bank, customer, "PROFILING")
    bank.send("grantConsent", customerId=customer, purpose="PROFILING", version="2")

    found = asked(bank, PROCESSING, customer)
    assert not not_done(found)
    assert found["behaviour"] == {"churnRisk": None, "lifeEvents": [], "spending": []}


def test_a_consent_that_has_ended_stops_what_rests_on_it(bank: Served) -> None:
    customer = active_customer(bank)
    ended = {"purpose": "PROFILING", "version": "1", "validUntil": "2025-12-31"}
    bank.send("grantConsent", customerId=customer, **ended)
    found = asked(bank, PROCESSING, customer)
    assert not_done(found)["LIFE_EVENTS"] == ("PROFILING", "EXPIRED")


def test_of_who_has_withdrawn_nothing_more_is_taken_or_judged(bank: Served, customer: str) -> None:
    withdrawn(bank, customer, "PROFILING")
    withdrawn(bank, customer, "MARKETING")
    refused = bank.send(
        "pushEvent",
        "... on Refused { details }",
        customerId=customer,
        source="crm",
        sourceEventId="e1",
        occurredAt=DAY,
        event={"lifeEvent": {"kind": "MARRIAGE"}},
    )
    assert (refused["code"], refused["details"]) == (
        "PROCESSING_NOT_CONSENTED",
        {"processing": "LIFE_EVENTS", "purpose": "PROFILING", "because": "WITHDRAWN"},
    )
    segment = bank.send("assignSegment", customerId=customer, segment="PRIVATE", factors=[])
    assert segment["code"] == "PROCESSING_NOT_CONSENTED"


def test_fraud_is_looked_for_whatever_a_customer_agrees_to(bank: Served, customer: str) -> None:
    withdrawn(bank, customer, "PROFILING")
    account = open_account(bank, customer, deposit="100.00")
    card = str(uuid4())
    bank.send(
        "issueCard",
        cardId=card,
        accountId=account,
        customerId=customer,
        cardType="VIRTUAL",
        bin="411111",
        expiry={"year": 2099, "month": 1},
        activate=True,
    )
    decided = bank.send(
        "authorizeCard",
        "... on AuthorizationDecided { outcome authorization { risk { decision } } }",
        cardId=card,
        amount=eur("10.00"),
        merchant={"merchantId": "M1", "name": "A shop", "mcc": "5411", "country": "CZ"},
        entryMode="CHIP",
        channel="POINT_OF_SALE",
        occurredAt="2026-03-02T08:15:00Z",
    )
    assert decided["authorization"]["risk"] is not None
    assert asked(bank, SPENDING, customer)["behaviour"]["spending"] == []


# --- relationships --------------------------------------------------------------------------------


def test_who_may_dispose_of_an_account_is_related_to_its_owner_and_the_other_way_round(
    bank: Served, customer: str
) -> None:
    account = open_account(bank, customer)
    other = active_customer(bank)
    bank.send("addHolder", accountId=account, customerId=other, role="AUTHORIZED")

    (owner_s,) = asked(bank, RELATIONSHIPS, customer)["relationships"]["edges"]
    (other_s,) = asked(bank, RELATIONSHIPS, other)["relationships"]["edges"]
    assert owner_s["node"]["kind"] == "AUTHORIZED_BY_IT"
    assert owner_s["node"]["target"] == {"uuid": other}
    assert other_s["node"]["kind"] == "AUTHORIZES_IT"
    assert other_s["node"]["target"] == {"uuid": customer}


def test_whom_a_customer_pays_each_month_is_a_counterparty(bank: Served, customer: str) -> None:
    account = opened_in_2024(bank, customer, "5000.00")
    for month in range(2, 8):
        paid(bank, account, "700.00", f"2024-{month:02}-02", counterparty="Fairview Homes")
    paid(bank, account, "20.00", "2024-03-09", counterparty="a shop once")

    (edge,) = asked(bank, RELATIONSHIPS, customer)["relationships"]["edges"]
    assert edge["node"] == {
        "kind": "COUNTERPARTY",
        "name": "Fairview Homes",
        "since": "2024-02-02",
        "confidence": 7 / 8,
        "count": 6,
        "paidOut": {"amount": "4200.00"},
        "target": None,
    }


def test_a_cursor_tells_nothing_of_whom_a_customer_pays(bank: Served, customer: str) -> None:
    account = opened_in_2024(bank, customer, "5000.00")
    for month in range(2, 6):
        for name in ("Fairview Homes", "City Works"):
            paid(bank, account, "10.00", f"2024-{month:02}-02", counterparty=name)

    first = asked(bank, RELATIONSHIPS, customer, first=1)["relationships"]
    (edge,) = first["edges"]
    assert b"Works" not in b64decode(edge["cursor"] + "==", altchars=b"-_")
    assert b"Homes" not in b64decode(edge["cursor"] + "==", altchars=b"-_")
    (other,) = asked(bank, RELATIONSHIPS, customer, after=edge["cursor"])["relationships"]["edges"]
    named = {edge["node"]["name"], other["node"]["name"]}
    assert named == {"Fairview Homes", "City Works"}


def test_a_counterparty_at_this_bank_is_known_as_the_customer_that_it_is(
    bank: Served, customer: str
) -> None:
    account = opened_in_2024(bank, customer, "5000.00")
    landlord = active_customer(bank)
    landlord_s = opened_in_2024(bank, landlord, "1.00")
    savings = opened_in_2024(bank, customer, "1.00")
    for month in range(2, 6):
        for to in (landlord_s, savings):
            bank.send(
                "transfer",
                meta={"commandId": str(uuid4()), "effectiveAt": f"2024-{month:02}-02T12:00:00Z"},
                fromAccountId=account,
                toAccountId=to,
                amount=eur("100.00"),
            )

    (edge,) = asked(bank, RELATIONSHIPS, customer)["relationships"]["edges"]
    assert edge["node"]["target"] == {"uuid": landlord}
    assert (edge["node"]["name"], edge["node"]["count"]) == (None, 4)


def test_relationships_are_paged(bank: Served, customer: str) -> None:
    account = open_account(bank, customer)
    others = {active_customer(bank) for _ in range(3)}
    for other in others:
        bank.send("addHolder", accountId=account, customerId=other, role="AUTHORIZED")
    first = asked(bank, RELATIONSHIPS, customer, first=2)["relationships"]
    cursor = first["edges"][-1]["cursor"]
    rest = asked(bank, RELATIONSHIPS, customer, first=2, after=cursor)["relationships"]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    pages = (*first["edges"], *rest["edges"])
    assert {edge["node"]["target"]["uuid"] for edge in pages} == others


# --- completeness ---------------------------------------------------------------------------------


def test_what_is_missing_of_a_customer_is_named(bank: Served, customer: str) -> None:
    found = asked(bank, COMPLETENESS, customer)["completeness"]
    assert found["missing"] == [
        *("birthDate", "address", "screening"),
        *("nationalId", "risk", "email", "phone"),
        *("accounts", "engagement"),
    ]
    assert found["score"] < found["target"] == 0.95


def test_a_customer_of_whom_all_was_learnt_is_complete(bank: Served) -> None:
    customer = active_customer(
        bank,
        birthDate="1815-12-10",
        nationalId="151210/1234",
        email="ada@example.com",
        phone="+420 123 456 789",
        address="1 Example Street",
    )
    clear = {"listVersion": "1", "outcome": "CLEAR", "matches": []}
    bank.send("recordScreeningResult", customerId=customer, **clear)
    bank.send("changeRiskRating", customerId=customer, rating="LOW", factors=[])
    bank.send("grantConsent", customerId=customer, purpose="newsletter", version="1")
    open_account(bank, customer)
    told(bank, customer, LOGIN)
    found = asked(bank, COMPLETENESS, customer)["completeness"]
    assert found == {"score": 1.0, "target": 0.95, "missing": [], "stale": []}


# --- then -----------------------------------------------------------------------------------------

THEN = """
    query ($id: ID!, $asOf: AsOf!) {
        customer(id: $id, asOf: $asOf) {
            signals(first: 5) { edges { node { kind } } }
            behaviour {
                channels { logins }
                cashFlow { month outgo { amount } }
                dormancy { lastActiveOn days }
            }
            relationships(first: 5) { edges { node { kind name } } }
            completeness { missing }
        }
    }
"""


def test_all_of_it_is_shown_as_it_was_at_a_moment(bank: Served, customer: str) -> None:
    account = opened_in_2024(bank, customer, "5000.00")
    told(bank, customer, LOGIN)
    for month in range(2, 5):
        paid(bank, account, "700.00", f"2024-{month:02}-02", counterparty="Fairview Homes")
    with psycopg.connect(bank.database) as connection:
        head = "SELECT max(notification_id) FROM ledgertwin.bank_events"
        (position,) = connection.execute(head).fetchone() or (0,)
    then = asked(bank, THEN, customer, asOf={"position": str(position)})
    told(bank, customer, {"lifeEvent": {"kind": "MARRIAGE"}})
    told(bank, customer, LOGIN)
    paid(bank, account, "9.00", "2024-04-20", counterparty="Fairview Homes")

    assert asked(bank, THEN, customer, asOf={"position": str(position)}) == then
    assert [edge["node"]["kind"] for edge in then["signals"]["edges"]] == ["LOGIN"]
    assert then["behaviour"]["channels"] == [{"logins": 1}]
    assert then["behaviour"]["cashFlow"][-1]["outgo"]["amount"] == "700.00"
    assert [edge["node"]["name"] for edge in then["relationships"]["edges"]] == ["Fairview Homes"]


def test_dormancy_is_reckoned_to_the_day_of_the_moment(bank: Served) -> None:
    customer = str(uuid4())
    bank.send(
        "registerCustomer",
        meta={"commandId": str(uuid4()), "effectiveAt": "2024-01-02T12:00:00Z"},
        customerId=customer,
        kind="PERSON",
        name="Ada",
        country="CZ",
        taxResidence="CZ",
    )
    told(bank, customer, LOGIN, at="2025-03-01T07:30:00Z")
    days = [
        asked(bank, THEN, customer, asOf={"effectiveAt": at})["behaviour"]["dormancy"]
        for at in ("2024-01-12T00:00:00Z", "2025-03-11T00:00:00Z")
    ]
    assert days == [
        {"lastActiveOn": None, "days": 10},
        {"lastActiveOn": "2025-03-01", "days": 10},
    ]


# --- cards ----------------------------------------------------------------------------------------

SPENDING = """
    query ($id: ID!) {
        customer(id: $id) {
            behaviour {
                spending {
                    count amount { amount currency }
                    byCategory { mcc count amount { amount } }
                    byHour { hour count }
                    byWeekday { weekday count }
                    lastAt
                }
                dormancy { lastActiveOn }
            }
        }
    }
"""


def test_what_cards_were_used_for_is_shown_by_category_hour_and_day(
    bank: Served, customer: str
) -> None:
    accounts = [open_account(bank, customer, deposit="500.00") for _ in range(2)]
    for account, minor, mcc, at in (
        (accounts[0], "10.00", "5411", "2026-03-02T08:15:00Z"),
        (accounts[0], "20.00", "5812", "2026-03-08T19:00:00Z"),
        (accounts[1], "15.00", "5411", "2026-03-09T08:45:00Z"),
    ):
        card = str(uuid4())
        bank.send(
            "issueCard",
            cardId=card,
            accountId=account,
            customerId=customer,
            cardType="VIRTUAL",
            bin="411111",
            expiry={"year": 2099, "month": 1},
            activate=True,
        )
        decided = bank.send(
            "authorizeCard",
            "... on AuthorizationDecided { outcome }",
            cardId=card,
            amount=eur(minor),
            merchant={"merchantId": f"M{mcc}", "name": "A shop", "mcc": mcc, "country": "CZ"},
            entryMode="CHIP",
            channel="POINT_OF_SALE",
            occurredAt=at,
        )
        assert decided["outcome"] == "APPROVED", decided

    found = asked(bank, SPENDING, customer)["behaviour"]
    (pattern,) = found["spending"]
    assert (pattern["count"], pattern["amount"]) == (3, {"amount": "45.00", "currency": "EUR"})
    assert pattern["byCategory"] == [
        {"mcc": "5411", "count": 2, "amount": {"amount": "25.00"}},
        {"mcc": "5812", "count": 1, "amount": {"amount": "20.00"}},
    ]
    assert [hour["count"] for hour in pattern["byHour"]] == [
        {8: 2, 19: 1}.get(hour, 0) for hour in range(24)
    ]
    days = {day["weekday"]: day["count"] for day in pattern["byWeekday"]}
    assert days == {1: 2, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 1}
    assert pattern["lastAt"] == "2026-03-09T08:45:00Z"


# --- who asks -------------------------------------------------------------------------------------


def test_who_is_on_the_other_side_is_seen_as_far_as_one_may(guarded: Guarded) -> None:
    clerk = guarded.as_somebody_with(*Scope)
    customer = agreeing(clerk, active_customer(clerk))
    account = opened_in_2024(clerk, customer, "5000.00")
    for month in range(2, 5):
        paid(clerk, account, "700.00", f"2024-{month:02}-02", counterparty="Fairview Homes")
    seen = [
        asked(guarded.as_somebody_with(Scope.READ, *more), RELATIONSHIPS, customer)
        for more in ((), (Scope.PERSONAL_MASKED,), (Scope.PERSONAL_CLEAR,))
    ]
    names = [one["relationships"]["edges"][0]["node"]["name"] for one in seen]
    assert names == [None, "***omes", "Fairview Homes"]


def test_a_source_may_tell_and_see_nothing(guarded: Guarded) -> None:
    customer = active_customer(guarded.as_somebody_with(*Scope))
    source = guarded.as_somebody_with(Scope.PUSH_EVENTS)
    sent = source.send(
        "pushEvent",
        "... on EventPushed { known }",
        customerId=customer,
        source="crm",
        sourceEventId="e1",
        occurredAt=DAY,
        event=LOGIN,
    )
    assert sent == {"__typename": "EventPushed", "known": False}
    (error, *_) = source.errors(COMPLETENESS, id=customer)
    assert error["extensions"]["missingScope"] == Scope.READ
