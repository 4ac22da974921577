"""What the bank is busy with: every instance is where its own read model says it is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from domain.customer import RiskRating
from domain.loan import ENDED, LoanStage
from domain.risk.alert import AlertStatus
from domain.risk.update import (
    RiskUpdateCarriedOut,
    RiskUpdateFoundNeedless,
    RiskUpdateStage,
    WhyNeedless,
)
from domain.value import changed
from projections.fraud_alerts import FRAUD_ALERTS
from projections.loans import LOANS
from projections.processes import (
    FINAL,
    PROCESSES,
    STAGES,
    Process,
    ProcessRow,
    StageDuration,
    Step,
    durations,
)
from projections.projection import fold_records
from projections.risk_updates import RISK_UPDATES
from tests.domain.risk.test_alert import (
    ALERT,
    CONFIRMED,
    DISMISSED,
    INVESTIGATED,
    LATER,
    NOON,
    RAISED,
)
from tests.domain.risk.test_update import REQUESTED, UPDATE
from tests.domain.test_loan import CASE, DISBURSED, READY, day
from tests.examples import ADA
from tests.projections.histories import Chronicle, recorded
from tests.projections.test_loans import cases


def instance(stream_id: UUID, *events: Any) -> ProcessRow:
    return fold_records(PROCESSES, recorded(stream_id, *events))[stream_id,]


@given(cases())
def test_a_loan_is_at_the_stage_that_it_is_at(chronicle: Chronicle) -> None:
    row = fold_records(PROCESSES, chronicle.records)[CASE,]
    loan = fold_records(LOANS, chronicle.records)[CASE,]

    assert (row.process, row.stage, row.customer_id) == (Process.LOAN, loan.stage, ADA)
    assert [(s.stage, s.entered_at) for s in row.steps] == [
        (s.stage, s.entered_at) for s in loan.steps
    ]
    assert (row.began_at, row.ended_at) == (loan.drafted_at, loan.ended_at)
    assert (row.position, row.last_position) == (loan.position, loan.last_position)


@pytest.mark.parametrize(
    "happened",
    [(), (INVESTIGATED,), (CONFIRMED,), (INVESTIGATED, DISMISSED)],
    ids=["open", "investigated", "confirmed", "dismissed"],
)
def test_an_alert_is_at_the_stage_that_it_is_at(happened: tuple[Any, ...]) -> None:
    row = instance(ALERT, RAISED, *happened)
    alert = fold_records(FRAUD_ALERTS, recorded(ALERT, RAISED, *happened))[ALERT,]

    assert (row.process, row.stage) == (Process.FRAUD_ALERT, alert.status)
    assert (row.began_at, row.ended_at) == (alert.occurred_at, alert.closed_at)


def test_an_alert_that_another_analyst_takes_over_stays_where_it_is() -> None:
    row = instance(ALERT, RAISED, INVESTIGATED, INVESTIGATED)
    assert [step.stage for step in row.steps] == [AlertStatus.OPEN, AlertStatus.INVESTIGATING]


def test_nobody_stays_for_less_than_no_time() -> None:
    """The analyst's clock is behind."""
    early = type(CONFIRMED)(analyst="ann", at=NOON - timedelta(hours=1), note="")
    row = instance(ALERT, RAISED, early)
    assert (row.entered_at, row.ended_at) == (NOON, NOON)


@pytest.mark.parametrize(
    ("end", "stage"),
    [
        (
            RiskUpdateCarriedOut(rating=RiskRating.HIGH, occurred_at=LATER),
            RiskUpdateStage.CARRIED_OUT,
        ),
        (
            RiskUpdateFoundNeedless(why=WhyNeedless.RATED_SO, occurred_at=LATER),
            RiskUpdateStage.NEEDLESS,
        ),
    ],
)
def test_a_risk_update_is_at_the_stage_that_it_is_at(end: Any, stage: RiskUpdateStage) -> None:
    row = instance(UPDATE, REQUESTED, end)
    update = fold_records(RISK_UPDATES, recorded(UPDATE, REQUESTED, end))[UPDATE,]

    assert (row.process, row.stage, update.stage) == (Process.RISK_UPDATE, stage, stage)
    assert update.why_needless == getattr(end, "why", None)
    assert (update.rating, update.factors) == (REQUESTED.rating, REQUESTED.factors)


def test_stages_that_nothing_leaves_are_known() -> None:
    assert {*ENDED} == {stage for stage in STAGES[Process.LOAN] if stage in FINAL}
    assert {stage for stage in STAGES[Process.FRAUD_ALERT] if stage in FINAL} == {
        AlertStatus.CONFIRMED,
        AlertStatus.DISMISSED,
    }


# --- how long it takes ----------------------------------------------------------------------------


def going(*minutes: float) -> ProcessRow:
    """A loan that stayed for so many minutes at each of its first stages."""
    steps, at = [], day(0)
    for stage, spent in zip(LoanStage, [*minutes, 0.0], strict=False):
        steps.append(Step(stage=stage, entered_at=at))
        at += timedelta(minutes=spent)
    row: ProcessRow = changed(instance(CASE, READY[0]), steps=tuple(steps))
    return row


def test_a_stage_that_was_left_tells_how_long_it_took() -> None:
    told = durations(Process.LOAN, [going(minutes) for minutes in range(1, 11)])
    assert told == (
        StageDuration(stage="DRAFT", count=10, mean=330.0, median=300.0, ninth_decile=540.0),
    )


def test_the_stage_at_which_something_is_tells_nothing_yet() -> None:
    assert durations(Process.LOAN, [going()]) == ()


def test_stages_are_told_in_their_order() -> None:
    stages = [d.stage for d in durations(Process.LOAN, [going(1, 2, 3), going(5)])]
    assert stages == ["DRAFT", "APPLIED", "DOCUMENTS"]


def test_a_loan_that_was_paid_took_the_days_that_it_took() -> None:
    (draft, *_, offer) = durations(Process.LOAN, [instance(CASE, *READY, DISBURSED)])
    a_day = timedelta(days=1).total_seconds()
    assert (draft.stage, draft.median) == ("DRAFT", a_day)
    assert (offer.stage, offer.median) == ("OFFER", 2 * a_day)
