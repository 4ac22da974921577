"""Every alert about an authorization: why it was raised, who looks at it, and what he found.

`position` is where it was raised and never changes: whoever follows alerts from a position on
misses none and sees none twice. `last_position` is that of the last word on it.
"""

from datetime import datetime
from typing import Final, assert_never, get_args
from uuid import UUID

from domain.recorded import Recorded
from domain.risk.alert import (
    AlertStatus,
    RiskAlertConfirmed,
    RiskAlertDismissed,
    RiskAlertEvent,
    RiskAlertInvestigated,
    RiskAlertRaised,
)
from domain.risk.assessment import AlertSeverity, Reason, RiskDecision
from domain.value import changed, value
from projections.projection import Document, Key, Minor


@value
class FraudAlertRow:
    """`amount` is in minor units of `currency`; `occurred_at` is of the authorization,
    `investigated_at` of the last analyst who has taken it up."""

    alert_id: UUID
    authorization_id: UUID
    card_id: UUID
    customer_id: UUID
    account_id: UUID
    severity: AlertSeverity
    status: AlertStatus
    score: float
    decision: RiskDecision
    reasons: tuple[Reason, ...]
    amount: Minor
    currency: str
    merchant: str
    analyst: str | None
    note: str | None
    occurred_at: datetime
    raised_at: datetime
    investigated_at: datetime | None
    closed_at: datetime | None
    version: int
    position: int
    last_position: int


class FraudAlerts(Document[FraudAlertRow]):
    name = "fraud_alerts"
    row = FraudAlertRow
    key = ("alert_id",)
    events = get_args(RiskAlertEvent)
    indexes = (
        ("position",),
        ("status", "position"),
        ("customer_id", "position"),
    )
    fixed = ("card_id", "customer_id", "account_id", "severity", "position")

    def fold(self, row: FraudAlertRow | None, recorded: Recorded, key: Key) -> FraudAlertRow:
        event: RiskAlertEvent = recorded.event
        if isinstance(event, RiskAlertRaised):
            return _raised(event, recorded)
        assert row is not None, f"{recorded.stream_id} begins without having been raised"
        return changed(
            _after(row, event), version=recorded.version, last_position=recorded.position
        )


FRAUD_ALERTS: Final = FraudAlerts()


def _raised(event: RiskAlertRaised, recorded: Recorded) -> FraudAlertRow:
    return FraudAlertRow(
        alert_id=recorded.stream_id,
        authorization_id=event.authorization_id,
        card_id=event.card_id,
        customer_id=event.customer_id,
        account_id=event.account_id,
        severity=event.severity,
        status=AlertStatus.OPEN,
        score=event.score,
        decision=event.decision,
        reasons=event.reasons,
        amount=event.amount.minor,
        currency=event.amount.currency,
        merchant=event.merchant,
        analyst=None,
        note=None,
        occurred_at=event.occurred_at,
        raised_at=recorded.at,
        investigated_at=None,
        closed_at=None,
        version=recorded.version,
        position=recorded.position,
        last_position=recorded.position,
    )


def _after(row: FraudAlertRow, event: RiskAlertEvent) -> FraudAlertRow:
    match event:
        case RiskAlertInvestigated(analyst=analyst, at=at):
            return changed(
                row, status=AlertStatus.INVESTIGATING, analyst=analyst, investigated_at=at
            )
        case RiskAlertConfirmed(analyst=analyst, at=at, note=note):
            return changed(
                row, status=AlertStatus.CONFIRMED, analyst=analyst, note=note, closed_at=at
            )
        case RiskAlertDismissed(analyst=analyst, at=at, note=note):
            return changed(
                row, status=AlertStatus.DISMISSED, analyst=analyst, note=note, closed_at=at
            )
        case RiskAlertRaised():
            return row
        case _:
            assert_never(event)
