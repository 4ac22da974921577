"""Erasures over GraphQL: asked for by one, approved by another, and refused while something stands
against it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from domain.personal import Retention
from tests.interfaces.cli.ledgertwin import wait_for
from tests.interfaces.graphql_api.serving import Served, active_customer

ERASURE = "... on ErasureChanged { erasure { uuid stage requested kept { retention until } } }"
HOLDS = "query ($id: ID!) { customer(id: $id) { legalHolds { id reasonCode reviewOn } } }"


def requested(bank: Served, customer: str, **said: Any) -> dict[str, Any]:
    return bank.send(
        "requestErasure",
        ERASURE,
        customerId=customer,
        ground="CONSENT_WITHDRAWN",
        maker="clerk",
        **said,
    )


def holds(bank: Served, customer: str) -> list[dict[str, Any]]:
    in_force: list[dict[str, Any]] = bank.ask(HOLDS, id=customer)["customer"]["legalHolds"]
    return in_force


def test_an_erasure_is_of_everything_unless_it_says_otherwise(bank: Served) -> None:
    erasure = requested(bank, active_customer(bank))["erasure"]
    assert erasure["stage"] == "REQUESTED"
    assert erasure["requested"] == [retention.name for retention in Retention]


def test_somebody_else_approves_it(bank: Served) -> None:
    erasure = requested(bank, active_customer(bank))["erasure"]["uuid"]
    own = bank.send("approveErasure", erasureId=erasure, approver="clerk")
    assert own["code"] == "MAKER_IS_CHECKER"
    approved = bank.send("approveErasure", ERASURE, erasureId=erasure, approver="officer")
    assert approved["erasure"]["stage"] == "STARTED"
    assert approved["erasure"]["kept"] == [
        {"retention": kept, "until": None} for kept in ("IDENTITY", "PAYMENT")
    ]


def test_nobody_decides_in_the_name_of_a_day_to_come(bank: Served) -> None:
    erasure = requested(bank, active_customer(bank))["erasure"]["uuid"]
    ahead = (datetime.now(UTC) + timedelta(days=3000)).isoformat()
    answer = bank.send(
        "approveErasure",
        meta={"commandId": str(uuid4()), "effectiveAt": ahead},
        erasureId=erasure,
        approver="officer",
    )
    assert answer["__typename"] == "ValidationFailed"


def test_a_customer_shows_what_he_has_asked_for(bank: Served) -> None:
    customer = active_customer(bank)
    erasure = requested(bank, customer)["erasure"]["uuid"]
    document = """query ($id: ID!) {
      customer(id: $id) { erasures { edges { node { uuid customer { uuid } } } } }
    }"""
    (edge,) = bank.ask(document, id=customer)["customer"]["erasures"]["edges"]
    assert edge["node"] == {"uuid": erasure, "customer": {"uuid": customer}}


def test_a_hold_stands_against_it_until_it_is_lifted(bank: Served) -> None:
    customer = active_customer(bank)
    erasure = requested(bank, customer)["erasure"]["uuid"]
    bank.send(
        "placeLegalHold",
        customerId=customer,
        reasonCode="LITIGATION",
        legalBasis="a court",
        maker="counsel",
        reviewOn="2030-01-01",
    )
    held = bank.send("approveErasure", erasureId=erasure, approver="officer")
    assert held["code"] == "LEGAL_HOLD_IN_FORCE"
    wait_for(lambda: len(holds(bank, customer)) == 1)
    (hold,) = holds(bank, customer)
    assert (hold["reasonCode"], hold["reviewOn"]) == ("LITIGATION", "2030-01-01")
    bank.send("liftLegalHold", customerId=customer, legalHoldId=hold["id"], reviewer="judge")
    wait_for(lambda: holds(bank, customer) == [])


def test_a_request_may_be_declined(bank: Served) -> None:
    erasure = requested(bank, active_customer(bank))["erasure"]["uuid"]
    declined = bank.send(
        "declineErasure", ERASURE, erasureId=erasure, reason="taken back", reviewer="officer"
    )
    assert declined["erasure"]["stage"] == "DECLINED"
    again = bank.send("approveErasure", erasureId=erasure, approver="officer")
    assert again["code"] == "ERASURE_NOT_REQUESTED"


def test_erasures_are_listed_by_their_stage(bank: Served) -> None:
    erasure = requested(bank, active_customer(bank))["erasure"]["uuid"]
    document = "{ erasures(first: 50, stage: REQUESTED) { edges { node { uuid stage } } } }"
    nodes = [edge["node"] for edge in bank.ask(document)["erasures"]["edges"]]
    assert {"uuid": erasure, "stage": "REQUESTED"} in nodes
    assert {node["stage"] for node in nodes} == {"REQUESTED"}
