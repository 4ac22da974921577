from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from application.codec import Codec
from domain.duties import NobodyNamed
from domain.refusal import NotFound, Refusal
from domain.risk.alert import (
    AlertClosed,
    AlertStatus,
    AlertTaken,
    ConfirmAlert,
    DismissAlert,
    InvestigateAlert,
    RiskAlert,
    RiskAlertConfirmed,
    RiskAlertDismissed,
    RiskAlertEvent,
    RiskAlertInvestigated,
    RiskAlertRaised,
)
from domain.risk.assessment import AlertSeverity, Reason, RiskDecision
from tests.examples import ACCOUNT, ADA, CARD, HOLD, eur
from tests.scenario import given

ALERT = UUID("00000000-0000-4000-8000-0000000000ac")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)

RAISED = RiskAlertRaised(
    authorization_id=HOLD,
    card_id=CARD,
    customer_id=ADA,
    account_id=ACCOUNT,
    score=0.97,
    severity=AlertSeverity.HIGH,
    decision=RiskDecision.BLOCK,
    reasons=(Reason(code="amount", words="amount in minor units: 90000", contribution=2.5),),
    occurred_at=NOON,
    amount=eur(900_00),
    merchant="Corner shop",
)
INVESTIGATED = RiskAlertInvestigated(analyst="ann", at=LATER)
CONFIRMED = RiskAlertConfirmed(analyst="ann", at=LATER, note="the customer was elsewhere")
DISMISSED = RiskAlertDismissed(analyst="ann", at=LATER, note="")

INVESTIGATE = InvestigateAlert(alert_id=ALERT, analyst="ann", at=LATER)
CONFIRM = ConfirmAlert(alert_id=ALERT, analyst="ann", at=LATER, note="the customer was elsewhere")
DISMISS = DismissAlert(alert_id=ALERT, analyst="ann", at=LATER)


def alert(*happened: Any) -> RiskAlert:
    return RiskAlert().after(happened)


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((), None),
        ((RAISED,), AlertStatus.OPEN),
        ((RAISED, INVESTIGATED), AlertStatus.INVESTIGATING),
        ((RAISED, CONFIRMED), AlertStatus.CONFIRMED),
        ((RAISED, INVESTIGATED, DISMISSED), AlertStatus.DISMISSED),
    ],
)
def test_the_status_of_an_alert(history: tuple[Any, ...], status: AlertStatus | None) -> None:
    assert alert(*history).status is status


def test_an_alert_knows_what_its_label_will_be_about() -> None:
    raised = alert(RAISED)

    assert (raised.authorization_id, raised.card_id, raised.account_id) == (HOLD, CARD, ACCOUNT)


def test_an_analyst_takes_an_alert_up() -> None:
    given(RiskAlert, RAISED).when(INVESTIGATE).then(INVESTIGATED)


def test_another_analyst_may_take_it_over() -> None:
    by_ben = replace(INVESTIGATE, analyst="ben")

    given(RiskAlert, RAISED, INVESTIGATED).when(INVESTIGATE).refused(AlertTaken)
    given(RiskAlert, RAISED, INVESTIGATED).when(by_ben).then(replace(INVESTIGATED, analyst="ben"))


def test_an_alert_that_was_not_raised_is_not_found() -> None:
    given(RiskAlert).when(INVESTIGATE).refused(NotFound)
    with pytest.raises(NotFound):
        alert().confirm(CONFIRM)
    with pytest.raises(NotFound):
        alert().dismiss(DISMISS)


def test_an_alert_is_confirmed_or_dismissed_with_or_without_an_investigation() -> None:
    for open_alert in (alert(RAISED), alert(RAISED, INVESTIGATED)):
        assert open_alert.confirm(CONFIRM) == [CONFIRMED]
        assert open_alert.dismiss(DISMISS) == [DISMISSED]


@pytest.mark.parametrize("end", [CONFIRMED, DISMISSED], ids=lambda end: type(end).__name__)
def test_an_alert_is_closed_once(end: Any) -> None:
    closed = alert(RAISED, end)

    given(RiskAlert, RAISED, end).when(INVESTIGATE).refused(AlertClosed)
    with pytest.raises(AlertClosed):
        closed.confirm(CONFIRM)
    with pytest.raises(AlertClosed):
        closed.dismiss(DISMISS)


@pytest.mark.parametrize("command", [INVESTIGATE, CONFIRM, DISMISS], ids=lambda c: type(c).__name__)
def test_who_judges_an_alert_is_named(command: Any) -> None:
    given(RiskAlert, RAISED).when(replace(command, analyst=" ")).refused(NobodyNamed)


@pytest.mark.parametrize(
    "event", [RAISED, INVESTIGATED, CONFIRMED, DISMISSED], ids=lambda event: type(event).__name__
)
def test_an_event_is_read_back_as_it_was(event: Any) -> None:
    codec = Codec((RiskAlert,))
    name, data = codec.encode(event)
    by = b'"00000000-0000-4000-8000-000000000001"'
    record = b'{"at":"2024-03-01T12:00:00Z","by":%b,"data":%b,"prev":""}' % (by, data)

    assert codec.decode(name, record).data == event


def decided(state: RiskAlert, command: Any) -> Sequence[RiskAlertEvent]:
    """As the bank does: two of the commands are decided over another stream too."""
    if isinstance(command, ConfirmAlert):
        return state.confirm(command)
    return state.dismiss(command) if isinstance(command, DismissAlert) else state.decide(command)


@given_any(st.lists(st.sampled_from([INVESTIGATE, CONFIRM, DISMISS]), max_size=8))
def test_an_alert_is_judged_at_most_once(asked: list[Any]) -> None:
    state, closed = alert(RAISED), 0
    for command in asked:
        try:
            state = state.after(decided(state, command))
        except Refusal:
            continue
        closed += isinstance(command, ConfirmAlert | DismissAlert)
    assert closed == (state.status in (AlertStatus.CONFIRMED, AlertStatus.DISMISSED))
    assert closed <= 1
