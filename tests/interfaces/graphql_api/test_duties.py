"""What takes two people, over HTTP: shown, refused to one, and done by two."""

from typing import Any
from uuid import uuid4

import pytest

from domain.duties import DUTIES
from interfaces.access.caller import Scope
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, active_customer, eur, open_account

PROPOSAL = "... on OverdraftChanged { proposal { uuid stage maker reviewer limit { amount } } }"
PROPOSED = """
    query ($stage: ProposalStage) {
        overdraftProposals(first: 100, stage: $stage) {
            edges { node { uuid account { uuid overdraftLimit { amount } } } }
        }
    }
"""


@pytest.fixture
def account(bank: Served) -> str:
    return open_account(bank, active_customer(bank), deposit="10.00")


def proposed(bank: Served, account: str, amount: str = "900.00", **maker: str) -> dict[str, Any]:
    sent = bank.send("proposeOverdraft", PROPOSAL, accountId=account, limit=eur(amount), **maker)
    found: dict[str, Any] = sent["proposal"]
    return found


def listed(bank: Served, stage: str) -> dict[str, str]:
    """Accounts by proposal, with their limits."""
    edges = bank.ask(PROPOSED, stage=stage)["overdraftProposals"]["edges"]
    return {
        edge["node"]["uuid"]: edge["node"]["account"]["overdraftLimit"]["amount"] for edge in edges
    }


def test_the_table_is_shown(bank: Served) -> None:
    step = "{ command field }"
    shown = bank.ask(f"{{ duties {{ name made {step} checked {step} }} }}")["duties"]
    assert [duty["name"] for duty in shown] == [duty.name for duty in DUTIES]
    assert {
        "name": "ERASURE",
        "made": {"command": "erasure.request", "field": "maker"},
        "checked": {"command": "erasure.approve", "field": "approver"},
    } in shown


def test_an_overdraft_is_proposed_by_one_and_approved_by_another(
    bank: Served, account: str
) -> None:
    proposal = proposed(bank, account, maker="clerk")
    assert (proposal["stage"], proposal["limit"]) == ("PROPOSED", {"amount": "900.00"})
    assert listed(bank, "PROPOSED")[proposal["uuid"]] == "0.00"

    own = bank.send("approveOverdraft", proposalId=proposal["uuid"], approver="Clerk")
    assert own["code"] == "MAKER_IS_CHECKER"
    answer = bank.send(
        "approveOverdraft", PROPOSAL, proposalId=proposal["uuid"], approver="officer"
    )
    approved = answer["proposal"]
    assert (approved["stage"], approved["reviewer"]) == ("APPROVED", "officer")
    assert listed(bank, "APPROVED")[proposal["uuid"]] == "900.00"


def test_a_proposal_may_be_declined(bank: Served, account: str) -> None:
    proposal = proposed(bank, account, maker="clerk")
    answer = bank.send("declineOverdraft", PROPOSAL, proposalId=proposal["uuid"], reviewer="clerk")
    assert answer["proposal"]["stage"] == "DECLINED"
    assert proposal["uuid"] not in listed(bank, "PROPOSED")


def test_nobody_raises_a_limit_alone(bank: Served, account: str) -> None:
    raised = bank.send("setOverdraftLimit", accountId=account, limit=eur("0.01"))
    assert raised["code"] == "SECOND_PERSON_NEEDED"
    customer = active_customer(bank)
    opened = bank.send(
        "openAccount",
        accountId=str(uuid4()),
        customerId=customer,
        product="CURRENT",
        currency="EUR",
        overdraftLimit=eur("0.01"),
    )
    assert opened["code"] == "SECOND_PERSON_NEEDED"


@pytest.mark.parametrize("named", [{}, {"approver": "somebody else"}], ids=["himself", "another"])
def test_one_caller_does_not_take_both_steps_whatever_his_scopes(
    guarded: Guarded, named: dict[str, str]
) -> None:
    ann = guarded.as_somebody_with(*Scope, subject="ann")
    proposal = proposed(ann, open_account(ann, active_customer(ann)))
    assert proposal["maker"] == "ann"

    answer = ann.send("approveOverdraft", proposalId=proposal["uuid"], **named)

    if named:
        assert [issue["rule"] for issue in answer["issues"]] == ["in-person"]
    else:
        assert answer["code"] == "MAKER_IS_CHECKER"
    bob = guarded.as_somebody_with(Scope.READ, Scope.WRITE, subject="bob")
    decided = bob.send("approveOverdraft", PROPOSAL, proposalId=proposal["uuid"])
    assert decided["proposal"]["reviewer"] == "bob"
