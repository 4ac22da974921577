"""Processes over HTTP: how many stand where, since when, and how long it takes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.interfaces.graphql_api.serving import Served, active_customer
from tests.interfaces.graphql_api.test_loans import Desk, at

STAGES = """query { process(process: LOAN) {
    underWay stages { stage final count waitingSince }
    durations { stage count meanSeconds medianSeconds ninthDecileSeconds }
} }"""


def loans(bank: Served) -> dict[str, Any]:
    found: dict[str, Any] = bank.ask(STAGES)["process"]
    return found


def counts(bank: Served) -> dict[str, int]:
    return {stage["stage"]: stage["count"] for stage in loans(bank)["stages"]}


@pytest.fixture
def desk(bank: Served) -> Desk:
    return Desk(bank)


def test_a_stage_counts_who_is_at_it(bank: Served, desk: Desk) -> None:
    before, under_way = counts(bank), loans(bank)["underWay"]
    desk.about("applyForLoan", 1)

    after = counts(bank)

    assert after["APPLIED"] == before["APPLIED"] + 1
    assert after["DRAFT"] == before["DRAFT"] - 1
    assert loans(bank)["underWay"] == under_way


def test_what_has_ended_is_not_under_way(bank: Served, desk: Desk) -> None:
    under_way, declined = loans(bank)["underWay"], counts(bank)["DECLINED"]
    desk.about("applyForLoan", 1)
    desk.about("declineLoan", 2, reviewer="una", reasons=["INCOME_TOO_LOW"])

    assert loans(bank)["underWay"] == under_way - 1
    assert counts(bank)["DECLINED"] == declined + 1


def test_a_stage_says_since_when_somebody_waits(bank: Served, desk: Desk) -> None:
    stages = {stage["stage"]: stage for stage in loans(bank)["stages"]}
    assert stages["DRAFT"]["waitingSince"] <= at(0)
    assert (stages["DISBURSED"]["final"], stages["DISBURSED"]["waitingSince"]) == (True, None)


def test_durations_are_those_of_stages_that_were_left(bank: Served, desk: Desk) -> None:
    desk.about("applyForLoan", 3)
    durations = {d["stage"]: d for d in loans(bank)["durations"]}
    assert durations["DRAFT"]["count"] >= 1
    draft = durations["DRAFT"]
    assert 0 < draft["medianSeconds"] <= draft["ninthDecileSeconds"] <= 3 * 3600


def test_an_instance_leads_to_what_it_is(bank: Served, desk: Desk) -> None:
    desk.about("applyForLoan", 1)
    asked = """query { process(process: LOAN) { instances(first: 1, stage: "APPLIED") { edges {
        node {
            process nodeId uuid stage beganAt endedAt secondsAtStage secondsUnderWay
            steps { stage enteredAt } customer { uuid }
        }
    } } } }"""

    (edge,) = bank.ask(asked)["process"]["instances"]["edges"]

    instance = edge["node"]
    assert (instance["uuid"], instance["stage"]) == (desk.case, "APPLIED")
    assert instance["customer"] == {"uuid": desk.customer}
    assert [step["enteredAt"] for step in instance["steps"]] == [at(0), at(1)]
    days = timedelta(days=2).total_seconds()
    # It began two days before this module was read, which may be long ago when all tests are run.
    assert days <= instance["secondsUnderWay"] < days + 12 * 3600
    assert instance["secondsUnderWay"] - instance["secondsAtStage"] == pytest.approx(3600, abs=60)
    node = bank.ask(
        "query ($id: ID!) { node(id: $id) { ... on LoanCase { uuid } } }", id=instance["nodeId"]
    )
    assert node["node"] == {"uuid": desk.case}


def test_a_stage_that_a_process_has_not_is_refused(bank: Served, desk: Desk) -> None:
    (error,) = bank.errors(
        """query { process(process: LOAN) { instances(stage: "OPEN") { edges { cursor } } } }"""
    )
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_every_process_is_there(bank: Served, desk: Desk) -> None:
    found = bank.ask("query { processes { process underWay } }")["processes"]
    assert [one["process"] for one in found] == ["LOAN", "FRAUD_ALERT", "RISK_UPDATE"]


def test_a_risk_update_is_requested_and_carried_out(bank: Served) -> None:
    customer = active_customer(bank)
    now = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    changed = """... on RiskUpdateChanged { riskUpdate {
        uuid stage cause rating before factors customer { uuid risk }
    } }"""
    score = {"bureau": "BUREAU", "score": 480, "lowest": 300, "highest": 850, "asOf": now[:10]}
    requested = bank.send(
        "requestRiskUpdateForScore", changed, customerId=customer, score=score, occurredAt=now
    )
    update = requested["riskUpdate"]
    assert (update["stage"], update["cause"], update["rating"]) == (
        "REQUESTED",
        "BUREAU_SCORE",
        "HIGH",
    )

    carried_out = bank.send("carryOutRiskUpdate", changed, updateId=update["uuid"], occurredAt=now)

    after = carried_out["riskUpdate"]
    assert (after["stage"], after["before"]) == ("CARRIED_OUT", None)
    assert after["customer"] == {"uuid": customer, "risk": "HIGH"}
    assert after["factors"] == ["BUREAU 480 of 300-850"]


def test_a_loan_is_shown_as_it_was(bank: Served, desk: Desk) -> None:
    drafted = desk.about("applyForLoan", 1)
    desk.about("requestLoanDocuments", 2, kinds=["PAYSLIP"])
    asked = """query ($id: ID!, $then: AsOf, $today: DateTime!) {
        now: loanCase(id: $id) { stage }
        then: loanCase(id: $id, asOf: $then) { stage steps { stage } }
        inEffect: loanCase(id: $id, asOf: { effectiveAt: $today }) { stage }
        first: loanCase(id: $id, asOf: { version: 1 }) { stage }
    }"""

    found = bank.ask(
        asked, id=desk.case, then={"version": drafted["receipt"]["version"]}, today=at(1.5)
    )

    assert {name: loan["stage"] for name, loan in found.items()} == {
        "now": "DOCUMENTS",
        "then": "APPLIED",
        "inEffect": "APPLIED",
        "first": "DRAFT",
    }


def test_what_the_bank_was_busy_with_is_shown_too(bank: Served, desk: Desk) -> None:
    position = bank.ask(
        "query ($id: ID!) { loanCase(id: $id) { meta { position } } }", id=desk.case
    )["loanCase"]["meta"]["position"]
    desk.about("withdrawLoan", 1, reason=str(uuid4()))
    asked = """query ($then: AsOf) {
        now: process(process: LOAN) { underWay stages { count } }
        then: process(process: LOAN, asOf: $then) { underWay durations { stage } }
    }"""

    found = bank.ask(asked, then={"position": position})

    assert found["then"]["underWay"] == found["now"]["underWay"] + 1
