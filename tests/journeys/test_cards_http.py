"""A card's life over HTTP, against `ledgertwin serve`: spent with, doubted, and looked into."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from gql import gql

from tests.interfaces.cli.ledgertwin import Ledgertwin, free_port, wait_for
from tests.journeys.test_http import Teller

RULES: Final = [
    {
        "code": "ABOVE_80",
        "words": "the amount is above 80.00",
        "when": "amount > 8000",
        "floor": 0.8,
        "owner": "risk",
    },
    {
        "code": "ABOVE_400",
        "words": "the amount is above 400.00",
        "when": "amount > 40000",
        "floor": 0.97,
        "owner": "risk",
    },
]
BAKER: Final = {"merchantId": "M1", "name": "Baker", "mcc": "5462", "country": "CZ"}
AUTHORIZATION: Final = (
    "authorization { uuid status approved { amount } held { amount } cleared { amount }"
    " refunded { amount } declineReasons risk { decision reasons { words } degraded } }"
)
RECEIPT: Final = "receipt { consistencyToken position }"
ERROR: Final = "... on CommandError { code message }"
ANSWERS: Final = {
    "AuthorizationDecided": "outcome approved { amount } approvalCode reason riskDecision score "
    + AUTHORIZATION,
    "CardTransactionPosted": "amount { amount } matched { amount } " + AUTHORIZATION,
    "FraudAlertChanged": "alert { status authorization { label { fraudulent } } }",
    "RiskPolicyChanged": "riskPolicy { rulesSha256 }",
}
LOOK: Final = gql(
    """
    query Look($customer: ID!, $card: ID!, $token: ConsistencyToken!) {
        riskProfile(customerId: $customer, consistency: { atLeast: $token, timeoutMs: 10000 }) {
            score band openAlerts confirmedFrauds counts { decision count }
            factors { words } history { score }
        }
        fraudAlerts(first: 10, status: OPEN) {
            edges { node { uuid severity merchant amount { amount } customer { uuid } } }
        }
        card(id: $card) {
            patterns { devices addresses shortestGapSeconds flags }
            authorizations(first: 10) { edges { node { uuid status } } }
            account {
                balance { amount } available { amount } held { amount }
                transactions(first: 10) { edges { node { kind amount { amount } } } }
            }
        }
    }
    """
)


class Cardholder:
    """Ada, her account and her card."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller
        self._send = teller.send
        person = {"kind": "PERSON", "name": "Ada Lovelace", "country": "CZ", "taxResidence": "CZ"}
        self.customer = self._send("registerCustomer", "customer", **person)["customer"]["uuid"]
        passport = {"docType": "PASSPORT", "issuerCountry": "CZ", "docHash": "ab" * 32}
        known = {"customerId": self.customer}
        self._send("submitKycEvidence", "customer", maker="clerk", **passport, **known)
        approval = {"tier": 2, "validUntil": "2099-12-31", "reviewer": "officer"}
        self._send("approveKyc", "customer", **approval, **known)
        opened = self._send("openAccount", "account", product="CURRENT", currency="EUR", **known)
        self.account = opened["account"]["uuid"]
        self._send("depositCash", "account", accountId=self.account, amount=eur("500.00"))
        issued = self._send(
            "issueCard",
            "card",
            accountId=self.account,
            cardType="VIRTUAL",
            bin="411111",
            expiry={"year": 2099, "month": 1},
            activate=True,
            **known,
        )
        self.card = issued["card"]["uuid"]
        self.now = datetime.now(UTC) - timedelta(hours=2)

    def tell(self, mutation: str, success: str, **fields: Any) -> dict[str, Any]:
        query = gql(
            f"mutation ($input: {mutation[0].upper()}{mutation[1:]}Input!) {{"
            f" {mutation}(input: $input) {{ __typename"
            f" ... on {success} {{ {RECEIPT} {ANSWERS[success]} }} {ERROR} }} }}"
        )
        given = {"meta": {"commandId": str(uuid4())}, **fields}
        answer: dict[str, Any] = self.teller.ask(query, input=given)[mutation]
        assert answer["__typename"] == success, answer
        return answer

    def spend(self, amount: str, **said: Any) -> dict[str, Any]:
        self.now += timedelta(minutes=5)
        return self.tell(
            "authorizeCard",
            "AuthorizationDecided",
            cardId=self.card,
            amount=eur(amount),
            merchant=BAKER,
            entryMode="ECOMMERCE",
            channel="ECOMMERCE",
            occurredAt=self.at,
            **said,
        )

    def report(self, mutation: str, amount: str, authorization: str) -> dict[str, Any]:
        return self.tell(
            mutation,
            "CardTransactionPosted",
            cardId=self.card,
            amount=eur(amount),
            merchant=BAKER,
            occurredAt=self.at,
            authorizationId=authorization,
        )

    def look(self, answer: dict[str, Any]) -> dict[str, Any]:
        token = answer["receipt"]["consistencyToken"]
        return self.teller.ask(LOOK, customer=self.customer, card=self.card, token=token)

    @property
    def at(self) -> str:
        return self.now.isoformat()


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cardholder]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    bank = Ledgertwin(tmp_path_factory.mktemp("home"))
    with bank.started("serve", "--open", "--port", str(port)) as process:
        wait_for(lambda: _answers(address), seconds=60)
        yield Cardholder(Teller(address))
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/readyz").status_code == httpx.codes.OK
    return False


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def test_a_card_s_life(ada: Cardholder) -> None:
    ada.tell("publishRules", "RiskPolicyChanged", rules=RULES, publisher="officer")

    # Bread is bought: the money is held, then taken, and half of it comes back.
    bread = ada.spend("12.00", device="phone-1", address="203.0.113.7")
    assert (bread["outcome"], bread["approved"]["amount"]) == ("APPROVED", "12.00")
    assert bread["riskDecision"] == "APPROVE"
    first = bread["authorization"]["uuid"]
    assert bread["authorization"]["held"]["amount"] == "12.00"
    paid = ada.report("clearCardTransaction", "12.00", first)
    assert (paid["authorization"]["status"], paid["matched"]["amount"]) == ("CLEARED", "12.00")
    back = ada.report("clearCardRefund", "6.00", first)
    assert back["authorization"]["refunded"]["amount"] == "6.00"

    # Too much is declined for more than one reason: all are kept, and one is told.
    greedy = ada.spend("900.00", device="phone-2", address="203.0.113.8")
    assert (greedy["outcome"], greedy["reason"]) == ("DECLINED", "INSUFFICIENT_FUNDS")
    assert greedy["authorization"]["declineReasons"] == ["INSUFFICIENT_FUNDS", "RISK"]
    assert greedy["authorization"]["risk"]["reasons"][0]["words"] == "the amount is above 400.00"

    # A large amount is challenged, and approved when she has shown who she is.
    ring = ada.spend("100.00", device="phone-3", address="203.0.113.9")
    assert (ring["outcome"], ring["riskDecision"], ring["score"]) == (
        "CHALLENGED",
        "CHALLENGE",
        0.8,
    )
    second = ring["authorization"]["uuid"]
    shown = ada.tell(
        "completeChallenge",
        "AuthorizationDecided",
        cardId=ada.card,
        authorizationId=second,
        passed=True,
        at=ada.at,
    )
    assert (shown["outcome"], shown["authorization"]["held"]["amount"]) == ("APPROVED", "100.00")

    # An analyst sees all of that.
    last = ada.spend("1.00", device="phone-4", address="203.0.113.9")
    seen = ada.look(last)
    profile = seen["riskProfile"]
    assert (profile["score"], profile["band"], profile["openAlerts"]) == (0.97, "CRITICAL", 2)
    assert [use["score"] for use in profile["history"]] == [0.0, 0.8, 0.97, 0.0]
    alerts = [edge["node"] for edge in seen["fraudAlerts"]["edges"]]
    assert [(alert["severity"], alert["amount"]["amount"]) for alert in alerts] == [
        ("MEDIUM", "100.00"),
        ("HIGH", "900.00"),
    ]
    assert seen["card"]["patterns"] == {
        "devices": 4,
        "addresses": 3,
        "shortestGapSeconds": 300,
        "flags": ["MANY_DEVICES"],
    }
    statuses = [edge["node"]["status"] for edge in seen["card"]["authorizations"]["edges"]]
    assert statuses == ["PENDING", "PENDING", "DECLINED", "CLEARED"]
    account = seen["card"]["account"]
    assert (account["balance"]["amount"], account["held"]["amount"]) == ("494.00", "101.00")
    moved = [edge["node"]["amount"]["amount"] for edge in account["transactions"]["edges"]]
    assert moved == ["6.00", "-12.00", "500.00"]

    # He finds that one of them was fraud, and the bank has learnt it.
    closed = ada.tell(
        "confirmAlert",
        "FraudAlertChanged",
        alertId=alerts[1]["uuid"],
        analyst="ann",
        at=ada.at,
        note="she says it was not her",
    )
    assert closed["alert"] == {
        "status": "CONFIRMED",
        "authorization": {"label": {"fraudulent": True}},
    }
    profile = ada.look(closed)["riskProfile"]
    assert (profile["openAlerts"], profile["confirmedFrauds"]) == (1, 1)
