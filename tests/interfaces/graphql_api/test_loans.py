"""Loans over HTTP: an application from the draft to the money."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

NOW = datetime.now(UTC).replace(microsecond=0)
CHANGED = """... on LoanChanged {
    receipt { version events { streamId } }
    loanCase { uuid stage steps { stage } offer { amount { amount } acceptedAt } movementId }
}"""


def at(hours: float) -> str:
    """So many hours after the application began, two days ago."""
    moment = NOW - timedelta(days=2) + timedelta(hours=hours)
    return moment.isoformat().replace("+00:00", "Z")


class Desk:
    """A customer with an account, and what the bank does with her application."""

    def __init__(self, bank: Served) -> None:
        self.bank = bank
        self.customer = active_customer(bank)
        self.account = open_account(bank, self.customer)
        drafted = self.send(
            "draftLoan",
            customerId=self.customer,
            accountId=self.account,
            requested=eur("10000.00"),
            termMonths=60,
            purpose="VEHICLE",
            occurredAt=at(0),
        )
        self.case: str = drafted["loanCase"]["uuid"]

    def send(self, mutation: str, **fields: Any) -> dict[str, Any]:
        answer = self.bank.send(mutation, CHANGED, **fields)
        assert answer["__typename"] == "LoanChanged", answer
        return answer

    def about(self, mutation: str, hours: float, **fields: Any) -> dict[str, Any]:
        return self.send(mutation, caseId=self.case, occurredAt=at(hours), **fields)

    def underwritten(self) -> None:
        self.about("applyForLoan", 1)
        self.about("requestLoanDocuments", 2, kinds=["PAYSLIP"])
        self.about("receiveLoanDocument", 3, kind="PAYSLIP", docHash="ab" * 32, maker="clerk")
        self.about("beginUnderwriting", 4, underwriter="una")

    def approval(self, approver: str) -> dict[str, Any]:
        return {
            "caseId": self.case,
            "occurredAt": at(5),
            "approver": approver,
            "amount": eur("8000.00"),
            "rateBasisPoints": 590,
            "termMonths": 72,
            "validUntil": (NOW + timedelta(days=30)).date().isoformat(),
        }


@pytest.fixture
def desk(bank: Served) -> Desk:
    return Desk(bank)


def test_an_application_leads_to_money_on_the_account(bank: Served, desk: Desk) -> None:
    desk.underwritten()
    desk.send("approveLoan", **desk.approval("ava"))
    desk.about("acceptLoanOffer", 6)

    paid = desk.about("disburseLoan", 7)

    case = paid["loanCase"]
    assert [step["stage"] for step in case["steps"]] == [
        "DRAFT",
        "APPLIED",
        "DOCUMENTS",
        "UNDERWRITING",
        "OFFER",
        "DISBURSED",
    ]
    assert {event["streamId"] for event in paid["receipt"]["events"]} == {desk.case, desk.account}
    found = bank.ask(
        """query ($id: ID!) { account(id: $id) {
            balance { amount } transactions(first: 1) { edges { node { kind movementId } } }
        } }""",
        id=desk.account,
    )["account"]
    assert found["balance"]["amount"] == "8000.00"
    (movement,) = found["transactions"]["edges"]
    assert movement["node"] == {"kind": "LOAN", "movementId": case["movementId"]}


def test_whoever_has_underwritten_cannot_approve(bank: Served, desk: Desk) -> None:
    desk.underwritten()
    answer = bank.send("approveLoan", **desk.approval("una"))
    assert answer["code"] == "MAKER_IS_CHECKER"


def test_a_customer_shows_what_it_borrows_and_vouches_for(bank: Served, desk: Desk) -> None:
    friend = active_customer(bank, "Bob Byron")
    desk.about("addLoanGuarantor", 1, guarantorId=friend, amount=eur("500.00"))
    asked = """query ($id: ID!) { customer(id: $id) {
        loans(first: 5) { edges { node {
            uuid guarantors { customer { uuid } amount { amount } } account { uuid }
        } } }
        guarantees(first: 5) { edges { node { amount { amount } loanCase { uuid } } } }
    } }"""

    borrower = bank.ask(asked, id=desk.customer)["customer"]
    guarantor = bank.ask(asked, id=friend)["customer"]

    (loan,) = borrower["loans"]["edges"]
    assert loan["node"] == {
        "uuid": desk.case,
        "guarantors": [{"customer": {"uuid": friend}, "amount": {"amount": "500.00"}}],
        "account": {"uuid": desk.account},
    }
    assert borrower["guarantees"]["edges"] == []
    (guarantee,) = guarantor["guarantees"]["edges"]
    assert guarantee["node"] == {"amount": {"amount": "500.00"}, "loanCase": {"uuid": desk.case}}


def test_loans_are_listed_by_their_stage(bank: Served, desk: Desk) -> None:
    desk.about("applyForLoan", 1)
    desk.about("declineLoan", 2, reviewer="una", reasons=["INCOME_TOO_LOW"])
    asked = """query ($stage: LoanStage) { loanCases(first: 100, stage: $stage) {
        edges { node { uuid reasons reviewer endedAt } }
    } }"""

    declined = bank.ask(asked, stage="DECLINED")["loanCases"]["edges"]
    drafts = bank.ask(asked, stage="DRAFT")["loanCases"]["edges"]

    assert declined[0]["node"] == {
        "uuid": desk.case,
        "reasons": ["INCOME_TOO_LOW"],
        "reviewer": "una",
        "endedAt": at(2),
    }
    assert desk.case not in {edge["node"]["uuid"] for edge in drafts}


def test_a_loan_is_found_by_its_id_and_as_a_node(bank: Served, desk: Desk) -> None:
    asked = "query ($id: ID!) { loanCase(id: $id) { id customer { uuid } meta { position } } }"
    found = bank.ask(asked, id=desk.case)["loanCase"]
    assert found["customer"] == {"uuid": desk.customer}
    node = bank.ask(
        "query ($id: ID!) { node(id: $id) { ... on LoanCase { uuid } } }", id=found["id"]
    )
    assert node["node"] == {"uuid": desk.case}
