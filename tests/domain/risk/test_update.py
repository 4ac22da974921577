from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from domain.customer import (
    CustomerClosed,
    CustomerIsClosed,
    CustomerOffboardingStarted,
    CustomerRiskRated,
    RiskRating,
)
from domain.refusal import AlreadyExists, NotFound
from domain.risk.alert import RiskAlert
from domain.risk.assessment import AlertSeverity
from domain.risk.update import (
    AlertNotConfirmed,
    CarryOutRiskUpdate,
    RequestRiskUpdateForAlert,
    RequestRiskUpdateForScore,
    RiskUpdateCarriedOut,
    RiskUpdateCause,
    RiskUpdateEnded,
    RiskUpdateFoundNeedless,
    RiskUpdateRequested,
    ScoreNoReason,
    WhyNeedless,
    rating_by,
    update_of,
)
from domain.signals import BureauScore
from tests.domain.risk.test_alert import ALERT, CONFIRMED, DISMISSED, RAISED
from tests.examples import ADA, BOB, active
from tests.scenario import InMemoryHistory, given, on

UPDATE = update_of(ALERT)
NOON = datetime(2024, 3, 2, 12, tzinfo=UTC)
VANTAGE = BureauScore(bureau="BUREAU", score=480, lowest=300, highest=850, as_of=date(2024, 3, 1))

FOR_ALERT = RequestRiskUpdateForAlert(update_id=UPDATE, alert_id=ALERT, occurred_at=NOON)
FOR_SCORE = RequestRiskUpdateForScore(
    update_id=UPDATE, customer_id=ADA, score=VANTAGE, occurred_at=NOON
)
CARRY_OUT = CarryOutRiskUpdate(update_id=UPDATE, occurred_at=NOON)

FACTOR = f"fraud confirmed by alert {ALERT}"
REQUESTED = RiskUpdateRequested(
    customer_id=ADA,
    cause=RiskUpdateCause.FRAUD_CONFIRMED,
    rating=RiskRating.HIGH,
    factors=(FACTOR,),
    occurred_at=NOON,
    alert_id=ALERT,
)
CARRIED_OUT = RiskUpdateCarriedOut(rating=RiskRating.HIGH, occurred_at=NOON)
RATED = CustomerRiskRated(rating=RiskRating.HIGH, factors=(FACTOR,))


# --- what makes one necessary ---------------------------------------------------------------------


def test_a_confirmed_alert_has_its_customer_rated_anew() -> None:
    given(on(ALERT, RAISED, CONFIRMED)).when(FOR_ALERT).then(on(UPDATE, REQUESTED))


def test_a_milder_alert_asks_for_less() -> None:
    milder = replace(RAISED, severity=AlertSeverity.MEDIUM)
    given(on(ALERT, milder, CONFIRMED)).when(FOR_ALERT).then(
        on(UPDATE, replace(REQUESTED, rating=RiskRating.MEDIUM))
    )


@pytest.mark.parametrize("history", [(RAISED,), (RAISED, DISMISSED)], ids=["open", "dismissed"])
def test_an_alert_that_was_not_confirmed_changes_nothing(history: tuple[Any, ...]) -> None:
    given(on(ALERT, *history)).when(FOR_ALERT).refused(AlertNotConfirmed)


def test_an_alert_that_was_not_raised_is_not_found() -> None:
    given(on(ADA, *active())).when(FOR_ALERT).refused(NotFound)


def test_an_update_is_requested_once() -> None:
    given(on(ALERT, RAISED, CONFIRMED), on(UPDATE, REQUESTED)).when(FOR_ALERT).refused(
        AlreadyExists
    )
    given(on(ADA, *active()), on(UPDATE, REQUESTED)).when(FOR_SCORE).refused(AlreadyExists)


@pytest.mark.parametrize(
    ("score", "rating"),
    [
        (300, RiskRating.HIGH),
        (497, RiskRating.HIGH),
        (498, RiskRating.MEDIUM),
        (602, RiskRating.MEDIUM),
        (603, None),
        (850, None),
    ],
)
def test_a_low_score_is_a_reason_by_where_it_stands_on_its_scale(
    score: int, rating: RiskRating | None
) -> None:
    assert rating_by(replace(VANTAGE, score=score)) is rating


def test_a_bad_score_has_its_customer_rated_anew() -> None:
    given(on(ADA, *active())).when(FOR_SCORE).then(
        on(
            UPDATE,
            RiskUpdateRequested(
                customer_id=ADA,
                cause=RiskUpdateCause.BUREAU_SCORE,
                rating=RiskRating.HIGH,
                factors=("BUREAU 480 of 300-850",),
                occurred_at=NOON,
            ),
        )
    )


def test_a_good_score_is_no_reason_and_neither_is_one_without_a_scale() -> None:
    ada = on(ADA, *active())
    given(ada).when(replace(FOR_SCORE, score=replace(VANTAGE, score=800))).refused(ScoreNoReason)
    given(ada).when(replace(FOR_SCORE, score=replace(VANTAGE, lowest=850))).refused(ScoreNoReason)


def test_a_score_of_nobody_is_not_found() -> None:
    given(on(ADA, *active())).when(replace(FOR_SCORE, customer_id=BOB)).refused(NotFound)
    gone = (
        CustomerOffboardingStarted(reason="moved", on=NOON.date()),
        CustomerClosed(on=NOON.date()),
    )
    given(on(ADA, *active(), *gone)).when(FOR_SCORE).refused(CustomerIsClosed)


# --- carrying it out ------------------------------------------------------------------------------


def test_the_customer_is_rated_by_the_same_decision_that_ends_it() -> None:
    given(on(ADA, *active()), on(UPDATE, REQUESTED)).when(CARRY_OUT).then(
        on(UPDATE, CARRIED_OUT), on(ADA, RATED)
    )


def test_what_the_customer_was_rated_before_is_told() -> None:
    low = CustomerRiskRated(rating=RiskRating.LOW)
    given(on(ADA, *active(), low), on(UPDATE, REQUESTED)).when(CARRY_OUT).then(
        on(UPDATE, replace(CARRIED_OUT, before=RiskRating.LOW)), on(ADA, RATED)
    )


def test_a_rating_is_not_raised_to_what_it_is() -> None:
    given(on(ADA, *active(), RATED), on(UPDATE, REQUESTED)).when(CARRY_OUT).then(
        on(UPDATE, RiskUpdateFoundNeedless(why=WhyNeedless.RATED_SO, occurred_at=NOON))
    )


def test_a_customer_who_has_gone_is_not_rated() -> None:
    gone = (
        CustomerOffboardingStarted(reason="moved", on=NOON.date()),
        CustomerClosed(on=NOON.date()),
    )
    given(on(ADA, *active(), *gone), on(UPDATE, REQUESTED)).when(CARRY_OUT).then(
        on(UPDATE, RiskUpdateFoundNeedless(why=WhyNeedless.CUSTOMER_GONE, occurred_at=NOON))
    )


def test_an_update_is_carried_out_once() -> None:
    ada = on(ADA, *active())
    given(ada).when(CARRY_OUT).refused(NotFound)
    given(ada, on(UPDATE, REQUESTED, CARRIED_OUT)).when(CARRY_OUT).refused(RiskUpdateEnded)


@given_any(st.lists(st.tuples(st.sampled_from(RiskRating), st.integers(1, 5)), max_size=8))
def test_updates_only_ever_raise_a_rating(wanted: list[tuple[RiskRating, int]]) -> None:
    history = InMemoryHistory()
    history.write(ADA, active(), UUID(int=0))
    for rating, number in wanted:
        update = update_of(UUID(int=number))
        if update not in history.streams:
            history.write(update, [replace(REQUESTED, rating=rating)], UUID(int=0))
            history.execute(replace(CARRY_OUT, update_id=update), UUID(int=number))

    ratings = [e.rating for e in history.streams[ADA] if isinstance(e, CustomerRiskRated)]
    rank = list(RiskRating).index
    assert all(rank(one) < rank(other) for one, other in pairwise(ratings))


def test_an_alert_knows_whom_it_is_about_and_how_urgent_it_is() -> None:
    raised = RiskAlert().after([RAISED])
    assert (raised.customer_id, raised.severity) == (ADA, AlertSeverity.HIGH)
