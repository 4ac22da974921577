"""A customer with an account, a card and an alert; and how tests ask for resources."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

RULE = {
    "code": "ABOVE_80",
    "words": "more than 80",
    "when": "amount > 8000",
    "floor": 0.8,
    "owner": "risk",
}
MERCHANT = {"merchantId": "M1", "name": "Baker", "mcc": "5462", "country": "CZ"}
NOON = "2026-03-01T12:00:00Z"


@dataclass(frozen=True)
class Spender:
    customer: str
    account: str
    card: str
    token: str
    """Of the last command: what is read with it shows everything."""


def spender(bank: Served, name: str = "Ada Spender", **personal: str) -> Spender:
    """Somebody whose card was used for what the bank finds suspicious."""
    published = bank.send("publishRules", rules=[RULE], publisher="officer")
    assert published["__typename"] == "RiskPolicyChanged", published
    customer = active_customer(bank, name, **personal)
    account, card = open_account(bank, customer, deposit="1000.00"), str(uuid4())
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
    return Spender(customer, account, card, suspicious_use(bank, card))


def suspicious_use(bank: Served, card: str) -> str:
    """One more, and one more alert: the consistency token of it."""
    answer = bank.send(
        "authorizeCard",
        "... on AuthorizationDecided { outcome receipt { consistencyToken } }",
        cardId=card,
        amount=eur("85.00"),
        merchant=MERCHANT,
        entryMode="CHIP",
        channel="POINT_OF_SALE",
        occurredAt=NOON,
    )
    assert answer["outcome"] == "CHALLENGED", answer
    token: str = answer["receipt"]["consistencyToken"]
    return token


def get(bank: Served, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
    return bank.http.get(f"/v1{path}", params=query, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said["status"] == answer.status_code
    return answer.status_code, said["code"]
